"""What a node finds wrong, told to the watchdog: at once with a change, else as often as the table says."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from sapave_ros import graph
from sapave_ros.core.faults import Findings
from sapave_ros.core.health import Report
from sapave_ros.nodes.ros import publisher, report_to_msg

LOOK_HZ = 25.0


class Reporter:
    """Asks `findings` on a timer of the node's own thread, so that a node that hangs says nothing.

    held: whether the node has joints that are the robot's own otherwise.
    """

    def __init__(self, node: Node, findings: Callable[[], Findings], held: Callable[[], bool] = lambda: False) -> None:
        self._name, self._findings, self._held = node.get_name(), findings, held
        self._publisher = publisher(node, graph.stream(graph.HEALTH))
        self._said: tuple[frozenset, bool] | None = None
        self._said_s = 0.0
        node.create_timer(1.0 / LOOK_HZ, self._look)

    def _look(self) -> None:
        report = Report(self._name, self._findings(), self._held())
        what, now_s = (frozenset(report.findings), report.held), time.monotonic()
        # Half a look of tolerance: the rate is kept, not rounded down to the next look.
        if what != self._said or now_s - self._said_s > 1.0 / graph.HEALTH_HZ - 0.5 / LOOK_HZ:
            self._said, self._said_s = what, now_s
            self._publisher.publish(report_to_msg(report))
