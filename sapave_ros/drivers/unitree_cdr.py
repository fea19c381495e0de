"""The wire form of Unitree's messages: fixed layouts, read and written in place.

The SDK turns every message into a tree of Python objects (0.2 ms to encode a LowCmd_, 0.35 ms to decode
a LowState_). Both have a fixed size on the wire, so here they are one buffer with numpy views on it.
Needs numpy only and runs under Python 3.8, because the SDK may live in an older interpreter than ROS.

Layout: CDR little endian, 4 bytes of header, then the fields of the IDL, each aligned to its size. The first
motor's `mode` byte directly follows the bytes before it; every other one stands on a word boundary.
"""

from __future__ import annotations

import zlib

import numpy as np

NUM_SLOTS = 35
"""Motors in LowCmd_ and LowState_; the G1's body has 29, entry 29 of `rt/arm_sdk` carries the weight."""

CDR_LE = b"\x00\x01\x00\x00"
LOW_CMD_BYTES = 1004
LOW_STATE_BYTES = 2092

Q, DQ, TAU, KP, KD = range(5)
"""Columns of `LowCmdFrame.motors`."""

_REVERSED_BITS = bytes(int(f"{b:08b}"[::-1], 2) for b in range(256))


def crc32_words(image: bytes | bytearray) -> int:
    """Unitree's frame check over the packed words of a message, without its last word (the check itself).

    CRC-32/MPEG-2 (polynomial 0x04C11DB7, start 0xFFFFFFFF, nothing reflected, no final xor), each
    little-endian word most significant bit first. zlib computes the reflected twin of it in C, so the bits
    of each word go in reversed and those of the result come out reversed. Length: a multiple of 4 bytes.
    """
    swapped = np.frombuffer(image, dtype="<u4").byteswap().tobytes()
    mirrored = zlib.crc32(swapped.translate(_REVERSED_BITS)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED_BITS), "big")


