"""The URDF against Unitree's own numbers (test/data/g1_kinematics.yaml) and against itself."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from sapave_ros import g1

REFERENCE = yaml.safe_load((Path(__file__).parent / "data" / "g1_kinematics.yaml").read_text())
RENAMED = {  # of the source: here
    "xl330_joint": "head_yaw_joint",
    "xl330_link": "head_yaw_link",
    "d455_joint": "head_pitch_joint",
    "d455_link": "head_pitch_link",
}
# Replaced by the neck, replaced by the hands, cosmetic.
LEFT_OUT = {"head_link", "d435_link", "mid360_link", "left_rubber_hand", "right_rubber_hand"}
LEFT_OUT |= {"logo_link", "pelvis_contour_link"}
HAND_MASS_KG = 0.54
PALMS = {"L_hand_base_link", "R_hand_base_link"}  # carry what the source's hands lack in mass
ADDED_LINKS = {"camera_link", "camera_color_frame", "camera_color_optical_frame"}
ADDED_LINKS |= {f"{side}_{finger}_tip" for side in "LR" for finger in ("thumb", "index", "middle", "ring", "pinky")}
TIGHTER = {"head_pitch_joint", "L_thumb_proximal_pitch_joint", "R_thumb_proximal_pitch_joint"}

ROBOT = ElementTree.parse(g1.model_path()).getroot()
LINKS = {link.get("name"): link for link in ROBOT.iterfind("link")}
JOINTS = {joint.get("name"): joint for joint in ROBOT.iterfind("joint")}


def reference(kind: str) -> dict[str, dict]:
    """Joints or links of the source that the URDF keeps, under the names that they have here."""
    entries = {}
    for part in ("body", "neck", "left_hand", "right_hand"):
        for entry in REFERENCE[part][kind]:
            entry = {k: RENAMED.get(v, v) if isinstance(v, str) else v for k, v in entry.items()}
            if entry["name"] not in LEFT_OUT and entry.get("child") not in LEFT_OUT:
                entries[entry["name"]] = entry
    return entries


REFERENCE_JOINTS = reference("joints")
REFERENCE_LINKS = reference("links")


def numbers(text: str | None) -> np.ndarray:
    return np.array((text or "0 0 0").split(), dtype=float)


def place(element: ElementTree.Element, attribute: str = "xyz") -> np.ndarray:
    origin = element.find("origin")
    return numbers(None if origin is None else origin.get(attribute))


def limits(name: str) -> tuple[float, float]:
    limit = JOINTS[name].find("limit")
    return float(limit.get("lower")), float(limit.get("upper"))


def inertia_matrix(values) -> np.ndarray:
    ixx, ixy, ixz, iyy, iyz, izz = (float(values[k]) for k in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"))
    return np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])


def test_is_one_tree_of_uniquely_named_links_and_joints():
    assert len(LINKS) == len(list(ROBOT.iterfind("link"))), "two links share a name"
    assert len(JOINTS) == len(list(ROBOT.iterfind("joint"))), "two joints share a name"
    parents = {j.find("child").get("link"): j.find("parent").get("link") for j in JOINTS.values()}
    assert len(parents) == len(JOINTS), "a link has two parents"
    assert set(LINKS) - set(parents) == {"pelvis"}
    assert set(parents) | set(parents.values()) == set(LINKS)
    for link in LINKS:
        seen = set()
        while link != "pelvis":
            assert link not in seen, f"{link} is its own ancestor"
            seen.add(link)
            link = parents[link]


def test_every_moving_joint_is_what_robot_state_publisher_and_the_drivers_need():
    for name, joint in JOINTS.items():
        assert joint.get("type") in ("fixed", "revolute")
        if joint.get("type") == "revolute":
            lower, upper = limits(name)
            assert lower < upper
            assert float(joint.find("limit").get("effort")) > 0
            assert float(joint.find("limit").get("velocity")) > 0
            assert np.linalg.norm(numbers(joint.find("axis").get("xyz"))) == pytest.approx(1)
        mimic = joint.find("mimic")
        if mimic is not None:
            master = JOINTS[mimic.get("joint")]
            assert master.find("mimic") is None, f"{name} follows a follower"
            factor = float(mimic.get("multiplier"))
            reached = np.array(limits(master.get("name"))) * factor
            assert limits(name)[0] - 1e-9 <= reached.min()
            assert limits(name)[1] + 1e-9 >= reached.max()


def test_every_inertia_is_physical():
    for name, link in LINKS.items():
        inertial = link.find("inertial")
        if inertial is None:
            assert not {"visual", "collision"} & {part.tag for part in link}, f"{name} has a shape but no mass"
            continue
        assert float(inertial.find("mass").get("value")) > 0
        principal = np.linalg.eigvalsh(inertia_matrix(inertial.find("inertia").attrib))
        assert principal[0] > 0, name
        assert principal[2] <= principal[0] + principal[1] + 1e-12, f"{name} breaks the triangle inequality"


def test_shapes_are_standard_urdf_primitives_without_files():
    shapes = [shape.tag for geometry in ROBOT.iter("geometry") for shape in geometry]
    assert set(shapes) == {"box", "cylinder", "sphere"}
    declared = {m.get("name") for m in ROBOT.iterfind("material")}
    assert {m.get("name") for m in ROBOT.iterfind("link/visual/material")} <= declared


def test_has_the_links_and_joints_of_the_source_and_nothing_unexplained():
    assert set(LINKS) == set(REFERENCE_LINKS) | ADDED_LINKS
    attached = {j.find("child").get("link") for n, j in JOINTS.items() if n not in REFERENCE_JOINTS}
    assert attached == ADDED_LINKS
    assert set(REFERENCE_JOINTS) <= set(JOINTS)


@pytest.mark.parametrize("name", REFERENCE_JOINTS)
def test_joint_is_that_of_the_source(name):
    expected, joint = REFERENCE_JOINTS[name], JOINTS[name]
    assert joint.get("type") == expected["type"]
    assert joint.find("parent").get("link") == expected["parent"]
    assert joint.find("child").get("link") == expected["child"]
    np.testing.assert_allclose(place(joint), expected["xyz"], atol=1e-9)
    np.testing.assert_allclose(place(joint, "rpy"), expected["rpy"], atol=1e-9)
    if expected["type"] == "fixed":
        return
    np.testing.assert_array_equal(numbers(joint.find("axis").get("xyz")), expected["axis"])
    lower, upper = limits(name)
    if name in TIGHTER:
        assert expected["lower"] <= lower
        assert expected["upper"] >= upper
    else:
        assert (lower, upper) == pytest.approx((expected["lower"], expected["upper"]))
    if "effort" in expected:  # unset in the source of the neck
        limit = joint.find("limit")
        assert float(limit.get("effort")) == expected["effort"]
        assert float(limit.get("velocity")) == expected["velocity"]
    mimic = joint.find("mimic")
    assert (mimic is not None) == ("mimic" in expected)
    if mimic is not None:
        assert mimic.get("joint") == expected["mimic"]["joint"]
        assert float(mimic.get("multiplier")) == expected["mimic"]["multiplier"]
        assert float(mimic.get("offset", 0)) == expected["mimic"]["offset"]


@pytest.mark.parametrize("name", REFERENCE_LINKS)
def test_inertia_is_that_of_the_source(name):
    expected, inertial = REFERENCE_LINKS[name], LINKS[name].find("inertial")
    if not expected["mass"]:
        assert inertial is None
        return
    mass = float(inertial.find("mass").get("value"))
    scale = mass / expected["mass"]
    if name not in PALMS:
        assert scale == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(numbers(inertial.find("origin").get("xyz")), expected["com"], atol=1e-9)
    found = inertia_matrix(inertial.find("inertia").attrib)
    np.testing.assert_allclose(found, scale * inertia_matrix(expected["inertia"]), rtol=1e-5, atol=1e-13)


def test_total_mass_is_the_source_with_its_head_and_hands_exchanged():
    """33.341 kg of the 29-DoF body, less head (1.036), rubber hands (2 x 0.17) and cosmetic links (2 x 0.001),
    plus the neck (0.691) and the hands (2 x 0.54): 33.734 kg."""
    model = mujoco.MjModel.from_xml_path(str(g1.model_path()))
    body = sum(link["mass"] for link in REFERENCE["body"]["links"])
    left_out = sum(link["mass"] for link in REFERENCE["body"]["links"] if link["name"] in LEFT_OUT)
    neck = sum(link["mass"] for link in REFERENCE["neck"]["links"])
    assert body == pytest.approx(33.3411, abs=1e-4)
    assert model.body_mass.sum() == pytest.approx(body - left_out + neck + 2 * HAND_MASS_KG, abs=1e-6)
    for side in "LR":
        hand = sum(model.body(name).mass[0] for name in LINKS if name.startswith(f"{side}_"))
        assert hand == pytest.approx(HAND_MASS_KG, abs=1e-6)


def test_left_and_right_are_mirrored_in_limits_and_shapes():
    """The body only: the source's two hands and their frames are no exact mirror images."""
    for name in JOINTS:
        if not name.startswith("left_") or JOINTS[name].get("type") != "revolute":
            continue
        lower, upper = limits(name)
        turns_over = numbers(JOINTS[name].find("axis").get("xyz"))[1] == 0  # a mirror in y flips turns about x and z
        mirrored = (-upper, -lower) if turns_over else (lower, upper)
        assert limits("right_" + name[5:]) == pytest.approx(mirrored), name
    for name, link in LINKS.items():
        if not name.startswith("left_"):
            continue
        for kind in ("visual", "collision"):
            left, right = link.findall(kind), LINKS["right_" + name[5:]].findall(kind)
            assert len(left) == len(right)
            for a, b in zip(left, right, strict=True):
                assert ElementTree.tostring(a.find("geometry")) == ElementTree.tostring(b.find("geometry"))
                xyz = [
                    numbers(s.find("origin").get("xyz")) if s.find("origin") is not None else np.zeros(3)
                    for s in (a, b)
                ]
                np.testing.assert_allclose(xyz[0] * (1, -1, 1), xyz[1], atol=1e-9)


