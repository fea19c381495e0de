"""Statistics of features as LeRobot computes them: of an episode, and of several from theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sapave_ros.types import Floats

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)

PIXEL_STRIDE = 8
"""Every so many pixels of a picture in both directions count: a picture's statistics want no more."""

Stats = Mapping[str, Floats]
"""min, max, mean, std, q01, ... by name, each of a feature's shape; count, (1,)."""


def vector_stats(values: NDArray) -> Stats:
    """Of (frames, n) values, each of shape (n,)."""
    return _stats(values.astype(np.float64), len(values), (values.shape[1],))


def picture_stats(pixels: NDArray, frames: int, scale: float = 1.0) -> Stats:
    """Of pixels (k, channels) of that many frames, divided by scale; each of shape (channels, 1, 1)."""
    return _stats(pixels.astype(np.float64) / scale, frames, (pixels.shape[1], 1, 1))


def aggregate(parts: Sequence[Stats]) -> Stats:
    """Of all frames from those of the episodes. Quantiles are the episodes' means weighted by their frames, as LeRobot
    has it, and all else is exact."""
    weights = np.array([part["count"][0] for part in parts], dtype=np.float64)
    weights /= weights.sum()

    def mean(values: list[Floats]) -> Floats:
        return np.tensordot(weights, np.stack(values), axes=1)

    total = mean([part["mean"] for part in parts])
    variance = mean([part["std"] ** 2 + (part["mean"] - total) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": total,
        "std": np.sqrt(variance),
        "count": np.sum([part["count"] for part in parts], axis=0),
        **{name: mean([part[name] for part in parts]) for name in parts[0] if name.startswith("q")},
    }


def _stats(values: Floats, count: int, shape: tuple[int, ...]) -> Stats:
    quantiles = np.quantile(values, QUANTILES, axis=0)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
    }
    found |= {f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles)}
    return {name: value.reshape(shape) for name, value in found.items()} | {"count": np.array([count])}
