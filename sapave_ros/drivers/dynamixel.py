"""The neck: two Dynamixel X-series servos (G1-Comp head: XL330-M288) on one bus, through the DynamixelSDK.

Opening the bus moves nothing; `engage` switches torque on without a jump. Every array is in `g1.HEAD` order
(yaw, pitch). Addresses: `dynamixel_table`. One thread at a time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import numpy as np

from sapave_ros.drivers import dynamixel_health
from sapave_ros.drivers import dynamixel_table as table
from sapave_ros.drivers.dynamixel_health import ServoHealth, ServoLimits, let_go, watchdog_refusal
from sapave_ros.drivers.dynamixel_parameters import NeckParameters
from sapave_ros.drivers.dynamixel_port import SerialBus, ServoBusError, ServoFault, ServoTimeout
from sapave_ros.drivers.dynamixel_registers import Registers
from sapave_ros.drivers.dynamixel_table import MODELS
from sapave_ros.types import Floats, JointState

__all__ = ["MODELS", "DynamixelNeck", "NeckParameters", "ServoBusError", "ServoFault", "ServoHealth", "ServoTimeout"]

_IDENTIFY_TRIES = 5
"""A servo may be starting up, and one lost answer at the start says nothing about the bus."""

_ENGAGE_TOLERANCE_RAD = 0.1
"""A head may rest this far outside its limits (play, a soft stop) when torque comes on; further off means that
zero_ticks or directions are wrong."""


class DynamixelNeck:
    """The neck's servo bus.

    Opens the port and pings both servos; writes nothing. shadow: nothing but pings and reads ever goes on the wire;
    `engage` and `write` check everything, count and drop. engaged: whether goals are taken; lost: why not any more,
    empty after `engage`. writes_dropped: goals of a shadow. Raises ServoBusError naming the parameter at fault.
    Every method raises ServoTimeout when a servo does not answer (this cycle has no measurement, the next may),
    ServoFault when a servo refuses or has failed, ServoBusError when the bus is gone.
    """

    def __init__(
        self, parameters: NeckParameters, clock: Callable[[], float] = time.monotonic, shadow: bool = False
    ) -> None:
        self.parameters = parameters
        self.engaged = False
        self.lost = ""
        self.writes_dropped = 0
        self._shadow = shadow
        self._limits: dict[int, ServoLimits] = {}
        self._goals = dict.fromkeys(parameters.ids, 0)  # [ticks], as last sent
        self._missed = dict.fromkeys(parameters.ids, False)  # the goal in the servo was another one, once
        self._next = 0  # whose turn it is in `poll_health`
        self._clock = clock
        self._heard_s = -math.inf
        self._was_quiet = False  # a servo may have stopped by itself since the last goal
        self._bus = SerialBus(parameters.port, parameters.baud_rate, parameters.response_timeout_s, shadow)
        self._registers = Registers(self._bus, parameters.ids, parameters.response_timeout_s)
        try:
            for left in reversed(range(_IDENTIFY_TRIES)):
                try:
                    self._identify()
                    break
                except ServoTimeout:
                    if not left:
                        raise
        except BaseException:
            self._bus.close()
            raise

    def __enter__(self) -> DynamixelNeck:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alerts(self) -> tuple[bool, ...]:
        """Whether each servo reported a hardware error with its last answer; `health` tells which."""
        return tuple(self._registers.alerts.values())

    def engage(self) -> None:
        """Torque on, at rest where the head is.

        Torque goes off first only where a setting in EEPROM has to change, so a head that is already held does
        not sink. Raises ServoFault on a hardware error, or if the head is further outside its limits than any
        play explains.
        """
        p = self.parameters
        self.engaged = False
        ends = [p.ticks(np.array(p.lower_rad)), p.ticks(np.array(p.upper_rad))]  # 2 x (2,)
        low, high = np.minimum(*ends), np.maximum(*ends)
        for i, servo_id in enumerate(p.ids):
            self._refuse_hardware_error(servo_id)
            if not self._shadow:
                self._configure(servo_id, int(low[i]), int(high[i]))
                self._registers.write(servo_id, table.WATCHDOG, 1, 0)
        ticks = self._read_present()[0]
        outside_rad = np.maximum(low - ticks, ticks - high) * table.RAD_PER_TICK
        if np.any(outside_rad > _ENGAGE_TOLERANCE_RAD):
            raise ServoFault(
                f"the head is at {p.positions(ticks.tolist()).tolist()} rad; expected {p.lower_rad} to {p.upper_rad}: "
                f"check zero_ticks {p.zero_ticks} and directions {p.directions}, or turn it by hand"
            )
        self._goals = dict(zip(p.ids, np.clip(ticks, low, high).tolist(), strict=True))
        self._missed = dict.fromkeys(p.ids, False)
        if not self._shadow:
            self._hold()
        self.engaged, self.lost, self._was_quiet = True, "", False

    def _hold(self) -> None:
        for servo_id, goal in self._goals.items():
            self._registers.write(servo_id, table.GOAL, 4, goal)
            self._registers.write(servo_id, table.WATCHDOG, 1, self.parameters.watchdog_units)
        for servo_id in self.parameters.ids:
            self._registers.write(servo_id, table.TORQUE, 1, 1)
            if self._registers.read(servo_id, table.TORQUE, 1) != 1:
                raise ServoFault(f"servo {servo_id}: torque stays off after it was switched on")

    def read(self) -> JointState:
        """Measured positions [rad] and velocities [rad/s], (2,), in one sync read; received_s: when it was complete."""
        ticks, velocity_units = self._read_present()
        directions = np.array(self.parameters.directions)
        return JointState(
            self._heard_s,
            self.parameters.positions(ticks.tolist()),
            velocity_units * directions * table.RAD_S_PER_VELOCITY_UNIT,
        )

    def write(self, positions: Floats) -> None:
        """Goal positions [rad], (2,), in one sync write.

        Raises ValueError for a wrong shape, a value that is not finite or one outside the limits (nothing is
        clipped here), ServoFault if not engaged, after a hardware error, or if the bus watchdog has tripped.
        """
        p = self.parameters
        goal = np.asarray(positions, dtype=np.float64)
        if goal.shape != (len(p.ids),) or not np.all(np.isfinite(goal)):
            raise ValueError(f"positions: {positions}; expected {len(p.ids)} finite values")
        if np.any(goal < p.lower_rad) or np.any(goal > p.upper_rad):
            raise ValueError(f"positions: {goal.tolist()} rad; expected within {p.lower_rad} to {p.upper_rad}")
        if not self.engaged:
            raise ServoFault(f"positions: the neck is not engaged{self.lost and ', '}{self.lost}; call engage() first")
        failed = [i for i, alert in self._registers.alerts.items() if alert]
        if failed:
            raise ServoFault(f"servos {failed} report a hardware error; see health()")
        goals = p.ticks(goal).tolist()
        if self._shadow:
            self.writes_dropped += 1
            return
        if self._was_quiet or self._clock() - self._heard_s > p.watchdog_s / 2:
            self._refuse_other_watchdog()  # a sync write has no answer: a servo that stopped would not say so
            self._was_quiet = False
        self._goals = dict(zip(p.ids, goals, strict=True))
        self._registers.write_all(table.GOAL, 4, self._goals)

    def health(self) -> tuple[ServoHealth, ...]:
        """Condition of both servos, in one sync read. Judges nothing: see `poll_health`."""
        rows = self._registers.read_all(dynamixel_health.ADDRESS, dynamixel_health.SIZE)
        now_s = self._clock()
        return tuple(
            ServoHealth.of(i, data, self._limits[i], now_s) for i, data in zip(self.parameters.ids, rows, strict=True)
        )

    def poll_health(self) -> ServoHealth:
        """Condition of one servo, of each in turn, in one read of 83 bytes: for a few times a second in the loop.

        Raises ServoFault, with `engaged` False and the reason in `lost`, if this servo was held and is not any more:
        it has been restarted, or has let go, and whoever went on sending goals would move it in one stroke once it
        is back. `engage` begins from where the head is.
        """
        servo_id = self.parameters.ids[self._next]
        self._next = (self._next + 1) % len(self.parameters.ids)
        block = self._registers.block(servo_id, dynamixel_health.ADDRESS, dynamixel_health.SIZE)
        health = ServoHealth.of(servo_id, block, self._limits[servo_id], self._clock())
        if self.engaged and not self._shadow:
            reason = let_go(health, block, self.parameters.watchdog_units)
            if reason:
                self._lose(servo_id, reason)
            self._check_goal(servo_id, table.signed(block, table.GOAL - dynamixel_health.ADDRESS, 4))
        return health

    def reboot(self, servo_id: int) -> None:
        """Restart a servo, which clears its hardware error. On request of a person: the cause may still be there.

        Only a servo without torque, else its joint would fall: ServoFault. It does not answer for about half a second;
        afterwards the neck is not engaged. ValueError for an unknown id, ServoFault in a shadow.
        """
        if servo_id not in self.parameters.ids:
            raise ValueError(f"servo_id: {servo_id}; expected one of {self.parameters.ids}")
        if self._shadow:
            raise ServoFault(f"servo {servo_id}: not restarted in a shadow")
        if self._registers.read(servo_id, table.TORQUE, 1):
            raise ServoFault(f"servo {servo_id}: has torque; expected none: its joint would fall when it restarts")
        self._registers.reboot(servo_id)
        self.engaged, self.lost = False, f"servo {servo_id} was restarted on request"

    def _lose(self, servo_id: int, reason: str) -> None:
        self.engaged, self.lost = False, f"servo {servo_id}: {reason}"
        raise ServoFault(f"{self.lost}; call engage() to move again")

    def _check_goal(self, servo_id: int, goal: int) -> None:
        """Once, a goal may have been lost on the wire; the next one came by now."""
        missed, self._missed[servo_id] = self._missed[servo_id], goal != self._goals[servo_id]
        if missed and self._missed[servo_id]:
            self._lose(servo_id, f"its goal is {goal}, expected {self._goals[servo_id]}: somebody else wrote there")

    def close(self, release: bool = False) -> None:
        """Leave the bus. The head stays where it is, held, unless `release`: then torque goes off and it sinks."""
        try:
            if (self.engaged or release) and not self._shadow:
                for servo_id in self.parameters.ids:
                    self._registers.write(servo_id, table.WATCHDOG, 1, 0)
                    if release:
                        self._registers.write(servo_id, table.TORQUE, 1, 0)
        except ServoBusError as error:
            logging.getLogger(__name__).warning("neck not left in order: %s", error)
        finally:
            self.engaged = False
            self._bus.close()

    def _identify(self) -> None:
        p = self.parameters
        found: dict[int, int] = {}
        for _ in range(_IDENTIFY_TRIES):
            for servo_id in set(p.ids) - found.keys():
                model = self._registers.ping(servo_id)
                if model is not None:
                    found[servo_id] = model
        missing = [i for i in p.ids if i not in found]
        if missing:
            raise ServoBusError(self._bus.diagnosis(missing))
        for servo_id, model in found.items():
            if model not in MODELS:
                names = ", ".join(f"{name} ({number})" for number, name in MODELS.items())
                raise ServoBusError(f"ids: servo {servo_id} at {p.port} is model {model}; expected one of {names}")
            if self._registers.read(servo_id, table.DRIVE_MODE, 1) & table.REVERSED:
                raise ServoBusError(
                    f"directions: servo {servo_id} is reversed by its own drive mode (register 10); "
                    "expected normal mode there, and -1 in directions"
                )
            low, high = (
                self._registers.read(servo_id, table.MIN_VOLTAGE, 2),
                self._registers.read(servo_id, table.MAX_VOLTAGE, 2),
            )
            limit_c = self._registers.read(servo_id, table.TEMPERATURE_LIMIT, 1)
            self._limits[servo_id] = ServoLimits(float(limit_c), low * table.VOLT_PER_UNIT, high * table.VOLT_PER_UNIT)
        self._read_present()

    def _configure(self, servo_id: int, low: int, high: int) -> None:
        p = self.parameters
        wanted = (
            (table.DRIVE_MODE, 1, 0),
            (table.OPERATING_MODE, 1, table.POSITION_CONTROL),
            (table.MAX_POSITION, 4, high),
            (table.MIN_POSITION, 4, low),
        )
        # Read before write: EEPROM wears out, and it is writable only without torque.
        changes = [(a, size, value) for a, size, value in wanted if self._registers.read(servo_id, a, size) != value]
        if changes:
            self._registers.write(servo_id, table.TORQUE, 1, 0)
        for address, size, value in changes:
            self._registers.write(servo_id, address, size, value)
        # After the operating mode, which resets them.
        self._registers.write(servo_id, table.D_GAIN, 2, p.position_d_gain)
        self._registers.write(servo_id, table.P_GAIN, 2, p.position_p_gain)
        velocity = p.profile_velocity_rad_s / table.RAD_S_PER_VELOCITY_UNIT
        acceleration = p.profile_acceleration_rad_s2 / table.RAD_S2_PER_ACCELERATION_UNIT
        self._registers.write(servo_id, table.VELOCITY, 4, math.ceil(velocity))
        self._registers.write(servo_id, table.ACCELERATION, 4, math.ceil(acceleration))

    def _refuse_hardware_error(self, servo_id: int) -> None:
        errors = self._registers.read(servo_id, table.HARDWARE_ERROR, 1)
        if errors:
            names = ", ".join(table.error_names(errors))
            raise ServoFault(f"servo {servo_id}: hardware error: {names}; reboot or power-cycle it")

    def _refuse_other_watchdog(self) -> None:
        for servo_id in self.parameters.ids:
            refusal = watchdog_refusal(
                self._registers.read(servo_id, table.WATCHDOG, 1), self.parameters.watchdog_units
            )
            if refusal:
                self._lose(servo_id, refusal)

    def _read_present(self) -> tuple[np.ndarray, np.ndarray]:
        """Present positions [ticks] and velocities [velocity units], each (2,) int; notes alerts and the time."""
        start = table.PRESENT_CURRENT
        rows = self._registers.read_all(start, table.PRESENT_POSITION + 4 - start)
        now_s = self._clock()
        self._was_quiet |= now_s - self._heard_s > self.parameters.watchdog_s / 2
        self._heard_s = now_s
        ticks = [table.signed(row, table.PRESENT_POSITION - start, 4) for row in rows]
        velocities = [table.signed(row, table.PRESENT_VELOCITY - start, 4) for row in rows]
        return np.array(ticks), np.array(velocities)
