"""The clearance model against MuJoCo's distances between the shapes of the URDF, and what the gate builds on it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core import shapes, urdf
from sapave_ros.core.clearance import APPROACH_S, GLANCES, NO_CLOSER_M, WATCHED, Clearance
from sapave_ros.sim.scene import random_scene

NAMES = g1.OTHER.names
CLEARANCE = Clearance.from_urdf()
PAIRS = len(shapes.PAIRS)
ZERO = np.clip(np.zeros(26), g1.OTHER.lower, g1.OTHER.upper)

OPTIMISTIC_M = 0.004
"""The model never sees more room than there is, by more than this, with the fingers open."""
OPTIMISTIC_FINGERS_M = 0.07
"""The same with half-closed fingers, which the model does not follow: two hands that show each other their palms."""
PESSIMISTIC_M = 0.13
"""Nor less, by more than this: beside the head, which stands for all that the camera sweeps."""


def pose(**degrees_of_freedom: float) -> np.ndarray:
    """Both arms alike, mirrored: the joints named, all others zero."""
    q = ZERO.copy()
    for part, value in degrees_of_freedom.items():
        mirrored = part in ("shoulder_roll", "shoulder_yaw", "wrist_roll", "wrist_yaw")
        q[NAMES.index(f"left_{part}_joint")] = value
        q[NAMES.index(f"right_{part}_joint")] = -value if mirrored else value
    return q


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """Anywhere, or closer to where arms usually are."""
    q = rng.uniform(g1.OTHER.lower, g1.OTHER.upper)
    q[:14] *= rng.uniform(0.0, 1.0) if rng.random() < 0.5 else 1.0
    return q


class Oracle:
    """Distances between the collision shapes of the robot, by MuJoCo."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(g1.model_path()))
        self.data = mujoco.MjData(self.model)
        links = {"pelvis": ["pelvis"], "head": ["head_servo_link", "head_yaw_link", "head_pitch_link"]}
        for side in ("left", "right"):
            hand, s = side[0].upper(), f"{side}_"
            fingers = [f"{hand}_{f}_{p}" for f in ("index", "middle", "ring", "pinky") for p in _PHALANGES]
            links |= {
                f"{side} thigh": [f"{s}hip_pitch_link", f"{s}hip_roll_link", f"{s}hip_yaw_link"],
                f"{side} shoulder": [f"{s}shoulder_pitch_link"],
                f"{side} upper arm": [f"{s}shoulder_roll_link", f"{s}shoulder_yaw_link"],
                f"{side} forearm": [f"{s}elbow_link", f"{s}wrist_roll_link"],
                f"{side} hand": [f"{s}wrist_yaw_link", f"{hand}_hand_base_link", *fingers],
                f"{side} thumb": [f"{hand}_thumb_{p}" for p in ("proximal", "intermediate", "distal")],
                f"{side} wrist": [f"{s}wrist_pitch_link"],  # forearm and hand cover it together
            }
        self.geoms = {part: self._geoms(names) for part, names in links.items()}
        waist, torso, neck = self._geoms(["torso_link"])
        self.geoms |= {"waist": [waist], "torso": [torso]}
        self.geoms["head"].append(neck)

    def _geoms(self, links: list[str]) -> list[int]:
        m = self.model
        return [i for i in range(m.ngeom) if m.geom_contype[i] and m.body(m.geom_bodyid[i]).name in links]

    def stand(self, q: np.ndarray, head=(0.0, 0.0), hip_pitch: float = 0.0) -> None:
        m, d = self.model, self.data
        joints = dict(zip(NAMES, q, strict=True)) | dict(zip(g1.HEAD.names, head, strict=True))
        joints |= {f"{side}_hip_pitch_joint": hip_pitch for side in ("left", "right")}
        d.qpos[:] = 0.0
        for name, value in joints.items():
            d.joint(name).qpos[0] = value
        for i in np.flatnonzero(m.eq_type == mujoco.mjtEq.mjEQ_JOINT):  # phalanges that follow others
            follower, leader = (m.jnt_qposadr[j[i]] for j in (m.eq_obj1id, m.eq_obj2id))
            d.qpos[follower] = np.polyval(m.eq_data[i][:5][::-1], d.qpos[leader])
        mujoco.mj_kinematics(m, d)

    def distance(self, a: str, b: str) -> float:
        pairs = [(i, j) for i in self.geoms[a] for j in self.geoms[b]]
        return min(mujoco.mj_geomDistance(self.model, self.data, i, j, 1.0, None) for i, j in pairs)


