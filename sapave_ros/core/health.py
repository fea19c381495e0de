"""Ages, rates and stamps of streams, and the nodes' own reports. It fails closed: what was never seen is lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sapave_ros import g1
from sapave_ros.core.faults import Fault
from sapave_ros.core.policy_health import PolicyHealth
from sapave_ros.graph import HEAD_INCREMENTS, HEALTH, JOINT_STATES, STREAMS, stream

WATCHER = "watchdog"
RATE_WINDOW = 50  # messages
RATE_SPAN_S, RATE_AT_LEAST = 2.0, 3
"""A rate is judged over what should have come in this long [s], and over so many messages at least."""

SLOW_SHARE = 0.2
"""Share of the table's rate below which a stream is slow: a camera at less than 6 of 30 Hz starves the policy."""

STAMP_AHEAD_S = 0.05
"""How far a stamp may lie ahead of this computer's clock [s]: clocks of two computers under PTP or NTP, and a wait."""

STAMP_SLACK_S = 0.2
"""A stamp may be this much older than the stream's bound [s]: exposure, transport and a busy computer."""

STAMP_SHOWS_S = 0.5
"""How long a wrong stamp is told [s]: one among good ones, which came between two looks, is seen all the same."""


@dataclass
class Watch:
    """One thing that must keep coming.

    stale_after_s: age [s] at which it counts as lost. rate_hz: of the table, None where there is none to keep.
    required: whether it is needed now. required_since_s: since when, for what is needed only at times: it gets
    `stale_after_s` to begin. misstamped: when the newest message with a wrong stamp came, and its age by that [s].
    """

    key: str
    stale_after_s: float
    nominal_hz: float | None = None
    required: bool = True
    required_since_s: float | None = None
    received_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))
    misstamped: tuple[float, float] | None = None

    def add(self, now_s: float, stamp_age_s: float) -> None:
        """A message came in, which says to be `stamp_age_s` old."""
        self.received_s.append(now_s)
        if not -STAMP_AHEAD_S <= stamp_age_s <= self.stale_after_s + STAMP_SLACK_S:
            self.misstamped = (now_s, stamp_age_s)

    def age_s(self, now_s: float) -> float:
        """Since the last message [s]; infinite before the first."""
        return now_s - self.received_s[-1] if self.received_s else float("inf")

    def rate_hz(self, now_s: float) -> float:
        """Mean rate of the last messages [Hz], falling as they stop."""
        if len(self.received_s) < 2:
            return 0.0
        return (len(self.received_s) - 1) / max(now_s - self.received_s[0], 1e-3)

    def stale(self, now_s: float) -> bool:
        grace_s = now_s - self.required_since_s if self.required_since_s is not None else float("inf")
        return self.required and not min(self.age_s(now_s), grace_s) <= self.stale_after_s

    def slow(self, now_s: float) -> bool:
        if not self.required or self.nominal_hz is None or len(self.received_s) < 2:
            return False
        slow_hz = SLOW_SHARE * self.nominal_hz
        last = max(RATE_AT_LEAST, math.ceil(slow_hz * RATE_SPAN_S))  # messages
        since_s = self.received_s[-last - 1] if len(self.received_s) > last else self.received_s[0]
        return now_s - since_s > last / slow_hz

    def wrong_stamp_age_s(self, now_s: float) -> float | None:
        """The age that a message of late said to have, where that cannot be; else None."""
        if not self.required or self.misstamped is None or now_s - self.misstamped[0] > STAMP_SHOWS_S:
            return None
        return self.misstamped[1]


@dataclass(frozen=True)
class Report:
    """What one node finds wrong. held: it has joints that are the robot's own otherwise."""

    node: str
    findings: Mapping[Fault, str]
    held: bool = False
    unknown: tuple[str, ...] = ()  # names that are no faults of this version


def joint_states_key(group: str) -> str:
    """Both controllers publish on one topic; each is watched by the joints that it names."""
    return f"{JOINT_STATES} ({group})"


def report_key(node: str) -> str:
    """All nodes report on one topic; each is watched by its name."""
    return f"{HEALTH} ({node})"


