"""Things into a room: some where the eyes have them in full, some where furniture or other things hide them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.objects import COLOURS, VARIANTS, random_colour, shape
from sapave_ros.sim.parts import extent
from sapave_ros.sim.placement import EYE, apart, direction_from_eye
from sapave_ros.sim.rooms.draft import Spot
from sapave_ros.sim.scene import Block, Item
from sapave_ros.types import Floats

YAW_RAD = 0.84
PITCH_RAD = (-0.32, 1.35)
DISTANCE_M = (0.5, 2.9)
"""Where the head can bring a thing to the middle of the picture, less a margin, and how far it is seen."""

CLEAR = 0.55
"""Share of the things that must be in sight; the others stand wherever there is room."""

HANDS_M = 0.56
"""Nothing stands nearer to the robot than this, where its hands are."""

_HANDS_ABOVE_M = 0.55
_GAP_M = 0.012
_TRIES = 24


@dataclass(frozen=True)
class Footprint:
    """Rectangle around a thing that stands somewhere: centre (2,), half sizes (2,), yaw, and from where to where up."""

    centre: tuple[float, float]
    half: tuple[float, float]
    yaw: float
    low: float
    high: float

    @property
    def axes(self) -> Floats:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, s], [-s, c]])

    def meets(self, other: Footprint, gap: float = 0.0) -> bool:
        """Whether the two boxes overlap, or are nearer to each other than the gap [m] sideways."""
        if self.high <= other.low + 1e-3 or other.high <= self.low + 1e-3:
            return False
        between = np.subtract(other.centre, self.centre)
        reach = math.hypot(*self.half) + math.hypot(*other.half) + gap
        if between @ between > reach * reach:
            return False
        a, b = self.axes, other.axes
        for axis in (*a, *b):  # separating axes
            across = np.abs(a @ axis) @ self.half + np.abs(b @ axis) @ other.half
            if abs(between @ axis) > across + gap:
                return False
        return True


@cache
def _outline(kind: str, variant: int) -> tuple[float, float, float, float]:
    """Middle (x, y) and half sizes (x, y) of a thing seen from above, in its frame [m]."""
    (x0, y0, _), (x1, y1, _) = extent(shape(kind, variant).parts)
    return (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2


def footprint(item: Item) -> Footprint:
    """Of an item where it stands."""
    return _footprint(item.kind, item.variant, item.position, item.yaw_rad)


def _footprint(kind: str, variant: int, position: tuple[float, float, float], yaw: float) -> Footprint:
    mx, my, hx, hy = _outline(kind, variant)
    c, s = math.cos(yaw), math.sin(yaw)
    x, y, z = position
    centre = (x + c * mx - s * my, y + s * mx + c * my)
    return Footprint(centre, (hx, hy), yaw, z, z + shape(kind, variant).height)


def block_footprint(block: Block) -> Footprint:
    x, y, z = block.centre
    a, b, h = block.half_size
    return Footprint((x, y), (a, b), block.yaw_rad, z - h, z + h)


class Furniture:
    """The blocks of a room as arrays, for asking often what touches or hides a thing."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._footprints = [block_footprint(b) for b in blocks]
        self._centre = np.array([b.centre for b in blocks])  # (n, 3)
        self._half = np.array([b.half_size for b in blocks])  # (n, 3)
        yaw = np.array([b.yaw_rad for b in blocks])
        self._c, self._s = np.cos(yaw), np.sin(yaw)
        self._radius = np.hypot(self._half[:, 0], self._half[:, 1])
        self._eye = self._local(np.array(EYE))

    def touches(self, thing: Footprint) -> bool:
        """Whether the thing stands in a block."""
        level = np.hypot(*(self._centre[:, :2] - thing.centre).T) < self._radius + math.hypot(*thing.half)
        upright = (self._centre[:, 2] - self._half[:, 2] < thing.high - 1e-3) & (
            self._centre[:, 2] + self._half[:, 2] > thing.low + 1e-3
        )
        return any(self._footprints[i].meets(thing) for i in np.flatnonzero(level & upright))

    def hides(self, point: Sequence[float]) -> bool:
        """Whether a block is between the eyes and a point (3,) [m]: slabs in each block's frame."""
        along = self._local(np.array(point)) - self._eye
        along = np.where(np.abs(along) < 1e-9, 1e-9, along)
        first, second = (-self._half - self._eye) / along, (self._half - self._eye) / along
        near = np.minimum(first, second).max(axis=1)
        far = np.maximum(first, second).min(axis=1)
        return bool((np.maximum(near, 0.0) < np.minimum(far, 0.99)).any())

    def _local(self, point: NDArray[np.float64]) -> Floats:
        x, y, z = (point - self._centre).T
        return np.stack([self._c * x + self._s * y, self._c * y - self._s * x, z], axis=1)


