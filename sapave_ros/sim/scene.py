"""A room as plain data: furniture, objects, light, and how the robot stands in it at the start.

World frame: origin on the floor below the pelvis, x forward, y left, z up [m]. Scenes come from a seed
and from nothing else, so a scene can be named by its number; and they are JSON, so one can be kept.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.mechanisms import Mechanism
from sapave_ros.sim.objects import COLOURS, KINDS, VARIANTS, Colour, Vector, random_colour, shape
from sapave_ros.sim.placement import EYE, Surface, apart, direction_from_eye, random_spot, seen

TEXTURES: tuple[str, ...] = ("plain", "wood", "speckle", "tiles", "stripes")
"""Surfaces of blocks; the block's colour tints them."""

MAX_BLOCKS = 32
"""Slots for blocks where nothing else is asked for: enough for `random_scene`."""

ROOM_BLOCKS = 40
"""Slots that a room of `sim.rooms` may need."""

OUT_OF_VIEW_YAW_RAD = 0.60 + 0.15
"""Half of the camera's view plus a margin: beyond it a thing is surely out of view."""

FARTHEST_YAW_RAD = 0.84
"""How far to a side the head of a demo is turned at the start."""

_ROOM_BLOCKS = 4  # floor and three walls come first; the rest is furniture


@dataclass(frozen=True)
class Block:
    """A box of furniture. centre, half_size [m], yaw_rad about z, rgb in 0..1, texture: one of `TEXTURES`."""

    centre: Vector
    half_size: Vector
    yaw_rad: float
    rgb: Colour
    texture: str = "plain"


@dataclass(frozen=True)
class Item:
    """One object. position: centre of its base [m]; `variant` is its size (`objects.VARIANTS`). loose: it can be moved,
    and falls where nothing holds it; else it is part of the furniture."""

    kind: str
    colour: str
    variant: int
    rgb: Colour
    position: Vector
    yaw_rad: float
    loose: bool = False

    @property
    def name(self) -> str:
        """How a person calls it: "red mug"."""
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True)
class Light:
    """A directional light. direction: where it shines to. strength: diffuse (r, g, b) in 0..1."""

    direction: Vector
    strength: Colour


