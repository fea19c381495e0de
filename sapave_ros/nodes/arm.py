"""The arm controller: chunks to arms and hands of the G1 at 250 Hz. The only writer of the Unitree topics."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.core.arm import ArmController
from sapave_ros.core.controller import ControllerConfig, Phase
from sapave_ros.core.faults import Fault
from sapave_ros.core.gate import STATE_STALE_AFTER_S
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.remote import decode
from sapave_ros.drivers.unitree import UnitreeArms, UnitreeError
from sapave_ros.nodes.control import ControlNode, Divider
from sapave_ros.nodes.ros import joy_msg, parameters, publisher, run
from sapave_ros.parameters import parameter
from sapave_ros.policy.manifest import trained_rate
from sapave_ros.types import JointState, Source

SWITCH_INTERVAL_S = 0.0005
"""How long a callback may keep the interpreter from the control loop; Python's default is 5 ms, more than a tick."""

HANDED_BACK_WITHIN_S = 0.5
"""After the last setpoint of a release, the robot's side has to have seen weight 0 [s]."""


@dataclass(frozen=True)
class ArmParameters:
    """Where the robot is, and what the policy was trained on."""

    mode: str = parameter("live", choices=("live", "shadow"), doc="shadow: all is computed, nothing is sent")
    model: str = parameter("", doc="path of the ONNX model whose increment bounds hold; empty: the one of the package")

    dds_domain: int = parameter(0, low=0, high=230, doc="DDS domain of the robot; 0 on a G1")
    dds_interface: str = parameter("eth0", doc="network interface to the robot; lo with the simulated one")
    sdk_python: str = parameter("", doc="interpreter that has unitree_sdk2py; empty = this one")


class ArmNode(ControlNode):
    """See the module. When it ends, it hands the arms back first, which takes `release_s` and a stop."""

    def __init__(self) -> None:
        super().__init__(
            "arm",
            graph.ARM_LOOP_HZ,
            {
                Source.POLICY: graph.stream(graph.ARM_INCREMENTS),
                Source.TELEOP: graph.stream(graph.TELEOP_ARM_INCREMENTS),
            },
            graph.stream(graph.ARM_COMMAND),
            {graph.ARMS_HOME_SERVICE: g1.ARMS_HOME, graph.ARMS_REST_SERVICE: g1.ARMS_REST},
        )
        use, config = parameters(self, ArmParameters), parameters(self, ControllerConfig)
        shadow = use.mode == "shadow"
        self._arms = ArmController(
            config, Kinematics.from_urdf(), policy_rate=trained_rate(use.model, "other"), shadow=shadow
        )
        self.controller = self._arms.controller
        self._driver = UnitreeArms(use.dds_domain, use.dds_interface, use.sdk_python or None, shadow=shadow)
        self._remote = publisher(self, graph.stream(graph.REMOTE))
        self._remote_due = Divider(graph.stream(graph.REMOTE).rate_hz or 0.0, graph.ARM_LOOP_HZ)
        self._setpoint_s = -np.inf
        self._state_s = -np.inf
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self.loop.start()

    def step(self, ros_s: float, monotonic_s: float) -> tuple[JointState | None, np.ndarray | None]:
        body, hands = self._driver.body_state(), self._driver.hand_state()
        if body is not None and self._remote_due.due():
            self._remote.publish(joy_msg(decode(body.remote), ros_s))
        setpoint = self._arms.tick(ros_s, monotonic_s, body, hands, self.permit)
        # A command that does not reach the robot is no command: whoever went on counting would believe in arms that
        # are elsewhere, or released. The node ends instead, and the SDK process hands the arms back.
        if setpoint is not None:
            self._driver.send(setpoint)
            self._setpoint_s = monotonic_s
        elif not self._driver.alive:
            raise UnitreeError("the SDK process is gone")
        elif self._driver.weight > 0.0 and monotonic_s - self._setpoint_s > HANDED_BACK_WITHIN_S:
            raise UnitreeError(
                f"the SDK process still has the arms with weight {self._driver.weight:.3f}: expected 0 by now"
            )
        measured = self._arms.measured
        if measured is not None:
            self._state_s = measured.received_s
            if monotonic_s - measured.received_s > STATE_STALE_AFTER_S:
                measured = None  # silence tells more than an old pose
        written = self.controller.gate.previous
        return measured, written.positions if setpoint is not None and written is not None else None

    def findings(self) -> dict[Fault, str]:
        findings = dict(self._arms.findings)
        body = self._driver.body_state()
        if body is not None and decode(body.remote).stop:
            findings[Fault.STOP_BY_REMOTE] = Fault.STOP_BY_REMOTE.row.meaning
        for fault, detail in (
            (Fault.SECOND_WRITER, self._driver.foreign_writer()),
            (Fault.ROBOT_STATES, self._driver.state_fault()),
            (Fault.GUARD_LOST, "" if self._driver.guarded else Fault.GUARD_LOST.row.meaning),
        ):
            if detail:
                findings[fault] = detail
        return findings

    def numbers(self) -> dict[str, object]:
        statistics = self._driver.statistics()
        periods_ms = statistics.periods_s[-2500:] * 1e3 if len(statistics.periods_s) else np.zeros(1)
        return {
            "weight": self.controller.weight,
            "stiffness": self.controller.stiffness,
            "body_fault": self._arms.fault,
            "measured_age_ms": (time.monotonic() - self._state_s) * 1e3,
            "frames_sent": statistics.frames_sent,
            "frame_period_median_ms": float(np.median(periods_ms)),
            "frame_period_p99_ms": float(np.percentile(periods_ms, 99)),
            "frame_period_worst_ms": float(np.max(periods_ms)),
            "holds_of_sdk_process": statistics.holds,
            "state_frames": statistics.state_frames,
            "state_crc_errors": statistics.state_crc_errors,
            "state_hz": statistics.state_hz,
            "hand_state_hz": statistics.hand_state_hz,
            "setpoints_refused": statistics.refused,
        }

    def close(self) -> None:
        """Hand the arms back and wait until that is done; whatever fails, the SDK process hands back by itself."""
        self.controller.release()
        longest_s = self.controller.config.damp_s + self.controller.config.release_s + 1.0
        end_s = time.monotonic() + longest_s
        while self.controller.phase is not Phase.IDLE and self.loop.failed is None and time.monotonic() < end_s:
            time.sleep(0.02)
        self.loop.stop()
        self._driver.close()


def main() -> int:
    return run("arm", ArmNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
