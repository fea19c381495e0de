"""The expert that works mechanisms: brings the hand beside the handle, in the shape that suits it, and moves along.

As `manipulation.expert` it depends on nothing but the present state, and everything is reckoned for the left hand. The
hand comes from above to a place beside the handle, from there to the handle, and then ahead of it the way it moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sapave_ros.core.hand_ik import HandIk
from sapave_ros.manipulation.articulated import Working
from sapave_ros.manipulation.hands import CAREFUL_M_S, SPEED_M_S, UP, Aim, Hand, look, natural_yaw, turned
from sapave_ros.manipulation.lockstep import Chunks
from sapave_ros.sim.mechanisms import BAR_RADIUS_M, KNOB_RADIUS_M
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

_TIME_S = 0.45
"""Time constant with which a way ends: with that of a hand that grips, it swings around a bar by more than there is
room for."""
_AHEAD_M = 0.04
"""The hand is led so far beyond where the handle is."""
_SHORT_M, _BEYOND_M, _BESIDE_M = 0.012, 0.035, 0.015
"""So far before the handle, beyond it and beside its way the hand moves it."""
_NEAR_M = 0.02
"""From so near to the handle the hand has to be on its line."""
_SHAPED_RAD = 0.25
"""Fingers so close to their shape have it."""
_HOLDS_RAD, _LOST_M = 0.15, 0.04
"""Fingers that are curled by so much more than to come have the handle in them, unless it is so far away."""
_KNUCKLES_M = 0.05
"""`natural_yaw` is that of a hand whose knuckles are so far beside what it holds."""
_YAWS = (-0.6, 0.35)
"""Of the hand, in the torso [rad]."""

_OPEN = np.array([-0.09, 0.0, 0.0, 0.0, 0.0, 0.0])
_FIST = np.array([-0.09, 0.0, 1.65, 1.65, 1.65, 1.65])
_CURLED = np.array([-0.09, 0.0, 0.7, 0.7, 0.7, 0.7])
_HOOKED = np.array([-0.09, 0.0, 1.3, 1.3, 1.3, 1.3])
"""Fingers [rad], the thumb up, out of the way: flat, a fist, and so that they go around a bar and hold it."""


@dataclass(frozen=True)
class Stroke:
    """How a hand moves a handle. tool: the point of the hand that is brought to the handle's middle, from its knuckles:
    away from the palm, along the fingers, towards the thumb [m]. along: the way the handle moves, before: where the
    hand comes from [m]; both (3,) in the handle's frame: ahead, to the left, up. over: the hand passes so high above
    that place [m]. coming, moving: shape of the fingers (6,) [rad]. follows: whether the hand turns with the handle.
    """

    tool: Floats
    along: Floats
    before: Floats
    over: float
    coming: Floats
    moving: Floats
    follows: bool

    def on_way(self, off: Floats) -> tuple[float, float]:
        """How far a place (3,) is back towards `before`, and how far it is beside that way [m]."""
        way = self.before / self.length
        back = float(off @ way)
        return back, float(np.linalg.norm(off - back * way))

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.before))


_AHEAD, _LEFT = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])

_PRESS = Stroke(np.array([-0.018, -0.02, -0.054]), -UP, 0.06 * UP, 0.03, _FIST, _FIST, follows=False)
"""With the lower side of the fist."""
_PULL = Stroke(np.array([-0.045, -0.006, -0.017]), -_AHEAD, 0.075 * _LEFT, 0.08, _CURLED, _HOOKED, follows=True)
"""With four fingers around the bar."""
_PUSH = Stroke(
    np.array([-0.016, 0.010 + BAR_RADIUS_M, -0.017]), _AHEAD, -0.05 * _AHEAD, 0.03, _FIST, _FIST, follows=True
)
"""With the front of the fist, from which the bar's middle stays away by its radius."""
_OUTWARDS = Stroke(
    np.array([0.008 + KNOB_RADIUS_M, 0.02, -0.03]), _LEFT, -0.045 * _LEFT, 0.09, _OPEN, _OPEN, follows=False
)
"""With the back of the fingers."""
_INWARDS = Stroke(
    np.array([-0.011 - KNOB_RADIUS_M, 0.02, -0.03]), -_LEFT, 0.045 * _LEFT, 0.09, _OPEN, _OPEN, follows=False
)
"""With the inside of the fingers."""


def stroke(setting: Working) -> Stroke:
    """How what the setting asks for is done."""
    if setting.mechanism.kind == "button":
        return _PRESS
    if setting.mechanism.kind in ("drawer", "door"):
        return _PULL if setting.direction > 0 else _PUSH
    return _OUTWARDS if (setting.direction > 0) == (setting.side == "left") else _INWARDS


@dataclass(frozen=True)
class Now:
    """What there is to decide by, in the torso. handle: (3,) [m]. axes: (3, 3) of the handle's frame. grip: (3,) where
    the hand acts [m]. fingers: (6,) [rad]. done: whether it is."""

    handle: Floats
    axes: Floats
    grip: Floats
    fingers: Floats
    done: bool

    @property
    def off(self) -> Floats:
        """From the handle to the hand, (3,) [m] in the handle's frame."""
        return self.axes.T @ (self.grip - self.handle)

    def point(self, off: Floats) -> Floats:
        """The inverse, (3,) in the torso."""
        return self.handle + self.axes @ off


