"""What people call a shape: tall, flat, long, round.

Yes (True), no (False), or that people might disagree (None), as everywhere in `facts`.
"""

from __future__ import annotations

import numpy as np

from sapave_ros.sim.objects import Shape
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
    boxy = all(p.shape == "box" for p in shape.parts)
    bodies = [p for p in shape.parts if p.colour is None and p.shape in ("sphere", "ellipsoid")]
    ball = any(max(p.size) <= BALL * min(p.size) and 2 * max(p.size) > 0.8 * max(x, y, z) for p in bodies)
    if ball and max(x, y, z) <= BALL * min(x, y, z):
        return True
    angular = boxy or any(p.shape == "box" and max(p.size) > 0.35 * max(x, y, z) for p in shape.parts)
    return False if angular or shaped(shape, "tall") or shaped(shape, "long") else None


def above(value: float, yes: float, no: float) -> Truth:
    return True if value >= yes else False if value <= no else None
