"""The stand-in robot's LowState_ as it leaves the robot: healthy, or as broken as it is told to be."""

from __future__ import annotations

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr

TEMPERATURE_DEG_C = 30
VOLTAGE_V = 48.0


class LowState:
    """A frame and what goes wrong with it. frame: filled by the robot, with the readings that a fault puts there.
    mode_machine: of a healthy one.

    torque: by motor, what it reports in place of its torque [N m]. silent: nothing leaves. frozen: the last one leaves
    again. corrupt: its frame check is wrong.
    """

    def __init__(self, mode_machine: int) -> None:
        self.frame = unitree_cdr.LowStateFrame()
        self.mode_machine = mode_machine
        self._last: bytes | None = None
        self.heal()

    def heal(self) -> None:
        """All motors there, none with an error, warm as a living room, and no remote heard."""
        n, frame = g1.NUM_MOTORS, self.frame
        frame.header[:] = 0, self.mode_machine
        self.torque: dict[int, float] = {}
        self.silent = self.frozen = self.corrupt = False
        present = np.zeros(unitree_cdr.NUM_SLOTS, dtype=np.uint8)
        present[:n] = 1
        frame.motor_mode = present
        frame.temperature[:n] = TEMPERATURE_DEG_C
        frame.voltage[:n] = VOLTAGE_V
        frame.motor_error[:] = 0
        frame.remote[:] = 0

    def lose(self, motor: int) -> None:
        """That motor is there no more."""
        modes = self.frame.motor_mode
        modes[motor] = 0
        self.frame.motor_mode = modes

    def outgoing(self) -> bytes | None:
        """What goes out on the wire now, None for nothing."""
        if not self.frozen or self._last is None:
            for motor, newton_metres in self.torque.items():
                self.frame.motors[motor, 3] = newton_metres
            self._last = self.frame.seal()
        if self.silent:
            return None
        return self._last[:-1] + bytes([self._last[-1] ^ 0xFF]) if self.corrupt else self._last
