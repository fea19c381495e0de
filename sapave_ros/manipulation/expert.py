"""The expert: knows where everything is, and moves head, arm and hand as the task wants it.

What it does depends on nothing but the present state, so that it takes up a task at any point of it: also where
somebody else has brought it, or where a thing has slipped. Everything is reckoned for the left hand; the right one
does the mirror image.

A thing is held between thumb and fingers, the thumb turned to face them: fingers that curl press it along the hand
against the thumb. The hand comes to it with its palm ahead, from the side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.core.hand_ik import RADIAN_M, HandIk
from sapave_ros.manipulation.contacts import FINGERS, THUMB, Contacts
from sapave_ros.manipulation.lockstep import Chunks
from sapave_ros.manipulation.settings import READY, TRAY_HALF_M, Setting
from sapave_ros.policy import gaze
from sapave_ros.sim.objects import shape
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats

STEPS, DT_S = 16, 0.1
"""Chunks as the shipped model's."""

SPEED_M_S, CAREFUL_M_S, TIME_S = 0.25, 0.08, 0.25
"""Fastest way of the hand, its fastest close to a thing, and the time constant with which a way ends."""

_THUMB_M = 0.0196
"""From the axis of the knuckles back to where the thumb ends that faces the fingers, along the hand [m]: a thing lies
in front of it. In the URDF: knuckles at 0.1371, the tip of the thumb at 0.1075, 0.01 thick."""
_PALM_M, _BELOW_M = 0.024, -0.010
"""From the knuckles' axis: the palm's surface, and the middle of the fingers along the axis [m]."""

_APPROACH_M, _CLEAR_M = 0.10, 0.10
_AT_M, _OFF_THUMB_M = 0.009, 0.018
_FIRM_N, _ENOUGH_N = 4.0, 8.0
"""From this force on between thumb and fingers a thing is held and can be lifted [N]; with the other
fingers press no more."""
_FACING = np.array([1.29, 0.0, 0.0, 0.0, 0.0, 0.0])
_HOLDING = np.array([1.29, 0.0, 1.3, 1.3, 0.0, 0.0])
_FINGER_SPEED_RAD_S = 1.0
_TURN_RAD, _TURN_AT_M, _TURN_PER_M = -0.1, (0.38, 0.15), (2.0, 3.3)
"""Yaw of a hand [rad] that holds something there, x and y in the torso, and by how much more further on: in the middle
of the yaws that the elbow has room for beside the body and the wrist has range for."""

