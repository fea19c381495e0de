"""From hand to hand: the one puts a thing down where both reach, and the other fetches it from there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sapave_ros.core.hand_ik import HandIk
from sapave_ros.manipulation.expert import Expert
from sapave_ros.manipulation.hands import look
from sapave_ros.manipulation.lockstep import Chunks
from sapave_ros.manipulation.settings import Handing
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats

OTHER = {"left": "right", "right": "left"}


class Relay:
    """Two experts, of which one has its turn; as theirs, it depends on the present state alone."""

    FREE = Expert.FREE

    def __init__(self, world: World, setting: Handing, ik: HandIk) -> None:
        self._setting = setting
        self._sign = 1.0 if setting.side == "left" else -1.0
        self._first = Expert(world, replace(setting, goal=setting.via), ik)
        self._second = Expert(world, replace(setting, side=OTHER[setting.side]), ik)
        self.acting = self._first

    @property
    def stage(self) -> str:
        """Of the one whose turn it is."""
        return self.acting.stage

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        turns = self._first, self._second
        self.acting, waiting = turns if self._is_firsts(world, positions) else turns[::-1]
        a, b = self.acting.move(world, stamp_s, positions), waiting.rest(stamp_s, positions)
        both = ActionChunk(stamp_s, a.dt_s, a.joint_names + b.joint_names, np.hstack([a.increments, b.increments]))
        return Chunks(look(world, self._setting.target, stamp_s, positions), both)

    def _is_firsts(self, world: World, positions: Floats) -> bool:
        """Until the thing is where both reach or further on, and the first hand has left it."""
        base, via = world.pose(self._setting.target)[:3, 3], self._setting.via
        on_its_side = self._sign * (base - via.position(world))[1] > via.within_m[1]
        return on_its_side or not self._first.gone(world, positions)
