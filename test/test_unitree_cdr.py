"""The wire form is Unitree's own, byte for byte, and the frame check is the one the robot computes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.drivers import unitree_cdr as cdr
from sapave_ros.drivers import unitree_sdk

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    unitree_sdk.load()


def random_cmd(seed: int):
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, MotorCmd_

    rng = np.random.default_rng(seed)
    motors = [
        MotorCmd_(int(rng.integers(256)), *map(float, rng.normal(size=5).astype(np.float32)), int(rng.integers(2**32)))
        for _ in range(cdr.NUM_SLOTS)
    ]
    pr, machine = map(int, rng.integers(256, size=2))
    return LowCmd_(pr, machine, motors, [int(v) for v in rng.integers(2**32, size=4)], 0)


def random_state(seed: int):
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import IMUState_, LowState_, MotorState_

    rng = np.random.default_rng(seed)

    def floats(n: int) -> list[float]:
        return [float(v) for v in rng.normal(size=n).astype(np.float32)]

    def words(n: int) -> list[int]:
        return [int(v) for v in rng.integers(2**32, size=n)]

    def shorts(n: int) -> list[int]:
        return [int(v) for v in rng.integers(-(2**15), 2**15, size=n)]

    motors = [
        MotorState_(int(rng.integers(256)), *floats(4), shorts(2), floats(1)[0], words(2), words(1)[0], words(4))
        for _ in range(cdr.NUM_SLOTS)
    ]
    imu = IMUState_(floats(4), floats(3), floats(3), floats(3), shorts(1)[0])
    remote = [int(v) for v in rng.integers(256, size=40)]
    pr, machine = map(int, rng.integers(256, size=2))
    return LowState_(words(2), pr, machine, words(1)[0], imu, motors, remote, words(4), 0)


def fill_cmd(frame: cdr.LowCmdFrame, message) -> None:
    frame.header[:] = message.mode_pr, message.mode_machine
    frame.motor_mode = np.array([m.mode for m in message.motor_cmd], np.uint8)
    frame.motors[:] = [(m.q, m.dq, m.tau, m.kp, m.kd) for m in message.motor_cmd]
    frame.reserve[:] = [m.reserve for m in message.motor_cmd]
    frame.tail[:] = message.reserve


def fill_state(frame: cdr.LowStateFrame, message) -> None:
    motors, imu = message.motor_state, message.imu_state
    frame.version[:] = message.version
    frame.header[:] = message.mode_pr, message.mode_machine
    frame.tick[0] = message.tick
    frame.imu[:] = [*imu.quaternion, *imu.gyroscope, *imu.accelerometer, *imu.rpy]
    frame.imu_temperature[0] = imu.temperature
    frame.motor_mode = np.array([m.mode for m in motors], np.uint8)
    frame.motors[:] = [(m.q, m.dq, m.ddq, m.tau_est) for m in motors]
    frame.temperature[:] = [m.temperature for m in motors]
    frame.voltage[:] = [m.vol for m in motors]
    frame.sensor[:] = [m.sensor for m in motors]
    frame.motor_error[:] = [m.motorstate for m in motors]
    frame.motor_reserve[:] = [m.reserve for m in motors]
    frame.remote[:] = message.wireless_remote
    frame.tail[:] = message.reserve


def packed_cmd(m) -> bytes:
    """The message as the SDK packs it for its check (format of utils/crc.py)."""
    values = [m.mode_pr, m.mode_machine]
    for c in m.motor_cmd:
        values += [c.mode, c.q, c.dq, c.tau, c.kp, c.kd, c.reserve]
    return struct.pack("<2B2x" + "B3x5fI" * 35 + "5I", *values, *m.reserve, m.crc)


def packed_state(m) -> bytes:
    i = m.imu_state
    values = [*m.version, m.mode_pr, m.mode_machine, m.tick]
    values += [*i.quaternion, *i.gyroscope, *i.accelerometer, *i.rpy, i.temperature]
    for s in m.motor_state:
        values += [s.mode, s.q, s.dq, s.ddq, s.tau_est, *s.temperature, s.vol, *s.sensor, s.motorstate, *s.reserve]
    values += [*m.wireless_remote, *m.reserve, m.crc]
    return struct.pack("<2I2B2xI13fh2x" + "B3x4f2hf7I" * 35 + "40B5I", *values)


def bitwise_crc(image: bytes) -> int:
    """CRC-32/MPEG-2 as it is defined, one bit at a time."""
    crc = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", image):
        crc ^= word
        for _ in range(32):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


CASES = [
    pytest.param(cdr.LowCmdFrame, random_cmd, fill_cmd, packed_cmd, id="LowCmd"),
    pytest.param(cdr.LowStateFrame, random_state, fill_state, packed_state, id="LowState"),
]


@pytest.mark.parametrize(("frame_type", "random_message", "fill", "packed"), CASES)
@settings(deadline=None, max_examples=25)
@given(seed=seeds)
def test_a_frame_is_what_the_sdk_serializes_and_its_check_covers_what_the_sdk_packs(
    frame_type, random_message, fill, packed, seed
) -> None:
    message = random_message(seed)
    frame = frame_type()
    fill(frame, message)
    sealed = frame.seal()
    message.crc = bitwise_crc(packed(message)[:-4])
    assert sealed == message.serialize(use_version_2=False)
    again = frame_type()
    again.load(sealed)
    assert again.intact
    assert again.buffer == frame.buffer
    assert (again.motors == frame.motors).all()


@pytest.mark.parametrize("frame_type", [cdr.LowCmdFrame, cdr.LowStateFrame])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_every_changed_bit_of_a_field_breaks_the_check(frame_type, data) -> None:
    frame = frame_type()
    frame.motor_mode = np.ones(cdr.NUM_SLOTS, np.uint8)
    frame.seal()
    row = data.draw(st.integers(0, cdr.NUM_SLOTS - 1))
    column = data.draw(st.integers(0, frame.motors.shape[1] - 1))
    bit = data.draw(st.integers(0, 31))
    words = frame.motors.view("<u4")
    words[row, column] ^= np.uint32(1 << bit)
    assert not frame.intact


def test_golden_checks_of_the_sdk() -> None:
    frame = cdr.LowCmdFrame()
    assert frame.checksum() == 0xFE172F9F
    frame.header[:] = 0, 5
    mode = np.zeros(cdr.NUM_SLOTS, np.uint8)
    mode[:29] = 1
    frame.motor_mode = mode
    assert frame.checksum() == 0x058980D1


@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.integers(0, 2**32 - 1), max_size=64))
def test_crc_is_the_bitwise_definition(words) -> None:
    image = struct.pack(f"<{len(words)}I", *words)
    assert cdr.crc32_words(image) == bitwise_crc(image)


def test_padding_of_a_foreign_writer_is_no_error() -> None:
    frame = cdr.LowStateFrame()
    sealed = bytearray(frame.seal())
    sealed[75] = sealed[129] = 0xAA  # behind the mode bytes of motors 0 and 1
    frame.load(bytes(sealed))
    assert frame.intact


@pytest.mark.parametrize("wrong", [b"", b"\x00\x01\x00\x00", bytes(1004), bytes(1000)])
def test_a_foreign_message_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="expected 1004 bytes"):
        cdr.LowCmdFrame().load(wrong)


@settings(deadline=None, max_examples=25)
@given(seed=seeds, n=st.integers(0, 13))
def test_hand_sequences_are_what_the_sdk_serializes(seed, n) -> None:
    from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmd_, MotorCmds_, MotorState_, MotorStates_

    rng = np.random.default_rng(seed)
    cmds, states = cdr.motor_cmds(n), cdr.motor_states(n)
    for entries in (cmds, states):
        for name in entries.dtype.names:
            kind = entries.dtype[name].base.kind
            shape = entries[name].shape
            entries[name] = rng.normal(size=shape) if kind == "f" else rng.integers(256, size=shape)

    def plain(entry):
        return [v.tolist() for v in entry]

    for entries, encode_type, element, decode in (
        (cmds, MotorCmds_, MotorCmd_, cdr.decode_motor_cmds),
        (states, MotorStates_, MotorState_, cdr.decode_motor_states),
    ):
        wire = cdr.encode_sequence(entries)
        assert wire == encode_type([element(*plain(e)) for e in entries]).serialize(use_version_2=False)
        assert (decode(wire) == entries).all()
        with pytest.raises(ValueError, match=f"sequence of {n}"):
            decode(wire + b"\0")
