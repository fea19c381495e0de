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
from sapave_ros.sim.rendering import DEPTH_RANGE_M, HEAD_CAMERA, Renderer
from sapave_ros.sim.stage import GROUP_HIDDEN
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


@dataclass(frozen=True)
class View:
    """pose: optical frame (x right, y down, z forward) in the world (4, 4). intrinsics: K (3, 3) of size (h, w)."""

    pose: Floats
    intrinsics: Floats
    size: tuple[int, int]

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Left, right, top and bottom edge of the picture as x/z and y/z."""
        k, (h, w) = self.intrinsics, self.size
        return (
            (-0.5 - k[0, 2]) / k[0, 0],
            (w - 0.5 - k[0, 2]) / k[0, 0],
            (-0.5 - k[1, 2]) / k[1, 1],
            (h - 0.5 - k[1, 2]) / k[1, 1],
        )

    def contains(self, rays: Floats) -> NDArray[np.bool_]:
        """Whether directions (n, 3) in the world fall into the picture."""
        x, y, z = (rays @ self.pose[:3, :3]).T
        left, right, top, bottom = self.sides
        return (z > 0) & (x > left * z) & (x < right * z) & (y > top * z) & (y < bottom * z)

    def rays(self) -> Floats:
        """Directions of the pixels in the world (h, w, 3), of length one along the optical axis."""
        k, (h, w) = self.intrinsics, self.size
        x = (np.arange(w) - k[0, 2]) / k[0, 0]
        y = (np.arange(h) - k[1, 2]) / k[1, 1]
        in_camera = np.stack([*np.broadcast_arrays(x[None, :], y[:, None]), np.ones((h, w))], axis=-1)
        return in_camera @ self.pose[:3, :3].T

    def solid_angles(self) -> Floats:
        """Of each pixel [sr], (h, w)."""
        k, (h, w) = self.intrinsics, self.size
        x = (np.arange(w) - k[0, 2]) / k[0, 0]
        y = (np.arange(h) - k[1, 2]) / k[1, 1]
        return (1.0 + x[None, :] ** 2 + y[:, None] ** 2) ** -1.5 / (k[0, 0] * k[1, 1])


def view_towards(eye: Floats, point: Floats, radius_m: float, pixels: int) -> View:
    """A square view from a place at a ball, which just fits in."""
    forward = point - eye
    distance = float(np.linalg.norm(forward))
    x, y, z = (forward / max(distance, 1e-6)).tolist()
    level = max(math.hypot(x, y), 1e-6)
    right, down = (y / level, -x / level, 0.0), (x * z / level, y * z / level, -level)
    ex, ey, ez = eye.tolist()
    pose = np.array(
        [[right[0], down[0], x, ex], [right[1], down[1], y, ey], [0.0, down[2], z, ez], [0.0, 0.0, 0.0, 1.0]]
    )
    half = math.tan(min(math.asin(min(radius_m / max(distance, 1e-6), 1.0)), math.radians(50.0)))
    f, c = pixels / 2 / half, (pixels - 1) / 2
    return View(pose, np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]]), (pixels, pixels))


class Eye(Renderer):
    """A renderer for views from anywhere, through any pinhole."""

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

    def geoms_of(self, data: mujoco.MjData, view: View, *, target_alone: bool = False) -> NDArray[np.int32]:
        """Geom id of every pixel of a view (h, w), -1 for none. target_alone: only `GROUP_TARGET` is drawn."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        try:
            viewport = self._aim(data, view, self._target_alone if target_alone else self._everything)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        picture = np.empty((*view.size, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, viewport, self._context)
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom.objid
        number = picture[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        return table[number]

    @staticmethod
    def finer(view: View, times: int = SUPERSAMPLING) -> View:
        """The same view with so many times the pixels each way."""
        size = (view.size[0] * times, view.size[1] * times)
        return View(view.pose, scale_intrinsics(view.intrinsics, view.size, size), size)

    def _aim(self, data: mujoco.MjData, view: View, option: mujoco.MjvOption) -> mujoco.MjrRect:
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(HEAD_CAMERA.name).id
        groups = self._model.geom_group
        before = groups.copy()
        groups[self._beyond(data, view)] = GROUP_HIDDEN
        try:
            mujoco.mjv_updateScene(
                self._model, data, option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
            )
        finally:
            groups[:] = before
        left, right, top, bottom = view.sides
        for camera in self._scene.camera:
            near = camera.frustum_near
            camera.pos[:] = view.pose[:3, 3]
            camera.forward[:] = view.pose[:3, 2]
            camera.up[:] = -view.pose[:3, 1]
            camera.frustum_center = near * (left + right) / 2
            camera.frustum_width = near * (right - left) / 2
            camera.frustum_top, camera.frustum_bottom = -near * top, -near * bottom
        viewport = mujoco.MjrRect(0, 0, view.size[1], view.size[0])
        mujoco.mjr_render(viewport, self._scene, self._context)
        return viewport

    def _beyond(self, data: mujoco.MjData, view: View) -> NDArray[np.bool_]:
        """Geoms (ngeom,) whose bounding sphere lies wholly outside one side of the pyramid of view."""
        x, y, z = ((data.geom_xpos - view.pose[:3, 3]) @ view.pose[:3, :3]).T
        radius = self._model.geom_rbound
        beyond = z + radius < 0
        left, right, top, bottom = view.sides
        for along, edge, sign in ((x, left, -1), (x, right, 1), (y, top, -1), (y, bottom, 1)):
            beyond |= sign * (along - edge * z) / math.hypot(1.0, edge) > radius
        # A plane has no bounding sphere.
        return beyond & (radius > 0)
