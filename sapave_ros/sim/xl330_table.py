"""The control table of the Dynamixel XL330-M288 and its units.

Addresses, sizes, defaults and ranges are those of the ROBOTIS e-Manual ("XL330-M288-T"), without indirect
addressing. Units are the servo's own: position 4096 ticks a turn, velocity 0.229 rpm, acceleration
214.577 rev/min^2, watchdog 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

TICKS_PER_TURN = 4096
TICKS_S_PER_VELOCITY_UNIT = 0.229 / 60 * TICKS_PER_TURN
TICKS_S2_PER_ACCELERATION_UNIT = 214.577 / 3600 * TICKS_PER_TURN
NO_LOAD_TICKS_S = 103 / 60 * TICKS_PER_TURN
WATCHDOG_UNIT_S = 0.02
BAUD_RATES = (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
POSITION_MODE = 3


@dataclass(frozen=True)
class Register:
    """One entry of the control table. low, high: what it accepts, else Data Range Error; high None = read only."""

    address: int
    size: int
    name: str
    default: int = 0
    low: int = 0
    high: int | None = None

    @property
    def eeprom(self) -> bool:
        """Kept without power, and writable only while torque is off."""
        return self.address < 64

    @property
    def signed(self) -> bool:
        """Two's complement."""
        return self.size == 4 or self.low < 0 or self.name in ("present_pwm", "present_current", "bus_watchdog")


CONTROL_TABLE: tuple[Register, ...] = (
    Register(0, 2, "model_number", 1200),
    Register(2, 4, "model_information"),
    Register(6, 1, "firmware_version", 52),
    Register(7, 1, "id", 1, 0, 252),
    Register(8, 1, "baud_rate", 1, 0, 6),
    Register(9, 1, "return_delay_time", 250, 0, 254),
    Register(10, 1, "drive_mode", 0, 0, 13),
    Register(11, 1, "operating_mode", POSITION_MODE, 0, 16),
    Register(12, 1, "secondary_id", 255, 0, 255),
    Register(13, 1, "protocol_type", 2, 2, 22),
    Register(20, 4, "homing_offset", 0, -1_044_479, 1_044_479),
    Register(24, 4, "moving_threshold", 10, 0, 1023),
    Register(31, 1, "temperature_limit", 70, 0, 100),
    Register(32, 2, "max_voltage_limit", 70, 31, 70),
    Register(34, 2, "min_voltage_limit", 35, 31, 70),
    Register(36, 2, "pwm_limit", 885, 0, 885),
    Register(38, 2, "current_limit", 1750, 0, 1750),
    Register(44, 4, "velocity_limit", 445, 0, 2047),
    Register(48, 4, "max_position_limit", 4095, 0, 4095),
    Register(52, 4, "min_position_limit", 0, 0, 4095),
    Register(60, 1, "startup_configuration", 0, 0, 3),
    Register(62, 1, "pwm_slope", 140, 1, 255),
    Register(63, 1, "shutdown", 53, 0, 53),
    Register(64, 1, "torque_enable", 0, 0, 1),
    Register(65, 1, "led", 0, 0, 1),
    Register(68, 1, "status_return_level", 2, 0, 2),
    Register(69, 1, "registered_instruction"),
    Register(70, 1, "hardware_error_status"),
    Register(76, 2, "velocity_i_gain", 1600, 0, 16383),
    Register(78, 2, "velocity_p_gain", 180, 0, 16383),
    Register(80, 2, "position_d_gain", 0, 0, 16383),
    Register(82, 2, "position_i_gain", 0, 0, 16383),
    Register(84, 2, "position_p_gain", 400, 0, 16383),
    Register(88, 2, "feedforward_2nd_gain", 0, 0, 16383),
    Register(90, 2, "feedforward_1st_gain", 0, 0, 16383),
    Register(98, 1, "bus_watchdog", 0, 0, 127),
    Register(100, 2, "goal_pwm", 885, -885, 885),
    Register(102, 2, "goal_current", 1750, -1750, 1750),
    Register(104, 4, "goal_velocity", 0, -2047, 2047),
    Register(108, 4, "profile_acceleration", 0, 0, 32767),
    Register(112, 4, "profile_velocity", 0, 0, 32767),
    Register(116, 4, "goal_position", 2048, -1_048_575, 1_048_575),
    Register(120, 2, "realtime_tick"),
    Register(122, 1, "moving"),
    Register(123, 1, "moving_status"),
    Register(124, 2, "present_pwm"),
    Register(126, 2, "present_current"),
    Register(128, 4, "present_velocity"),
    Register(132, 4, "present_position", 2048),
    Register(136, 4, "velocity_trajectory"),
    Register(140, 4, "position_trajectory", 2048),
    Register(144, 2, "present_input_voltage", 50),
    Register(146, 1, "present_temperature", 33),
    Register(147, 1, "backup_ready"),
)
TABLE_SIZE = 148
