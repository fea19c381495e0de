"""How far an episode has come, read from the physics: seen, reached, grasped, done."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sapave_ros.manipulation.contacts import Contacts
from sapave_ros.manipulation.settings import TRAY_HALF_M, Setting
from sapave_ros.sim.world import World

STAGES = ("seen", "reached", "grasped", "done")


@dataclass(frozen=True)
class Criterion:
    """Seen: its centre within max_angle_rad of the optical axis. Reached: a hand touches it. Grasped: lifted by lift_m,
    with nothing but the robot touching it. Done: it stands on the tray, all of its base, upright within max_tilt_rad,
    slower than max_speed_m_s and untouched, for hold_s; all of it within time_limit_s."""

    max_angle_rad: float = math.radians(10.0)
    lift_m: float = 0.03
    max_tilt_rad: float = math.radians(15.0)
    max_speed_m_s: float = 0.02
    hold_s: float = 0.5
    time_limit_s: float = 25.0


class Progress:
    """Follows one episode. at_s: when each of `STAGES` was reached first [s]; what is missing was not."""

    def __init__(self, world: World, setting: Setting, criterion: Criterion | None = None) -> None:
        self.criterion = criterion or Criterion()
        self.at_s: dict[str, float] = {}
        self._world, self._setting = world, setting
        self._contacts = Contacts(world, setting)
        self._start_m = float(world.pose(setting.thing)[2, 3])
        self._before: tuple[float, np.ndarray] | None = None
        self._stands_since_s: float | None = None

    @property
    def success(self) -> bool:
        return "done" in self.at_s

    def update(self, time_s: float) -> bool:
        """One look, time_s after the instruction. Returns whether the episode is decided."""
        world, criterion = self._world, self.criterion
        pressed = sum(self._contacts.forces_n().values()) > 0.0
        pose = world.pose(self._setting.thing)
        if world.look_target(self._setting.thing, visibility=False).angle_rad <= criterion.max_angle_rad:
            self.at_s.setdefault("seen", time_s)
        if pressed:
            self.at_s.setdefault("reached", time_s)
        if pressed and pose[2, 3] - self._start_m >= criterion.lift_m and not self._contacts.on_furniture():
            self.at_s.setdefault("grasped", time_s)
        if not self._stands(time_s, pose) or pressed:
            self._stands_since_s = None
        elif self._stands_since_s is None:
            self._stands_since_s = time_s
        if self._stands_since_s is not None and time_s >= self._stands_since_s + criterion.hold_s:
            self.at_s.setdefault("done", self._stands_since_s)
        return self.success or time_s > criterion.time_limit_s

    def _stands(self, time_s: float, pose: np.ndarray) -> bool:
        """Whether it stands on the tray now."""
        before, self._before = self._before, (time_s, pose[:3, 3])
        if before is None or time_s <= before[0]:
            return False
        speed = float(np.linalg.norm(pose[:3, 3] - before[1])) / (time_s - before[0])
        aside = float(np.abs(pose[:2, 3] - self._setting.tray[:2]).max())
        return (
            self._contacts.on_tray()
            and aside <= TRAY_HALF_M - self._setting.base_radius_m
            and math.acos(min(1.0, pose[2, 2])) <= self.criterion.max_tilt_rad
            and speed <= self.criterion.max_speed_m_s
        )