class _Frame:
    """A message of fixed size in one buffer. The views stay valid for the life of the frame."""

    SIZE: int
    FIRST_MODE: int  # offset of the first motor's mode byte
    STRIDE: int  # bytes from one motor to the next

    def __init__(self) -> None:
        self.buffer = bytearray(self.SIZE)
        self.buffer[:4] = CDR_LE
        self._bytes = np.frombuffer(self.buffer, dtype=np.uint8)
        self._first_field = -(-(self.FIRST_MODE + 1) // 4) * 4  # where the first motor's floats begin
        second_mode = self._first_field + self.STRIDE - 4
        self._mode_at = np.concatenate(
            ([self.FIRST_MODE], np.arange(NUM_SLOTS - 1) * self.STRIDE + second_mode)
        )  # (35,)
        self._crc = self.buffer_view("<u4", self.SIZE - 4, (1,), (4,))
        # What the check covers: the message as a C struct, in which also the first mode has a word of its own.
        self._image = bytearray(self.SIZE - 4)
        words = np.frombuffer(self._image, dtype="<u4")
        self._image_modes = words[(self._first_field - 4) // 4 :: self.STRIDE // 4][:NUM_SLOTS]

    def buffer_view(self, dtype: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
        """A view on the message's bytes."""
        return np.ndarray(shape, np.dtype(dtype), self.buffer, offset, strides)  # type: ignore[call-overload]

    @property
    def motor_mode(self) -> np.ndarray:
        """(35,) uint8, 1 = enabled, 0 = absent or disabled; a copy."""
        return self._bytes[self._mode_at]

    @motor_mode.setter
    def motor_mode(self, modes: np.ndarray) -> None:
        self._bytes[self._mode_at] = modes

    def load(self, data: bytes) -> None:
        """Take the message in wire form; ValueError if it is not of this size or byte order."""
        if len(data) != self.SIZE or data[:4] != CDR_LE:
            raise ValueError(
                f"{type(self).__name__}: {len(data)} bytes with header {bytes(data[:4]).hex()}, "
                f"expected {self.SIZE} bytes with header {CDR_LE.hex()}"
            )
        self.buffer[:] = data

    def checksum(self) -> int:
        """The frame check of the present content."""
        first, image = self.FIRST_MODE, self._image
        image[: first - 4] = self.buffer[4:first]
        image[self._first_field - 4] = self.buffer[first]
        image[self._first_field :] = self.buffer[self._first_field : -4]
        self._image_modes &= 0xFF  # padding is no part of the message
        return crc32_words(image)

    @property
    def intact(self) -> bool:
        """Whether the frame check in the message fits its content."""
        return int(self._crc[0]) == self.checksum()

    def seal(self) -> bytes:
        """Write the frame check and return the message in wire form."""
        self._crc[0] = self.checksum()
        return bytes(self.buffer)


class LowCmdFrame(_Frame):
    """unitree_hg LowCmd_ in place.

    header: (2,) uint8 mode_pr, mode_machine. motors: (35, 5) float32, columns q [rad], dq [rad/s],
    tau [N m], kp [N m/rad], kd [N m s/rad]. motor_mode: (35,). Fresh frames are all zero, which means "go to
    zero" and not "no command": fill every motor before `seal`.
    """

    SIZE = LOW_CMD_BYTES
    FIRST_MODE = 6
    STRIDE = 28

    def __init__(self) -> None:
        super().__init__()
        self.header = self.buffer_view("u1", 4, (2,), (1,))
        self.motors = self.buffer_view("<f4", 8, (NUM_SLOTS, 5), (28, 4))
        self.reserve = self.buffer_view("<u4", 28, (NUM_SLOTS,), (28,))
        self.tail = self.buffer_view("<u4", 984, (4,), (4,))


class LowStateFrame(_Frame):
    """unitree_hg LowState_ in place.

    version: (2,) uint32. header: (2,) uint8 mode_pr, mode_machine. tick: (1,) uint32 [ms].
    imu: (13,) float32: quaternion (w, x, y, z), gyroscope [rad/s], accelerometer [m/s^2], roll pitch yaw [rad].
    motors: (35, 4) float32, columns q, dq, ddq, tau_est. temperature: (35, 2) int16 casing, winding [deg C].
    voltage: (35,) float32 [V]. sensor: (35, 2), motor_error: (35,) uint32, motor_reserve: (35, 4).
    remote: (40,) uint8. tail: (4,) uint32, reserved.
    """

    SIZE = LOW_STATE_BYTES
    FIRST_MODE = 74
    STRIDE = 56

    def __init__(self) -> None:
        super().__init__()
        motors = (NUM_SLOTS,)
        self.version = self.buffer_view("<u4", 4, (2,), (4,))
        self.header = self.buffer_view("u1", 12, (2,), (1,))
        self.tick = self.buffer_view("<u4", 16, (1,), (4,))
        self.imu = self.buffer_view("<f4", 20, (13,), (4,))
        self.imu_temperature = self.buffer_view("<i2", 72, (1,), (2,))
        self.motors = self.buffer_view("<f4", 76, (*motors, 4), (56, 4))
        self.temperature = self.buffer_view("<i2", 92, (*motors, 2), (56, 2))
        self.voltage = self.buffer_view("<f4", 96, motors, (56,))
        self.sensor = self.buffer_view("<u4", 100, (*motors, 2), (56, 4))
        self.motor_error = self.buffer_view("<u4", 108, motors, (56,))
        self.motor_reserve = self.buffer_view("<u4", 112, (*motors, 4), (56, 4))
        self.remote = self.buffer_view("u1", 2032, (40,), (1,))
        self.tail = self.buffer_view("<u4", 2072, (4,), (4,))


_GO_MOTOR_CMD = np.dtype(
    {
        "names": ["mode", "q", "dq", "tau", "kp", "kd", "reserve"],
        "formats": ["u1", "<f4", "<f4", "<f4", "<f4", "<f4", ("<u4", 3)],
        "offsets": [0, 4, 8, 12, 16, 20, 24],
        "itemsize": 36,
    }
)
_GO_MOTOR_STATE = np.dtype(
    {
        "names": ["mode", "q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw", "temperature", "lost", "reserve"],
        "formats": ["u1", "<f4", "<f4", "<f4", "<f4", "<f4", "<f4", "<f4", "u1", "<u4", ("<u4", 2)],
        "offsets": [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40],
        "itemsize": 48,
    }
)


def motor_cmds(n: int) -> np.ndarray:
    """n zeroed entries of unitree_go MotorCmds_: mode, q, dq, tau, kp, kd, reserve."""
    return np.zeros(n, dtype=_GO_MOTOR_CMD)


def motor_states(n: int) -> np.ndarray:
    """n zeroed entries of unitree_go MotorStates_: mode, q, dq, ddq, tau_est, ..., temperature, lost, reserve."""
    return np.zeros(n, dtype=_GO_MOTOR_STATE)


def encode_sequence(entries: np.ndarray) -> bytes:
    """MotorCmds_ or MotorStates_ in wire form."""
    return CDR_LE + len(entries).to_bytes(4, "little") + entries.tobytes()


def _decode_sequence(data: bytes, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(data[4:8], "little")
    if data[:4] != CDR_LE or len(data) != 8 + count * dtype.itemsize:
        raise ValueError(
            f"sequence of {count} entries in {len(data)} bytes with header {bytes(data[:4]).hex()}, "
            f"expected {8 + count * dtype.itemsize} bytes with header {CDR_LE.hex()}"
        )
    return np.frombuffer(data, dtype=dtype, count=count, offset=8)


def decode_motor_cmds(data: bytes) -> np.ndarray:
    """The entries of a MotorCmds_ in wire form; ValueError if its length does not fit its count."""
    return _decode_sequence(data, _GO_MOTOR_CMD)


def decode_motor_states(data: bytes) -> np.ndarray:
    """The entries of a MotorStates_ in wire form; ValueError if its length does not fit its count."""
    return _decode_sequence(data, _GO_MOTOR_STATE)
