"""Between those who hear messages and the disk: a room of bounded size, and a thread that empties it into the bag."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sapave_ros.bag.writer import Attachment

ROOM_BYTES = 256_000_000
"""What may wait for the disk: five seconds of 640 x 480 colour and depth at 30 Hz."""

SMALL_BYTES = 65_536
SMALL_SHARE = 0.1
"""Messages up to SMALL_BYTES have this share of the room for themselves: pictures that the disk is too slow for do not
take state and reasons with them."""

ENTRY_BYTES = 400
"""What a waiting message weighs beside its bytes."""

FLUSH_S = 0.25
"""So often the kernel is given what has come; a process that is killed loses no more than that and a write."""

SYNC_S = 1.0
"""So often the kernel is asked to see it onto the disk, for when the power goes."""

STOP_WITHIN_S = 30.0
"""After so long, a disk that does not take what waits is given up."""


class Sink(Protocol):
    """What the thread writes to; `writer.BagWriter` is one. unwritten: what it took and has not written, by topic."""

    unwritten: Counter[str]

    def write(self, topic: str, stamp_ns: int, data: bytes) -> None: ...

    def attach(self, attachment: Attachment) -> None: ...

    def flush(self) -> None: ...

    def duplicate_descriptor(self) -> int: ...

    def close(self) -> None: ...


@dataclass
class Tally:
    """One topic so far. dropped: heard and not written. first_ns, last_ns: stamps of what was written."""

    written: int = 0
    dropped: int = 0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def rate_hz(self) -> float:
        """Mean rate of what was written [Hz]; 0 where there is too little to tell."""
        span_s = (self.last_ns - self.first_ns) * 1e-9
        return (self.written - 1) / span_s if span_s > 0 else 0.0


class _Job(NamedTuple):
    """What waits: its weight [bytes], its topic (empty: no message), what to do."""

    size: int
    topic: str
    run: Callable[[], None]


@dataclass
class _Room:
    """Jobs in order, with the bytes that they weigh. Nobody waits to put one in."""

    limit: int
    used: int = 0
    jobs: deque[_Job] = field(default_factory=deque)
    closed: bool = False
    news: threading.Condition = field(default_factory=threading.Condition)

    def put(self, job: _Job, limit: float) -> bool:
        with self.news:
            if self.closed or self.used + job.size > limit:
                return False
            self.used += job.size
            self.jobs.append(job)
            self.news.notify()
        return True

    def take(self, timeout_s: float) -> _Job | None:
        """The oldest; None where none comes in time. What was taken still has its place until `leave`."""
        with self.news:
            if not self.jobs and not self.closed:
                self.news.wait(max(0.0, timeout_s))
            return self.jobs.popleft() if self.jobs else None

    def leave(self, job: _Job) -> None:
        with self.news:
            self.used -= job.size

    def close(self) -> None:
        with self.news:
            self.closed = True
            self.news.notify()

    def clear(self) -> Counter[str]:
        """What waits goes nowhere, and its memory comes back; how much of each topic that was."""
        with self.news:
            self.closed = True
            gone = Counter(job.topic for job in self.jobs if job.topic)
            self.used -= sum(job.size for job in self.jobs)
            self.jobs.clear()
        return gone

    @property
    def over(self) -> bool:
        with self.news:
            return self.closed and not self.jobs


class Recorder:
    """Takes messages from any thread without ever waiting, and writes them from its own.

    sink: closed by `stop`. topics: all that will come. convert: topic to what makes its bytes another message, and the
    topic of that; runs in the writing thread, and what it cannot convert (any exception) counts as dropped. room_bytes:
    what may wait for the disk; what does not fit is dropped and counted.

    failure: why recording has ended by itself, None while it goes on. trouble: the newest reason why something that was
    given is not in the bag.
    """

    def __init__(
        self,
        sink: Sink,
        topics: list[str],
        convert: Mapping[str, tuple[str, Callable[[bytes], bytes]]] | None = None,
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        self.failure: str | None = None
        self.trouble = ""
        self.tallies = {topic: Tally() for topic in topics}
        self._sink = sink
        self._convert = convert or {}
        self._room = _Room(room_bytes)
        self._sync = threading.Event()
        # Daemons: a disk that hangs must not keep the process from ending (`stop` gives it time first).
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._syncer = threading.Thread(target=self._synchronise, name="sync", daemon=True)

    @property
    def waiting_bytes(self) -> int:
        """What waits for the disk now."""
        return self._room.used

    def start(self) -> None:
        self._thread.start()
        self._syncer.start()

    def put(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """One serialized message. Never waits and never fails."""
        size, room = len(data) + ENTRY_BYTES, self._room
        limit = room.limit if len(data) <= SMALL_BYTES else room.limit * (1.0 - SMALL_SHARE)
        if not room.put(_Job(size, topic, lambda: self._write(topic, stamp_ns, data)), limit):
            self.tallies[topic].dropped += 1
            self.trouble = self.failure or "the disk does not keep up"

    def attach(self, make: Callable[[], list[Attachment]]) -> None:
        """Files for the bag; `make` runs in the writing thread, so it may read from a disk. What fails is `trouble`."""

        def job() -> None:
            try:
                made = make()
            except Exception as error:  # a bag without its model's manifest is better than none
                self.trouble = f"not attached: {_said(error)}"
                return
            for attachment in made:
                self._sink.attach(attachment)

        self._room.put(_Job(ENTRY_BYTES, "", job), self._room.limit)

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Writes what waits, closes the bag. Sets `failure` where the disk does not take it within that time."""
        self._room.close()
        self._thread.join(within_s)
        if self._thread.is_alive():
            left = self._room.used
            self._drop_waiting()
            self.failure = f"the disk has not taken {left / 1e6:.1f} MB within {within_s:g} s; the bag was not closed"
        self._sync.set()
        self._syncer.join(1.0)

    def _run(self) -> None:
        try:
            self._sink.flush()
            next_flush_s = time.monotonic() + FLUSH_S
            while not self._room.over:
                job = self._room.take(next_flush_s - time.monotonic())
                if job is not None:
                    try:
                        job.run()
                    finally:
                        self._room.leave(job)
                        del job  # else its bytes stay while nothing comes
                if time.monotonic() >= next_flush_s:
                    self._sink.flush()
                    next_flush_s = time.monotonic() + FLUSH_S
        except Exception as error:  # whatever it is, the robot goes on and somebody is told
            self.failure = _said(error)
            self._drop_waiting()
        try:
            self._sink.close()
        except Exception as error:
            self.failure = self.failure or _said(error)
        for topic, tally in self.tallies.items():
            lost = self._sink.unwritten[self._convert[topic][0] if topic in self._convert else topic]
            tally.written, tally.dropped = tally.written - lost, tally.dropped + lost

    def _write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        tally = self.tallies[topic]
        target = topic
        if topic in self._convert:
            target, convert = self._convert[topic]
            try:
                data = convert(data)
            except Exception as error:  # a picture that cannot be encoded is no reason to end
                tally.dropped += 1
                self.trouble = f"{topic}: {error}"
                return
        tally.first_ns = tally.first_ns if tally.written else stamp_ns
        tally.last_ns = stamp_ns
        tally.written += 1  # where the sink fails, this one is among its `unwritten`
        self._sink.write(target, stamp_ns, data)

    def _drop_waiting(self) -> None:
        for topic, number in self._room.clear().items():
            self.tallies[topic].dropped += number

    def _synchronise(self) -> None:
        """Sees the bag onto the disk itself, for when the power goes; in a thread of its own, since that takes long."""
        while not self._sync.wait(SYNC_S):
            try:
                descriptor = self._sink.duplicate_descriptor()
            except (OSError, ValueError):  # between two files, or closed
                continue
            try:
                os.fdatasync(descriptor)
            except OSError:
                pass  # the thread that writes meets the same disk, and says so
            finally:
                os.close(descriptor)


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or repr(error)
