"""What the robot's own state says about it: motors, battery, tilt, and arms that do not follow."""

from __future__ import annotations

import math

import numpy as np

from sapave_ros import g1
from sapave_ros.core.faults import Fault
from sapave_ros.core.kinematics import STANDARD_GRAVITY, gravity_in_pelvis
from sapave_ros.types import BodyState, Floats

HOT_C = (85.0, 120.0)
"""Casing and winding [deg C] at which Unitree's own controllers stop (unitree_sdk2 terminations.hpp)."""

WARM_C = (70.0, 100.0)
"""Worth a word: at 70 the casing hurts a hand, and the motor is on its way."""

EMPTY_V = 39.0
"""3.0 V for each of the 13 cells: below, a lithium cell is damaged and the robot about to fall."""

KNOWN_V = 5.0
"""A motor that reports less reports no voltage at all; it would not run."""

MAX_TILT_RAD = 0.6
"""Nobody stands or walks with a pelvis tilted by 34 degrees; Unitree's controllers give up at 57 (1.0 rad)."""

TORQUE_SHARE = 0.95
TORQUE_FOR_S = 0.5
"""A motor at its limit for this long [s] pushes against something; for less it accelerates."""

DROPPED_FOR_S = 0.3
"""Arms this long [s] away from a command that rests or moves slowly have been taken by somebody else."""

_MOTORS = np.array([j.motor for j in g1.ARMS.joints])
_EFFORT = g1.ARMS.column("effort")
_TRACKING = g1.ARMS.column("max_tracking_error")

ERROR_BITS = {
    0x1: "overcurrent", 0x2: "transient overvoltage", 0x4: "sustained overvoltage", 0x8: "undervoltage",
    0x10: "chip overheating", 0x20: "MOS temperature", 0x40: "MOS temperature sensor", 0x80: "shell temperature",
    0x100: "shell temperature sensor", 0x200: "winding overheating", 0x400: "rotor encoder 1", 0x800: "rotor encoder 2",
    0x1000: "output encoder", 0x2000: "calibration data", 0x4000: "abnormal reset", 0x8000: "locked",
    0x10000: "chip validation", 0x20000: "calibration mode", 0x40000: "communication check", 0x80000: "driver too old",
    0x40000000: "motor lost the computer", 0x80000000: "computer lost the motor",
}  # fmt: skip
"""Bits of `motorstate`, from Unitree's documentation of the G1's motors."""


def tilt_rad(quaternion_wxyz: Floats) -> float:
    """Angle between the pelvis' own up and the world's [rad]. Raises ValueError for what is no orientation."""
    down = gravity_in_pelvis(quaternion_wxyz) / STANDARD_GRAVITY
    return math.acos(float(np.clip(-down[2], -1.0, 1.0)))


class BodyHealth:
    """Judges one `BodyState` after the other."""

    def __init__(self) -> None:
        self._pushing_since_s = np.full(len(g1.ARMS), np.inf)
        self._away_since_s = np.full(len(g1.ARMS), np.inf)

    def judge(self, body: BodyState, commanded: Floats | None, weight: float, now_s: float) -> dict[Fault, str]:
        """What is wrong at monotonic time `now_s` [s].

        commanded: (14,) [rad] positions of the last command in `g1.ARMS` order, None without one. weight: how much of
        the arms we have, 0 to 1.
        """
        found: dict[Fault, str] = {}
        errors = body.motor_error[_MOTORS].astype(np.int64)
        if errors.any():
            i = int(np.argmax(errors != 0))
            bits = [name for bit, name in ERROR_BITS.items() if errors[i] & bit] or ["unknown"]
            found[Fault.MOTOR_ERROR] = f"{g1.ARMS.names[i]}: {', '.join(bits)} ({errors[i]:#x})"
        off = body.motor_mode[_MOTORS] == 0
        if off.any() and weight > 0.0:
            found[Fault.MOTOR_LOST] = ", ".join(g1.ARMS.names[i] for i in np.flatnonzero(off))
        for fault, bounds in ((Fault.MOTOR_HOT, HOT_C), (Fault.MOTOR_WARM, WARM_C)):
            over = body.temperature[_MOTORS] - np.array(bounds)
            if over.max() >= 0:
                i, j = divmod(int(np.argmax(over)), 2)
                value, part = body.temperature[_MOTORS][i, j], ("casing", "winding")[j]
                found[fault] = f"{part} of {g1.ARMS.names[i]} at {value} °C, at most {bounds[j]:g}"
                break
        volts = body.voltage[_MOTORS]
        lowest = min(volts[volts > KNOWN_V], default=EMPTY_V)
        if lowest < EMPTY_V:
            found[Fault.VOLTAGE_LOW] = f"{lowest:.1f} V, at least {EMPTY_V:g}"
        try:
            tilt = tilt_rad(body.imu_quaternion)
        except ValueError as error:
            found[Fault.BODY_UNKNOWN] = str(error)
        else:
            if tilt > MAX_TILT_RAD:
                found[Fault.FALLING] = f"pelvis tilted by {tilt:.2f} rad, at most {MAX_TILT_RAD:g}"
        found.update(self._over_time(body, commanded, weight, now_s))
        return found

    def _over_time(self, body: BodyState, commanded: Floats | None, weight: float, now_s: float) -> dict[Fault, str]:
        found: dict[Fault, str] = {}
        ours = weight == 1.0 and commanded is not None
        pushing = ours & (np.abs(body.torques[_MOTORS]) > TORQUE_SHARE * _EFFORT)
        self._pushing_since_s = np.where(pushing, np.minimum(self._pushing_since_s, now_s), np.inf)
        long = now_s - self._pushing_since_s > TORQUE_FOR_S
        if long.any():
            i = int(np.argmax(long))
            found[Fault.MOTOR_TORQUE] = (
                f"{g1.ARMS.names[i]} at {body.torques[_MOTORS][i]:.1f} N m for {now_s - self._pushing_since_s[i]:.1f} s"
            )
        error = np.zeros(len(g1.ARMS)) if commanded is None else np.abs(body.positions[_MOTORS] - commanded)
        away = ours & (error > _TRACKING)
        self._away_since_s = np.where(away, np.minimum(self._away_since_s, now_s), np.inf)
        gone = now_s - self._away_since_s > DROPPED_FOR_S
        if gone.any():
            i = int(np.argmax(gone))
            found[Fault.ARMS_DROPPED] = f"{g1.ARMS.names[i]} is {error[i]:.2f} rad from its command"
        return found