@dataclass(frozen=True)
class Scene:
    """Everything that differs from one room to the next.

    items and mechanisms have distinct names. ambient: light from everywhere, 0..1. head (2,), arms (14,), hands (12,):
    joint positions at the start [rad], in the order of `g1.HEAD`, `g1.ARMS`, `g1.HANDS`.
    """

    seed: int
    blocks: tuple[Block, ...]
    items: tuple[Item, ...]
    lights: tuple[Light, ...]
    ambient: float
    head: tuple[float, ...]
    arms: tuple[float, ...]
    hands: tuple[float, ...]
    mechanisms: tuple[Mechanism, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the items, then of the mechanisms, in order."""
        return tuple(i.name for i in self.items) + tuple(m.name for m in self.mechanisms)

    def index(self, name: str) -> int:
        """Position of that name in `names`, and of an item in `items`. Raises KeyError that lists the names."""
        if name not in self.names:
            raise KeyError(f"no {name!r} in the scene; there are {', '.join(self.names)}")
        return self.names.index(name)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Scene:
        """The inverse of `to_json`. Raises ValueError that names what is missing or unknown."""
        try:
            d: dict[str, Any] = json.loads(text)
            blocks = tuple(Block(**_tuples(b)) for b in d.pop("blocks"))
            items = tuple(Item(**_tuples(i)) for i in d.pop("items"))
            lights = tuple(Light(**_tuples(x)) for x in d.pop("lights"))
            mechanisms = tuple(Mechanism(**_tuples(x)) for x in d.pop("mechanisms", ()))
            return Scene(blocks=blocks, items=items, lights=lights, mechanisms=mechanisms, **_tuples(d))
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as e:
            raise ValueError(f"scene file: {e}") from e


def _tuples(d: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}


def random_scene(seed: int, *, require: tuple[str, str] | None = None) -> Scene:
    """The room with that number: the same for the same seed, on every machine.

    require: (colour, kind) of an object that is in the room for certain; it is `items[0]`.
    """
    random = np.random.default_rng([seed, 0x5A7A7E])
    blocks: list[Block] = []
    surfaces: list[Surface] = []
    walls(random, blocks)
    _table(random, blocks, surfaces)
    side = random.choice([-1.0, 1.0])
    _shelf(random, blocks, surfaces, side * random.uniform(0.50, 0.80))
    if random.uniform() < 0.6:
        _stool(random, blocks, surfaces, -side * random.uniform(0.52, 0.78))
    surfaces.append(Surface(1.1, -side * 1.05, 0.0, 0.0, 0.45, 0.25))
    items = _items(random, blocks, surfaces, require)
    return Scene(
        seed=seed,
        blocks=tuple(blocks),
        items=tuple(items),
        lights=tuple(light(random) for _ in range(2)),
        ambient=float(random.uniform(0.30, 0.50)),
        head=(float(random.uniform(-0.75, 0.75)), float(random.uniform(-0.1, 0.85))),
        arms=waiting_arms(random),
        hands=tuple(float(h) for h in g1.HANDS.lower + random.uniform(0.0, 0.5) * (g1.HANDS.upper - g1.HANDS.lower)),
    )


def demo_scene(seed: int, target: tuple[str, str] = ("red", "mug")) -> Scene:
    """A room with one such (colour, kind), which is out of view at the head's start pose; it is `items[0]`."""
    scene = random_scene(seed, require=target)
    random = np.random.default_rng([seed, 0xD3])
    yaw, _, _ = direction_from_eye(scene.items[0].position)
    away = random.uniform(max(OUT_OF_VIEW_YAW_RAD - abs(yaw), 0.1), FARTHEST_YAW_RAD)
    start = -math.copysign(away, yaw)
    return replace(scene, head=(float(start), float(random.uniform(0.1, 0.6))))


def furniture_paint(random: np.random.Generator) -> tuple[Colour, str]:
    """A muted colour with a texture: furniture must not look like an object."""
    if random.uniform() < 0.6:
        light = random.uniform(0.35, 1.0)
        r, g, b = light * np.array([0.80, 0.62, 0.42]) * random.uniform(0.9, 1.1, 3)
        return (float(r), float(g), float(b)), "wood"
    return muted(random, 0.3, 0.85), str(random.choice(["plain", "speckle"]))


def muted(random: np.random.Generator, dark: float, light: float) -> Colour:
    """A shade of grey, hardly tinted."""
    r, g, b = np.clip(random.uniform(dark, light) + random.uniform(-0.07, 0.07, 3), 0.0, 1.0)
    return (float(r), float(g), float(b))


def walls(random: np.random.Generator, blocks: list[Block]) -> None:
    """Floor and three walls."""
    front, left, right = random.uniform(2.4, 3.2), random.uniform(1.9, 2.8), random.uniform(1.9, 2.8)
    floor = (muted(random, 0.3, 0.7), str(random.choice(["wood", "speckle", "tiles", "plain"])))
    paint = [(muted(random, 0.5, 0.95), str(random.choice(["plain", "plain", "speckle", "stripes"]))) for _ in range(3)]
    blocks.append(Block((0.5, 0.0, -0.05), (4.0, 3.5, 0.05), 0.0, *floor))
    blocks.append(Block((front + 0.05, 0.0, 1.3), (0.05, 3.5, 1.4), 0.0, *paint[0]))
    blocks.append(Block((0.5, left + 0.05, 1.3), (3.0, 0.05, 1.4), 0.0, *paint[1]))
    blocks.append(Block((0.5, -right - 0.05, 1.3), (3.0, 0.05, 1.4), 0.0, *paint[2]))


def _table(random: np.random.Generator, blocks: list[Block], surfaces: list[Surface]) -> None:
    front, depth, width = random.uniform(0.40, 0.50), random.uniform(0.50, 0.75), random.uniform(0.85, 1.4)
    height, offset = random.uniform(0.62, 0.76), random.uniform(-0.15, 0.15)
    paint = furniture_paint(random)
    x = front + depth / 2
    blocks.append(Block((x, offset, height - 0.015), (depth / 2, width / 2, 0.015), 0.0, *paint))
    for sx in (-1, 1):
        for sy in (-1, 1):
            leg = (x + sx * (depth / 2 - 0.04), offset + sy * (width / 2 - 0.04), (height - 0.03) / 2)
            blocks.append(Block(leg, (0.025, 0.025, (height - 0.03) / 2), 0.0, *paint))
    # Nothing stands under the hands.
    rear = max(front, 0.58)
    surfaces.append(Surface((rear + front + depth) / 2, offset, height, 0.0, (front + depth - rear) / 2, width / 2))


def _shelf(random: np.random.Generator, blocks: list[Block], surfaces: list[Surface], yaw: float) -> None:
    distance, width, depth = random.uniform(1.40, 1.75), random.uniform(0.32, 0.45), random.uniform(0.14, 0.18)
    x, y = EYE[0] + distance * math.cos(yaw), distance * math.sin(yaw)
    paint = furniture_paint(random)
    heights = np.array([0.40, 0.75, 1.10, 1.45]) + random.uniform(-0.06, 0.06)
    heights = heights[: random.integers(3, 5)]
    frame = Surface(x, y, 0.0, yaw, depth, width)
    for i, z in enumerate(heights):
        blocks.append(Block((x, y, float(z) - 0.012), (depth, width, 0.012), yaw, *paint))
        clearance = 0.31 if i + 1 < len(heights) else 1.0
        surfaces.append(replace(frame, z=float(z), clearance=clearance))
    for v in (-width, width):
        px, py, _ = frame.point(0.0, v)
        blocks.append(Block((px, py, float(heights[-1]) / 2), (depth, 0.012, float(heights[-1]) / 2), yaw, *paint))


def _stool(random: np.random.Generator, blocks: list[Block], surfaces: list[Surface], yaw: float) -> None:
    distance, half, height = random.uniform(1.15, 1.45), random.uniform(0.16, 0.22), random.uniform(0.32, 0.52)
    x, y = EYE[0] + distance * math.cos(yaw), distance * math.sin(yaw)
    paint = furniture_paint(random)
    blocks.append(Block((x, y, height - 0.02), (half, half, 0.02), yaw, *paint))
    blocks.append(Block((x, y, height / 2 - 0.02), (half * 0.5, half * 0.5, height / 2 - 0.02), yaw, *paint))
    surfaces.append(Surface(x, y, height, yaw, half, half))


def _items(
    random: np.random.Generator, blocks: list[Block], surfaces: list[Surface], require: tuple[str, str] | None
) -> list[Item]:
    names = [(c, k) for c in COLOURS for k in KINDS if (c, k) != require]
    order = [names[i] for i in random.permutation(len(names))]
    wanted = ([require] if require else []) + order[: random.integers(5, 11)]
    sizes = {kind: list(random.permutation(len(VARIANTS))) for kind in KINDS}
    furniture = blocks[_ROOM_BLOCKS:]
    items: list[Item] = []
    for colour, kind in wanted:
        if not sizes[kind]:
            continue
        variant = int(sizes[kind].pop())
        body = shape(kind, variant)
        for _ in range(80):
            position = random_spot(random, surfaces, body)
            if position and all(apart(position, body, i) for i in items) and seen(position, body, furniture):
                turn = round(float(random.uniform(-math.pi, math.pi)), 4)
                items.append(Item(kind, colour, variant, random_colour(colour, random), position, turn))
                break
        else:
            if (colour, kind) == require:  # the first of all, in an empty room: cannot be
                raise RuntimeError(f"no place for the {colour} {kind}")
    return items


def light(random: np.random.Generator) -> Light:
    """A light from somewhere above."""
    direction = (float(random.uniform(-0.8, 0.8)), float(random.uniform(-0.8, 0.8)), -1.0)
    tint = random.uniform(0.25, 0.60) * random.uniform(0.9, 1.0, 3)
    return Light(direction, (float(tint[0]), float(tint[1]), float(tint[2])))


def waiting_arms(random: np.random.Generator) -> tuple[float, ...]:
    """Upper arms down, forearms forward and a little up, as a robot stands that waits."""
    nominal = {"shoulder_roll": 0.15, "elbow": -0.15}
    arms = []
    for joint in g1.ARMS.joints:
        side, part = joint.name.removesuffix("_joint").split("_", 1)
        sign = -1.0 if side == "right" and part in ("shoulder_roll", "shoulder_yaw", "wrist_roll", "wrist_yaw") else 1.0
        arms.append(round(float(sign * nominal.get(part, 0.0) + random.uniform(-0.1, 0.1)), 4))
    return tuple(arms)
