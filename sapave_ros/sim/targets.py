"""What an episode is about: something to look at, measured in the simulated world, and where it is best seen from.

The same for an episode in lockstep and for the truth that the live simulator tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.sights import REVEALED, Glimpse, Sights, Thing
from sapave_ros.sim.view import View
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

SHOWN_AT_BEST = 0.6
"""So much of an item shows from where it is best seen, or nobody is asked for it."""

CENTRED_RAD = math.radians(8.0)
"""The pose from which a thing is best seen has it so near to the axis: some are not within reach of the neck."""


class Target(Protocol):
    """name: how a person calls it."""

    @property
    def name(self) -> str: ...

    def angle_rad(self, world: World) -> float:
        """Between the optical axis and its centre, now [rad]."""
        ...

    def in_view(self, world: World) -> bool:
        """Whether its centre falls into the head camera's picture."""
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

    def in_view(self, world: World) -> bool:
        return world.look_target(self.name, visibility=False).in_view

    def visible(self, world: World) -> float:
        return world.look_target(self.name).visible_fraction or 0.0

    def goal(self, world: World) -> Floats:
        return world.head_pose_towards(self.name)


@dataclass(frozen=True)
class AnyOf:
    """Things of a room, any of which is right; the nearest to the optical axis counts.

    best: for each, how it is best seen from the start. relative: for each, whether what shows is measured by what
    shows at best: of furniture and insides no pose shows all.
    """

    name: str
    sights: Sights = field(repr=False)
    things: tuple[Thing, ...]
    best: tuple[Glimpse, ...]
    relative: tuple[bool, ...]

    def angle_rad(self, world: World) -> float:
        return self._nearest(world)[0]

    def in_view(self, world: World) -> bool:
        return self.sights.in_view(self.things[self._nearest(world)[1]], world.positions(g1.HEAD))

    def visible(self, world: World) -> float:
        i = self._nearest(world)[1]
        return self._measured(i, self.sights.glimpse(self.things[i], world.positions(g1.HEAD)).fraction)

    @property
    def visible_at_best(self) -> float:
        """How much of one of them shows at most, measured in the same way."""
        return max(self._measured(i, best.fraction) for i, best in enumerate(self.best))

    def goal(self, world: World) -> Floats:
        head = world.positions(g1.HEAD)
        return min((b.head for b in self.best), key=lambda pose: float(np.linalg.norm(pose - head)))

    def _nearest(self, world: World) -> tuple[float, int]:
        head = world.positions(g1.HEAD)
        return min((self.sights.angle_rad(thing, head), i) for i, thing in enumerate(self.things))

    def _measured(self, i: int, fraction: float) -> float:
        if not self.relative[i]:
            return fraction
        return min(fraction / self.best[i].fraction, 1.0) if self.best[i].fraction > 0.0 else 0.0


@dataclass(frozen=True)
class HeadPose:
    """A head pose (2,) [rad], such as a direction means or the head has at the start; the optical axis counts."""

    name: str
    pose: Floats

    def angle_rad(self, world: World) -> float:
        x, y = (world.camera_pose(head)[:3, 2] for head in (self.pose, world.positions(g1.HEAD)))
        return math.atan2(float(np.linalg.norm(np.cross(x, y))), float(x @ y))

    def in_view(self, world: World) -> bool:
        here = View(world.camera_pose(world.positions(g1.HEAD)), HEAD_CAMERA.intrinsics, HEAD_CAMERA.size)
        return bool(here.contains(world.camera_pose(self.pose)[None, :3, 2])[0])

    def visible(self, world: World) -> float:
        return 1.0

    def goal(self, world: World) -> Floats:
        return self.pose


def target_of(aim: Aim, room: Room, sights: Sights) -> AnyOf | HeadPose | None:
    """An aim in its room, which is loaded into the world of the sights; None where it is at nothing.

    Of several things those count that can be seen, all where none can. Raises as `Aim.check`.
    """
    aim.check(room)
    if aim.pose is not None:
        return HeadPose(aim.names[0], np.array(aim.pose))
    if not aim.names:
        return None
    items = room.scene.names
    things = [
        sights.item(items.index(name)) if name in items else sights.landmark(room.landmarks, room.landmark(name))
        for name in aim.names
    ]
    fixed, head = [name not in items for name in aim.names], np.array(room.scene.head)
    seen = [i for i, (t, f) in enumerate(zip(things, fixed, strict=True)) if can_be_seen(sights, t, f, head)]
    kept = seen or range(len(things))
    return any_of(sights, [things[i] for i in kept], [fixed[i] for i in kept], head)


def can_be_seen(sights: Sights, thing: Thing, fixed: bool, head: Floats) -> bool:
    """Whether the neck, from a head pose, can bring enough of a thing near enough to the optical axis. fixed: whether
    it is a landmark."""
    best = sights.best(thing, head)
    return best.fraction >= (REVEALED if fixed else SHOWN_AT_BEST) and best.angle_rad <= CENTRED_RAD


def any_of(sights: Sights, things: Sequence[Thing], fixed: Sequence[bool], head: Floats) -> AnyOf:
    """Any of these things is right. fixed: for each, whether it is a landmark. head: at the start (2,) [rad]."""
    best = tuple(sights.best(thing, head) for thing in things)
    return AnyOf(" or ".join(t.name for t in things), sights, tuple(things), best, tuple(fixed))
