"""Kinematics against an independent computation from Unitree's numbers, and against MuJoCo on the same URDF."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from sapave_ros import g1
from sapave_ros.core.kinematics import STANDARD_GRAVITY, Kinematics, gravity_in_pelvis, inverse
from sapave_ros.core.urdf import ModelError

REFERENCE = yaml.safe_load((Path(__file__).parent / "data" / "g1_kinematics.yaml").read_text())
JOINTS = [j for part in ("body", "neck", "left_hand", "right_hand") for j in REFERENCE[part]["joints"]]
# Links and joints of the source that have another name here.
RENAMED = {"xl330_joint": "head_yaw_joint", "xl330_link": "head_yaw_link"}
RENAMED |= {"d455_joint": "head_pitch_joint", "d455_link": "head_pitch_link"}
SEEDS = range(20)
OPEN_HANDS = dict(zip(g1.HANDS.names, g1.HANDS.column("lower"), strict=True))


@pytest.fixture(scope="module")
def kinematics() -> Kinematics:
    return Kinematics.from_urdf()


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(g1.model_path()))


def random_pose(kinematics: Kinematics, seed: int) -> dict[str, float]:
    """Positions [rad] by name, of all joints that need one; far outside the limits too, where formulas still hold."""
    random = np.random.default_rng(seed)
    return dict(zip(kinematics.joint_names, random.uniform(-3, 3, len(kinematics.joint_names)), strict=True))


def rotation(axis, angle: float) -> np.ndarray:
    """(3, 3) by way of MuJoCo's quaternions: no formula shared with the code under test."""
    quaternion, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quaternion, np.array(axis, dtype=float), angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def reference_in_pelvis(positions: dict[str, float]) -> dict[str, np.ndarray]:
    """Pose (4, 4) in the pelvis of every link of the source, from its numbers alone."""
    poses = {"pelvis": np.eye(4)}
    pending = list(JOINTS)
    while pending:
        joint = pending.pop(0)
        if joint["parent"] not in poses:
            pending.append(joint)
            continue
        roll, pitch, yaw = joint["rpy"]
        local = np.eye(4)
        local[:3, :3] = rotation((0, 0, 1), yaw) @ rotation((0, 1, 0), pitch) @ rotation((1, 0, 0), roll)
        local[:3, 3] = joint["xyz"]
        if joint["type"] == "revolute":
            if "mimic" in joint:
                angle = joint["mimic"]["multiplier"] * positions[joint["mimic"]["joint"]]
            else:
                angle = positions[RENAMED.get(joint["name"], joint["name"])]
            local[:3, :3] = local[:3, :3] @ rotation(joint["axis"], angle)
        poses[joint["child"]] = poses[joint["parent"]] @ local
    return {RENAMED.get(name, name): pose for name, pose in poses.items()}


def mujoco_data(kinematics: Kinematics, model: mujoco.MjModel, positions: dict[str, float]) -> mujoco.MjData:
    data = mujoco.MjData(model)
    for name, position in positions.items():
        data.joint(name).qpos[0] = position
    for joint in JOINTS:
        if "mimic" in joint:
            master = positions[joint["mimic"]["joint"]]
            data.joint(joint["name"]).qpos[0] = joint["mimic"]["multiplier"] * master
    mujoco.mj_forward(model, data)
    return data


def mujoco_pose(data: mujoco.MjData, link: str) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = data.body(link).xmat.reshape(3, 3), data.body(link).xpos
    return pose


