"""A bag in the terms of the core: what was seen, what was said, what was asked of the joints, what they did."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from sapave_ros import g1, graph
from sapave_ros.bag.reader import Bag, BagError, BagMessage
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.core.resample import interpolate
from sapave_ros.nodes import ros
from sapave_ros.nodes.replay import decompressed
from sapave_ros.offline.clocks import SET_BACK_S, Clock
from sapave_ros.types import ActionChunk, Floats, Mode, Observation, Permit

GROUPS: dict[str, g1.JointGroup] = {"head": g1.HEAD, "arms": g1.ARMS, "hands": g1.HANDS}
"""Joints that are scored together."""

SEEN = (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.JOINT_STATES)
"""Topics that an observation is made of."""

PATIENCE_S = 1.0
"""How much later than an exposure [s] its joint samples may stand in a bag."""

_KEPT = 64  # exposures: as many as come while a bag's other topics are behind


@dataclass(frozen=True)
class Sent:
    """A chunk as it came by. received_s: when, ROS time [s]."""

    received_s: float
    chunk: ActionChunk


@dataclass
class Motion:
    """Positions of some joints over time. times_s: (n,), rising. positions: (n, joints) [rad]."""

    names: tuple[str, ...]
    times_s: Floats
    positions: Floats


class Track:
    """The motion of some joints, message by message (JointState), in as few bytes as that takes: bags are long."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._times_s, self._positions = array("d"), array("d")
        self._columns: dict[tuple[str, ...], list[int] | None] = {}

    def add(self, message: Any) -> None:
        """Messages may come in any order; what lacks one of the joints is passed over."""
        there = tuple(message.name)
        if there not in self._columns:
            whole = set(self._names) <= set(there)
            self._columns[there] = [there.index(name) for name in self._names] if whole else None
        columns = self._columns[there]
        if columns is not None and len(message.position) == len(there):
            self._times_s.append(ros.stamp_s(message.header.stamp))
            self._positions.extend(message.position[column] for column in columns)

    def motion(self) -> Motion | None:
        """None where no message had all of the joints. Of two with one stamp the first counts."""
        if not self._times_s:
            return None
        times = np.array(self._times_s)
        order = np.argsort(times, kind="stable")
        fresh = np.concatenate([[True], np.diff(times[order]) > 0])
        positions = np.array(self._positions).reshape(len(times), -1)
        return Motion(self._names, times[order][fresh], positions[order][fresh])


