"""Doing in simulation: what stands where, things that fall, control in lockstep, the expert, and when it is done."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from at_a_table import of_side, put

from sapave_ros import cli, g1
from sapave_ros.bench.manipulation import MODEL, POLICIES, able
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.manipulation.contacts import FINGERS, THUMB, Contacts
from sapave_ros.manipulation.draft import REACH_X_M, REACH_Y_M
from sapave_ros.manipulation.expert import Expert
from sapave_ros.manipulation.lockstep import Chunks, RobotLoop
from sapave_ros.manipulation.placings import TRAY_HALF_M, onto_the_tray
from sapave_ros.manipulation.progress import Criterion, Placed
from sapave_ros.manipulation.settings import CONDITIONS
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.share import share_path
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk


class Nobody:
    def act(self, world, stamp_s, positions):
        return Chunks()


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics.from_urdf()


@pytest.fixture(scope="module")
def ik():
    return HandIk()


# -- what stands where -------------------------------------------------------------------------


def test_a_seed_is_a_setting_and_a_condition_is_where_the_head_looks():
    for seed in range(20):
        seen, unseen = (onto_the_tray(seed, condition) for condition in CONDITIONS[:2])
        assert seen == onto_the_tray(seed, CONDITIONS[0])
        assert replace(unseen.scene, head=seen.scene.head) == seen.scene
        assert Scene.from_json(seen.scene.to_json()) == seen.scene
        sign = 1.0 if seen.side == "left" else -1.0
        for x, y in (seen.item.position[:2], seen.goal.at[:2]):
            assert REACH_X_M[0] <= x <= REACH_X_M[1] and REACH_Y_M[0] <= sign * y <= REACH_Y_M[1]
        between = np.abs(np.subtract(seen.item.position, seen.goal.at))[:2].max()
        assert between > TRAY_HALF_M + seen.base_radius_m
    assert {onto_the_tray(seed).side for seed in range(20)} == {"left", "right"}


@pytest.mark.parametrize("condition", CONDITIONS[:2])
def test_the_head_sees_the_thing_at_the_start_or_does_not(condition):
    for seed in range(8):
        setting = onto_the_tray(seed, condition)
        world = World.of(setting.scene)
        looked = world.look_target(setting.target, visibility=False)
        world.close()
        assert looked.in_view == (condition == "in view"), (seed, math.degrees(looked.angle_rad))


def test_an_unknown_condition_is_named():
    with pytest.raises(ValueError, match="'behind the moon'; expected one of in view, out of view, occluded"):
        onto_the_tray(0, "behind the moon")


# -- things that can be moved ---------------------------------------------------------------------


def test_what_is_loose_falls_and_comes_to_rest_on_what_is_below():
    setting = of_side("onto the tray", "left")
    world = World.of(setting.scene)
    x, y, z = setting.item.position
    put(world, setting, (x, y, z + 0.03))
    world.run(0.05)
    assert world.pose(setting.target)[2, 3] < z + 0.025
    world.run(1.0)
    assert world.pose(setting.target)[:3, 3] == pytest.approx((x, y, z), abs=3e-3)
    assert world.pose(setting.target)[2, 2] > 0.999
    centre = world.centre(setting.target)
    world.reset()
    assert world.pose(setting.target)[:3, 3] == pytest.approx(setting.item.position)
    assert world.centre(setting.target) == pytest.approx(centre, abs=5e-3)
    world.close()


def test_what_is_not_loose_stays_where_it_is():
    setting = of_side("onto the tray", "left")
    x, y, z = setting.item.position
    floating = replace(setting.item, position=(x, y, z + 0.2), loose=False)
    world = World.of(replace(setting.scene, items=(floating,)))
    world.run(0.5)
    assert world.centre(setting.target)[2] > z + 0.2
    world.close()


def test_a_world_takes_no_scene_in_which_others_can_be_moved():
    setting = of_side("onto the tray", "left")
    world = World.of(setting.scene)
    with pytest.raises(ValueError, match="loose"):
        world.load(replace(setting.scene, items=(replace(setting.item, loose=False),)))
    world.close()


# -- the robot in lockstep ------------------------------------------------------------------------


def test_taking_control_moves_nothing(kinematics):
    setting = of_side("onto the tray", "right")
    world = World.of(setting.scene)
    before, waist = world.positions(g1.POLICY), world.motor_positions[12:15]
    loop = RobotLoop(world, kinematics)
    loop.run(Nobody(), lambda time_s: time_s >= 1.0)
    np.testing.assert_allclose(world.positions(g1.POLICY), before, atol=0.02)
    np.testing.assert_allclose(world.motor_positions[12:15], waist, atol=0.01)
    assert loop.refused == 0
    world.close()


def test_it_follows_increments_and_refuses_what_the_limits_refuse(kinematics):
    class Waver:
        """Turns a wrist, once as it may and then far too fast."""

        rate = 0.05

        def act(self, world, stamp_s, positions):
            increments = np.full((4, 1), self.rate)
            return Chunks(other=ActionChunk(stamp_s, 0.1, ("left_wrist_roll_joint",), increments))

    setting, waver = of_side("onto the tray", "right"), Waver()
    world = World.of(setting.scene)
    loop = RobotLoop(world, kinematics)
    roll = g1.POLICY.names.index("left_wrist_roll_joint")
    before = world.positions(g1.POLICY)[roll]
    loop.run(waver, lambda time_s: time_s >= 0.5)
    assert loop.refused == 0 and world.positions(g1.POLICY)[roll] > before + 0.1
    waver.rate = 1.0
    loop.run(waver, lambda time_s: time_s >= 0.8)
    assert loop.refused > 0 and "left_wrist_roll_joint" in loop.last_refusal
    world.close()


# -- the expert --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "condition"), [("left", CONDITIONS[1]), ("right", CONDITIONS[0])])
def test_the_expert_puts_it_on_the_tray_by_friction_alone(kinematics, ik, side, condition):
    setting = of_side("onto the tray", side, condition)
    world = World.of(setting.scene)
    progress, contacts = Placed(world, setting), Contacts(world, setting)
    loop = RobotLoop(world, kinematics)
    held = []

    def look(time_s: float) -> bool:
        if world.pose(setting.target)[2, 3] > setting.item.position[2] + 0.05:
            held.append(contacts.forces_n())
        return progress.update(time_s)

    loop.run(Expert(world, setting, ik), look)
    assert progress.success, (progress.at_s, loop.last_refusal)
    order = [progress.at_s[stage] for stage in ("seen", "reached", "grasped", "done")]
    assert order == sorted(order)
    assert loop.refused == 0
    assert np.mean([forces[THUMB] > 0 and forces[FINGERS] > 0 for forces in held]) > 0.9
    world.close()


@pytest.mark.parametrize("stage", ["come", "carry"])
def test_a_thing_that_is_taken_away_is_fetched_where_it_is_then(kinematics, ik, stage):
    setting = of_side("onto the tray", "left")
    world = World.of(setting.scene)
    progress, expert = Placed(world, setting), Expert(world, setting, ik)
    loop = RobotLoop(world, kinematics)
    moved = []

    def look(time_s: float) -> bool:
        if expert.stage == "reach" and not moved:
            x, y, z = world.pose(setting.target)[:3, 3]
            moved.append((x, y))
            put(world, setting, (x + (0.03 if x < np.mean(REACH_X_M) else -0.03), y, z))
        return progress.update(time_s)

    loop.run(expert, look)
    assert moved and progress.success, (progress.at_s, loop.last_refusal)
    world.close()


def test_what_is_on_the_tray_already_is_left_there(kinematics, ik):
    setting = of_side("onto the tray", "left")
    world = World.of(setting.scene)
    put(world, setting, setting.goal.at)
    expert = Expert(world, setting, ik)
    loop = RobotLoop(world, kinematics)
    loop.run(expert, lambda time_s: time_s >= 3.0)
    assert expert.stage == "go home"
    assert world.pose(setting.target)[:3, 3] == pytest.approx(setting.goal.at, abs=3e-3)
    world.close()


# -- when it is done -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aside_m", "tilt_rad", "done"),
    [(0.0, 0.0, True), (TRAY_HALF_M, 0.0, False), (0.0, math.pi / 2, False)],
    ids=["upright in the middle", "beside", "lying"],
)
def test_it_is_done_when_it_stands_on_the_tray_untouched(aside_m, tilt_rad, done):
    setting = of_side("onto the tray", "left")
    world = World.of(setting.scene)
    x, y, z = setting.goal.at
    lifted = setting.base_radius_m if tilt_rad else 0.001
    put(world, setting, (x, y + aside_m, z + lifted), (math.cos(tilt_rad / 2), 0.0, math.sin(tilt_rad / 2), 0.0))
    progress = Placed(world, setting, Criterion(time_limit_s=2.0))
    for tick in range(200):
        if progress.update(tick / 30):
            break
        world.run(1 / 30)
    assert progress.success == done
    assert "grasped" not in progress.at_s and "reached" not in progress.at_s
    world.close()


# -- the command ------------------------------------------------------------------------------------


def test_the_benchmark_tells_what_came_of_it(tmp_path, capsys):
    file = tmp_path / "found.json"
    which = ["--tasks", "onto the tray", "--policies", "still", "--conditions", "in view"]
    arguments = [*which, "--episodes", "1", "--workers", "1", "--limit", "1"]
    assert cli.main(["bench", "manipulation", *arguments, "--json", str(file), "--film", str(tmp_path / "films")]) == 0
    found = json.loads(file.read_text())
    figures = found["tasks"]["onto the tray"]["still"]["in view"]
    assert figures["episodes"] == 1 and figures["success"] == 0.0 and figures["came_to"]["reached"] == 0.0
    assert found["episodes"][0]["instruction"].startswith("put the ")
    assert "still" in capsys.readouterr().out
    assert (tmp_path / "films/onto the tray still in view 0.mp4").stat().st_size > 10_000


@pytest.mark.parametrize(
    "arguments", [["--episodes", "0"], ["--workers", "0"], ["--first", "-1"], ["--limit", "0"]], ids=" ".join
)
def test_bad_arguments_are_named(arguments, capsys):
    assert cli.main(["bench", "manipulation", *arguments]) == 2
    assert f"{arguments[0]} {arguments[1]}" in capsys.readouterr().err


def test_a_model_that_has_not_learned_to_move_the_arms_does_not_play(capsys):
    shipped = str(share_path(SHIPPED))
    trained = "other" in OnnxPolicy(shipped).manifest.trained_heads
    assert (MODEL in able(shipped, POLICIES)) == trained
    assert ("untrained" in capsys.readouterr().out) != trained