_PHALANGES = ("proximal", "intermediate")


@pytest.mark.parametrize(("fingers", "optimistic_m"), [("open", OPTIMISTIC_M), ("any", OPTIMISTIC_FINGERS_M)])
def test_the_model_agrees_with_the_shapes_of_the_urdf(fingers, optimistic_m) -> None:
    oracle, rng = Oracle(), np.random.default_rng(7)
    compared = 0
    for _ in range(400):
        q = random_pose(rng)
        if fingers == "open":
            closing = [i for i, name in enumerate(NAMES) if name.endswith("proximal_joint")]
            q[closing] = 0.0
        oracle.stand(q, rng.uniform(g1.HEAD.lower, g1.HEAD.upper), rng.uniform(-0.4, 0.05))
        distances = CLEARANCE.room(q[None])[0, :PAIRS] + [w.margin_m for w in WATCHED[:PAIRS]]
        for (a, b), distance in zip(shapes.PAIRS, distances, strict=True):
            if distance > 0.2:
                continue
            true = oracle.distance(a, b)
            compared += 1
            if distance > 0.0 or true > 0.0:  # MuJoCo measures depth in another way
                assert distance <= max(true, 0.0) + optimistic_m, (a, b, q)
                assert distance >= true - PESSIMISTIC_M, (a, b, q)
    assert compared > 5000


def test_forearm_and_hand_cover_the_wrist_between_them() -> None:
    oracle, rng = Oracle(), np.random.default_rng(8)
    for _ in range(300):
        q = random_pose(rng)
        oracle.stand(q)
        room = dict(zip(shapes.PAIRS, CLEARANCE.room(q[None])[0], strict=False))
        for obstacle in ("torso", "head", "pelvis"):
            nearest = min(room[f"left {part}", obstacle] for part in ("forearm", "hand")) + g1.SELF_MARGIN_M
            assert nearest <= max(oracle.distance("left wrist", obstacle), 0.0) + OPTIMISTIC_M


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_no_pair_holds_apart_cannot_meet(side) -> None:
    """Parts of an arm that are watched against nothing because they do not reach it."""
    oracle, rng = Oracle(), np.random.default_rng(9)
    out_of_reach = {
        "upper arm": ("pelvis", "left thigh", "right thigh"),
        "forearm": (f"{side} shoulder",),
        "thumb": (f"{side} forearm",),
    }
    other = "right" if side == "left" else "left"
    assert (f"{side} forearm", f"{other} shoulder") in shapes.PAIRS
    for _ in range(300):
        q = rng.uniform(g1.OTHER.lower, g1.OTHER.upper)
        oracle.stand(q)
        for part, obstacles in out_of_reach.items():
            for obstacle in obstacles:
                assert oracle.distance(f"{side} {part}", obstacle) > 0.0, (part, obstacle, q)


@pytest.mark.parametrize(
    "q",
    [
        ZERO,
        pose(elbow=1.3, shoulder_roll=0.2),
        pose(shoulder_pitch=0.29, shoulder_roll=0.2, elbow=0.97),
        pose(shoulder_pitch=0.2, shoulder_roll=0.2, elbow=0.6),
        (g1.OTHER.lower + g1.OTHER.upper) / 2,
    ],
    ids=["zeros", "hanging", "standing", "standing, forearms higher", "middle of the ranges"],
)
def test_poses_that_the_robot_stands_in_have_room(q) -> None:
    room = CLEARANCE.room(q[None])[0]
    assert room.min() > 0.0, WATCHED[int(room.argmin())]


