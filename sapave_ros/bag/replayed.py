"""Under which name a stream of a bag goes out, and who must not be there when it does: decided here, from the table.

Nothing of a bag ever reaches an actuator. Everything goes out below `/replay`, where no node of the graph listens,
except what the policy sees and hears. That goes out under its own name so that an inference node answers it, and only
in a ROS domain without any other node of the graph: where no controller is, no answer to old pictures moves anything.

What inference is told is what it followed when that was recorded, wherever the bag has it: a recording that began after
somebody had spoken has no other instruction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sapave_ros import graph
from sapave_ros.bag import definitions
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.graph import Stream

CLOCK_HZ = 100.0
"""How often the time of the bag is told, at least."""

ROSBAG2_NODE = "rosbag2_player"
"""The node of `ros2 bag play`."""

ALONE = "alone"
"""What the guard beside another player says when it has found nobody (`nodes/alone.py`)."""

COMPRESSED = "sensor_msgs/CompressedImage"

GUEST = "inference"
"""The one node of the graph that may be there."""

HARMLESS = frozenset({GUEST, "watchdog", "*"})
"""A stream that anybody else subscribes to gets the prefix, whatever inference does with it; these move nothing."""

STRANGERS = tuple(p.name for p in graph.PROCESSES if p.ros and p.name != GUEST)
"""Nodes in whose presence nothing is replayed."""


def has_own_name(stream: Stream) -> bool:
    """Whether a stream is replayed under its own name: inference takes it, and nobody who moves anything does."""
    return GUEST in stream.subscribers and HARMLESS.issuperset(stream.subscribers)


def replayed_topics(streams: Iterable[Stream]) -> dict[str, str]:
    """Topic to the topic on which it is published, of streams of a bag that are replayed together."""
    found = {s.topic: s.topic if has_own_name(s) else graph.REPLAY + s.topic for s in streams}
    if graph.FOLLOWED in found:
        said = graph.stream(graph.INSTRUCTION)
        found[graph.FOLLOWED] = said.topic if has_own_name(said) else graph.REPLAY + said.topic
        if said.topic in found:
            found[said.topic] = graph.REPLAY + said.topic
    return found


def watched_topics(streams: Iterable[Stream]) -> tuple[str, ...]:
    """Topics with a publisher beside the replay of these streams in which nothing is replayed.

    Those that are replayed under their own names, the clock, and what only the nodes of `STRANGERS` publish: it gives
    them away where they have been given other names.
    """
    own = [topic for topic in replayed_topics(streams).values() if not topic.startswith(f"{graph.REPLAY}/")]
    given_away = [s.topic for s in graph.STREAMS if s.publishers and set(s.publishers) <= set(STRANGERS)]
    return tuple(dict.fromkeys([*own, graph.CLOCK, *given_away]))


@dataclass(frozen=True)
class Present:
    """Who is in a ROS domain. nodes: full names. publishers: topic to full names of nodes, the asker's left out."""

    nodes: Sequence[str]
    publishers: Mapping[str, Sequence[str]]


def company(present: Present) -> str | None:
    """Why nothing may be replayed there, None where nothing speaks against it.

    present: with the publishers of `watched_topics`.
    """
    for name in present.nodes:
        if name.rpartition("/")[2] in STRANGERS:
            return f"node {name} is in this ROS domain; expected none of {', '.join(STRANGERS)}: {_OTHERWISE}"
    for topic, names in present.publishers.items():
        if names:
            return f"node {names[0]} publishes {topic} in this ROS domain; expected nobody but the replay: {_OTHERWISE}"
    return None


_OTHERWISE = "a bag is replayed beside no robot; stop that graph, or set another ROS_DOMAIN_ID"


@dataclass(frozen=True)
class Source:
    """A stream in a bag. recorded: its topic there, which is another one where its pictures are compressed. topic: on
    which it is published.
    """

    stream: Stream
    recorded: str
    topic: str

    @property
    def compressed(self) -> bool:
        return self.recorded != self.stream.topic

    @property
    def type(self) -> str:
        """`package/Message` of what was recorded."""
        return COMPRESSED if self.compressed else self.stream.type


def _there(bag: Bag) -> dict[str, Stream]:
    """Everything in a bag that can be replayed, by its topic there, in the table's order."""
    found: dict[str, Stream] = {}
    for stream in graph.STREAMS:
        names = [stream.topic] + [f"{stream.topic}/compressed"] * (stream.type == graph.IMAGE)
        found.update([(name, stream) for name in names if name in bag.counts][:1])
    return found


def replayed_sources(bag: Bag, topics: Sequence[str] | None = None) -> list[Source]:
    """The streams of a bag that are replayed, all or those of the topics as recorded, in the table's order.

    Raises BagError on a topic that the bag or the table does not have, on a bag that has none of the table, and on
    one with messages of another type, or of another version of it, than the table and this ROS have.
    """
    there = _there(bag)
    for topic in topics or ():
        if topic not in there:
            where = "is no stream of the graph" if topic in bag.counts else f"has no message in {bag.path}"
            raise BagError(f"topics: {topic!r} {where}; expected of {', '.join(there) or 'none'}")
    if not there:
        raise BagError(f"path: {bag.path} has no stream of the graph, but {', '.join(sorted(bag.counts))}")
    chosen = {name: stream for name, stream in there.items() if not topics or name in topics}
    names = replayed_topics(chosen.values())
    sources = [Source(stream, name, names[stream.topic]) for name, stream in chosen.items()]
    for source in sources:
        _check_type(source, bag)
    return sources


def rosbag2_command(
    bag: Path,
    streams: Sequence[Stream],
    rate: float = 1.0,
    start_s: float = 0.0,
    loop: bool = False,
    paused: bool = False,
) -> list[str]:
    """`ros2 bag play` of these streams under the names that they have here, with their time as /clock.

    Of what was said and what was followed, only what the bag has: see `replayed_topics`.
    """
    command = ["ros2", "bag", "play", str(bag), "--clock", f"{CLOCK_HZ:g}", "--rate", f"{rate:g}"]
    command += ["--start-offset", f"{start_s:g}"] + ["--loop"] * loop + ["--start-paused"] * paused
    renamed = [f"{topic}:={name}" for topic, name in replayed_topics(streams).items() if name != topic]
    return [*command, "--topics", *(s.topic for s in streams), *(["--remap", *renamed] if renamed else [])]


def beyond_rosbag2(counts: Mapping[str, int], start_s: float) -> str:
    """Why `ros2 bag play` would leave out something of a bag that the policy needs; empty where it does not.

    counts: messages by topic.
    """
    small = [f"{s.topic}/compressed" for s in graph.STREAMS if s.type == graph.IMAGE and not counts.get(s.topic)]
    if packed := [topic for topic in small if counts.get(topic)]:
        return f"{packed[0]} is JPEG, which inference does not take"
    return "what was said before the start would not be heard" if start_s > 0 else ""


def left_out(bag: Bag) -> list[str]:
    """Topics of a bag that are never replayed: the table does not have them."""
    return sorted(set(bag.counts) - _there(bag).keys())


def _check_type(source: Source, bag: Bag) -> None:
    topic, found, wanted = source.recorded, bag.topics[source.recorded], source.type.replace("/", "/msg/")
    if found.type != wanted:
        raise BagError(f"type: {topic} is {found.type!r} in {bag.path}; expected {wanted!r}")
    here = definitions.type_hash(source.type)
    if found.type_hash and here and found.type_hash != here:
        raise BagError(
            f"type_hash: {topic} has {found.type_hash} in {bag.path}; expected {here}: "
            f"{source.type} has changed since it was recorded"
        )
