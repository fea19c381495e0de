"""Hands by inverse kinematics: they go where they are asked to; what they cannot do is slow, never wild."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.hand_ik import SIDES, HandIk, NoPinocchio
from sapave_ros.core.kinematics import Kinematics

IK, SHARE, DT_S = HandIk(0.75), 0.75, 0.02
KNUCKLE = {"left": "L_middle_proximal", "right": "R_middle_proximal"}
sides = pytest.mark.parametrize("side", SIDES)
DIRECTIONS = {"forward": (0, 1), "back": (0, -1), "left": (1, 1), "right": (1, -1), "up": (2, 1), "down": (2, -1)}


def home(side: str) -> np.ndarray:
    return np.array([g1.ARMS_HOME[name] for name in SIDES[side].names])


def turned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) from pose a to pose b."""
    return IK._pin.log3(b[:3, :3] @ a[:3, :3].T)


def go(side: str, q: np.ndarray, velocity: np.ndarray, along: bool, seconds: float) -> list[np.ndarray]:
    """Joint positions on the way; each step within the limits."""
    group, kept, way = SIDES[side], IK.hand_in_torso(side, q), [q]
    for _ in range(round(seconds / DT_S)):
        v = IK.joint_velocities(side, q, velocity, along, kept)
        assert np.all(np.abs(v) <= SHARE * group.column("velocity") + 1e-9)
        q = q + v * DT_S
        assert np.all(q >= np.minimum(group.lower, way[-1]) - 1e-9)
        assert np.all(q <= np.maximum(group.upper, way[-1]) + 1e-9)
        way.append(q)
    return way


@sides
def test_the_hand_is_where_the_other_kinematics_has_it(side) -> None:
    rng, group, kinematics = np.random.default_rng(3), SIDES[side], Kinematics.from_urdf()
    for _ in range(20):
        q = rng.uniform(group.lower, group.upper)
        positions = dict(zip(group.names, q, strict=True))
        expected = kinematics.frame_in_frame(KNUCKLE[side], "torso_link", positions, default=0.0)
        np.testing.assert_allclose(IK.hand_in_torso(side, q), expected, atol=1e-9)


@sides
def test_the_jacobian_is_the_change_of_the_pose(side) -> None:
    rng, group = np.random.default_rng(4), SIDES[side]
    for _ in range(10):
        q = rng.uniform(group.lower, group.upper)
        jacobian = IK.jacobian(side, q)
        for i in range(7):
            step = np.zeros(7)
            step[i] = 1e-6
            before, after = IK.hand_in_torso(side, q - step), IK.hand_in_torso(side, q + step)
            np.testing.assert_allclose((after - before)[:3, 3] / 2e-6, jacobian[:3, i], atol=1e-6)
            np.testing.assert_allclose(turned(before, after) / 2e-6, jacobian[3:, i], atol=1e-6)


@sides
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_hand_moves_straight_where_it_is_asked_to_and_keeps_how_it_is_turned(side, direction) -> None:
    """From the ready pose: 8 cm, within 2 mm of the line and 2 % of the speed, in the torso's frame."""
    axis, sign = DIRECTIONS[direction]
    velocity = np.zeros(3)
    velocity[axis] = 0.08 * sign
    way = go(side, home(side), velocity, along=True, seconds=1.0)
    begin, end = IK.hand_in_torso(side, way[0]), IK.hand_in_torso(side, way[-1])
    moved = end[:3, 3] - begin[:3, 3]
    assert moved[axis] == pytest.approx(0.08 * sign, rel=0.02)
    assert np.abs(np.delete(moved, axis)).max() < 0.002
    assert np.linalg.norm(turned(begin, end)) < 0.02


