"""Which message of a bag is due: a playhead on a clock that is given, and a thread that reads ahead of it.

    player = Player(bag, PlayParameters(rate=2.0))
    while not player.ended:
        while (message := player.next(now_s())) is not None:
            ...
        time.sleep(player.due_in_s(now_s()))

Not for use by several threads.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sapave_ros.bag.reader import Bag, BagMessage
from sapave_ros.parameters import ParameterError, check, parameter

ROOM_BYTES = 64_000_000
"""What is read ahead: two seconds of 640 x 480 colour and depth at 20 Hz."""

LATE_S = 0.1
"""A message that goes out later than this after its time is counted as late [s]."""

SET_BACK_NS = 1_000_000_000
"""Where stamps go back by more than this, the clock was set back while the bag was recorded [ns]."""

_RATE = (0.01, 100.0)


@dataclass(frozen=True)
class PlayParameters:
    """What of a bag is played, and how."""

    rate: float = parameter(1.0, low=_RATE[0], high=_RATE[1], doc="how much faster than it was recorded")
    start_s: float = parameter(0.0, unit="s", low=0.0, doc="begin this long after the bag's first message")
    duration_s: float | None = parameter(None, unit="s", low=0.001, doc="end this long after the beginning")
    loop: bool = parameter(False, doc="begin anew at the end")
    paused: bool = parameter(False, doc="wait at the beginning to be resumed")

    def __post_init__(self) -> None:
        check(self)


@dataclass
class Tally:
    """Messages of one topic so far. late: went out, but more than `LATE_S` after its time. dropped: too late."""

    sent: int = 0
    late: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Placed:
    """A message and its place in the bag's time [ns], which never goes back as the stamps of a bag may.

    Messages that were recorded a little out of order have the same place. set_back_ns: by how much the clock has been
    set back in the recording so far; place less this is the clock's time.
    """

    place_ns: int
    set_back_ns: int
    message: BagMessage


def placed(messages: Iterable[BagMessage]) -> Iterator[Placed]:
    """Every message with its place."""
    newest_ns, set_back_ns = None, 0
    for message in messages:
        place_ns = message.stamp_ns + set_back_ns
        if newest_ns is not None and place_ns < newest_ns - SET_BACK_NS:
            set_back_ns += newest_ns - place_ns
            place_ns = newest_ns
        newest_ns = place_ns if newest_ns is None else max(newest_ns, place_ns)
        yield Placed(newest_ns, set_back_ns, message)


class Playhead:
    """Where the replay is in the bag's time [ns], which runs at a rate of another clock [s], or stands still."""

    def __init__(self, at_ns: int, rate: float) -> None:
        self.rate = rate
        self._at_ns = at_ns
        self._since_s: float | None = None

    def at_ns(self, now_s: float) -> int:
        if self._since_s is None:
            return self._at_ns
        return self._at_ns + round((now_s - self._since_s) * self.rate * 1e9)

    def stand(self, now_s: float) -> None:
        self._at_ns, self._since_s = self.at_ns(now_s), None

    def run(self, now_s: float) -> None:
        self._at_ns, self._since_s = self.at_ns(now_s), now_s

    def set_rate(self, rate: float, now_s: float) -> None:
        at_ns = self.at_ns(now_s)
        if self._since_s is not None:
            self._since_s = now_s
        self._at_ns, self.rate = at_ns, rate

    def move(self, to_ns: int, now_s: float) -> None:
        if self._since_s is not None:
            self._since_s = now_s
        self._at_ns = to_ns


