"""Series sampled by time: what it was at these moments, and nothing where nobody knows. Times rise, in one clock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sapave_ros.types import Floats

_ROUNDING_S = 1e-6
"""What a double of an epoch [s] and a stamp on the wire may be off by."""


def grid(start_s: float, end_s: float, step_s: float) -> Floats:
    """Moments (n,) [s] from start_s on, a step apart, up to end_s; empty where that is before start_s."""
    steps = int(np.floor((end_s - start_s + _ROUNDING_S) / step_s))
    return start_s + step_s * np.arange(steps + 1, dtype=np.float64)


def interpolate(times_s: Floats, values: Floats, at_s: Floats, max_gap_s: float) -> Floats:
    """Values (m, n) at moments (m,) of a series with samples (k, n) at times (k,), linear between them.

    NaN before the first sample, after the last, and between two that are more than max_gap_s apart.
    """
    if len(times_s) < 2:
        return np.full((len(at_s), values.shape[1]), np.nan)
    after = np.clip(np.searchsorted(times_s, at_s), 1, len(times_s) - 1)
    t0, t1 = times_s[after - 1], times_s[after]
    share = (at_s - t0) / (t1 - t0)
    between = values[after - 1] + share[:, None] * (values[after] - values[after - 1])
    known = (share >= 0) & (share <= 1) & (t1 - t0 <= max_gap_s)
    return np.where(known[:, None], between, np.nan)


def nearest(times_s: Floats, at_s: Floats) -> NDArray[np.intp]:
    """Index (m,) of the sample that is nearest to each moment (m,); of two that are equally near the earlier one.

    Raises ValueError where there is no sample.
    """
    if len(times_s) == 0:
        raise ValueError("times_s: empty; expected at least one sample")
    after = np.searchsorted(times_s, at_s).clip(0, len(times_s) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(at_s - times_s[before]) <= np.abs(times_s[after] - at_s), before, after)
