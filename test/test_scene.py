"""Scenes: the same from the same seed, plain data, and things where the head can look."""

import math

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.sim.objects import COLOURS, KINDS, VARIANTS, random_colour, revolve, shape
from sapave_ros.sim.placement import REACH_DISTANCE_M, REACH_PITCH_DOWN_RAD, REACH_YAW_RAD, direction_from_eye
from sapave_ros.sim.scene import MAX_BLOCKS, TEXTURES, Scene, demo_scene, random_scene

SCENES = [random_scene(seed) for seed in range(60)]


def middle(item):
    x, y, z = item.position
    return (x, y, z + shape(item.kind, item.variant).height / 2)


def test_a_seed_is_a_scene():
    assert random_scene(5) == random_scene(5)
    assert random_scene(5) != random_scene(6)
    assert demo_scene(5) == demo_scene(5)


def test_json_keeps_everything():
    for scene in [*SCENES[:10], demo_scene(1)]:
        assert Scene.from_json(scene.to_json()) == scene


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"blocks": [{"centre": 1}], "items": [], "lights": []}'])
def test_a_broken_scene_file_is_refused(text):
    with pytest.raises(ValueError, match="scene file"):
        Scene.from_json(text)


def test_names_are_distinct_and_found():
    for scene in SCENES:
        assert len(set(scene.names)) == len(scene.names)
        assert all(scene.items[scene.index(n)].name == n for n in scene.names)
    with pytest.raises(KeyError, match="no 'pink horse' in the scene; there are"):
        SCENES[0].index("pink horse")


def test_rooms_are_filled_but_not_overfilled():
    counts = [len(s.items) for s in SCENES]
    assert min(counts) >= 4
    assert max(counts) <= 11
    assert all(len(s.blocks) <= MAX_BLOCKS for s in SCENES)
    assert all(b.texture in TEXTURES for s in SCENES for b in s.blocks)
    assert all(len({(i.kind, i.variant) for i in s.items}) == len(s.items) for s in SCENES)


def test_everything_is_within_the_reach_of_the_eyes():
    for item in (i for s in SCENES for i in s.items):
        yaw, pitch, distance = direction_from_eye(middle(item))
        assert abs(yaw) < REACH_YAW_RAD
        assert REACH_PITCH_DOWN_RAD[0] < pitch < REACH_PITCH_DOWN_RAD[1]
        assert REACH_DISTANCE_M[0] < distance < REACH_DISTANCE_M[1]


def test_things_stand_on_something_and_not_in_each_other():
    for scene in SCENES:
        tops = [b.centre[2] + b.half_size[2] for b in scene.blocks]
        for i, a in enumerate(scene.items):
            assert any(abs(a.position[2] - top) < 1e-3 for top in tops)
            for b in scene.items[i + 1 :]:
                level = math.dist(a.position[:2], b.position[:2])
                shape_a, shape_b = shape(a.kind, a.variant), shape(b.kind, b.variant)
                apart = a.position[2] > b.position[2] + shape_b.height or b.position[2] > a.position[2] + shape_a.height
                assert apart or level >= shape_a.radius + shape_b.radius


def test_every_kind_and_colour_occurs_and_on_both_sides():
    items = [i for s in SCENES for i in s.items]
    assert {i.kind for i in items} == set(KINDS)
    assert {i.colour for i in items} == set(COLOURS)
    left = sum(i.position[1] > 0 for i in items) / len(items)
    assert 0.35 < left < 0.65


def test_start_poses_are_within_the_limits():
    for scene in SCENES:
        for group, q in ((g1.HEAD, scene.head), (g1.ARMS, scene.arms), (g1.HANDS, scene.hands)):
            assert len(q) == len(group)
            assert (np.array(q) >= group.lower).all()
            assert (np.array(q) <= group.upper).all()


def test_a_required_object_is_there_first_and_once():
    for seed in range(40):
        names = random_scene(seed, require=("blue", "vase")).names
        assert names[0] == "blue vase"
        assert names.count("blue vase") == 1


def test_the_demo_has_one_red_mug_out_of_view():
    for seed in range(40):
        scene = demo_scene(seed)
        assert scene.names.count("red mug") == 1
        yaw, _, _ = direction_from_eye(middle(scene.items[scene.index("red mug")]))
        assert abs(yaw - scene.head[0]) > math.radians(69 / 2) + 0.1


def test_colours_of_different_names_stay_apart():
    """The nearest shades of two names differ by more than the eye needs; the farthest of one name do not decide it."""
    random = np.random.default_rng(0)
    shades = {name: np.array([random_colour(name, random) for _ in range(300)]) for name in COLOURS}
    for a in COLOURS:
        for b in COLOURS:
            if a < b:
                gap = np.linalg.norm(shades[a][:, None] - shades[b][None], axis=2).min()
                assert gap > 0.12, (a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_objects_have_the_size_of_household_things(kind, variant):
    body = shape(kind, variant)
    longest = max(2 * body.radius, body.height)
    assert 0.06 <= longest <= 0.58  # the pan with its handle is the longest
    assert body.height <= 0.30
    lowest = min((z for p in body.parts for _, z in p.profile), default=0.0)
    assert lowest >= 0.0


def test_unknown_kinds_variants_and_colours_are_named():
    with pytest.raises(ValueError, match=r"no object 'sofa'; there are mug"):
        shape("sofa", 0)
    with pytest.raises(ValueError, match="variant: 3 of 'mug', expected 0 to 2"):
        shape("mug", 3)
    with pytest.raises(ValueError, match="no colour 'pink'"):
        random_colour("pink", np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_of_revolution_are_closed_and_face_outwards(kind):
    """Volume by the divergence theorem is positive; every triangle has an area."""
    for part in shape(kind, 1).parts:
        if part.profile:
            vertices, faces = revolve(part.profile)
            a, b, c = (vertices[faces[:, i]] for i in range(3))
            assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-12).all()
            assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0
