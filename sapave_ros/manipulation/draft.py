"""A room in the making, with a table that a robot can work at. What is said of the left goes for the right as well."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from sapave_ros import g1
from sapave_ros.manipulation.hiding import hide
from sapave_ros.manipulation.settings import CONDITIONS, READY
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.mechanisms import Mechanism, handle_centre
from sapave_ros.sim.objects import COLOURS, VARIANTS, Colour, random_colour, shape
from sapave_ros.sim.parts import Vector
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

_FRONT_M = 0.24

Spot = tuple[float, float]


class Draft:
    """What is drawn in which order is part of a setting: another order gives another room for the same seed.

    random: where everything is drawn from. height: of the table [m]. side, sign: of the hand that is asked for, and
    of y there. table: index of the block that is its top.
    """

    def __init__(self, seed: int, tag: int, condition: str) -> None:
        """Raises ValueError on an unknown condition."""
        if condition not in CONDITIONS:
            raise ValueError(f"condition {condition!r}; expected one of {', '.join(CONDITIONS)}")
        self.seed, self.condition = seed, condition
        self.random = np.random.default_rng([seed, tag])
        self._tag = tag
        self.blocks: list[Block] = []
        walls(self.random, self.blocks)
        self.table = len(self.blocks)
        self.height = self._table()
        self.side = ("left", "right")[int(self.random.integers(2))]
        self.sign = 1.0 if self.side == "left" else -1.0

    def _table(self) -> float:
        """A table close to the robot; returns its height [m]."""
        random, blocks = self.random, self.blocks
        height = round(float(random.uniform(*TABLE_M)), 3)
        depth, width = random.uniform(0.5, 0.6), random.uniform(1.0, 1.4)
        paint = furniture_paint(random)
        blocks.append(Block((_FRONT_M + depth / 2, 0.0, height - 0.015), (depth / 2, width / 2, 0.015), 0.0, *paint))
        for y in (-width / 2 + 0.04, width / 2 - 0.04):
            leg = (height - 0.03) / 2
            blocks.append(Block((_FRONT_M + depth - 0.04, y, leg), (0.025, 0.025, leg), 0.0, *paint))
        return height

    def uniform(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def spot(self, x_m: Spot, y_m: Spot) -> Spot:
        """x and y [m] from ranges of them."""
        return round(self.uniform(*x_m), 4), round(self.uniform(*y_m), 4)

    def thing(self, things: Sequence[tuple[str, int]] = THINGS) -> tuple[str, int, str]:
        """Kind, variant and colour."""
        kind, variant = things[int(self.random.integers(len(things)))]
        return kind, variant, str(self.random.choice(CATALOGUE[kind].colours or list(COLOURS)))

    def rgb(self) -> Colour:
        """Of something that is neither furniture nor called by its colour."""
        red, green, blue = (float(v) for v in self.random.uniform(0.15, 0.9, 3))
        return red, green, blue

    def block(self, low: Vector, half: Vector, rgb: Colour, texture: str = "plain") -> int:
        """A block that stands on `low`, the middle of its lower face [m] on the left; returns its index."""
        x, y, z = low
        self.blocks.append(Block((x, self.sign * y, z + half[2]), half, 0.0, rgb, texture))
        return len(self.blocks) - 1

    def item(self, kind: str, variant: int, colour: str, at: Spot, z: float | None = None) -> Item:
        """Something that can be moved, with its middle there on the left; z: what it stands on, else the table."""
        return Item(
            kind,
            colour,
            variant,
            random_colour(colour, self.random),
            (at[0], self.sign * at[1], self.height if z is None else z),
            round(self.uniform(-math.pi, math.pi), 4),
            loose=True,
        )

    def scene(
        self,
        thing: Item,
        companions: Sequence[Item] = (),
        *,
        without: Collection[str] = (),
        elsewhere: float = 0.3,
        beyond: Spot = OTHERS_X_M,
    ) -> Scene:
        """With things of other names, lights, and the head as the condition wants it. without: kinds that are not among
        those. elsewhere: the share of them that stands before the other hand's shoulder. beyond: x of the rest.
        """
        items = (thing, *companions, *self._others((thing, *companions), without, elsewhere, beyond))
        x, y, z = thing.position
        # What stands higher is nearer to the eye: there it is looked at half way up.
        middle = (x, y, z + (z > self.height) * shape(thing.kind, thing.variant).height / 2)
        return self._scene(thing, middle, items)

    def scene_with(
        self, mechanisms: Sequence[Mechanism], *, elsewhere: float = 0.3, beyond: Spot = OTHERS_X_M
    ) -> Scene:
        """With mechanisms, of which the first is to be worked, and else as `scene`."""
        others = self._others((), (), elsewhere, beyond)
        items = tuple(item for item in others if all(_beside(item, mechanism) for mechanism in mechanisms))
        return self._scene(mechanisms[0], handle_centre(mechanisms[0], mechanisms[0].start), items, tuple(mechanisms))

    def _scene(
        self,
        thing: Item | Mechanism,
        middle: Vector,
        items: tuple[Item, ...],
        mechanisms: tuple[Mechanism, ...] = (),
    ) -> Scene:
        scene = Scene(
            seed=self.seed,
            blocks=tuple(self.blocks),
            items=items,
            lights=tuple(light(self.random) for _ in range(2)),
            ambient=self.uniform(0.30, 0.50),
            head=self._head(middle),
            arms=tuple(READY[name] for name in g1.ARMS.names),
            hands=tuple(float(v) for v in g1.HANDS.lower),
            mechanisms=mechanisms,
        )
        if self.condition != "occluded":
            return scene
        return hide(np.random.default_rng([self.seed, self._tag, 0x41D]), scene, thing)

    def _others(self, taken: tuple[Item, ...], without: Collection[str], elsewhere: float, beyond: Spot) -> list[Item]:
        """Things of other names, that stand where the hands do not pass."""
        random = self.random
        others: list[Item] = []
        wanted = int(random.integers(MOST_OTHERS + 1))
        for _ in range(20 * wanted):
            kind, variant = OTHERS[int(random.integers(len(OTHERS)))]
            colour = str(random.choice(CATALOGUE[kind].colours or list(COLOURS)))
            x, y = random.uniform(*beyond), random.uniform(*OTHERS_Y_M)
            if random.random() < elsewhere:  # before the other hand's shoulder
                x, y = random.uniform(*REACH_X_M), -self.sign * random.uniform(*REACH_Y_M)
            position = (round(float(x), 4), round(float(y), 4), self.height)
            item = Item(
                kind,
                colour,
                variant,
                random_colour(colour, random),
                position,
                round(float(random.uniform(-3.0, 3.0)), 4),
            )
            there = (*taken, *others)
            fits = kind not in without and all(apart(position, shape(kind, variant), other) for other in there)
            distinct = item.name not in {o.name for o in there} and (kind, variant) not in {
                (o.kind, o.variant) for o in there
            }
            if fits and distinct:
                others.append(item)
            if len(others) == wanted:
                break
        return others

    def _head(self, middle: Vector) -> tuple[float, float]:
        yaw, pitch, _ = direction_from_eye(middle)
        seen = (yaw + self.uniform(-0.25, 0.25), pitch + self.uniform(-0.15, 0.05))
        away = self.uniform(OUT_OF_VIEW_YAW_RAD, FARTHEST_YAW_RAD)
        hidden = (-math.copysign(away, yaw), self.uniform(-0.3, 0.1))
        chosen = np.clip(hidden if self.condition == "out of view" else seen, g1.HEAD.lower, g1.HEAD.upper)
        return float(chosen[0]), float(chosen[1])


def _beside(item: Item, mechanism: Mechanism) -> bool:
    """Whether a thing stands clear of a mechanism's housing."""
    away = math.dist(item.position[:2], mechanism.position[:2])
    return away > shape(item.kind, item.variant).radius + math.hypot(*mechanism.half_size[:2]) + 0.03
