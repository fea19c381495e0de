"""What the clocks of a recording did, told by their stamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sapave_ros.types import Floats

SET_BACK_S = 0.1
"""A stamp that is older than an earlier one by more than this [s] is a clock that was set back, and no jitter."""


@dataclass
class Lags:
    """By how much [s] messages came after their stamps (k,) [s]."""

    stamps_s: Floats
    lags_s: Floats

    def least(self, start_s: float, end_s: float) -> float | None:
        """The smallest between two times, which no load of the computers explains; None where nothing came."""
        within = (self.stamps_s >= start_s) & (self.stamps_s <= end_s)
        return float(self.lags_s[within].min()) if within.any() else None


class Clock:
    """Whose stamps come one after the other."""

    def __init__(self, name: str) -> None:
        self.stamps_s: list[float] = []
        self.twice: list[tuple[float, float, str]] = []
        self._name = name
        self._received_s: list[float] = []
        self._newest_s = -np.inf

    def tick(self, stamp_s: float, received_s: float) -> None:
        if stamp_s < self._newest_s - SET_BACK_S:
            self.twice.append((stamp_s, self._newest_s, self._name))
            self._newest_s = stamp_s
        self._newest_s = max(self._newest_s, stamp_s)
        self.stamps_s.append(stamp_s)
        self._received_s.append(received_s)

    def lags(self) -> Lags:
        return Lags(np.array(self.stamps_s), np.array(self._received_s) - np.array(self.stamps_s))
