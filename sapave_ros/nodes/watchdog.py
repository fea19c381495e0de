"""The watchdog: watches every stream of the table and gives or withholds the permit to move, 50 times a second.

One thread for everything: if it hangs, permits stop, and the controllers hold by themselves.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import JointState as JointStateMsg
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sapave_ros import graph
from sapave_ros.core.supervisor import Event, State
from sapave_ros.core.watchdog import Watchdog
from sapave_ros.nodes import ros

REQUESTS = {graph.ARM_SERVICE: Event.ARM, graph.DISARM_SERVICE: Event.DISARM, graph.RESET_SERVICE: Event.RESET}


class WatchdogNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("watchdog")
        self._watchdog = Watchdog(time.monotonic())
        self._health = self._watchdog.health
        self._permits = ros.publisher(self, graph.stream(graph.PERMIT))
        self._diagnostics = ros.publisher(self, graph.stream(graph.DIAGNOSTICS))
        callbacks: dict[str, Callable[[Any], None]] = {
            graph.CAMERA_INFO: self._on_camera_info,
            graph.JOINT_STATES: self._on_joint_states,
            graph.HEAD_INCREMENTS: partial(self._on_increments, "head"),
            graph.ARM_INCREMENTS: partial(self._on_increments, "arms"),
            graph.INSTRUCTION: self._on_instruction,
            graph.TAKEOVER: self._on_takeover,
            graph.HEALTH: self._on_report,
            graph.ESTOP: self._on_estop,
        }
        for stream in graph.STREAMS:
            if "watchdog" in stream.subscribers:
                ros.subscribe(self, stream, callbacks[stream.topic])
        for service, event in REQUESTS.items():
            self.create_service(Trigger, service, partial(self._on_request, event))
        self.create_timer(1.0 / graph.PERMIT_HZ, self._tick)
        self.create_timer(1.0, self._publish_diagnostics)

    def _tick(self) -> None:
        self._say(self._watchdog.update(time.monotonic(), ros.now_s(self)))

    def _say(self, transitions: list[str]) -> None:
        """Everything that may have changed the state ends here: log, and the permit at once."""
        for text in transitions:
            self.get_logger().info(text)
        self._permits.publish(ros.permit_to_msg(self._watchdog.permit(time.monotonic())))

    def _stamp_age_s(self, msg: CameraInfo | JointStateMsg) -> float:
        return ros.now_s(self) - ros.stamp_s(msg.header.stamp)

    def _on_camera_info(self, msg: CameraInfo) -> None:
        self._health.received(graph.CAMERA_INFO, time.monotonic(), self._stamp_age_s(msg))

    def _on_joint_states(self, msg: JointStateMsg) -> None:
        self._health.joints_received(msg.name, time.monotonic(), self._stamp_age_s(msg))

    def _on_increments(self, group: str, msg: JointTrajectory) -> None:
        now_s = time.monotonic()
        if group == "head":
            self._health.received(graph.HEAD_INCREMENTS, now_s)
        try:
            chunk = ros.chunk_from_msg(msg)
        except ValueError:
            return  # its controller refuses it and reports that
        self._health.policy.chunk(group, chunk, now_s, ros.now_s(self))

    def _on_instruction(self, msg: String) -> None:
        instruction = msg.data.strip()
        self._health.require(graph.HEAD_INCREMENTS, bool(instruction), time.monotonic())
        self._health.policy.instructed(instruction, time.monotonic())

    def _on_takeover(self, msg: DiagnosticStatus) -> None:
        now_s = time.monotonic()
        before, self._watchdog.takeover = self._watchdog.takeover, ros.takeover_from_msg(msg, now_s)
        self._health.received(graph.TAKEOVER, now_s)
        now = self._watchdog.takeover
        if (before.head, before.arms, before.stop) != (now.head, now.arms, now.stop):
            self._tick()  # a hand that lets go does not wait for the next tick

    def _on_report(self, msg: DiagnosticStatus) -> None:
        report = ros.report_from_msg(msg)
        news = report.findings.keys() - self._watchdog.findings.keys()
        self._health.reported(report, time.monotonic())
        if news:
            self._tick()

    def _on_estop(self, msg: Bool) -> None:
        self._say(self._watchdog.stop(msg.data, time.monotonic()))

    def _on_request(self, event: Event, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        answer.success, answer.message, transitions = self._watchdog.request(event, time.monotonic(), ros.now_s(self))
        self._say(transitions)
        return answer

    def _publish_diagnostics(self) -> None:
        now, supervisor = time.monotonic(), self._watchdog.supervisor
        moving = supervisor.state in (State.ACTIVE, State.TELEOP)
        level = DiagnosticStatus.OK if moving and not self._watchdog.findings else DiagnosticStatus.WARN
        values: dict[str, object] = {"state": supervisor.state.name, "since_s": now - supervisor.since_s}
        values.update({f"fault {fault.name}": detail for fault, detail in self._watchdog.findings.items()})
        for watch in self._health.watches.values():
            values[f"{watch.key} age_s"] = watch.age_s(now)
            values[f"{watch.key} rate_hz"] = watch.rate_hz(now)
            values[f"{watch.key} required"] = watch.required
        message = f"{supervisor.state.name}: {supervisor.reason}"
        self._diagnostics.publish(ros.diagnostics(self, ros.status("sapave/watchdog", level, message, values)))

    def close(self) -> None:
        """Nothing to put in order: without permits the controllers hold."""


def main() -> int:
    return ros.run("watchdog", WatchdogNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