_OWNERS: dict[str, frozenset[str]] = {
    joint_states_key("head"): frozenset(g1.HEAD.names),
    joint_states_key("arms"): frozenset(g1.OTHER.names),
}


class Health:
    """The watched streams (those of the table that the watchdog subscribes to and that have a bound), and the reports.

    reports: newest of each node. policy: what its chunks tell about it.
    """

    def __init__(self, watches: Iterable[Watch] | None = None) -> None:
        self.watches = {w.key: w for w in (watches if watches is not None else watches_of_table())}
        self.reports: dict[str, Report] = {}
        self.policy = PolicyHealth()

    @property
    def arms_held(self) -> bool:
        """Whether a controller still has joints that are the robot's own otherwise."""
        return any(report.held for report in self.reports.values())

    def received(self, key: str, now_s: float, stamp_age_s: float = 0.0) -> None:
        """A message of `key` came in at monotonic time `now_s`, stamped `stamp_age_s` before that by ROS time.

        KeyError where that is not watched.
        """
        self.watches[key].add(now_s, stamp_age_s)

    def joints_received(self, names: Collection[str], now_s: float, stamp_age_s: float = 0.0) -> None:
        """A JointState with these joints came in; a message that lacks a joint of its owner does not count."""
        for key, joints in _OWNERS.items():
            if joints.issubset(names):
                self.received(key, now_s, stamp_age_s)

    def reported(self, report: Report, now_s: float) -> None:
        """A node's report came in; a node that the table does not know reports for nobody."""
        key = report_key(report.node)
        if key in self.watches:
            self.reports[report.node] = report
            self.received(key, now_s)

    def require(self, key: str, needed: bool, now_s: float) -> None:
        """Begin or end to need a stream. Saying it again does not renew its time to begin."""
        watch = self.watches[key]
        if needed and not watch.required:
            watch.required_since_s = now_s
        watch.required = needed

    def findings(self, now_s: float) -> dict[Fault, str]:
        """What is wrong now: fault to detail."""
        found: dict[Fault, list[str]] = {}
        for watch in self.watches.values():
            if watch.stale(now_s):
                age_s = watch.age_s(now_s)
                age = "never seen" if age_s == float("inf") else f"{age_s:.2f} s old, at most {watch.stale_after_s:g} s"
                found.setdefault(Fault.STREAM_LOST, []).append(f"{watch.key} {age}")
            elif watch.slow(now_s):
                text = f"{watch.key} at {watch.rate_hz(now_s):.1f} Hz, expected {watch.nominal_hz:g}"
                found.setdefault(Fault.STREAM_SLOW, []).append(text)
            stamp_age_s = watch.wrong_stamp_age_s(now_s)
            if stamp_age_s is not None:
                text = f"{watch.key} came with a stamp {stamp_age_s:+.2f} s old"
                found.setdefault(Fault.CLOCKS_DISAGREE, []).append(text)
        for report in self.reports.values():
            for fault, detail in report.findings.items():
                found.setdefault(fault, []).append(detail)
            for name in report.unknown:
                found.setdefault(Fault.STREAM_LOST, []).append(
                    f"{report_key(report.node)}: no fault is called {name!r}"
                )
        for fault, detail in self.policy.findings(now_s).items():
            found.setdefault(fault, []).append(detail)
        return {fault: "; ".join(details) for fault, details in found.items()}


def watches_of_table() -> list[Watch]:
    """One watch per stream of the table; two for the joints, one per reporting node, and increments on demand."""
    watches = []
    for s in STREAMS:
        if WATCHER not in s.subscribers or s.stale_after_s is None:
            continue
        keys = {
            JOINT_STATES: list(_OWNERS),
            HEALTH: [report_key(node) for node in stream(HEALTH).publishers],
        }.get(s.topic, [s.topic])
        # A policy may have a rate of its own; that it lags is told by its chunks.
        nominal_hz = None if s.topic == HEAD_INCREMENTS else s.rate_hz
        watches += [Watch(key, s.stale_after_s, nominal_hz, required=s.topic != HEAD_INCREMENTS) for key in keys]
    return watches
