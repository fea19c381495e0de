"""How the neck is mounted and set, with what refuses nonsense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers.dynamixel_port import BAUD_RATES
from sapave_ros.drivers.dynamixel_table import RAD_PER_TICK, WATCHDOG_UNIT_S
from sapave_ros.parameters import ParameterError, check, parameter
from sapave_ros.types import Floats


@dataclass(frozen=True)
class NeckParameters:
    """The neck as it is mounted. Lists have two entries: yaw, pitch. Defaults: Unitree's G1-Comp head."""

    port: str = parameter("/dev/ttyUSB0", doc="serial device of the servo bus; prefer /dev/serial/by-id/...")
    baud_rate: int = parameter(1_000_000, unit="bit/s", low=9600, high=4_000_000, doc="speed of the servo bus")
    ids: list[int] = parameter([0, 1], low=0, high=252, doc="servo ids")
    directions: list[int] = parameter([1, -1], low=-1, high=1, doc="1 where ticks grow with the joint angle, else -1")
    zero_ticks: list[int] = parameter([2048, 2048], low=0, high=4095, doc="servo position at 0 rad (calibration)")
    lower_rad: list[float] = parameter(
        g1.HEAD.column("lower").tolist(),
        unit="rad",
        low=-math.pi,
        high=math.pi,
        doc="lowest position, may only tighten",
    )
    upper_rad: list[float] = parameter(
        g1.HEAD.column("upper").tolist(),
        unit="rad",
        low=-math.pi,
        high=math.pi,
        doc="highest position, may only tighten",
    )
    profile_velocity_rad_s: float = parameter(
        2.0, unit="rad/s", low=0.05, high=4.0, doc="speed limit inside the servo, above that of the controller"
    )
    profile_acceleration_rad_s2: float = parameter(
        40.0, unit="rad/s^2", low=1.0, high=200.0, doc="acceleration limit inside the servo; too low makes it lag"
    )
    position_p_gain: int = parameter(500, low=1, high=16383, doc="servo's own gain; 500 as in Unitree's servo service")
    position_d_gain: int = parameter(300, low=0, high=16383, doc="servo's own gain; 300 as in Unitree's servo service")
    watchdog_s: float = parameter(
        # Goals lie one tick of motion ahead, so a servo without a master stops at the last one anyway.
        0.2,
        unit="s",
        low=0.04,
        high=2.54,
        doc="the servos stop by themselves after this long without a packet",
    )
    response_timeout_s: float = parameter(0.02, unit="s", low=0.002, high=0.2, doc="how long to wait for an answer")

    def __post_init__(self) -> None:
        check(self)
        if self.baud_rate not in BAUD_RATES:
            raise ParameterError(f"parameter baud_rate: {self.baud_rate}; expected one of {BAUD_RATES}")
        for name in ("ids", "directions", "zero_ticks", "lower_rad", "upper_rad"):
            if len(getattr(self, name)) != len(g1.HEAD):
                raise ParameterError(f"parameter {name}: {getattr(self, name)}; expected {len(g1.HEAD)} values")
        if len(set(self.ids)) != len(self.ids):
            raise ParameterError(f"parameter ids: {self.ids}; expected different ids")
        if 0 in self.directions:
            raise ParameterError(f"parameter directions: {self.directions}; expected 1 or -1")
        lower, upper = g1.HEAD.column("lower"), g1.HEAD.column("upper")
        if not (np.all(lower <= self.lower_rad) and np.all(np.less(self.lower_rad, self.upper_rad))):
            raise ParameterError(f"parameter lower_rad: {self.lower_rad}; expected {lower.tolist()} or tighter")
        if not np.all(upper >= self.upper_rad):
            raise ParameterError(f"parameter upper_rad: {self.upper_rad}; expected {upper.tolist()} or tighter")
        ends = [self.ticks(np.array(rad)) for rad in (self.lower_rad, self.upper_rad)]
        if np.min(ends) < 0 or np.max(ends) > 4095:
            raise ParameterError(
                f"parameter zero_ticks: {self.zero_ticks}; expected zeros for which the limits stay within 0..4095 "
                f"ticks, but they are at {np.array(ends).tolist()}"
            )

    def ticks(self, positions: Floats) -> np.ndarray:
        """Joint positions [rad] to servo positions, (2,) int."""
        return np.rint(np.array(self.zero_ticks) + np.array(self.directions) * positions / RAD_PER_TICK).astype(int)

    def positions(self, ticks: Sequence[int]) -> Floats:
        """Servo positions to joint positions [rad], (2,)."""
        return (np.array(ticks, dtype=np.float64) - self.zero_ticks) * self.directions * RAD_PER_TICK

    @property
    def watchdog_units(self) -> int:
        """watchdog_s as the servos have it."""
        return round(self.watchdog_s / WATCHDOG_UNIT_S)
