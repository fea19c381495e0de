"""How far an episode has come, read from the physics: seen, reached, grasped, done."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sapave_ros.manipulation.contacts import Contacts
from sapave_ros.manipulation.settings import Placing, Setting
from sapave_ros.sim.world import World

STAGES = ("seen", "reached", "grasped", "done")


@dataclass(frozen=True)
class Criterion:
    """Seen: the target's centre within max_angle_rad of the optical axis. Reached: a hand touches it. Grasped: the hand
    moves it, see each task. Done: what the task asks for is so for hold_s; all of it within time_limit_s."""

    max_angle_rad: float = math.radians(10.0)
    hold_s: float = 0.5
    time_limit_s: float = 25.0


class Progress(ABC):
    """Follows one episode. at_s: when each of `STAGES` was reached first [s]; what is missing was not.

    What a task means by its stages it says itself, in `_reached`, `_grasped` and `_is_done`.
    """

    def __init__(self, world: World, setting: Setting, criterion: Criterion | None = None) -> None:
        self.criterion = criterion or Criterion()
        self.at_s: dict[str, float] = {}
        self._world, self._target = world, setting.target
        self._since_s: float | None = None

    @property
    def success(self) -> bool:
        return "done" in self.at_s

    def update(self, time_s: float) -> bool:
        """One look, time_s after the instruction. Returns whether the episode is decided."""
        criterion = self.criterion
        if self._world.look_target(self._target, visibility=False).angle_rad <= criterion.max_angle_rad:
            self.at_s.setdefault("seen", time_s)
        if self._reached():
            self.at_s.setdefault("reached", time_s)
        if self._grasped():
            self.at_s.setdefault("grasped", time_s)
        if not self._is_done(time_s):
            self._since_s = None
        elif self._since_s is None:
            self._since_s = time_s
        if self._since_s is not None and time_s >= self._since_s + criterion.hold_s:
            self.at_s.setdefault("done", self._since_s)
        return self.success or time_s > criterion.time_limit_s

    @abstractmethod
    def _reached(self) -> bool:
        """Whether a hand touches what is to be moved."""

    @abstractmethod
    def _grasped(self) -> bool:
        """Whether the hand moves it."""

    @abstractmethod
    def _is_done(self, time_s: float) -> bool:
        """Whether what was asked for is so now."""


LIFT_M = 0.03
MAX_TILT_RAD = math.radians(15.0)
AT_REST_M_S = 0.02


class Placed(Progress):
    """Grasped: lifted by `LIFT_M`, with nothing but the robot touching it. Done: it rests on what the goal says, its
    base where the goal says, slower than `AT_REST_M_S`, untouched by the robot, and upright within `MAX_TILT_RAD` where
    that is asked for."""

    def __init__(self, world: World, setting: Placing, criterion: Criterion | None = None) -> None:
        super().__init__(world, setting, criterion)
        self._setting = setting
        self._contacts = Contacts(world, setting)
        self._start_m = float(world.pose(setting.target)[2, 3])
        self._before: tuple[float, np.ndarray] | None = None

    def _reached(self) -> bool:
        return sum(self._contacts.forces_n().values()) > 0.0

    def _grasped(self) -> bool:
        lifted = float(self._world.pose(self._target)[2, 3]) - self._start_m >= LIFT_M
        return lifted and self._reached() and not self._contacts.elsewhere()

    def _is_done(self, time_s: float) -> bool:
        pose = self._world.pose(self._target)
        before, self._before = self._before, (time_s, pose[:3, 3])
        if before is None or time_s <= before[0]:
            return False
        speed = float(np.linalg.norm(pose[:3, 3] - before[1])) / (time_s - before[0])
        goal = self._setting.goal
        return (
            not self._reached()
            and self._contacts.at_goal()
            and goal.holds(self._world, pose[:3, 3])
            and (not goal.upright or math.acos(min(1.0, pose[2, 2])) <= MAX_TILT_RAD)
            and speed <= AT_REST_M_S
        )
