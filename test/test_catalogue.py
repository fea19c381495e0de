"""The catalogue: a hundred kinds that people can tell apart, each a thing that stands on its base."""

import math
from collections import Counter

import numpy as np
import pytest

from sapave_ros.policy.tokenizer import split
from sapave_ros.sim.catalogue import CATALOGUE, FUNCTIONS
from sapave_ros.sim.objects import COLOURS, KINDS, VARIANTS, shape
from sapave_ros.sim.parts import about, extent, revolve, rod, stand, support, turned
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.stage import build
from sapave_ros.sim.world import World


def test_there_are_a_hundred_kinds_and_the_ten_are_among_them():
    assert len(CATALOGUE) == 100
    assert set(KINDS) <= set(CATALOGUE)
    assert all(name == kind.name for name, kind in CATALOGUE.items())


def test_fifteen_are_held_out_of_many_categories_and_none_of_the_ten():
    held_out = [k for k in CATALOGUE.values() if k.held_out]
    assert len(held_out) == 15
    assert len({k.category for k in held_out}) >= 8
    assert not {k.name for k in held_out} & set(KINDS)


def test_words_are_plain_and_each_means_one_kind():
    words = [w for k in CATALOGUE.values() for w in k.words]
    assert max(Counter(words).values()) == 1
    for kind in CATALOGUE.values():
        assert kind.words[0] == kind.name
        assert 1 <= len(split(kind.name)) <= 2
        assert all(" ".join(split(w)) == w for w in kind.words)
        assert not set(kind.words) & set(COLOURS)


def test_functions_and_colours_are_known_ones():
    for kind in CATALOGUE.values():
        assert set(kind.functions) <= set(FUNCTIONS)
        assert set(kind.colours) <= set(COLOURS)
    used = {f for k in CATALOGUE.values() for f in k.functions}
    assert used == set(FUNCTIONS)
    assert all(f.startswith("to ") for f in FUNCTIONS)


@pytest.mark.parametrize("kind", CATALOGUE)
def test_things_stand_on_their_base_and_have_household_size(kind):
    for variant in range(len(VARIANTS)):
        body = shape(kind, variant)
        (x0, y0, z0), (x1, y1, z1) = extent(body.parts)
        if kind not in KINDS:
            assert z0 == pytest.approx(0.0, abs=1e-9)
            assert z1 == pytest.approx(body.height)
            assert (x0, y0) == pytest.approx((-x1, -y1), abs=1e-9)
            assert max(x1, y1) - 1e-3 <= body.radius <= math.hypot(x1, y1) + 1e-3
        assert 0.06 <= max(2 * body.radius, body.height) <= 0.58
        assert body.height <= 0.37


@pytest.mark.parametrize("kind", CATALOGUE)
def test_every_thing_shows_its_colour_with_few_parts(kind):
    parts = shape(kind, 1).parts
    assert any(p.colour is None for p in parts)
    assert len(parts) <= 18
    for part in parts:
        assert math.isclose(np.linalg.norm(part.quaternion), 1.0, abs_tol=1e-9)
        if part.profile:
            vertices, faces = revolve(part.profile)
            a, b, c = (vertices[faces[:, i]] for i in range(3))
            assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0  # closed, and facing outwards


def test_a_room_of_things_has_few_parts():
    assert np.mean([len(k.build(1.0).parts) for k in CATALOGUE.values()]) < 6


def test_kinds_differ_in_shape():
    """No two kinds have the same parts in the same places."""
    seen = {k: tuple((p.shape, p.size, p.position, p.profile) for p in shape(k, 1).parts) for k in CATALOGUE}
    assert len(set(seen.values())) == len(seen)


def test_a_turned_rod_reaches_as_far_along_the_turned_direction():
    random = np.random.default_rng(3)
    for _ in range(30):
        part = rod(0.01, tuple(random.normal(size=3)), tuple(random.normal(size=3)))
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        angle = float(random.uniform(-3, 3))
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        assert support(turned([part], about("z", angle))[0], turn @ direction) == pytest.approx(
            support(part, direction)
        )


def test_scaling_scales():
    parts = list(CATALOGUE["hammer"].build(1.0).parts)
    one, two = stand(parts, 1.0), stand(parts, 2.0)
    assert two.height == pytest.approx(2 * one.height)
    assert two.radius == pytest.approx(2 * one.radius)


def test_a_model_has_the_kinds_that_were_asked_for():
    stage = build(("hammer", "mug"), 5)
    assert {kind for kind, _ in stage.objects} == {"hammer", "mug"}
    assert len(stage.blocks) == 5
    with pytest.raises(ValueError, match="no object 'sofa'"):
        build(("sofa",))


def test_a_scene_of_other_kinds_is_refused():
    world = World(kinds=("hammer",))
    with pytest.raises(ValueError, match="not among the kinds that were compiled"):
        world.load(random_scene(0))
