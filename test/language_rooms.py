"""Small rooms to talk about: a catalogue of two dozen kinds, landmarks, and things put down at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sapave_ros.learning.language.lexicon import Lexicon
from sapave_ros.sim import objects
from sapave_ros.sim.objects import COLOURS, Part, Shape, Vector
from sapave_ros.sim.scene import Item, Scene


@dataclass(frozen=True)
class Kind:
    name: str
    build: Callable[[float], Shape]
    words: tuple[str, ...]
    functions: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(frozen=True)
class Landmark:
    name: str
    sort: str
    centre: Vector


@dataclass(frozen=True)
class Room:
    scene: Scene
    landmarks: tuple[Landmark, ...]
    place: tuple[str, ...]
    preposition: tuple[str, ...]


def _like(kind: str) -> Callable[[float], Shape]:
    return lambda s: objects.shape(kind, objects.VARIANTS.index(s))


def _bar(s: float) -> Shape:
    return Shape((Part("box", (0.09 * s, 0.01 * s, 0.008 * s), (0, 0, 0.008 * s)),), 0.09 * s, 0.016 * s)


def _kind(name: str, like: str | None, words: str = "", uses: str = "", **more) -> Kind:
    build = _like(like) if like else _bar
    split = [tuple(w.strip() for w in text.split(",") if w.strip()) for text in (words, uses)]
    return Kind(name, build, (name, *split[0]), split[1], **more)


CATALOGUE: dict[str, Kind] = {
    k.name: k
    for k in (
        _kind("mug", "mug", "cup", "to drink from"),
        _kind("glass", "can", "", "to drink from"),
        _kind("bottle", "bottle", "", "to drink from, to pour from"),
        _kind("bowl", "bowl", "dish", "to eat from"),
        _kind("box", "box", "carton", "to put things in"),
        _kind("ball", "ball", "", "to play with"),
        _kind("tennis ball", "ball", "", "to play with", colours=("yellow", "green")),
        _kind("can", "can", "tin"),
        _kind("book", "book", "", "to read"),
        _kind("teapot", "teapot", "pot", "to pour from"),
        _kind("frying pan", "pan", "skillet", "to cook with"),
        _kind("vase", "vase"),
        _kind("knife", None, "", "to cut with"),
        _kind("scissors", None, "", "to cut with"),
        _kind("pen", None, "ballpoint pen", "to write with"),
        _kind("orange", "ball", "", "to eat", colours=("orange",)),
        _kind("apple", "ball", "", "to eat", colours=("red", "green")),
        _kind("jug", "teapot", "pitcher", "to pour from", held_out=True),
        _kind("kettle", "teapot", "", "to pour from", held_out=True),
        _kind("hammer", None, "", "to hit a nail with", held_out=True),
    )
}
LEXICON = Lexicon(CATALOGUE)
TRAINED = tuple(k for k, v in CATALOGUE.items() if not v.held_out)

# name of the place, preposition, centre (x, y, z of the surface), half width [m]
_SPOTS = (
    ("table", "on", (0.75, 0.0, 0.7), 0.5),
    ("shelf", "on", (1.4, 1.1, 0.8), 0.35),
    ("shelf", "on", (1.4, 1.1, 1.2), 0.35),
    ("stool", "on", (1.0, -1.0, 0.45), 0.15),
    ("inside of the cabinet", "in", (1.5, -0.9, 0.9), 0.3),
    ("table", "under", (0.75, 0.0, 0.0), 0.3),
    ("", "on", (1.2, 0.5, 0.0), 0.4),
)
_LANDMARKS = (
    Landmark("table", "furniture", (0.75, 0.0, 0.7)),
    Landmark("shelf", "furniture", (1.4, 1.1, 0.9)),
    Landmark("stool", "furniture", (1.0, -1.0, 0.4)),
    Landmark("cabinet", "furniture", (1.5, -0.9, 0.9)),
    Landmark("inside of the cabinet", "inside", (1.5, -0.9, 0.95)),
    Landmark("top drawer", "part", (1.2, -0.4, 0.6)),
    Landmark("handle of the top drawer", "part", (1.1, -0.4, 0.6)),
    Landmark("door of the cabinet", "part", (1.3, -0.9, 0.9)),
)


def scene(items: list[Item], seed: int = 0) -> Scene:
    return Scene(seed, (), tuple(items), (), 0.4, (0.0, 0.0), (0.0,) * 14, (0.0,) * 12)


def room(*things: tuple, landmarks: tuple[Landmark, ...] = ()) -> Room:
    """A room from (colour, kind, variant, (x, y, z)) or with (place, preposition) behind."""
    items = [Item(t[1], t[0], t[2], (0.5, 0.5, 0.5), t[3], 0.0) for t in things]
    place = tuple(t[4] if len(t) > 4 else "table" for t in things)
    return Room(scene(items), landmarks or _LANDMARKS, place, tuple(t[5] if len(t) > 5 else "on" for t in things))


def random_room(seed: int, kinds: tuple[str, ...] = TRAINED) -> Room:
    """Six to fourteen things, several of one kind, names distinct."""
    random = np.random.default_rng([seed, 7])
    kept = [m for m in _LANDMARKS if random.random() < 0.8]
    names = {m.name for m in kept} | {""}
    spots = [s for s in _SPOTS if s[0] in names]
    few = [kinds[i] for i in random.permutation(len(kinds))[: random.integers(4, 11)]]
    items: dict[str, tuple] = {}
    for _ in range(random.integers(6, 15)):
        kind = CATALOGUE[few[random.integers(len(few))]]
        colours = kind.colours or COLOURS
        colour = str(colours[random.integers(len(colours))])
        place, preposition, (x, y, z), half = spots[random.integers(len(spots))]
        u, v = random.uniform(-half, half, 2)
        if all(math.dist((x + u / 2, y + v, z), t[3]) > 0.1 for t in items.values()):
            where = (float(x + u / 2), float(y + v), float(z))
            items[f"{colour} {kind.name}"] = (colour, kind.name, int(random.integers(3)), where, place, preposition)
    return room(*items.values(), landmarks=tuple(kept))
