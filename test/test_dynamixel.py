"""The neck driver against the simulated bus on a pty: the real SDK on one end, the servos' rules on the other."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.drivers import dynamixel_registers
from sapave_ros.drivers.dynamixel import (
    DynamixelNeck,
    NeckParameters,
    ServoBusError,
    ServoFault,
    ServoTimeout,
)
from sapave_ros.drivers.dynamixel_health import ServoLimits
from sapave_ros.drivers.dynamixel_port import ReadOnlyError
from sapave_ros.parameters import ParameterError
from sapave_ros.sim.dynamixel_protocol import Error, Instruction, Parser
from sapave_ros.sim.servo_bus import ServoBus

START_RAD = (0.3, 0.5)


class Clock:
    """Time that only the test moves."""

    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bus(tmp_path, clock):
    with ServoBus(tmp_path / "neck", position_rad=START_RAD, follows=True, clock=clock) as bus:
        yield bus


@pytest.fixture
def parameters(bus) -> NeckParameters:
    return NeckParameters(port=str(bus.link_path), response_timeout_s=0.1)


@pytest.fixture
def neck(parameters, clock):
    neck = DynamixelNeck(parameters, clock)
    yield neck
    neck.close()


def registers(bus: ServoBus, name: str) -> list[int]:
    return [servo[name] for servo in bus.bus.servos]


def memory(bus: ServoBus) -> list[bytes]:
    return [servo.read(0, 120)[1] for servo in bus.bus.servos]


def settle(bus: ServoBus, clock: Clock, neck: DynamixelNeck) -> np.ndarray:
    for _ in range(40):
        clock.now_s += 0.05
        measured = neck.read()
    return measured.positions


def test_opening_and_reading_writes_nothing(bus, parameters, clock) -> None:
    before = memory(bus)
    neck = DynamixelNeck(parameters, clock)
    state = neck.read()
    neck.health()
    neck.close()
    assert memory(bus) == before
    assert state.positions == pytest.approx(START_RAD, abs=8e-4)
    assert state.received_s == clock.now_s


def test_engage_holds_the_head_where_it_is(bus, neck, clock) -> None:
    bus.bus.servo(0).write(116, (0).to_bytes(4, "little"))  # an old goal, which torque alone would jump to
    neck.engage()
    assert registers(bus, "torque_enable") == [1, 1]
    assert registers(bus, "operating_mode") == [3, 3]
    units = round(neck.parameters.watchdog_s / 0.02)  # of the register
    assert registers(bus, "bus_watchdog") == [units, units]
    assert registers(bus, "position_p_gain") == [500, 500]
    assert settle(bus, clock, neck) == pytest.approx(START_RAD, abs=8e-4)


def test_limits_end_up_inside_the_servos(bus, neck) -> None:
    """Yaw turns with the ticks, pitch against them (G1-Comp head)."""
    neck.engage()
    yaw, pitch = bus.bus.servos
    ticks = 4096 / (2 * np.pi)
    assert (yaw["min_position_limit"], yaw["max_position_limit"]) == (
        round(2048 - 0.8727 * ticks),
        round(2048 + 0.8727 * ticks),
    )
    assert (pitch["min_position_limit"], pitch["max_position_limit"]) == (
        round(2048 - 1.4835 * ticks),
        round(2048 + 0.3491 * ticks),
    )


def test_every_corner_of_the_range_is_reached(bus, neck, clock) -> None:
    neck.engage()
    for goal in ((g1.HEAD.lower), (g1.HEAD.upper), (g1.HEAD.column("lower")), (g1.HEAD.column("upper"))):
        neck.write(goal)
        assert settle(bus, clock, neck) == pytest.approx(goal, abs=8e-4)
        assert bus.goal_rad() == pytest.approx(goal, abs=8e-4)


def test_velocities_have_the_sign_of_the_motion(bus, neck, clock) -> None:
    neck.engage()
    neck.write(np.array([0.8, 1.2]))
    neck.read()  # a sync write has no answer: only the next one tells that it has arrived
    clock.now_s += 0.09
    assert np.all(neck.read().velocities > 0.5)
    assert np.all(neck.read().velocities <= neck.parameters.profile_velocity_rad_s + 0.03)


def test_a_head_that_is_held_already_does_not_sink(bus, parameters, clock) -> None:
    """A restart of the driver finds torque on and settings right: torque never goes off."""
    first = DynamixelNeck(parameters, clock)
    first.engage()
    first.close()
    assert registers(bus, "torque_enable") == [1, 1]
    assert registers(bus, "bus_watchdog") == [0, 0]
    seen: list[int] = []
    for servo in bus.bus.servos:
        write = servo.write
        servo.write = lambda a, d, write=write: (seen.append(d[0]) if a == 64 else None, write(a, d))[1]  # type: ignore[method-assign]
    second = DynamixelNeck(parameters, clock)
    second.engage()
    second.close(release=True)
    assert seen == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "positions",
    [
        [np.nan, 0.0],
        [0.0, np.inf],
        [0.0],
        [0.0, 0.0, 0.0],
        [0.0, [0.0]],
        [0.8728, 0.0],
        [-0.8728, 0.0],
        [0.0, 1.4836],
        [0.0, -0.3492],
    ],
)
def test_a_position_that_cannot_be_is_refused_and_not_sent(bus, neck, positions) -> None:
    neck.engage()
    goals = registers(bus, "goal_position")
    with pytest.raises(ValueError, match=r"positions|inhomogeneous"):
        neck.write(positions)
    neck.read()
    assert registers(bus, "goal_position") == goals


def test_nothing_is_sent_before_engage(neck) -> None:
    with pytest.raises(ServoFault, match="engage"):
        neck.write(np.zeros(2))


def test_a_silent_servo_is_a_timeout_and_never_an_old_value(bus, neck) -> None:
    neck.engage()
    bus.fault(lambda b: b.silence(1))
    with pytest.raises(ServoTimeout, match="servo 1: no answer"):
        neck.read()
    bus.fault(lambda b: b.silence(1, False))
    neck.read()


def test_garbage_is_a_timeout_and_the_next_cycle_is_well(bus, neck) -> None:
    neck.engage()
    for noise in (b"\x00\xff\xff\xfd", bytes(range(256)), b"\xff\xff\xfd\x00\x01\x0e\x00\x55" + bytes(12)):
        bus.fault(lambda b, noise=noise: b.garble(noise))
        with pytest.raises(ServoTimeout):
            neck.read()
        neck.read()


def test_a_late_answer_is_never_taken_for_a_new_one(bus, neck) -> None:
    """The answer to one read arrives with that to the next: a plain client would report the old position twice."""
    for servo in bus.bus.servos:
        servo.follows = False
    bus.set_present(np.array([0.1, 0.1]), np.zeros(2))
    bus.fault(lambda b: b.delay())
    with pytest.raises(ServoTimeout, match="no answer"):
        neck.read()
    bus.set_present(np.array([0.2, 0.2]), np.zeros(2))
    assert neck.read().positions == pytest.approx([0.2, 0.2], abs=8e-4)


def test_on_a_slow_line_no_old_position_is_ever_told(bus, neck) -> None:
    """Answers came 0.1 s late, each in time for a later question: positions of 0.1 s ago, told as those of now."""
    for servo in bus.bus.servos:
        servo.follows = False
    told, begin_s = [], time.monotonic()

    def look(for_s: float) -> None:
        end_s = time.monotonic() + for_s
        while (now_s := time.monotonic()) < end_s:
            at = 0.4 * (now_s - begin_s)
            bus.set_present(np.full(2, at), np.zeros(2))
            with contextlib.suppress(ServoTimeout):
                told.append(neck.read().positions[0] - at)

    bus.delay_s = 0.1
    look(0.6)
    bus.delay_s, before = 0.0, len(told)
    look(0.4)
    assert len(told) > before  # it settles
    np.testing.assert_allclose(told, 0.0, atol=0.02)  # it went on by 0.04 in 0.1 s


def test_a_babbling_line_ends_in_a_timeout(neck) -> None:
    """The SDK looks at the clock only while the line is quiet, and would read noise forever."""
    port = neck._bus._port
    quiet, port.ser.read = port.ser.read, lambda size: b"\xff" * size
    with pytest.raises(ServoTimeout, match="bytes without end"):
        neck.read()
    port.ser.read = quiet
    neck.read()


def test_an_answer_that_needs_stuffing_arrives_whole(bus, neck) -> None:
    """Current -1 beside velocity -3 is FF FF FD on the wire; a fast sync read of the SDK would shift the rest."""
    for servo in bus.bus.servos:
        servo.follows = False
        servo._set("present_current", -1)
        servo._set("present_velocity", -3)
    state = neck.read()
    assert state.positions == pytest.approx(START_RAD, abs=8e-4)
    assert state.velocities == pytest.approx([-3 * 0.0239808, 3 * 0.0239808], rel=1e-3)


def test_a_tripped_watchdog_is_noticed_before_the_next_goal(bus, neck, clock) -> None:
    neck.engage()
    clock.now_s += 1.5 * neck.parameters.watchdog_s
    with pytest.raises(ServoFault, match="servo 0: its bus watchdog"):
        neck.write(np.array(START_RAD))
    assert neck.health()[0].watchdog_tripped
    with pytest.raises(ServoFault, match="engage"):
        neck.write(np.array(START_RAD))
    neck.engage()
    neck.write(np.array(START_RAD))
    assert not neck.health()[0].watchdog_tripped


def test_a_tripped_watchdog_is_noticed_although_the_bus_answers_again(bus, neck, clock) -> None:
    """The first read after a silence made everything look well; goals went to servos that ignored them, and the head
    stood still while the controller moved on."""
    neck.engage()
    neck.write(np.array(START_RAD))
    clock.now_s += 1.5 * neck.parameters.watchdog_s
    for _ in range(3):
        neck.read()
    with pytest.raises(ServoFault, match="servo 0: its bus watchdog"):
        neck.write(np.array(START_RAD))
    neck.engage()
    for _ in range(3):
        clock.now_s += 0.01
        neck.read()
        neck.write(np.array(START_RAD))


def test_a_hardware_error_shows_in_the_next_read_and_stops_the_goals(bus, neck) -> None:
    neck.engage()
    assert neck.alerts == (False, False)
    bus.fault(lambda b: b.hardware_error(1, 1 << 5))
    neck.read()
    assert neck.alerts == (False, True)
    with pytest.raises(ServoFault, match=r"servos \[1\] report a hardware error"):
        neck.write(np.array(START_RAD))
    healthy, failed = neck.health()
    assert (healthy.hardware_errors, healthy.torque) == ((), True)
    assert (failed.hardware_errors, failed.torque) == (("overload",), False)
    with pytest.raises(ServoFault, match="servo 1: hardware error: overload"):
        neck.engage()


def test_health_is_in_units(neck) -> None:
    for servo, condition in zip((0, 1), neck.health(), strict=True):
        assert (condition.servo_id, condition.temperature_c) == (servo, 33.0)
        assert condition.voltage_v == pytest.approx(5.0)


def test_health_comes_one_servo_at_a_time_and_in_one_exchange(bus, neck, clock) -> None:
    """The loop that calls it has 10 ms, and a read and a goal to fit in as well."""
    seen = listen(bus)
    conditions = [neck.poll_health() for _ in range(4)]
    assert [c.servo_id for c in conditions] == [0, 1, 0, 1]
    assert seen == [Instruction.READ] * 4
    assert conditions[:2] == list(neck.health())
    assert conditions[0].limits == ServoLimits(70.0, 3.5, 7.0)
    assert conditions[0].received_s == clock.now_s


def poll_all_twice(neck) -> None:
    for _ in range(4):
        neck.poll_health()


def restart(servo) -> None:
    servo.reboot()


def restart_with_torque(servo) -> None:
    """As one whose startup configuration switches torque on."""
    watchdog = servo["bus_watchdog"]
    servo.reboot()
    servo._set("torque_enable", 1)
    servo._set("bus_watchdog", watchdog)
    servo._set("goal_position", 2048)


LETS_GO = {
    "restarted": (restart, "bus watchdog is 0, expected 10: it has been restarted"),
    "torque off": (lambda servo: servo._set("torque_enable", 0), "no torque any more"),
    "watchdog off": (lambda servo: servo._set("bus_watchdog", 0), "bus watchdog is 0"),
    "watchdog tripped": (lambda servo: servo._set("bus_watchdog", -1), "its bus watchdog stopped it"),
    "overload": (lambda servo: servo.fail(1 << 5), "hardware error: overload"),
    "another goal": (restart_with_torque, "its goal is 2048"),
}


@pytest.mark.parametrize("servo_id", [0, 1])
@pytest.mark.parametrize("how", LETS_GO)
def test_a_servo_that_lets_go_is_noticed_and_taken_again_from_where_it_is(bus, neck, clock, how, servo_id) -> None:
    """A servo that restarted answered as ever; goals went to one without torque, and the next `engage` was far away."""
    lets_go, says = LETS_GO[how]
    neck.engage()
    neck.write(np.array(START_RAD))
    neck.poll_health(), neck.poll_health()
    assert neck.engaged
    bus.fault(lambda b: lets_go(b.servo(servo_id)))
    with pytest.raises(ServoFault, match=rf"servo {servo_id}: .*{says}"):
        poll_all_twice(neck)
    assert not neck.engaged
    assert f"servo {servo_id}: " in neck.lost
    with pytest.raises(ServoFault, match=f"not engaged, servo {servo_id}"):
        neck.write(np.array(START_RAD))
    neck.poll_health()  # goes on telling
    if how == "overload":
        neck.reboot(servo_id)
    bus.bus.servo(servo_id)._position = 2000.0  # it sank
    bus.bus.servo(servo_id).set_present(2000.0, 0.0)
    at = neck.read().positions
    neck.engage()
    assert neck.lost == ""
    assert settle(bus, clock, neck) == pytest.approx(at, abs=2e-3)
    assert (neck.poll_health().torque, neck.poll_health().torque) == (True, True)


def test_one_goal_that_was_lost_on_the_wire_is_no_restart(bus, neck) -> None:
    neck.engage()
    for _ in range(4):
        bus.fault(lambda b: b.servo(0)._set("goal_position", 2047))
        neck.poll_health(), neck.poll_health()
        neck.write(np.array(START_RAD))
        neck.poll_health(), neck.poll_health()
    assert neck.engaged


def test_a_servo_that_restarted_while_the_bus_was_quiet_gets_no_goal(bus, neck, clock) -> None:
    neck.engage()
    bus.fault(lambda b: b.servo(1).reboot())
    clock.now_s += 0.6 * neck.parameters.watchdog_s
    goals = registers(bus, "goal_position")
    with pytest.raises(ServoFault, match="servo 1: .* restarted"):
        neck.write(np.array(START_RAD) + 0.1)
    assert registers(bus, "goal_position") == goals


def test_a_restart_on_request_clears_a_hardware_error_and_needs_a_servo_without_torque(bus, neck) -> None:
    with pytest.raises(ValueError, match=r"servo_id: 7; expected one of \[0, 1\]"):
        neck.reboot(7)
    neck.engage()
    with pytest.raises(ServoFault, match="servo 1: has torque"):
        neck.reboot(1)
    assert registers(bus, "torque_enable") == [1, 1]
    bus.fault(lambda b: b.hardware_error(1, 1 << 5))
    neck.reboot(1)
    assert not neck.engaged
    assert neck.health()[1].hardware_errors == ()
    neck.engage()
    assert registers(bus, "torque_enable") == [1, 1]


def listen(bus: ServoBus) -> list[int]:
    """Instructions that reach the wire from now on."""
    seen: list[int] = []
    parser, feed = Parser(), bus.bus.feed

    def heard(data, now_s, *rest):
        seen.extend(packet.instruction for packet in parser.feed(data, now_s))
        return feed(data, now_s, *rest)

    bus.bus.feed = heard  # type: ignore[method-assign]
    return seen


def test_a_shadow_only_asks(bus, parameters, clock) -> None:
    """Counted on the wire: a neck that is run as usual, and one that is not a shadow to show that counting works."""
    seen, before = listen(bus), memory(bus)
    for shadow in (True, False):
        neck = DynamixelNeck(parameters, clock, shadow=shadow)
        with pytest.raises(ServoFault, match="engage"):
            neck.write(np.array(START_RAD))
        neck.engage()
        assert neck.engaged
        for _ in range(20):
            clock.now_s += 0.01
            neck.read(), neck.poll_health()
            neck.write(np.array(START_RAD))
        clock.now_s += 1.0  # nobody's watchdog
        neck.read()
        if shadow:
            neck.write(np.array(START_RAD))
            for wrong in ([np.nan, 0.0], [0.0, 9.0]):
                with pytest.raises(ValueError, match="positions"):
                    neck.write(np.array(wrong))
            assert neck.writes_dropped == 21
            with pytest.raises(ServoFault, match="shadow"):
                neck.reboot(0)
            with pytest.raises(ReadOnlyError, match="0x03"):
                neck._registers.write(0, 64, 1, 1)
        neck.close(release=True)
        if shadow:
            assert set(seen) == {Instruction.PING, Instruction.READ, Instruction.SYNC_READ}
            assert [m[:120] for m in memory(bus)] == before
    assert {Instruction.WRITE, Instruction.SYNC_WRITE} <= set(seen)


def test_a_shadow_finds_what_would_hinder_it(bus, parameters, clock) -> None:
    with DynamixelNeck(parameters, clock, shadow=True) as neck:
        bus.fault(lambda b: b.hardware_error(1, 1 << 5))
        with pytest.raises(ServoFault, match="servo 1: hardware error: overload"):
            neck.engage()
        assert not neck.engaged


def test_a_head_far_outside_its_limits_is_a_wrong_calibration(tmp_path, clock) -> None:
    with ServoBus(tmp_path / "neck", position_rad=(1.2, 0.0), follows=True, clock=clock) as bus:
        neck = DynamixelNeck(NeckParameters(port=str(bus.link_path)), clock)
        with pytest.raises(ServoFault, match="zero_ticks"):
            neck.engage()
        assert registers(bus, "torque_enable") == [0, 0]
        neck.close()


def test_a_head_slightly_outside_its_limits_is_brought_to_the_limit(tmp_path, clock) -> None:
    with ServoBus(tmp_path / "neck", position_rad=(0.9, 0.0), follows=True, clock=clock) as bus:
        neck = DynamixelNeck(NeckParameters(port=str(bus.link_path)), clock)
        neck.engage()
        assert settle(bus, clock, neck) == pytest.approx([0.8727, 0.0], abs=8e-4)
        neck.close()


def test_a_servo_that_refuses_a_setting_says_which(bus, neck) -> None:
    bus.bus.servo(1).write = lambda address, data: Error.DATA_LIMIT  # type: ignore[method-assign]
    with pytest.raises(ServoFault, match=r"servo 1 refuses register \d+: .*limit"):
        neck.engage()
    assert registers(bus, "torque_enable") == [0, 0]


def test_second_opener_is_told_that_the_port_is_taken(neck, parameters) -> None:
    with pytest.raises(ServoBusError, match=r"port: .* in use by another program"):
        DynamixelNeck(parameters)


def test_the_bus_can_be_opened_again_after_a_client_has_gone(parameters, clock) -> None:
    for _ in range(3):
        with DynamixelNeck(parameters, clock) as neck:
            neck.read()


def test_an_unplugged_bus_is_an_error_not_a_value(bus, neck) -> None:
    neck.engage()
    bus.close()
    with pytest.raises(ServoBusError, match="port"):
        neck.read()
    with pytest.raises(ServoBusError):
        neck.write(np.array(START_RAD))
    neck.close()  # and leaves without a second error
    with pytest.raises(ServoBusError, match="closed"):
        neck.read()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"port": "/dev/no-such-servo-bus"}, r"port: '/dev/no-such-servo-bus' does not exist"),
        ({"port": "/dev/null"}, r"port: /dev/null is not a usable serial device"),
        ({"baud_rate": 57600}, r"baud_rate: 57600; expected 1000000"),
        ({"ids": [0, 7]}, r"ids: no answer from servo 7 .* found \[0, 1\]"),
    ],
)
def test_what_is_wrong_with_the_bus_is_said_by_parameter(parameters, clock, change, says) -> None:
    with pytest.raises(ServoBusError, match=says):
        DynamixelNeck(dataclasses.replace(parameters, **{"response_timeout_s": 0.01, **change}), clock)


def test_a_port_without_servos_says_so(bus, parameters, clock) -> None:
    bus.fault(lambda b: [b.silence(0), b.silence(1)])
    with pytest.raises(ServoBusError, match=r"no answer from servo 0, 1 .* expected Dynamixel servos"):
        DynamixelNeck(dataclasses.replace(parameters, response_timeout_s=0.005), clock)


@pytest.mark.parametrize(
    ("register", "value", "says"), [("model_number", 350, "model 350; expected one of"), ("drive_mode", 1, "reversed")]
)
def test_servos_that_would_misunderstand_are_refused(bus, parameters, clock, register, value, says) -> None:
    bus.bus.servo(1)._set(register, value)
    with pytest.raises(ServoBusError, match=says):
        DynamixelNeck(parameters, clock)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", [1, 1]),
        ("ids", [1]),
        ("ids", [1, 253]),
        ("directions", [1, 0]),
        ("zero_ticks", [2048, 100]),
        ("lower_rad", [-0.9, -0.3]),
        ("upper_rad", [0.8, 1.5]),
        ("upper_rad", [-0.8727, 1.4]),
        ("upper_rad", [float("nan"), 1.4]),
        ("baud_rate", 38400),
        ("watchdog_s", 0.0),
        ("profile_velocity_rad_s", 40.0),
    ],
)
def test_parameters_refuse_nonsense_by_name(field, value) -> None:
    name = "lower_rad" if (field, value) == ("upper_rad", [-0.8727, 1.4]) else field
    with pytest.raises(ParameterError, match=f"parameter {name}: "):
        NeckParameters(**{field: value})


@given(
    st.tuples(st.floats(-0.8727, 0.8727), st.floats(-0.3491, 1.4835)),
    st.sampled_from([[1, 1], [1, -1], [-1, 1], [-1, -1]]),
)
def test_ticks_and_radians_are_inverse(positions, directions) -> None:
    p = NeckParameters(directions=directions)
    ticks = p.ticks(np.array(positions))
    assert p.positions(ticks.tolist()) == pytest.approx(positions, abs=np.pi / 4096 + 1e-9)
    assert np.all(p.ticks(p.positions(ticks.tolist())) == ticks)


def test_a_late_answer_to_another_question_is_not_taken_for_this_one(monkeypatch) -> None:
    """A sync read that was given up answered into the read of the bus watchdog: it read as 0, and the head let go."""

    class Bus:
        name, unsettled = "bus", False

        @contextlib.contextmanager
        def transaction(self):
            yield None

    def status_packet(servo_id: int, data: bytes) -> list[int]:
        return [0xFF, 0xFF, 0xFD, 0, servo_id, len(data) + 4, 0, 0x55, 0, *data, 0, 0]

    registers = dynamixel_registers.Registers(Bus(), [0, 1], 0.02)
    answers = [status_packet(0, bytes(10)), status_packet(1, b"\x07"), status_packet(0, b"\x0a")]
    monkeypatch.setattr(registers._packets, "readTx", lambda *_: dynamixel_registers.COMM_SUCCESS)
    monkeypatch.setattr(registers._packets, "rxPacket", lambda *_: (answers.pop(0), dynamixel_registers.COMM_SUCCESS))
    assert registers.read(0, 98, 1) == 10
