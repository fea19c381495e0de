"""Writes a bag: a folder of MCAP files, each whole in itself, and metadata.yaml.

What has been flushed is in the kernel's hands: it survives the end of this process, however that comes. A file that was
not closed in order lacks its index; `reader.py` and Foxglove read it up to there, and metadata.yaml, which lists the
files that are whole, leaves it out.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mcap.writer import CompressionType, Writer

from sapave_ros.bag import metadata
from sapave_ros.bag.metadata import FileFacts, Topic
from sapave_ros.bag.parameters import WriterParameters

CHUNK_BYTES = 1 << 20
"""A chunk is closed when it has grown past this, or by a flush: what is damaged is lost by the chunk."""

_MESSAGE_OVERHEAD_BYTES = 31  # record header, channel, sequence and the two times


@dataclass(frozen=True)
class Attachment:
    """A file within the bag. stamp_ns: when it was so [ns of the epoch]."""

    name: str
    media_type: str
    data: bytes
    stamp_ns: int


class DiskFullError(OSError):
    """Too little is left on the disk. Nothing is damaged; the bag can be closed in order."""


class BagWriter:
    """One bag. Not for use by several threads.

    folder: is made; raises FileExistsError where there is one already, and OSError where it cannot be made. topics: all
    that will be written. software: key to value, stands as metadata `sapave` in every file.

    Every method raises OSError where the disk does not take what it is given. The bag then ends with the last whole
    chunk, and only `close` may be called. unwritten: messages by topic that wait for their chunk, or were lost with it.
    """

    def __init__(
        self,
        folder: Path,
        topics: Sequence[Topic],
        parameters: WriterParameters | None = None,
        software: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.files: list[FileFacts] = []
        self.unwritten: Counter[str] = Counter()
        self._topics = {t.name: t for t in topics}
        self._parameters = parameters or WriterParameters()
        self._software = software or {}
        self._attachments: dict[str, Attachment] = {}
        self._broken = False
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(f"{folder}: is there already; expected a folder that is not") from None
        self._open()

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self.folder / self.files[-1].name

    def write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """One serialized message that came at stamp_ns [ns of the epoch]. KeyError on a topic not announced."""
        facts = self.files[-1]
        self.unwritten[topic] += 1
        if facts.messages and self._is_over(facts, stamp_ns, len(data)):
            self._finish()
            self.unwritten[topic] += 1
            self._open()
            facts = self.files[-1]
        with self._whole_or_broken():
            self._mcap.add_message(self._channels[topic], stamp_ns, data, stamp_ns)
        if self._output.grew:  # the chunk was full, and is written
            self.unwritten.clear()
        facts.add(topic, stamp_ns)
        self._size += len(data) + _MESSAGE_OVERHEAD_BYTES

    def attach(self, attachment: Attachment) -> None:
        """Puts a file into the bag: into this MCAP file and into every later one. The newest of a name counts."""
        self._attachments[attachment.name] = attachment
        self._add(attachment)

    def flush(self) -> None:
        """Hands everything to the kernel. Raises DiskFullError where the disk has less than `keep_free_mb` left."""
        with self._whole_or_broken():
            self._mcap.flush()
        self.unwritten.clear()
        disk = os.statvfs(self.folder)
        free_mb, keep_mb = disk.f_bavail * disk.f_frsize / 1e6, self._parameters.keep_free_mb
        if free_mb < keep_mb:
            text = f"{free_mb:.0f} MB are left on the disk; recording leaves {keep_mb:g} MB to others (--keep-free-mb)"
            raise DiskFullError(errno.ENOSPC, text, str(self.folder))

    def duplicate_descriptor(self) -> int:
        """A descriptor of the file being written, for who wants to see it on the disk (fsync); theirs to close."""
        return os.dup(self._output.descriptor)

    def close(self) -> None:
        """Ends the file with its index and lists all whole files in metadata.yaml."""
        if self._broken:
            self._output.close()
        else:
            self._finish()

    def _is_over(self, facts: FileFacts, stamp_ns: int, size: int) -> bool:
        too_large = self._size + size + _MESSAGE_OVERHEAD_BYTES > self._parameters.split_mb * 1e6
        return too_large or stamp_ns - facts.first_ns >= self._parameters.split_s * 1e9

    def _open(self) -> None:
        name = f"{self.folder.name}_{len(self.files)}.mcap"
        self._output = _Output(self.folder / name)
        self.files.append(FileFacts(name))
        # Uncompressed: pictures hardly shrink, and a robot has other work for its processor.
        self._mcap = Writer(cast(Any, self._output), CHUNK_BYTES, CompressionType.NONE)
        with self._whole_or_broken():
            self._mcap.start(profile="ros2")
            self._mcap.add_metadata("sapave", self._software)
        schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        for t in self._topics.values():
            if t.type not in schemas:
                schemas[t.type] = self._mcap.register_schema(t.full_type, "ros2msg", t.definition.encode())
            about = {"offered_qos_profiles": t.qos, "topic_type_hash": t.type_hash}
            self._channels[t.name] = self._mcap.register_channel(t.name, "cdr", schemas[t.type], about)
        for attachment in self._attachments.values():
            self._add(attachment)
        self._size = self._output.tell()

    def _add(self, attachment: Attachment) -> None:
        with self._whole_or_broken():
            a = attachment
            self._mcap.add_attachment(a.stamp_ns, a.stamp_ns, a.name, a.media_type, a.data)

    def _finish(self) -> None:
        with self._whole_or_broken():
            self._mcap.finish()
        self.unwritten.clear()
        self._output.close()
        self._broken = True  # should the rest fail: this file is whole, and there is none to write to
        metadata.write(self.folder, list(self._topics.values()), self.files)
        self._broken = False

    def _whole_or_broken(self) -> _WholeOrBroken:
        return _WholeOrBroken(self)


class _WholeOrBroken:
    """Around what writes: afterwards the file ends with a whole record, or the writer is broken and the file is cut."""

    def __init__(self, writer: BagWriter) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        self._writer._output.mark()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer._broken = True
            self._writer._output.cut()


class _Output:
    """The file under the MCAP writer, without a buffer of its own: written or an exception, and nothing in between."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._position = self._mark = 0

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            written = self._file.write(left)
            self._position += written
            left = left[written:]
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """There is nothing to flush."""

    def mark(self) -> None:
        self._mark = self._position

    @property
    def grew(self) -> bool:
        """Whether something has been written since the mark."""
        return self._position > self._mark

    def cut(self) -> None:
        """Takes back what has been written since the mark."""
        self._file.truncate(self._mark)

    def close(self) -> None:
        self._file.close()
