"""The head controller: chunks to the neck's servo bus at 100 Hz. The only writer of that bus."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from std_srvs.srv import Trigger

from sapave_ros import g1, graph
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.faults import Fault
from sapave_ros.core.gate import STATE_STALE_AFTER_S
from sapave_ros.drivers.dynamixel import (
    DynamixelNeck,
    NeckParameters,
    ServoBusError,
    ServoFault,
    ServoHealth,
    ServoTimeout,
)
from sapave_ros.nodes.control import ControlNode, Divider
from sapave_ros.nodes.ros import parameters, run
from sapave_ros.parameters import parameter
from sapave_ros.policy.manifest import trained_rate
from sapave_ros.types import JointState, Source

HEALTH_HZ = 5.0
"""How often a servo is asked for its condition, both in turn."""

HEALTH_STALE_AFTER_S = 2.0
"""A condition not told for this long [s] counts as bad: five questions without an answer."""

HOT_MARGIN_C = 5.0
"""This close to the temperature at which a servo lets go [K], motion ends: holding costs less than moving."""

LOST_SHOWS_S = 1.0
"""How long it is told that the servos let go [s]; only a person's word engages them again."""

ENGAGE_AGAIN_S = 1.0
"""After a servo refused to take torque, or did not answer when it should [s]."""


@dataclass(frozen=True)
class HeadParameters:
    """Besides those of the neck and of the controller."""

    mode: str = parameter("live", choices=("live", "shadow"), doc="shadow: all is computed, no servo is written to")
    model: str = parameter("", doc="path of the ONNX model whose increment bounds hold; empty: the one of the package")


class HeadNode(ControlNode):
    """See the module. The torque comes on with the first permit to move and stays."""

    def __init__(self) -> None:
        super().__init__(
            "head",
            graph.HEAD_LOOP_HZ,
            {
                Source.POLICY: graph.stream(graph.HEAD_INCREMENTS),
                Source.TELEOP: graph.stream(graph.TELEOP_HEAD_INCREMENTS),
            },
            graph.stream(graph.HEAD_COMMAND),
            {graph.HEAD_HOME_SERVICE: g1.HEAD_HOME},
        )
        use, neck = parameters(self, HeadParameters), parameters(self, NeckParameters)
        shadow = use.mode == "shadow"
        margin = g1.POSITION_MARGIN_RAD
        self.controller = JointController(
            g1.HEAD,
            1.0 / graph.HEAD_LOOP_HZ,
            parameters(self, ControllerConfig),
            shared=False,
            lower=np.array(neck.lower_rad) + margin,
            upper=np.array(neck.upper_rad) - margin,
            policy_rate=trained_rate(use.model, "head"),
            shadow=shadow,
        )
        self._neck = DynamixelNeck(neck, shadow=shadow)
        self._measured: JointState | None = None
        self._timeouts = 0
        self._not_before_s = -np.inf
        self._health: dict[int, ServoHealth] = {}
        self._health_due = Divider(HEALTH_HZ, graph.HEAD_LOOP_HZ)
        self._lost: tuple[float, Fault, str] = (-np.inf, Fault.SERVO_LOST_TORQUE, "")
        self.create_service(Trigger, graph.HEAD_REBOOT_SERVICE, self._on_reboot)
        self.loop.start()

    def step(self, ros_s: float, monotonic_s: float) -> tuple[JointState | None, np.ndarray | None]:
        fresh = None
        try:
            fresh = self._measured = self._neck.read()
            if self._health_due.due():
                health = self._neck.poll_health()
                self._health[health.servo_id] = health
        except ServoTimeout as error:
            self._missed(error)
        except ServoFault as error:
            self._lose(error)
            return fresh, None
        if monotonic_s < self._not_before_s:
            return fresh, None
        command = self.controller.tick(ros_s, monotonic_s, self._measured, self.permit)
        if command is None:
            return fresh, None
        try:
            if not self._neck.engaged:
                self._neck.engage()
            self._neck.write(command.positions)
        except (ServoTimeout, ServoFault) as error:
            if isinstance(error, ServoTimeout) and self._neck.engaged:  # one goal missed; the next follows
                self._missed(error)
            else:
                self._lose(error)
            return fresh, None
        return fresh, command.positions

    def _missed(self, error: ServoTimeout) -> None:
        self._timeouts += 1
        self.get_logger().warning(str(error), throttle_duration_sec=1.0)

    def _lose(self, error: Exception) -> None:
        """The servos were not taken, have let go or stand still by themselves: begin again from where the head is."""
        self.controller.lose(str(error))
        fault = Fault.SERVO_ERROR if any(self._neck.alerts) else Fault.SERVO_LOST_TORQUE
        self._lost = (time.monotonic(), fault, str(error))
        self._not_before_s = time.monotonic() + ENGAGE_AGAIN_S
        self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def findings(self) -> dict[Fault, str]:
        findings: dict[Fault, str] = {}
        now_s, servos = time.monotonic(), list(self._health.values())
        if now_s - self._lost[0] < LOST_SHOWS_S:
            findings[self._lost[1]] = self._lost[2]
        for servo in servos:
            if servo.hardware_errors:
                findings[Fault.SERVO_ERROR] = f"servo {servo.servo_id}: {', '.join(servo.hardware_errors)}"
            if servo.temperature_c > servo.limits.temperature_c - HOT_MARGIN_C:
                limit_c = servo.limits.temperature_c
                text = f"servo {servo.servo_id} at {servo.temperature_c:.0f} °C, lets go at {limit_c:.0f}"
                findings[Fault.SERVO_HOT] = text
            if now_s - servo.received_s > HEALTH_STALE_AFTER_S:
                findings.setdefault(Fault.SERVO_ERROR, f"servo {servo.servo_id} has not told its condition for a while")
        if len(servos) < len(g1.HEAD):
            findings.setdefault(Fault.SERVO_ERROR, "not every servo has told its condition yet")
        return findings

    def _on_reboot(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        answer.message = self.ask(self._reboot)
        answer.success = not answer.message
        return answer

    def _reboot(self, _ros_s: float) -> str:
        failed = [servo for servo in self._health.values() if servo.hardware_errors]
        if not failed:
            return "no servo reports a hardware error"
        try:
            for servo in failed:
                self._neck.reboot(servo.servo_id)
        except ServoBusError as error:
            return str(error)
        return ""

    def numbers(self) -> dict[str, object]:
        measured = self._measured
        age_s = time.monotonic() - measured.received_s if measured is not None else float("inf")
        return {
            "torque": self._neck.engaged,
            "servo_timeouts": self._timeouts,
            "measured_age_ms": age_s * 1e3,
            "measured_fresh": age_s <= STATE_STALE_AFTER_S,
            "servo_alerts": any(self._neck.alerts),
            **{f"servo {i} temperature_c": servo.temperature_c for i, servo in list(self._health.items())},
            **{f"servo {i} voltage_v": servo.voltage_v for i, servo in list(self._health.items())},
        }

    def close(self) -> None:
        """Stop where the head is; torque stays."""
        self.loop.stop()
        self._neck.close()


def main() -> int:
    return run("head", HeadNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
