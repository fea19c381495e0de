"""What stands where and what is asked: the first of it a table in a room, a thing that a hand can hold, and a tray."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.objects import COLOURS, VARIANTS, random_colour, shape
from sapave_ros.sim.placement import apart, direction_from_eye
from sapave_ros.sim.scene import (
    FARTHEST_YAW_RAD,
    OUT_OF_VIEW_YAW_RAD,
    Block,
    Item,
    Scene,
    furniture_paint,
    light,
    walls,
)
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

CONDITIONS = ("in view", "out of view")
"""Whether the head camera has the thing in its picture at the start."""

KINDS = ("can", "bottle", "glass", "pepper mill", "skittle")
"""What goes between thumb and fingers (they leave 8 cm) and stands higher than a hand needs above the table."""

HIGHEST_M = 0.25
"""Over a thing that is higher the hands do not pass."""

TABLE_M = (0.78, 0.84)
"""Height of the table: where it is lower, the hands do not reach its top from a pelvis that stands."""

REACH_X_M, REACH_Y_M = (0.33, 0.40), (0.07, 0.25)
"""Where things stand and trays lie, on the side of either hand."""

THINGS = tuple((k, v) for k in KINDS for v in range(len(VARIANTS)) if shape(k, v).height <= HIGHEST_M)
"""(kind, variant) of what is moved."""

MOST_OTHERS = 3
OTHERS_X_M, OTHERS_Y_M = (0.52, 0.66), (-0.40, 0.40)
"""Where things stand that nobody asks for: beyond the hands' ways."""

OTHERS = tuple(
    (k, v)
    for k in CATALOGUE
    for v in range(len(VARIANTS))
    if not CATALOGUE[k].held_out and shape(k, v).radius < 0.09 and shape(k, v).height < 0.30
)
"""(kind, variant) of those."""

TRAY_HALF_M, TRAY_M = 0.075, 0.012
_APART_M = 0.02
_FRONT_M = 0.24

_READY_LEFT = np.array([0.765, 0.343, 0.81, -0.66, -0.807, 0.236, -0.324])
READY: dict[str, float] = {
    **dict(zip(g1.LEFT_ARM.names, _READY_LEFT.tolist())),
    **dict(zip(g1.RIGHT_ARM.names, (g1.ARM_MIRROR * _READY_LEFT).tolist())),
}
"""Arms [rad] as they stand at the start: the hands beside the table's edge, open, in nobody's view."""


@dataclass(frozen=True)
class Setting:
    """One episode of any task. target: name of the item of the scene that is to be moved, and to be looked at before.
    side: of the robot, whose hand does it. task, seed, condition: what it was made from.
    """

    task: str
    seed: int
    condition: str
    scene: Scene
    target: str
    side: str
    instruction: str

    def points(self, world: World) -> Floats:
        """Where what is to be moved is now, and where it is to be, (2, 3) [m] in the world."""
        raise NotImplementedError

    @property
    def item(self) -> Item:
        return self.scene.items[self.scene.index(self.target)]


@dataclass(frozen=True)
class Placing(Setting):
    """A thing is to stand on a tray. tray: centre of its top [m]; it is the last block of the scene."""

    tray: tuple[float, float, float]

    def points(self, world: World) -> Floats:
        return np.stack([world.pose(self.target)[:3, 3], np.array(self.tray)])

    @property
    def tray_block(self) -> int:
        """Index of the tray among the blocks of the scene."""
        return len(self.scene.blocks) - 1

    @property
    def base_radius_m(self) -> float:
        """Of the cylinder around the thing [m]."""
        return shape(self.item.kind, self.item.variant).radius


