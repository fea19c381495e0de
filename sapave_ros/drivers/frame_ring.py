"""The cable of the simulated camera: RGB-D frames through shared memory from the stand-in robot to the camera node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sapave_ros.drivers.shared_ring import RingError, RingReader, RingWriter, matrix
from sapave_ros.types import CameraFrame, Floats

_KIND = "rgbd"


def _layout(width: int, height: int) -> np.dtype[Any]:
    return np.dtype(
        [("stamp_s", "<f8"), ("rgb", np.uint8, (height, width, 3)), ("depth_mm", "<u2", (height, width))], align=True
    )


def _layout_from(meta: dict[str, Any]) -> np.dtype[Any]:
    try:
        return _layout(int(meta["width"]), int(meta["height"]))
    except KeyError as e:
        raise RingError(f"frame ring: no {e} in its header") from e


class FrameRingWriter:
    """The camera's end. width, height in pixels; intrinsics (3, 3). Errors as `RingWriter`."""

    def __init__(self, path: str | Path, width: int, height: int, intrinsics: Floats, slots: int = 4) -> None:
        meta = {"width": width, "height": height, "intrinsics": np.asarray(intrinsics).tolist()}
        self._shape = (height, width)
        self._ring = RingWriter(path, _KIND, _layout(width, height), meta, slots)

    def write(self, stamp_s: float, rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]) -> int:
        """Appends a frame: rgb (H, W, 3), depth (H, W), stamp_s its exposure in ROS time. Returns its sequence.

        Raises ValueError on a picture of another size.
        """
        if rgb.shape != (*self._shape, 3) or depth_mm.shape != self._shape:
            raise ValueError(f"frame: rgb {rgb.shape} and depth {depth_mm.shape}, expected height, width {self._shape}")
        return self._ring.write(stamp_s=stamp_s, rgb=rgb, depth_mm=depth_mm)

    def close(self) -> None:
        """Removes the link."""
        self._ring.close()


class FrameRingReader:
    """The node's end. Follows a camera that restarts, also with another picture size. Errors as `RingReader`."""

    def __init__(self, path: str | Path) -> None:
        self._ring = RingReader(path, _KIND, _layout_from)

    @property
    def session(self) -> int:
        """Number of the writer's life."""
        return self._ring.session

    def latest_after(self, sequence: int) -> tuple[int, CameraFrame] | None:
        """The newest frame and its sequence, None where none is newer than `sequence`."""
        found = self._ring.latest_after(sequence)
        if found is None:
            return None
        number, record = found
        intrinsics = matrix(self._ring.meta["intrinsics"])
        return number, CameraFrame(float(record["stamp_s"]), record["rgb"], record["depth_mm"], intrinsics)

    def close(self) -> None:
        """Lets go of the memory."""
        self._ring.close()
