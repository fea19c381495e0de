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
from sapave_ros.manipulation.settings import READY, TRAY_HALF_M, Placing
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

_APPROACH_M = 0.10
"""The hand comes from so far beside a thing [m]: the thumb that faces the fingers stands out of the palm by that."""
_CLEAR_M, _OVER_M = 0.10, 0.07
"""A thing is carried so high above where it stood, and the empty hand passes so high above a thing [m]."""
_AT_M, _IN_HAND_M, _STILL_IN_HAND_M = 0.009, 0.03, 0.07
"""The grip is at a thing; it is around it; and around it still, as long as fingers touch it [m]."""
_OFF_THUMB_M = 0.018
_FACING = np.array([1.29, 0.0, 0.0, 0.0, 0.0, 0.0])
_HOLDING = np.array([1.29, 0.0, 1.3, 1.3, 0.0, 0.0])
"""Fingers [rad]: open with the thumb facing them, and closed. Two are enough, on the height of the thumb: all four
tilt what they hold."""
_OPEN_RAD = 0.15
_FIRM_N, _ENOUGH_N = 4.0, 8.0
"""From this force on between thumb and fingers a thing is held and can be lifted [N]; with the other fingers press no
more: what is commanded would go on where they are stopped."""
_FINGER_SPEED_RAD_S = 1.0

_TURN_RAD, _TURN_AT_M, _TURN_PER_M = -0.1, (0.38, 0.15), (2.0, 3.3)
"""Yaw of a hand [rad] that holds something there, x and y in the torso, and by how much more further on: in the middle
of the yaws that the elbow has room for beside the body and the wrist has range for."""

_WEIGHTS = np.array([1.0, 1.0, 1.0, RADIAN_M, RADIAN_M, RADIAN_M])
_DAMPING2 = 1e-4
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Aim:
    """Where the hand is to go and what the fingers do. stage: what it is called. grip: (3,) of the point between thumb
    and fingers [m]; rotation: (3, 3) of the knuckles; both in the torso. fastest: [m/s]. fingers: (6,) [rad].
    """

    stage: str
    grip: Floats
    rotation: Floats
    fastest: float
    fingers: Floats


@dataclass(frozen=True)
class Now:
    """What there is to decide by, in the torso. thing, tray: (3,) base and top [m]. held_at: (3,) where the thing is
    gripped. grip: (3,) where the hand would grip. rotation: (3, 3) of knuckles that grip there. fingers: (6,) [rad].
    grasp_n: what thumb and fingers both press with [N]. on_tray: whether the thing stands there.
    """

    thing: Floats
    tray: Floats
    held_at: Floats
    grip: Floats
    rotation: Floats
    fingers: Floats
    grasp_n: float
    on_tray: bool

    @property
    def away(self) -> Floats:
        """From the palm backwards, (3,)."""
        return self.rotation[:, 0]

    @property
    def ahead(self) -> Floats:
        """Along the fingers, (3,)."""
        return -self.rotation[:, 1]

    @property
    def off(self) -> Floats:
        """From the thing's grip to the hand's, (3,) [m]."""
        return self.grip - self.held_at

    @property
    def back(self) -> float:
        """How far the palm still is from where it would hold it [m]."""
        return float(self.off @ self.away)

    @property
    def beside(self) -> float:
        """How far the hand is off the line on which the palm comes [m]."""
        return float(np.linalg.norm(self.off - self.back * self.away))

    @property
    def opened(self) -> bool:
        return bool(self.fingers[1:].max() < _OPEN_RAD)

    @property
    def in_hand(self) -> bool:
        bound = _STILL_IN_HAND_M if self.grasp_n > 0.0 else _IN_HAND_M
        return self.beside < bound and abs(self.back) < bound


