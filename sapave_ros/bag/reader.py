"""Reads a bag, or one MCAP file of it, up to where it is damaged, and says what is damaged.

    bag = Bag(Path("out/bags/sapave_2026_11_26-18_15_00"))
    for message in bag.messages(["/sapave/permit"]):
        print(message.topic, message.stamp_ns, len(message.data))
    print(bag.damage)

A recording that was killed lacks an index, metadata.yaml and the end of its last chunk. What comes before is read here
without any of them, from the front, and compared with the checksums in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import yaml
from mcap.data_stream import RecordBuilder
from mcap.records import Attachment, Channel, DataEnd, Header, Message, Metadata, Schema
from mcap.stream_reader import StreamReader

from sapave_ros.bag.metadata import NAME as METADATA

MAGIC = b"\x89MCAP0\r\n"


class BagError(ValueError):
    """That is no bag, or lacks what was asked of it. The message names field, value and what was expected."""


@dataclass(frozen=True)
class BagMessage:
    """One message as it was recorded: serialized (CDR), with the time at which it came [ns of the epoch]."""

    topic: str
    stamp_ns: int
    data: bytes


@dataclass(frozen=True)
class BagTopic:
    """One topic. type: `package/msg/Name`. definition: its text, with all it is made of."""

    name: str
    type: str
    definition: str
    type_hash: str


@dataclass
class _Contents:
    """What a pass over one file has found so far."""

    topics: dict[str, BagTopic] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)
    damage: str = ""


class Bag:
    """A bag's folder, or a single file.

    files: those that can be read, in the order of recording. topics: by name. counts: messages that can be read, by
    topic. software: what recorded it. attachments: name to content (`document.py`), the newest of each. damage: a line
    for everything that is not as it should be; empty for a bag that was closed in order. All are known at once: the
    files have been read through to their end.

    Raises BagError where there is no bag, or no message in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.damage: list[str] = []
        self.topics: dict[str, BagTopic] = {}
        self.counts: dict[str, int] = {}
        self.software: dict[str, str] = {}
        self.attachments: dict[str, bytes] = {}
        self.files: list[Path] = []
        for file in self._find():
            contents = _Contents()
            try:
                for message in _scan(file, contents):
                    contents.counts[message.topic] = contents.counts.get(message.topic, 0) + 1
            except BagError as error:
                if file == self.path:
                    raise
                self.damage.append(f"{file.name}: {error}")  # one file among others does not take them with it
                continue
            self.files.append(file)
            self.topics.update(contents.topics)
            self.software.update(contents.software)
            self.attachments.update(contents.attachments)
            for topic, count in contents.counts.items():
                self.counts[topic] = self.counts.get(topic, 0) + count
            if contents.damage:
                self.damage.append(f"{file.name}: {contents.damage}")
        if not self.counts:
            why = f" ({'; '.join(self.damage)})" if self.damage else ""
            raise BagError(f"path: {self.path} holds no message{why}; expected a bag with at least one")

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """All messages, or those of the topics, in the order in which they were written.

        Raises BagError at once on a topic that the bag does not have.
        """
        for topic in topics or ():
            if topic not in self.counts:
                there = ", ".join(sorted(self.counts))
                raise BagError(f"topics: {topic!r} has no message in {self.path}; expected of {there}")
        return self._messages(topics)

    def _messages(self, topics: Collection[str] | None) -> Iterator[BagMessage]:
        for file in self.files:
            for message in _scan(file, _Contents()):
                if topics is None or message.topic in topics:
                    yield message

    def _find(self) -> list[Path]:
        """The bag's files in the order of recording; notes what metadata.yaml says otherwise."""
        if self.path.is_file():
            if self.path.name == METADATA:
                raise BagError(f"path: {self.path} is a file in a bag; expected its folder {self.path.parent}")
            return [self.path]
        if not self.path.is_dir():
            raise BagError(f"path: {self.path} is not there; expected the folder of a bag, or an MCAP file")
        files = sorted(self.path.glob("*.mcap"), key=_order)
        if not files:
            raise BagError(f"path: {self.path} has no *.mcap in it; expected the folder of a bag")
        listed = self._listed()
        if listed is not None:
            names = {f.name for f in files}
            self.damage += [f"{n}: is listed in {METADATA} and not there" for n in listed if n not in names]
            self.damage += [
                f"{f.name}: is not listed in {METADATA}: it was not closed in order, or is still being recorded"
                for f in files
                if f.name not in listed
            ]
        return files

    def _listed(self) -> list[str] | None:
        try:
            found = yaml.safe_load((self.path / METADATA).read_text(encoding="utf-8"))
            return [Path(p).name for p in found["rosbag2_bagfile_information"]["relative_file_paths"]]
        except FileNotFoundError:
            self.damage.append(f"{METADATA}: is missing: the bag was not closed in order, or is still being recorded")
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
            self.damage.append(f"{METADATA}: cannot be read: {' '.join(repr(error).split())[:120]}")
        return None


