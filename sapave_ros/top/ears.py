"""Hears what the graph says, for `sapave top`."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from sapave_ros import graph
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator
from sapave_ros.top.flows import Flows
from sapave_ros.top.processes import Loads
from sapave_ros.top.screen import Picture


class Ears:
    """Keeps what comes by while the operator waits."""

    def __init__(self, operator: Operator, ros_domain: int) -> None:
        self._operator, self._domain = operator, ros_domain
        self._flows, self._loads = Flows(), Loads(ros_domain)
        self._reported: dict[str, dict[str, str]] = {}
        self._wrong: dict[str, str] = {}
        for stream in self._flows.streams:
            ros.subscribe(operator, stream, partial(self._hear, stream.topic))

    def _hear(self, topic: str, msg: Any) -> None:
        self._flows.add(topic, time.monotonic())
        if topic == graph.DIAGNOSTICS:
            for status in msg.status:
                self._reported[status.name] = {v.key: v.value for v in status.values}
        elif topic == graph.HEALTH:
            report = ros.report_from_msg(msg)
            self._wrong[report.node] = "; ".join(report.findings.values())

    def picture(self) -> Picture:
        """All of it now; CPU since the last picture."""
        return Picture(
            self._domain,
            self._operator.state,
            self._operator.reason,
            self._flows.now(time.monotonic()),
            dict(self._wrong),
            dict(self._reported),
            self._loads.now(),
        )
