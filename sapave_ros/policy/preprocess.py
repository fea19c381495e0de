"""An observation to the network's inputs. Training and runtime both go through here, so they cannot differ."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.policy.manifest import Manifest
from sapave_ros.policy.tokenizer import Tokenizer
from sapave_ros.types import Floats, Observation

MAX_DEPTH_M = 10.0
"""Farther counts as no depth: a D435i measures nothing useful beyond."""


def reduce_rgb(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Area average of a picture (H, W, 3) to size = (h, w): (h, w, 3)."""
    return np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def reduce_depth(depth_m: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Average of the valid depths [m] of each area, (H, W) to (h, w); 0 where under half of it is valid."""
    depth_m = np.asarray(depth_m, dtype=np.float32)
    valid = (np.isfinite(depth_m) & (depth_m > 0) & (depth_m <= MAX_DEPTH_M)).astype(np.float32)
    to = (size[1], size[0])
    total = cv2.resize(np.where(valid > 0, depth_m, 0).astype(np.float32), to, interpolation=cv2.INTER_AREA)
    share = cv2.resize(valid, to, interpolation=cv2.INTER_AREA)
    # Through float16, as training data are stored.
    mean = np.where(share >= 0.5, total / np.maximum(share, 0.5), 0)
    return mean.astype(np.float16).astype(np.float32)


def scale_intrinsics(intrinsics: Floats, size: tuple[int, int], to: tuple[int, int]) -> Floats:
    """(3, 3) for a picture of size (H, W) to one of size `to`; pixel centres at whole numbers."""
    sy, sx = to[0] / size[0], to[1] / size[1]
    scaled = np.array(intrinsics, dtype=np.float64)
    scaled[0] *= sx
    scaled[1] *= sy
    scaled[0, 2] += 0.5 * sx - 0.5
    scaled[1, 2] += 0.5 * sy - 0.5
    return scaled


class Preprocessor:
    """Observation to the graph's conditioning inputs, each with a batch of one."""

    def __init__(self, manifest: Manifest):
        self.size, self.depth_size = manifest.image_size, manifest.depth_size
        self.tokenizer = Tokenizer(manifest.vocabulary, manifest.max_words)

    def __call__(self, o: Observation) -> dict[str, NDArray]:
        """Absent geometry becomes zeros with its flag in `present` at 0: the network masks it.

        Raises ValueError naming the field on a wrong shape or a number that is not finite.
        """
        height, width = _shape("rgb", o.rgb, (None, None, 3))[:2]
        q = np.asarray(o.joint_positions, dtype=np.float32)
        _finite("joint_positions", q, (len(g1.POLICY),))
        depth = np.zeros(self.depth_size, np.float32)
        intrinsics = np.eye(3)
        camera_in_torso = np.eye(4)
        if o.depth_m is not None:
            _shape("depth_m", o.depth_m, (height, width))
            depth = reduce_depth(o.depth_m, self.depth_size)
        if o.intrinsics is not None:
            _finite("intrinsics", o.intrinsics, (3, 3))
            if not (o.intrinsics[0, 0] > 0 and o.intrinsics[1, 1] > 0):
                raise ValueError(f"intrinsics: focal lengths are {np.diag(o.intrinsics)[:2]}, expected > 0")
            intrinsics = scale_intrinsics(o.intrinsics, (height, width), self.size)
        if o.camera_in_torso is not None:
            _finite("camera_in_torso", o.camera_in_torso, (4, 4))
            camera_in_torso = o.camera_in_torso
        geometry = (o.depth_m, o.intrinsics, o.camera_in_torso)
        return {
            "rgb": reduce_rgb(o.rgb, self.size)[None],
            "depth_m": depth[None],
            "intrinsics": intrinsics[None].astype(np.float32),
            "camera_in_torso": camera_in_torso[None].astype(np.float32),
            "present": np.array([[g is not None for g in geometry]], dtype=np.float32),
            "words": self.tokenizer.encode(o.instruction)[None],
            "joint_positions": q[None],
        }


def _shape(field: str, value: NDArray, expected: tuple[int | None, ...]) -> tuple[int, ...]:
    shape = np.shape(value)
    if len(shape) != len(expected) or any(e is not None and s != e for s, e in zip(shape, expected)) or 0 in shape:
        raise ValueError(f"{field}: shape is {shape}, expected {expected}")
    return shape


def _finite(field: str, value: NDArray, expected: tuple[int, ...]) -> None:
    _shape(field, value, expected)
    if not np.isfinite(value).all():
        raise ValueError(f"{field}: is {np.asarray(value)[~np.isfinite(value)][0]}, expected finite numbers")
