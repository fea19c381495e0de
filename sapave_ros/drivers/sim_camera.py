"""The simulated camera: frames that the simulator puts into a shared ring, behind the interface of a real one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sapave_ros.drivers.frame_ring import FrameRingReader
from sapave_ros.drivers.shared_ring import RingError
from sapave_ros.types import CameraFrame

POLL_S = 0.002
RETRY_S = 0.1


class SimCamera:
    """A `CameraSource` on the ring at `path`, which may appear later than this object, and be replaced by that of
    a restarted simulator. clock, sleep: for tests."""

    def __init__(
        self,
        path: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._clock, self._sleep = clock, sleep
        self._ring: FrameRingReader | None = None
        self._session = 0
        self._sequence = 0
        self._next_try_s = -math.inf
        self._dropped = 0
        self._trouble = "not started"

    @property
    def description(self) -> str:
        return f"simulated camera, frame ring {self._path}"

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def dropped(self) -> int:
        return self._dropped

    def start(self) -> None:
        self._trouble = "no frame yet"

    def wait_frame(self, timeout_s: float) -> CameraFrame | None:
        end_s = self._clock() + timeout_s
        while True:
            frame = self._poll()
            if frame is not None:
                self._trouble = ""
                return frame
            if self._clock() >= end_s:
                if self._ring is not None:
                    self._trouble = f"the simulator writes no frames to ring {self._path}"
                return None
            self._sleep(POLL_S)

    def close(self) -> None:
        self._ring = None

    def _poll(self) -> CameraFrame | None:
        try:
            if self._ring is None:
                if self._clock() < self._next_try_s:
                    return None
                self._ring = FrameRingReader(self._path)
            found = self._ring.latest_after(self._sequence)
        except (OSError, RingError) as error:
            self._ring = None
            self._next_try_s = self._clock() + RETRY_S
            self._trouble = f"ring: {error}"
            return None
        if found is None:
            return None
        sequence, frame = found
        if self._ring.session == self._session:
            self._dropped += sequence - self._sequence - 1
        self._session, self._sequence = self._ring.session, sequence
        return frame
