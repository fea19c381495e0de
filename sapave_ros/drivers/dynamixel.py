"""The neck: two Dynamixel X-series servos (G1-Comp head: XL330-M288) on one bus, through the DynamixelSDK.

Opening the bus moves nothing; `engage` switches torque on without a jump. Every array is in `g1.HEAD` order
(yaw, pitch). Addresses: ROBOTIS e-Manual, control table of the X series. One thread at a time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from dynamixel_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS, PacketHandler

from sapave_ros import g1
from sapave_ros.drivers.dynamixel_port import BAUD_RATES, SerialBus, ServoBusError, ServoFault, ServoTimeout
from sapave_ros.parameters import ParameterError, check, parameter
from sapave_ros.types import Floats, JointState

__all__ = ["DynamixelNeck", "NeckParameters", "ServoBusError", "ServoFault", "ServoHealth", "ServoTimeout"]

RAD_PER_TICK = 2 * math.pi / 4096
RAD_S_PER_VELOCITY_UNIT = 0.229 * 2 * math.pi / 60
RAD_S2_PER_ACCELERATION_UNIT = 214.577 * 2 * math.pi / 3600
WATCHDOG_UNIT_S = 0.02

MODELS = {
    1020: "XM430-W350",
    1030: "XM430-W210",
    1060: "XL430-W250",
    1190: "XL330-M077",
    1200: "XL330-M288",
    1240: "XC330-M288",
}
"""Servos whose control table has everything used here at the same address and in the same unit."""

_DRIVE_MODE, _OPERATING_MODE, _MAX_POSITION, _MIN_POSITION = 10, 11, 48, 52
_TORQUE, _HARDWARE_ERROR, _D_GAIN, _P_GAIN, _WATCHDOG = 64, 70, 80, 84, 98
_ACCELERATION, _VELOCITY, _GOAL, _PRESENT_CURRENT, _PRESENT_VELOCITY, _PRESENT_POSITION = 108, 112, 116, 126, 128, 132
_VOLTAGE, _TEMPERATURE = 144, 146
_POSITION_CONTROL = 3
_REVERSED = 1
_TRIPPED = 255
_ALERT = 0x80
_HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "encoder", 4: "electrical shock", 5: "overload"}
_IDENTIFY_TRIES = 5
"""A servo may be starting up, and one lost answer at the start says nothing about the bus."""

_ENGAGE_TOLERANCE_RAD = 0.1
"""A head may rest this far outside its limits (play, a soft stop) when torque comes on; further off means that
zero_ticks or directions are wrong."""


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


@dataclass(frozen=True)
class ServoHealth:
    """One servo's condition. hardware_errors: names, empty when well; any of them has taken the torque away until
    the servo is power-cycled. watchdog_tripped: it heard nothing for watchdog_s and stands still until `engage`."""

    servo_id: int
    temperature_c: float
    voltage_v: float
    torque: bool
    watchdog_tripped: bool
    hardware_errors: tuple[str, ...]


class DynamixelNeck:
    """The neck's servo bus.

    Opens the port and pings both servos; writes nothing. Raises ServoBusError naming the parameter at fault.
    Every method raises ServoTimeout when a servo does not answer (this cycle has no measurement, the next may),
    ServoFault when a servo refuses or has failed, ServoBusError when the bus is gone.
    """

    def __init__(self, parameters: NeckParameters, clock: Callable[[], float] = time.monotonic) -> None:
        self.parameters = parameters
        self.engaged = False
        self._clock = clock
        self._heard_s = -math.inf
        self._was_quiet = False  # a servo may have stopped by itself since the last goal
        self._alerts = [False] * len(parameters.ids)
        self._packets = PacketHandler(2.0)
        self._bus = SerialBus(parameters.port, parameters.baud_rate, parameters.response_timeout_s)
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
        return tuple(self._alerts)

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
            self._configure(servo_id, int(low[i]), int(high[i]))
            self._write(servo_id, _WATCHDOG, 1, 0)
        ticks = self._read_present()[0]
        outside_rad = np.maximum(low - ticks, ticks - high) * RAD_PER_TICK
        if np.any(outside_rad > _ENGAGE_TOLERANCE_RAD):
            raise ServoFault(
                f"the head is at {p.positions(ticks.tolist()).tolist()} rad; expected {p.lower_rad} to {p.upper_rad}: "
                f"check zero_ticks {p.zero_ticks} and directions {p.directions}, or turn it by hand"
            )
        for servo_id, goal in zip(p.ids, np.clip(ticks, low, high).tolist(), strict=True):
            self._write(servo_id, _GOAL, 4, goal)
            self._write(servo_id, _WATCHDOG, 1, round(p.watchdog_s / WATCHDOG_UNIT_S))
        for servo_id in p.ids:
            self._write(servo_id, _TORQUE, 1, 1)
            if self._read(servo_id, _TORQUE, 1) != 1:
                raise ServoFault(f"servo {servo_id}: torque stays off after it was switched on")
        self.engaged, self._was_quiet = True, False

    def read(self) -> JointState:
        """Measured positions [rad] and velocities [rad/s], (2,), in one sync read; received_s: when it was complete."""
        ticks, velocity_units = self._read_present()
        directions = np.array(self.parameters.directions)
        return JointState(
            self._heard_s,
            self.parameters.positions(ticks.tolist()),
            velocity_units * directions * RAD_S_PER_VELOCITY_UNIT,
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
            raise ServoFault("positions: the neck is not engaged; call engage() first")
        if any(self._alerts):
            failed = [i for i, alert in zip(p.ids, self._alerts, strict=True) if alert]
            raise ServoFault(f"servos {failed} report a hardware error; see health()")
        if self._was_quiet or self._clock() - self._heard_s > p.watchdog_s / 2:
            self._refuse_tripped_watchdog()  # a sync write has no answer: a servo that stopped would not say so
            self._was_quiet = False
        data = b"".join(
            bytes([i]) + tick.to_bytes(4, "little") for i, tick in zip(p.ids, p.ticks(goal).tolist(), strict=True)
        )
        with self._bus.transaction() as port:
            result = self._packets.syncWriteTxOnly(port, _GOAL, 4, list(data), len(data))
        if result != COMM_SUCCESS:
            raise ServoBusError(f"port: {p.port}: the goal could not be sent: {self._packets.getTxRxResult(result)}")

    def health(self) -> tuple[ServoHealth, ...]:
        """Temperature, voltage and errors of both servos, in one sync read; for about once a second."""
        start = _TORQUE
        conditions = []
        for servo_id, data in zip(self.parameters.ids, self._sync_read(start, _TEMPERATURE + 1 - start), strict=True):
            errors = data[_HARDWARE_ERROR - start]
            conditions.append(
                ServoHealth(
                    servo_id,
                    float(data[_TEMPERATURE - start]),
                    _int(data, _VOLTAGE - start, 2) * 0.1,
                    bool(data[_TORQUE - start]),
                    data[_WATCHDOG - start] == _TRIPPED,
                    _error_names(errors),
                )
            )
        return tuple(conditions)

    def close(self, release: bool = False) -> None:
        """Leave the bus. The head stays where it is, held, unless `release`: then torque goes off and it sinks."""
        try:
            if self.engaged or release:
                for servo_id in self.parameters.ids:
                    self._write(servo_id, _WATCHDOG, 1, 0)
                    if release:
                        self._write(servo_id, _TORQUE, 1, 0)
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
                with self._bus.transaction() as port:
                    model, result, _ = self._packets.ping(port, servo_id)
                if result == COMM_SUCCESS:
                    found[servo_id] = model
        missing = [i for i in p.ids if i not in found]
        if missing:
            raise ServoBusError(self._bus.diagnosis(missing))
        for servo_id, model in found.items():
            if model not in MODELS:
                names = ", ".join(f"{name} ({number})" for number, name in MODELS.items())
                raise ServoBusError(f"ids: servo {servo_id} at {p.port} is model {model}; expected one of {names}")
            if self._read(servo_id, _DRIVE_MODE, 1) & _REVERSED:
                raise ServoBusError(
                    f"directions: servo {servo_id} is reversed by its own drive mode (register 10); "
                    "expected normal mode there, and -1 in directions"
                )
        self._read_present()

    def _configure(self, servo_id: int, low: int, high: int) -> None:
        p = self.parameters
        wanted = (
            (_DRIVE_MODE, 1, 0),
            (_OPERATING_MODE, 1, _POSITION_CONTROL),
            (_MAX_POSITION, 4, high),
            (_MIN_POSITION, 4, low),
        )
        # Read before write: EEPROM wears out, and it is writable only without torque.
        changes = [(a, size, value) for a, size, value in wanted if self._read(servo_id, a, size) != value]
        if changes:
            self._write(servo_id, _TORQUE, 1, 0)
        for address, size, value in changes:
            self._write(servo_id, address, size, value)
        # After the operating mode, which resets them.
        self._write(servo_id, _D_GAIN, 2, p.position_d_gain)
        self._write(servo_id, _P_GAIN, 2, p.position_p_gain)
        self._write(servo_id, _VELOCITY, 4, math.ceil(p.profile_velocity_rad_s / RAD_S_PER_VELOCITY_UNIT))
        self._write(servo_id, _ACCELERATION, 4, math.ceil(p.profile_acceleration_rad_s2 / RAD_S2_PER_ACCELERATION_UNIT))

    def _refuse_hardware_error(self, servo_id: int) -> None:
        errors = self._read(servo_id, _HARDWARE_ERROR, 1)
        if errors:
            raise ServoFault(f"servo {servo_id}: hardware error: {', '.join(_error_names(errors))}; power-cycle it")

    def _refuse_tripped_watchdog(self) -> None:
        for servo_id in self.parameters.ids:
            if self._read(servo_id, _WATCHDOG, 1) == _TRIPPED:
                self.engaged = False
                raise ServoFault(f"servo {servo_id}: its bus watchdog stopped it; call engage() to move again")

    def _read_present(self) -> tuple[np.ndarray, np.ndarray]:
        """Present positions [ticks] and velocities [velocity units], each (2,) int; notes alerts and the time."""
        start = _PRESENT_CURRENT
        rows = self._sync_read(start, _PRESENT_POSITION + 4 - start)
        now_s = self._clock()
        self._was_quiet |= now_s - self._heard_s > self.parameters.watchdog_s / 2
        self._heard_s = now_s
        ticks = [_int(row, _PRESENT_POSITION - start, 4) for row in rows]
        velocities = [_int(row, _PRESENT_VELOCITY - start, 4) for row in rows]
        return np.array(ticks), np.array(velocities)

    def _sync_read(self, address: int, size: int) -> list[bytes]:
        """`size` bytes from each servo, in order of ids.

        A plain sync read, packet by packet: the SDK's group reader drops the error bytes, and its fast sync read
        does not undo byte stuffing, so a current of -1 beside a velocity of -3 would shift all that follows.
        """
        ids = list(self.parameters.ids)
        rows = []
        with self._bus.transaction() as port:
            result = self._packets.syncReadTx(port, address, size, ids, len(ids), False)
            for i, servo_id in enumerate(ids):
                data, error = [], 0
                if result == COMM_SUCCESS:
                    data, result, error = self._packets.readRx(port, servo_id, size)
                self._check(servo_id, address, result, error)
                if len(data) != size:
                    raise ServoTimeout(f"servo {servo_id}: {len(data)} bytes from register {address}; expected {size}")
                self._alerts[i] = bool(error & _ALERT)
                rows.append(bytes(data))
            if port.getBytesAvailable():
                raise ServoTimeout(f"port: {self.parameters.port}: more answers than asked for; these may be late ones")
        return rows

    def _read(self, servo_id: int, address: int, size: int) -> int:
        with self._bus.transaction() as port:
            data, result, error = self._packets.readTxRx(port, servo_id, address, size)
            self._check(servo_id, address, result, error)
        return int.from_bytes(bytes(data), "little")

    def _write(self, servo_id: int, address: int, size: int, value: int) -> None:
        with self._bus.transaction() as port:
            data = list(value.to_bytes(size, "little"))
            result, error = self._packets.writeTxRx(port, servo_id, address, size, data)
            self._check(servo_id, address, result, error)

    def _check(self, servo_id: int, address: int, result: int, error: int) -> None:
        if result == COMM_RX_TIMEOUT:
            timeout_ms = self.parameters.response_timeout_s * 1e3
            raise ServoTimeout(f"servo {servo_id}: no answer within {timeout_ms:.0f} ms (register {address})")
        if result != COMM_SUCCESS:
            raise ServoTimeout(f"servo {servo_id}: {self._packets.getTxRxResult(result)} (register {address})")
        if error & ~_ALERT:
            reason = self._packets.getRxPacketError(error & ~_ALERT)
            raise ServoFault(f"servo {servo_id} refuses register {address}: {reason}")


def _int(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little", signed=True)


def _error_names(bits: int) -> tuple[str, ...]:
    return tuple(_HARDWARE_ERRORS.get(bit, f"bit {bit}") for bit in range(8) if bits >> bit & 1)
