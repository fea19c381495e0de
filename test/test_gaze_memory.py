"""Gaze memory: what is evident over time is looked at and kept, whatever one picture says; what is not, is left to the
policy. A thing in a direction of the torso, a camera on the real kinematics, and a policy that says what a test wants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.policy import gaze
from sapave_ros.policy.gaze_memory import FADE_S, LOST_S, STAY_S, SURE, GazeMemory, share_of_patches
from sapave_ros.policy.onnx_policy import PolicyOutput, Timings
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.types import ActionChunk, Floats, Observation

PERIOD_S = 2 / 15
GRID = (12, 20)
SIZE = (240, 424)
FOCAL = 308.0
KINEMATICS = Kinematics.from_urdf()
REST = np.zeros((16, 2))


def observation(head: Floats, stamp_s: float = 0.0, size: tuple[int, int] = SIZE, focal: float = FOCAL) -> Observation:
    scale = size[1] / SIZE[1]
    return Observation(
        stamp_s,
        "look at the mug",
        np.zeros((*size, 3), np.uint8),
        np.concatenate([head, np.zeros(26)]),
        None,
        np.array([[focal * scale, 0, size[1] / 2], [0, focal * scale, size[0] / 2], [0, 0, 1.0]]),
        KINEMATICS.camera_in_torso(head),
    )


def chunk(increments: Floats, stamp_s: float) -> ActionChunk:
    return ActionChunk(stamp_s, 0.1, g1.HEAD.names, increments)


def searching(head: Floats) -> Floats:
    return gaze.search_chunk(head, 16, 0.1)


def off_rad(seen: Observation, thing: Floats) -> float:
    """Angle between the optical axis and a direction of the torso."""
    x, y, z = seen.camera_in_torso[:3, :3].T @ thing
    return math.atan2(math.hypot(x, y), z)


def grounding(seen: Observation, things: dict[tuple[float, ...], float]) -> Floats:
    """What the policy would say: each thing that is in the picture has such a share of the evidence in its patch."""
    share = np.full(GRID, 1e-6)
    k = seen.intrinsics
    for direction, evidence in things.items():
        x, y, z = seen.camera_in_torso[:3, :3].T @ np.array(direction)
        if z < 0.2:
            continue
        row = math.floor((k[1, 1] * y / z + k[1, 2]) * GRID[0] / seen.rgb.shape[0])
        column = math.floor((k[0, 0] * x / z + k[0, 2]) * GRID[1] / seen.rgb.shape[1])
        if 0 <= row < GRID[0] and 0 <= column < GRID[1]:
            share[row, column] = evidence
    odds = share / (1.0 - share.sum())
    return odds / (1.0 + odds)


def towards(yaw: float, pitch: float) -> tuple[float, ...]:
    return (math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), -math.sin(pitch))


@dataclass
class Head:
    """Follows chunks without delay, picture after picture. things: direction in the torso to evidence."""

    things: dict[tuple[float, ...], float]
    own: Callable[[Floats], Floats] = searching
    at: Floats = field(default_factory=lambda: np.array([0.0, 0.3]))
    focal: float = FOCAL
    time_s: float = 0.0
    memory: GazeMemory = field(default_factory=GazeMemory)
    seen: Observation | None = None

    def look(self, things: dict[tuple[float, ...], float] | None = None) -> bool:
        """One picture; returns whether the chunk was the memory's. things: instead of its own, for this picture."""
        self.seen = observation(self.at, self.time_s, focal=self.focal)
        own = chunk(self.own(self.at), self.time_s)
        found = self.memory.chunk(self.seen, grounding(self.seen, self.things if things is None else things), own)
        ends = np.vstack([np.zeros(2), np.cumsum(found.increments, axis=0)])
        way = [np.interp(PERIOD_S, 0.1 * np.arange(17), ends[:, i]) for i in range(2)]
        self.at = np.clip(self.at + way, g1.HEAD.lower, g1.HEAD.upper)
        self.time_s += PERIOD_S
        return found is not own

    def off_deg(self) -> float:
        return math.degrees(off_rad(observation(self.at), np.array(next(iter(self.things)))))


directions = st.tuples(st.floats(-0.7, 0.7), st.floats(-0.1, 1.0))


