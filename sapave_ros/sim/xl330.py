"""One Dynamixel XL330-M288 as a register machine: the rules of its control table, and the motion profile.

It moves in position control only; in any other operating mode it stands still.
"""

from __future__ import annotations

import math

from sapave_ros.sim.dynamixel_protocol import Error
from sapave_ros.sim.xl330_table import (
    BAUD_RATES,
    CONTROL_TABLE,
    NO_LOAD_TICKS_S,
    POSITION_MODE,
    TABLE_SIZE,
    TICKS_S2_PER_ACCELERATION_UNIT,
    TICKS_S_PER_VELOCITY_UNIT,
    WATCHDOG_UNIT_S,
    Register,
)

WATCHDOG_TRIPPED = -1
ROOM_WARM_C = next(r.default for r in CONTROL_TABLE if r.name == "present_temperature")
_STEP_S = 0.001
_MAX_CATCH_UP_S = 2.0
_BY_NAME = {r.name: r for r in CONTROL_TABLE}
_BY_ADDRESS = {r.address: r for r in CONTROL_TABLE}
_OPERATING_MODES = (0, 1, 3, 4, 5, 16)
_GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
_PROFILE = ("profile_acceleration", "profile_velocity")


class Xl330:
    """One servo. Time is an argument [s, any clock that never goes back].

    position_ticks: where the horn is at power-on. follows: whether the present position is the servo's own
    trajectory; false where a world outside says where the horn is (`set_present`).
    """

    def __init__(
        self, servo_id: int, baud_rate: int = 1_000_000, position_ticks: float = 2048.0, follows: bool = True
    ) -> None:
        self._memory = bytearray(TABLE_SIZE)
        for register in CONTROL_TABLE:
            self._set(register.name, register.default)
        self._set("id", servo_id)
        self._set("baud_rate", BAUD_RATES.index(baud_rate))
        self.follows = follows
        self._position = position_ticks
        self._velocity = 0.0
        self._now_s = 0.0
        self._heard_s = 0.0
        self._registered: tuple[int, bytes] | None = None
        self._power_on()

    @property
    def id(self) -> int:
        return self["id"]

    @property
    def baud_rate(self) -> int:
        """Bits per second at which it listens."""
        return BAUD_RATES[self["baud_rate"]]

    @property
    def torque(self) -> bool:
        return bool(self["torque_enable"])

    @property
    def trajectory_ticks(self) -> float:
        """Where the profile is now: what the position controller inside the servo tracks."""
        return self._trajectory

    @property
    def position_ticks(self) -> float:
        return self._position

    @property
    def error(self) -> int:
        """The part of a status packet's error byte that tells of the servo, not of the instruction."""
        return Error.ALERT if self["hardware_error_status"] else Error.NONE

    def __getitem__(self, name: str) -> int:
        """A register's value; KeyError for a name that the table lacks."""
        r = _BY_NAME[name]
        return int.from_bytes(self._memory[r.address : r.address + r.size], "little", signed=r.signed)

    def hear(self, now_s: float) -> None:
        """An instruction for this servo arrived: the bus watchdog starts anew."""
        self.advance(now_s)
        self._heard_s = self._now_s

    def read(self, address: int, size: int) -> tuple[int, bytes]:
        """(error, data) as a read instruction gives them."""
        if size < 1 or address + size > TABLE_SIZE:
            return Error.ACCESS, b""
        return Error.NONE, bytes(self._memory[address : address + size])

    def write(self, address: int, data: bytes) -> int:
        """Write registers from `address` on, all or none. Returns the error number."""
        writes = []
        while data:
            register = _BY_ADDRESS.get(address)
            if register is None or register.high is None or (register.eeprom and self.torque):
                return Error.ACCESS
            if len(data) < register.size:
                return Error.DATA_LENGTH
            value = int.from_bytes(data[: register.size], "little", signed=register.signed)
            error = self._refusal(register, value)
            if error:
                return error
            writes.append((register, value))
            address, data = address + register.size, data[register.size :]
        for register, value in writes:
            self._set(register.name, value)
            self._written(register.name)
        return Error.NONE if writes else Error.DATA_LENGTH

    def register_write(self, address: int, data: bytes) -> int:
        """Keep a write for the next `action`."""
        self._registered = (address, data)
        self._set("registered_instruction", 1)
        return Error.NONE

    def action(self) -> int:
        """Carry out the registered write. Returns its error number."""
        if self._registered is None:
            return Error.RESULT_FAIL
        (address, data), self._registered = self._registered, None
        self._set("registered_instruction", 0)
        return self.write(address, data)

    def reboot(self) -> None:
        """Torque off, RAM back to defaults, hardware error gone; EEPROM stays."""
        for register in CONTROL_TABLE:
            if not register.eeprom:
                self._set(register.name, register.default)
        self._power_on()

    def fail(self, bits: int) -> None:
        """A hardware error (register 70, bits 0 voltage, 2 heat, 3 encoder, 4 shock, 5 overload). Those in the
        shutdown mask take the torque away until a reboot."""
        self._set("hardware_error_status", self["hardware_error_status"] | bits)
        if bits & self["shutdown"]:
            self._set("torque_enable", 0)

    def warm(self, celsius: int) -> None:
        """Fault: the temperature that it reports; it works on, also above its limit."""
        self._set("present_temperature", celsius)

    def set_present(self, position_ticks: float, velocity_ticks_s: float) -> None:
        """Where the world has the horn, for a servo that does not follow by itself."""
        self._position = position_ticks
        self._set("present_position", round(position_ticks))
        self._set("present_velocity", round(velocity_ticks_s / TICKS_S_PER_VELOCITY_UNIT))

    def advance(self, now_s: float) -> None:
        """Move the profile on to now_s and let the bus watchdog bite where its time has passed."""
        if now_s <= self._now_s:
            return
        start_s, self._now_s = max(self._now_s, now_s - _MAX_CATCH_UP_S), now_s
        watchdog = self["bus_watchdog"]
        trips_s = self._heard_s + watchdog * WATCHDOG_UNIT_S if self.torque and watchdog > 0 else math.inf
        self._move(min(now_s, trips_s) - start_s)
        if now_s > trips_s:
            self._set("bus_watchdog", WATCHDOG_TRIPPED)
            self._velocity = 0.0
        self._set("realtime_tick", int(now_s * 1000) % 32768)
        self._set("moving", int(self._velocity != 0.0))
        self._set("position_trajectory", round(self._trajectory))
        self._set("velocity_trajectory", round(self._velocity / TICKS_S_PER_VELOCITY_UNIT))
        if self.follows:
            if self.torque:
                self._position = self._trajectory
            self.set_present(self._position, self._velocity)

    def _power_on(self) -> None:
        self._registered = None
        self._trajectory, self._velocity = self._position, 0.0
        self._set("goal_position", round(self._position))
        self.set_present(self._position, 0.0)

    def _set(self, name: str, value: int) -> None:
        r = _BY_NAME[name]
        self._memory[r.address : r.address + r.size] = (value % (1 << 8 * r.size)).to_bytes(r.size, "little")

    def _refusal(self, register: Register, value: int) -> int:
        assert register.high is not None
        name = register.name
        if not register.low <= value <= register.high or (name == "operating_mode" and value not in _OPERATING_MODES):
            return Error.DATA_RANGE
        if name in _GOALS and self["bus_watchdog"] == WATCHDOG_TRIPPED:
            return Error.DATA_RANGE
        if name == "goal_position" and self["operating_mode"] == POSITION_MODE:
            inside = self["min_position_limit"] <= value <= self["max_position_limit"]
            return Error.NONE if inside else Error.DATA_LIMIT
        limits = {
            "goal_pwm": "pwm_limit",
            "goal_current": "current_limit",
            "goal_velocity": "velocity_limit",
        }
        if name in limits and abs(value) > self[limits[name]]:
            return Error.DATA_LIMIT
        if name == "torque_enable" and value and self["hardware_error_status"] & self["shutdown"]:
            return Error.RESULT_FAIL
        return Error.NONE

    def _written(self, name: str) -> None:
        if name == "torque_enable" and self.torque:
            self._trajectory, self._velocity = self._position, 0.0
        elif name == "operating_mode":
            for register in _PROFILE:
                self._set(register, 0)
            self._set("goal_position", round(self._position))

    def _move(self, duration_s: float) -> None:
        if not self.torque:
            self._trajectory, self._velocity = self._position, 0.0
            return
        if self["operating_mode"] != POSITION_MODE or self["bus_watchdog"] == WATCHDOG_TRIPPED:
            return
        goal = float(self["goal_position"])
        limit = self["profile_velocity"] * TICKS_S_PER_VELOCITY_UNIT
        velocity_limit = min(limit or math.inf, NO_LOAD_TICKS_S)
        acceleration = self["profile_acceleration"] * TICKS_S2_PER_ACCELERATION_UNIT or math.inf
        while duration_s > 1e-9 and (self._trajectory != goal or self._velocity != 0.0):
            dt = min(_STEP_S, duration_s)
            duration_s -= dt
            self._trajectory, self._velocity = profile_step(
                self._trajectory, self._velocity, goal, velocity_limit, acceleration, dt
            )


def profile_step(
    position: float, velocity: float, goal: float, velocity_limit: float, acceleration: float, dt: float
) -> tuple[float, float]:
    """One step of a trapezoidal velocity profile that ends at rest in `goal`: (position, velocity) after dt.

    The velocity aimed at is the largest from which `acceleration` still stops within the remaining
    distance when time is discrete: v = sqrt(2 a e + (a dt / 2)^2) - a dt / 2.
    """
    distance = goal - position
    if math.isinf(acceleration):
        step = math.copysign(min(abs(distance), velocity_limit * dt), distance)
        position += step
        return (goal, 0.0) if abs(goal - position) < 1e-9 else (position, step / dt)
    change = acceleration * dt
    stopping = math.sqrt(2 * acceleration * abs(distance) + (change / 2) ** 2) - change / 2
    wanted = math.copysign(min(velocity_limit, stopping), distance)
    velocity += min(change, max(-change, wanted - velocity))
    position += velocity * dt
    if abs(goal - position) <= change * dt and abs(velocity) <= change:
        return goal, 0.0
    return position, velocity