@sides
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_hand_turns_on_the_spot(side, axis, sign) -> None:
    velocity = np.zeros(3)
    velocity[axis] = 0.3 * sign
    way = go(side, home(side), velocity, along=False, seconds=1.0)
    begin, end = IK.hand_in_torso(side, way[0]), IK.hand_in_torso(side, way[-1])
    assert turned(begin, end)[axis] == pytest.approx(0.3 * sign, rel=0.03)
    assert np.abs(np.delete(turned(begin, end), axis)).max() < 0.02
    assert np.linalg.norm((end - begin)[:3, 3]) < 0.003


@given(seed=st.integers(0, 2**31), side=st.sampled_from(list(SIDES)), along=st.booleans())
@settings(deadline=None, max_examples=40)
def test_from_any_pose_it_never_leaves_the_limits_and_never_goes_the_other_way(seed, side, along) -> None:
    """Singular poses and poses on stops are among them: there it is slow, or stands."""
    rng, group = np.random.default_rng(seed), SIDES[side]
    q = rng.uniform(group.lower - 0.02, group.upper + 0.02)
    velocity = rng.normal(size=3)
    velocity *= (0.3 if along else 1.0) / np.linalg.norm(velocity)
    way = go(side, q, velocity, along, seconds=2.0)
    poses = [IK.hand_in_torso(side, q) for q in way]
    for before, after in itertools.pairwise(poses):
        step = (after - before)[:3, 3] if along else turned(before, after)
        assert step @ velocity >= -2e-5


@sides
def test_an_arm_at_the_end_of_its_reach_stands_and_comes_back_at_once(side) -> None:
    """Pushing on for seconds winds nothing up."""
    forward = np.array([0.2, 0.0, 0.0])
    way = go(side, home(side), forward, along=True, seconds=6.0)
    reach = [IK.hand_in_torso(side, q)[:3, 3] for q in (way[-50], way[-1])]
    assert np.linalg.norm(reach[1] - reach[0]) < 0.02  # in the last second
    back = go(side, way[-1], -forward, along=True, seconds=1.0)
    x = [IK.hand_in_torso(side, q)[0, 3] for q in back]
    assert np.all(np.diff(x) < 0.0)
    assert x[-1] < x[0] - 0.03


@sides
def test_an_arm_at_the_end_of_its_reach_does_not_slide_along_it(side) -> None:
    """Least squares alone slid 11 cm to the side in six seconds of pushing forward."""
    way = go(side, home(side), np.array([0.1, 0.0, 0.0]), along=True, seconds=6.0)
    moved = (IK.hand_in_torso(side, way[-1]) - IK.hand_in_torso(side, way[0]))[:3, 3]
    assert moved[0] > 0.15
    assert np.linalg.norm(moved[1:]) < 0.05


@sides
@pytest.mark.parametrize("along", [True, False])
def test_what_a_hand_keeps_it_comes_back_to(side, along) -> None:
    """A hand that a stop or a limit has left turned, or beside where it turns, is brought back while it moves."""
    kept, q = IK.hand_in_torso(side, home(side)), home(side) + 0.05
    velocity = np.array([0.0, 0.02, 0.0]) if along else np.array([0.1, 0.0, 0.0])

    def strayed() -> float:
        now = IK.hand_in_torso(side, q)
        return float(np.linalg.norm(turned(now, kept) if along else (now - kept)[:3, 3]))

    begin = strayed()
    for _ in range(100):
        q = q + IK.joint_velocities(side, q, velocity, along, kept) * DT_S
    assert begin > 0.01
    assert strayed() < 0.2 * begin


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_nonsense_is_refused(spoil) -> None:
    kept = np.eye(4)
    with pytest.raises(ValueError, match="finite"):
        IK.joint_velocities("left", np.full(7, spoil), np.zeros(3), True, kept)
    with pytest.raises(ValueError, match="finite"):
        IK.joint_velocities("left", home("left"), np.full(3, spoil), True, kept)


def test_without_pinocchio_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pinocchio", None)
    with pytest.raises(NoPinocchio, match=r"ros-\$ROS_DISTRO-pinocchio, or pip install pin"):
        HandIk()
