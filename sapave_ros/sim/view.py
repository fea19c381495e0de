"""The stand-in world seen from anywhere, through any pinhole: which geom each pixel belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros.sim.rendering import HEAD_CAMERA, Renderer
from sapave_ros.types import Floats


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


class FreeRenderer(Renderer):
    """A renderer for views from anywhere, through any pinhole."""

    def geoms_of(self, data: mujoco.MjData, view: View, *, target_alone: bool = False) -> NDArray[np.int32]:
        """Geom id of every pixel of a view (h, w), -1 for none. target_alone: only `GROUP_TARGET` is drawn."""
        with self._segmented():
            viewport = self._aim(data, view, self._target_alone if target_alone else self._everything)
        return self._geoms(viewport)

    def _aim(self, data: mujoco.MjData, view: View, option: mujoco.MjvOption) -> mujoco.MjrRect:
        self._enter()
        self._camera.fixedcamid = self._model.camera(HEAD_CAMERA.name).id
        self._arrange(data, option, self._beyond(data, view))
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