class Worker:
    """Does one task. stage: what it was at when it was asked last. FREE: stages in which no hand touches anything."""

    FREE: frozenset[str] = frozenset()

    def __init__(self, world: World, setting: Working, ik: HandIk) -> None:
        self._setting, self._stroke = setting, stroke(setting)
        away, along, up = self._stroke.tool
        self._hand = Hand(world, setting.side, ik, np.array([away, -along, up]), _TIME_S)
        self._sign = 1.0 if setting.side == "left" else -1.0
        # A spring brings a button back; all else stays where it is put, a little beyond what is asked for.
        springs = setting.mechanism.kind == "button"
        self._margin = math.inf if springs else 0.5 * abs(setting.wanted - setting.enough)
        self.stage = ""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        q, fingers = self._hand.joints(positions)
        aim = self._aim(self._now(world, q, fingers))
        self.stage = aim.stage
        head = look(world, self._setting.target, stamp_s, positions)
        return Chunks(head, self._hand.chunk(stamp_s, q, fingers, aim))

    def _now(self, world: World, q: Floats, fingers: Floats) -> Now:
        pose = world.pose(self._setting.target)
        handle = self._hand.local(pose[:3, 3])
        yaw = self._sign * math.atan2(pose[1, 0], pose[0, 0])
        done = self._setting.left(world) < -self._margin
        return Now(handle, _about_z(yaw), self._hand.grip(q), fingers, done)

    def _aim(self, now: Now) -> Aim:
        return self._leave(now) if now.done else self._work(now)

    def _to(self, now: Now, stage: str, grip: Floats, fastest: float, fingers: Floats) -> Aim:
        return Aim(stage, grip, turned(self._yaw(now, grip)), fastest, fingers)

    def _yaw(self, now: Now, grip: Floats) -> float:
        """Of a hand that acts there [rad]: as the handle is turned, or as the arm likes it."""
        if self._stroke.follows:
            yaw = math.atan2(now.axes[1, 0], now.axes[0, 0])
        else:
            yaw = natural_yaw(grip - np.array([0.0, _KNUCKLES_M + self._stroke.tool[0], 0.0]))
        return float(np.clip(yaw, *_YAWS))

    def _work(self, now: Now) -> Aim:
        stroke, off = self._stroke, now.off
        ahead = float(off @ stroke.along)
        beside = float(np.linalg.norm(off - ahead * stroke.along))
        holds = float((now.fingers - stroke.coming)[2:].mean()) > _HOLDS_RAD
        if holds and float(np.linalg.norm(off)) > _LOST_M:
            return self._to(now, "let go", now.grip, 0.0, stroke.coming)
        if holds or (-_SHORT_M < ahead < _BEYOND_M and beside < _BESIDE_M):
            return self._to(now, "move", now.point(_AHEAD_M * stroke.along), CAREFUL_M_S, stroke.moving)
        back, lateral = stroke.on_way(off)
        if lateral < _BESIDE_M + 0.4 * max(back - _NEAR_M, 0.0) and -_SHORT_M < back < stroke.length + _SHORT_M:
            shaped = float(np.abs(now.fingers - stroke.coming)[2:].max()) < _SHAPED_RAD
            # First onto the line, then along it.
            goal = 0.0 if shaped and lateral < _BESIDE_M else max(back, _NEAR_M) / stroke.length
            return self._to(now, "reach", now.point(goal * stroke.before), CAREFUL_M_S, stroke.coming)
        return self._come(now)

    def _come(self, now: Now) -> Aim:
        """To the place beside the handle, from above."""
        stroke = self._stroke
        from_before = now.off - stroke.before
        level = float(np.linalg.norm(from_before[:2]))
        if level < 0.02 + 0.2 * max(from_before[2], 0.0):
            return self._to(now, "descend", now.point(stroke.before), 1.5 * CAREFUL_M_S, stroke.coming)
        over = now.point(stroke.before + stroke.over * UP)
        if level < 0.20 and from_before[2] < stroke.over - 0.03:
            return self._to(now, "rise", np.array([*now.grip[:2], over[2]]), SPEED_M_S, stroke.coming)
        return self._to(now, "come", over, SPEED_M_S, stroke.coming)

    def _leave(self, now: Now) -> Aim:
        """Back to the side from which the hand came, as that is turned now, up and away."""
        stroke, axes = self._stroke, _about_z(self._yaw(now, now.grip))
        off = axes.T @ (now.grip - now.handle)
        back, lateral = stroke.on_way(off)
        if lateral < 2 * _LOST_M and back < stroke.length - _SHORT_M:
            if float((now.fingers - stroke.coming)[2:].max()) > _SHAPED_RAD:
                return self._to(now, "let go", now.grip, 0.0, stroke.coming)
            goal = now.handle + axes @ (1.2 * stroke.before)
            return self._to(now, "leave", goal, CAREFUL_M_S, stroke.coming)
        if float(np.linalg.norm(off[:2])) < 0.18 and off[2] < stroke.over + stroke.before[2] - 0.03:
            return self._to(now, "rise", now.grip + 0.05 * UP, SPEED_M_S, stroke.coming)
        return Aim("go home", self._hand.grip(self._hand.home), self._hand.rotation(self._hand.home), SPEED_M_S, _OPEN)


def _about_z(yaw: float) -> NDArray[np.float64]:
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
