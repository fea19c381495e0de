"""What the arm driver and its SDK process share: a record format one way, a piece of memory the other.

Setpoints travel as fixed records through a pipe: a write below PIPE_BUF is atomic, wakes the reader at once, and the
end of the pipe tells that the writer is gone. States travel through shared memory, where only the newest one
counts. Python 3.8, numpy only.
"""

from __future__ import annotations

import mmap
import os
import zlib

import numpy as np

NUM_ARM = 14
NUM_HAND = 12

SETPOINT, RELEASE = 1, 2
RECORD = np.dtype(
    [
        ("kind", "<u4"),  # SETPOINT or RELEASE
        ("has_hands", "<u4"),
        ("sent_s", "<f8"),  # monotonic time at which the parent wrote it
        ("arm", "<f8", (5, NUM_ARM)),  # rows q, dq, tau, kp, kd
        ("weight", "<f8"),
        ("hands", "<f8", (NUM_HAND,)),  # Inspire units, order of rt/inspire/cmd
        ("release_s", "<f8"),
    ]
)
"""One message from the parent; far below PIPE_BUF (4096)."""

RING = 4096
STATUS = np.dtype(
    [
        ("frames_sent", "<i8"),
        ("hold_frames", "<i8"),
        ("holds", "<i8"),
        ("refused", "<i8"),
        ("state_frames", "<i8"),
        ("state_crc_errors", "<i8"),
        ("hand_frames_sent", "<i8"),
        ("lateness_max_s", "<f8"),
        ("weight", "<f8"),  # of the last frame
        ("sent_s", "<f8", (RING,)),  # monotonic times of the last RING frames, index = frame number % RING
        ("lateness_s", "<f8", (RING,)),  # from the parent's write to our DDS write
    ]
)
"""Counters of the SDK process. Each is one aligned word, so reading needs no lock."""

_SLOT_HEAD = 16  # sequence, checksum


class Latest:
    """The newest message of one kind, handed from one process to another without a lock.

    Two slots are written in turn and each carries a checksum, so a reader that was overtaken notices on any
    processor, whatever order its stores become visible in. size: bytes of a message.
    """

    def __init__(self, memory: mmap.mmap, offset: int, size: int) -> None:
        self._memory, self._offset, self.size = memory, offset, size
        self._sequence = 0

    @staticmethod
    def extent(size: int) -> int:
        """Bytes of memory for messages of that size, a multiple of 8."""
        return 8 + 2 * (_SLOT_HEAD + -(-size // 8) * 8)

    def _slot(self, sequence: int) -> int:
        return self._offset + 8 + (sequence & 1) * (_SLOT_HEAD + -(-self.size // 8) * 8)

    def write(self, message: bytes) -> None:
        """Publish a message of `size` bytes."""
        self._sequence += 1
        number = self._sequence.to_bytes(8, "little")
        check = zlib.crc32(message, self._sequence & 0xFFFFFFFF).to_bytes(8, "little")
        at = self._slot(self._sequence)
        self._memory[at : at + _SLOT_HEAD + self.size] = number + check + message
        self._memory[self._offset : self._offset + 8] = number

    @property
    def sequence(self) -> int:
        """How many messages there were so far."""
        return int.from_bytes(self._memory[self._offset : self._offset + 8], "little")

    def read(self) -> tuple[int, bytes] | None:
        """Sequence number and content of the newest message; None if there was none, or it was being replaced."""
        for _ in range(4):
            sequence = self.sequence
            if sequence == 0:
                return None
            at = self._slot(sequence)
            slot = self._memory[at : at + _SLOT_HEAD + self.size]
            message = slot[_SLOT_HEAD:]
            whole = zlib.crc32(message, sequence & 0xFFFFFFFF) == int.from_bytes(slot[8:16], "little")
            if whole and int.from_bytes(slot[:8], "little") == sequence:
                return sequence, message
        return None


BODY_BYTES = 8 + 2092  # receive time, LowState_ in wire form
HANDS_BYTES = 8 + 2 * NUM_HAND * 8  # receive time, positions and velocities in Inspire units

_BODY_AT = STATUS.itemsize
_HANDS_AT = _BODY_AT + Latest.extent(BODY_BYTES)
BOARD_BYTES = _HANDS_AT + Latest.extent(HANDS_BYTES)


class Board:
    """The shared memory: `status`, `body` and `hands`, written by the SDK process, read by the driver."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, BOARD_BYTES)
        self.status = np.frombuffer(self._memory, dtype=STATUS, count=1)[0]
        self.body = Latest(self._memory, _BODY_AT, BODY_BYTES)
        self.hands = Latest(self._memory, _HANDS_AT, HANDS_BYTES)

    @staticmethod
    def create() -> int:
        """A descriptor of fresh memory that vanishes with its last user."""
        descriptor = os.memfd_create("unitree-board")
        os.ftruncate(descriptor, BOARD_BYTES)
        return descriptor
