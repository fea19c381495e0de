"""What a servo says of its condition, and how to tell that it has let go of the head."""

from __future__ import annotations

from dataclasses import dataclass

from sapave_ros.drivers import dynamixel_table as table

ADDRESS, SIZE = table.TORQUE, table.TEMPERATURE + 1 - table.TORQUE
"""All that is judged here lies in this block of registers: one read."""


@dataclass(frozen=True)
class ServoLimits:
    """Beyond these the servo reports a hardware error and lets go: its own settings, 70 degC and 3.5 to 7.0 V in an
    XL330 as delivered (which is made for 5 V)."""

    temperature_c: float
    min_voltage_v: float
    max_voltage_v: float


@dataclass(frozen=True)
class ServoHealth:
    """One servo's condition. received_s: when it said so. hardware_errors: names, empty when well; any of them has
    taken the torque away until `reboot`, or until it is power-cycled. watchdog_tripped: it heard nothing for watchdog_s
    and stands still until `engage`. limits: see there."""

    servo_id: int
    temperature_c: float
    voltage_v: float
    torque: bool
    watchdog_tripped: bool
    hardware_errors: tuple[str, ...]
    limits: ServoLimits
    received_s: float

    @classmethod
    def of(cls, servo_id: int, data: bytes, limits: ServoLimits, received_s: float) -> ServoHealth:
        """From the block of registers."""
        return cls(
            servo_id,
            float(data[table.TEMPERATURE - ADDRESS]),
            table.signed(data, table.VOLTAGE - ADDRESS, 2) * table.VOLT_PER_UNIT,
            bool(data[table.TORQUE - ADDRESS]),
            data[table.WATCHDOG - ADDRESS] == table.TRIPPED,
            table.error_names(data[table.HARDWARE_ERROR - ADDRESS]),
            limits,
            received_s,
        )


def watchdog_refusal(value: int, expected: int) -> str:
    """Why a servo with this watchdog register does not follow goals, empty if it does. expected: as it was set."""
    if value == table.TRIPPED:
        return "its bus watchdog stopped it"
    if value != expected:
        return f"its bus watchdog is {value}, expected {expected}: it has been restarted"
    return ""


def let_go(health: ServoHealth, data: bytes, watchdog: int) -> str:
    """Why a servo that was engaged does not hold the head any more, empty if it does. watchdog: as it was set."""
    if health.hardware_errors:
        return f"hardware error: {', '.join(health.hardware_errors)}"
    refusal = watchdog_refusal(data[table.WATCHDOG - ADDRESS], watchdog)
    if not refusal and not health.torque:
        return "it has no torque any more"
    return refusal
