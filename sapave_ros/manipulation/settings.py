"""What is asked in an episode and where it takes place, as plain data; `placings` makes such settings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.objects import shape
from sapave_ros.sim.parts import Vector
from sapave_ros.sim.scene import Item, Scene
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

CONDITIONS = ("in view", "out of view", "occluded")
"""What the head camera has of the thing in its picture at the start: all of it, nothing, or a part, and then a lamp
hangs before the rest of it: before 34 to 77 % of its pixels, measured over 20 seeds of five tasks, half of the time
before less than 57 %. Wherever the head turns, some of it stays hidden."""

_READY_LEFT = np.array([0.765, 0.343, 0.81, -0.66, -0.807, 0.236, -0.324])
READY: dict[str, float] = {
    **dict(zip(g1.LEFT_ARM.names, _READY_LEFT.tolist())),
    **dict(zip(g1.RIGHT_ARM.names, (g1.ARM_MIRROR * _READY_LEFT).tolist())),
}
"""Arms [rad] as they stand at the start: the hands beside the table's edge, open, in nobody's view."""


@dataclass(frozen=True)
class Setting(ABC):
    """One episode of any task. target: name of the item of the scene that is to be moved, and to be looked at before.
    side: of the robot, whose hand does it. task, seed, condition: what it was made from.
    """

    task: str
    seed: int
    condition: str
    scene: Scene
    target: str
    side: str
    instruction: str

    @abstractmethod
    def points(self, world: World) -> Floats:
        """Where what is to be moved is now, and where it is to be, (2, 3) [m] in the world."""

    @property
    def item(self) -> Item:
        return self.scene.items[self.scene.index(self.target)]


@dataclass(frozen=True)
class Goal:
    """Where a thing is to be put.

    at: where the middle of its base is best [m], in the world; where there is `of`, an item of the scene, from the
    middle of that one's base. within_m: how far it may be off that along x and along y, both turned by yaw_rad. bearer:
    index of the block that it is to rest on, None for the item `of`. rim_m: how high walls are around it; what is put
    there is let go of above them. upright: whether it has to stand.
    """

    at: Vector
    within_m: tuple[float, float]
    bearer: int | None = None
    of: str = ""
    yaw_rad: float = 0.0
    rim_m: float = 0.0
    upright: bool = True

    def position(self, world: World) -> Floats:
        """`at`, in the world as it is now, (3,)."""
        return np.array(self.at) + (world.pose(self.of)[:3, 3] if self.of else 0.0)

    def holds(self, world: World, base: Floats) -> bool:
        """Whether a thing whose base has its middle there, (3,) in the world, is where it is to be, seen from above."""
        x, y = (base - self.position(world))[:2]
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return abs(c * x + s * y) <= self.within_m[0] and abs(c * y - s * x) <= self.within_m[1]


@dataclass(frozen=True)
class Placing(Setting):
    """A thing is to be put somewhere."""

    goal: Goal

    def points(self, world: World) -> Floats:
        return np.stack([world.pose(self.target)[:3, 3], self.goal.position(world)])

    @property
    def base_radius_m(self) -> float:
        """Of the cylinder around the thing [m]."""
        return shape(self.item.kind, self.item.variant).radius


@dataclass(frozen=True)
class Handing(Placing):
    """A thing is to be put where the hand on its own side does not reach: via is where both do."""

    via: Goal
