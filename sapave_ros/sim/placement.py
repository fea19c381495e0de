"""Where things can stand in a room so that the head can look at them: on a surface, in reach, in sight, apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sapave_ros.sim.objects import Shape, Vector, shape

if TYPE_CHECKING:
    from sapave_ros.sim.scene import Block, Item

EYE: Vector = (0.08, 0.0, 1.33)
"""Where the head camera is, roughly [m]: to place things where the head can look. Labels never use it."""

REACH_YAW_RAD = 0.80
REACH_PITCH_DOWN_RAD = (-0.24, 1.12)
REACH_DISTANCE_M = (0.5, 2.1)
_GAP_M = 0.02


@dataclass(frozen=True)
class Surface:
    """Something to put objects on: a horizontal rectangle with a yaw, and the free height above it [m]."""

    x: float
    y: float
    z: float
    yaw: float
    half_x: float
    half_y: float
    clearance: float = 1.0

    def point(self, u: float, v: float) -> Vector:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return (self.x + c * u - s * v, self.y + s * u + c * v, self.z)


def direction_from_eye(point: Vector) -> tuple[float, float, float]:
    """Yaw [rad], pitch below the horizontal [rad] and distance [m] of a point as seen from `EYE`."""
    x, y, z = (p - e for p, e in zip(point, EYE, strict=True))
    level = math.hypot(x, y)
    return math.atan2(y, x), math.atan2(-z, level), math.hypot(level, z)


def random_spot(random: np.random.Generator, surfaces: list[Surface], body: Shape) -> Vector | None:
    """A place on some surface, within the reach of the eyes."""
    s = surfaces[random.integers(len(surfaces))]
    if body.height > s.clearance:
        return None
    # A thing wider than a board may stick out of it; its middle stays on.
    u = random.uniform(-1, 1) * max(s.half_x - body.radius, 0.3 * s.half_x)
    v = random.uniform(-1, 1) * max(s.half_y - body.radius, 0.0)
    x, y, z = (round(float(p), 4) for p in s.point(u, v))
    yaw, pitch, distance = direction_from_eye((x, y, z + body.height / 2))
    in_reach = (
        abs(yaw) < REACH_YAW_RAD
        and REACH_PITCH_DOWN_RAD[0] < pitch < REACH_PITCH_DOWN_RAD[1]
        and REACH_DISTANCE_M[0] < distance < REACH_DISTANCE_M[1]
    )
    return (x, y, z) if in_reach else None


def seen(position: Vector, body: Shape, furniture: list[Block]) -> bool:
    """Whether no furniture stands before the middle, nor before more than one of its four sides."""
    x, y, z = position
    yaw, _, _ = direction_from_eye(position)
    side_x, side_y = -0.8 * body.radius * math.sin(yaw), 0.8 * body.radius * math.cos(yaw)
    middle = (x, y, z + 0.5 * body.height)
    sides = (
        (x, y, z + 0.15 * body.height),
        (x, y, z + 0.9 * body.height),
        (x + side_x, y + side_y, middle[2]),
        (x - side_x, y - side_y, middle[2]),
    )
    if any(crosses(b, middle) for b in furniture):
        return False
    return sum(any(crosses(b, p) for b in furniture) for p in sides) <= 1


def crosses(block: Block, point: Vector, eye: Vector = EYE) -> bool:
    """Whether the line from the eye to the point meets the block (slab test in the block's frame)."""
    c, s = math.cos(block.yaw_rad), math.sin(block.yaw_rad)

    def local(p: Vector) -> Vector:
        x, y, z = (a - b for a, b in zip(p, block.centre, strict=True))
        return (c * x + s * y, c * y - s * x, z)

    near, far = 0.0, 1.0
    for start, end, half in zip(local(eye), local(point), block.half_size, strict=True):
        along = end - start
        if abs(along) < 1e-9:
            if abs(start) > half:
                return False
            continue
        first, second = sorted(((-half - start) / along, (half - start) / along))
        near, far = max(near, first), min(far, second)
    return near < far


def apart(position: Vector, body: Shape, other: Item) -> bool:
    """Whether a new thing neither touches another nor hides (or is hidden by) most of it."""
    there = shape(other.kind, other.variant)
    x, y, z = position
    other_x, other_y, other_z = other.position
    beside = z >= other_z + there.height or other_z >= z + body.height
    if not beside and math.hypot(x - other_x, y - other_y) < body.radius + there.radius + _GAP_M:
        return False
    yaw, pitch, distance = direction_from_eye((x, y, z + body.height / 2))
    yaw_o, pitch_o, distance_o = direction_from_eye((other_x, other_y, other_z + there.height / 2))
    in_line = abs(yaw - yaw_o) * math.cos(pitch) < 0.55 * (body.radius / distance + there.radius / distance_o)
    in_height = abs(pitch - pitch_o) < 0.45 * (body.height / distance + there.height / distance_o)
    return not (in_line and in_height)
