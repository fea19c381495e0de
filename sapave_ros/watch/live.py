"""The node of `sapave watch`: hears the graph. It publishes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from sapave_ros import graph
from sapave_ros.nodes import hearing, ros
from sapave_ros.nodes.hearing import Pictures
from sapave_ros.watch.feed import VIEW_HZ, Feed


class WatchNode(Node):
    """trouble: says why it must end, or None: whoever shows it may be gone."""

    def __init__(self, feed: Feed, trouble: Callable[[], str | None]) -> None:
        super().__init__("watch")
        self._feed, self._trouble = feed, trouble
        hearing.listen(self, hearing.careful(self, self._on_message))
        self._pictures = Pictures(self, (*hearing.PICTURES, graph.GROUNDING), hearing.careful(self, self._on_picture))
        self._pictures.want(True)
        self.create_timer(1.0 / VIEW_HZ, self._show)

    def failure(self) -> str | None:
        """Why it must end."""
        return self._trouble()

    def close(self) -> None:
        """Nothing is held here."""

    def _on_message(self, topic: str, msg: Any) -> None:
        self._feed.message(topic, msg, ros.now_s(self), time.monotonic())

    def _on_picture(self, topic: str, data: bytes) -> None:
        self._feed.picture(topic, data, ros.now_s(self), time.monotonic())

    def _show(self) -> None:
        self._feed.show(ros.now_s(self), time.monotonic())
