"""The node `monitor`: what a person watches, as standard messages. It listens; nothing that moves listens to it.

Whatever nobody subscribes to is neither computed nor published, and pictures are taken only for the cloud.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from sapave_ros import graph
from sapave_ros.monitor.scene import Scene
from sapave_ros.nodes import hearing, ros
from sapave_ros.nodes.hearing import Pictures, Thinned
from sapave_ros.nodes.monitor_messages import Markers, cloud_msg, latency_status, path_msg
from sapave_ros.parameters import parameter

LOOK_S = 0.5
"""How often it looks whether somebody wants the cloud [s]."""


@dataclass(frozen=True)
class MonitorParameters:
    """How much is shown."""

    rate_hz: float = parameter(graph.MONITOR_HZ, unit="Hz", low=0.5, high=30.0, doc="markers and paths a second")
    cloud_hz: float = parameter(graph.CLOUD_HZ, unit="Hz", low=0.2, high=15.0, doc="clouds a second, at most")
    cloud_points: int = parameter(8000, low=100, high=300_000, doc="points of a cloud, at most")


class MonitorNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__(graph.MONITOR)
        self._use = ros.parameters(self, MonitorParameters)
        self._scene = Scene()
        self._markers = Markers(self._scene.kinematics)
        self._by_topic = {s.topic: ros.publisher(self, s) for s in graph.MONITOR_STREAMS}
        self._shown: set[str] = set()  # paths that are not empty
        self._cloud_stamp_s = -1.0
        hearing.listen(self, hearing.careful(self, self._on_message))
        self._pictures = Pictures(self, hearing.PICTURES, hearing.careful(self, self._on_picture))
        self._thinned = Thinned(self._use.cloud_hz)
        self.create_timer(1.0 / self._use.rate_hz, self._show)
        self.create_timer(0.5 / self._use.cloud_hz, self._show_cloud)
        self.create_timer(LOOK_S, self._look)
        self.create_timer(1.0, self._publish_latency)

    def close(self) -> None:
        """Nothing is held here."""

    def _wanted(self, topic: str) -> bool:
        return self._by_topic[topic].get_subscription_count() > 0

    def _look(self) -> None:
        self._pictures.want(self._wanted(graph.MONITOR_CLOUD))

    def _on_message(self, topic: str, msg: Any) -> None:
        hearing.hear(self._scene, topic, msg, ros.now_s(self), time.monotonic())

    def _on_picture(self, topic: str, data: bytes) -> None:
        if self._thinned.wants(topic, ros.stamp_of_serialized_s(data)):
            self._on_message(topic, ros.deserialized(graph.stream(topic), data))

    def _show(self) -> None:
        topics = (graph.MONITOR_MARKERS, *graph.MONITOR_PATHS.values())
        wanted = [topic for topic in topics if self._wanted(topic)]
        if not wanted:
            return
        now_s = ros.now_s(self)
        view = self._scene.view(now_s, time.monotonic())
        if graph.MONITOR_MARKERS in wanted:
            self._by_topic[graph.MONITOR_MARKERS].publish(self._markers.message(view))
        for name, topic in graph.MONITOR_PATHS.items():
            path = view.paths.get(name)
            if topic in wanted and (path is not None or name in self._shown):
                self._by_topic[topic].publish(path_msg(path, now_s))
                (self._shown.discard if path is None else self._shown.add)(name)

    def _show_cloud(self) -> None:
        if not self._pictures.taken:
            return
        try:
            cloud = self._scene.cloud(self._use.cloud_points)
        except ValueError as error:
            self.get_logger().warning(f"no cloud: {error}", throttle_duration_sec=2.0)
            return
        if isinstance(cloud, str):
            self.get_logger().warning(f"no cloud: {cloud}", throttle_duration_sec=5.0)
        elif cloud.stamp_s != self._cloud_stamp_s:
            self._cloud_stamp_s = cloud.stamp_s
            self._by_topic[graph.MONITOR_CLOUD].publish(cloud_msg(cloud))

    def _publish_latency(self) -> None:
        status = latency_status(self._scene.budgets(ros.now_s(self)))
        self._by_topic[graph.DIAGNOSTICS].publish(ros.diagnostics(self, status))


def main() -> int:
    return ros.run(graph.MONITOR, MonitorNode)


if __name__ == "__main__":
    sys.exit(main())
