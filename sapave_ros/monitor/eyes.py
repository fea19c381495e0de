"""The camera in the room: what it can see, what it sees, and where in the picture the policy looks.

Camera frames are optical (x right, y down, z forward). Pixels are (u, v): column, row; whole numbers are their centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros.types import Floats

FRUSTUM_DEPTH_M = 0.35
GAZE_M = 1.5
"""How far away it looks where no depth is known [m]."""

FURTHEST_M = 6.0
"""What is further away is left out: the noise of a stereo camera has grown to decimetres there [m]."""

_MIDDLE = 0.1  # of the picture's width and height
_HEAT = np.array([255, 140, 40], np.float32)
_HEAT_SHARE = 0.6


@dataclass(frozen=True)
class Lens:
    """intrinsics: (3, 3), pixels. width, height: of the picture, pixels."""

    intrinsics: Floats
    width: int
    height: int

    def __post_init__(self) -> None:
        k = self.intrinsics
        if k.shape != (3, 3) or not np.isfinite(k).all() or not (k[0, 0] > 0 and k[1, 1] > 0 and k[2, 2] == 1):
            raise ValueError(f"k: {k.ravel().tolist()}; expected a camera matrix with focal lengths above 0")
        if not (self.width > 0 and self.height > 0):
            raise ValueError(f"width x height: {self.width} x {self.height}; expected a picture")


@dataclass(frozen=True)
class Cloud:
    """points_in_torso: (n, 3) [m]. colours: (n, 3) RGB, None where there is no picture of that exposure."""

    stamp_s: float
    points_in_torso: NDArray[np.float32]
    colours: NDArray[np.uint8] | None


def rays(lens: Lens, pixels: Floats) -> Floats:
    """Points (n, 3) in the camera at z = 1 that are seen at pixels (n, 2)."""
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    return np.asarray(np.linalg.solve(lens.intrinsics, homogeneous.T).T)


def frustum(lens: Lens, camera_in_torso: Floats, depth_m: float = FRUSTUM_DEPTH_M) -> Floats:
    """Points (5, 3) in the torso [m]: the camera, then the corners of the picture at that depth, from top left on
    clockwise."""
    right, bottom = lens.width - 0.5, lens.height - 0.5
    corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
    points = np.vstack([np.zeros(3), rays(lens, corners) * depth_m])
    return moved(camera_in_torso, points)


def gaze(lens: Lens | None, camera_in_torso: Floats, depth_m: float | None) -> Floats:
    """The point (3,) in the torso [m] that it looks at: in the middle of the picture, at that depth where it is known,
    along the optical axis where the lens is not."""
    ray = np.array([0.0, 0.0, 1.0])
    if lens is not None:
        ray = rays(lens, np.array([[(lens.width - 1) / 2, (lens.height - 1) / 2]]))[0]
    return np.asarray(moved(camera_in_torso, (ray * (depth_m or GAZE_M))[None])[0])


def middle_depth_m(depth_mm: NDArray[np.uint16]) -> float | None:
    """Median of what has depth in the middle of the picture [m]; None where nothing has."""
    h, w = depth_mm.shape
    dy, dx = max(1, int(h * _MIDDLE / 2)), max(1, int(w * _MIDDLE / 2))
    part = depth_mm[h // 2 - dy : h // 2 + dy, w // 2 - dx : w // 2 + dx]
    known = part[part > 0]
    return float(np.median(known)) * 1e-3 if len(known) else None


def cloud(
    stamp_s: float,
    depth_mm: NDArray[np.uint16],
    lens: Lens,
    camera_in_torso: Floats,
    rgb: NDArray[np.uint8] | None,
    most: int,
) -> Cloud:
    """At most that many points, evenly over the picture. depth_mm: (H, W). rgb: (H, W, 3) of the same exposure.

    Raises ValueError where the sizes disagree.
    """
    h, w = depth_mm.shape
    if (h, w) != (lens.height, lens.width) or (rgb is not None and rgb.shape[:2] != (h, w)):
        there = None if rgb is None else rgb.shape
        raise ValueError(
            f"depth {depth_mm.shape}, colour {there}; expected the {lens.height} x {lens.width} of the lens"
        )
    step = max(1, int(np.ceil(np.sqrt(h * w / most))))
    v, u = (axis.ravel() for axis in np.mgrid[step // 2 : h : step, step // 2 : w : step])
    depth_m = depth_mm[v, u].astype(np.float64) * 1e-3
    kept = (depth_m > 0) & (depth_m <= FURTHEST_M)
    u, v, depth_m = u[kept], v[kept], depth_m[kept]
    points = moved(camera_in_torso, rays(lens, np.column_stack([u, v])) * depth_m[:, None])
    return Cloud(stamp_s, points.astype(np.float32), None if rgb is None else rgb[v, u])


def overlaid(rgb: NDArray[np.uint8], heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with where the policy looks, (h, w) 0..255, laid over it."""
    large = cv2.resize(heat, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
    share = (large.astype(np.float32) * (_HEAT_SHARE / 255))[..., None]
    return np.asarray(rgb * (1 - share) + _HEAT * share, dtype=np.uint8)


def moved(a_in_b: Floats, points_in_a: Floats) -> Floats:
    """Points (n, 3) of frame a in frame b."""
    return points_in_a @ a_in_b[:3, :3].T + a_in_b[:3, 3]
