"""The room of the live simulator, and that its truth there is what the benchmark measures."""

from __future__ import annotations

import argparse
import math
import re

import numpy as np
import pytest
from test_sim_eyes import Idle

from sapave_ros import g1
from sapave_ros.bench.judge import Judge
from sapave_ros.learning.language import DIRECTIONS
from sapave_ros.sim.aim import NOTHING, Aim
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.eyes import Eyes
from sapave_ros.sim.live import DEFAULT_ROOM, PLAIN, ROOMS, live_room
from sapave_ros.sim.main import _parse, _room
from sapave_ros.sim.motors import MotorWriter
from sapave_ros.sim.rooms import TEMPLATES, Room, make_room
from sapave_ros.sim.scene import ROOM_BLOCKS, demo_scene
from sapave_ros.sim.sights import Sights
from sapave_ros.sim.targets import AnyOf, HeadPose, any_of, target_of
from sapave_ros.sim.truth import TruthReader
from sapave_ros.sim.world import World

POSES = [np.array([yaw, pitch]) for yaw in (-0.6, 0.0, 0.5) for pitch in (0.1, 0.6)]


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_follows_from_its_name_and_number_and_travels_as_text(name):
    room = live_room(name, 2)
    assert room == live_room(name, 2) == Room.from_json(room.to_json())
    assert room.template == name


def test_the_default_is_a_room_and_plain_is_the_demo_scene():
    assert DEFAULT_ROOM in ROOMS
    assert live_room(PLAIN, 3).scene == demo_scene(3)
    assert live_room(PLAIN, 3, Aim(("blue vase",))).scene == demo_scene(3, ("blue", "vase"))


@pytest.mark.parametrize("template", ["tabletop", list(TEMPLATES)[-1]])
def test_only_the_head_is_turned_away_and_what_is_aimed_at_is_out_of_view(template):
    own = make_room(template, 1)
    world = World.of(own.scene)
    assert live_room(template, 1) == own
    for name in own.scene.names:
        room = live_room(template, 1, Aim((name,)))
        assert (room.scene.blocks, room.scene.items) == (own.scene.blocks, own.scene.items)
        world.load(room.scene)
        assert not world.look_target(name, visibility=False).in_view


def test_a_world_of_a_room_holds_nothing_else_and_looks_the_same():
    scene = make_room("tabletop", 0).scene
    small, large = World.of(scene), World(scene, tuple(CATALOGUE), ROOM_BLOCKS)
    assert {kind for kind, _ in small.stage.objects} == {item.kind for item in scene.items}
    assert small.model.ngeom < large.model.ngeom / 4
    try:
        differs = np.abs(small.picture().astype(int) - large.picture().astype(int)).max(axis=2)
        assert (differs > 2).mean() < 1e-3
    finally:
        small.close()
        large.close()


@pytest.mark.parametrize("aim", [NOTHING, Aim(("red mug", "top drawer")), Aim(("left",), (-0.75, 0.000001))])
def test_an_aim_survives_a_command_line(aim):
    parser = argparse.ArgumentParser()
    Aim.add_arguments(parser)
    assert Aim.of(parser.parse_args(aim.arguments())) == aim


def simulator(*words: str) -> tuple[Room, Aim]:
    return _room(_parse(["--run-dir", "x", "--dds-domain", "1", *words]))