@pytest.mark.parametrize("seed", SEEDS)
def test_every_link_is_where_the_source_puts_it(kinematics, seed):
    positions = random_pose(kinematics, seed)
    expected = reference_in_pelvis(positions)
    compared = [link for link in kinematics.link_names if link in expected]
    assert len(compared) == 61
    for link in compared:
        found = kinematics.frame_in_frame(link, "pelvis", positions)
        np.testing.assert_allclose(found[:3, 3], expected[link][:3, 3], atol=1e-4, err_msg=link)
        np.testing.assert_allclose(found[:3, :3], expected[link][:3, :3], atol=1e-6, err_msg=link)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_link_in_any_link_agrees_with_mujoco(kinematics, model, seed):
    positions = random_pose(kinematics, seed)
    data = mujoco_data(kinematics, model, positions)
    random = np.random.default_rng(seed)
    for frame, reference in random.choice(kinematics.link_names, (200, 2)):
        expected = inverse(mujoco_pose(data, reference)) @ mujoco_pose(data, frame)
        found = kinematics.frame_in_frame(frame, reference, positions)
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=f"{frame} in {reference}")


@pytest.mark.parametrize("seed", SEEDS)
def test_poses_form_a_group(kinematics, seed):
    """a_in_a is the identity, a_in_b inverts b_in_a, and a_in_c = b_in_c a_in_b."""
    positions = random_pose(kinematics, seed)
    a, b, c = np.random.default_rng(seed).choice(kinematics.link_names, 3)

    def pose(frame, reference):
        return kinematics.frame_in_frame(frame, reference, positions)

    np.testing.assert_allclose(pose(a, a), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(pose(a, b) @ pose(b, a), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(pose(b, c) @ pose(a, b), pose(a, c), atol=1e-12)


def test_only_the_joints_in_between_need_a_position(kinematics):
    head = {"head_yaw_joint": 0.3, "head_pitch_joint": 0.5}
    assert kinematics.frame_in_frame("camera_link", "torso_link", head).shape == (4, 4)


def test_a_missing_joint_is_an_error_and_never_zero(kinematics):
    with pytest.raises(KeyError, match="head_pitch_joint"):
        kinematics.frame_in_frame("camera_link", "torso_link", {"head_yaw_joint": 0.3})
    with pytest.raises(KeyError, match="L_index_proximal_joint"):
        kinematics.frame_in_frame("L_index_intermediate", "L_hand_base_link", {})


def test_a_default_stands_in_only_where_nothing_is_given(kinematics):
    given = {"head_yaw_joint": 0.3}
    both = kinematics.frame_in_frame("camera_link", "torso_link", {"head_yaw_joint": 0.3, "head_pitch_joint": 0.1})
    np.testing.assert_array_equal(kinematics.frame_in_frame("camera_link", "torso_link", given, default=0.1), both)


def test_a_measured_follower_goes_before_its_master(kinematics):
    """A coupled joint that is measured by itself (a finger stopped by an object) need not follow."""
    follows = {"L_index_proximal_joint": 0.5}
    measured = {"L_index_proximal_joint": 0.5, "L_index_intermediate_joint": 0.2}
    a, b = (kinematics.frame_in_frame("L_index_tip", "L_hand_base_link", q) for q in (follows, measured))
    assert not np.allclose(a, b)


def test_an_unknown_link_is_named_with_those_there_are(kinematics):
    with pytest.raises(KeyError, match=r"no link 'hand'.*pelvis"):
        kinematics.frame_in_frame("hand", "pelvis", {})


@pytest.mark.parametrize("seed", SEEDS)
def test_camera_in_torso_is_the_long_way_made_short(kinematics, seed):
    head = np.random.default_rng(seed).uniform(g1.HEAD.lower, g1.HEAD.upper)
    expected = kinematics.frame_in_frame(
        "camera_color_optical_frame", "torso_link", dict(zip(g1.HEAD.names, head, strict=True))
    )
    np.testing.assert_allclose(kinematics.camera_in_torso(head), expected, atol=1e-12)


def test_camera_looks_forward_at_zero_and_turns_left_and_down(kinematics):
    """Optical axes: x right, y down, z forward. Positive yaw turns left, positive pitch looks down."""
    pose = kinematics.camera_in_torso(np.zeros(2))
    right, down, forward = pose[:3, :3].T
    assert forward[0] > 0.99
    assert down[2] < -0.99
    assert right[1] < -0.99
    assert kinematics.camera_in_torso(np.array([0.4, 0.0]))[1, 2] > 0.3
    assert kinematics.camera_in_torso(np.array([0.0, 0.4]))[2, 2] < -0.3


@pytest.mark.parametrize("bad", [[0.0], [0.0, 0.0, 0.0], [np.nan, 0.0], [0.0, np.inf]])
def test_camera_in_torso_refuses_what_is_no_pose_of_the_neck(kinematics, bad):
    with pytest.raises(ValueError, match="head_positions"):
        kinematics.camera_in_torso(np.array(bad))


def motor_pose(positions: dict[str, float]) -> np.ndarray:
    return np.array([positions[name] for name in g1.MOTOR_NAMES])


@pytest.mark.parametrize("seed", SEEDS)
def test_gravity_torques_are_mujocos_at_rest(kinematics, model, seed):
    """Any pose and any attitude of the pelvis: the bias force of MuJoCo without velocity is what holds the arms."""
    random = np.random.default_rng(seed)
    positions = random_pose(kinematics, seed) | OPEN_HANDS
    quaternion = random.normal(size=4)
    quaternion /= np.linalg.norm(quaternion)
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    tilted = matrix.reshape(3, 3).T @ (0, 0, -STANDARD_GRAVITY)
    model.opt.gravity[:] = tilted
    data = mujoco_data(kinematics, model, positions)
    expected = [data.joint(name).qfrc_bias[0] for name in g1.ARMS.names]

    np.testing.assert_allclose(gravity_in_pelvis(quaternion), tilted, atol=1e-12)
    found = kinematics.gravity_torques(motor_pose(positions), gravity_in_pelvis(quaternion))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_gravity_torques_are_the_slope_of_the_potential_energy(kinematics, model, seed):
    """Holding torque of a joint = dV/dq, by central differences on MuJoCo's potential energy."""
    model.opt.gravity[:] = (0, 0, -STANDARD_GRAVITY)
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    positions = random_pose(kinematics, seed) | OPEN_HANDS
    found = kinematics.gravity_torques(motor_pose(positions), np.array([0, 0, -STANDARD_GRAVITY]))
    step = 1e-4
    for name, torque in zip(g1.ARMS.names, found, strict=True):
        above, below = (
            mujoco_data(kinematics, model, positions | {name: positions[name] + h}).energy[0] for h in (step, -step)
        )
        assert torque == pytest.approx((above - below) / (2 * step), abs=1e-5), name


def test_hand_pose_matters_little_to_the_arms(kinematics, model):
    """What the docstring of gravity_torques promises for hands that are not open, at many poses: below 0.05 N m."""
    model.opt.gravity[:] = (0, 0, -STANDARD_GRAVITY)
    closed = dict(zip(g1.HANDS.names, g1.HANDS.column("upper"), strict=True))
    for seed in range(50):
        positions = random_pose(kinematics, seed) | closed
        data = mujoco_data(kinematics, model, positions)
        expected = [data.joint(name).qfrc_bias[0] for name in g1.ARMS.names]
        found = kinematics.gravity_torques(motor_pose(positions), model.opt.gravity)
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_gravity_torques_of_mirrored_poses_are_mirrored(kinematics):
    """Same pose left and right: equal pitch torques, opposite roll and yaw torques (to the source's rounding)."""
    upright = np.array([0, 0, -STANDARD_GRAVITY])
    turns_over = np.array(["roll" in n or "yaw" in n for n in g1.LEFT_ARM.names])
    sign = np.where(turns_over, -1.0, 1.0)
    for seed in SEEDS:
        left = np.random.default_rng(seed).uniform(g1.LEFT_ARM.lower, g1.LEFT_ARM.upper)
        q = np.zeros(g1.NUM_MOTORS)
        q[15:22], q[22:29] = left, sign * left
        torques = kinematics.gravity_torques(q, upright)
        np.testing.assert_allclose(torques[7:], sign * torques[:7], atol=0.02)


def test_forearm_held_forward_needs_lift(kinematics):
    """At zero the forearm points forward; the elbow turns positive downwards, so holding it takes a negative torque."""
    torques = kinematics.gravity_torques(np.zeros(29), np.array([0, 0, -STANDARD_GRAVITY]))
    assert torques[g1.ARMS.names.index("left_elbow_joint")] < -1
    assert (np.abs(torques) < g1.ARMS.column("effort")).all()


@pytest.mark.parametrize(
    ("positions", "gravity"),
    [
        (np.zeros(14), np.array([0, 0, -9.8])),
        (np.zeros(29), np.array([-9.8])),
        (np.full(29, np.nan), np.array([0, 0, -9.8])),
        (np.zeros(29), np.array([0, 0, np.nan])),
    ],
)
def test_gravity_torques_refuse_what_is_no_measurement(kinematics, positions, gravity):
    with pytest.raises(ValueError, match="positions"):
        kinematics.gravity_torques(positions, gravity)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [np.nan] * 4, [1, 0, 0], [2, 0, 0, 0], [0.5, 0, 0, 0]])
