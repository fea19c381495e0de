"""What its chunks tell about a policy: too late, stuck, idle, chattering. Head and arms are judged apart."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.core.faults import Fault
from sapave_ros.types import ActionChunk, Floats

LATE_SHARE = 0.5
"""A chunk that arrives when more than this share of it is past is late."""

LATE_IN_A_ROW = 3

STUCK_FOR_S = 2.0
"""No two pictures of a sensor are alike, so no two answers to them are."""

CHATTER_FOR_S = 2.0
CHATTER_SHARE = 0.75
"""Share of the chunks of `CHATTER_FOR_S` with which a joint turned round. A search that hesitates between two ways
was seen at 0.4."""

CHATTER_SPEED_SHARE = 0.05
"""To and fro at this share of a joint's velocity limit counts: 0.075 rad/s, which shakes a hand by 5 mm at 4 Hz."""

CHATTER_MIN_CHUNKS = 6
"""Fewer in `CHATTER_FOR_S` are slow enough to be deliberate."""

IDLE_FOR_S = 5.0
IDLE_RAD_S = 0.02
"""A chunk in which no joint gets further than this times its length hardly moves: 0.03 rad in 1.6 s."""

SILENT_AFTER_S = 1.0
"""Without a chunk for this long [s] there is nothing to judge; that they are missing is told by their stream."""

_VELOCITY = dict(zip(g1.POLICY.names, g1.POLICY.column("velocity"), strict=True))


@dataclass
class _Series:
    """Successive chunks for the same joints. turns: time of a chunk, and which joints turned round with it."""

    chunk: ActionChunk
    now_s: float
    ros_s: float
    same_since_s: float
    began_s: float
    busy_s: float
    velocity: Floats | None = None
    turns: deque[tuple[float, NDArray[np.bool_]]] = field(default_factory=deque)


class PolicyHealth:
    """Fed with every chunk of the policy."""

    def __init__(self) -> None:
        self._instruction = ""
        self._late: dict[str, tuple[int, float, str]] = {}
        self._series: dict[tuple[str, tuple[str, ...]], _Series] = {}

    def instructed(self, instruction: str, now_s: float) -> None:
        """The instruction, empty = nothing to do; with a new one, judgement starts anew. now_s: monotonic [s]."""
        if instruction != self._instruction:
            self._instruction = instruction
            self._late.clear()
            self._series.clear()

    def chunk(self, group: str, chunk: ActionChunk, now_s: float, ros_s: float) -> None:
        """A chunk for `group` came in at monotonic time `now_s`, ROS time `ros_s` [s].

        One that names no joints of ours, or has numbers that are not finite, is left to its controller: it is refused.
        """
        past = (ros_s - chunk.stamp_s) / max(chunk.end_s - chunk.stamp_s, 1e-6)
        late = self._late.get(group, (0, 0.0, ""))[0] + 1 if past > LATE_SHARE else 0
        text = f"{group}: {100 * past:.0f} % of the last one was past, at most {100 * LATE_SHARE:.0f} %"
        self._late[group] = (late, now_s, text)
        ours = bool(chunk.joint_names) and _VELOCITY.keys() >= set(chunk.joint_names)
        if ours and np.isfinite(chunk.increments).all():
            self._follow(group, chunk, now_s, ros_s)

    def _follow(self, group: str, chunk: ActionChunk, now_s: float, ros_s: float) -> None:
        """Compare it with the one before for the same joints."""
        self._series = {key: s for key, s in self._series.items() if now_s - s.now_s < SILENT_AFTER_S}
        before = self._series.get((group, chunk.joint_names))
        series = _Series(chunk, now_s, ros_s, same_since_s=now_s, began_s=now_s, busy_s=now_s)
        self._series[group, chunk.joint_names] = series
        if before is None:
            return
        series.began_s, series.turns = before.began_s, before.turns
        # Zeros from a policy that sends zeros at rest move nothing, and are told as idle.
        if np.array_equal(chunk.increments, before.chunk.increments) and chunk.increments.any():
            series.same_since_s = before.same_since_s
        if not _moves(chunk):
            series.busy_s = before.busy_s
        series.velocity = _mean_velocity(before.chunk, before.ros_s, ros_s)
        if series.velocity is not None and before.velocity is not None:
            least = CHATTER_SPEED_SHARE * np.array([_VELOCITY[name] for name in chunk.joint_names])
            turned = (series.velocity * before.velocity < 0) & (
                np.minimum(np.abs(series.velocity), np.abs(before.velocity)) > least
            )
            series.turns.append((now_s, turned))
        while series.turns and now_s - series.turns[0][0] > CHATTER_FOR_S:
            series.turns.popleft()

    def findings(self, now_s: float) -> dict[Fault, str]:
        """What is wrong with it at monotonic time `now_s`."""
        found: dict[Fault, list[str]] = {}
        for count, came_s, text in self._late.values():
            if count >= LATE_IN_A_ROW and now_s - came_s < SILENT_AFTER_S:
                found.setdefault(Fault.CHUNKS_LATE, []).append(text)
        if self._instruction:
            for (group, names), series in self._series.items():
                if now_s - series.now_s < SILENT_AFTER_S:
                    for fault, text in _judge(series, names, now_s):
                        found.setdefault(fault, []).append(f"{group}: {text}")
        return {fault: "; ".join(texts) for fault, texts in found.items()}


def _judge(series: _Series, names: tuple[str, ...], now_s: float) -> list[tuple[Fault, str]]:
    found = []
    same_s, idle_s = series.now_s - series.same_since_s, series.now_s - series.busy_s
    if same_s > STUCK_FOR_S:
        found.append((Fault.POLICY_STUCK, f"the same increments bit for bit for {same_s:.1f} s"))
    if idle_s > IDLE_FOR_S:
        found.append((Fault.POLICY_IDLE, f"less than {IDLE_RAD_S:g} rad/s for {idle_s:.1f} s"))
    if series.now_s - series.began_s > CHATTER_FOR_S and len(series.turns) >= CHATTER_MIN_CHUNKS:
        share = np.mean([turned for _, turned in series.turns], axis=0)  # (n,)
        i = int(np.argmax(share))
        if share[i] >= CHATTER_SHARE:
            text = f"{names[i]} turned round with {100 * share[i]:.0f} % of the chunks of {CHATTER_FOR_S:g} s"
            found.append((Fault.POLICY_CHATTERS, f"{text}, less than {100 * CHATTER_SHARE:.0f} % expected"))
    return found


def _travelled(chunk: ActionChunk) -> Floats:
    """Sums of the increments at the ends of the steps, (k + 1, n) [rad]."""
    return np.vstack([np.zeros(len(chunk.joint_names)), np.cumsum(chunk.increments, axis=0)])


def _moves(chunk: ActionChunk) -> bool:
    return bool(np.abs(_travelled(chunk)).max() > IDLE_RAD_S * (chunk.end_s - chunk.stamp_s))


def _mean_velocity(chunk: ActionChunk, from_s: float, to_s: float) -> Floats | None:
    """Of a chunk that was followed between two ROS times, (n,) [rad/s]; None where the clock was set in between."""
    if not 0.0 < to_s - from_s < SILENT_AFTER_S:
        return None
    ends_s = chunk.stamp_s + chunk.dt_s * np.arange(len(chunk.increments) + 1)
    way = [np.interp(to_s, ends_s, q) - np.interp(from_s, ends_s, q) for q in _travelled(chunk).T]
    return np.array(way) / (to_s - from_s)