def test_the_simulator_stands_where_it_is_told():
    room, aim = simulator("--seed", "3")
    assert (room.scene, aim.name) == (demo_scene(3), "red mug")
    assert simulator("--seed", "3", "--target", "")[1] == NOTHING
    room, aim = simulator("--room", "tabletop", "--seed", "3", "--target", "panel")
    assert (room, aim.names) == (live_room("tabletop", 3, aim), ("panel",))
    assert simulator("--room", "tabletop")[1] == NOTHING


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--room", "tabeltop"), "room: 'tabeltop' is not known; did you mean tabletop?"),
        (("--room", "moon"), f"room: 'moon' is not known; expected of {PLAIN}, tabletop, "),
        (("--room", "tabletop", "--target", "pink horse"), "target: no 'pink horse' in the room; there are "),
        (("--target", "red mug", "--target", "blue mug"), "target: 'red mug or blue mug', expected a colour"),
        (("--target-pose", "0.1", "-0.2"), "target: 0 names for a head pose"),
    ],
)
def test_what_cannot_be_is_named(words, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        simulator(*words)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scene": {}}', '{"scene": 3, "landmarks": []}'])
def test_a_broken_room_is_said_to_be_one(text):
    with pytest.raises(ValueError, match="room|scene"):
        Room.from_json(text)


@pytest.mark.parametrize("template", ["tabletop", "chest of drawers", "cabinet"])
def test_the_live_truth_is_what_the_benchmark_measures(template):
    """Two implementations of where the camera is: the physics' own for the simulator, the robot's for the benchmark."""
    room = make_room(template, 4)
    live, lockstep = World.of(room.scene), World.of(room.scene)
    judge = Judge(lockstep)
    judge.load(room.scene)
    judge.mount()
    sights, head = Sights(live, live.renderer), np.array(room.scene.head)
    wanted = [(judge.item(i), item.name, False) for i, item in enumerate(room.scene.items)]
    wanted += [(judge.landmark(room.landmarks, i), m.name, True) for i, m in enumerate(room.landmarks)]
    shown = 0
    for thing, name, fixed in wanted:
        target, reference = target_of(Aim((name,)), room, sights), any_of(judge, [thing], [fixed], head)
        assert isinstance(target, AnyOf)
        np.testing.assert_allclose(target.goal(live), reference.goal(lockstep), atol=1e-4)
        for pose in (*POSES[:2], target.goal(live)):
            live.set_positions(g1.HEAD, pose)
            lockstep.set_positions(g1.HEAD, pose)
            assert target.angle_rad(live) == pytest.approx(reference.angle_rad(lockstep), abs=1e-4)
            assert target.visible(live) == pytest.approx(reference.visible(lockstep), abs=0.03)
            shown += target.visible(live) > 0.5
    assert shown > len(wanted) / 3
    judge.close()
    live.close()


def test_of_several_the_nearest_counts_and_what_cannot_be_seen_does_not():
    room = make_room("tabletop", 0)
    world = World.of(room.scene)
    sights = Sights(world, world.renderer)
    try:
        target = target_of(Aim(room.scene.names), room, sights)
        assert isinstance(target, AnyOf)
        hidden = set(room.scene.names) - {t.name for t in target.things}
        for pose in POSES:
            world.set_positions(g1.HEAD, pose)
            looks = [world.look_target(t.name, visibility=False) for t in target.things]
            nearest = min(looks, key=lambda look: look.angle_rad)
            assert target.angle_rad(world) == pytest.approx(nearest.angle_rad, abs=1e-6)
            assert target.in_view(world) == nearest.in_view
        for name in hidden:  # alone it is still what was asked for
            assert target_of(Aim((name,)), room, sights).visible_at_best < 0.6
    finally:
        world.close()


def test_a_direction_is_about_the_optical_axis():
    room = make_room("tabletop", 0)
    world = World.of(room.scene)
    way, other = DIRECTIONS["left"], DIRECTIONS["right"]
    target = HeadPose("left", np.array(way))
    world.set_positions(g1.HEAD, np.array(way))
    assert target.angle_rad(world) < 1e-6
    assert target.in_view(world) and target.visible(world) == 1.0
    world.set_positions(g1.HEAD, np.array(way) + [0.1, 0.0])
    assert target.angle_rad(world) == pytest.approx(0.1 * math.cos(way[1]), rel=0.1)
    world.set_positions(g1.HEAD, np.array(other))
    assert not target.in_view(world)


@pytest.mark.parametrize("kind", ["things", "inside or furniture", "direction", "nothing"])
def test_the_simulator_tells_of_what_it_was_told_to(tmp_path, kind):
    plain = make_room("tabletop", 0)
    aim = {
        "things": Aim(plain.scene.names[:2]),
        "inside or furniture": Aim((plain.landmarks[0].name,)),
        "direction": Aim(("left",), DIRECTIONS["left"]),
        "nothing": NOTHING,
    }[kind]
    room = live_room("tabletop", 0, aim)
    world, idle = World.of(room.scene), Idle()
    writer = MotorWriter(tmp_path / "motors", world)
    with Eyes(tmp_path, room, aim, False, False) as eyes:
        truth = TruthReader(tmp_path / "truth")
        assert truth.target == aim.name
        sights = Sights(world, world.renderer)
        target = target_of(aim, room, sights)
        for time_s, pose in enumerate((np.array(room.scene.head), target and target.goal(world))):
            if pose is not None:
                world.set_positions(g1.HEAD, pose)
            writer.write(time_s, time_s, 0.0, 1.0, idle, idle, idle)
            assert eyes.look()
            _, told = truth.all_after(0)[-1]
            if target is None:
                assert math.isnan(told.angle_rad) and not told.in_view
                continue
            assert told.angle_rad == pytest.approx(target.angle_rad(world), abs=1e-9)
            assert told.in_view == target.in_view(world)
            assert told.visible_fraction == (target.visible(world) if told.in_view else 0.0)
        if target is not None:
            assert told.in_view and told.visible_fraction <= truth.visible_at_best + 1e-9
    world.close()
    writer.close()