_MIRRORED = np.array([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
_WEIGHTS = np.array([1.0, 1.0, 1.0, RADIAN_M, RADIAN_M, RADIAN_M])
_DAMPING2 = 1e-4


@dataclass(frozen=True)
class Aim:
    """Where the hand is to go and what the fingers do. grip: (3,) of the point between thumb and fingers [m], in the
    torso. fastest: [m/s]. fingers: (6,) [rad]. stage: what it is called."""

    stage: str
    grip: Floats
    fastest: float
    fingers: Floats


class Expert:
    """Does one task. stage: what it was at when it was asked last."""

    def __init__(self, world: World, setting: Setting, ik: HandIk) -> None:
        self._setting, self._ik = setting, ik
        self._sign = 1.0 if setting.side == "left" else -1.0
        self._mirror = _MIRRORED if setting.side == "right" else np.ones(7)
        group, hand = (g1.LEFT_ARM, g1.LEFT_HAND) if setting.side == "left" else (g1.RIGHT_ARM, g1.RIGHT_HAND)
        self._names = group.names + hand.names
        self._arm = [g1.POLICY.names.index(name) for name in group.names]
        self._hand = [g1.POLICY.names.index(name) for name in hand.names]
        self._lower, self._upper = g1.LEFT_ARM.lower, g1.LEFT_ARM.upper
        self._comfortable = np.array([READY[name] for name in g1.LEFT_ARM.names])
        self._speed = 0.7 * g1.LEFT_ARM.column("velocity")
        body = shape(setting.item.kind, setting.item.variant)
        self._radius, self._height = body.radius, body.height
        self._from_palm = np.array([-(_PALM_M + self._radius), -(self._radius + 0.004) + _THUMB_M, _BELOW_M])
        self._torso = world.data.xpos[world.model.body("torso_link").id].copy()
        self._contacts = Contacts(world, setting.thing, setting.tray_block)
        self._rotation = self._home_rotation = ik.hand_in_torso("left", self._comfortable)[:3, :3]
        self.stage = ""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        q = self._mirror * positions[self._arm]
        aim = self._aim(world, q, positions[self._hand])
        self.stage = aim.stage
        arm = self._mirror * self._way(q, aim)
        hand = _towards(positions[self._hand], aim.fingers)
        other = ActionChunk(stamp_s, DT_S, self._names, np.hstack([arm, hand]))
        return Chunks(self._look(world, stamp_s, positions), other)

    # -- what to do now ----------------------------------------------------------------------------

    def _aim(self, world: World, q: Floats, fingers: Floats) -> Aim:
        thing, tray = self._local(world.pose(self._setting.thing)[:3, 3]), self._local(np.array(self._setting.tray))
        table = self._local(np.array(self._setting.item.position))[2]
        up = np.array([0.0, 0.0, 1.0])
        held_at = thing + self._grip_height * up
        hand = self._ik.hand_in_torso("left", q)
        grip = hand[:3, 3] + hand[:3, :3] @ self._from_palm
        self._rotation = _turned(_yaw(thing))
        away = self._rotation[:, 0]  # from the palm backwards
        off = grip - held_at
        back = float(off @ away)
        beside = float(np.linalg.norm(off - back * away))
        over_tray = float(np.abs(thing - tray)[:2].max()) < TRAY_HALF_M - 0.02
        on_tray = over_tray and (thing[2] - tray[2] < 0.006 or self._contacts.on_tray())
        grasp_n = self._grasp_n()
        in_hand = (beside < 0.03 and abs(back) < 0.03) or (grasp_n > 0.0 and beside < 0.07 and abs(back) < 0.07)
        opened = float(fingers[2:].max()) < 0.15 and fingers[1] < 0.15
        if on_tray:
            if in_hand and not opened:
                return Aim("let go", grip, 0.0, _FACING)
            # First along the fingers, so that the thumb leaves the thing: drawn along with it, it falls.
            ahead = -self._rotation[:, 1]
            free = held_at - _OFF_THUMB_M * ahead
            if back < 0.03 and float(off @ ahead) > 0.3 * -_OFF_THUMB_M:
                return Aim("leave", free + back * away, CAREFUL_M_S, _FACING)
            if back < _APPROACH_M - 0.01 and beside < 0.06:
                return Aim("retreat", free + away * (_APPROACH_M + 0.02), CAREFUL_M_S, _FACING)
            if float(np.linalg.norm(off[:2])) < 0.15 and off[2] < self._over - 0.03:
                return Aim("rise", np.array([*grip[:2], held_at[2] + self._over]), SPEED_M_S, _FACING)
            self._rotation = self._home_rotation
            return Aim("go home", self._home, SPEED_M_S, _FACING)
        # What is commanded goes on where fingers are stopped: enough is enough.
        holding = fingers if grasp_n >= _ENOUGH_N else _HOLDING
        if in_hand and grasp_n >= _FIRM_N:
            away_from_tray = float(np.linalg.norm((thing - tray)[:2]))
            goal = tray + self._grip_height * up
            if away_from_tray > 0.015:
                lifted = thing[2] - table
                if lifted < _CLEAR_M - 0.03 and away_from_tray > 0.05:
                    return Aim("lift", held_at + (_CLEAR_M - lifted) * up + (grip - held_at), CAREFUL_M_S * 2, holding)
                over = goal + (_CLEAR_M - 0.02) * up if away_from_tray > 0.03 else goal + (thing[2] - tray[2]) * up
                return Aim("carry", over + (grip - held_at), SPEED_M_S, holding)
            return Aim("put down", goal + (grip - held_at) - 0.004 * up, CAREFUL_M_S, holding)
        if in_hand and (back < _AT_M or not opened):
            return Aim("close", grip, 0.0, holding)
        if not opened:
            return Aim("open", grip, 0.0, _FACING)
        if beside < 0.015 + 0.3 * max(_APPROACH_M - back, 0.0) and -0.02 < back < _APPROACH_M + 0.02:
            return Aim("reach", held_at, CAREFUL_M_S, _FACING)
        before = held_at + away * _APPROACH_M
        level = float(np.linalg.norm((grip - before)[:2]))
        clear_of_it = back > _APPROACH_M - 0.03 and level < 0.10
        if level > 0.05 and grip[2] < held_at[2] + self._over - 0.03 and not clear_of_it:
            return Aim("rise", np.array([*grip[:2], held_at[2] + self._over]), SPEED_M_S, _FACING)
        if level > 0.05 and not clear_of_it:
            return Aim("come", before + self._over * up, SPEED_M_S, _FACING)
        return Aim("descend", before, SPEED_M_S, _FACING)

    @property
    def _grip_height(self) -> float:
        """Above the thing's base [m]: half way up, and no lower than the hand is thick."""
        return max(0.05, min(0.5 * self._height, 0.1))

    @property
    def _over(self) -> float:
        """How far above the grip the hand passes over the thing [m]."""
        return self._height - self._grip_height + 0.07

    @property
    def _home(self) -> Floats:
        hand = self._ik.hand_in_torso("left", self._comfortable)
        return hand[:3, 3] + hand[:3, :3] @ self._from_palm

    def _local(self, point: Floats) -> Floats:
        """Of the world to the torso, mirrored for the right hand."""
        return (point - self._torso) * np.array([1.0, self._sign, 1.0])

    def _grasp_n(self) -> float:
        """How firmly it is held [N]: the smaller of what thumb and fingers press on it with."""
        forces = self._contacts.forces_n()
        return min(forces[THUMB], forces[FINGERS])

    # -- how -----------------------------------------------------------------------------------------

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
        away = aim.grip - (hand[:3, 3] + hand[:3, :3] @ self._from_palm)
        turn = _rotation_vector(self._rotation @ hand[:3, :3].T)
        distance, angle = float(np.linalg.norm(away)), float(np.linalg.norm(turn))
        speed = min(aim.fastest, distance / TIME_S) / max(distance, 1e-9)
        turning = min(1.0, angle / TIME_S) / max(angle, 1e-9)
        # The grip goes straight, not the knuckles: their part of the turning is taken out.
        lever = hand[:3, :3] @ self._from_palm
        angular = turn * turning
        twist = np.concatenate([away * speed - np.cross(angular, lever), angular])
        task = _WEIGHTS[:, None] * self._ik.jacobian("left", q)
        u, s, vt = np.linalg.svd(task, full_matrices=False)
        solution = vt.T @ (s / (s**2 + _DAMPING2) * (u.T @ (_WEIGHTS * twist)))
        rest = 0.5 * (self._comfortable - q)
        solution = solution + rest - vt.T @ (vt @ rest)
        return solution / max(1.0, float((np.abs(solution) / self._speed).max()))

    def _look(self, world: World, stamp_s: float, positions: Floats) -> ActionChunk:
        goal = world.head_pose_towards(self._setting.thing)
        head = positions[: len(g1.HEAD)]
        return ActionChunk(stamp_s, DT_S, g1.HEAD.names, gaze.look_chunk(head, goal, STEPS, DT_S))


def _towards(now: Floats, goal: Floats) -> Floats:
    """Increments (STEPS, 6) of the fingers [rad]: at even speed, then still."""
    way = goal - now
    times = np.arange(1, STEPS + 1) * DT_S
    done = np.clip(times[:, None] * _FINGER_SPEED_RAD_S / np.maximum(np.abs(way), 1e-9), 0.0, 1.0) * way
    return np.diff(done, axis=0, prepend=0.0)


def _yaw(point: Floats) -> float:
    """Of the left hand [rad] that holds something at a point (3,) [m] in the torso."""
    x, y = point[:2] - _TURN_AT_M
    return float(np.clip(_TURN_RAD + _TURN_PER_M[0] * x + _TURN_PER_M[1] * y, -0.6, 0.5))


def _turned(yaw: float) -> NDArray[np.float64]:
    """Axes of the knuckles in the torso: thumb up, fingers ahead, palm to the right; turned to the left by yaw."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def _rotation_vector(rotation: Floats) -> Floats:
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector
