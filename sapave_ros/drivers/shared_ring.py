"""A ring of records in memory that processes share: one writer, any number of readers.

Used between processes on one machine where a socket would cost more than the work. What has the ring's name is a link
to the writer's memory, not a file of its own: pages of a file are written to the disk every few seconds, and who
writes into them meanwhile waits for the disk. The newest record is always whole: each slot carries a counter that is
odd while the slot is written, and a reader that saw it change throws its copy away. Needs numpy and the standard
library only.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import secrets
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"SAPAVERG"
VERSION = 1
_META_BYTES = 1024
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("slots", "<u4"),
        ("slot_bytes", "<u8"),
        ("session", "<u8"),
        ("latest", "<u8"),  # sequence of the newest whole record, 0 = none yet
        ("kind", "S16"),
        ("meta", f"S{_META_BYTES}"),
    ]
)
_DATA_OFFSET = 4096
_LOCK = struct.Struct("<Q")
_LOCKED = struct.Struct("<QQ")
"""The head of a slot: lock, sequence."""


class RingError(OSError):
    """The file is not a ring, or not the one that was expected; the message names file, field, and both values."""


def _slot_dtype(payload: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("lock", "<u8"), ("sequence", "<u8"), ("payload", payload)], align=True)


def _offset(layout: np.dtype[Any], field: str) -> int:
    assert layout.fields is not None
    return layout.fields[field][1]


class RingWriter:
    """Creates the memory and owns it; the link appears when all is there, and disappears with `close`. A writer that
    was killed leaves a link to nothing behind, which the next one replaces.

    kind: what the records are, in at most 15 letters. payload: layout of one record. meta: what a reader
    needs to know about all of them, JSON of at most 1 kB. Raises FileExistsError where `path` is something
    else, RingError where another process still writes it.
    """

    def __init__(
        self, path: str | Path, kind: str, payload: np.dtype[Any], meta: Mapping[str, Any], slots: int = 4
    ) -> None:
        self.path = Path(path)
        _refuse_to_replace(self.path)
        text = json.dumps(dict(meta)).encode()
        if len(text) >= _META_BYTES:
            raise ValueError(f"meta: {len(text)} bytes, at most {_META_BYTES - 1}")
        slot = _slot_dtype(payload)
        self._file = open(os.memfd_create(self.path.name), "w+b")  # noqa: SIM115 - stays open: it carries the lock
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._header: Any = None
        self._slots: Any = None
        self._slot, self._count = slot, slots
        self._payload_at = _offset(slot, "payload")
        self._file.truncate(_DATA_OFFSET + slots * slot.itemsize)
        self._header = np.memmap(self._file, _HEADER, "r+", shape=(1,))
        self._slots = np.memmap(self._file, slot, "r+", offset=_DATA_OFFSET, shape=(slots,))
        self._header[0] = (MAGIC, VERSION, slots, slot.itemsize, secrets.randbits(63), 0, kind.encode(), text)
        self._sequence = 0
        # The same memory as bytes: a small record goes in at a tenth of what numpy's fields cost.
        self._bytes = self._slots.view(np.uint8).data
        self._bytes[:: mmap.PAGESIZE] = bytes(-(-len(self._bytes) // mmap.PAGESIZE))  # pages now, not within a write
        self._latest = self._header.view(np.uint8).data[_offset(_HEADER, "latest") :]
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        new.unlink(missing_ok=True)
        new.symlink_to(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        os.replace(new, self.path)

    def write(self, **fields: Any) -> int:
        """Appends one record, fields by name of the payload; returns its sequence, counting from 1."""
        self._sequence += 1
        slot = self._slots[self._sequence % len(self._slots)]
        slot["lock"] = 2 * self._sequence - 1
        slot["sequence"] = self._sequence
        payload = slot["payload"]
        for name, value in fields.items():
            payload[name] = value
        slot["lock"] = 2 * self._sequence
        self._header[0]["latest"] = self._sequence
        return self._sequence

    def write_record(self, record: memoryview) -> int:
        """`write` for who has all bytes of the record ready, in the payload's layout: a fraction of the cost."""
        self._sequence = n = self._sequence + 1
        at = n % self._count * self._slot.itemsize
        _LOCKED.pack_into(self._bytes, at, 2 * n - 1, n)
        at += self._payload_at
        self._bytes[at : at + len(record)] = record
        _LOCK.pack_into(self._bytes, at - self._payload_at, 2 * n)
        _LOCK.pack_into(self._latest, 0, n)
        return n

    def close(self) -> None:
        """Removes the link, unless somebody put another in its place."""
        if self._file.closed:
            return
        if (
            not _left_behind(self.path)
            and self.path.exists()
            and os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        ):
            self.path.unlink()
        self._header = self._slots = None
        self._bytes = self._latest = memoryview(b"")
        fcntl.flock(self._file, fcntl.LOCK_UN)  # the mapping holds a duplicate of the file
        self._file.close()


def _left_behind(path: Path) -> bool:
    """Whether it is the link of a writer that is no more: to nothing, or, as numbers of processes come again (in a
    container with every run), to what another has open there. Told without opening it: that may be a pipe."""
    try:
        memory = os.readlink(path)
    except OSError:
        return False  # not there, or a file
    try:
        return memory.startswith("/proc/") and not os.readlink(memory).startswith(f"/memfd:{path.name} ")
    except OSError:
        return True


def _refuse_to_replace(path: Path) -> None:
    if _left_behind(path) or not path.exists():
        return
    with open(path, "rb") as f:
        if f.read(len(MAGIC)) != MAGIC:
            raise FileExistsError(f"{path} exists and is not a ring; expected a free name")
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RingError(f"{path}: another process writes it") from None


class RingReader:
    """Reads a ring that another process writes, and follows it when that process restarts.

    kind: what is expected. payload: from the ring's meta to the layout of one record. Raises
    FileNotFoundError where there is no file, RingError where it is not such a ring.
    """

    def __init__(self, path: str | Path, kind: str, payload: Callable[[dict[str, Any]], np.dtype[Any]]) -> None:
        self.path = Path(path)
        self._kind = kind
        self._payload = payload
        self._inode = -1
        self._restarted = False
        self._header: Any = None
        self._slots: Any = None
        self._open()

    @property
    def session(self) -> int:
        """Number of the writer's life; another after it restarted."""
        return int(self._header[0]["session"])

    @property
    def latest(self) -> int:
        """Sequence of the newest record, 0 for none yet."""
        return int(self._header[0]["latest"])

    def latest_after(self, sequence: int) -> tuple[int, Any] | None:
        """The newest record and its sequence, None where none is newer than `sequence`.

        After the writer restarted, its first record counts as newer than any of the writer before. Raises
        RingError where something else came in its place.
        """
        self._follow()
        for _ in range(3):  # more than one miss means a writer that laps us: the next newest will do
            newest = self.latest
            if newest == 0 or (newest <= sequence and not self._restarted):
                return None
            record = self._copy(newest)
            if record is not None:
                self._restarted = False
                return newest, record
        return None

    def all_after(self, sequence: int) -> list[tuple[int, Any]]:
        """Every record still in the ring that is newer than `sequence`, oldest first."""
        self._follow()
        if self._restarted:
            self._restarted, sequence = False, 0
        newest = self.latest
        oldest = max(sequence + 1, newest - len(self._slots) + 2)  # the slot after the newest is written next
        records = [(i, self._copy(i)) for i in range(oldest, newest + 1)]
        return [(i, r) for i, r in records if r is not None]

    def array_after(self, sequence: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """As `all_after` in one copy: sequences (N,) and records (N,)."""
        self._follow()
        if self._restarted:
            self._restarted, sequence = False, 0
        newest = self.latest
        oldest = max(sequence + 1, newest - len(self._slots) + 2)
        wanted = np.arange(oldest, newest + 1, dtype=np.int64)
        index = wanted % len(self._slots)
        before = self._slots["lock"][index]
        slots = self._slots[index]
        same = (before % 2 == 0) & (slots["sequence"] == wanted) & (self._slots["lock"][index] == before)
        return wanted[same], slots["payload"][same]

    def close(self) -> None:
        """Lets go of the memory."""
        self._header = self._slots = None

    def _copy(self, sequence: int) -> Any | None:
        slot = self._slots[sequence % len(self._slots)]
        before = int(slot["lock"])
        if before % 2 or int(slot["sequence"]) != sequence:
            return None
        record = slot["payload"].copy()
        return record if int(slot["lock"]) == before else None

    def _follow(self) -> None:
        if _left_behind(self.path):
            return  # the writer is gone; what it wrote last stays readable, and gets no newer
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            return  # likewise
        if inode != self._inode:
            self._open()
            self._restarted = True

    def _open(self) -> None:
        try:
            if _left_behind(self.path):
                raise FileNotFoundError
            with open(self.path, "rb") as f:
                inode = os.fstat(f.fileno()).st_ino
                size = os.fstat(f.fileno()).st_size
                if size < _DATA_OFFSET or f.read(len(MAGIC)) != MAGIC:
                    raise RingError(f"{self.path}: not a ring (it does not begin with {MAGIC.decode()})")
                header: Any = np.memmap(f, _HEADER, "r", shape=(1,))
                self._check(header[0], size)
                meta = json.loads(bytes(header[0]["meta"]))
                slot = _slot_dtype(self._payload(meta))
                if int(header[0]["slot_bytes"]) != slot.itemsize:
                    found = int(header[0]["slot_bytes"])
                    raise RingError(f"{self.path}: records of {found} bytes, expected {slot.itemsize}")
                slots: Any = np.memmap(f, slot, "r", offset=_DATA_OFFSET, shape=(int(header[0]["slots"]),))
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: no such ring; is the process that writes it running?") from None
        self._header, self._slots, self._inode = header, slots, inode
        self.meta = meta

    def _check(self, header: Any, size: int) -> None:
        if int(header["version"]) != VERSION:
            raise RingError(f"{self.path}: version {int(header['version'])}, expected {VERSION}")
        kind = bytes(header["kind"]).decode()
        if kind != self._kind:
            raise RingError(f"{self.path}: a ring of {kind!r}, expected {self._kind!r}")
        needed = _DATA_OFFSET + int(header["slots"]) * int(header["slot_bytes"])
        if size < needed:
            raise RingError(f"{self.path}: {size} bytes, expected {needed}: truncated")


def matrix(rows: Any) -> NDArray[np.float64]:
    """A (3, 3) matrix out of JSON. Raises RingError where it is not one."""
    array = np.asarray(rows, dtype=np.float64)
    if array.shape != (3, 3):
        raise RingError(f"intrinsics: shape {array.shape}, expected (3, 3)")
    return array