class ReadAhead:
    """Reads messages in a thread of its own, as far ahead as there is room.

    messages: in the order of the bag. from_ns: what comes before the first message of that place or later is passed
    over; of the topics `kept` the newest of it is in `before`. room_bytes: for what waits; one message always has room.
    convert: topic to what makes its bytes those that are handed out; runs in that thread.

    ready: whether the first message is there, or all have been read. failure: what has ended the reading early.
    """

    def __init__(
        self,
        messages: Iterable[BagMessage],
        from_ns: int,
        kept: Collection[str] = (),
        room_bytes: int = ROOM_BYTES,
        convert: Mapping[str, Callable[[bytes], bytes]] | None = None,
    ) -> None:
        self.before: dict[str, BagMessage] = {}
        self.failure: Exception | None = None
        self._messages, self._from_ns, self._kept, self._limit = messages, from_ns, kept, room_bytes
        self._convert = convert or {}
        self._waiting: deque[Placed] = deque()
        self._used = 0
        self._finished = self._closed = False
        self._news = threading.Condition()
        # A daemon: it only reads, and must not keep a process from ending that nobody closed it in.
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        with self._news:
            return bool(self._waiting) or self._finished

    @property
    def exhausted(self) -> bool:
        """Whether all has been read and taken."""
        with self._news:
            return self._finished and not self._waiting

    @property
    def waiting_bytes(self) -> int:
        """What has been read and not been taken."""
        return self._used

    def wait_ready(self, timeout_s: float) -> bool:
        """Waits for `ready`; says whether it came."""
        with self._news:
            return self._news.wait_for(lambda: bool(self._waiting) or self._finished, timeout_s)

    def peek(self) -> Placed | None:
        """The next message, None where there is none (yet)."""
        with self._news:
            return self._waiting[0] if self._waiting else None

    def take(self) -> None:
        """Takes the message that `peek` shows."""
        with self._news:
            self._used -= len(self._waiting.popleft().message.data)
            self._news.notify_all()

    def close(self) -> None:
        """Ends the reading and waits for the thread."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            begun = False
            for item in placed(self._messages):
                begun = begun or item.place_ns >= self._from_ns
                if begun:
                    self._put(item)
                elif item.message.topic in self._kept:
                    self.before[item.message.topic] = item.message
                if self._closed:
                    return
        except Exception as error:  # whoever takes is told: a disk that went away, for one
            self.failure = error
        finally:
            with self._news:
                self._finished = True
                self._news.notify_all()

    def _put(self, item: Placed) -> None:
        if (convert := self._convert.get(item.message.topic)) is not None:
            item = replace(item, message=replace(item.message, data=convert(item.message.data)))
        size = len(item.message.data)
        with self._news:
            self._news.wait_for(lambda: self._closed or not self._waiting or self._used + size <= self._limit)
            self._waiting.append(item)
            self._used += size
            self._news.notify_all()


class Player:
    """The messages of a bag, in recorded order, as they fall due.

    topics: those that are played, all where None. kept: topics whose newest message counts until the next one, with the
    message that says nothing: what was said last before the place where playing begins comes first, and after a jump to
    where nothing had been said yet, that. perishable: topic to the lateness [s] from which a message is of no use any
    more and is dropped. say: is told of every place where the bag's time does not just run on. convert: as `ReadAhead`
    takes it.

    Raises ParameterError where the start is beyond the end, BagError on a topic that the bag does not have.
    """

    def __init__(
        self,
        bag: Bag,
        parameters: PlayParameters | None = None,
        topics: Collection[str] | None = None,
        kept: Mapping[str, bytes] | None = None,
        perishable: Mapping[str, float] | None = None,
        say: Callable[[str], None] = lambda text: None,
        room_bytes: int = ROOM_BYTES,
        convert: Mapping[str, Callable[[bytes], bytes]] | None = None,
    ) -> None:
        self._bag, self._topics, self._say, self._room_bytes = bag, topics, say, room_bytes
        self._convert = convert
        use = parameters or PlayParameters()
        self._kept, self._perishable = dict(kept or {}), dict(perishable or {})
        self.first_ns, last_ns = _span_ns(placed(bag.messages(topics)))
        length_s = (last_ns - self.first_ns) * 1e-9
        if use.start_s > length_s:
            raise ParameterError(f"start: {use.start_s:g} s; expected at most the bag's length, {length_s:.3f} s")
        self.begin_ns = self.first_ns + round(use.start_s * 1e9)
        self._stop_ns = last_ns + 1  # the first place that is not played
        if use.duration_s is not None:
            self._stop_ns = min(self._stop_ns, self.begin_ns + round(use.duration_s * 1e9))
        self.end_ns = min(last_ns, self._stop_ns)
        self.paused, self._loop = use.paused, use.loop
        self.loops, self.ended = 0, False
        self.tallies = {topic: Tally() for topic in (bag.counts if topics is None else topics)}
        self._playhead = Playhead(self.begin_ns, use.rate)
        self._told: set[str] = set()
        self._first: deque[BagMessage] = deque()
        self._set_back_ns = 0
        self._ahead = self._read(self.begin_ns)

    @property
    def rate(self) -> float:
        return self._playhead.rate

    def at_ns(self, now_s: float) -> int:
        """Where in the bag's time the replay is at now_s [s], as `Placed` has it."""
        return min(self._playhead.at_ns(now_s), self.end_ns)

    def clock_ns(self, now_s: float) -> int:
        """What the clock of the recording said there [ns of the epoch]."""
        return self.at_ns(now_s) - self._set_back_ns

    def at_s(self, now_s: float) -> float:
        """The same, after the bag's first message [s]."""
        return (self.at_ns(now_s) - self.first_ns) * 1e-9

    def wait_ready(self, timeout_s: float) -> bool:
        """Waits until the first message has been read; says whether it has."""
        return self._ahead.wait_ready(timeout_s)

    def next(self, now_s: float) -> BagMessage | None:
        """The next message if it is due at now_s [s]. Raises what reading the bag has raised."""
        if not self._begun and not self._begin(now_s):
            return None
        if self._first:
            return self._hand_out(self._first.popleft(), 0.0)
        while not (self.paused or self.ended):
            item = self._due(now_s)
            if item is None:
                return None
            message, late_s = item.message, (self._playhead.at_ns(now_s) - item.place_ns) * 1e-9 / self.rate
            if late_s <= self._perishable.get(message.topic, math.inf):
                return self._hand_out(message, late_s)
            self.tallies[message.topic].dropped += 1
        return None

    def due_in_s(self, now_s: float) -> float:
        """How long until `next` has something, as far as that is known now [s]."""
        if self.paused or self.ended or not self._begun:
            return math.inf
        item = self._ahead.peek()
        if item is None:
            return 0.0 if self._ahead.exhausted else math.inf
        due_ns = min(self._stop_ns, item.place_ns)
        return max(0.0, (due_ns - self._playhead.at_ns(now_s)) * 1e-9 / self.rate)

    def pause(self, now_s: float) -> None:
        self._playhead.stand(now_s)
        self.paused = True

    def resume(self, now_s: float) -> None:
        self.paused = False
        if self._begun:
            self._playhead.run(now_s)

    def set_rate(self, rate: float, now_s: float) -> None:
        """Goes on at that rate, or at the nearest one that there is."""
        self._playhead.set_rate(min(max(rate, _RATE[0]), _RATE[1]), now_s)

    def seek(self, to_ns: int, now_s: float) -> None:
        """Goes on from that place, or from the nearest end of what is played."""
        from_s = self.at_s(now_s)
        self._jump(min(max(to_ns, self.begin_ns), self.end_ns), now_s)
        self._say(f"from {from_s:.3f} s to {self.at_s(now_s):.3f} s")

    def close(self) -> None:
        """Ends the reading."""
        self._ahead.close()

    def _read(self, from_ns: int) -> ReadAhead:
        self._begun = False
        return ReadAhead(self._bag.messages(self._topics), from_ns, self._kept, self._room_bytes, self._convert)

    def _begin(self, now_s: float) -> bool:
        """Once the first message is there, time runs; until then it stands: reading up to there may take a while."""
        if not self._ahead.ready:
            return False
        self._begun = True
        item = self._ahead.peek()
        self._set_back_ns = item.set_back_ns if item is not None else self._set_back_ns
        for topic, nothing in self._kept.items():
            if topic in self._ahead.before:
                self._first.append(self._ahead.before[topic])
            elif topic in self._told:
                self._first.append(BagMessage(topic, self.clock_ns(now_s), nothing))
        if not self.paused:
            self._playhead.run(now_s)
        return True

    def _due(self, now_s: float) -> Placed | None:
        item, at_ns = self._ahead.peek(), self._playhead.at_ns(now_s)
        if item is None:
            if self._ahead.exhausted:
                if self._ahead.failure is not None:
                    raise self._ahead.failure
                self._finish(now_s)
            return None
        if at_ns >= self._stop_ns and item.place_ns >= self._stop_ns:
            self._finish(now_s)
            return None
        if item.place_ns > at_ns:
            return None
        self._ahead.take()
        if item.set_back_ns != self._set_back_ns:
            back_s = (item.set_back_ns - self._set_back_ns) * 1e-9
            self._set_back_ns = item.set_back_ns
            self._say(f"here the clock was set back by {back_s:.3f} s while this was recorded")
        return item

    def _finish(self, now_s: float) -> None:
        if self._loop:
            self.loops += 1
            self._jump(self.begin_ns, now_s)
            self._say(f"loop {self.loops}: back to {self.at_s(now_s):.3f} s")
        else:
            self.ended = True
            self._playhead.stand(now_s)

    def _jump(self, to_ns: int, now_s: float) -> None:
        self._ahead.close()
        self._first.clear()
        self.ended = False
        self._playhead.stand(now_s)
        self._playhead.move(to_ns, now_s)
        self._ahead = self._read(to_ns)

    def _hand_out(self, message: BagMessage, late_s: float) -> BagMessage:
        tally = self.tallies[message.topic]
        tally.sent += 1
        tally.late += late_s > LATE_S
        if message.topic in self._kept:
            self._told.add(message.topic)
        return message


def _span_ns(items: Iterator[Placed]) -> tuple[int, int]:
    """The first and the last place."""
    first = next(items)
    last = deque(items, maxlen=1)
    return first.place_ns, (last[0] if last else first).place_ns
