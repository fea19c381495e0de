"""Rooms: the same from the same seed, things that stand on something and not in each other, all of it with names."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.placement import direction_from_eye
from sapave_ros.sim.rendering import HEAD_CAMERA, Camera
from sapave_ros.sim.rooms import TEMPLATES, TRAINING_KINDS, make_room
from sapave_ros.sim.rooms.fill import Footprint, Solids, block_footprint, footprint
from sapave_ros.sim.rooms.room import PREPOSITIONS, SORTS
from sapave_ros.sim.scene import ROOM_BLOCKS, TEXTURES, Block, Scene
from sapave_ros.sim.world import World

ROOMS = {name: [make_room(name, seed) for seed in range(5)] for name in TEMPLATES}
EVERY_ROOM = [room for rooms in ROOMS.values() for room in rooms]
SMALL = Camera(HEAD_CAMERA.name, 160, 96, HEAD_CAMERA.fov_vertical_rad)


@pytest.fixture(scope="module")
def world():
    w = World(kinds=tuple(CATALOGUE))
    yield w
    w.close()


def test_there_are_twenty_templates_four_held_out():
    assert len(TEMPLATES) == 20
    assert sum(t.held_out for t in TEMPLATES.values()) == 4


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_seed_is_a_room(template):
    assert make_room(template, 3) == ROOMS[template][3]
    assert len({room.scene for room in ROOMS[template]}) == len(ROOMS[template])
    assert all(room.scene.seed == seed and room.template == template for seed, room in enumerate(ROOMS[template]))


def test_kinds_held_out_are_in_no_room_unless_asked_for():
    held_out = {name for name, kind in CATALOGUE.items() if kind.held_out}
    assert not held_out & set(TRAINING_KINDS)
    assert not any(i.kind in held_out for room in EVERY_ROOM for i in room.scene.items)
    asked = make_room("shelf", 0, sorted(held_out))
    assert {i.kind for i in asked.scene.items} <= held_out


def test_rooms_are_filled_and_names_are_distinct():
    for room in EVERY_ROOM:
        scene = room.scene
        assert 6 <= len(scene.items) <= 14
        assert len(set(scene.names)) == len(scene.items)
        assert len({(i.kind, i.variant) for i in scene.items}) == len(scene.items)
        assert len(scene.blocks) <= ROOM_BLOCKS
        assert all(b.texture in TEXTURES and min(b.half_size) > 0 for b in scene.blocks)
        assert all(not CATALOGUE[i.kind].colours or i.colour in CATALOGUE[i.kind].colours for i in scene.items)


def test_several_of_a_kind_are_common():
    most = [max(Counter(i.kind for i in room.scene.items).values()) for room in EVERY_ROOM]
    assert np.mean([m >= 2 for m in most]) > 0.8


def test_json_keeps_the_scene():
    for rooms in ROOMS.values():
        assert Scene.from_json(rooms[0].scene.to_json()) == rooms[0].scene


def test_start_poses_are_within_the_limits():
    for room in EVERY_ROOM:
        for group, q in ((g1.HEAD, room.scene.head), (g1.ARMS, room.scene.arms), (g1.HANDS, room.scene.hands)):
            assert (np.array(q) >= group.lower).all()
            assert (np.array(q) <= group.upper).all()


# -- names of places ------------------------------------------------------------------------------


def test_landmarks_are_there():
    for room in EVERY_ROOM:
        names = [x.name for x in room.landmarks]
        assert len(set(names)) == len(names) >= 3
        assert all(x.sort in SORTS for x in room.landmarks)
        for x in room.landmarks:
            assert bool(x.blocks) == (x.sort != "inside")
            assert all(0 <= b < len(room.scene.blocks) for b in x.blocks)
            if x.sort == "inside":
                room.landmark(x.name.removeprefix("inside of the "))
    with pytest.raises(KeyError, match="no 'moon' in the room; there are"):
        EVERY_ROOM[0].landmark("moon")


def test_every_place_of_a_thing_is_a_landmark_or_the_floor():
    for room in EVERY_ROOM:
        assert len(room.place) == len(room.preposition) == len(room.scene.items)
        assert set(room.preposition) <= set(PREPOSITIONS)
        for place, item in zip(room.place, room.scene.items):
            if place:
                room.landmark(place)
            else:
                assert item.position[2] == 0.0


def test_handles_belong_to_a_door_or_a_drawer():
    handles = [(r, x) for r in EVERY_ROOM for x in r.landmarks if x.name.startswith("handle")]
    assert len(handles) > 50
    for room, handle in handles:
        part = room.landmarks[room.landmark(handle.name.removeprefix("handle of the "))]
        assert math.dist(handle.centre, part.centre) < 0.6
        assert max(room.scene.blocks[handle.blocks[0]].half_size) < 0.08


# -- things in space ------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_things_rest_on_something_and_stand_in_nothing(template):
    for room in ROOMS[template]:
        things = [footprint(i) for i in room.scene.items]
        blocks = [block_footprint(b) for b in room.scene.blocks]
        for thing in things:
            below = [b for b in blocks if abs(b.high - thing.low) < 2e-3]
            spread = Footprint(thing.centre, (0.001, 0.001), thing.yaw, thing.low - 0.01, thing.low)
            assert any(Footprint(b.centre, b.half, b.yaw, b.low - 1, b.high + 1).meets(spread) for b in below)
            assert not any(thing.meets(b) for b in blocks)
        assert not any(a.meets(b) for a, b in combinations(things, 2))


def test_the_head_can_turn_to_everything(world):
    for rooms in ROOMS.values():
        world.load(rooms[0].scene)
        for name in rooms[0].scene.names:
            world.set_positions(g1.HEAD, world.head_pose_towards(name))
            assert world.look_target(name, visibility=False).angle_rad < 0.02


def test_prepositions_are_true():
    for room in EVERY_ROOM:
        for item, place, preposition in zip(room.scene.items, room.place, room.preposition):
            if not place:
                continue
            blocks = [room.scene.blocks[b] for b in room.landmarks[room.landmark(place)].blocks]
            if preposition == "behind":
                nearest = min(direction_from_eye(b.centre)[2] for b in blocks)
                assert direction_from_eye(item.position)[2] > nearest
            elif preposition == "under":
                assert item.position[2] < max(b.centre[2] + b.half_size[2] for b in blocks) - 0.1
            else:
                assert any(abs(b.centre[2] + b.half_size[2] - item.position[2]) < 2e-3 for b in blocks)


# -- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_has_things_in_view_out_of_view_and_occluded(world, template):
    shown = out = covered = clear = 0
    for room in ROOMS[template][:4]:
        world.load(room.scene)
        items, _ = world.segmentation_all(SMALL)
        pixels = np.bincount(items[items >= 0].ravel(), minlength=len(room.scene.items))
        shown += int((pixels > 8).sum())
        for i, name in enumerate(room.scene.names):
            out += not pixels[i] and not world.look_target(name, visibility=False).in_view
            fraction = world.visible_when_centred(name, SMALL)
            covered += fraction < 0.7
            clear += fraction > 0.85
    assert shown >= 2
    assert out >= 4
    assert covered >= 2
    assert clear >= 6


def test_one_pass_tells_things_and_blocks_apart(world):
    room = ROOMS["cabinet"][1]
    world.load(room.scene)
    landmark = room.landmarks[room.landmark("cabinet")]
    world.set_positions(g1.HEAD, world.head_pose_towards_point(np.array(landmark.centre)))
    items, blocks = world.segmentation_all(SMALL)
    np.testing.assert_array_equal(items, world.segmentation(SMALL))
    assert not ((items >= 0) & (blocks >= 0)).any()
    assert blocks.max() < len(room.scene.blocks)
    assert np.isin(blocks, landmark.blocks).sum() > 200
    assert world.visible_fraction(blocks=landmark.blocks, camera=SMALL) > 0.3
    assert (
        world.visible_fraction(item=0, camera=SMALL)
        == world.look_target(room.scene.names[0], camera=SMALL).visible_fraction
    )


def test_the_head_turns_to_a_point(world):
    room = ROOMS["chest of drawers"][0]
    world.load(room.scene)
    world.set_positions(g1.HEAD, world.head_pose_towards(room.scene.names[2]))
    by_name = world.positions(g1.HEAD)
    np.testing.assert_array_equal(world.head_pose_towards_point(world.centre(room.scene.names[2])), by_name)


def test_what_hides_a_point_is_between_it_and_the_eyes():
    wall = Solids([block_footprint(Block((1.0, 0.0, 1.0), (0.05, 0.5, 0.5), 0.0, (1, 1, 1)))], [1.0])
    points = np.array([(2.0, 0.0, 0.9), (0.6, 0.0, 0.9), (2.0, 1.8, 0.9), (2.0, 0.0, 2.4)])
    assert wall.hides(points).tolist() == [True, False, False, False]


def test_unknown_templates_and_kinds_are_named():
    with pytest.raises(ValueError, match="no 'attic'; there are tabletop"):
        make_room("attic", 0)
    with pytest.raises(ValueError, match="kinds: sofa; expected of"):
        make_room("shelf", 0, ["mug", "sofa"])
