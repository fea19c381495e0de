"""Who sees what a camera sees in a room, wherever on the head it is mounted, and what of a request that fulfils."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.language import Goal
from sapave_ros.learning.pairs.camera import NOMINAL, PICTURE_SIZE, Device, View
from sapave_ros.learning.pairs.labels import Glimpse, Guide, Thing
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.world import World
from sapave_ros.types import Floats


class Judge(Guide):
    """A guide who goes by where the torso is now, which leans a little as the waist gives way, and by a camera that may
    be mounted otherwise than drawn.
    """

    def __init__(self, world: World, scale: float = 1.0) -> None:
        super().__init__(world, scale)
        self._offset = np.eye(4)

    def mount(self, device: Device = NOMINAL) -> None:
        """The camera's place on the head and its focal length from now on; how things look best is asked anew."""
        self._offset = device.pose(np.eye(4))
        self.device = Device(device.focal, device.centre_px)  # what is left, besides the pose
        self._glimpses.clear()
        self._whole_sr.clear()

    def camera(self, head: Floats) -> Floats:
        data = self.world.data
        torso = np.eye(4)
        torso[:3, :3] = data.xmat[self._torso].reshape(3, 3)
        torso[:3, 3] = data.xpos[self._torso]
        return torso @ self.camera_in_torso(head)

    def camera_in_torso(self, head: Floats) -> Floats:
        return super().camera_in_torso(head) @ self._offset

    def view(self, head: Floats) -> View:
        """What the camera sees from a head pose (2,) [rad], at the size that is learned from."""
        return View(self.camera(head), self.device.intrinsics(PICTURE_SIZE), PICTURE_SIZE)

    def thing(self, room: Room, goal: Goal) -> Thing:
        """The item or landmark of a room that is loaded. Raises ValueError where the goal is neither."""
        if goal.item is not None:
            return self.item(goal.item)
        if goal.landmark is not None:
            return self.landmark(room.landmarks, goal.landmark)
        raise ValueError(f"goal: {goal}, expected an item or a landmark")

    def angle_rad(self, thing: Thing, head: Floats) -> float:
        """Between the optical axis and its centre [rad]."""
        pose = self.camera(head)
        x, y, z = pose[:3, :3].T @ (thing.middle - pose[:3, 3])
        return math.atan2(math.hypot(x, y), z)


@dataclass(frozen=True)
class AnyOf:
    """Things of the judge's room, any of which is right; the nearest to the optical axis counts.

    best: for each, how it is best seen from the start. relative: whether what shows is measured by what shows at best:
    of furniture and insides no pose shows all.
    """

    name: str
    judge: Judge = field(repr=False)
    things: tuple[Thing, ...]
    best: tuple[Glimpse, ...]
    relative: bool

    def angle_rad(self, world: World) -> float:
        return self._nearest(world)[0]

    def visible(self, world: World) -> float:
        i = self._nearest(world)[1]
        fraction = self.judge.glimpse(self.things[i], world.positions(g1.HEAD)).fraction
        return min(fraction / self.best[i].fraction, 1.0) if self.relative else fraction

    def goal(self, world: World) -> Floats:
        head = world.positions(g1.HEAD)
        return min((b.head for b in self.best), key=lambda pose: float(np.linalg.norm(pose - head)))

    def _nearest(self, world: World) -> tuple[float, int]:
        head = world.positions(g1.HEAD)
        return min((self.judge.angle_rad(thing, head), i) for i, thing in enumerate(self.things))


@dataclass(frozen=True)
class HeadPose:
    """A head pose (2,) [rad], such as a direction means or the head has at the start; the optical axis counts."""

    name: str
    pose: Floats
    kinematics: Kinematics = field(repr=False)

    def angle_rad(self, world: World) -> float:
        return between_axes(self.kinematics, self.pose, world.positions(g1.HEAD))

    def visible(self, world: World) -> float:
        return 1.0

    def goal(self, world: World) -> Floats:
        return self.pose


def between_axes(kinematics: Kinematics, a: Floats, b: Floats) -> float:
    """Angle between the optical axes of two head poses (2,) [rad]."""
    x, y = (kinematics.camera_in_torso(head)[:3, 2] for head in (a, b))
    return math.atan2(float(np.linalg.norm(np.cross(x, y))), float(x @ y))
