"""When what came: stamps of a bag's pictures and joints, and what its clocks did. All but the pictures themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from rclpy.serialization import deserialize_message

from sapave_ros import graph
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.nodes import ros
from sapave_ros.offline.clocks import Clock, Lags
from sapave_ros.offline.recording import GROUPS, Motion, Track
from sapave_ros.types import Floats


@dataclass
class Streams:
    """pictures: stamps (k,), rising, of colour, depth and intrinsics by these names. measured: joints by group of
    `recording.GROUPS`. lags: by name of a clock. twice: spans of time [s] that a clock went through twice, and whose.
    """

    pictures: dict[str, Floats]
    measured: dict[str, Motion] = field(default_factory=dict)
    lags: dict[str, Lags] = field(default_factory=dict)
    twice: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def exposures_s(self) -> Floats:
        """Stamps (k,) of pictures that are whole, rising."""
        return reduce(np.intersect1d, self.pictures.values())

    @staticmethod
    def read(bag: Bag) -> Streams:
        """One pass over a bag. Raises BagError where it lacks pictures, depth, their intrinsics or joints."""
        compressed = f"{graph.COLOR}/compressed"
        color = compressed if graph.COLOR not in bag.counts and compressed in bag.counts else graph.COLOR
        names = {color: "colour", graph.DEPTH: "depth", graph.CAMERA_INFO: "intrinsics"}
        for topic in (*names, graph.JOINT_STATES):
            if topic not in bag.counts:
                raise BagError(f"topics: {topic!r} has no message in {bag.path}; expected a recording with pictures")
        clocks = {name: Clock(name) for name in ("recorder", "camera", "joints")}
        stamps_s: dict[str, list[float]] = {name: [] for name in names.values()}
        tracks = {group: Track(joints.names) for group, joints in GROUPS.items()}
        for message in bag.messages():
            now_s = message.stamp_ns * 1e-9
            clocks["recorder"].tick(now_s, now_s)
            if message.topic == graph.JOINT_STATES:
                content = deserialize_message(message.data, ros.message_type(graph.stream(message.topic)))
                for track in tracks.values():
                    track.add(content)
                clocks["joints"].tick(ros.stamp_s(content.header.stamp), now_s)
            elif message.topic in names:
                stamps_s[names[message.topic]].append(header_stamp_s(message.data))
                if message.topic == graph.CAMERA_INFO:
                    clocks["camera"].tick(stamps_s["intrinsics"][-1], now_s)
        return Streams(
            {name: np.unique(stamps) for name, stamps in stamps_s.items()},
            {group: motion for group, track in tracks.items() if (motion := track.motion())},
            {name: clocks[name].lags() for name in ("camera", "joints")},
            [span for clock in clocks.values() for span in clock.twice],
        )


def header_stamp_s(data: bytes) -> float:
    """The stamp [s] of a serialized message that begins with a header, without reading the picture behind it."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return float(seconds + nanoseconds * 1e-9)  # as `ros.stamp_s`, to the last bit: stamps are joined by being equal
