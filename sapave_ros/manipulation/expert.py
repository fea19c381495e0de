"""The expert: knows where everything is, and moves head, arm and hand as the task wants it.

What it does depends on nothing but the present state, so that it takes up a task at any point of it: also where
somebody else has brought it, or where a thing has slipped. Everything is reckoned for the left hand; the right one
does the mirror image.

A thing is held between thumb and fingers, the thumb turned to face them: fingers that curl press it along the hand
against the thumb. The hand comes to it with its palm ahead, from the side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sapave_ros.core.hand_ik import HandIk
from sapave_ros.manipulation.contacts import FINGERS, THUMB, Contacts
from sapave_ros.manipulation.hands import CAREFUL_M_S, SPEED_M_S, UP, Aim, Hand, look, natural_yaw, turned
from sapave_ros.manipulation.lockstep import Chunks
from sapave_ros.manipulation.settings import Placing
from sapave_ros.sim.objects import shape
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats

_THUMB_M = 0.0196
"""From the axis of the knuckles back to where the thumb ends that faces the fingers, along the hand [m]: a thing lies
in front of it. In the URDF: knuckles at 0.1371, the tip of the thumb at 0.1075, 0.01 thick."""
_TIP_M, _PAST_M = 0.009, 0.02
"""By how much its tip stands further ahead, and from which way of the palm on it is past the thing [m]."""
_PALM_M, _BELOW_M = 0.024, -0.010
"""From the knuckles' axis: the palm's surface, and the middle of the fingers along the axis [m]."""

_TIME_S = 0.4
"""Time constant with which a way ends: with less of it what is carried swings, and the hand that comes to a thing
overshoots, since commands act a quarter of a second after the pose that they were reckoned from."""

_APPROACH_M = 0.10
"""The hand comes from so far beside a thing [m]: the thumb that faces the fingers stands out of the palm by that."""
_CLEAR_M, _OVER_M = 0.10, 0.07
"""A thing is carried so high above where it stood, and the empty hand passes so high above a thing [m]."""
_CLEAR_GOAL_M, _THICK_M = 0.06, 0.055
"""A thing is carried so high above a goal, or what is around it; half of the hand, from thumb to little finger [m]."""
_CLOSE_M, _GONE_M = 0.05, 0.1
"""From that height on a thing is put down carefully; a hand that far from a thing leaves it to the other hand [m]."""
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


@dataclass(frozen=True)
class Now:
    """What there is to decide by, in the torso. thing, goal: (3,) the middle of its base, and where it is to be [m].
    held_at: (3,) where the thing is gripped. grip: (3,) where the hand would grip. rotation: (3, 3) of knuckles that
    grip there. fingers: (6,) [rad]. grasp_n: what thumb and fingers both press with [N]. there: whether the thing is
    where it is to be, or falls there when it is let go of.
    """

    thing: Floats
    goal: Floats
    held_at: Floats
    grip: Floats
    rotation: Floats
    fingers: Floats
    grasp_n: float
    there: bool

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
        self._setting, self._goal = setting, setting.goal
        body = shape(setting.item.kind, setting.item.variant)
        # Above its base: half way up, and no lower than the hand is thick.
        self._grip_height = max(0.05, min(0.5 * body.height, 0.1))
        self._over = body.height - self._grip_height + _OVER_M
        # Where there is a rim, the hand stays above it.
        self._drop = max(0.0, setting.goal.rim_m + _THICK_M - self._grip_height) if setting.goal.rim_m else 0.0
        from_palm = np.array([-(_PALM_M + body.radius), -(body.radius + 0.004) + _THUMB_M, _BELOW_M])
        self._hand = Hand(world, setting.side, ik, from_palm, _TIME_S)
        self._start = self._hand.local(np.array(setting.item.position))[2]
        self._contacts = Contacts(world, setting, setting.side)
        self.stage = ""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        return Chunks(look(world, self._setting.target, stamp_s, positions), self.move(world, stamp_s, positions))

    def move(self, world: World, stamp_s: float, positions: Floats) -> ActionChunk:
        """What arm and hand do."""
        q, fingers = self._hand.joints(positions)
        aim = self._aim(self._now(world, q, fingers))
        self.stage = aim.stage
        return self._hand.chunk(stamp_s, q, fingers, aim)

    def rest(self, stamp_s: float, positions: Floats) -> ActionChunk:
        """The same where there is nothing to do for it: to where the hand is in nobody's way."""
        q, fingers = self._hand.joints(positions)
        return self._hand.chunk(stamp_s, q, fingers, self._home())

    def gone(self, world: World, positions: Floats) -> bool:
        """Whether the hand is well away from the thing, and does not touch it."""
        grip, thing = self._hand.grip(self._hand.joints(positions)[0]), world.pose(self._setting.target)[:3, 3]
        off = float(np.linalg.norm((grip - self._hand.local(thing))[:2]))
        return off > _GONE_M and not any(self._contacts.forces_n().values())

    # -- what to do now ----------------------------------------------------------------------------

    def _now(self, world: World, q: Floats, fingers: Floats) -> Now:
        base = world.pose(self._setting.target)[:3, 3]
        thing, goal = self._hand.local(base), self._hand.local(self._goal.position(world))
        low = thing[2] - goal[2] < self._drop + 0.006 or self._contacts.at_goal()
        forces = self._contacts.forces_n()
        return Now(
            thing,
            goal,
            thing + self._grip_height * UP,
            self._hand.grip(q),
            turned(natural_yaw(thing)),
            fingers,
            min(forces[THUMB], forces[FINGERS]),
            low and self._goal.holds(world, base),
        )

    def _aim(self, now: Now) -> Aim:
        if now.there:
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
        """To the thing, open: to its side, over it if need be, down, and with the palm ahead."""
        if now.beside < 0.015 + 0.3 * max(_APPROACH_M - now.back, 0.0) and -0.02 < now.back < _APPROACH_M + 0.02:
            # The tip of the thumb stands further ahead than the rest of it: it must not meet the thing on its way past.
            past = now.held_at + 0.5 * _PAST_M * now.away - _TIP_M * now.ahead if now.back > _PAST_M else now.held_at
            return Aim("reach", past, now.rotation, CAREFUL_M_S, _FACING)
        before = now.held_at + now.away * _APPROACH_M
        level = float(np.linalg.norm((now.grip - before)[:2]))
        if level < 0.05 or now.back > _APPROACH_M - 0.02:
            if now.off[2] < -0.03:
                return Aim("rise", np.array([*now.grip[:2], now.held_at[2]]), now.rotation, SPEED_M_S, _FACING)
            return Aim("descend" if level < 0.10 else "come", before, now.rotation, SPEED_M_S, _FACING)
        if now.off[2] < self._over - 0.03:
            return self._rise(now)
        return Aim("come", before + self._over * UP, now.rotation, SPEED_M_S, _FACING)

    def _rise(self, now: Now) -> Aim:
        """Straight up, until the hand passes over the thing."""
        grip = np.array([*now.grip[:2], now.held_at[2] + self._over])
        return Aim("rise", grip, now.rotation, SPEED_M_S, _FACING)

    def _bring(self, now: Now) -> Aim:
        """To the goal, held: up, over it, down."""
        fingers = now.fingers if now.grasp_n >= _ENOUGH_N else _HOLDING
        level = float(np.linalg.norm((now.thing - now.goal)[:2]))
        high = max(self._start + _CLEAR_M, now.goal[2] + self._goal.rim_m + _CLEAR_GOAL_M)
        goal = now.goal + self._grip_height * UP
        if level <= 0.015:
            lowest = goal + (self._drop - 0.004) * UP
            fastest = CAREFUL_M_S if now.held_at[2] - lowest[2] < _CLOSE_M else 2 * CAREFUL_M_S
            return Aim("put down", lowest + now.off, now.rotation, fastest, fingers)
        if level > 0.05 and now.thing[2] < high - 0.03:
            up = (high - now.thing[2]) * UP
            return Aim("lift", now.grip + up, now.rotation, 2 * CAREFUL_M_S, fingers)
        above = max(_CLEAR_M - 0.02, high - 0.01 - now.goal[2]) if level > 0.03 else now.thing[2] - now.goal[2]
        return Aim("carry", goal + above * UP + now.off, now.rotation, SPEED_M_S, fingers)

    def _leave(self, now: Now) -> Aim:
        """Away from a thing that is where it should be."""
        level = float(np.linalg.norm(now.off[:2]))
        if (now.in_hand or level < _IN_HAND_M) and not now.opened:
            return Aim("let go", now.grip, now.rotation, 0.0, _FACING)
        # First along the fingers, so that the thumb leaves the thing: drawn along with it, it falls.
        free = np.array([*(now.held_at - _OFF_THUMB_M * now.ahead)[:2], now.grip[2]])
        if now.back < 0.06 and float(now.off @ now.ahead) > -0.3 * _OFF_THUMB_M:
            return Aim("leave", free + now.back * now.away, now.rotation, CAREFUL_M_S, _FACING)
        if not self._goal.rim_m and now.back < _APPROACH_M - 0.01 and now.beside < 0.06:
            return Aim("retreat", free + now.away * (_APPROACH_M + 0.02), now.rotation, CAREFUL_M_S, _FACING)
        if level < 0.15 and now.off[2] < self._over - 0.03:
            return self._rise(now)
        home = self._home()
        if level < 0.15:
            return replace(home, grip=np.array([*home.grip[:2], now.held_at[2] + self._over]))
        return home

    def _home(self) -> Aim:
        rotation = self._hand.rotation(self._hand.home)
        return Aim("go home", self._hand.grip(self._hand.home), rotation, SPEED_M_S, _FACING)
