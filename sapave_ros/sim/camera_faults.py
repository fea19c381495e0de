"""What can go wrong with the stand-in robot's camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sapave_ros.graph import CAMERA_HZ

Frame = tuple[float, NDArray[np.uint8], NDArray[np.uint16]]
"""Stamp [s], colour (H, W, 3), depth (H, W) [mm]."""


class CameraFaults:
    """The faults in force. Methods are named as the rows of `faults.FAULTS`; `heal` ends all."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.uint8], NDArray[np.uint16]] | None = None
        self.heal()

    def heal(self) -> None:
        self._frozen = self._silent = self._black = self._no_depth = False
        self._jump_s = 0.0
        self._period_s = self._due_s = 0.0

    def camera_frozen(self) -> None:
        self._frozen = True

    def camera_silent(self) -> None:
        self._silent = True

    def camera_black(self) -> None:
        self._black = True

    def camera_no_depth(self) -> None:
        self._no_depth = True

    def camera_slow(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz

    def camera_stamp_jump(self, seconds: float) -> None:
        self._jump_s = seconds

    def frame(self, stamp_s: float, rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]) -> Frame | None:
        """What the camera makes of a frame, None for nothing. To be asked for each frame of a healthy one."""
        if not self._frozen or self._last is None:
            self._last = rgb, depth_mm
        rgb, depth_mm = self._last
        if self._silent or stamp_s < self._due_s:
            return None
        self._due_s = max(self._due_s, stamp_s - 1.0 / CAMERA_HZ) + self._period_s
        if self._black:
            rgb = np.zeros_like(rgb)
        if self._no_depth:
            depth_mm = np.zeros_like(depth_mm)
        return stamp_s + self._jump_s, rgb, depth_mm