@dataclass
class Recording:
    """All of a bag but its pictures, which `observations` reads as they are wanted.

    chunks: of the policy, by topic. commands: after the gate, by group of `GROUPS`. instructions, permits: (time [s],
    what) in order; instructions as the policy followed them where the bag has that, else as they were given. figures:
    the last value that each node gave on /diagnostics, less its first where both are numbers. modes: live or shadow, as
    each node told there, all that it did. malformed: how many messages of a topic were not what they should be, and
    were passed over as the nodes do. length_s: from the first to the last message of all this. clocks: what is wrong
    with times. damage: that, and what of the bag cannot be read.
    """

    bag: Bag
    chunks: dict[str, list[Sent]] = field(default_factory=dict)
    commands: dict[str, Motion] = field(default_factory=dict)
    instructions: list[tuple[float, str]] = field(default_factory=list)
    permits: list[tuple[float, Permit]] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    modes: dict[str, set[str]] = field(default_factory=dict)
    malformed: dict[str, int] = field(default_factory=dict)
    length_s: float = 0.0
    clocks: list[str] = field(default_factory=list)

    @property
    def damage(self) -> list[str]:
        return self.bag.damage + self.clocks

    @staticmethod
    def read(path: Path) -> Recording:
        """Raises BagError where there is no bag, or nothing in it of what is scored."""
        recording = Recording(Bag(path))
        recording._read()
        return recording

    def instruction_at(self, time_s: float) -> str:
        """What was last said, and nothing before anything was."""
        return _last(self.instructions, time_s, "")

    def moving(self, group: str, start_s: float, end_s: float) -> bool:
        """Whether the group had permission to move, all of the time."""
        arms = group != "head"
        first, last = (bisect_right(self.permits, t, key=lambda entry: entry[0]) for t in (start_s, end_s))
        # The one in force at the start, and all that came since.
        return first > 0 and all(p.of(arms)[0] is Mode.MOVE for _, p in self.permits[first - 1 : last])

    def commanded(self, group: str, times_s: Floats, max_gap_s: float = 0.1) -> Floats:
        """Commanded positions (n, joints) [rad] at times (n,), interpolated; NaN where the bag does not know."""
        path = self.commands.get(group)
        if path is None:
            return np.full((len(times_s), len(GROUPS[group])), np.nan)
        return interpolate(path.times_s, path.positions, times_s, max_gap_s)

    def measured(self, group: str) -> tuple[Motion | None, float, float]:
        """The measured motion of a group, None where the bag has none of all its joints; and when the first message of
        the bag came, of any topic, and how long after it the last one [s]."""
        track = Track(GROUPS[group].names)
        begin_s = end_s = None
        for message in self.bag.messages():
            end_s = message.stamp_ns * 1e-9
            begin_s = end_s if begin_s is None else begin_s
            if message.topic == graph.JOINT_STATES:
                track.add(_message(message.topic, message.data))
        assert begin_s is not None and end_s is not None, "a bag has at least one message"
        return track.motion(), begin_s, end_s - begin_s

    def observations(
        self, builder: ObservationBuilder, wanted: Sequence[tuple[float, str]]
    ) -> Iterator[tuple[float, Observation | str]]:
        """For each wanted exposure (stamp [s], instruction), in order: its observation, or why there is none.

        builder: a new one. Raises BagError where the bag has no pictures or no joints.
        """
        builder.kept = _KEPT
        for topic in SEEN:
            self.malformed.pop(topic, None)  # counted anew
        waiting = sorted(wanted)
        at = 0
        streams = self._seen()
        for message in self.bag.messages(streams):
            self._see(builder, streams[message.topic], message)
            now_s = message.stamp_ns * 1e-9
            while at < len(waiting) and waiting[at][0] <= now_s:
                found = builder.at(*waiting[at])
                if isinstance(found, str) and now_s - waiting[at][0] < PATIENCE_S:
                    break
                yield waiting[at][0], found
                at += 1
        for stamp_s, instruction in waiting[at:]:
            yield stamp_s, builder.at(stamp_s, instruction)

    def exposures(self, period_s: float) -> list[tuple[float, str]]:
        """Stamps of pictures at least so far apart [s], with the instruction in force then, where there was one."""
        stamps: list[tuple[float, str]] = []
        for message in self.bag.messages([graph.CAMERA_INFO]):
            stamp_s = ros.stamp_s(_message(graph.CAMERA_INFO, message.data).header.stamp)
            instruction = self.instruction_at(stamp_s)
            if instruction and (not stamps or stamp_s >= stamps[-1][0] + period_s):
                stamps.append((stamp_s, instruction))
        return stamps

    # -- inside ----------------------------------------------------------------------------------

    def _read(self) -> None:
        tracks = {group: Track(joints.names) for group, joints in GROUPS.items()}
        told: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        asked: dict[str, list[tuple[float, str]]] = {}
        topics = [t for t in _TOLD if t in self.bag.counts]
        if not topics:
            raise BagError(
                f"topics: {self.bag.path} has none of {', '.join(_TOLD)}; expected a recording of this robot"
            )
        recorder, camera = Clock("recorder"), Clock("camera")
        for message in self.bag.messages({*topics, graph.CAMERA_INFO} & set(self.bag.counts)):
            content, now_s = _message(message.topic, message.data), message.stamp_ns * 1e-9
            if message.topic == graph.CAMERA_INFO:
                camera.tick(ros.stamp_s(content.header.stamp), now_s)
                continue
            recorder.tick(now_s, now_s)
            if message.topic in (graph.HEAD_INCREMENTS, graph.ARM_INCREMENTS):
                try:
                    self.chunks.setdefault(message.topic, []).append(Sent(now_s, ros.chunk_from_msg(content)))
                except ValueError:
                    self._count_malformed(message.topic)
            elif message.topic in (graph.HEAD_COMMAND, graph.ARM_COMMAND):
                for group, track in tracks.items():
                    if (group == "head") == (message.topic == graph.HEAD_COMMAND):
                        track.add(content)
            elif message.topic in (graph.INSTRUCTION, graph.FOLLOWED):
                asked.setdefault(message.topic, []).append((now_s, content.data.strip()))
            elif message.topic == graph.PERMIT:
                self.permits.append((now_s, ros.permit_from_msg(content, now_s)))
            else:
                for status in content.status:
                    values = {v.key: v.value for v in status.values if v.key in _COUNTED}
                    first, _ = told.get(status.name, (values, values))
                    told[status.name] = first, values
                    modes = self.modes.setdefault(status.name, set())
                    modes.update(v.value for v in status.values if v.key == "mode")
        self.length_s = max(recorder.stamps_s) - min(recorder.stamps_s)
        for clock in (recorder, camera):
            self.clocks += [f"the clock of the {of} was set back by {b - a:.2f} s" for a, b, of in clock.twice]
        ahead_s = -min(camera.lags().lags_s, default=0.0)
        if ahead_s > SET_BACK_S:
            self.clocks.append(f"pictures came up to {ahead_s:.2f} s before their exposures: clocks disagree")
        self.instructions = asked.get(graph.FOLLOWED) or asked.get(graph.INSTRUCTION, [])
        self.commands = {group: motion for group, track in tracks.items() if (motion := track.motion())}
        self.figures = {name: _grown(first, last) for name, (first, last) in told.items()}

    def _seen(self) -> dict[str, str]:
        """Topics that an observation is made of, as they were recorded, and the streams that they are."""
        smaller = f"{graph.COLOR}/compressed"
        color = smaller if graph.COLOR not in self.bag.counts and smaller in self.bag.counts else graph.COLOR
        return {color if topic == graph.COLOR else topic: topic for topic in SEEN}

    def _see(self, builder: ObservationBuilder, topic: str, message: BagMessage) -> None:
        """As the inference node does: what is malformed is not seen."""
        try:
            data = message.data if message.topic == topic else decompressed(message.data)
            content = _message(topic, data)
            stamp_s = ros.stamp_s(content.header.stamp)
            if topic == graph.COLOR:
                builder.add_color(stamp_s, ros.image_array(content))
            elif topic == graph.DEPTH:
                builder.add_depth(stamp_s, ros.image_array(content))
            elif topic == graph.CAMERA_INFO:
                builder.add_intrinsics(stamp_s, np.asarray(content.k, dtype=float).reshape(3, 3))
            else:
                builder.joints.add(content.name, stamp_s, np.asarray(content.position))
        except ValueError:
            self._count_malformed(topic)

    def _count_malformed(self, topic: str) -> None:
        self.malformed[topic] = self.malformed.get(topic, 0) + 1


_TOLD = (
    graph.HEAD_INCREMENTS,
    graph.ARM_INCREMENTS,
    graph.HEAD_COMMAND,
    graph.ARM_COMMAND,
    graph.INSTRUCTION,
    graph.FOLLOWED,
    graph.PERMIT,
    graph.DIAGNOSTICS,
)


def _message(topic: str, data: bytes) -> Any:
    return deserialize_message(data, ros.message_type(graph.stream(topic)))


def _grown(first: dict[str, str], last: dict[str, str]) -> dict[str, float]:
    """Of what was counted: by how much it grew while the bag was recorded."""
    found = {}
    for key in _COUNTED:
        try:
            found[key] = float(last[key]) - float(first[key])
        except (KeyError, ValueError):
            continue
    return found


_COUNTED = ("chunks_accepted", "chunks_refused", "chunks", "expired", "invalid", "clipped")


def _last(series: list[tuple[float, Any]], time_s: float, otherwise: Any) -> Any:
    before = bisect_right(series, time_s, key=lambda entry: entry[0])
    return series[before - 1][1] if before else otherwise
