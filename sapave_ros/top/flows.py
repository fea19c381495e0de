"""The streams of the table as they come by: how often, how old, and whether that is what the table says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sapave_ros import graph
from sapave_ros.core.health import Watch
from sapave_ros.graph import Stream

T = TypeVar("T")


@dataclass(frozen=True)
class Flow:
    """One stream now. rate_hz, nominal_hz: of all its publishers together. age_s: since the last message, infinite
    before the first. wrong: "never", "stale" or "slow" by the table, where it has a bound for the stream's age.
    """

    topic: str
    rate_hz: float
    nominal_hz: float
    age_s: float
    wrong: str


class Newest(Generic[T]):
    """The newest that each node said, for as long as it may be believed: who is gone is not well."""

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._said: dict[str, tuple[float, T]] = {}

    def add(self, node: str, what: T, now_s: float) -> None:
        self._said[node] = now_s, what

    def now(self, now_s: float) -> dict[str, T]:
        """By node, without what is older than max_age_s [s]."""
        return {node: what for node, (then_s, what) in self._said.items() if now_s - then_s <= self._max_age_s}


class Flows:
    """What came of each stream that has a rate. Pictures are left out: a further reader of them would load what is
    looked at, and `graph.CAMERA_INFO` comes with every one."""

    def __init__(self, streams: Iterable[Stream] = graph.STREAMS) -> None:
        self.streams = tuple(s for s in streams if s.rate_hz is not None and s.type != graph.IMAGE)
        self._watches = {
            s.topic: Watch(s.topic, s.stale_after_s or float("inf"), (s.rate_hz or 0.0) * len(s.publishers))
            for s in self.streams
        }

    def add(self, topic: str, now_s: float) -> None:
        """A message came in at monotonic time now_s [s]. KeyError where that is no stream of these."""
        self._watches[topic].add(now_s, 0.0)

    def now(self, now_s: float) -> list[Flow]:
        """In the order of the table."""
        return [
            Flow(topic, w.rate_hz(now_s), w.nominal_hz or 0.0, w.age_s(now_s), self._wrong(w, now_s))
            for topic, w in self._watches.items()
        ]

    def _wrong(self, watch: Watch, now_s: float) -> str:
        if math.isinf(watch.stale_after_s):
            return ""
        if not watch.received_s:
            return "never"
        if watch.stale(now_s):
            return "stale"
        return "slow" if watch.slow(now_s) else ""
