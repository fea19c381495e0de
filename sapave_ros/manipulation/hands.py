"""One hand of the robot on its way: from where a point of it is to go to increments of arm and fingers.

Everything is reckoned for the left hand, in the torso; the right one does the mirror image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.core.hand_ik import RADIAN_M, HandIk
from sapave_ros.manipulation.settings import READY
from sapave_ros.policy import gaze
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats

STEPS, DT_S = 16, 0.1
"""Chunks as the shipped model's."""

SPEED_M_S, CAREFUL_M_S, TIME_S = 0.25, 0.08, 0.25
"""Fastest way of the hand, its fastest close to a thing, and the time constant with which a way ends."""

_FINGER_SPEED_RAD_S = 1.0

_TURN_RAD, _TURN_AT_M, _TURN_PER_M = -0.1, (0.38, 0.15), (2.0, 3.3)
"""Yaw of a hand [rad] that holds something there, x and y in the torso, and by how much more further on: in the middle
of the yaws that the elbow has room for beside the body and the wrist has range for."""

_WEIGHTS = np.array([1.0, 1.0, 1.0, RADIAN_M, RADIAN_M, RADIAN_M])
_DAMPING2 = 1e-4
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Aim:
    """Where the hand is to go and what the fingers do. stage: what it is called. grip: (3,) of the point that the hand
    acts with [m]; rotation: (3, 3) of the knuckles; both in the torso. fastest: [m/s]. fingers: (6,) [rad].
    """

    stage: str
    grip: Floats
    rotation: Floats
    fastest: float
    fingers: Floats


class Hand:
    """Of one side. home: the pose (7,) [rad] that the arm likes best."""

    def __init__(self, world: World, side: str, ik: HandIk, from_knuckles: Floats, time_s: float = TIME_S) -> None:
        """from_knuckles: the point (3,) that the hand acts with, in the frame of its knuckles [m]. time_s: the time
        constant with which a way ends."""
        self._ik, self._from_knuckles, self._time_s = ik, from_knuckles, time_s
        self._sign = 1.0 if side == "left" else -1.0
        self._mirror = g1.ARM_MIRROR if side == "right" else np.ones(7)
        group, hand = (g1.LEFT_ARM, g1.LEFT_HAND) if side == "left" else (g1.RIGHT_ARM, g1.RIGHT_HAND)
        self._names = group.names + hand.names
        self._arm = [g1.POLICY.names.index(name) for name in group.names]
        self._hand = [g1.POLICY.names.index(name) for name in hand.names]
        self._lower, self._upper = g1.LEFT_ARM.lower, g1.LEFT_ARM.upper
        self.home = np.array([READY[name] for name in g1.LEFT_ARM.names])
        self._speed = 0.7 * g1.LEFT_ARM.column("velocity")
        self._torso = world.data.xpos[world.model.body("torso_link").id].copy()

    def joints(self, positions: Floats) -> tuple[Floats, Floats]:
        """Arm (7,) and fingers (6,) [rad] of the robot's positions (28,)."""
        return self._mirror * positions[self._arm], positions[self._hand]

    def local(self, point: Floats) -> Floats:
        """Of the world to the torso, mirrored for the right hand."""
        return (point - self._torso) * np.array([1.0, self._sign, 1.0])

    def grip(self, q: Floats) -> Floats:
        """The point that the hand acts with (3,) [m] at the arm's positions (7,)."""
        hand = self._ik.hand_in_torso("left", q)
        return hand[:3, 3] + hand[:3, :3] @ self._from_knuckles

    def rotation(self, q: Floats) -> Floats:
        """Axes of the knuckles (3, 3) at the arm's positions (7,)."""
        return self._ik.hand_in_torso("left", q)[:3, :3]

    def chunk(self, stamp_s: float, q: Floats, fingers: Floats, aim: Aim) -> ActionChunk:
        """From arm (7,) and fingers (6,) towards the aim."""
        arm = self._mirror * self._way(q, aim)
        return ActionChunk(stamp_s, DT_S, self._names, np.hstack([arm, _towards(fingers, aim.fingers)]))

    def _way(self, q: Floats, aim: Aim) -> Floats:
        """Increments (STEPS, 7) of the arm [rad] towards the aim."""
        increments = np.zeros((STEPS, 7))
        substeps = 4
        for i in range(STEPS):
            before = q
            for _ in range(substeps):
                q = np.clip(q + self._velocity(q, aim) * DT_S / substeps, self._lower, self._upper)
            increments[i] = q - before
        return increments

    def _velocity(self, q: Floats, aim: Aim) -> Floats:
        hand = self._ik.hand_in_torso("left", q)
        away = aim.grip - (hand[:3, 3] + hand[:3, :3] @ self._from_knuckles)
        turn = _rotation_vector(aim.rotation @ hand[:3, :3].T)
        distance, angle = float(np.linalg.norm(away)), float(np.linalg.norm(turn))
        speed = min(aim.fastest, distance / self._time_s) / max(distance, 1e-9)
        turning = min(1.0, angle / self._time_s) / max(angle, 1e-9)
        # The grip goes straight, not the knuckles: their part of the turning is taken out.
        lever = hand[:3, :3] @ self._from_knuckles
        angular = turn * turning
        twist = np.concatenate([away * speed - np.cross(angular, lever), angular])
        task = _WEIGHTS[:, None] * self._ik.jacobian("left", q)
        u, s, vt = np.linalg.svd(task, full_matrices=False)
        solution = vt.T @ (s / (s**2 + _DAMPING2) * (u.T @ (_WEIGHTS * twist)))
        rest = 0.5 * (self.home - q)
        solution = solution + rest - vt.T @ (vt @ rest)
        return solution / max(1.0, float((np.abs(solution) / self._speed).max()))


def look(world: World, name: str, stamp_s: float, positions: Floats) -> ActionChunk:
    """The head towards that, from the robot's positions (28,)."""
    head = positions[: len(g1.HEAD)]
    return ActionChunk(stamp_s, DT_S, g1.HEAD.names, gaze.look_chunk(head, world.head_pose_towards(name), STEPS, DT_S))


def natural_yaw(point: Floats) -> float:
    """Of the left hand [rad] that holds something at a point (3,) [m] in the torso."""
    x, y = point[:2] - _TURN_AT_M
    return float(np.clip(_TURN_RAD + _TURN_PER_M[0] * x + _TURN_PER_M[1] * y, -0.6, 0.5))


def turned(yaw: float) -> NDArray[np.float64]:
    """Axes of the knuckles in the torso: thumb up, fingers ahead, palm to the right; turned to the left by yaw."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def _towards(now: Floats, goal: Floats) -> Floats:
    """Increments (STEPS, 6) of the fingers [rad]: at even speed, then still."""
    way = goal - now
    times = np.arange(1, STEPS + 1) * DT_S
    done = np.clip(times[:, None] * _FINGER_SPEED_RAD_S / np.maximum(np.abs(way), 1e-9), 0.0, 1.0) * way
    return np.diff(done, axis=0, prepend=0.0)


def _rotation_vector(rotation: Floats) -> Floats:
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector
