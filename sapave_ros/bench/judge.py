"""Who sees what a camera sees in a room, wherever on the head it is mounted, and what of a request that fulfils."""

from __future__ import annotations

import math

import numpy as np

from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.language import Goal
from sapave_ros.learning.pairs.camera import NOMINAL, PICTURE_SIZE, Device, View
from sapave_ros.learning.pairs.labels import Guide
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.sights import Thing
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
        self.forget(things=False)

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


def between_axes(kinematics: Kinematics, a: Floats, b: Floats) -> float:
    """Angle between the optical axes of two head poses (2,) [rad]."""
    x, y = (kinematics.camera_in_torso(head)[:3, 2] for head in (a, b))
    return math.atan2(float(np.linalg.norm(np.cross(x, y))), float(x @ y))