def test_shapes_keep_to_the_bounds_of_the_real_parts():
    """Every collision shape's centre lies within 2 cm of the bounds of Unitree's mesh of that link."""
    for name, link in LINKS.items():
        for collision in link.iterfind("collision"):
            bounds = REFERENCE_LINKS[name]["mesh_aabb"]
            centre = place(collision)
            # The torso also stands for the neck column, which belongs to the source's head mesh.
            high = np.array(bounds["max"]) + ((0, 0, 0.1) if name == "torso_link" else 0.02)
            assert (centre >= np.array(bounds["min"]) - 0.02).all(), name
            assert (centre <= high).all(), name


def test_camera_sees_past_the_robots_own_head():
    """No shape of head or camera lies in the picture (70 x 50 degrees) down to a pitch of 1.2 rad.

    Steeper than that the neck comes into view, as it does on the robot.
    """
    model = mujoco.MjModel.from_xml_path(str(g1.model_path()))
    data = mujoco.MjData(model)
    head = {model.body(n).id for n in ("head_servo_link", "head_yaw_link", "head_pitch_link")}
    drawn = np.ones(6, dtype=np.uint8)
    x, y = np.meshgrid(np.tan(np.radians(35)) * np.linspace(-1, 1, 9), np.tan(np.radians(25)) * np.linspace(-1, 1, 7))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    for yaw in np.linspace(*limits("head_yaw_joint"), 5):
        for pitch in np.linspace(limits("head_pitch_joint")[0], 1.2, 5):
            data.joint("head_yaw_joint").qpos[0], data.joint("head_pitch_joint").qpos[0] = yaw, pitch
            mujoco.mj_kinematics(model, data)
            camera = data.body("camera_color_optical_frame")
            hit = np.zeros(1, dtype=np.int32)
            for ray in rays @ camera.xmat.reshape(3, 3).T:
                mujoco.mj_ray(model, data, camera.xpos, ray / np.linalg.norm(ray), drawn, 1, -1, hit)
                assert hit[0] < 0 or model.geom_bodyid[hit[0]] not in head, f"yaw {yaw:.2f} pitch {pitch:.2f}"


def test_forearms_point_forward_at_zero():
    """The zero pose of this robot is not arms down: a reader who assumes so moves the wrists by 20 cm."""
    model = mujoco.MjModel.from_xml_path(str(g1.model_path()))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    for side in ("left", "right"):
        forearm = data.body(f"{side}_wrist_yaw_link").xpos - data.body(f"{side}_elbow_link").xpos
        np.testing.assert_allclose(forearm / np.linalg.norm(forearm), (1, 0, 0), atol=0.06)


def test_nothing_touches_itself_at_zero_but_thumb_and_palm():
    """What the header of the URDF says: pairs that share a joint aside, only each thumb overlaps with its palm."""
    model = mujoco.MjModel.from_xml_path(str(g1.model_path()))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    names = [model.body(i).name for i in range(model.nbody)]
    touching = {frozenset(names[model.geom_bodyid[g]] for g in contact.geom) for contact in data.contact}
    assert touching == {frozenset((f"{side}_hand_base_link", f"{side}_thumb_proximal")) for side in "LR"}