def test_gravity_refuses_an_imu_that_has_not_started(bad):
    with pytest.raises(ValueError, match="quaternion"):
        gravity_in_pelvis(np.array(bad, dtype=float))


def test_gravity_turns_with_the_pelvis():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(gravity_in_pelvis(np.array([1.0, 0, 0, 0])), (0, 0, -STANDARD_GRAVITY))
    face_down = np.array([half, 0, half, 0])  # pitched 90 degrees: x of the pelvis points down
    np.testing.assert_allclose(gravity_in_pelvis(face_down), (STANDARD_GRAVITY, 0, 0), atol=1e-12)


ONE_JOINT = '<robot name="r"><link name="a"/><link name="b"/><joint name="j" type="{kind}">{ends}</joint></robot>'
ENDS = '<parent link="a"/><child link="b"/>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE_JOINT.format(kind="prismatic", ends=ENDS), "j: type"),
        (ONE_JOINT.format(kind="fixed", ends='<parent link="a"/>'), "j: needs a parent and a child"),
        (ONE_JOINT.format(kind="fixed", ends='<parent link="a"/><child link="a"/>'), "one root"),
    ],
)
def test_a_model_it_cannot_compute_with_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "robot.urdf"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        Kinematics.from_urdf(path)


def test_a_robot_without_this_neck_is_refused(tmp_path):
    """The head order of the table and of the model must agree; a swapped pair would look the wrong way."""
    text = g1.model_path().read_text()
    swapped = text.replace("head_yaw_joint", "x").replace("head_pitch_joint", "head_yaw_joint")
    path = tmp_path / "robot.urdf"
    path.write_text(swapped.replace('"x"', '"head_pitch_joint"'))
    with pytest.raises(ModelError, match="head_pitch_joint"):
        Kinematics.from_urdf(path)


@pytest.mark.parametrize("seed", SEEDS)
def test_arm_inertia_is_mujocos_mass_matrix(kinematics, model, seed):
    """Of both arms, at any pose, with nothing else moving; the URDF knows no rotors."""
    positions = random_pose(kinematics, seed) | OPEN_HANDS
    data = mujoco_data(kinematics, model, positions)
    dofs = [int(model.joint(name).dofadr[0]) for name in g1.ARMS.names]
    expected = np.empty((len(dofs), model.nv))
    for row, dof in zip(expected, dofs, strict=True):
        mujoco.mj_mulM(model, data, row, np.eye(model.nv)[dof])
    rotors = np.eye(len(g1.ARMS)) * g1.ARM_ROTOR_INERTIA_KG_M2
    found = kinematics.arm_inertia(motor_pose(positions))
    np.testing.assert_allclose(found - rotors, expected[:, dofs], atol=1e-9)


@pytest.mark.parametrize("positions", [np.zeros(14), np.full(29, np.nan)])
def test_arm_inertia_refuses_what_is_no_measurement(kinematics, positions):
    with pytest.raises(ValueError, match="positions"):
        kinematics.arm_inertia(positions)
