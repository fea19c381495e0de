"""What the arm driver and its SDK process share: a record format one way, a piece of memory the other.

Setpoints travel as fixed records through a pipe: a write below PIPE_BUF is atomic, wakes the reader at once, and the
end of the pipe tells that the writer is gone. States travel through shared memory, where only the newest one
counts. Python 3.8, numpy only.
"""

from __future__ import annotations

import fcntl
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

WATCHED = ("rt/arm_sdk", "rt/lowcmd", "rt/inspire/cmd")
"""Topics on which a second writer would fight with us, in the order of the `foreign_*` columns."""

RING = 4096
STATUS = np.dtype(
    [
        ("frames_sent", "<i8"),
        ("frames_dropped", "<i8"),  # in shadow: would have been sent
        ("hold_frames", "<i8"),
        ("holds", "<i8"),
        ("refused", "<i8"),
        ("state_frames", "<i8"),  # with a new tick
        ("state_crc_errors", "<i8"),
        ("state_repeats", "<i8"),  # frames with the tick of the one before
        ("state_restarts", "<i8"),  # times that the tick ran backwards
        ("hand_frames_sent", "<i8"),
        ("state_hz", "<f8"),
        ("hand_state_hz", "<f8"),
        ("lateness_max_s", "<f8"),
        ("repeated_s", "<f8"),  # monotonic time of the last repeat, 0 = never; so below
        ("restarted_s", "<f8"),
        ("foreign_frames", "<i8", (len(WATCHED),)),
        ("foreign_s", "<f8", (len(WATCHED),)),
        ("foreign_publishers", "<i8", (len(WATCHED),)),  # matched now, whether they write or not
        ("weight", "<f8"),  # of the last frame
        ("beat", "<i8"),  # grows while the process that writes to the robot runs
        ("pid", "<i8"),  # of that process
        ("rescued_s", "<f8"),  # monotonic time of the first frame that the guard sent in its place
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

    @staticmethod
    def extent(size: int) -> int:
        """Bytes of memory for messages of that size, a multiple of 8."""
        return 8 + 2 * (_SLOT_HEAD + -(-size // 8) * 8)

    def _slot(self, sequence: int) -> int:
        return self._offset + 8 + (sequence & 1) * (_SLOT_HEAD + -(-self.size // 8) * 8)

    def write(self, message: bytes) -> None:
        """Publish a message of `size` bytes. One writer at a time."""
        sequence = self.sequence + 1
        number = sequence.to_bytes(8, "little")
        check = zlib.crc32(message, sequence & 0xFFFFFFFF).to_bytes(8, "little")
        at = self._slot(sequence)
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
FRAME_BYTES = 1004  # LowCmd_ in wire form

_BODY_AT = STATUS.itemsize
_HANDS_AT = _BODY_AT + Latest.extent(BODY_BYTES)
_FRAME_AT = _HANDS_AT + Latest.extent(HANDS_BYTES)
BOARD_BYTES = _FRAME_AT + Latest.extent(FRAME_BYTES)


class Board:
    """The shared memory: `status`, `body`, `hands` and `frame`, the last one sent to the robot. Written by the SDK
    process, or by its guard after its end; read by the driver."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, BOARD_BYTES)
        self._descriptor = descriptor
        self._claim = -1
        self.status = np.frombuffer(self._memory, dtype=STATUS, count=1)[0]
        self.body = Latest(self._memory, _BODY_AT, BODY_BYTES)
        self.hands = Latest(self._memory, _HANDS_AT, HANDS_BYTES)
        self.frame = Latest(self._memory, _FRAME_AT, FRAME_BYTES)

    @staticmethod
    def create() -> int:
        """A descriptor of fresh memory that vanishes with its last user."""
        descriptor = os.memfd_create("unitree-board")
        os.ftruncate(descriptor, BOARD_BYTES)
        return descriptor

    def claim(self, wait: bool = False) -> None:
        """Become the one process that may write to the robot, until this process ends, however it ends.

        wait: until the one that has it has ended; else BlockingIOError. The kernel lets go only when no thread of the
        old one can run any more. The memory is opened anew for the lock, as its descriptor is shared with the parent.
        """
        self._claim = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR)
        fcntl.flock(self._claim, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