@settings(deadline=None, max_examples=40)
@given(start=directions, away=st.tuples(st.floats(-0.45, 0.45), st.floats(-0.25, 0.25)), focal=st.floats(250, 400))
def test_what_is_evident_is_centred_and_kept(start, away, focal):
    thing = towards(*np.clip(np.add(start, away), g1.HEAD.lower + 0.1, g1.HEAD.upper - 0.1) + np.array([0.0, 0.03]))
    head = Head({thing: 0.95}, at=np.array(start), focal=focal)
    if off_rad(observation(head.at, focal=focal), np.array(thing)) > 0.25:
        return  # out of this picture
    for _ in range(20):
        head.look()
    assert head.off_deg() < 2.5, "a patch is 3.5 degrees wide"
    for _ in range(20):
        assert head.look()
        assert head.off_deg() < 2.5


def test_it_stays_with_what_flickers():
    """The policy would turn away with every picture in which it does not see the thing."""
    thing, random = towards(0.1, 0.4), np.random.default_rng(0)
    head = Head({thing: 0.95})
    alone = Head({thing: 0.95})
    for i in range(60):
        seen = {thing: 0.95 if i < 4 else random.uniform(0.2, 1.0 - 1e-3)}
        head.look(seen)
        assert i < 12 or head.off_deg() < 2.5
        alone.memory.reset()
        alone.look(seen)
    assert alone.off_deg() > 5.0


def test_without_evidence_the_policy_is_left_alone():
    head = Head({towards(0.1, 0.4): 0.01})
    assert not any(head.look() for _ in range(100))


def test_after_a_round_in_vain_it_returns_to_what_it_has_half_seen_and_then_goes_on():
    thing = towards(0.5, 0.3)
    head = Head({thing: 0.35})
    taken = [head.look() for _ in range(round(12.0 / PERIOD_S))]
    first = taken.index(True)
    assert LOST_S <= first * PERIOD_S < LOST_S + 1.0
    stays = taken[first:].index(False) * PERIOD_S
    assert STAY_S - 0.2 < stays < STAY_S + 0.5
    assert not all(taken[first:]) and any(taken[first + round((STAY_S + 1.0) / PERIOD_S) :])
    again = Head({thing: 0.35})
    for _ in range(first + round(1.5 / PERIOD_S)):
        again.look()
    assert again.off_deg() < 2.5


def test_a_policy_that_stands_is_not_lost():
    """At its goal, or told where to look by a direction: nothing calls it away."""
    head = Head({towards(0.3, 0.3): 0.35}, own=lambda _: REST + 1e-4 * np.random.default_rng().normal(size=(16, 2)))
    assert not any(head.look() for _ in range(60))


def test_of_two_alike_it_takes_the_nearer_and_keeps_to_it():
    left, right = towards(0.35, 0.4), towards(-0.15, 0.4)
    head = Head({right: 0.4, left: 0.4}, own=lambda _: REST)
    head.memory.chunk(observation(head.at), grounding(observation(head.at), {right: 0.9}), chunk(REST, 0.0))
    for _ in range(40):
        head.look()
    assert head.off_deg() < 2.5


def test_where_evidence_goes_the_head_follows():
    here, there = towards(-0.1, 0.3), towards(0.3, 0.5)
    head = Head({here: 0.9})
    for _ in range(15):
        head.look()
    head.things = {there: 0.9}
    for _ in range(25):
        head.look()
    assert head.off_deg() < 2.5


@pytest.mark.parametrize(
    "change", [{"instruction": " "}, {"intrinsics": None}, {"camera_in_torso": None}], ids=lambda c: next(iter(c))
)
def test_without_words_or_geometry_nothing_is_remembered(change):
    thing = towards(0.1, 0.4)
    head = Head({thing: 0.95})
    assert [head.look() for _ in range(5)][-1]
    seen = observation(head.at, head.time_s)
    own = chunk(searching(head.at), head.time_s)
    said = grounding(seen, head.things)
    assert head.memory.chunk(replace(seen, **change), said, own) is own
    nothing = grounding(seen, {})
    assert head.memory.chunk(replace(seen, stamp_s=head.time_s + PERIOD_S), nothing, own) is own


