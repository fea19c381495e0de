"""The Unitree remote, from the 40 bytes in LowState (unitree_sdk2 gamepad.hpp)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

BUTTONS = (
    "R1", "L1", "start", "select", "R2", "L2", "F1", "F2",
    "A", "B", "X", "Y", "up", "right", "down", "left",
)  # fmt: skip
"""Names by bit: byte 2 from the lowest on, then byte 3."""

AXES = ("lx", "ly", "rx", "ry")
"""Sticks, -1 to 1: right and up are positive."""

_AXES_AT = (4, 20, 8, 12)
DEAD_ZONE = 0.05


@dataclass(frozen=True)
class Remote:
    """axes: as AXES. buttons: as BUTTONS."""

    axes: tuple[float, ...]
    buttons: tuple[bool, ...]

    def pressed(self, name: str) -> bool:
        return self.buttons[BUTTONS.index(name)]

    @property
    def stop(self) -> bool:
        """Select, or L2 with B: the robot's own damping, in which it drops whatever we hold."""
        return self.pressed("select") or (self.pressed("L2") and self.pressed("B"))


def decode(data: bytes) -> Remote:
    """The remote's state; at rest for a remote that is off (all bytes zero). Raises ValueError unless 40 bytes.

    A stick that is no number, or out of range, counts as let go.
    """
    if len(data) != 40:
        raise ValueError(f"wireless_remote has {len(data)} bytes: expected 40")
    bits = data[2] | data[3] << 8
    sticks = (struct.unpack_from("<f", data, at)[0] for at in _AXES_AT)
    axes = tuple(v if DEAD_ZONE <= abs(v) <= 1.0 else 0.0 for v in sticks)
    return Remote(axes, tuple(bool(bits >> i & 1) for i in range(len(BUTTONS))))
