"""Hears streams of the table as serialized bytes and hands them to a recorder; asks every node for its parameters.

Episodes begin and end by services, or by buttons of the joystick that teleop has; on the robot neither has any effect.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, Joy
from std_srvs.srv import Trigger
from yaml import YAMLError

from sapave_ros import graph
from sapave_ros.bag import definitions, document, jpeg
from sapave_ros.bag.episodes import Answer, Episodes
from sapave_ros.bag.metadata import Topic, offered_qos
from sapave_ros.bag.once import Once
from sapave_ros.bag.recorder import Recorder
from sapave_ros.core import pads
from sapave_ros.core.episode_buttons import EpisodeButtons
from sapave_ros.graph import Stream
from sapave_ros.nodes import ros
from sapave_ros.parameters import ParameterError

COMPRESSED = "sensor_msgs/CompressedImage"
PICTURES_WAITING = 10
MESSAGES_WAITING = 200
"""What ROS keeps of a topic while this process does not get to run: 0.3 s of pictures, seconds of all else."""

LOOK_S = 1.0
ASK_AGAIN_S = 3.0
SAY_S = 5.0


class RecordNode(Node):
    """recorder: is told what comes; its life is somebody else's. streams: of the table.

    With `Episodes` for a recorder it serves what begins and ends them, and hears the joystick.
    """

    def __init__(self, recorder: Recorder | Episodes, streams: Sequence[Stream]) -> None:
        super().__init__(graph.RECORDER)
        self._recorder = recorder
        self._pad: pads.Pad | None = None
        if isinstance(recorder, Episodes):
            self._serve(recorder)
        for stream in streams:
            self._listen(stream)
        self._nodes = [p.name for p in graph.PROCESSES if p.ros]
        # rclpy's client of parameters is not in Humble.
        self._list = {name: self.create_client(ListParameters, f"{name}/list_parameters") for name in self._nodes}
        self._get = {name: self.create_client(GetParameters, f"{name}/get_parameters") for name in self._nodes}
        self._there: dict[str, set[bytes]] = {}
        self._asked_s: dict[str, float] = {}
        self._answered: set[str] = set()
        self._dropped: dict[str, int] = {}
        self.create_timer(LOOK_S, self._look)
        self.create_timer(SAY_S, self._say_dropped)

    def failure(self) -> str | None:
        """Why recording has ended by itself."""
        return self._recorder.failure

    def close(self) -> None:
        """Nothing to put in order: the recorder belongs to whoever made it."""

    def _serve(self, episodes: Episodes) -> None:
        requests: dict[str, Callable[[], Answer]] = {
            graph.EPISODE_START_SERVICE: episodes.start,
            graph.EPISODE_STOP_SERVICE: partial(episodes.end, ""),
            graph.EPISODE_SUCCESS_SERVICE: partial(episodes.end, "success"),
            graph.EPISODE_FAILURE_SERVICE: partial(episodes.end, "failure"),
            graph.EPISODE_DISCARD_SERVICE: episodes.discard,
        }

        def answer(service: str, _: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
            reply.success, reply.message = do(service)
            return reply

        def do(service: str) -> Answer:
            done, said = requests[service]()
            print(said, flush=True)
            return done, said

        buttons = EpisodeButtons()

        def on_joy(msg: Joy) -> None:
            if self._pad is not None:
                stamp_s = ros.stamp_s(msg.header.stamp)
                asked = buttons.hear(
                    self._pad, msg.axes, msg.buttons, time.monotonic(), stamp_s, recording=episodes.recording
                )
                if asked is not None:
                    do(asked)

        for service in requests:
            self.create_service(Trigger, service, partial(answer, service))
        ros.subscribe(self, graph.stream(graph.JOY), on_joy)

    def _listen(self, stream: Stream) -> None:
        profiles = ros.profiles(stream)
        kind, once = ros.message_type(stream), Once()
        for i, profile in enumerate(profiles):
            # Who controls wants the newest, who records wants all; how many wait is the subscriber's own affair.
            profile = copy(profile)
            profile.depth = PICTURES_WAITING if stream.type == graph.IMAGE else MESSAGES_WAITING

            def heard(data: bytes, i: int = i) -> None:
                if len(profiles) == 1 or once.new(i, data, time.monotonic()):
                    self._recorder.put(stream.topic, self.get_clock().now().nanoseconds, data)

            self.create_subscription(kind, stream.topic, heard, profile, raw=True)

    def _look(self) -> None:
        """Asks who is there and has not told its parameters; who was started anew has new ones."""
        now_s, there = time.monotonic(), self._endpoints()
        for name, found in there.items():
            # One that was killed is listed for seconds yet, beside the one that was started in its place.
            if found != self._there.get(name):
                self._answered.discard(name)
                self._asked_s.pop(name, None)
            if found and name not in self._answered and now_s - self._asked_s.get(name, -ASK_AGAIN_S) >= ASK_AGAIN_S:
                self._ask(name, now_s)
        self._there = there

    def _endpoints(self) -> dict[str, set[bytes]]:
        """By name of a node, what tells one start of it from another: its publishers of what every node publishes."""
        there: dict[str, set[bytes]] = {name: set() for name in self._nodes}
        for publisher in self.get_publishers_info_by_topic("/parameter_events"):
            if publisher.node_name in there:
                there[publisher.node_name].add(bytes(publisher.endpoint_gid))
        return there

    def _ask(self, node: str, now_s: float) -> None:
        # An answer can be lost where the other side does not know this one yet; then `_look` asks again.
        if self._list[node].service_is_ready() and self._get[node].service_is_ready():
            self._asked_s[node] = now_s
            future = self._list[node].call_async(ListParameters.Request())
            future.add_done_callback(partial(self._on_names, node))

    def _on_names(self, node: str, future: Any) -> None:
        if not _answered(future):
            return
        names = list(future.result().result.names)
        future = self._get[node].call_async(GetParameters.Request(names=names))
        future.add_done_callback(partial(self._on_values, node, names))

    def _on_values(self, node: str, names: list[str], future: Any) -> None:
        if not _answered(future):
            return
        values = {name: _plain(value) for name, value in zip(names, future.result().values)}
        stamp_ns = self.get_clock().now().nanoseconds
        self._answered.add(node)
        self._recorder.attach(lambda: [document.parameters(node, values, stamp_ns)])
        if node == "inference":
            self._recorder.attach(lambda: [document.model(str(values.get("model") or ""), stamp_ns)])
        if node == "teleop" and isinstance(self._recorder, Episodes):
            self._use_pad(str(values.get("pad") or ""), str(values.get("pads_file") or ""))

    def _use_pad(self, name: str, file: str) -> None:
        """The pad that teleop has, whose file may be on another computer."""
        try:
            self._pad = pads.load(name, Path(file) if file else None)
        except (ParameterError, OSError, YAMLError) as error:
            self._pad = None
            print(f"no episodes by joystick: {error}", flush=True)
            return
        if self._pad.recording:
            print(f"episodes by joystick too: pad {name!r}", flush=True)

    def _say_dropped(self) -> None:
        now = {topic: tally.dropped for topic, tally in self._recorder.tallies.items() if tally.dropped}
        news = {topic: n - self._dropped.get(topic, 0) for topic, n in now.items() if n > self._dropped.get(topic, 0)}
        self._dropped = now
        if news:
            listed = ", ".join(f"{n} of {topic}" for topic, n in news.items())
            print(f"dropped: {listed} ({self._recorder.trouble})", flush=True)


def _answered(future: Any) -> bool:
    """Whether a service did; who ends while it is asked leaves an exception or nothing."""
    return future.exception() is None and future.result() is not None


def _plain(value: Any) -> Any:
    """A parameter's value as YAML can say it."""
    found = parameter_value_to_python(value)
    return list(found) if isinstance(found, (array.array, tuple)) else found