def test_all_start_poses_of_the_simulator_have_room() -> None:
    scenes = [random_scene(seed) for seed in range(300)]
    room = CLEARANCE.room(np.array([scene.arms + scene.hands for scene in scenes]))
    assert room.min() > 0.0, WATCHED[int(room.argmin()) % len(WATCHED)]


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_a_batch_is_what_its_poses_are_one_by_one(seed) -> None:
    rng = np.random.default_rng(seed)
    poses = np.array([random_pose(rng) for _ in range(4)])
    one_by_one = np.concatenate([CLEARANCE.room(q[None]) for q in poses])
    np.testing.assert_allclose(CLEARANCE.room(poses), one_by_one, atol=1e-12)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_a_mirrored_pose_has_the_mirrored_room(seed) -> None:
    """But for the thumbs, whose descriptions differ by millimetres."""
    q = random_pose(np.random.default_rng(seed))
    mirror = q.copy()
    for i, name in enumerate(NAMES):
        other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        other = other.replace("L_", "X_").replace("R_", "L_").replace("X_", "R_")
        sign = -1.0 if any(word in name for word in ("roll", "_yaw")) and not name.startswith(("L_", "R_")) else 1.0
        mirror[NAMES.index(other)] = sign * q[i]
    room, mirrored = CLEARANCE.room(np.array([q, mirror]))
    by_text = {frozenset(w.text.split(" and ")): value for w, value in zip(WATCHED[:PAIRS], mirrored, strict=False)}
    for (a, b), value in zip(shapes.PAIRS, room, strict=False):
        swapped = frozenset(
            p.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for p in (a, b)
        )
        np.testing.assert_allclose(by_text[swapped], value, atol=0.012 if "thumb" in a + b else 1e-3)
    borders, other = room[PAIRS:].reshape(2, 6), mirrored[PAIRS:].reshape(2, 6)
    np.testing.assert_allclose(other[1], borders[0][[0, 4, 2, 3, 1, 5]], atol=1e-3)


@pytest.mark.parametrize("column", range(len(WATCHED)))
def test_only_the_arms_that_are_named_change_it(column) -> None:
    rng = np.random.default_rng(column)
    watched = WATCHED[column]
    q = np.array([random_pose(rng)] * 2)
    for side in ("left", "right"):
        if side not in watched.sides:
            mine = [i for i, name in enumerate(NAMES) if name.startswith((side, side[0].upper()))]
            q[1, mine] = rng.uniform(g1.OTHER.lower[mine], g1.OTHER.upper[mine])
    before, after = CLEARANCE.room(q)[:, column]
    assert before == pytest.approx(after, abs=1e-12)


def test_inside_another_part_deeper_is_less() -> None:
    """An arm that swings into the torso: the room falls all the way."""
    rolls = np.linspace(0.1, -0.9, 30)
    room = CLEARANCE.room(np.array([pose(shoulder_roll=roll) for roll in rolls]))
    torso = [w.text for w in WATCHED].index("left forearm and torso")
    assert np.all(np.diff(room[:, torso]) < 0.0)
    assert room[-1, torso] < -0.07


# ---- the space of the hands ----


