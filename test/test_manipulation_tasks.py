"""The tasks in which a thing is put somewhere: what stands where, what hides it, who does it, and when it is done."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from at_a_table import of_side, put

from sapave_ros import g1
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.manipulation.lockstep import RobotLoop
from sapave_ros.manipulation.placings import BESIDE_M, beside, into_the_box, onto_the_tray, stacked
from sapave_ros.manipulation.progress import Criterion, Placed
from sapave_ros.manipulation.settings import CONDITIONS, Placing
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.sim.objects import shape
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.world import World

FAMILY = [name for name, task in TASKS.items() if task.family == "pick-and-place"]
QUICK = ("into the box", "beside")
"""Whose expert is seen at work in every run of the tests; the others in the slow ones."""


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics.from_urdf()


@pytest.fixture(scope="module")
def ik():
    return HandIk()


def done(world: World, setting: Placing) -> bool:
    """Whether the task is done within a second, if nobody does anything."""
    progress = Placed(world, setting, Criterion(time_limit_s=1.0))
    for tick in range(60):
        if progress.update(tick / 30):
            break
        world.run(1 / 30)
    return progress.success


# -- what stands where -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", FAMILY)
def test_the_same_seed_is_the_same_setting_and_a_condition_is_head_and_lamp(task):
    sides = set()
    for seed in range(12):
        seen, unseen, hidden = (TASKS[task].setting(seed, condition) for condition in CONDITIONS)
        sides.add(seen.side)
        assert seen == TASKS[task].setting(seed, CONDITIONS[0])
        assert Scene.from_json(seen.scene.to_json()) == seen.scene
        assert replace(unseen.scene, head=seen.scene.head) == seen.scene
        assert replace(hidden.scene, blocks=hidden.scene.blocks[:-2]) == seen.scene
        assert seen.goal == unseen.goal == hidden.goal and seen.instruction == unseen.instruction == hidden.instruction
    assert sides == {"left", "right"}


@pytest.mark.parametrize("task", FAMILY)
def test_an_unknown_condition_is_named(task):
    with pytest.raises(ValueError, match="'behind the moon'; expected one of in view, out of view, occluded"):
        TASKS[task].setting(0, "behind the moon")


@pytest.mark.parametrize("task", FAMILY)
def test_all_stands_still_and_nothing_is_done_at_the_start(task):
    for seed in range(3):
        setting = TASKS[task].setting(seed, CONDITIONS[0])
        world = World.of(setting.scene)
        loose = [item.name for item in setting.scene.items if item.loose]
        before = [world.pose(name) for name in loose]
        assert not done(world, setting)
        for name, pose in zip(loose, before, strict=True):
            np.testing.assert_allclose(world.pose(name), pose, atol=4e-3)
        world.close()


def test_the_settings_of_the_tray_stay_what_they_are():
    """Data have been made with them: another order of draws would give other rooms for the same seeds."""
    scenes = "".join(
        onto_the_tray(seed, condition).scene.to_json() for seed in range(20) for condition in CONDITIONS[:2]
    )
    assert hashlib.sha256(scenes.encode()).hexdigest()[:16] == "bf008433f9961da2"


# -- what hides it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", FAMILY)
def test_a_part_of_it_is_hidden_and_a_part_is_seen(task):
    for seed in range(4):
        setting = TASKS[task].setting(seed, "occluded")
        world = World.of(setting.scene)
        looked = world.look_target(setting.target)
        world.close()
        assert looked.in_view and 0.2 <= looked.visible_fraction <= 0.7, (seed, looked)


# -- who does it ------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("task", "side"),
    [
        pytest.param(task, ("left", "right")[i % 2], marks=[] if task in QUICK else [pytest.mark.slow])
        for i, task in enumerate(FAMILY)
    ],
)
def test_the_expert_does_it_also_where_a_lamp_hides_the_thing(kinematics, ik, task, side):
    setting = of_side(task, side, "occluded")
    world = World.of(setting.scene)
    progress = TASKS[task].progress(world, setting, None)
    loop = RobotLoop(world, kinematics)
    loop.run(TASKS[task].expert(world, setting, ik), progress.update)
    assert progress.success, (progress.at_s, loop.last_refusal)
    assert loop.refused == 0
    world.close()


@pytest.mark.parametrize("task", FAMILY)
def test_the_other_side_is_the_mirror_image(kinematics, ik, task):
    """What the expert does for the right hand in a mirrored room is the mirror image of what it does for the left."""
    setting = of_side(task, "left")
    mirrored = mirror(setting)
    increments = []
    for s in (setting, mirrored):
        world = World.of(s.scene)
        other = TASKS[task].expert(world, s, ik).act(world, 0.0, world.positions(g1.POLICY)).other
        arm = g1.LEFT_ARM if s.side == "left" else g1.RIGHT_ARM
        increments.append(other.increments[:, [other.joint_names.index(name) for name in arm.names]])
        world.close()
    np.testing.assert_allclose(increments[1], increments[0] * g1.ARM_MIRROR, atol=1e-3)


def mirror(setting: Placing) -> Placing:
    def flip(place):
        return (place[0], -place[1], place[2])

    scene = setting.scene
    blocks = tuple(replace(b, centre=flip(b.centre), yaw_rad=-b.yaw_rad) for b in scene.blocks)
    items = tuple(replace(i, position=flip(i.position), yaw_rad=-i.yaw_rad) for i in scene.items)
    goals = {
        name: replace(goal, at=flip(goal.at), yaw_rad=-goal.yaw_rad)
        for name, goal in vars(setting).items()
        if name in ("goal", "via")
    }
    return replace(setting, scene=replace(scene, blocks=blocks, items=items), side="right", **goals)


@pytest.mark.parametrize("task", FAMILY)
def test_what_is_there_already_is_left_there(kinematics, ik, task):
    setting = of_side(task, "left")
    world = World.of(setting.scene)
    put(world, setting, setting.goal.position(world) + (0.0, 0.0, 0.001))
    world.run(0.1)
    there, expert = world.pose(setting.target)[:3, 3], TASKS[task].expert(world, setting, ik)
    loop = RobotLoop(world, kinematics)
    loop.run(expert, lambda time_s: time_s >= 2.0)
    assert expert.stage in ("go home", "rise")
    assert world.pose(setting.target)[:3, 3] == pytest.approx(there, abs=3e-3)
    world.close()


# -- when it is done ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", FAMILY)
def test_it_is_done_where_the_goal_says_and_nowhere_else(task):
    setting = of_side(task, "left")
    world = World.of(setting.scene)
    at = setting.goal.position(world)
    put(world, setting, at + (0.0, 0.0, 0.001))
    assert done(world, setting)
    world.reset()
    put(world, setting, at + (0.0, 0.4, 0.001))
    assert not done(world, setting)
    world.close()


def test_in_the_box_is_within_its_walls_also_lying():
    settings = (into_the_box(seed) for seed in range(50))
    setting = next(s for s in settings if shape(s.item.kind, s.item.variant).height < 0.13)
    world = World.of(setting.scene)
    x, y, z = setting.goal.at
    body = shape(setting.item.kind, setting.item.variant)
    put(world, setting, (x, y + setting.goal.within_m[1] + body.radius + 0.02, z + 0.002))
    assert not done(world, setting)
    world.reset()
    lying = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)
    put(world, setting, (x - body.height / 2, y, z + body.radius + 0.01), lying)
    world.run(1.0)
    assert world.pose(setting.target)[2, 2] < 0.1
    assert done(world, setting)
    world.close()


def test_beside_is_on_that_side_and_not_far():
    for seed in range(6):
        setting = beside(seed)
        world = World.of(setting.scene)
        other = world.pose(setting.goal.of)[:3, 3]
        left = 1.0 if "to the left of" in setting.instruction else -1.0
        assert left * (setting.goal.position(world) - other)[1] > 0.05
        radii = setting.base_radius_m + shape(*kind_of(setting, setting.goal.of)).radius
        apart = float(np.linalg.norm((setting.goal.position(world) - other)[:2]))
        assert apart == pytest.approx(radii + sum(BESIDE_M) / 2, abs=1e-4)
        mirrored = other - (setting.goal.position(world) - other)
        assert not setting.goal.holds(world, mirrored)
        world.close()


def test_the_goal_goes_where_what_it_belongs_to_goes():
    setting = stacked(0)
    world = World.of(setting.scene)
    before = setting.points(world)[1]
    base = replace(setting, target=setting.goal.of)
    put(world, base, world.pose(base.target)[:3, 3] + (0.05, 0.0, 0.0))
    np.testing.assert_allclose(setting.points(world)[1] - before, (0.05, 0.0, 0.0), atol=1e-9)
    world.close()


def test_no_other_box_stands_where_something_is_to_go_into_the_box():
    for seed in range(40):
        assert not {"box", "crate"} & {item.kind for item in into_the_box(seed).scene.items}


def kind_of(setting: Placing, name: str) -> tuple[str, int]:
    item = setting.scene.items[setting.scene.index(name)]
    return item.kind, item.variant
