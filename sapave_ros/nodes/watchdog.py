"""The watchdog: watches every stream of the table and gives or withholds the permit to move, 50 times a second.

One thread for everything: if it hangs, permits stop, and the controllers hold by themselves.
"""

from __future__ import annotations

import sys
import time
from functools import partial

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import JointState as JointStateMsg
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sapave_ros import graph
from sapave_ros.core.health import Health
from sapave_ros.core.supervisor import Event, State, Supervisor
from sapave_ros.nodes.ros import diagnostics, permit_to_msg, publisher, run, status, subscribe
from sapave_ros.types import Permit

REQUESTS = {graph.ARM_SERVICE: Event.ARM, graph.DISARM_SERVICE: Event.DISARM, graph.RESET_SERVICE: Event.RESET}


class WatchdogNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("watchdog")
        self._health = Health()
        self._supervisor = Supervisor(time.monotonic())
        self._sequence = 0
        self._permits = publisher(self, graph.stream(graph.PERMIT))
        self._diagnostics = publisher(self, graph.stream(graph.DIAGNOSTICS))
        callbacks = {
            graph.CAMERA_INFO: self._on_camera_info,
            graph.JOINT_STATES: self._on_joint_states,
            graph.HEAD_INCREMENTS: self._on_increments,
            graph.INSTRUCTION: self._on_instruction,
            graph.ESTOP: self._on_estop,
        }
        for stream in graph.STREAMS:
            if "watchdog" in stream.subscribers:
                subscribe(self, stream, callbacks[stream.topic])
        for service, event in REQUESTS.items():
            self.create_service(Trigger, service, partial(self._on_request, event))
        self.create_timer(1.0 / graph.PERMIT_HZ, self._tick)
        self.create_timer(1.0, self._publish_diagnostics)

    def _tick(self) -> None:
        before = self._supervisor.state
        self._supervisor.watch(self._health.stale(time.monotonic()), time.monotonic())
        self._log_change(before)
        self._publish_permit()

    def _publish_permit(self) -> None:
        supervisor = self._supervisor
        head, arms = supervisor.modes
        self._sequence += 1
        permit = Permit(time.monotonic(), self._sequence, supervisor.state.name, supervisor.reason, head, arms)
        self._permits.publish(permit_to_msg(permit))

    def _log_change(self, before: State) -> None:
        now = self._supervisor.state
        if now is not before:
            self.get_logger().info(f"{before.name} -> {now.name}: {self._supervisor.reason}")

    def _on_camera_info(self, _: CameraInfo) -> None:
        self._health.received(graph.CAMERA_INFO, time.monotonic())

    def _on_joint_states(self, msg: JointStateMsg) -> None:
        self._health.joints_received(msg.name, time.monotonic())

    def _on_increments(self, _: JointTrajectory) -> None:
        self._health.received(graph.HEAD_INCREMENTS, time.monotonic())

    def _on_instruction(self, msg: String) -> None:
        self._health.require(graph.HEAD_INCREMENTS, bool(msg.data.strip()), time.monotonic())

    def _on_estop(self, msg: Bool) -> None:
        before = self._supervisor.state
        self._supervisor.estop(msg.data, time.monotonic())
        self._log_change(before)
        self._publish_permit()  # a stop does not wait for the next tick

    def _on_request(self, event: Event, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        before = self._supervisor.state
        now = time.monotonic()
        self._supervisor.watch(self._health.stale(now), now)
        answer.success, answer.message = self._supervisor.request(event, now)
        self._log_change(before)
        self._publish_permit()
        return answer

    def _publish_diagnostics(self) -> None:
        now, supervisor = time.monotonic(), self._supervisor
        level = DiagnosticStatus.OK if supervisor.state is State.ACTIVE else DiagnosticStatus.WARN
        values: dict[str, object] = {"state": supervisor.state.name, "since_s": now - supervisor.since_s}
        for watch in self._health.watches.values():
            values[f"{watch.key} age_s"] = watch.age_s(now)
            values[f"{watch.key} rate_hz"] = watch.rate_hz(now)
            values[f"{watch.key} required"] = watch.required
        message = f"{supervisor.state.name}: {supervisor.reason}"
        missing = self._health.stale(now)
        if missing:
            values["missing"] = missing
        self._diagnostics.publish(diagnostics(self, status("sapave/watchdog", level, message, values)))

    def close(self) -> None:
        """Nothing to put in order: without permits the controllers hold."""


def main() -> int:
    return run("watchdog", WatchdogNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
