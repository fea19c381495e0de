"""What its pictures tell about a camera: the same again and again, black, or without depth.

Everything is judged on a coarse grid of pixels, so that it costs next to nothing beside a frame's way out.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sapave_ros.core.faults import Fault

GRID_PX = 60
"""The shorter side of a picture is looked at in about this many places."""

BLOCK = 5
"""Grey values are averaged over so many places squared: grain of high gain is not mistaken for things."""

REPEATS_FOR_S = 0.3
MEMORY = 30
"""A picture counts as seen before if it was among the last `MEMORY`: a driver may hand out its few buffers in turn."""

BRIGHT_SHARE = 98
"""Share of the blocks [%] that are darker than what is called the bright parts: a status light is no picture."""

DARK_GREY = 12.0
"""With the bright parts below this grey level (0 to 255), nothing can be told apart: in the coding of sRGB it is 0.4 %
of the light of white. A dim room in which the exposure still helps has its bright parts far above."""

UNIFORM_GREY = 0.3
"""Blocks that differ by less than this standard deviation are one colour: what a broken stream shows, or saturation.
The light on a blank wall alone falls off by several levels towards the corners of a picture."""

DARK_FOR_S = 0.3

MIN_DEPTH_SHARE = 0.02
DEPTH_LOST_FOR_S = 0.5
"""Arms that cross the view, and a turn past something too near, take less than that."""

CLEAR_FOR_S = 0.5
"""A finding ends when its cause has been gone for this long [s]."""


@dataclass
class _Lasting:
    """A condition that becomes a finding after `after_s` [s] on end, and ends `CLEAR_FOR_S` after its last moment."""

    after_s: float
    since_s: float | None = None
    seen_s: float = -np.inf
    found: bool = False

    def update(self, condition: bool, now_s: float) -> bool:
        if condition:
            self.since_s = now_s if self.since_s is None else self.since_s
            self.seen_s = now_s
            self.found = self.found or now_s - self.since_s > self.after_s
        else:
            self.since_s = None
            self.found = self.found and now_s - self.seen_s < CLEAR_FOR_S
        return self.found


class CameraHealth:
    """Judges one frame after the other. findings: what is wrong as of the newest."""

    def __init__(self) -> None:
        self.findings: dict[Fault, str] = {}
        self._memory: deque[int] = deque(maxlen=MEMORY)
        self._repeats = _Lasting(REPEATS_FOR_S)
        self._dark = _Lasting(DARK_FOR_S)
        self._no_depth = _Lasting(DEPTH_LOST_FOR_S)
        self._texts: dict[Fault, str] = {}

    def frame(self, rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16], now_s: float) -> dict[Fault, str]:
        """The findings with this frame, which came at monotonic time `now_s` [s].

        rgb: (H, W, 3). depth_mm: (H, W), 0 = no depth.
        """
        colour, depth = _places(rgb), _places(depth_mm)
        blank = self._blank(colour)
        repeats = self._repeated(colour)
        causes = (
            # A covered sensor has no grain left that would tell its pictures apart.
            (self._repeats, Fault.CAMERA_REPEATS, "" if blank else repeats),
            (self._dark, Fault.CAMERA_BLACK, blank),
            (self._no_depth, Fault.DEPTH_LOST, _lost(np.count_nonzero(depth) / depth.size)),
        )
        findings = {}
        for lasting, fault, text in causes:
            if text:
                self._texts[fault] = text
            if lasting.update(bool(text), now_s):
                findings[fault] = self._texts[fault]
        self.findings = findings
        return findings

    @staticmethod
    def _blank(colour: NDArray[np.uint8]) -> str:
        """Why nothing can be seen on (h, w, 3) places, or nothing."""
        h, w = (n - n % BLOCK for n in colour.shape[:2])
        grey = colour[:h, :w].sum(axis=2, dtype=np.uint16).reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK)
        blocks = grey.sum(axis=(1, 3), dtype=np.uint32) / (3.0 * BLOCK * BLOCK)
        rank = BRIGHT_SHARE * blocks.size // 100
        bright = float(np.partition(blocks.ravel(), rank)[rank])
        if bright < DARK_GREY:
            return f"black: bright parts have grey level {bright:.1f} of 255, at least {DARK_GREY:g}"
        spread = float(blocks.std())
        if spread < UNIFORM_GREY:
            return f"one colour: grey levels differ by {spread:.2f}, at least {UNIFORM_GREY:g}"
        return ""

    def _repeated(self, colour: NDArray[np.uint8]) -> str:
        """Which of the last pictures these (h, w, 3) places repeat, or nothing."""
        number = zlib.crc32(colour.data)
        self._memory.appendleft(number)
        try:
            frames = self._memory.index(number, 1)
        except ValueError:
            return ""
        return f"every pixel is that of the picture {frames} before: no sensor is so still"


def _places(image: np.ndarray) -> np.ndarray:
    """A coarse grid out of a picture (H, W, ...), copied."""
    step = max(1, min(image.shape[:2]) // GRID_PX)
    return np.ascontiguousarray(image[::step, ::step])


def _lost(share: float) -> str:
    if share >= MIN_DEPTH_SHARE:
        return ""
    return (
        f"{100 * share:.1f} % of the pixels have depth, at least {100 * MIN_DEPTH_SHARE:g} %; "
        "a thing closer than the camera's least distance looks the same"
    )