def test_a_new_instruction_and_a_clock_that_is_set_back_begin_anew():
    for begin_anew in (GazeMemory.reset, None):
        head = Head({towards(0.1, 0.4): 0.95})
        assert [head.look() for _ in range(8)][-1]
        if begin_anew:
            begin_anew(head.memory)
        else:
            head.time_s -= 5.0
        head.things = {towards(0.1, 0.4): 1e-3}
        assert not head.look()


@pytest.mark.parametrize("away_s", [0.5, 40.0])
def test_what_was_empty_long_ago_counts_no_more_against_what_is_there_now(away_s):
    thing = towards(-0.7, 0.3)
    head = Head({thing: 0.9}, own=lambda _: REST, at=np.array([-0.7, 0.3]))
    for _ in range(8):
        head.look({})
    head.at = np.array([0.7, 0.3])
    for _ in range(round(away_s / PERIOD_S)):
        head.look({})
    head.at = np.array([-0.7, 0.3])
    assert head.look() == (away_s > FADE_S)


def test_time_without_pictures_is_no_search():
    head = Head({towards(0.1, 0.35): 0.35})
    assert not any(head.look() for _ in range(3))
    head.time_s += LOST_S + 1.0
    assert not any(head.look() for _ in range(3))


def test_a_policy_that_is_stuck_is_seen_to_be():
    """The watchdog tells it by chunks that are alike bit for bit."""
    head = Head({towards(0.1, 0.4): 0.95}, own=lambda _: np.full((16, 2), 0.01))
    assert [head.look() for _ in range(10)] == [True] + 9 * [False]


@pytest.mark.parametrize("size", [(480, 848), (120, 212)])
def test_the_size_of_the_picture_does_not_matter(size):
    """The policy's patches are shares of the picture."""
    one, other = GazeMemory(), GazeMemory()
    head, thing = np.array([0.1, 0.3]), towards(0.3, 0.45)
    own = chunk(searching(head), 0.0)
    small, large = observation(head), observation(head, size=size)
    assert np.array_equal(grounding(small, {thing: 0.9}), grounding(large, {thing: 0.9}))
    a, b = (m.chunk(o, grounding(o, {thing: 0.9}), own) for m, o in ((one, small), (other, large)))
    np.testing.assert_allclose(a.increments, b.increments, atol=2e-3)
    assert a is not own


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=40))
def test_shares_are_probabilities(said):
    share = share_of_patches(np.array([said], np.float32))
    assert (share >= 0).all() and share.sum() < 1.0
    assert share.argmax() == np.argmax(np.clip(said, 1e-6, 1 - 1e-6))


def test_evidence_in_neighbouring_patches_is_of_one_thing():
    """A large thing, whose every patch is below what would do alone."""
    seen = observation(np.array([0.0, 0.3]))
    share = np.full(GRID, 1e-6)
    share[5:7, 9:12] = 0.9 / 6
    odds = share / (1.0 - share.sum())
    own = chunk(searching(np.array([0.0, 0.3])), 0.0)
    assert share.max() < SURE
    assert GazeMemory().chunk(seen, odds / (1.0 + odds), own) is not own


class Policy:
    """Sees a thing surely and would go elsewhere; trained with increments of at most 0.05 rad."""

    manifest = SimpleNamespace(bound_rad=lambda _: np.full(2, 0.05))

    def infer(self, observation: Observation, noise: object = None, previous: object = None) -> PolicyOutput:
        own = chunk(np.full((16, 2), -0.01 - 1e-4 * observation.stamp_s), observation.stamp_s)
        said = grounding(observation, {towards(0.3, 0.4): 0.95}).astype(np.float32)
        return PolicyOutput(own, None, said, (), Timings(0.0, 0.0))


@pytest.mark.parametrize("on", [True, False])
def test_the_session_remembers_if_it_may_within_what_training_showed(on):
    session = PolicySession(Policy(), SessionParameters(gaze_memory=on))
    for i in range(5):
        seen = observation(np.array([0.0, 0.3]), i * PERIOD_S)
        said = session.infer(seen).head.increments
        assert (said[0, 0] > 0) == on
        assert np.abs(said).max() <= 0.05
    assert session.remembered == (5 if on else 0) and session.clipped == 0
    session.reset()
    assert (session.infer(replace(seen, instruction="")).head.increments < 0).all()
