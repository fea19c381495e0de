"""The head controller: chunks to the neck's servo bus at 100 Hz. The only writer of that bus."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.gate import STATE_STALE_AFTER_S
from sapave_ros.drivers.dynamixel import DynamixelNeck, NeckParameters, ServoFault, ServoTimeout
from sapave_ros.nodes.control import ControlNode
from sapave_ros.nodes.ros import parameters, run
from sapave_ros.parameters import parameter
from sapave_ros.policy.manifest import trained_rate
from sapave_ros.types import JointState, Source

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
        self.loop.start()

    def step(self, ros_s: float, monotonic_s: float) -> tuple[JointState | None, np.ndarray | None]:
        fresh = None
        try:
            fresh = self._measured = self._neck.read()
        except ServoTimeout as error:
            self._timeouts += 1
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
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
                self._timeouts += 1
                self.get_logger().warning(str(error), throttle_duration_sec=1.0)
                return fresh, None
            # The servos were not taken, have let go or stand still by themselves: begin again from where the head is.
            self.controller.lose(str(error))
            self._not_before_s = time.monotonic() + ENGAGE_AGAIN_S
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return fresh, None
        return fresh, command.positions

    def numbers(self) -> dict[str, object]:
        measured = self._measured
        age_s = time.monotonic() - measured.received_s if measured is not None else float("inf")
        return {
            "torque": self._neck.engaged,
            "servo_timeouts": self._timeouts,
            "measured_age_ms": age_s * 1e3,
            "measured_fresh": age_s <= STATE_STALE_AFTER_S,
            "servo_alerts": any(self._neck.alerts),
        }

    def close(self) -> None:
        """Stop where the head is; torque stays."""
        self.loop.stop()
        self._neck.close()


def main() -> int:
    return run("head", HeadNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
