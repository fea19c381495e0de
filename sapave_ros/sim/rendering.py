"""Pictures of the stand-in world: colour and depth in one pass, and which object each pixel belongs to."""

from __future__ import annotations

import math
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros.sim.stage import (
    CAMERA,
    FOV_VERTICAL_RAD,
    GROUP_HIDDEN,
    GROUP_SHOWN,
    GROUP_TARGET,
    OBSERVER,
    OBSERVER_FOV_VERTICAL_RAD,
)

DEPTH_RANGE_M = (0.17, 6.0)
"""Where a D435i at 424x240 gives depth; nearer and farther is 0 = no depth."""


@dataclass(frozen=True)
class Camera:
    """A camera of the model at one picture size. Pixels are square; fov_vertical_rad covers the full height."""

    name: str
    width: int
    height: int
    fov_vertical_rad: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) [px]."""
        return self.height, self.width

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """K (3, 3) in pixels; the centre of the first pixel is (0, 0), as in OpenCV and ROS."""
        f = self.height / 2 / math.tan(self.fov_vertical_rad / 2)
        return np.array([[f, 0.0, (self.width - 1) / 2], [0.0, f, (self.height - 1) / 2], [0.0, 0.0, 1.0]])


HEAD_CAMERA = Camera(CAMERA, 424, 240, FOV_VERTICAL_RAD)
OBSERVER_CAMERA = Camera(OBSERVER, 640, 360, OBSERVER_FOV_VERTICAL_RAD)


class _Drawing(threading.local):
    """Whose graphics context is current in this thread."""

    renderer: weakref.ref[Renderer] | None = None


_drawing = _Drawing()


class Renderer:
    """Renders states of one model. Belongs to the thread that made it; `close` it there.

    Any picture size up to the model's offscreen buffer. MuJoCo's shadows are off: they cost four times the rest.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._gl = mujoco.GLContext(model.vis.global_.offwidth, model.vis.global_.offheight)
        self._enter()
        self._closed = False
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR  # keeps the precision of reversed depth
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[:] = 0
        self._scene.flags[[int(mujoco.mjtRndFlag.mjRND_SKYBOX), int(mujoco.mjtRndFlag.mjRND_CULL_FACE)]] = 1
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._everything = _option(GROUP_SHOWN, GROUP_TARGET)
        self._target_alone = _option(GROUP_TARGET)
        near, far = model.vis.map.znear * model.stat.extent, model.vis.map.zfar * model.stat.extent
        # Reversed depth b is 1 at the near plane, 0 at the far one; z = scale / (b + offset).
        self._depth_offset = np.float32(near / (far - near))
        self._depth_scale_mm = np.float32(1000.0 * far * near / (far - near))

    def rgb(self, data: mujoco.MjData, camera: Camera) -> NDArray[np.uint8]:
        """Colour (H, W, 3). `data` needs its kinematics up to date."""
        viewport = self._draw(data, camera, self._everything)
        picture = np.empty((camera.height, camera.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, viewport, self._context)
        return picture[::-1]

    def rgbd(self, data: mujoco.MjData, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Colour (H, W, 3) and depth (H, W) [mm] along the optical axis, 0 outside `DEPTH_RANGE_M`; in one pass."""
        viewport = self._draw(data, camera, self._everything)
        picture = np.empty((camera.height, camera.width, 3), np.uint8)
        buffer = np.empty((camera.height, camera.width), np.float32)
        mujoco.mjr_readPixels(picture, buffer, viewport, self._context)
        depth_mm = self._depth_scale_mm / (buffer[::-1] + self._depth_offset)
        low, high = (1000.0 * d for d in DEPTH_RANGE_M)
        depth_mm[(depth_mm < low) | (depth_mm > high)] = 0.0
        return picture[::-1], np.rint(depth_mm).astype(np.uint16)

    def geoms(self, data: mujoco.MjData, camera: Camera, *, target_alone: bool = False) -> NDArray[np.int32]:
        """Geom id of every pixel (H, W), -1 for none. target_alone: only geoms of `GROUP_TARGET` are drawn."""
        with self._segmented():
            viewport = self._draw(data, camera, self._target_alone if target_alone else self._everything)
        return self._geoms(viewport)

    def close(self) -> None:
        """Frees the graphics context. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._enter()  # or what is freed is another renderer's
        self._context.free()
        self._gl.free()

    def __del__(self) -> None:
        # Collected unclosed, at any time: perhaps between what another renderer draws and what it reads.
        if getattr(self, "_closed", True) or sys.is_finalizing():
            return
        warnings.warn(f"unclosed {type(self).__name__}", ResourceWarning, source=self, stacklevel=1)
        drawing = _drawing.renderer() if _drawing.renderer else None
        self.close()
        if drawing is not None and not drawing._closed:
            drawing._enter()

    def _enter(self) -> None:
        self._gl.make_current()
        _drawing.renderer = weakref.ref(self)

    def _draw(self, data: mujoco.MjData, camera: Camera, option: mujoco.MjvOption) -> mujoco.MjrRect:
        self._enter()
        self._camera.fixedcamid = self._model.camera(camera.name).id
        self._arrange(data, option, self._outside(data, camera))
        viewport = mujoco.MjrRect(0, 0, camera.width, camera.height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        return viewport

    def _arrange(self, data: mujoco.MjData, option: mujoco.MjvOption, outside: NDArray[np.bool_]) -> None:
        """What is to be drawn, without the geoms (ngeom,) that are outside of the picture: MuJoCo draws what is behind
        the camera too, and most of the robot is."""
        groups = self._model.geom_group
        before = groups.copy()
        groups[outside] = GROUP_HIDDEN
        try:
            mujoco.mjv_updateScene(
                self._model, data, option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
            )
        finally:
            groups[:] = before

    @contextmanager
    def _segmented(self) -> Iterator[None]:
        """Geoms are drawn in the colours of their numbers."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        try:
            yield
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0

    def _geoms(self, viewport: mujoco.MjrRect) -> NDArray[np.int32]:
        """Geom id of every pixel that was drawn `_segmented` (H, W), -1 for none."""
        picture = np.empty((viewport.height, viewport.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, viewport, self._context)
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom.objid
        number = picture[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        return table[number]

    def _outside(self, data: mujoco.MjData, camera: Camera) -> NDArray[np.bool_]:
        """Geoms (ngeom,) whose bounding sphere lies wholly outside one side of the camera's pyramid of view."""
        pose = self._camera.fixedcamid
        x, y, z = ((data.geom_xpos - data.cam_xpos[pose]) @ data.cam_xmat[pose].reshape(3, 3)).T
        radius = self._model.geom_rbound
        outside = z - radius > 0  # MuJoCo's cameras look along -z
        half_y = camera.fov_vertical_rad / 2
        half_x = math.atan(math.tan(half_y) * camera.width / camera.height)
        for sideways, half in ((x, half_x), (y, half_y)):
            outside |= np.abs(sideways) * math.cos(half) + z * math.sin(half) > radius
        return outside


def _option(*groups: int) -> mujoco.MjvOption:
    option = mujoco.MjvOption()
    option.geomgroup[:] = 0
    for group in groups:
        option.geomgroup[group] = 1
    option.flags[:] = 0
    option.flags[mujoco.mjtVisFlag.mjVIS_TEXTURE] = 1
    option.flags[mujoco.mjtVisFlag.mjVIS_STATIC] = 1
    return option


class SensorNoise:
    """What a real RGB-D camera adds: grain in the picture, depth errors that grow with the square of the distance.

    colour_sigma: standard deviation in grey levels. depth_sigma_at_1m: standard deviation at 1 m [m] (D435i: about
    2 mm, and below 2 % at 2 m by its data sheet). Noise is drawn once and shifted at random for each frame: drawing
    it anew would cost more than rendering does.
    """

    def __init__(self, camera: Camera, seed: int, colour_sigma: float = 2.0, depth_sigma_at_1m: float = 0.002) -> None:
        self._random = np.random.default_rng([seed, 0x901])
        size = camera.height * camera.width
        self._colour = np.rint(self._random.normal(0.0, colour_sigma, 6 * size)).astype(np.int16)
        self._depth = self._random.normal(0.0, depth_sigma_at_1m * 1e-3, 2 * size).astype(
            np.float32
        )  # times mm^2 -> mm

    def apply(
        self, rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """A noisy copy of a frame; no depth stays no depth."""
        first = self._random.integers(self._colour.size - rgb.size)
        grain = self._colour[first : first + rgb.size].reshape(rgb.shape)
        noisy = np.clip(rgb + grain, 0, 255).astype(np.uint8)
        first = self._random.integers(self._depth.size - depth_mm.size)
        z = depth_mm.astype(np.float32)
        z += z * z * self._depth[first : first + depth_mm.size].reshape(depth_mm.shape)
        return noisy, np.clip(np.rint(z), 0, 65535).astype(np.uint16)