def onto_the_tray(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """The setting with that number: the same for the same seed and condition, on every machine. Both conditions of a
    seed differ in nothing but where the head looks at the start. Raises ValueError on an unknown condition."""
    if condition not in CONDITIONS:
        raise ValueError(f"condition {condition!r}; expected one of {', '.join(CONDITIONS)}")
    random = np.random.default_rng([seed, 0x7A4])
    blocks: list[Block] = []
    walls(random, blocks)
    height = _table(random, blocks)
    side = ("left", "right")[int(random.integers(2))]
    sign = 1.0 if side == "left" else -1.0
    kind, variant = THINGS[int(random.integers(len(THINGS)))]
    colour = str(random.choice(list(COLOURS)))
    apart_m = TRAY_HALF_M + shape(kind, variant).radius + _APART_M
    thing_at, tray_at = _two_places(random, apart_m)
    red, green, blue = (float(v) for v in random.uniform(0.15, 0.9, 3))
    tray = (tray_at[0], sign * tray_at[1], height + TRAY_M)
    middle = (tray[0], tray[1], height + TRAY_M / 2)
    blocks.append(Block(middle, (TRAY_HALF_M, TRAY_HALF_M, TRAY_M / 2), 0.0, (red, green, blue)))
    thing = Item(
        kind,
        colour,
        variant,
        random_colour(colour, random),
        (thing_at[0], sign * thing_at[1], height),
        round(float(random.uniform(-math.pi, math.pi)), 4),
        loose=True,
    )
    scene = Scene(
        seed=seed,
        blocks=tuple(blocks),
        items=(thing, *_others(random, thing, sign)),
        lights=tuple(light(random) for _ in range(2)),
        ambient=float(random.uniform(0.30, 0.50)),
        head=_head(random, thing, condition),
        arms=tuple(READY[name] for name in g1.ARMS.names),
        hands=tuple(float(v) for v in g1.HANDS.lower),
    )
    return Placing("onto the tray", seed, condition, scene, thing.name, side, f"put the {thing.name} on the tray", tray)


def _table(random: np.random.Generator, blocks: list[Block]) -> float:
    """A table close to the robot; returns its height [m]."""
    height = round(float(random.uniform(*TABLE_M)), 3)
    depth, width = random.uniform(0.5, 0.6), random.uniform(1.0, 1.4)
    paint = furniture_paint(random)
    blocks.append(Block((_FRONT_M + depth / 2, 0.0, height - 0.015), (depth / 2, width / 2, 0.015), 0.0, *paint))
    for y in (-width / 2 + 0.04, width / 2 - 0.04):
        leg = (height - 0.03) / 2
        blocks.append(Block((_FRONT_M + depth - 0.04, y, leg), (0.025, 0.025, leg), 0.0, *paint))
    return height


def _two_places(random: np.random.Generator, apart_m: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of thing and tray, x and y [m] on the left side, apart by so much along x or along y."""
    while True:
        (x, y), (tray_x, tray_y) = (
            (round(float(random.uniform(*REACH_X_M)), 4), round(float(random.uniform(*REACH_Y_M)), 4)) for _ in range(2)
        )
        if max(abs(x - tray_x), abs(y - tray_y)) > apart_m:
            return (x, y), (tray_x, tray_y)


def _others(random: np.random.Generator, thing: Item, sign: float) -> list[Item]:
    """Things of other names, that stand where the hands do not pass."""
    others: list[Item] = []
    wanted = int(random.integers(MOST_OTHERS + 1))
    for _ in range(20 * wanted):
        kind, variant = OTHERS[int(random.integers(len(OTHERS)))]
        colour = str(random.choice(CATALOGUE[kind].colours or list(COLOURS)))
        x, y = random.uniform(*OTHERS_X_M), random.uniform(*OTHERS_Y_M)
        if random.random() < 0.3:  # before the other hand's shoulder
            x, y = random.uniform(*REACH_X_M), -sign * random.uniform(*REACH_Y_M)
        position = (round(float(x), 4), round(float(y), 4), thing.position[2])
        item = Item(
            kind, colour, variant, random_colour(colour, random), position, round(float(random.uniform(-3.0, 3.0)), 4)
        )
        taken = (thing, *others)
        fits = all(apart(position, shape(kind, variant), other) for other in taken)
        distinct = item.name not in {o.name for o in taken} and (kind, variant) not in {
            (o.kind, o.variant) for o in taken
        }
        if fits and distinct:
            others.append(item)
        if len(others) == wanted:
            break
    return others


def _head(random: np.random.Generator, thing: Item, condition: str) -> tuple[float, float]:
    yaw, pitch, _ = direction_from_eye(thing.position)
    seen = (yaw + float(random.uniform(-0.25, 0.25)), pitch + float(random.uniform(-0.15, 0.05)))
    away = float(random.uniform(OUT_OF_VIEW_YAW_RAD, FARTHEST_YAW_RAD))
    hidden = (-math.copysign(away, yaw), float(random.uniform(-0.3, 0.1)))
    chosen = np.clip(seen if condition == CONDITIONS[0] else hidden, g1.HEAD.lower, g1.HEAD.upper)
    return float(chosen[0]), float(chosen[1])
