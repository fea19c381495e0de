"""The body's own state as findings: every bound at its edge, for every motor of the arms, and nothing for the rest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.body_health import (
    DROPPED_FOR_S,
    EMPTY_V,
    ERROR_BITS,
    HOT_C,
    MAX_TILT_RAD,
    TORQUE_FOR_S,
    TORQUE_SHARE,
    WARM_C,
    BodyHealth,
    tilt_rad,
)
from sapave_ros.core.faults import Fault
from sapave_ros.types import BodyState

N = g1.NUM_MOTORS
MOTORS = [j.motor for j in g1.ARMS.joints]
OTHERS = [m for m in range(N) if m not in MOTORS]
ARMS = list(range(len(g1.ARMS)))
REST = np.zeros(len(g1.ARMS))


def body(**changes) -> BodyState:
    """A healthy one, with single motors changed: field=(motor, value)."""
    state = BodyState(
        0.0, 1, 5, 0, np.zeros(N), np.zeros(N), np.zeros(N), np.ones(N, np.uint8), np.zeros(N, np.uint32),
        np.full((N, 2), 30, np.int16), np.array([1.0, 0.0, 0.0, 0.0]), bytes(40), np.full(N, 50.0),
    )  # fmt: skip
    for field, (motor, value) in changes.items():
        getattr(state, field)[motor] = value
    return state


def judge(state: BodyState, weight: float = 1.0, commanded=REST) -> dict[Fault, str]:
    return BodyHealth().judge(state, commanded, weight, 0.0)


def test_a_healthy_body_has_no_findings() -> None:
    for weight in (0.0, 0.5, 1.0):
        assert judge(body(), weight) == {}
        assert judge(body(), weight, None) == {}


@pytest.mark.parametrize("i", ARMS)
@pytest.mark.parametrize("bit", [*ERROR_BITS, 0x200000])
def test_an_error_of_an_arm_motor_is_named(i, bit) -> None:
    text = judge(body(motor_error=(MOTORS[i], bit)))[Fault.MOTOR_ERROR]
    assert text == f"{g1.ARMS.names[i]}: {ERROR_BITS.get(bit, 'unknown')} ({bit:#x})"


def test_several_bits_are_all_named() -> None:
    text = judge(body(motor_error=(MOTORS[3], 0x80000001)))[Fault.MOTOR_ERROR]
    assert "overcurrent, computer lost the motor" in text


@pytest.mark.parametrize("motor", OTHERS)
def test_what_is_wrong_with_legs_and_waist_is_the_robots_own(motor) -> None:
    state = body(
        motor_error=(motor, 1), motor_mode=(motor, 0), temperature=(motor, 150), voltage=(motor, 20.0),
        torques=(motor, 500.0), positions=(motor, 3.0),
    )  # fmt: skip
    health = BodyHealth()
    for i in range(100):
        assert health.judge(state, REST, 1.0, 0.02 * i) == {}


@pytest.mark.parametrize("i", ARMS)
def test_a_motor_that_is_off_counts_while_we_have_it(i) -> None:
    state = body(motor_mode=(MOTORS[i], 0))
    assert judge(state, 0.0) == {}
    assert judge(state, 0.01) == judge(state, 1.0) == {Fault.MOTOR_LOST: g1.ARMS.names[i]}


@pytest.mark.parametrize("i", ARMS)
@pytest.mark.parametrize("part", [0, 1])
def test_heat_warns_and_then_stops(i, part) -> None:
    def at(celsius: float) -> dict[Fault, str]:
        temperature = [30, 30]
        temperature[part] = celsius
        return judge(body(temperature=(MOTORS[i], temperature)), 0.0)

    assert at(WARM_C[part] - 1) == {}
    assert list(at(WARM_C[part])) == list(at(HOT_C[part] - 1)) == [Fault.MOTOR_WARM]
    hot = at(HOT_C[part])
    assert list(hot) == [Fault.MOTOR_HOT], "hot is said once"
    assert g1.ARMS.names[i] in hot[Fault.MOTOR_HOT]
    assert ("casing", "winding")[part] in hot[Fault.MOTOR_HOT]


@pytest.mark.parametrize("i", ARMS)
def test_the_lowest_voltage_that_is_reported_counts(i) -> None:
    """One motor that reports none hid a battery that all others found empty."""
    assert judge(body(voltage=(MOTORS[i], EMPTY_V))) == {}
    assert list(judge(body(voltage=(MOTORS[i], EMPTY_V - 0.1)))) == [Fault.VOLTAGE_LOW]
    for nothing in (0.0, math.nan):
        assert judge(body(voltage=(MOTORS[i], nothing))) == {}
        empty = body()
        empty.voltage[:] = 38.0
        empty.voltage[MOTORS[i]] = nothing
        assert judge(empty)[Fault.VOLTAGE_LOW].startswith("38.0 V")
    assert judge(replace(body(), voltage=np.full(N, math.nan))) == {}, "a robot of old firmware tells none"


@given(
    angle=st.floats(-math.pi, math.pi),
    axis=st.tuples(st.floats(-1, 1), st.floats(-1, 1)).filter(lambda a: math.hypot(*a) > 0.1),
    yaw=st.floats(-math.pi, math.pi),
)
def test_tilt_is_the_angle_from_upright_whatever_way_the_robot_faces(angle, axis, yaw) -> None:
    x, y = np.array(axis) / math.hypot(*axis)
    s, c, sz, cz = math.sin(angle / 2), math.cos(angle / 2), math.sin(yaw / 2), math.cos(yaw / 2)
    turned = np.array([cz * c, cz * s * x - sz * s * y, cz * s * y + sz * s * x, sz * c])  # yaw after tilt
    assert tilt_rad(turned) == pytest.approx(abs(angle), abs=1e-6)
    found = judge(replace(body(), imu_quaternion=turned))
    if abs(abs(angle) - MAX_TILT_RAD) > 1e-6:
        assert (Fault.FALLING in found) == (abs(angle) > MAX_TILT_RAD)


@pytest.mark.parametrize("quaternion", [[0.0] * 4, [math.nan, 0, 0, 0], [2.0, 0, 0, 0]])
def test_an_orientation_that_is_none_is_not_upright(quaternion) -> None:
    assert Fault.BODY_UNKNOWN in judge(replace(body(), imu_quaternion=np.array(quaternion)))


def over(seconds: float, state: BodyState, weight: float = 1.0, commanded=REST, health=None) -> dict[Fault, str]:
    """The findings after so many seconds of the same."""
    health = health or BodyHealth()
    for now_s in np.arange(0.0, seconds + 1e-9, 0.01):
        found = health.judge(state, commanded, weight, float(now_s))
    return found


@pytest.mark.parametrize("i", ARMS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_motor_at_its_limit_for_long_pushes_against_something(i, sign) -> None:
    limit = TORQUE_SHARE * g1.ARMS.column("effort")[i]
    hard = body(torques=(MOTORS[i], sign * (limit + 0.1)))
    assert over(TORQUE_FOR_S - 0.01, hard) == {}
    assert g1.ARMS.names[i] in over(TORQUE_FOR_S + 0.02, hard)[Fault.MOTOR_TORQUE]
    assert over(2.0, body(torques=(MOTORS[i], sign * (limit - 0.1)))) == {}
    for weight, commanded in ((0.9, REST), (1.0, None)):  # somebody else pushes
        assert Fault.MOTOR_TORQUE not in over(2.0, hard, weight, commanded)


@pytest.mark.parametrize("i", ARMS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_arms_that_do_not_follow_although_they_are_ours_have_been_taken(i, sign) -> None:
    far = g1.ARMS.column("max_tracking_error")[i] + 0.01
    away = body(positions=(MOTORS[i], sign * far))
    assert over(DROPPED_FOR_S - 0.01, away) == {}
    assert g1.ARMS.names[i] in over(DROPPED_FOR_S + 0.02, away)[Fault.ARMS_DROPPED]
    assert over(2.0, body(positions=(MOTORS[i], sign * (far - 0.02)))) == {}
    assert over(2.0, away, weight=0.99) == {}
    assert over(2.0, away, commanded=None) == {}


def test_time_begins_anew_with_every_moment_without_it() -> None:
    health = BodyHealth()
    bad = body(positions=(MOTORS[0], 1.0), torques=(MOTORS[1], 100.0))
    for i in range(1000):
        state = body() if i % 20 == 0 else bad  # 0.2 s at most
        assert health.judge(state, REST, 1.0, 0.01 * i) == {}
