"""The neck's servo bus as the G1-Comp head has it: two XL330 on one half-duplex line, here on a pseudo-terminal.

Coupled to a world: the servos decide where the profile is, the world where the head is.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sapave_ros.sim.dynamixel_bus import Bus
from sapave_ros.sim.xl330 import Xl330
from sapave_ros.sim.xl330_table import TICKS_PER_TURN
from sapave_ros.types import Floats

RAD_PER_TICK = 2 * math.pi / TICKS_PER_TURN
YAW_PITCH_IDS = (0, 1)
YAW_PITCH_DIRECTIONS = (1, -1)
"""G1-Comp head: ids and senses of rotation as Unitree's own servo service is configured."""


class ServoBus:
    """The neck on a pty: `link_path` is a link to it, for as long as this object lives.

    Arrays are in `g1.HEAD` order (yaw, pitch). directions: +1 where ticks grow with the joint angle.
    zero_ticks: position at 0 rad. follows: whether the servos move by themselves, for use without a world.
    torque: whether each servo holds, as it was at the last `goal_rad`. delay_s: fault: by how much answers come late.
    Use as a context manager or call `close`. Raises FileExistsError where link_path is something else.
    """

    def __init__(
        self,
        link_path: str | Path,
        ids: Sequence[int] = YAW_PITCH_IDS,
        directions: Sequence[int] = YAW_PITCH_DIRECTIONS,
        zero_ticks: Sequence[int] = (2048, 2048),
        baud_rate: int = 1_000_000,
        position_rad: Sequence[float] = (0.0, 0.0),
        follows: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ticks_per_rad = np.asarray(directions, dtype=np.float64) / RAD_PER_TICK
        self._zero = np.asarray(zero_ticks, dtype=np.float64)
        start = self._zero + np.asarray(position_rad) * self._ticks_per_rad
        self.bus = Bus([Xl330(i, baud_rate, float(t), follows) for i, t in zip(ids, start, strict=True)])
        self.torque: tuple[bool, ...] = (False,) * len(self.bus.servos)
        self._clock = clock
        self._lock = threading.Lock()
        self.delay_s = 0.0
        self.link_path = Path(link_path)
        if self.link_path.exists() and not self.link_path.is_symlink():
            raise FileExistsError(f"link_path: {self.link_path} exists and is not a link; expected a free name")
        # We keep the slave end open too: otherwise the master end fails whenever the last client leaves.
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._slave)
        self._target = os.ttyname(self._slave)
        fresh = self.link_path.with_name(f"{self.link_path.name}.{os.getpid()}")
        fresh.symlink_to(self._target)
        os.replace(fresh, self.link_path)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="servo-bus")
        self._thread.start()

    def __enter__(self) -> ServoBus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def goal_rad(self) -> Floats | None:
        """Where the servos want the head now, after their profile: (2,) [rad], or None with all torque off.

        With one torque off, that joint's goal is where it is: no force.
        """
        with self._lock:
            self.bus.advance(self._clock())
            self.torque = tuple([s.torque for s in self.bus.servos])
            if not any(self.torque):
                return None
            ticks = np.array([s.trajectory_ticks if s.torque else s.position_ticks for s in self.bus.servos])
        return (ticks - self._zero) / self._ticks_per_rad

    def set_present(self, position_rad: Floats, velocity_rad_s: Floats) -> None:
        """Where the world has the head: (2,) [rad], (2,) [rad/s]."""
        ticks = self._zero + np.asarray(position_rad) * self._ticks_per_rad
        ticks_s = np.asarray(velocity_rad_s) * self._ticks_per_rad
        with self._lock:
            for servo, position, velocity in zip(self.bus.servos, ticks, ticks_s, strict=True):
                servo.set_present(float(position), float(velocity))

    def fault(self, inject: Callable[[Bus], None]) -> None:
        """Run a fault of `Bus` while the line is quiet: `bus.fault(lambda b: b.silence(1))`."""
        with self._lock:
            inject(self.bus)

    def close(self) -> None:
        """Unplug: the link goes, and a client's next read or write fails."""
        if not self._thread.is_alive():
            return
        os.write(self._wake_write, b"x")
        self._thread.join()
        if self.link_path.is_symlink() and os.readlink(self.link_path) == self._target:
            self.link_path.unlink()
        for fd in (self._slave, self._master, self._wake_read, self._wake_write):
            os.close(fd)

    def _run(self) -> None:
        late: deque[tuple[float, bytes]] = deque()
        while True:
            wait_s = max(0.0, late[0][0] - time.monotonic()) if late else None
            ready, _, _ = select.select([self._master, self._wake_read], [], [], wait_s)
            if self._wake_read in ready:
                return
            while late and late[0][0] <= time.monotonic():
                self._answer(late.popleft()[1])
            if self._master not in ready:
                continue
            data = os.read(self._master, 4096)
            speed = termios.tcgetattr(self._master)[5]
            with self._lock:
                answer = self.bus.feed(data, self._clock(), _BAUD_RATE.get(speed, 0))
            if self.delay_s > 0.0:
                late.append((time.monotonic() + self.delay_s, answer))
            else:
                self._answer(answer)

    def _answer(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # a client that never reads loses the answer, as on a wire
            os.write(self._master, data)


_BAUD_RATE = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name.startswith("B") and name[1:].isdigit()
}
