"""What comes by, from the graph or from a bag, onto the screen: the same for both."""

from __future__ import annotations

from collections import deque
from typing import Any

from sapave_ros import graph
from sapave_ros.monitor import eyes
from sapave_ros.monitor.scene import Scene
from sapave_ros.nodes import hearing, ros
from sapave_ros.nodes.hearing import Thinned
from sapave_ros.watch.screen import Screen

VIEW_HZ = 10.0
PICTURE_HZ = 5.0
CLOUD_HZ = 2.0
LATENCY_HZ = 1.0
CLOUD_POINTS = 6000

PICTURES_KEPT_S = 1.0
"""How long a picture waits for what the policy sees in it [s]."""

OVERLAID_FOR_S = 0.5
"""So long after the policy has looked, only pictures that it has looked at are shown [s]."""


class Feed:
    """Calls come in the order of time. now_s: ROS time; monotonic_s: see `Scene`."""

    def __init__(self, scene: Scene, screen: Screen) -> None:
        self._scene, self._screen = scene, screen
        self._thinned = Thinned(PICTURE_HZ)
        self._pictures: deque[tuple[float, bytes]] = deque()
        self._looked_s = float("-inf")
        self._shown_s: dict[str, float] = {}
        self._cloud_stamp_s = float("-inf")

    def message(self, topic: str, msg: Any, now_s: float, monotonic_s: float) -> None:
        """One of `hearing.SMALL`. Raises ValueError on what no node would take."""
        hearing.hear(self._scene, topic, msg, now_s, monotonic_s)
        if topic == graph.JOINT_STATES:
            self._screen.joints("measured", msg.name, msg.position, ros.stamp_s(msg.header.stamp))
        elif topic in (graph.HEAD_COMMAND, graph.ARM_COMMAND):
            self._screen.joints("commanded", msg.name, msg.position, ros.stamp_s(msg.header.stamp))

    def picture(self, topic: str, data: bytes, now_s: float, monotonic_s: float) -> None:
        """A serialized Image of `hearing.PICTURES` or of grounding. Raises ValueError on what no node would take."""
        stamp_s = ros.stamp_of_serialized_s(data)
        if topic == graph.GROUNDING:
            self._overlay(data, stamp_s)
            return
        if topic == graph.COLOR:
            if self._pictures and stamp_s < self._pictures[-1][0] - PICTURES_KEPT_S:
                # The clock went back, as when a bag is played in a loop: what was before is never older than the rest.
                self._pictures.clear()
                self._looked_s = self._cloud_stamp_s = float("-inf")
            self._pictures.append((stamp_s, data))
            while self._pictures[0][0] < stamp_s - PICTURES_KEPT_S:
                self._pictures.popleft()
        if self._thinned.wants(topic, stamp_s):
            msg = ros.deserialized(graph.stream(topic), data)
            hearing.hear(self._scene, topic, msg, now_s, monotonic_s)
            if topic == graph.COLOR and stamp_s > self._looked_s + OVERLAID_FOR_S:
                self._screen.picture(ros.image_array(msg), stamp_s)

    def show(self, now_s: float, monotonic_s: float) -> None:
        """Brings the screen up to date with what is due; to be called `VIEW_HZ` times a second, or oftener."""
        if self._due("view", VIEW_HZ, now_s):
            self._screen.show(self._scene.view(now_s, monotonic_s), self._scene.lens)
        if self._due("latency", LATENCY_HZ, now_s):
            self._screen.latency(self._scene.budgets(now_s), now_s)
        if self._due("cloud", CLOUD_HZ, now_s):
            cloud = self._scene.cloud(CLOUD_POINTS)
            if not isinstance(cloud, str) and cloud.stamp_s > self._cloud_stamp_s:
                self._cloud_stamp_s = cloud.stamp_s
                self._screen.cloud(cloud)

    def note(self, warning: str, now_s: float) -> None:
        """Something about what is shown."""
        self._screen.note(warning, "WARN", now_s)

    def _overlay(self, data: bytes, stamp_s: float) -> None:
        """Shows the picture that the policy has looked at, with where it looked, if that picture has come."""
        picture = next((d for s, d in self._pictures if s == stamp_s), None)
        if picture is not None:
            self._looked_s = stamp_s
            heat = ros.image_array(ros.deserialized(graph.stream(graph.GROUNDING), data))
            rgb = ros.image_array(ros.deserialized(graph.stream(graph.COLOR), picture))
            self._screen.picture(eyes.overlaid(rgb, heat), stamp_s)

    def _due(self, what: str, rate_hz: float, now_s: float) -> bool:
        since_s = now_s - self._shown_s.get(what, float("-inf"))
        if 0 <= since_s < 1.0 / rate_hz:  # time that runs backwards begins anew
            return False
        self._shown_s[what] = now_s
        return True