def fill(
    random: np.random.Generator, blocks: Sequence[Block], spots: Sequence[Spot], kinds: Sequence[str]
) -> tuple[list[Item], list[Spot]]:
    """Six to fourteen things and the spot of each; fewer where the spots or the kinds do not hold so many.

    Names (colour and kind) are distinct, and so are (kind, size); several of a kind are wanted.
    """
    furniture = Furniture(blocks)
    shares = np.array([s.share for s in spots])
    shares = shares / shares.sum()
    wanted = int(random.integers(6, 15))
    items: list[Item] = []
    where: list[Spot] = []
    for kind, colour, variant in _choice(random, kinds, 3 * wanted):
        found = _place(random, furniture, spots, shares, items, kind, variant)
        if found is None:
            continue
        spot, position, yaw = found
        items.append(Item(kind, colour, variant, random_colour(colour, random), position, yaw))
        where.append(spot)
        if len(items) == wanted:
            break
    return items, where


def _choice(random: np.random.Generator, kinds: Sequence[str], count: int) -> list[tuple[str, str, int]]:
    """(kind, colour, variant): half of the kinds come in twos and threes, which differ in colour and in size."""
    chosen: list[tuple[str, str, int]] = []
    for i in random.permutation(len(kinds)):
        kind = kinds[i]
        colours = CATALOGUE[kind].colours or COLOURS
        copies = min(int(random.choice([1, 2, 3], p=[0.55, 0.30, 0.15])), len(colours))
        shades = random.permutation(len(colours))[:copies]
        sizes = random.permutation(len(VARIANTS))[:copies]
        chosen += [(kind, colours[c], int(v)) for c, v in zip(shades, sizes)]
        if len(chosen) >= count:
            break
    return chosen


def _place(
    random: np.random.Generator,
    furniture: Furniture,
    spots: Sequence[Spot],
    shares: Floats,
    items: Sequence[Item],
    kind: str,
    variant: int,
) -> tuple[Spot, tuple[float, float, float], float] | None:
    body = shape(kind, variant)
    clear = random.random() < CLEAR
    others = [footprint(i) for i in items]
    for _ in range(_TRIES):
        spot = spots[int(random.choice(len(spots), p=shares))]
        s = spot.surface
        if body.height > s.clearance:
            continue
        # As it is seen best half of the time: the front of a thing is towards -x.
        towards = math.atan2(s.y - EYE[1], s.x - EYE[0])
        yaw = towards + random.normal(0, 0.5) if random.random() < 0.5 else random.uniform(-math.pi, math.pi)
        yaw = round(float(math.remainder(yaw, 2 * math.pi)), 4)
        mx, my, hx, hy = _outline(kind, variant)
        c, k = abs(math.cos(yaw - s.yaw)), abs(math.sin(yaw - s.yaw))
        room_u, room_v = s.half_x - (c * hx + k * hy), s.half_y - (k * hx + c * hy)
        if room_u < 0 or room_v < 0:
            continue
        mu, mv = random.uniform(-room_u, room_u), random.uniform(-room_v, room_v)
        x, y, z = s.point(mu, mv)
        cy, sy = math.cos(yaw), math.sin(yaw)
        position = (round(x - cy * mx + sy * my, 4), round(y - sy * mx - cy * my, 4), round(z, 4))
        thing = _footprint(kind, variant, position, yaw)
        if not _within_reach(thing) or any(thing.meets(o, _GAP_M) for o in others) or furniture.touches(thing):
            continue
        if clear and not (_in_sight(furniture, thing, body.radius) and all(apart(position, body, i) for i in items)):
            continue
        return spot, position, yaw
    return None


def _within_reach(thing: Footprint) -> bool:
    """Whether the head can look at it, and the hands are not in it."""
    x, y = thing.centre
    if x - math.hypot(*thing.half) < HANDS_M and thing.high > _HANDS_ABOVE_M:
        return False
    yaw, pitch, distance = direction_from_eye((x, y, (thing.low + thing.high) / 2))
    return abs(yaw) < YAW_RAD and PITCH_RAD[0] < pitch < PITCH_RAD[1] and DISTANCE_M[0] < distance < DISTANCE_M[1]


def _in_sight(furniture: Furniture, thing: Footprint, radius: float) -> bool:
    """Whether no block stands before the middle, nor before more than one of the four sides."""
    x, y = thing.centre
    yaw, _, _ = direction_from_eye((x, y, thing.low))
    middle = (thing.low + thing.high) / 2
    if furniture.hides((x, y, middle)):
        return False
    side_x, side_y = -0.8 * radius * math.sin(yaw), 0.8 * radius * math.cos(yaw)
    height = thing.high - thing.low
    sides = (
        (x, y, thing.low + 0.15 * height),
        (x, y, thing.low + 0.9 * height),
        (x + side_x, y + side_y, middle),
        (x - side_x, y - side_y, middle),
    )
    return sum(furniture.hides(p) for p in sides) <= 1
