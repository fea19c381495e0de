"""The head camera of one particular robot, drawn at the size that is learned from.

The deployed road reduces a picture of 424 x 240 pixels by averaging over areas; drawing it small comes to nearly the
same (`sapave bench data` says how nearly).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros.learning.config import DEPTH_REDUCTION
from sapave_ros.learning.config import PATCH as PATCH
from sapave_ros.policy.preprocess import scale_intrinsics
from sapave_ros.sim.rendering import DEPTH_RANGE_M, HEAD_CAMERA
from sapave_ros.sim.view import FreeRenderer, View
from sapave_ros.types import Floats

PICTURE_SIZE = (192, 320)
"""(height, width) [px] of the colours as stored: the network's (`config.Config.image_size`)."""

DEPTH_SIZE = (PICTURE_SIZE[0] // DEPTH_REDUCTION, PICTURE_SIZE[1] // DEPTH_REDUCTION)
"""(height, width) [px] of the depth as stored: the network's (`config.Config.depth_size`)."""

GRID = (PICTURE_SIZE[0] // PATCH, PICTURE_SIZE[1] // PATCH)


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
        """Colour (h, w, 3) and depth (h, w) [mm], 0 for none."""
        viewport = self._aim(data, view, self._everything)
        picture = np.empty((*view.size, 3), np.uint8)
        buffer = np.empty(view.size, np.float32)
        mujoco.mjr_readPixels(picture, buffer, viewport, self._context)
        mm = self._depth_scale_mm / (buffer[::-1] + self._depth_offset)
        mm[(mm < 1000.0 * DEPTH_RANGE_M[0]) | (mm > 1000.0 * DEPTH_RANGE_M[1])] = 0.0
        return picture[::-1], np.rint(mm).astype(np.uint16)
