"""Process `teleop`: a person's joystick to increments, group by group, in place of the policy."""

from __future__ import annotations

import sys
import time

from rclpy.node import Node

from sapave_ros import graph
from sapave_ros.core.health import Report
from sapave_ros.nodes.ros import publisher, report_to_msg, run, takeover_to_msg
from sapave_ros.types import Takeover


class TeleopNode(Node):
    """Says that nobody has taken anything."""

    def __init__(self) -> None:
        super().__init__("teleop")
        self._takeover = publisher(self, graph.stream(graph.TAKEOVER))
        self._reports = publisher(self, graph.stream(graph.HEALTH))
        self.create_timer(1.0 / graph.TELEOP_HZ, self._tick)
        self.create_timer(1.0 / graph.HEALTH_HZ, self._report)

    def _tick(self) -> None:
        self._takeover.publish(takeover_to_msg(Takeover(time.monotonic())))

    def _report(self) -> None:
        self._reports.publish(report_to_msg(Report(self.get_name(), {})))

    def close(self) -> None:
        """Nothing is held."""


def main() -> int:
    return run("teleop", TeleopNode, control=True)


if __name__ == "__main__":
    sys.exit(main())
