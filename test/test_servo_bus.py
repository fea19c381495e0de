"""The simulated servo bus against the protocol and the control table of the XL330-M288, without a pty."""

from __future__ import annotations

import math
import os

import pytest
from dynamixel_sdk import Protocol2PacketHandler
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.sim.dynamixel_bus import Bus
from sapave_ros.sim.dynamixel_protocol import BYTE_GAP_S, Error, Instruction, Parser, crc16, encode, status
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.xl330 import WATCHDOG_TRIPPED, Xl330, profile_step
from sapave_ros.sim.xl330_table import (
    CONTROL_TABLE,
    TICKS_S2_PER_ACCELERATION_UNIT,
    TICKS_S_PER_VELOCITY_UNIT,
)

TORQUE, WATCHDOG, ACCELERATION, VELOCITY, GOAL, PRESENT = 64, 98, 108, 112, 116, 132


def le(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little", signed=value < 0)


class Line:
    """A master on the wire, at a time that the test sets."""

    def __init__(self, *ids: int) -> None:
        self.bus = Bus([Xl330(i) for i in ids or (1,)])
        self.now_s = 100.0

    def send(self, servo_id: int, instruction: int, parameters: bytes = b"") -> list[tuple[int, int, bytes]]:
        """(id, error, data) of every status packet."""
        answer = self.bus.feed(encode(servo_id, instruction, parameters), self.now_s)
        packets = Parser().feed(answer, self.now_s)
        assert all(p.crc_ok and p.instruction == 0x55 for p in packets)
        return [(p.servo_id, p.parameters[0], p.parameters[1:]) for p in packets]

    def write(self, address: int, value: int, size: int, servo_id: int = 1) -> int:
        ((_, error, _),) = self.send(servo_id, Instruction.WRITE, le(address, 2) + le(value, size))
        return error

    def read(self, address: int, size: int, servo_id: int = 1) -> int:
        ((_, error, data),) = self.send(servo_id, Instruction.READ, le(address, 2) + le(size, 2))
        assert error & 0x7F == 0
        return int.from_bytes(data, "little", signed=True)


def test_ping_is_the_example_packet_of_the_manual() -> None:
    """Bytes as printed in the e-Manual, Protocol 2.0, ping of id 1 and the status of a model 1030 firmware 38."""
    assert encode(1, Instruction.PING, b"").hex(" ").upper() == "FF FF FD 00 01 03 00 01 19 4E"
    assert status(1, 0, b"\x06\x04\x26").hex(" ").upper() == "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"


@given(st.binary(max_size=60))
def test_crc_is_that_of_the_sdk(data: bytes) -> None:
    assert crc16(data) == Protocol2PacketHandler().updateCRC(0, list(data), len(data))


@given(
    st.lists(st.lists(st.sampled_from([0x00, 0x01, 0xFD, 0xFF]), max_size=24).map(bytes), min_size=1, max_size=4),
    st.integers(1, 7),
)
def test_any_parameters_survive_the_wire_in_any_pieces(payloads: list[bytes], piece: int) -> None:
    wire = b"\x00\xff\xff" + b"".join(encode(i, Instruction.WRITE, p) for i, p in enumerate(payloads))
    assert wire.count(b"\xff\xff\xfd\x00") == len(payloads)  # stuffing keeps headers unique
    parser, packets = Parser(), []
    for start in range(0, len(wire), piece):
        packets += parser.feed(wire[start : start + piece], 1.0)
    assert [(p.servo_id, p.parameters, p.crc_ok) for p in packets] == [(i, p, True) for i, p in enumerate(payloads)]


@given(st.binary(max_size=200))
def test_noise_never_stops_the_bus(noise: bytes) -> None:
    line = Line()
    line.bus.feed(noise, line.now_s)
    line.now_s += 2 * BYTE_GAP_S
    assert line.read(0, 2) == 1200


def test_ping_tells_model_and_firmware() -> None:
    line = Line(1, 2)
    ((servo_id, error, data),) = line.send(2, Instruction.PING)
    assert (servo_id, error, int.from_bytes(data[:2], "little")) == (2, 0, 1200)
    assert [i for i, _, _ in line.send(0xFE, Instruction.PING)] == [1, 2]


def test_a_broken_packet_is_answered_with_a_crc_error_and_changes_nothing() -> None:
    line = Line()
    packet = bytearray(encode(1, Instruction.WRITE, le(GOAL, 2) + le(1000, 4)))
    packet[-1] ^= 1
    assert line.bus.feed(bytes(packet), line.now_s) == status(1, Error.CRC)
    assert line.read(GOAL, 4) == 2048


@pytest.mark.parametrize("register", CONTROL_TABLE, ids=lambda r: r.name)
def test_every_register_keeps_its_rule(register) -> None:
    """Read only is refused; range edges are accepted and one beyond is refused; EEPROM is closed under torque."""
    line = Line()
    before = line.read(register.address, register.size)
    if register.high is None:
        assert line.write(register.address, 0, register.size) == Error.ACCESS
        assert line.read(register.address, register.size) == before
        return
    assert line.write(register.address, before % (1 << 8 * register.size), register.size) == Error.NONE
    if register.high + 1 < 1 << (8 * register.size - register.signed):
        assert line.write(register.address, register.high + 1, register.size) == Error.DATA_RANGE
    if register.low < 0 or (register.low > 0 and not register.signed):
        assert line.write(register.address, register.low - 1, register.size) == Error.DATA_RANGE
    if register.size > 1:
        assert line.write(register.address, 0, 1) == Error.DATA_LENGTH
    assert line.read(register.address, register.size) == before
    if register.eeprom:
        assert line.write(TORQUE, 1, 1) == Error.NONE
        assert line.write(register.address, before % (1 << 8 * register.size), register.size) == Error.ACCESS


def test_undefined_addresses_and_instructions_are_refused() -> None:
    line = Line()
    assert line.write(14, 0, 1) == Error.ACCESS
    assert line.send(1, Instruction.READ, le(140, 2) + le(20, 2)) == [(1, Error.ACCESS, b"")]
    assert line.send(1, 0x77) == [(1, Error.INSTRUCTION, b"")]


def test_a_write_over_several_registers_is_all_or_nothing() -> None:
    line = Line()
    assert line.send(1, Instruction.WRITE, le(ACCELERATION, 2) + le(10, 4) + le(40000, 4)) == [
        (1, Error.DATA_RANGE, b"")
    ]
    assert line.read(ACCELERATION, 4) == 0


def test_goals_outside_the_position_limits_are_refused() -> None:
    line = Line()
    line.write(48, 3000, 4)
    line.write(52, 1000, 4)
    assert [line.write(GOAL, g, 4) for g in (999, 1000, 3000, 3001)] == [Error.DATA_LIMIT, 0, 0, Error.DATA_LIMIT]


def test_registered_writes_wait_for_the_action() -> None:
    line = Line(1, 2)
    for servo_id in (1, 2):
        line.send(servo_id, Instruction.REG_WRITE, le(GOAL, 2) + le(100, 4))
    assert line.read(GOAL, 4) == 2048
    assert line.send(0xFE, Instruction.ACTION) == []
    assert [line.read(GOAL, 4, i) for i in (1, 2)] == [100, 100]
    assert line.send(1, Instruction.ACTION) == [(1, Error.RESULT_FAIL, b"")]


def test_sync_write_reaches_every_listed_servo_and_answers_nothing() -> None:
    line = Line(1, 2)
    assert line.send(0xFE, Instruction.SYNC_WRITE, le(GOAL, 2) + le(4, 2) + b"\1" + le(7, 4) + b"\2" + le(8, 4)) == []
    assert [line.read(GOAL, 4, i) for i in (1, 2)] == [7, 8]


def test_group_reads_answer_in_the_order_asked_until_one_is_missing() -> None:
    line = Line(1, 2)
    assert [i for i, _, _ in line.send(0xFE, Instruction.SYNC_READ, le(PRESENT, 2) + le(4, 2) + b"\2\1")] == [2, 1]
    bulk = b"\2" + le(146, 2) + le(1, 2) + b"\1" + le(0, 2) + le(2, 2)
    assert line.send(0xFE, Instruction.BULK_READ, bulk) == [(2, 0, bytes([33])), (1, 0, le(1200, 2))]
    line.bus.silence(2)
    assert line.send(0xFE, Instruction.SYNC_READ, le(PRESENT, 2) + le(4, 2) + b"\2\1") == []
    line.bus.silence(2, False)
    assert len(line.send(0xFE, Instruction.SYNC_READ, le(PRESENT, 2) + le(4, 2) + b"\2\1")) == 2


def test_fast_sync_read_is_one_packet_with_a_checksum_after_each_servo() -> None:
    line = Line(1, 2)
    answer = line.bus.feed(encode(0xFE, Instruction.FAST_SYNC_READ, le(0, 2) + le(2, 2) + b"\1\2"), line.now_s)
    body = answer[8:]
    assert answer[4:8] == b"\xfe\x0d\x00\x55"
    assert [body[i : i + 4] for i in (0, 6)] == [b"\0\1" + le(1200, 2), b"\0\2" + le(1200, 2)]
    assert [int.from_bytes(answer[e - 2 : e], "little") == crc16(answer[: e - 2]) for e in (14, 20)] == [True, True]


@pytest.mark.parametrize(("level", "answers"), [(0, (1, 0, 0)), (1, (1, 1, 0)), (2, (1, 1, 1))])
def test_status_return_level(level: int, answers: tuple[int, ...]) -> None:
    line = Line()
    line.write(68, level, 1)
    sent = (
        line.send(1, Instruction.PING),
        line.send(1, Instruction.READ, le(0, 2) + le(2, 2)),
        line.send(1, Instruction.WRITE, le(65, 2) + b"\1"),
    )
    assert tuple(map(len, sent)) == answers


def test_a_servo_at_another_speed_is_silent() -> None:
    line = Line()
    assert line.bus.feed(encode(1, Instruction.PING, b""), line.now_s, baud_rate=57600) == b""


def test_bus_watchdog_stops_the_servo_and_locks_its_goals() -> None:
    line = Line()
    for address, value, size in ((WATCHDOG, 5, 1), (VELOCITY, 100, 4), (TORQUE, 1, 1), (GOAL, 4000, 4)):
        assert line.write(address, value, size) == Error.NONE
    line.now_s += 0.09
    assert line.read(WATCHDOG, 1) == 5  # any packet to it counts
    line.now_s += 0.09
    assert line.read(WATCHDOG, 1) == 5
    line.now_s += 0.11
    assert line.read(WATCHDOG, 1) == WATCHDOG_TRIPPED
    stopped = line.read(PRESENT, 4)
    line.now_s += 0.05
    assert line.read(PRESENT, 4) == stopped < 4000
    assert line.write(GOAL, 3000, 4) == Error.DATA_RANGE
    assert line.write(WATCHDOG, 0, 1) == line.write(GOAL, 3000, 4) == Error.NONE
    line.now_s += 1.5
    line.bus.advance(line.now_s)
    line.now_s += 1.5
    assert line.read(PRESENT, 4) == 3000


def test_bus_watchdog_sleeps_without_torque() -> None:
    line = Line()
    line.write(WATCHDOG, 5, 1)
    line.now_s += 10.0
    assert line.read(WATCHDOG, 1) == 5


@pytest.mark.parametrize("bit", [0, 2, 3, 4, 5])
def test_a_hardware_error_takes_the_torque_until_a_reboot(bit: int) -> None:
    line = Line()
    line.write(TORQUE, 1, 1)
    line.bus.hardware_error(1, 1 << bit)
    in_shutdown_mask = bool(53 >> bit & 1)
    ((_, error, data),) = line.send(1, Instruction.READ, le(TORQUE, 2) + le(1, 2))
    assert (error, data) == (Error.ALERT, b"\0" if in_shutdown_mask else b"\1")
    if in_shutdown_mask:
        assert line.write(TORQUE, 1, 1) == Error.ALERT | Error.RESULT_FAIL
    line.send(1, Instruction.REBOOT)
    assert line.write(TORQUE, 1, 1) == Error.NONE


def test_torque_before_a_goal_jumps_to_the_old_goal() -> None:
    """The defect of switching torque on without writing the goal first has to show in simulation."""
    line = Line()
    servo = line.bus.servo(1)
    servo.follows = False
    servo.set_present(2500.0, 0.0)  # pushed by hand
    line.write(TORQUE, 1, 1)
    line.now_s += 1.0
    line.bus.advance(line.now_s)
    assert servo.trajectory_ticks == 2048


def test_changing_the_operating_mode_resets_the_profile() -> None:
    line = Line()
    line.write(VELOCITY, 100, 4)
    assert line.write(11, 2, 1) == Error.DATA_RANGE
    line.write(11, 5, 1)
    assert line.read(VELOCITY, 4) == 0


@given(
    goals=st.lists(st.integers(0, 4095), min_size=1, max_size=4),
    velocity=st.integers(1, 400),
    acceleration=st.integers(1, 2000),
)
def test_profile_keeps_its_limits_and_ends_at_the_goal(goals: list[int], velocity: int, acceleration: int) -> None:
    limit, slope, dt = velocity * TICKS_S_PER_VELOCITY_UNIT, acceleration * TICKS_S2_PER_ACCELERATION_UNIT, 0.005
    x, v = 2048.0, 0.0
    for goal in goals:
        for _ in range(150):
            x_before, v_before = x, v
            x, v = profile_step(x, v, float(goal), limit, slope, dt)
            assert abs(v) <= limit + 1e-6
            assert abs(v - v_before) <= 2 * slope * dt + 1e-6  # the last step into the goal may be a double one
            assert abs(x - x_before) <= limit * dt + 2 * slope * dt * dt + 1e-6
    needed_s = abs(goals[-1] - x) / limit + 2 * limit / slope + 2 * math.sqrt(4096 / slope) + abs(v) / slope
    for _ in range(int(needed_s / dt) + 10):
        x, v = profile_step(x, v, float(goals[-1]), limit, slope, dt)
    assert (x, v) == (goals[-1], 0.0)


@given(st.floats(0, 4095), st.integers(1, 2000))
def test_profile_from_rest_never_overshoots(goal: float, acceleration: int) -> None:
    slope = acceleration * TICKS_S2_PER_ACCELERATION_UNIT
    x, v = 2048.0, 0.0
    for _ in range(400):
        x, v = profile_step(x, v, goal, 3000.0, slope, 0.001)
        assert (x - goal) * (2048.0 - goal) >= -1e-6


def test_link_appears_and_disappears_and_never_replaces_a_file(tmp_path) -> None:
    link = tmp_path / "neck"
    with ServoBus(link) as bus:
        assert os.readlink(link).startswith("/dev/pts/")
        assert bus.goal_rad() is None
    assert not link.is_symlink()
    link.symlink_to("/dev/pts/gone")  # left over by a simulator that was killed
    with ServoBus(link):
        assert link.exists()
    link.write_text("mine")
    with pytest.raises(FileExistsError, match="link_path"):
        ServoBus(link)
    assert link.read_text() == "mine"


def test_the_world_says_where_the_head_is_and_the_servos_where_it_should_be(tmp_path) -> None:
    now = [10.0]
    with ServoBus(tmp_path / "neck", clock=lambda: now[0]) as bus:
        bus.set_present((0.2, -0.1), (0.5, 0.5))
        yaw, pitch = bus.bus.servos
        assert [yaw["present_position"], pitch["present_position"]] == [2048 + 130, 2048 + 65]
        assert yaw["present_velocity"] == -pitch["present_velocity"] == 21
        yaw.write(TORQUE, b"\1")
        yaw.write(GOAL, le(2048, 4))
        now[0] += 1.0
        assert bus.goal_rad() == pytest.approx([0.0, -0.1])  # pitch has no torque: it is wanted where it is
        bus.fault(lambda b: b.hardware_error(0, 0x20))
        assert bus.goal_rad() is None
