"""From a picture to a motion: how long each stage of the road takes, seen from outside by the stamps of the streams.

    exposure ── camera ──► picture ── inference ──► increments ── control ──► command ── motion ──► joints

A chunk carries the stamp of its picture. The picture is heard by its CameraInfo, the chunk when it comes by, the
command is the first that is stamped after that, and the motion is late by as much as the joints lag behind what is
commanded. Commands come by 50 times a second: `control` may be one period (20 ms) shorter than measured.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from sapave_ros.types import Floats

STAGES = ("camera", "inference", "control", "motion")

KEPT_S = 5.0
"""Of how long ago [s] chunks still count: what was fast before says nothing of now."""

PATIENCE_S = 0.5
"""A command that comes later than this [s] after a chunk has nothing to do with it."""

LAG_WINDOW_S, LONGEST_LAG_S, LAG_STEP_S = 2.0, 0.4, 0.005
MOVED_RAD = 0.02
"""A joint has to have been moved by this much [rad] for its lag to be seen."""

_PICTURES = 128


@dataclass(frozen=True)
class Budget:
    """Of the last chunks.

    stages_s: mean time [s] of each of `STAGES`, because means add up; the last is missing while no joint moves.
    worst_s: the longest from exposure to command [s]. chunks: how many.
    """

    stages_s: dict[str, float]
    worst_s: float
    chunks: int

    @property
    def whole_s(self) -> float:
        """From exposure to the last stage that is known [s]."""
        return sum(self.stages_s.values())


class Latency:
    """Of one joint group. Stamps and times of hearing are ROS time [s] of one computer."""

    def __init__(self) -> None:
        self._pictures: dict[float, float] = {}  # stamp to when it was heard
        self._waiting: list[tuple[float, float, float]] = []  # exposure, picture heard, increments heard
        self._marks: deque[tuple[float, float, float, float]] = deque()  # and command stamped
        self._commanded: deque[tuple[float, Floats]] = deque()
        self._measured: deque[tuple[float, Floats]] = deque()

    def picture(self, stamp_s: float, heard_s: float) -> None:
        """A picture's CameraInfo came by."""
        self._pictures[stamp_s] = heard_s
        while len(self._pictures) > _PICTURES:
            self._pictures.pop(next(iter(self._pictures)))

    def chunk(self, stamp_s: float, heard_s: float) -> None:
        """Increments came by that will be followed."""
        heard = self._pictures.get(stamp_s)
        if heard is not None and stamp_s <= heard <= heard_s:
            self._waiting.append((stamp_s, heard, heard_s))

    def command(self, stamp_s: float, positions: Floats) -> None:
        """positions: (n,) [rad] that were commanded."""
        for mark in self._waiting:
            if mark[2] <= stamp_s <= mark[2] + PATIENCE_S:
                self._marks.append((*mark, stamp_s))
        self._waiting = [m for m in self._waiting if stamp_s < m[2]]
        _append(self._commanded, stamp_s, positions)

    def motion(self, stamp_s: float, positions: Floats) -> None:
        """positions: (n,) [rad] that were measured."""
        _append(self._measured, stamp_s, positions)

    def budget(self, now_s: float) -> Budget | None:
        """Over the chunks of the last `KEPT_S`; None where none of them led to a command."""
        while self._marks and not now_s - KEPT_S <= self._marks[0][-1] <= now_s:
            self._marks.popleft()
        if not self._marks:
            return None
        marks = np.array(self._marks)
        stages = dict(zip(STAGES, np.diff(marks, axis=1).mean(axis=0).tolist()))
        lag_s = self.lag_s()
        if lag_s is not None:
            stages[STAGES[-1]] = lag_s
        return Budget(stages, float((marks[:, -1] - marks[:, 0]).max()), len(marks))

    def lag_s(self) -> float | None:
        """By how much [s] the joint that moves most follows its command; None where none moves, or none follows."""
        if len(self._commanded) < 3 or len(self._measured) < 3:
            return None
        times, commanded = np.array([t for t, _ in self._commanded]), np.array([q for _, q in self._commanded])
        joint = int(np.ptp(commanded, axis=0).argmax())
        at, measured = np.array([t for t, _ in self._measured]), np.array([q for _, q in self._measured])
        known = at >= times[0] + LONGEST_LAG_S
        if not known.any() or np.ptp(commanded[:, joint]) < MOVED_RAD:
            return None
        at, measured = at[known], measured[known, joint]
        lags = np.arange(0.0, LONGEST_LAG_S, LAG_STEP_S)
        then = np.interp(at[:, None] - lags, times, commanded[:, joint])  # (samples, lags)
        error = measured[:, None] - then
        spread = error.std(axis=0)  # a joint that hangs below its command follows it all the same
        best = int(spread.argmin())
        return float(lags[best]) if 0 < best < len(lags) - 1 and np.ptp(measured) >= MOVED_RAD else None


def _append(series: deque[tuple[float, Floats]], stamp_s: float, positions: Floats) -> None:
    """Time that runs backwards starts anew."""
    if series and stamp_s <= series[-1][0]:
        series.clear()
    series.append((stamp_s, positions))
    while series[0][0] < stamp_s - LAG_WINDOW_S:
        series.popleft()
