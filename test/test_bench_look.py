"""The measure itself: what counts as success, and that the lockstep road carries who knows to the target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.bench import look, lookers
from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.bench.lockstep import HeadLoop, LoopTiming
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.demo.told import named_object
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.targets import NamedItem
from sapave_ros.sim.world import World
from sapave_ros.types import Observation

CRITERION = LookCriterion()
FRAMES = np.arange(0.0, 9.0, 1 / 30)


def score(angle_deg, visible=1.0) -> LookScore:
    """Plays a course of views: angle and visibility as functions of time."""
    s = LookScore(CRITERION)
    for t in FRAMES:
        v = visible(t) if callable(visible) else visible
        if s.update(float(t), float(np.deg2rad(angle_deg(t))), v):
            break
    return s


@given(st.floats(0.0, 8.0))
def test_reached_in_time_and_held_is_success(arrival_s):
    s = score(lambda t: 30.0 if t < arrival_s else 3.0)
    first = next(t for t in FRAMES if t >= arrival_s)
    assert s.success == (first <= CRITERION.time_limit_s)
    if s.success:
        assert s.reached_s == pytest.approx(first)


@given(st.floats(0.0, 5.0), st.floats(0.1, 0.9))
def test_passing_by_is_no_success(arrival_s, stay_s):
    assert not score(lambda t: 3.0 if arrival_s <= t < arrival_s + stay_s else 30.0).success


def test_lost_and_found_again_counts_from_the_second_time():
    s = score(lambda t: 3.0 if 1.0 <= t < 1.5 or t >= 4.0 else 30.0)
    assert s.success and s.reached_s == pytest.approx(4.0, abs=0.05)


def test_centred_behind_something_is_not_seen():
    assert not score(lambda t: 1.0, visible=0.2).success
    assert score(lambda t: 1.0, visible=lambda t: 0.2 if t < 2 else 0.9).reached_s == pytest.approx(2.0, abs=0.05)


@given(st.integers(0, 100), st.integers(1, 100))
def test_interval_contains_the_share(k, n):
    p = min(k, n) / n
    low, high = look.wilson(p, n)
    assert -1e-9 <= low <= p + 1e-9 and p - 1e-9 <= high <= 1 + 1e-9


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_cases_are_reproducible_unseen_and_mostly_out_of_view(world):
    cases = [look.choose(world, look.FIRST_SEED + i) for i in range(12)]
    assert cases == [look.choose(world, look.FIRST_SEED + i) for i in range(12)]
    found = [c for c in cases if c is not None]
    assert len(found) >= 10
    assert sum(c.start == "out of view" for c in found) >= len(found) / 2
    for case in found:
        assert case.target in case.instruction and case.seed >= look.FIRST_SEED


def test_the_lockstep_road_carries_the_oracle_to_the_target_and_still_nowhere(world):
    loop = HeadLoop(world, Kinematics.from_urdf(), LoopTiming())
    case = look.choose(world, look.FIRST_SEED + 1)
    world.load(random_scene(case.seed))
    best = loop.run(lookers.Oracle(), case.instruction, NamedItem(case.target), CRITERION)
    assert best.success and best.refused == 0
    assert best.angle_rad < np.deg2rad(2.0)
    steps = np.diff(best.trace, axis=0)
    speed = np.abs(steps[:, 1:3] / steps[:, :1]).max()
    assert speed < g1.HEAD.column("velocity").max() * 1.1
    world.load(random_scene(case.seed))
    still = loop.run(lookers.Still(), case.instruction, NamedItem(case.target), CRITERION)
    assert not still.success
    assert np.ptp(still.trace[:, 1:3], axis=0).max() < 0.01


@pytest.mark.parametrize(
    "looker", [lookers.Random(), lookers.Sweep(), lookers.Oracle()], ids=lambda x: type(x).__name__
)
@given(st.integers(0, 2**31), st.floats(-0.8, 0.8), st.floats(-0.3, 1.4))
def test_baselines_stay_within_the_joints(world, looker, seed, yaw, pitch):
    world.load(random_scene(look.FIRST_SEED))
    looker.start(world, NamedItem(world.scene.names[0]))
    q = np.zeros(len(g1.POLICY))
    q[:2] = yaw, pitch
    chunk = looker.look(Observation(1e9 + seed, "", np.zeros((2, 2, 3), np.uint8), q))
    path = q[:2] + np.cumsum(chunk.increments, axis=0)
    assert (path >= g1.HEAD.lower - 1e-9).all() and (path <= g1.HEAD.upper + 1e-9).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("look at the red mug", ("red", "mug")),
        ("Find the BLUE bottle, please.", ("blue", "bottle")),
        ("where is the mug?", None),
        ("dance", None),
    ],
)
def test_the_demo_knows_what_an_instruction_names(text, expected):
    assert named_object(text) == expected
