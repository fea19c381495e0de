"""Mechanisms: how they move, what tasks ask for with them, and the expert that works them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from at_a_table import of_side

from sapave_ros import g1
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.demo.told import where
from sapave_ros.manipulation import articulated
from sapave_ros.manipulation.lockstep import RobotLoop
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.manipulation.worked import PRESSED_S, Pressed
from sapave_ros.manipulation.working import Worker
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.mechanisms import KINDS, Mechanism, anatomy
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.sights import Sights
from sapave_ros.sim.targets import target_of
from sapave_ros.sim.world import World

NAMES = tuple(name for name, task in TASKS.items() if task.family == "articulated")
QUICK = ("press", "open the drawer")
"""Whose expert is seen at work in every run of the tests; the others in the slow ones."""


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics.from_urdf()


@pytest.fixture(scope="module")
def ik():
    return HandIk()


def alone(kind: str, mirrored: bool = False) -> Mechanism:
    return Mechanism(kind, "red", (0.8, 0.1, 0.1), (0.5, 0.1, 0.8), 0.3, (0.09, 0.11, 0.09), 0.0, mirrored)


def world_with(*mechanisms: Mechanism) -> World:
    scene = articulated.press(0).scene
    return World.of(replace(scene, blocks=scene.blocks[:1], items=(), mechanisms=mechanisms))


# -- how they move -------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True], ids=["", "mirrored"])
def test_handles_are_where_the_model_has_them(mirrored):
    for kind in KINDS:
        mechanism = alone(kind, mirrored)
        world = world_with(mechanism)
        fixture, joint = world.stage.fixtures[0], anatomy(mechanism).joint
        seen = []
        for state in np.linspace(joint.lower, joint.upper, 4):
            world.set_joint_state(mechanism.name, float(state))
            assert world.joint_state(mechanism.name) == state
            inverse = np.linalg.inv(world.pose(mechanism.name))
            seen.append([(inverse @ [*world.data.geom_xpos[geom], 1.0])[:3] for geom in fixture.handle])
        np.testing.assert_allclose(seen, np.broadcast_to(seen[0], np.shape(seen)), atol=1e-9, err_msg=kind)
        world.close()


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_button_comes_back_by_itself(kind):
    mechanism = alone(kind)
    world = world_with(mechanism)
    pushed = 0.6 * anatomy(mechanism).joint.upper
    world.set_joint_state(mechanism.name, pushed)
    world.run(0.5)
    assert world.joint_state(mechanism.name) == pytest.approx(0.0 if kind == "button" else pushed, abs=2e-3)
    world.reset()
    assert world.joint_state(mechanism.name) == mechanism.start
    world.close()


def test_a_world_takes_no_scene_with_other_mechanisms_and_names_what_it_lacks():
    world = world_with(alone("drawer"))
    assert world.scene is not None
    with pytest.raises(ValueError, match="mechanisms"):
        world.load(replace(world.scene, mechanisms=()))
    with pytest.raises(KeyError, match="red drawer"):
        world.joint_state("blue drawer")
    world.close()
    with pytest.raises(ValueError, match="'hatch'; there are button"):
        anatomy(alone("hatch"))


# -- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", NAMES)
def test_a_seed_is_a_setting_and_a_condition_changes_head_or_lamp_alone(task):
    sides = set()
    for seed in range(8):
        seen, unseen, hidden = (TASKS[task].setting(seed, c) for c in ("in view", "out of view", "occluded"))
        assert seen == TASKS[task].setting(seed, "in view")
        assert replace(unseen.scene, head=seen.scene.head) == seen.scene
        assert replace(hidden.scene, blocks=hidden.scene.blocks[:-2]) == seen.scene
        assert Scene.from_json(hidden.scene.to_json()) == hidden.scene
        joint, start = anatomy(seen.mechanism).joint, seen.mechanism.start
        assert joint.lower <= start <= joint.upper and joint.lower <= seen.wanted <= joint.upper
        assert min(start, seen.wanted) < seen.enough < max(start, seen.wanted)
        assert seen.target in seen.instruction and len(set(seen.scene.names)) == len(seen.scene.names)
        sides.add(seen.side)
    assert sides == {"left", "right"}


def test_words_say_to_which_side_it_goes():
    for task in ("slide", "turn"):
        for seed in range(10):
            setting = TASKS[task].setting(seed, "in view")
            world = World.of(setting.scene)
            now, then = setting.points(world)
            assert setting.instruction.endswith("left" if then[1] > now[1] else "right")
            world.close()


@pytest.mark.parametrize("task", ["press", "open the door"])
def test_the_head_sees_all_of_the_handle_or_none_or_a_part(task):
    for condition, (low, high) in {"in view": (0.85, 1.0), "out of view": (0.0, 0.0), "occluded": (0.2, 0.7)}.items():
        setting = TASKS[task].setting(1, condition)
        world = World.of(setting.scene)
        looked = world.look_target(setting.target)
        index = world.scene.index(setting.target)
        assert low <= looked.visible_fraction <= high, (condition, looked.visible_fraction)
        assert (world.segmentation() == index).any() == looked.in_view == (condition != "out of view")
        world.close()


# -- the expert ----------------------------------------------------------------------------------


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("task", "side"),
    [
        pytest.param(task, ("left", "right")[i % 2], marks=[] if task in QUICK else [pytest.mark.slow])
        for i, task in enumerate(NAMES)
    ],
)
def test_the_expert_does_it(kinematics, ik, task, side):
    setting = of_side(task, side, "out of view")
    world = World.of(setting.scene)
    progress = TASKS[task].progress(world, setting)
    loop = RobotLoop(world, kinematics)
    loop.run(TASKS[task].expert(world, setting, ik), progress.update)
    assert progress.success, (progress.at_s, loop.last_refusal)
    assert loop.refused == 0
    assert progress.at_s["reached"] <= progress.at_s["grasped"] <= progress.at_s["done"]
    world.close()


def test_what_is_done_already_is_left_alone(kinematics, ik):
    setting = of_side("open the drawer", "right")
    world = World.of(setting.scene)
    world.set_joint_state(setting.target, setting.wanted)
    expert, loop = Worker(world, setting, ik), RobotLoop(world, kinematics)
    loop.run(expert, lambda time_s: time_s >= 2.0)
    assert expert.stage == "go home"
    assert world.joint_state(setting.target) == pytest.approx(setting.wanted, abs=1e-3)
    world.close()


@pytest.mark.parametrize("task", ["press", "close the door"])
def test_the_right_hand_does_the_mirror_image(ik, task):
    setting = of_side(task, "left")
    x, y, z = setting.mechanism.position
    other = replace(setting.mechanism, position=(x, -y, z), yaw_rad=-setting.mechanism.yaw_rad, mirrored=True)
    scene = replace(setting.scene, items=(), mechanisms=(setting.mechanism,))
    arms = []
    for side, mechanism in (("left", setting.mechanism), ("right", other)):
        one = replace(setting, side=side, scene=replace(scene, mechanisms=(mechanism,)))
        world = World.of(one.scene)
        arms.append(Worker(world, one, ik).act(world, 0.0, world.positions(g1.POLICY)).other.increments)
        world.close()
    np.testing.assert_allclose(arms[1][:, :7], arms[0][:, :7] * g1.ARM_MIRROR, atol=1e-6)
    np.testing.assert_allclose(arms[1][:, 7:], arms[0][:, 7:], atol=1e-6)


# -- when it is done -----------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "for_s", "done"), [(0, 0.5, True), (0, 0.2, False), (1, 0.5, False)])
def test_the_button_that_was_asked_for_has_to_stay_pressed(which, for_s, done):
    setting = articulated.press(0)
    world = World.of(setting.scene)
    progress = Pressed(world, setting)
    for tick in range(31):
        time_s = tick / 30
        for i, mechanism in enumerate(setting.scene.mechanisms):
            pressed = time_s < for_s and i in (0, which)  # the other one too, as a hand would that presses both
            world.set_joint_state(mechanism.name, setting.enough + 1e-4 if pressed else 0.0)
        progress.update(time_s)
    assert progress.success == done
    assert not done or progress.at_s["done"] < PRESSED_S
    world.close()


def test_a_door_is_shut_from_a_few_degrees_on():
    setting = of_side("close the door", "left")
    world = World.of(setting.scene)
    assert setting.left(world) > 0.0
    world.set_joint_state(setting.target, setting.enough + math.radians(1.0))
    assert setting.left(world) == pytest.approx(math.radians(1.0))
    world.set_joint_state(setting.target, setting.enough - math.radians(1.0))
    assert setting.left(world) < 0.0
    world.close()


def test_the_live_simulator_can_aim_at_a_handle():
    """`sapave demo --task "open the drawer"` ended in an IndexError."""
    setting = of_side("open the drawer", "left")
    room, world = Room.bare(setting.scene), World.of(setting.scene)
    target = target_of(Aim((setting.target,)), room, Sights(world, world.renderer))
    assert target is not None and where(room, setting.target) == setting.target
    assert target.angle_rad(world) == pytest.approx(world.look_target(setting.target).angle_rad, abs=0.02)
    world.close()
