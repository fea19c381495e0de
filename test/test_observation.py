"""An observation is what was true at the exposure, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.observation import JointHistory, ObservationBuilder, ObservationParameters
from sapave_ros.types import Observation

T0 = 1_800_000_000.0
RGB = np.zeros((4, 6, 3), np.uint8)
DEPTH = np.full((4, 6), 1500, np.uint16)
K = np.array([[300.0, 0, 3], [0, 300.0, 2], [0, 0, 1]])


def motion(t: float) -> np.ndarray:
    """Joint positions that change linearly, each joint at its own speed: interpolation must be exact."""
    return 0.1 + (t - T0) * np.linspace(-1, 1, len(g1.POLICY))


def builder(**parameters) -> ObservationBuilder:
    return ObservationBuilder(lambda head: np.diag([*head, 1.0, 1.0]), ObservationParameters(**parameters))


def feed_joints(b: ObservationBuilder, start: float, stop: float, step: float = 0.01) -> None:
    n = len(g1.HEAD)
    for t in np.arange(start, stop, step):
        b.joints.add(g1.HEAD.names, t, motion(t)[:n])
        b.joints.add(g1.OTHER.names, t + 0.003, motion(t + 0.003)[n:])  # publishers are not in step


def feed_picture(b: ObservationBuilder, stamp: float) -> None:
    b.add_color(stamp, RGB)
    b.add_depth(stamp, DEPTH)
    b.add_intrinsics(stamp, K)


@given(st.floats(0.0, 0.25))
@settings(max_examples=40, deadline=None)
def test_joints_and_camera_pose_are_those_of_the_exposure(offset):
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.4)
    feed_picture(b, T0 + offset)
    o = b.take(T0 + offset + 0.05, "look")
    assert isinstance(o, Observation)
    np.testing.assert_allclose(o.joint_positions, motion(T0 + offset), atol=1e-6)
    np.testing.assert_allclose(np.diag(o.camera_in_torso)[:2], o.joint_positions[:2])
    np.testing.assert_allclose(o.depth_m, 1.5)


def test_a_picture_waits_for_joints_on_both_sides_of_its_exposure():
    b = builder()
    feed_joints(b, T0 - 0.1, T0)
    feed_picture(b, T0 + 0.02)
    assert "before the exposure" in b.take(T0 + 0.03, "look")
    feed_joints(b, T0, T0 + 0.04)
    assert isinstance(b.take(T0 + 0.05, "look"), Observation)


def test_each_exposure_is_taken_once_and_never_backwards():
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.3)
    feed_picture(b, T0)
    feed_picture(b, T0 + 0.033)
    assert b.take(T0 + 0.05, "look").stamp_s == T0 + 0.033
    assert isinstance(b.take(T0 + 0.05, "look"), str)


def test_exposures_before_the_next_one_due_are_passed_over():
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.3)
    feed_picture(b, T0)
    assert isinstance(b.take(T0 + 0.01, "look", not_before_s=T0 + 0.1), str)
    feed_picture(b, T0 + 0.1)
    assert isinstance(b.take(T0 + 0.12, "look", not_before_s=T0 + 0.1), Observation)


@pytest.mark.parametrize(
    ("now", "message"), [(T0 + 0.5, "0.500 s old; expected at most 0.3 s"), (T0 - 1.0, "in the future")]
)
def test_old_and_future_pictures_are_refused(now, message):
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.1)
    feed_picture(b, T0)
    assert message in b.take(now, "look")


def test_what_is_missing_is_named_and_never_filled_in():
    b = builder()
    feed_picture(b, T0)
    assert "joints never seen: head_yaw_joint" in b.take(T0, "look")
    b.joints.add(g1.HEAD.names, T0, np.zeros(2))
    assert "left_shoulder_pitch_joint" in b.take(T0, "look")
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.1)
    b.add_color(T0, RGB)
    assert "without depth or intrinsics" in b.take(T0, "look")


def test_inputs_that_are_switched_off_are_absent():
    b = builder(use_depth=False, use_intrinsics=False, use_extrinsics=False)
    feed_joints(b, T0 - 0.1, T0 + 0.1)
    b.add_color(T0, RGB)
    o = b.take(T0, "look")
    assert o.depth_m is None and o.intrinsics is None and o.camera_in_torso is None


def test_a_gap_between_samples_is_not_interpolated_across():
    history = JointHistory()
    history.add(("a",), T0, np.zeros(1))
    history.add(("a",), T0 + 0.2, np.ones(1))
    assert "0.200 s between samples" in history.at(("a",), T0 + 0.1, max_gap_s=0.1)
    assert history.at(("a",), T0 + 0.1, max_gap_s=0.3) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [0.0]])
def test_bad_samples_are_refused_and_leave_no_trace(bad):
    history = JointHistory()
    with pytest.raises(ValueError, match="position"):
        history.add(("a", "b"), T0, np.array(bad))
    assert "never seen" in history.at(("a", "b"), T0, 0.1)


@pytest.mark.parametrize("back_s", [2.0, 3600.0])
def test_a_clock_that_was_set_back_does_not_blind_for_as_long(back_s):
    """Samples and pictures older than the newest were dropped: for an hour, after a clock that was an hour ahead."""
    b = builder()
    feed_joints(b, T0 - 0.1, T0 + 0.1)
    feed_picture(b, T0)
    assert isinstance(b.take(T0 + 0.05, "look"), Observation)
    t = T0 - back_s
    feed_joints(b, t - 0.1, t + 1.0)
    for i in range(10):
        feed_picture(b, t + 0.03 * i)
    o = b.take(t + 0.3, "look")
    assert isinstance(o, Observation), o
    np.testing.assert_allclose(o.joint_positions, motion(o.stamp_s), atol=1e-6)
    assert isinstance(b.take(t + 0.31, "look"), str)  # still each picture once
