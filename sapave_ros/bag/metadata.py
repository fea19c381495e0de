"""`metadata.yaml`: what `ros2 bag` reads first.

Version 5 of the format, that of Humble: every later ROS reads it, whereas Humble does not read what Jazzy writes. What
later versions add, the hash of every type, stands in the MCAP files (`topic_type_hash`), where rosbag2 puts it too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

NAME = "metadata.yaml"
VERSION = 5

_FOREVER = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class Topic:
    """One topic of a bag. type: `package/Name`. qos: as `offered_qos` makes it."""

    name: str
    type: str
    definition: str
    type_hash: str = ""
    qos: str = ""

    @property
    def full_type(self) -> str:
        """`package/msg/Name`."""
        return self.type.replace("/", "/msg/")


@dataclass
class FileFacts:
    """What one file of a bag holds. first_ns, last_ns: stamps of its earliest and latest message."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def messages(self) -> int:
        return sum(self.counts.values())

    def add(self, topic: str, stamp_ns: int) -> None:
        """One message more."""
        if not self.counts:
            self.first_ns = self.last_ns = stamp_ns
        self.first_ns, self.last_ns = min(self.first_ns, stamp_ns), max(self.last_ns, stamp_ns)
        self.counts[topic] = self.counts.get(topic, 0) + 1


def offered_qos(depth: int, reliable: bool, kept: bool) -> str:
    """The QoS of a topic's publishers as rosbag2 of Humble writes it: numbers of rmw's enumerations, in YAML."""
    profile = {
        "history": 1,  # keep last
        "depth": depth,
        "reliability": 1 if reliable else 2,
        "durability": 1 if kept else 2,  # transient local, volatile
        "deadline": _FOREVER,
        "lifespan": _FOREVER,
        "liveliness": 1,  # automatic
        "liveliness_lease_duration": _FOREVER,
        "avoid_ros_namespace_conventions": False,
    }
    return yaml.dump([profile], Dumper=_Plain, sort_keys=False).strip()


class _Plain(yaml.SafeDumper):
    """Without anchors for values that occur twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def text(topics: Sequence[Topic], files: Sequence[FileFacts]) -> str:
    """The content of metadata.yaml for a bag of these files."""
    full = [f for f in files if f.messages]
    first = min((f.first_ns for f in full), default=0)
    last = max((f.last_ns for f in full), default=0)
    information = {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": last - first},
        "starting_time": {"nanoseconds_since_epoch": first},
        "message_count": sum(f.messages for f in files),
        "topics_with_message_count": [
            {"topic_metadata": _topic(t), "message_count": sum(f.counts.get(t.name, 0) for f in files)} for t in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [f.name for f in files],
        "files": [
            {
                "path": f.name,
                "starting_time": {"nanoseconds_since_epoch": f.first_ns},
                "duration": {"nanoseconds": f.last_ns - f.first_ns},
                "message_count": f.messages,
            }
            for f in files
        ],
    }
    return yaml.dump({"rosbag2_bagfile_information": information}, Dumper=_Plain, sort_keys=False, width=10_000)


def _topic(topic: Topic) -> Mapping[str, str]:
    return {
        "name": topic.name,
        "type": topic.full_type,
        "serialization_format": "cdr",
        "offered_qos_profiles": topic.qos,
    }


def counts(folder: Path) -> dict[str, int]:
    """Messages by topic as metadata.yaml has them, also that of rosbag2; empty where there is none.

    Raises ValueError on one that cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        return {t["topic_metadata"]["name"]: int(t["message_count"]) for t in found["topics_with_message_count"]}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error!r}); expected what rosbag2 writes") from None


def write(folder: Path, topics: Sequence[Topic], files: Sequence[FileFacts]) -> None:
    """Puts metadata.yaml in its place as a whole: who reads meanwhile finds the old one or the new one."""
    partial = folder / f"{NAME}.partial"
    try:
        partial.write_text(text(topics, files), encoding="utf-8")
        os.replace(partial, folder / NAME)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
