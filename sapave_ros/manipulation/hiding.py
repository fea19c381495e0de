"""What hides most of a thing from the head and leaves the hand its way: a lamp that hangs into the line of sight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sapave_ros.sim.mechanisms import Mechanism, handle_centre, handle_points
from sapave_ros.sim.objects import shape
from sapave_ros.sim.parts import Vector
from sapave_ros.sim.placement import crosses, direction_from_eye
from sapave_ros.sim.scene import Block, Item, Scene

HIDDEN = (0.45, 0.65)
"""How much of a thing is hidden, reckoned with `eye`; what the camera measures is a little more or less."""
HANDLE_HIDDEN = (0.42, 0.68)
"""The same of a handle, which is smaller than what the eye moves by between looking past it and at it."""

_ALONG = (0.36, 0.46)
"""Where on the line from the eye to the thing the lamp hangs, of its length: lower, the hands would meet it."""
_HALF_M = (0.02, 0.04)
_CORD_M, _CEILING_M = 0.003, 2.7
_SAMPLES = (np.linspace(-0.9, 0.9, 7), np.linspace(0.04, 0.96, 13))


def eye(head: tuple[float, ...]) -> Vector:
    """Where the head camera is [m] at a position of the head [rad], within 3 mm where it looks at a table: 11 mm to the
    right of the neck's axis, and the less ahead the more it looks down."""
    yaw, pitch = head
    ahead, right = 0.0743 - 0.031 * pitch, 0.011
    c, s = math.cos(yaw), math.sin(yaw)
    return (0.031 + ahead * c + right * s, ahead * s - right * c, 1.31 - 0.028 * pitch)


Points = Callable[[Vector], Sequence[Vector]]
"""Of a thing as it is seen from an eye [m]."""


def hide(random: np.random.Generator, scene: Scene, thing: Item | Mechanism) -> Scene:
    """The same with a lamp before the thing, both where the head is and where it looks straight at it."""
    if isinstance(thing, Mechanism):
        x, y, z = handle_centre(thing, thing.start)
        middle, points, (low, high) = np.array([x, y, z]), _of_handle(thing), HANDLE_HIDDEN
    else:
        x, y, z = thing.position
        middle, points = np.array([x, y, z + shape(thing.kind, thing.variant).height / 2]), _of_item(thing)
        low, high = HIDDEN
    straight = eye(direction_from_eye((x, y, float(middle[2])))[:2])
    eyes = (eye(scene.head), straight)
    across = np.array([straight[1] - y, x - straight[0], 0.0]) / math.hypot(x - straight[0], y - straight[1])
    yaw = math.atan2(y - straight[1], x - straight[0])
    red, green, blue = (float(v) for v in random.uniform(0.2, 0.95, 3))
    while True:
        at = straight + float(random.uniform(*_ALONG)) * (middle - straight)
        at = at + float(random.uniform(-0.03, 0.03)) * across + np.array([0.0, 0.0, random.uniform(-0.03, 0.05)])
        half = (float(random.uniform(*_HALF_M)), float(random.uniform(*_HALF_M)), float(random.uniform(0.015, 0.035)))
        shade = Block((float(at[0]), float(at[1]), float(at[2])), half, yaw, (red, green, blue))
        top = float(at[2]) + half[2]
        cord = (_CEILING_M - top) / 2
        hung = Block((float(at[0]), float(at[1]), top + cord), (_CORD_M, _CORD_M, cord), yaw, (0.15, 0.15, 0.15))
        # A handle is so small that the cord counts.
        before = (shade, hung) if isinstance(thing, Mechanism) else (shade,)
        if all(low <= hidden(points, before, start) <= high for start in eyes):
            return replace(scene, blocks=(*scene.blocks, shade, hung))


def hidden(points: Points, before: Sequence[Block], start: Vector) -> float:
    """The share of a thing that blocks hide from there."""
    seen = points(start)
    return sum(any(crosses(block, point, start) for block in before) for point in seen) / len(seen)


def _of_item(thing: Item) -> Points:
    body = shape(thing.kind, thing.variant)
    x, y, z = thing.position

    def points(start: Vector) -> list[Vector]:
        far = math.hypot(x - start[0], y - start[1])
        side = (body.radius * (start[1] - y) / far, body.radius * (x - start[0]) / far)
        return [(x + u * side[0], y + u * side[1], z + v * body.height) for u in _SAMPLES[0] for v in _SAMPLES[1]]

    return points


def _of_handle(mechanism: Mechanism) -> Points:
    of = handle_points(mechanism, mechanism.start)
    return lambda start: of
