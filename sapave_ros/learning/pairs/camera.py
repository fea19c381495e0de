"""The head camera of one particular robot, drawn at the size that is learned from.

The deployed road reduces a picture of 424 x 240 pixels by averaging over areas. Drawing a third of the pixels,
`SUPERSAMPLING` x `SUPERSAMPLING` for each that is kept, and averaging those comes to nearly the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb, scale_intrinsics
from sapave_ros.sim.rendering import DEPTH_RANGE_M, HEAD_CAMERA
from sapave_ros.sim.view import FreeRenderer, View
from sapave_ros.types import Floats

PICTURE_SIZE = (96, 160)
"""(height, width) [px] as stored: the network's (`model.Config.image_size`)."""

PATCH = 8
"""Side of a patch of the coverage map [px] (`model.PATCH`)."""

GRID = (PICTURE_SIZE[0] // PATCH, PICTURE_SIZE[1] // PATCH)

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Device:
    """How one camera differs from the drawings.

    focal: factor of the focal length. centre_px (2,): shift of the principal point, of 424 x 240 pixels. Both are
    calibrated at the factory, so the robot knows them. tilt_rad (3,) and offset_m (3,): of the true optical frame
    in the one that the kinematics believe in; nobody knows these.
    """

    focal: float = 1.0
    centre_px: tuple[float, float] = (0.0, 0.0)
    tilt_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def draw(cls, random: np.random.Generator) -> Device:
        """One of many: focal length within 2 %, centre within 3 px, mounted to 0.4 degrees and 2 mm (one sigma)."""
        u, v = random.uniform(-3.0, 3.0, 2)
        a, b, c = random.normal(0.0, math.radians(0.4), 3)
        x, y, z = random.normal(0.0, 0.002, 3)
        return cls(float(random.uniform(0.98, 1.02)), (float(u), float(v)), (a, b, c), (x, y, z))

    def intrinsics(self, size: tuple[int, int]) -> Floats:
        """K (3, 3) of its picture reduced to `size`."""
        k = HEAD_CAMERA.intrinsics
        k[[0, 1], [0, 1]] *= self.focal
        k[:2, 2] += self.centre_px
        return scale_intrinsics(k, (HEAD_CAMERA.height, HEAD_CAMERA.width), size)

    def pose(self, camera: Floats) -> Floats:
        """Where it really looks from (4, 4), given where the kinematics say that it does."""
        true = np.eye(4)
        true[:3, :3] = cv2.Rodrigues(np.array(self.tilt_rad))[0]
        true[:3, 3] = self.offset_m
        return camera @ true


NOMINAL = Device()


class Eye(FreeRenderer):
    """A renderer that draws pictures for views too, as they are learned from."""

    def rgbd_of(self, data: mujoco.MjData, view: View) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Colour (h, w, 3) and depth (h, w) [mm], 0 for none: drawn finer than the view and averaged."""
        h, w = view.size
        fine = self.finer(view)
        viewport = self._aim(data, fine, self._everything)
        picture = np.empty((*fine.size, 3), np.uint8)
        buffer = np.empty(fine.size, np.float32)
        mujoco.mjr_readPixels(picture, buffer, viewport, self._context)
        depth_m = self._depth_scale_mm / 1000.0 / (buffer[::-1] + self._depth_offset)
        depth_m[(depth_m < DEPTH_RANGE_M[0]) | (depth_m > DEPTH_RANGE_M[1])] = 0.0
        mm = np.rint(1000.0 * reduce_depth(depth_m, (h, w))).astype(np.uint16)
        return reduce_rgb(picture[::-1], (h, w)), mm

    @staticmethod
    def finer(view: View, times: int = SUPERSAMPLING) -> View:
        """The same view with so many times the pixels each way."""
        size = (view.size[0] * times, view.size[1] * times)
        return View(view.pose, scale_intrinsics(view.intrinsics, view.size, size), size)
