"""What an episode is about: something to look at, measured in the simulated world, and where it is best seen from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sapave_ros.sim.world import World
from sapave_ros.types import Floats


class Target(Protocol):
    """name: how a person calls it."""

    @property
    def name(self) -> str: ...

    def angle_rad(self, world: World) -> float:
        """Between the optical axis and its centre, now [rad]."""
        ...

    def visible(self, world: World) -> float:
        """How much of it shows now, 0..1."""
        ...

    def goal(self, world: World) -> Floats:
        """Head pose (2,) [rad] that brings it best into view, from the present one."""
        ...


@dataclass(frozen=True)
class NamedItem:
    """An item of the world's scene. Its methods raise KeyError that lists the names where it is none of them."""

    name: str

    def angle_rad(self, world: World) -> float:
        return world.look_target(self.name, visibility=False).angle_rad

    def visible(self, world: World) -> float:
        return world.look_target(self.name).visible_fraction or 0.0

    def goal(self, world: World) -> Floats:
        return world.head_pose_towards(self.name)