def bag_topics(streams: Sequence[Stream], compress: bool) -> list[Topic]:
    """What a bag of these streams announces; raises UnknownTypeError where this ROS lacks a message."""
    return [_bag_topic(s, *(_compressed(s) if compress and is_colour(s) else (s.topic, s.type))) for s in streams]


def _bag_topic(stream: Stream, name: str, kind: str) -> Topic:
    profile = ros.qos(stream)
    offered = offered_qos(
        profile.depth,
        profile.reliability == ReliabilityPolicy.RELIABLE,
        profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )
    return Topic(name, kind, definitions.definition(kind), definitions.type_hash(kind), offered)


def is_colour(stream: Stream) -> bool:
    """Whether that stream is pictures which JPEG does no harm."""
    return stream.topic == graph.COLOR


def _compressed(stream: Stream) -> tuple[str, str]:
    """Topic and type of a picture stream once compressed, as image_transport names them."""
    return f"{stream.topic}/compressed", COMPRESSED


def conversions(streams: Sequence[Stream], compress: bool) -> dict[str, Any]:
    """What `Recorder` takes as `convert`."""
    return {s.topic: (_compressed(s)[0], compressed) for s in streams if compress and is_colour(s)}


def compressed(data: bytes) -> bytes:
    """A serialized Image, rgb8, as a serialized CompressedImage, JPEG. Raises ValueError on any other picture."""
    picture = deserialize_message(data, Image)
    if picture.encoding != "rgb8":
        raise ValueError(f"encoding: {picture.encoding!r}; expected 'rgb8'")
    small = CompressedImage(header=picture.header, format="rgb8; jpeg compressed bgr8")
    content = array.array("B")
    content.frombytes(jpeg.encode(ros.image_array(picture)))
    small.data = content
    return bytes(serialize_message(small))
