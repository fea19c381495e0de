"""What can go wrong with the stand-in robot itself: its motors, its controller, its buses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sapave_ros import g1
from sapave_ros.sim import remote
from sapave_ros.sim.body import Body
from sapave_ros.sim.dynamixel_bus import Bus
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.unitree_face import UnitreeFace

NOISE = bytes(range(64))
"""Answer of a servo bus whose line is disturbed: no packet in it."""


class RobotFaults:
    """The faults in force. Methods are named as the rows of `faults.FAULTS`; `heal` ends all.

    To be called by the thread that ticks the body.
    """

    def __init__(self, body: Body, face: UnitreeFace, neck: ServoBus) -> None:
        self._body, self._face, self._neck = body, face, neck
        self._state = face.state

    def heal(self) -> None:
        self._state.heal()
        self._face.heal()
        self._body.heal()
        self._neck.fault(Bus.heal)
        self._neck.delay_s = 0.0

    # -- motors ----------------------------------------------------------------------------------

    def motor_temperature(self, joint: str, casing: float, winding: float) -> None:
        self._state.frame.temperature[_motor(joint)] = casing, winding

    def motor_error(self, joint: str, bits: int) -> None:
        self._state.frame.motor_error[_motor(joint)] = bits

    def motor_lost(self, joint: str) -> None:
        self._state.lose(_motor(joint))
        self._body.lose(_motor(joint))

    def motor_torque(self, joint: str, newton_metres: float) -> None:
        self._state.torque[_motor(joint)] = newton_metres

    def motor_voltage(self, volts: float) -> None:
        self._state.frame.voltage[: g1.NUM_MOTORS] = volts

    # -- the robot's own controller --------------------------------------------------------------

    def variant(self, mode_machine: float) -> None:
        self._face.be(round(mode_machine))

    def tilt(self, rad: float, axis: str) -> None:
        self._body.tilt(rad, axis)

    def arms_dropped(self) -> None:
        self._body.drop_arms()

    def remote(self, buttons: Sequence[str], **sticks: float) -> None:
        self._state.frame.remote[:] = list(remote.encode(buttons, **sticks))

    # -- DDS -------------------------------------------------------------------------------------

    def state_frozen(self) -> None:
        self._state.frozen = True

    def state_silent(self) -> None:
        self._state.silent = True

    def state_corrupt(self) -> None:
        self._state.corrupt = True

    def hands_silent(self) -> None:
        self._face.hands_silent = True

    def link_down(self) -> None:
        self._face.link_down = True

    # -- servo bus -------------------------------------------------------------------------------

    def servo_silent(self, joint: str) -> None:
        self._servos(joint, Bus.silence)

    def servo_garbage(self) -> None:
        self._neck.fault(lambda bus: bus.jam(NOISE))

    def servo_error(self, joint: str, bits: int) -> None:
        self._servos(joint, lambda bus, i: bus.hardware_error(i, bits))

    def servo_temperature(self, joint: str, celsius: float) -> None:
        self._servos(joint, lambda bus, i: bus.servo(i).warm(round(celsius)))

    def servo_rebooted(self, joint: str) -> None:
        self._servos(joint, lambda bus, i: bus.servo(i).reboot())

    def servo_delay(self, seconds: float) -> None:
        self._neck.delay_s = seconds

    def _servos(self, joint: str, fault: Callable[[Bus, int], None]) -> None:
        def those(bus: Bus) -> None:
            for name, servo in zip(g1.HEAD.names, bus.servos, strict=True):
                if joint in (name, "both"):
                    fault(bus, servo.id)

        self._neck.fault(those)


def _motor(joint: str) -> int:
    return g1.MOTOR_NAMES.index(joint)
