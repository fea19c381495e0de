"""What the policy is measured against: the lockstep road carries who knows to the target, and who does not nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.bench import lookers
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.lockstep import HeadLoop, LoopTiming
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.targets import NamedItem
from sapave_ros.sim.world import World
from sapave_ros.types import Observation

SCENE = random_scene(1_000_001)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    w = World()
    yield w
    w.close()


def far_from_the_axis(world: World) -> str:
    """Of the things of which most can be seen, the one that is farthest from where the head looks."""
    free = [name for name in SCENE.names if world.visible_when_centred(name) > 0.8]
    return max(free, key=lambda name: world.look_target(name).angle_rad)


def test_the_lockstep_road_carries_the_oracle_to_the_target_and_still_nowhere(world):
    loop = HeadLoop(world, Kinematics.from_urdf(), LoopTiming())
    world.load(SCENE)
    target, text = NamedItem(far_from_the_axis(world)), "look there"
    world.load(SCENE)
    best = loop.run(lookers.Oracle(), text, target, LookCriterion())
    assert best.success and best.refused == 0
    assert best.angle_rad < np.deg2rad(2.0)
    steps = np.diff(best.trace, axis=0)
    speed = np.abs(steps[:, 1:3] / steps[:, :1]).max()
    assert speed < g1.HEAD.column("velocity").max() * 1.1
    world.load(SCENE)
    still = loop.run(lookers.Still(), text, target, LookCriterion())
    assert not still.success
    assert np.ptp(still.trace[:, 1:3], axis=0).max() < 0.01


@pytest.mark.parametrize(
    "looker", [lookers.Random(), lookers.Sweep(), lookers.Oracle()], ids=lambda x: type(x).__name__
)
@given(st.integers(0, 2**31), st.floats(-0.8, 0.8), st.floats(-0.3, 1.4))
def test_baselines_stay_within_the_joints(world, looker, seed, yaw, pitch):
    world.load(SCENE)
    looker.start(world, NamedItem(world.scene.names[0]))
    q = np.zeros(len(g1.POLICY))
    q[:2] = yaw, pitch
    chunk = looker.look(Observation(1e9 + seed, "", np.zeros((2, 2, 3), np.uint8), q))
    path = q[:2] + np.cumsum(chunk.increments, axis=0)
    assert (path >= g1.HEAD.lower - 1e-9).all() and (path <= g1.HEAD.upper + 1e-9).all()