def test_each_border_is_where_the_table_says() -> None:
    """Kinematics by themselves: of the wrist and of the last bead of the fingers."""
    from sapave_ros.core.kinematics import TORSO, Kinematics

    kinematics, rng = Kinematics.from_urdf(), np.random.default_rng(3)
    fingertips = next(b.centre for b in reversed(shapes.BEADS) if b.part == "left hand")
    for _ in range(50):
        q = random_pose(rng)
        wrist = kinematics.frame_in_frame("left_wrist_yaw_link", TORSO, dict(zip(NAMES, q, strict=True)))
        points = np.array([wrist[:3, 3]] + [(wrist @ [*fingertips[:2], z, 1.0])[:3] for z in (-0.0195, 0.0195)])
        lower = (points - g1.WORKSPACE_LOWER_M).min(axis=0)
        upper = (g1.WORKSPACE_UPPER_M - points).min(axis=0)
        room = CLEARANCE.room(q[None])[0, PAIRS : PAIRS + 6]
        assert np.all(room <= np.concatenate([lower, upper]) + 1e-9)
        np.testing.assert_allclose(room, np.concatenate([lower, upper]), atol=0.021)  # beads of the palm lie between


@pytest.mark.parametrize("axis", range(3))
def test_configuration_tightens_the_space_and_never_widens_it(axis) -> None:
    joints = urdf.read(g1.model_path())[0]
    low, high = list(g1.WORKSPACE_LOWER_M), list(g1.WORKSPACE_UPPER_M)
    low[axis] += 0.05
    high[axis] -= 0.02
    tighter = Clearance(NAMES, joints, (low, high))
    change = CLEARANCE.room(ZERO[None])[0, PAIRS:] - tighter.room(ZERO[None])[0, PAIRS:]
    expected = np.zeros((2, 6))
    expected[0, axis], expected[0, axis + 3] = 0.05, 0.02
    expected[1, axis], expected[1, axis + 3] = (0.02, 0.05) if axis == 1 else (0.05, 0.02)
    np.testing.assert_allclose(change.reshape(2, 6), expected, atol=1e-12)
    for corner, step in ((0, -1e-6), (1, 1e-6)):
        wider = [list(g1.WORKSPACE_LOWER_M), list(g1.WORKSPACE_UPPER_M)]
        wider[corner][axis] += step
        with pytest.raises(ValueError, match="within"):
            Clearance(NAMES, joints, (wider[0], wider[1]))
    empty = list(g1.WORKSPACE_LOWER_M)
    with pytest.raises(ValueError, match="lower corner first"):
        Clearance(NAMES, joints, (g1.WORKSPACE_LOWER_M, empty))


@pytest.mark.parametrize("bad", [(0.0, 0.0), (np.nan,) * 3, (0.0,) * 4])
def test_a_space_that_makes_no_sense_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="workspace"):
        Clearance(NAMES, urdf.read(g1.model_path())[0], (bad, g1.WORKSPACE_UPPER_M))


@pytest.mark.parametrize("group", [g1.HEAD, g1.ARMS, g1.LEFT_ARM + g1.HANDS])
def test_a_group_without_both_arms_and_thumbs_is_refused(group) -> None:
    with pytest.raises(ValueError, match="lacks"):
        Clearance.from_urdf(group.names)


def test_the_order_of_joints_is_that_of_the_names() -> None:
    shuffled = np.random.default_rng(1).permutation(26)
    other = Clearance.from_urdf([NAMES[i] for i in shuffled])
    q = random_pose(np.random.default_rng(2))
    np.testing.assert_allclose(other.room(q[shuffled][None]), CLEARANCE.room(q[None]), atol=1e-12)


# ---- what the gate asks ----


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_closer_tells_the_worst_of_what_comes_too_close(seed) -> None:
    rng = np.random.default_rng(seed)
    start = random_pose(rng)
    path = start + np.cumsum(rng.normal(0.0, 0.05, (3, 26)), axis=0)
    room = CLEARANCE.room(np.array([start, *path]))
    best = np.maximum.accumulate(room[:-1], axis=0)  # what was won on the way is not given up again
    lacking = (room[1:] - np.minimum(best, 0.0)).min(axis=0)
    found = CLEARANCE.closer(start, path)
    if found is None:
        assert lacking.min() >= -2 * NO_CLOSER_M
    else:
        watched, least = found
        column = WATCHED.index(watched)
        assert lacking[column] == pytest.approx(lacking.min(), abs=2 * NO_CLOSER_M)
        assert least == pytest.approx(room[1:, column].min(), abs=1e-12)
        assert lacking[column] < 0.0


