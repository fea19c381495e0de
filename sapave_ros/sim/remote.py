"""The 40 bytes of Unitree's remote control in LowState_, as the robot sends them.

Layout (unitree_sdk2 gamepad.hpp): 2 bytes head, 16 buttons, then float32 little endian lx, rx, ry, L2, ly, then 16
idle bytes. All zero is a robot that hears no remote, so the head of one that is heard is not zero.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BUTTONS = (
    "R1", "L1", "start", "select", "R2", "L2", "F1", "F2",
    "A", "B", "X", "Y", "up", "right", "down", "left",
)  # fmt: skip
"""In the order of their bits, lowest of byte 2 first."""

BYTES = 40
_HEAD = b"\x55\x51"
_LAYOUT = struct.Struct("<2sH5f16x")


def encode(
    buttons: Sequence[str] = (), *, lx: float = 0.0, ly: float = 0.0, rx: float = 0.0, ry: float = 0.0, l2: float = 0.0
) -> bytes:
    """A remote that is switched on, with those `BUTTONS` held and sticks so far from the middle, each -1 to 1.

    Right and forward are positive. Raises ValueError on an unknown button.
    """
    unknown = [b for b in buttons if b not in BUTTONS]
    if unknown:
        raise ValueError(f"buttons: {', '.join(map(repr, unknown))}; expected among {', '.join(BUTTONS)}")
    held = sum(1 << BUTTONS.index(b) for b in set(buttons))
    return _LAYOUT.pack(_HEAD, held, lx, rx, ry, l2, ly)
