"""Ages and rates of streams. It fails closed: what was never seen is stale."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sapave_ros import g1
from sapave_ros.graph import HEAD_INCREMENTS, JOINT_STATES, STREAMS

WATCHER = "watchdog"
RATE_WINDOW = 50  # messages


@dataclass
class Watch:
    """One thing that must keep coming.

    stale_after_s: age [s] at which it counts as dead. required: whether it is needed now. required_since_s:
    since when, for what is needed only at times: it gets `stale_after_s` to begin.
    """

    key: str
    stale_after_s: float
    required: bool = True
    required_since_s: float | None = None
    received_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))

    def age_s(self, now_s: float) -> float:
        """Since the last message [s]; infinite before the first."""
        return now_s - self.received_s[-1] if self.received_s else float("inf")

    def rate_hz(self, now_s: float) -> float:
        """Mean rate of the last messages [Hz], falling as they stop."""
        if len(self.received_s) < 2:
            return 0.0
        return (len(self.received_s) - 1) / max(now_s - self.received_s[0], 1e-3)

    def stale(self, now_s: float) -> bool:
        if not self.required:
            return False
        grace_s = now_s - self.required_since_s if self.required_since_s is not None else float("inf")
        return not min(self.age_s(now_s), grace_s) <= self.stale_after_s


def joint_states_key(group: str) -> str:
    """Both controllers publish on one topic; each is watched by the joints that it names."""
    return f"{JOINT_STATES} ({group})"


_OWNERS: dict[str, frozenset[str]] = {
    joint_states_key("head"): frozenset(g1.HEAD.names),
    joint_states_key("arms"): frozenset(g1.OTHER.names),
}


class Health:
    """The watched streams: those of the table that the watchdog subscribes to and that have a bound."""

    def __init__(self, watches: Iterable[Watch] | None = None) -> None:
        self.watches = {w.key: w for w in (watches if watches is not None else watches_of_table())}

    def received(self, key: str, now_s: float) -> None:
        """A message of `key` came in at monotonic time `now_s`. KeyError where that is not watched."""
        self.watches[key].received_s.append(now_s)

    def joints_received(self, names: Collection[str], now_s: float) -> None:
        """A JointState with these joints came in; a message that lacks a joint of its owner does not count."""
        for key, joints in _OWNERS.items():
            if joints.issubset(names):
                self.received(key, now_s)

    def require(self, key: str, needed: bool, now_s: float) -> None:
        """Begin or end to need a stream. Saying it again does not renew its time to begin."""
        watch = self.watches[key]
        if needed and not watch.required:
            watch.required_since_s = now_s
        watch.required = needed

    def stale(self, now_s: float) -> str:
        """What is missing or too old, for people; empty when everything is fresh."""
        dead = []
        for watch in self.watches.values():
            if watch.stale(now_s):
                age_s = watch.age_s(now_s)
                age = "never seen" if age_s == float("inf") else f"{age_s:.2f} s old, at most {watch.stale_after_s:g} s"
                dead.append(f"{watch.key} {age}")
        return "; ".join(dead)


def watches_of_table() -> list[Watch]:
    """One watch per stream of the table; two for the joints, and increments only while there is an instruction."""
    watches = []
    for stream in STREAMS:
        if WATCHER not in stream.subscribers or stream.stale_after_s is None:
            continue
        keys = list(_OWNERS) if stream.topic == JOINT_STATES else [stream.topic]
        watches += [Watch(key, stream.stale_after_s, required=key != HEAD_INCREMENTS) for key in keys]
    return watches
