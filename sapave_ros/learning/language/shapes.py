"""What people call a shape: tall, flat, long, round.

Yes (True), no (False), or that people might disagree (None), as everywhere in `facts`.
"""

from __future__ import annotations

import numpy as np

from sapave_ros.sim.objects import Part, Shape
from sapave_ros.types import Floats

Truth = bool | None

TALL = (1.8, 1.4)
"""Height to width: tall, certainly not tall."""
FLAT = (0.35, 0.5)
"""Height to the shorter side: flat, certainly not flat."""
LONG = (3.0, 1.8)
"""Longest side to the next: long, certainly not long."""
BALL = 1.25
"""Longest side to shortest of something round."""
BULGE = (0.75, 0.85)
"""Width at an end to the greatest: bulging as a ball does, straight as a can."""


def extents(shape: Shape) -> tuple[float, float, float]:
    """Size (x, y, z) [m] of the box around a shape's parts."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for part in shape.parts:
        if part.profile:
            radius = max(abs(r) for r, _ in part.profile)
            heights = [z for _, z in part.profile]
            half = np.array([radius, radius, (max(heights) - min(heights)) / 2])
            middle = np.array([0.0, 0.0, (max(heights) + min(heights)) / 2])
        else:
            half, middle = _half_size(part.shape, part.size), np.zeros(3)
        turned = _rotation(part.quaternion)
        centre = np.array(part.position) + turned @ middle
        reach = np.abs(turned) @ half
        low, high = np.minimum(low, centre - reach), np.maximum(high, centre + reach)
    x, y, z = high - low
    return float(x), float(y), float(z)


def _half_size(shape: str, size: tuple[float, ...]) -> Floats:
    if shape == "sphere":
        return np.full(3, size[0])
    if shape == "cylinder":
        return np.array([size[0], size[0], size[1]])
    if shape == "capsule":
        return np.array([size[0], size[0], size[1] + size[0]])
    return np.array(size)


def _rotation(quaternion: tuple[float, float, float, float]) -> Floats:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def shaped(shape: Shape, word: str) -> Truth:
    """Whether a shape is tall, flat, long or round."""
    x, y, z = extents(shape)
    shorter, longer = sorted((x, y))
    if word == "tall":
        return above(z / longer, *TALL)
    if word == "flat":
        if longer / shorter > LONG[1]:
            return None if z / shorter < FLAT[1] else False
        return above(-z / shorter, -FLAT[0], -FLAT[1])
    if word == "long":
        return above(longer / max(shorter, z), *LONG)
    return _round(shape, sorted((x, y, z)))


def _round(shape: Shape, sides: list[float]) -> Truth:
    """Like a ball: one part fills it and bulges in the middle. Of flat round things and of cups people say both."""
    shortest, middle, longest = sides
    if middle < longest / BALL**2 or any(p.shape == "box" and 2 * max(p.size) > 0.7 * longest for p in shape.parts):
        return False
    widths = [w for p in shape.parts if (w := _widths(p)) and 2 * w[1] > 0.8 * middle]
    if not widths:
        return None
    end, centre, height = max(widths, key=lambda w: w[1])
    if end < BULGE[0] * centre and 2 * centre / BALL <= height <= 2 * centre * BALL and longest <= BALL * shortest:
        return True
    return False if end > BULGE[1] * centre and height > 2 * centre / BALL else None


def _widths(part: Part) -> tuple[float, float, float] | None:
    """Radius at the narrower end, in the middle, and height [m] of what is round when seen from above."""
    if part.shape in ("sphere", "ellipsoid") and max(part.size) <= BALL * min(part.size):
        return 0.0, max(part.size), 2 * min(part.size)
    if part.shape == "cylinder":
        return part.size[0], part.size[0], 2 * part.size[1]
    if not part.profile:
        return None
    low, high = min(z for _, z in part.profile), max(z for _, z in part.profile)
    share = [(r, (z - low) / (high - low)) for r, z in part.profile if high > low]
    ends = [max((r for r, s in share if near(s)), default=0.0) for near in (lambda s: s < 0.1, lambda s: s > 0.9)]
    return min(ends), max(r for r, _ in part.profile), high - low


def above(value: float, yes: float, no: float) -> Truth:
    return True if value >= yes else False if value <= no else None
