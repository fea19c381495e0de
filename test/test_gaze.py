"""The movements that are right: such that a policy without memory can follow them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.policy import gaze

poses = st.tuples(
    *(st.floats(low, high) for low, high in zip(g1.HEAD.lower.tolist(), g1.HEAD.upper.tolist(), strict=True))
).map(np.array)


@settings(deadline=None, max_examples=60)
@given(head=poses, goal=poses)
def test_look_ends_at_its_goal_within_the_limits(head, goal):
    increments = gaze.look_chunk(head, goal, 32, 0.1)
    np.testing.assert_allclose(head + increments.sum(0), goal, atol=0.01)
    assert (np.abs(increments) <= g1.HEAD.column("velocity") * 0.1).all()
    distances = np.linalg.norm(goal - head - np.cumsum(increments, axis=0), axis=1)
    assert (np.diff(distances) <= 1e-12).all()


@given(goal=poses)
def test_look_stays_where_it_is_centred(goal):
    assert np.abs(gaze.look_chunk(goal, goal, 16, 0.1)).max() < 1e-9


@settings(deadline=None, max_examples=30)
@given(head=poses, goal=poses, steps=st.integers(1, 15))
def test_a_new_plan_on_the_way_continues_the_old_one(head, goal, steps):
    for plan in (lambda p: gaze.look_chunk(p, goal, 16, 0.1), lambda p: gaze.search_chunk(p, 16, 0.1)):
        whole = plan(head)
        again = plan(head + whole[:steps].sum(0))
        np.testing.assert_allclose(again[: 16 - steps], whole[steps:], atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(head=poses)
def test_search_shows_every_place_that_the_head_can_look_at_in_time(head):
    """From anywhere, within 4.5 s, inside the camera's view less a margin; and it never slows down on its circuit."""
    increments = gaze.search_chunk(head, 45, 0.1)
    path = head + np.vstack([np.zeros(2), np.cumsum(increments, axis=0)])
    # A thing that is in the room for certain: see `scene.REACH_*`; the camera at zero looks 0.04 rad down.
    yaw, pitch = np.meshgrid(np.linspace(-0.75, 0.75, 13), np.linspace(-0.2, 1.05, 13))
    seen = np.zeros(yaw.shape, bool)
    for y, p in path:
        seen |= (np.abs(yaw - y) < 0.56) & (np.abs(pitch - p - 0.04) < 0.33)
    assert seen.all()
    assert (np.abs(increments) <= g1.HEAD.column("velocity") * 0.1).all()
    speed = np.linalg.norm(increments[20:], axis=1) / 0.1
    assert speed.min() > 0.9 * gaze.SEARCH_SPEED_RAD_S


def test_the_middle_of_the_search_is_no_trap():
    assert np.linalg.norm(gaze.search_velocity(gaze.SEARCH_CENTRE_RAD)) == pytest.approx(gaze.SEARCH_SPEED_RAD_S)