class Expert:
    """Does one task. stage: what it was at when it was asked last. FREE: stages in which no hand touches the thing."""

    FREE = frozenset({"come", "rise", "descend", "reach", "retreat", "go home"})

    def __init__(self, world: World, setting: Placing, ik: HandIk) -> None:
        self._setting, self._ik = setting, ik
        self._sign = 1.0 if setting.side == "left" else -1.0
        self._mirror = g1.ARM_MIRROR if setting.side == "right" else np.ones(7)
        group, hand = (g1.LEFT_ARM, g1.LEFT_HAND) if setting.side == "left" else (g1.RIGHT_ARM, g1.RIGHT_HAND)
        self._names = group.names + hand.names
        self._arm = [g1.POLICY.names.index(name) for name in group.names]
        self._hand = [g1.POLICY.names.index(name) for name in hand.names]
        self._lower, self._upper = g1.LEFT_ARM.lower, g1.LEFT_ARM.upper
        self._comfortable = np.array([READY[name] for name in g1.LEFT_ARM.names])
        self._speed = 0.7 * g1.LEFT_ARM.column("velocity")
        body = shape(setting.item.kind, setting.item.variant)
        self._height = body.height
        # Above its base: half way up, and no lower than the hand is thick.
        self._grip_height = max(0.05, min(0.5 * body.height, 0.1))
        self._over = body.height - self._grip_height + _OVER_M
        self._from_palm = np.array([-(_PALM_M + body.radius), -(body.radius + 0.004) + _THUMB_M, _BELOW_M])
        self._torso = world.data.xpos[world.model.body("torso_link").id].copy()
        self._table = self._local(np.array(setting.item.position))[2]
        self._contacts = Contacts(world, setting)
        self.stage = ""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        q, fingers = self._mirror * positions[self._arm], positions[self._hand]
        aim = self._aim(self._now(world, q, fingers))
        self.stage = aim.stage
        arm = self._mirror * self._way(q, aim)
        other = ActionChunk(stamp_s, DT_S, self._names, np.hstack([arm, _towards(fingers, aim.fingers)]))
        return Chunks(self._look(world, stamp_s, positions), other)

    # -- what to do now ----------------------------------------------------------------------------

    def _now(self, world: World, q: Floats, fingers: Floats) -> Now:
        thing, tray = self._local(world.pose(self._setting.target)[:3, 3]), self._local(np.array(self._setting.tray))
        over_tray = float(np.abs(thing - tray)[:2].max()) < TRAY_HALF_M - 0.02
        forces = self._contacts.forces_n()
        return Now(
            thing,
            tray,
            thing + self._grip_height * _UP,
            self._grip(q),
            _turned(_yaw(thing)),
            fingers,
            min(forces[THUMB], forces[FINGERS]),
            over_tray and (thing[2] - tray[2] < 0.006 or self._contacts.on_tray()),
        )

    def _aim(self, now: Now) -> Aim:
        if now.on_tray:
            return self._leave(now)
        if now.in_hand and now.grasp_n >= _FIRM_N:
            return self._bring(now)
        if now.in_hand and (now.back < _AT_M or not now.opened):
            fingers = now.fingers if now.grasp_n >= _ENOUGH_N else _HOLDING
            return Aim("close", now.grip, now.rotation, 0.0, fingers)
        if not now.opened:
            return Aim("open", now.grip, now.rotation, 0.0, _FACING)
        return self._fetch(now)

    def _fetch(self, now: Now) -> Aim:
        """To the thing, open: over it to its side, down, and with the palm ahead."""
        if now.beside < 0.015 + 0.3 * max(_APPROACH_M - now.back, 0.0) and -0.02 < now.back < _APPROACH_M + 0.02:
            return Aim("reach", now.held_at, now.rotation, CAREFUL_M_S, _FACING)
        before = now.held_at + now.away * _APPROACH_M
        level = float(np.linalg.norm((now.grip - before)[:2]))
        if level < 0.05 or (now.back > _APPROACH_M - 0.03 and level < 0.10):
            return Aim("descend", before, now.rotation, SPEED_M_S, _FACING)
        if now.off[2] < self._over - 0.03:
            return self._rise(now)
        return Aim("come", before + self._over * _UP, now.rotation, SPEED_M_S, _FACING)

    def _rise(self, now: Now) -> Aim:
        """Straight up, until the hand passes over the thing."""
        grip = np.array([*now.grip[:2], now.held_at[2] + self._over])
        return Aim("rise", grip, now.rotation, SPEED_M_S, _FACING)

    def _bring(self, now: Now) -> Aim:
        """To the tray, held: up, over it, down."""
        fingers = now.fingers if now.grasp_n >= _ENOUGH_N else _HOLDING
        level = float(np.linalg.norm((now.thing - now.tray)[:2]))
        lifted = now.thing[2] - self._table
        goal = now.tray + self._grip_height * _UP
        if level <= 0.015:
            return Aim("put down", goal + now.off - 0.004 * _UP, now.rotation, CAREFUL_M_S, fingers)
        if level > 0.05 and lifted < _CLEAR_M - 0.03:
            return Aim("lift", now.grip + (_CLEAR_M - lifted) * _UP, now.rotation, 2 * CAREFUL_M_S, fingers)
        above = _CLEAR_M - 0.02 if level > 0.03 else now.thing[2] - now.tray[2]
        return Aim("carry", goal + above * _UP + now.off, now.rotation, SPEED_M_S, fingers)

    def _leave(self, now: Now) -> Aim:
        """Away from a thing that stands where it should."""
        if now.in_hand and not now.opened:
            return Aim("let go", now.grip, now.rotation, 0.0, _FACING)
        # First along the fingers, so that the thumb leaves the thing: drawn along with it, it falls.
        free = now.held_at - _OFF_THUMB_M * now.ahead
        if now.back < 0.03 and float(now.off @ now.ahead) > -0.3 * _OFF_THUMB_M:
            return Aim("leave", free + now.back * now.away, now.rotation, CAREFUL_M_S, _FACING)
        if now.back < _APPROACH_M - 0.01 and now.beside < 0.06:
            return Aim("retreat", free + now.away * (_APPROACH_M + 0.02), now.rotation, CAREFUL_M_S, _FACING)
        if float(np.linalg.norm(now.off[:2])) < 0.15 and now.off[2] < self._over - 0.03:
            return self._rise(now)
        rotation = self._ik.hand_in_torso("left", self._comfortable)[:3, :3]
        return Aim("go home", self._grip(self._comfortable), rotation, SPEED_M_S, _FACING)

    def _grip(self, q: Floats) -> Floats:
        """The point between thumb and fingers (3,) [m] at the arm's positions (7,)."""
        hand = self._ik.hand_in_torso("left", q)
        return hand[:3, 3] + hand[:3, :3] @ self._from_palm

    def _local(self, point: Floats) -> Floats:
        """Of the world to the torso, mirrored for the right hand."""
        return (point - self._torso) * np.array([1.0, self._sign, 1.0])

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
        turn = _rotation_vector(aim.rotation @ hand[:3, :3].T)
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
        goal = world.head_pose_towards(self._setting.target)
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
