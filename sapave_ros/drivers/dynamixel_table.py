"""Registers and units of the Dynamixel X series, as far as the neck uses them. Source: ROBOTIS e-Manual."""

from __future__ import annotations

import math

RAD_PER_TICK = 2 * math.pi / 4096
RAD_S_PER_VELOCITY_UNIT = 0.229 * 2 * math.pi / 60
RAD_S2_PER_ACCELERATION_UNIT = 214.577 * 2 * math.pi / 3600
WATCHDOG_UNIT_S = 0.02
VOLT_PER_UNIT = 0.1

MODELS = {
    1020: "XM430-W350",
    1030: "XM430-W210",
    1060: "XL430-W250",
    1190: "XL330-M077",
    1200: "XL330-M288",
    1240: "XC330-M288",
}
"""Servos whose control table has everything used here at the same address and in the same unit."""

DRIVE_MODE, OPERATING_MODE, MAX_POSITION, MIN_POSITION = 10, 11, 48, 52
TEMPERATURE_LIMIT, MAX_VOLTAGE, MIN_VOLTAGE = 31, 32, 34
TORQUE, HARDWARE_ERROR, D_GAIN, P_GAIN, WATCHDOG = 64, 70, 80, 84, 98
ACCELERATION, VELOCITY, GOAL, PRESENT_CURRENT, PRESENT_VELOCITY, PRESENT_POSITION = 108, 112, 116, 126, 128, 132
VOLTAGE, TEMPERATURE = 144, 146

POSITION_CONTROL = 3
REVERSED = 1
TRIPPED = 255
ALERT = 0x80
"""Of the error byte of an answer: the servo has a hardware error."""

HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "encoder", 4: "electrical shock", 5: "overload"}


def signed(data: bytes, offset: int, size: int) -> int:
    """A register within data, two's complement."""
    return int.from_bytes(data[offset : offset + size], "little", signed=True)


def error_names(bits: int) -> tuple[str, ...]:
    """Hardware errors by name."""
    return tuple(HARDWARE_ERRORS.get(bit, f"bit {bit}") for bit in range(8) if bits >> bit & 1)
