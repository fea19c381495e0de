"""Process `teleop`: a person's joystick to increments, group by group, in place of the policy.

What each button and stick does stands in `config/teleop.yaml`. In short: hold the deadman (L1) and press Y for the head
or X for the arms, and again to give back; A passes the sticks on, B changes how a hand moves; select stops everything.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy

from sapave_ros import g1, graph
from sapave_ros.core import pads
from sapave_ros.core.hand_ik import HandIk, NoPinocchio
from sapave_ros.core.jog import COMMAND_STALE_AFTER_S, Jog, TeleopParameters, chunk
from sapave_ros.core.teleop import Teleop
from sapave_ros.nodes import ros
from sapave_ros.nodes.control import Divider
from sapave_ros.nodes.report import Reporter
from sapave_ros.types import Floats, Grip, Permit


class TeleopNode(Node):
    """See the module. One thread: whoever lets go is heard before anything else is published."""

    def __init__(self) -> None:
        super().__init__("teleop")
        config = ros.parameters(self, TeleopParameters)
        file = Path(config.pads_file) if config.pads_file else None
        self._pads = {graph.JOY: pads.load(config.pad, file), graph.REMOTE: pads.load(pads.REMOTE, file)}
        self._teleop = Teleop(config)
        self._without_ik = ""
        try:
            ik: HandIk | None = HandIk(config.velocity_share)
        except NoPinocchio as error:
            ik, self._without_ik = None, f"hands move joint by joint alone: {error}"
            self.get_logger().error(self._without_ik)
        self._jog = Jog(config, ik)
        self._permit: Permit | None = None
        self._commanded: dict[g1.JointGroup, tuple[float, JointState]] = {}
        self._joystick_seen = False
        self._remark = ""
        self._said: tuple[Grip, Grip, bool] | None = None
        self._takeover_due = Divider(graph.stream(graph.TAKEOVER).rate_hz or graph.TELEOP_HZ, graph.TELEOP_HZ)

        self._takeover = ros.publisher(self, graph.stream(graph.TAKEOVER))
        self._head = ros.publisher(self, graph.stream(graph.TELEOP_HEAD_INCREMENTS))
        self._arms = ros.publisher(self, graph.stream(graph.TELEOP_ARM_INCREMENTS))
        self._diagnostics = ros.publisher(self, graph.stream(graph.DIAGNOSTICS))
        ros.subscribe(self, graph.stream(graph.PERMIT), self._on_permit)
        for topic, group in ((graph.HEAD_COMMAND, g1.HEAD), (graph.ARM_COMMAND, g1.OTHER)):
            ros.subscribe(self, graph.stream(topic), partial(self._on_command, group))
        for topic in self._pads:
            ros.subscribe(self, graph.stream(topic), partial(self._on_joy, topic))
        self.create_timer(1.0 / graph.TELEOP_HZ, self._tick)
        self._reporter = Reporter(self, self._teleop.findings)
        self.create_timer(1.0, self._publish_diagnostics)

    def _on_joy(self, topic: str, msg: Joy) -> None:
        self._joystick_seen = self._joystick_seen or topic == graph.JOY
        if self._joystick_seen and topic != graph.JOY:
            return
        before = self._teleop.urgent
        self._teleop.hear(self._pads[topic], msg.axes, msg.buttons, time.monotonic(), ros.stamp_s(msg.header.stamp))
        if self._teleop.urgent != before:
            self._tick()  # a hand that lets go does not wait for the next tick

    def _on_permit(self, msg: DiagnosticStatus) -> None:
        self._permit = ros.permit_from_msg(msg, time.monotonic())

    def _on_command(self, group: g1.JointGroup, msg: JointState) -> None:
        self._commanded[group] = (time.monotonic(), msg)

    def _command(self, group: g1.JointGroup, now_s: float) -> Floats | None:
        """The newest command, (n,) [rad], or None where it is too old or lacks a joint."""
        if group not in self._commanded:
            return None
        received_s, msg = self._commanded[group]
        positions = dict(zip(msg.name, msg.position, strict=False))
        commanded = np.array([positions.get(name, np.nan) for name in group.names])
        return commanded if now_s - received_s <= COMMAND_STALE_AFTER_S and np.isfinite(commanded).all() else None

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._teleop.permit(self._permit, now_s)
        takeover, wish = self._teleop.update(now_s)
        taken = takeover.head is not Grip.NONE or takeover.arms is not Grip.NONE
        said = (takeover.head, takeover.arms, takeover.stop)
        # While nobody has taken anything, the rate of the table will do.
        if taken or said != self._said or self._takeover_due.due():
            self._said = said
            self._takeover.publish(ros.takeover_to_msg(takeover))
        head, arms = (self._command(group, now_s) if taken else None for group in (g1.HEAD, g1.OTHER))
        head_rates, arm_rates = self._jog.rates(wish, head, arms, now_s)
        stamp_s = ros.now_s(self)
        if takeover.head is Grip.MOVE:
            self._head.publish(ros.chunk_to_msg(chunk(stamp_s, g1.HEAD.names, head_rates)))
        if takeover.arms is Grip.MOVE:
            self._arms.publish(ros.chunk_to_msg(chunk(stamp_s, g1.OTHER.names, arm_rates)))
        remark = self._teleop.remark
        if remark != self._remark:
            self._remark = remark
            self.get_logger().info(remark)

    def _publish_diagnostics(self) -> None:
        values = self._teleop.said(time.monotonic())
        findings = self._teleop.findings()
        message = "; ".join(filter(None, (*findings.values(), self._without_ik))) or str(values["remark"])
        level = DiagnosticStatus.WARN if findings or self._without_ik else DiagnosticStatus.OK
        self._diagnostics.publish(ros.diagnostics(self, ros.status("sapave/teleop", level, message, values)))

    def close(self) -> None:
        """Nothing is held here: silence of this node is a lost stream, and the robot holds."""


def main() -> int:
    return ros.run("teleop", TeleopNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
