"""Things into a room: some where the eyes have them in full, some where furniture or other things hide them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.objects import COLOURS, VARIANTS, random_colour, shape
from sapave_ros.sim.parts import Vector, extent
from sapave_ros.sim.placement import EYE, apart, direction_from_eye
from sapave_ros.sim.rooms.draft import Spot
from sapave_ros.sim.scene import Block, Item
from sapave_ros.types import Floats

YAW_RAD = 0.84
PITCH_RAD = (-0.32, 1.35)
DISTANCE_M = (0.5, 2.9)
"""Where the head can bring a thing to the middle of the picture, less a margin, and how far it is seen."""

CLEAR, COVERED = 0.20, 0.66
"""Share of the things that are put where the eyes have them in full, and where something hides a part of them; the
others stand wherever there is room. What comes later may hide what was in full sight."""

HANDS_M = 0.56
"""Nothing stands nearer to the robot than this, where its hands are."""

_HANDS_ABOVE_M = 0.55
_GAP_M = 0.012
_TRIES = 36
_FILLED = 0.8  # of the box around a thing, sideways: round things do not hide what is behind the corners


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


def collide(blocks: Sequence[Block], groups: Sequence[Sequence[int]], tolerance: float = 0.010) -> bool:
    """Whether a block of one group stands in a block of another, deeper than the tolerance [m]."""
    prints = [[block_footprint(blocks[i]) for i in group] for group in groups]
    around = [_bounds([blocks[i] for i in group]) for group in groups]
    for (i, (low_i, high_i)), (j, (low_j, high_j)) in combinations(enumerate(around), 2):
        near = (low_i < high_j).all() and (low_j < high_i).all()
        if near and any(a.meets(b, -tolerance) for a in prints[i] for b in prints[j]):
            return True
    return False


def _bounds(blocks: Sequence[Block]) -> tuple[Floats, Floats]:
    """Lowest and highest corner (3,) [m] of a box around blocks, with room to spare."""
    centre = np.array([b.centre for b in blocks])
    half = np.array([(math.hypot(*b.half_size[:2]),) * 2 + (b.half_size[2],) for b in blocks])
    return (centre - half).min(axis=0), (centre + half).max(axis=0)


class Solids:
    """Blocks and things as arrays, for asking often what touches or hides a thing."""

    def __init__(self, footprints: Sequence[Footprint], filled: Sequence[float]) -> None:
        self._footprints = list(footprints)
        self._low = np.array([f.low for f in footprints])
        self._high = np.array([f.high for f in footprints])
        self._middle = np.array([f.centre for f in footprints])  # (n, 2)
        self._radius = np.array([math.hypot(*f.half) for f in footprints])
        half = np.array([f.half for f in footprints]) * np.array(filled)[:, None]
        self._half = np.column_stack([half, (self._high - self._low) / 2])  # (n, 3)
        self._centre = np.column_stack([self._middle, (self._high + self._low) / 2])
        yaw = np.array([f.yaw for f in footprints])
        self._c, self._s = np.cos(yaw), np.sin(yaw)
        self._eye = self._local(np.array([EYE]))

    def touches(self, thing: Footprint) -> bool:
        """Whether the thing stands in one of them."""
        level = np.hypot(*(self._middle - thing.centre).T) < self._radius + math.hypot(*thing.half)
        upright = (self._low < thing.high - 1e-3) & (self._high > thing.low + 1e-3)
        return any(self._footprints[i].meets(thing) for i in np.flatnonzero(level & upright))

    def hides(self, points: Floats) -> NDArray[np.bool_]:
        """Which of the points (p, 3) [m] have one of them between the eyes and them: slabs in each one's frame."""
        along = self._local(points) - self._eye  # (p, n, 3)
        along = np.where(np.abs(along) < 1e-9, 1e-9, along)
        first, second = (-self._half - self._eye) / along, (self._half - self._eye) / along
        near = np.minimum(first, second).max(axis=2)
        far = np.maximum(first, second).min(axis=2)
        return (np.maximum(near, 0.0) < np.minimum(far, 0.99)).any(axis=1)

    def _local(self, points: Floats) -> Floats:
        x, y, z = np.moveaxis(points[:, None] - self._centre, 2, 0)
        return np.stack([self._c * x + self._s * y, self._c * y - self._s * x, z], axis=2)


