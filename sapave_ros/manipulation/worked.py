"""How far an episode with a mechanism has come."""

from __future__ import annotations

from dataclasses import replace

from sapave_ros.manipulation.articulated import Working
from sapave_ros.manipulation.progress import Criterion, Progress
from sapave_ros.sim.world import World

MOVED = 0.2
"""Share of the way that a mechanism has been moved by a hand that counts as having hold of it."""

PRESSED_S = 0.3
"""A button is to be pressed so long."""


class Worked(Progress):
    """Reached: the robot touches what moves. Grasped: it has moved it `MOVED` of the way. Done: it is where it is
    enough, and no other mechanism has been moved as far."""

    def __init__(self, world: World, setting: Working, criterion: Criterion | None = None) -> None:
        super().__init__(world, setting, criterion)
        self._setting = setting
        self._way = abs(setting.enough - setting.mechanism.start)
        fixtures = world.stage.fixtures
        self._moving = next(f.body for f in fixtures if f.mechanism.name == setting.target)
        self._others = [f.mechanism for f in fixtures if f.mechanism.name != setting.target]
        self._robot = world.model.body_rootid == world.model.body("pelvis").id  # (nbody,)
        self._spoiled = False

    def update(self, time_s: float) -> bool:
        """As `Progress.update`."""
        moved = (abs(self._world.joint_state(other.name) - other.start) for other in self._others)
        self._spoiled |= any(way >= self._way for way in moved)
        return super().update(time_s)

    def _reached(self) -> bool:
        model, data = self._world.model, self._world.data
        bodies = model.geom_bodyid[data.contact.geom[: data.ncon]]  # (ncon, 2)
        return bool((self._robot[bodies[:, ::-1]] & (bodies == self._moving)).any())

    def _grasped(self) -> bool:
        return self._reached() and self._setting.left(self._world) < (1.0 - MOVED) * self._way

    def _is_done(self, time_s: float) -> bool:
        return not self._spoiled and self._setting.left(self._world) <= 0.0


class Pressed(Worked):
    """The same of a button, which has to stay pressed for `PRESSED_S`."""

    def __init__(self, world: World, setting: Working, criterion: Criterion | None = None) -> None:
        super().__init__(world, setting, replace(criterion or Criterion(), hold_s=PRESSED_S))