def test_from_too_close_the_way_out_is_free_and_the_way_in_is_not() -> None:
    inside = pose(shoulder_roll=-0.3)
    assert CLEARANCE.room(inside[None]).min() < 0.0
    assert CLEARANCE.closer(inside, inside[None]) is None
    assert CLEARANCE.closer(inside, pose(shoulder_roll=-0.29)[None]) is None
    found = CLEARANCE.closer(inside, pose(shoulder_roll=-0.31)[None])
    assert found is not None
    assert found[0].text in ("left forearm and waist", "right forearm and waist")


def test_nothing_is_found_on_a_path_that_is_no_number() -> None:
    found = CLEARANCE.closer(ZERO, np.full((1, 26), np.nan))
    assert found is not None  # what cannot be compared is not clear


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_the_share_uses_up_the_room_no_sooner_than_in_approach_s(seed) -> None:
    rng = np.random.default_rng(seed)
    q, velocity = random_pose(rng), rng.uniform(-1.5, 1.5, 26)
    share = CLEARANCE.share(q, velocity)
    assert np.all((share >= 0.0) & (share <= 1.0))
    assert np.all(share[[i for i, name in enumerate(NAMES) if "thumb_proximal_yaw" not in name and i >= 14]] == 1.0)
    room = CLEARANCE.room(q + np.array([0.0, *(GLANCES * APPROACH_S)])[:, None] * velocity)
    moves = {side: NAMES.index(f"{side}_elbow_joint") for side in ("left", "right")}
    for now, ahead, watched in zip(room[0], room[1:].T, WATCHED, strict=True):
        speed = ((now - ahead) / (GLANCES * APPROACH_S)).max()
        if speed > 1e-6:
            allowed = min(share[moves[side]] for side in watched.sides)
            assert allowed * speed <= max(now, 0.0) / APPROACH_S + 1e-9


@pytest.mark.parametrize("away", [False, True])
def test_who_approaches_is_slowed_and_who_leaves_is_not(away) -> None:
    q = pose(shoulder_roll=-0.01)
    velocity = np.zeros(26)
    velocity[NAMES.index("left_shoulder_roll_joint")] = 1.0 if away else -1.0
    share = CLEARANCE.share(q, velocity)
    left = NAMES.index("left_elbow_joint")
    assert (share[left] == 1.0) if away else (share[left] < 0.3)
    assert share[NAMES.index("right_elbow_joint")] == 1.0


def test_with_no_room_left_the_approach_ends() -> None:
    velocity = np.zeros(26)
    velocity[NAMES.index("left_shoulder_roll_joint")] = -1.0
    assert CLEARANCE.share(pose(shoulder_roll=-0.3), velocity)[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), step=st.floats(1e-4, 0.3))
def test_what_is_certain_without_looking_is_true(seed, step) -> None:
    """A look is spared where no bead can have come so far; a model that has seen nothing answers the same."""
    random = np.random.default_rng(seed)
    lower, upper = g1.OTHER.lower, g1.OTHER.upper
    knows, forgets = Clearance.from_urdf(), Clearance.from_urdf()
    pose = random.uniform(lower, upper)
    for _ in range(12):
        path = np.clip(pose + random.normal(0.0, step, (3, len(pose))), lower, upper)
        assert knows._known_room(path) <= knows.room(path).min() + 1e-12
        velocity = random.normal(0.0, 0.5, len(pose))
        forgets._seen_room = -np.inf
        np.testing.assert_array_equal(knows.share(pose, velocity) < 1.0, forgets.share(pose, velocity) < 1.0)
        assert knows.closer(pose, path) == forgets.closer(pose, path)
        pose = path[-1]
