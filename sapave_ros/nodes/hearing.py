"""From messages to what is watched: the one way for the running graph and for a bag."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sapave_ros import graph
from sapave_ros.monitor.eyes import Lens
from sapave_ros.monitor.scene import Scene
from sapave_ros.nodes import ros
from sapave_ros.types import Source

_GROUP = {graph.HEAD_COMMAND: "head", graph.ARM_COMMAND: "arms"}
_CHUNKS = {
    graph.HEAD_INCREMENTS: ("head", Source.POLICY),
    graph.ARM_INCREMENTS: ("arms", Source.POLICY),
    graph.TELEOP_HEAD_INCREMENTS: ("head", Source.TELEOP),
    graph.TELEOP_ARM_INCREMENTS: ("arms", Source.TELEOP),
}

SMALL = (
    graph.PERMIT,
    graph.JOINT_STATES,
    *_GROUP,
    *_CHUNKS,
    graph.CAMERA_INFO,
    graph.INSTRUCTION,
    graph.FOLLOWED,
    graph.DIAGNOSTICS,
)
"""All that is watched but pictures."""

PICTURES = (graph.DEPTH, graph.COLOR)

Heard = Callable[[str, Any], None]
"""Takes a topic and what came on it."""


def hear(scene: Scene, topic: str, msg: Any, now_s: float, monotonic_s: float) -> None:
    """A message of `SMALL` or `PICTURES`, heard at ROS time now_s. Raises ValueError on what no node would take."""
    if topic == graph.PERMIT:
        scene.hear_permit(ros.permit_from_msg(msg, monotonic_s))
    elif topic == graph.JOINT_STATES:
        scene.hear_joints(msg.name, ros.stamp_s(msg.header.stamp), msg.position, monotonic_s)
    elif topic in _GROUP:
        scene.hear_command(_GROUP[topic], msg.name, ros.stamp_s(msg.header.stamp), msg.position, monotonic_s)
    elif topic in _CHUNKS:
        name, source = _CHUNKS[topic]
        scene.hear_chunk(name, ros.chunk_from_msg(msg), source, now_s)
    elif topic == graph.CAMERA_INFO:
        lens = Lens(np.asarray(msg.k, dtype=np.float64).reshape(3, 3), msg.width, msg.height)
        scene.hear_camera(lens, ros.stamp_s(msg.header.stamp), now_s, monotonic_s)
    elif topic in (graph.INSTRUCTION, graph.FOLLOWED):  # who gave it may be gone, or the bag be of before
        scene.instruction = msg.data.strip()
    elif topic == graph.DIAGNOSTICS:
        for status in msg.status:
            scene.hear_report(status.name, {v.key: v.value for v in status.values})
    elif topic == graph.DEPTH:
        scene.hear_depth(ros.stamp_s(msg.header.stamp), ros.image_array(msg))
    else:
        scene.hear_color(ros.stamp_s(msg.header.stamp), ros.image_array(msg))


def careful(node: Any, heard: Heard) -> Heard:
    """What is malformed is passed over, and the node says so."""

    def tried(topic: str, what: Any) -> None:
        try:
            heard(topic, what)
        except ValueError as error:
            node.get_logger().warning(f"{topic} passed over: {error}", throttle_duration_sec=2.0)

    return tried


def listen(node: Any, heard: Heard) -> None:
    """Subscribes a node to `SMALL`. heard: called with topic and message."""
    for topic in SMALL:
        ros.subscribe(node, graph.stream(topic), partial(heard, topic))


class Thinned:
    """At most rate_hz pictures of each topic: the first of every period, told by its stamp alone, so that whoever takes
    depth takes the colour that belongs to it. Nothing else of a picture is read before it is wanted."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._last: dict[str, int] = {}

    def wants(self, topic: str, stamp_s: float) -> bool:
        period = int(stamp_s * self._rate_hz)
        if self._last.get(topic) == period:
            return False
        self._last[topic] = period
        return True


class Pictures:
    """Takes pictures only while they are wanted: a reader of pictures costs the camera.

    heard: called with topic and serialized message.
    """

    def __init__(self, node: Any, topics: tuple[str, ...], heard: Heard) -> None:
        self._node, self._topics, self._heard = node, topics, heard
        self._subscriptions: list[Any] = []

    @property
    def taken(self) -> bool:
        return bool(self._subscriptions)

    def want(self, wanted: bool) -> None:
        """Subscribes, or ends the subscriptions."""
        if wanted and not self._subscriptions:
            for topic in self._topics:
                stream = graph.stream(topic)
                self._subscriptions.append(
                    self._node.create_subscription(
                        ros.message_type(stream), topic, partial(self._heard, topic), ros.qos(stream), raw=True
                    )
                )
        elif not wanted:
            while self._subscriptions:
                self._node.destroy_subscription(self._subscriptions.pop())
