"""Hears what the graph says, for `sapave top`."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from sapave_ros import graph
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator
from sapave_ros.top.flows import Flows, Newest
from sapave_ros.top.processes import Loads
from sapave_ros.top.screen import Picture, silent

DIAGNOSTICS_HOLD_S = 3.0
"""What a node said on /diagnostics is shown so long [s]; it comes once a second."""


class Ears:
    """Keeps what comes by while the operator waits."""

    def __init__(self, operator: Operator, ros_domain: int) -> None:
        self._operator, self._domain = operator, ros_domain
        self._flows, self._loads = Flows(), Loads(ros_domain)
        self._reported: Newest[dict[str, str]] = Newest(DIAGNOSTICS_HOLD_S)
        self._wrong: Newest[str] = Newest(graph.stream(graph.HEALTH).stale_after_s or 0.0)
        for stream in self._flows.streams:
            ros.subscribe(operator, stream, partial(self._hear, stream.topic))

    def _hear(self, topic: str, msg: Any) -> None:
        now_s = time.monotonic()
        self._flows.add(topic, now_s)
        if topic == graph.DIAGNOSTICS:
            for status in msg.status:
                self._reported.add(status.name, {v.key: v.value for v in status.values}, now_s)
        elif topic == graph.HEALTH:
            report = ros.report_from_msg(msg)
            self._wrong.add(report.node, "; ".join(report.findings.values()), now_s)

    def silent(self) -> frozenset[str]:
        """Processes that nothing was heard of lately."""
        now_s = time.monotonic()
        return silent(self._wrong.now(now_s), self._reported.now(now_s))

    def picture(self) -> Picture:
        """All of it now; CPU since the last picture."""
        now_s = time.monotonic()
        return Picture(
            self._domain,
            self._operator.state,
            self._operator.reason,
            self._flows.now(now_s),
            self._wrong.now(now_s),
            self._reported.now(now_s),
            self._loads.now(),
        )