def _order(path: Path) -> tuple[object, ...]:
    """`name_10` after `name_9`."""
    number = re.search(r"_(\d+)$", path.stem)
    return (int(number[1]) if number else -1, path.name)


def _scan(path: Path, found: _Contents) -> Iterator[BagMessage]:
    """Every message of a file up to its end or to what is damaged; fills `found` on the way.

    Raises BagError where the file is no MCAP file of ROS 2 at all.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if (start := file.read(len(MAGIC))) != MAGIC[: len(start)]:
            raise BagError(f"path: {path} begins with {start!r}; expected an MCAP file ({MAGIC!r})")
        file.seek(0)
        whole = _Whole(file, size)
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        is_summary = False
        try:
            for record in StreamReader(cast(IO[bytes], whole), validate_crcs=True, record_size_limit=None).records:
                if isinstance(record, Message):
                    yield BagMessage(channels[record.channel_id].topic, record.log_time, record.data)
                elif isinstance(record, Header):
                    if record.profile != "ros2":
                        raise BagError(f"profile: {record.profile!r} in {path}; expected 'ros2'")
                elif is_summary:
                    pass  # says again what has been said, without checksums; only whether it is whole matters
                elif isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                    schema = schemas[record.schema_id]
                    found.topics[record.topic] = BagTopic(
                        record.topic, schema.name, schema.data.decode(), record.metadata.get("topic_type_hash", "")
                    )
                elif isinstance(record, Metadata) and record.name == "sapave":
                    found.software.update(record.metadata)
                elif isinstance(record, Attachment):
                    _check(record, whole.last)
                    found.attachments[record.name] = record.data
                elif isinstance(record, DataEnd):
                    is_summary = True
        except BagError:
            raise
        except _CutError:
            at = f"{whole.position / 1e6:.3f} of {size / 1e6:.3f} MB"
            found.damage = f"ends within a record after {at}: not closed in order; all before that is there"
        except Exception as error:  # bytes that are wrong can make the libraries raise anything
            at = f"{whole.position / 1e6:.3f} of {size / 1e6:.3f} MB"
            found.damage = f"is damaged before {at} ({' '.join(str(error).split())[:100]}); all before that is there"


def _check(attachment: Attachment, checksum: bytes) -> None:
    """ValueError where an attachment is not what its checksum says: the MCAP library writes it and does not look."""
    again = RecordBuilder()
    attachment.write(again)
    if again.end()[-4:] != checksum:
        raise ValueError(f"checksum of attachment {attachment.name!r}")


class _CutError(Exception):
    """The file ends where more was promised."""


class _Whole:
    """A file from which as much is read as was asked for, or nothing: the MCAP library takes what comes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self.position = 0
        self.last = b""

    def read(self, length: int) -> bytes:
        if self.position + length > self._size:  # before reading: a damaged length may ask for anything
            raise _CutError
        data = self._file.read(length)
        if len(data) < length:
            raise _CutError
        self.position += length
        self.last = data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
