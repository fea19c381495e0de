"""The right movement of the head, as a velocity that depends on nothing but where the head is.

Both movements are flows: the velocity at a pose is the same whenever and however the head came there. So a
policy without memory can follow them, and re-planning in the middle of a movement continues it. Head poses
are (yaw, pitch) [rad], in `g1.HEAD` order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sapave_ros import g1
from sapave_ros.types import Floats

LOOK_SPEED_RAD_S = 1.2
LOOK_TIME_S = 0.2
"""The last part of a turn decays with this time constant: 6 rad/s^2 of deceleration, a third of the neck's limit."""

SEARCH_SPEED_RAD_S = 1.2
SEARCH_CENTRE_RAD = np.array([0.0, 0.44])
SEARCH_RADII_RAD = np.array([0.52, 0.46])
"""The circuit of the search, an ellipse of 3.1 rad: with the 69 x 43 degrees of the camera it shows yaw -64 to 64
degrees and pitch -22 to 73 degrees once in 2.6 s."""

_JOINING = 1.5  # how fast the search joins its circuit from elsewhere, in relation to going around
_SUBSTEPS = 5

Velocity = Callable[[Floats], Floats]


def look_velocity(head: Floats, goal: Floats) -> Floats:
    """Towards a pose at constant speed, slowing down in front of it. (2,) [rad/s]."""
    away = goal - head
    distance = float(np.linalg.norm(away))
    if distance < 1e-9:
        return np.zeros(2)
    return away / distance * min(LOOK_SPEED_RAD_S, distance / LOOK_TIME_S)


def search_velocity(head: Floats) -> Floats:
    """Along the circuit, and on to it from anywhere (a Hopf oscillator at constant speed). (2,) [rad/s].

    In the very middle of the circuit, where every way is as good, it goes to the left.
    """
    x, y = (head - SEARCH_CENTRE_RAD) / SEARCH_RADII_RAD
    outwards = _JOINING * (1 - x * x - y * y)
    direction = SEARCH_RADII_RAD * np.array([outwards * x - y, outwards * y + x])
    size = float(np.linalg.norm(direction))
    if size < 1e-6:
        return np.array([SEARCH_SPEED_RAD_S, 0.0])
    return direction / size * SEARCH_SPEED_RAD_S


def chunk(head: Floats, velocity: Velocity, steps: int, dt_s: float) -> Floats:
    """Increments (steps, 2) [rad] of following a velocity from a pose, inside the range of the joints."""
    pose = np.clip(head, g1.HEAD.lower, g1.HEAD.upper)
    increments = np.empty((steps, 2))
    for i in range(steps):
        before = pose
        for _ in range(_SUBSTEPS):
            pose = np.clip(pose + velocity(pose) * dt_s / _SUBSTEPS, g1.HEAD.lower, g1.HEAD.upper)
        increments[i] = pose - before
    return increments


def look_chunk(head: Floats, goal: Floats, steps: int, dt_s: float) -> Floats:
    """Increments (steps, 2) [rad] that turn the head to a goal and keep it there."""
    goal = np.clip(goal, g1.HEAD.lower, g1.HEAD.upper)
    return chunk(head, lambda pose: look_velocity(pose, goal), steps, dt_s)


def search_chunk(head: Floats, steps: int, dt_s: float) -> Floats:
    """Increments (steps, 2) [rad] of the next part of the search."""
    return chunk(head, search_velocity, steps, dt_s)


def look_chunks(heads: Floats, goals: Floats, steps: int, dt_s: float) -> Floats:
    """`look_chunk` for many at once: heads and goals (n, 2) to (n, steps, 2) [rad]."""
    goals = np.clip(goals, g1.HEAD.lower, g1.HEAD.upper)

    def velocity(pose: Floats) -> Floats:
        away = goals - pose
        distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
        return away / distance * np.minimum(LOOK_SPEED_RAD_S, distance / LOOK_TIME_S)

    return _follow(heads, velocity, steps, dt_s)


def search_chunks(heads: Floats, steps: int, dt_s: float) -> Floats:
    """`search_chunk` for many at once: heads (n, 2) to (n, steps, 2) [rad]."""

    def velocity(pose: Floats) -> Floats:
        x, y = ((pose - SEARCH_CENTRE_RAD) / SEARCH_RADII_RAD).T
        outwards = _JOINING * (1 - x * x - y * y)
        direction = SEARCH_RADII_RAD * np.column_stack([outwards * x - y, outwards * y + x])
        size = np.linalg.norm(direction, axis=1, keepdims=True)
        lost = size[:, 0] < 1e-6
        direction[lost], size[lost] = (1.0, 0.0), 1.0
        return direction / size * SEARCH_SPEED_RAD_S

    return _follow(heads, velocity, steps, dt_s)


def _follow(heads: Floats, velocity: Velocity, steps: int, dt_s: float) -> Floats:
    pose = np.clip(heads, g1.HEAD.lower, g1.HEAD.upper)
    increments = np.empty((len(heads), steps, 2))
    for i in range(steps):
        before = pose
        for _ in range(_SUBSTEPS):
            pose = np.clip(pose + velocity(pose) * dt_s / _SUBSTEPS, g1.HEAD.lower, g1.HEAD.upper)
        increments[:, i] = pose - before
    return increments