def fill(
    random: np.random.Generator, blocks: Sequence[Block], spots: Sequence[Spot], kinds: Sequence[str]
) -> tuple[list[Item], list[Spot]]:
    """Six to fourteen things and the spot of each; fewer where the spots or the kinds do not hold so many.

    Names (colour and kind) are distinct, and so are (kind, size); several of a kind are wanted.
    """
    furniture = [block_footprint(b) for b in blocks]
    solids = Solids(furniture, [1.0] * len(furniture))
    shares = np.array([s.share for s in spots])
    shares = shares / shares.sum()
    wanted = int(random.integers(6, 15))
    items: list[Item] = []
    where: list[Spot] = []
    for kind, colour, variant in _choice(random, kinds, 3 * wanted):
        found = _place(random, solids, spots, shares, items, kind, variant)
        if found is None:
            continue
        spot, position, yaw = found
        items.append(Item(kind, colour, variant, random_colour(colour, random), position, yaw))
        where.append(spot)
        if len(items) == wanted:
            break
        things = [footprint(i) for i in items]
        solids = Solids(furniture + things, [1.0] * len(furniture) + [_FILLED] * len(things))
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
    solids: Solids,
    spots: Sequence[Spot],
    shares: Floats,
    items: Sequence[Item],
    kind: str,
    variant: int,
) -> tuple[Spot, Vector, float] | None:
    """Where it can stand, as it is wished if there is such a place among those tried; None where there is none."""
    body = shape(kind, variant)
    wish = random.random()
    clear, covered = wish < CLEAR, CLEAR <= wish < CLEAR + COVERED
    others = [footprint(i) for i in items]
    second_best = None
    for _ in range(_TRIES):
        spot = spots[int(random.choice(len(spots), p=shares))]
        found = _stand(random, spot, kind, variant) if body.height <= spot.surface.clearance else None
        if found is None:
            continue
        position, yaw = found
        thing = _footprint(kind, variant, position, yaw)
        if not _within_reach(thing) or any(thing.meets(o, _GAP_M) for o in others) or solids.touches(thing):
            continue
        if clear or covered:
            hidden = int(solids.hides(_points(thing)).sum())
            as_wished = hidden <= 1 and all(apart(position, body, i) for i in items) if clear else 2 <= hidden < _POINTS
            if not as_wished:
                second_best = second_best or (spot, position, yaw)
                continue
        return spot, position, yaw
    return second_best if covered else None


def _stand(random: np.random.Generator, spot: Spot, kind: str, variant: int) -> tuple[Vector, float] | None:
    """Position [m] and yaw [rad] of a thing somewhere on the spot's surface, None where it does not fit that way."""
    s = spot.surface
    # As it is seen best half of the time: the front of a thing is towards -x.
    towards = math.atan2(s.y - EYE[1], s.x - EYE[0])
    yaw = towards + random.normal(0, 0.5) if random.random() < 0.5 else random.uniform(-math.pi, math.pi)
    yaw = round(float(math.remainder(yaw, 2 * math.pi)), 4)
    middle_x, middle_y, half_x, half_y = _outline(kind, variant)
    c, k = abs(math.cos(yaw - s.yaw)), abs(math.sin(yaw - s.yaw))
    room_u, room_v = s.half_x - (c * half_x + k * half_y), s.half_y - (k * half_x + c * half_y)
    if room_u < 0 or room_v < 0:
        return None
    x, y, z = s.point(random.uniform(-room_u, room_u), random.uniform(-room_v, room_v))
    c, k = math.cos(yaw), math.sin(yaw)
    x, y = x - c * middle_x + k * middle_y, y - k * middle_x - c * middle_y
    return (round(float(x), 4), round(float(y), 4), round(float(z), 4)), yaw


def _within_reach(thing: Footprint) -> bool:
    """Whether the head can look at it, and the hands are not in it."""
    x, y = thing.centre
    if x - math.hypot(*thing.half) < HANDS_M and thing.high > _HANDS_ABOVE_M:
        return False
    yaw, pitch, distance = direction_from_eye((x, y, (thing.low + thing.high) / 2))
    return abs(yaw) < YAW_RAD and PITCH_RAD[0] < pitch < PITCH_RAD[1] and DISTANCE_M[0] < distance < DISTANCE_M[1]


_ACROSS, _UP = (-0.7, 0.0, 0.7), (0.15, 0.5, 0.88)
_POINTS = len(_ACROSS) * len(_UP)


def _points(thing: Footprint) -> Floats:
    """Points (p, 3) [m] of a thing as the eyes see it: in rows across the line of sight."""
    x, y = thing.centre
    yaw, _, _ = direction_from_eye((x, y, thing.low))
    c, s = abs(math.cos(yaw - thing.yaw)), abs(math.sin(yaw - thing.yaw))
    half = s * thing.half[0] + c * thing.half[1]
    return np.array(
        [
            (x - a * half * math.sin(yaw), y + a * half * math.cos(yaw), thing.low + b * (thing.high - thing.low))
            for a in _ACROSS
            for b in _UP
        ]
    )
