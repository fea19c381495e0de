"""When what came: stamps of a bag's pictures and joints, and what its clocks did. All but the pictures themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from sapave_ros import graph
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.nodes import ros
from sapave_ros.offline.recording import GROUPS, Motion, motion_of
from sapave_ros.types import Floats

SET_BACK_S = 0.1
"""A stamp that is older than an earlier one by more than this [s] is a clock that was set back, and no jitter."""


@dataclass
class Lags:
    """By how much [s] messages came after their stamps (k,) [s]."""

    stamps_s: Floats
    lags_s: Floats

    def least(self, start_s: float, end_s: float) -> float | None:
        """The smallest between two times, which no load of the computers explains; None where nothing came."""
        within = (self.stamps_s >= start_s) & (self.stamps_s <= end_s)
        return float(self.lags_s[within].min()) if within.any() else None


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
        clocks = {name: _Clock(name) for name in ("recorder", "camera", "joints")}
        stamps_s: dict[str, list[float]] = {name: [] for name in names.values()}
        rows: list[tuple[float, Any]] = []
        for message in bag.messages():
            now_s = message.stamp_ns * 1e-9
            clocks["recorder"].tick(now_s, now_s)
            if message.topic == graph.JOINT_STATES:
                content = deserialize_message(message.data, ros.message_type(graph.stream(message.topic)))
                rows.append((ros.stamp_s(content.header.stamp), content))
                clocks["joints"].tick(rows[-1][0], now_s)
            elif message.topic in names:
                stamps_s[names[message.topic]].append(header_stamp_s(message.data))
                if message.topic == graph.CAMERA_INFO:
                    clocks["camera"].tick(stamps_s["intrinsics"][-1], now_s)
        motions = {group: motion_of(joints.names, rows) for group, joints in GROUPS.items()}
        return Streams(
            {name: np.unique(stamps) for name, stamps in stamps_s.items()},
            {group: motion for group, motion in motions.items() if motion},
            {name: clocks[name].lags() for name in ("camera", "joints")},
            [span for clock in clocks.values() for span in clock.twice],
        )


def header_stamp_s(data: bytes) -> float:
    """The stamp [s] of a serialized message that begins with a header, without reading the picture behind it."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return float(seconds + nanoseconds * 1e-9)  # as `ros.stamp_s`, to the last bit: stamps are joined by being equal


class _Clock:
    """Whose stamps come one after the other."""

    def __init__(self, name: str) -> None:
        self.stamps_s: list[float] = []
        self.twice: list[tuple[float, float, str]] = []
        self._name = name
        self._received_s: list[float] = []
        self._newest_s = -np.inf

    def tick(self, stamp_s: float, received_s: float) -> None:
        if stamp_s < self._newest_s - SET_BACK_S:
            self.twice.append((stamp_s, self._newest_s, self._name))
            self._newest_s = stamp_s
        self._newest_s = max(self._newest_s, stamp_s)
        self.stamps_s.append(stamp_s)
        self._received_s.append(received_s)

    def lags(self) -> Lags:
        return Lags(np.array(self.stamps_s), np.array(self._received_s) - np.array(self.stamps_s))
