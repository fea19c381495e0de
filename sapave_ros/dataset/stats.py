"""Statistics of features as LeRobot computes them: of an episode, and of several from theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    values = values.astype(np.float64)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
    }
    found |= {_quantile_name(q): row for q, row in zip(QUANTILES, np.quantile(values, QUANTILES, axis=0))}
    return found | {"count": np.array([len(values)])}


class PixelCounts:
    """How often each value occurs in the pictures of an episode, by channel: all that their statistics want, however
    many there are. Exact, as pixels are whole numbers.
    """

    def __init__(self, channels: int, dtype: type[np.unsignedinteger[Any]]) -> None:
        self._counts = np.zeros((channels, np.iinfo(dtype).max + 1), np.int64)
        self._pictures = 0

    def add(self, picture: NDArray[np.unsignedinteger[Any]]) -> None:
        """Counts every `PIXEL_STRIDE`-th pixel of a picture (H, W) or (H, W, channels) in both directions."""
        channels, levels = self._counts.shape
        pixels = picture[::PIXEL_STRIDE, ::PIXEL_STRIDE].reshape(-1, channels)
        for counts, values in zip(self._counts, pixels.T):
            counts += np.bincount(values, minlength=levels)
        self._pictures += 1

    def stats(self, scale: float = 1.0) -> Stats:
        """Of the pixels divided by scale; each of shape (channels, 1, 1)."""
        channels, levels = self._counts.shape
        number = int(self._counts[0].sum())
        values = np.arange(levels) / scale
        mean = self._counts @ values / number
        found = {
            "min": values[(self._counts > 0).argmax(axis=1)],
            "max": values[levels - 1 - (self._counts[:, ::-1] > 0).argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt([of @ (values - at) ** 2 / number for of, at in zip(self._counts, mean)]),
        }
        # As np.quantile: linear between the two sorted values that the quantile's place falls between.
        places = np.array(QUANTILES) * (number - 1)
        below = np.floor(places).astype(np.int64)
        up_to = np.cumsum(self._counts, axis=1)
        either = below, np.minimum(below + 1, number - 1)
        low, high = (values[[np.searchsorted(of, at, side="right") for of in up_to]] for at in either)
        quantiles = low + (places - below) * (high - low)  # (channels, quantiles)
        found |= {_quantile_name(q): column for q, column in zip(QUANTILES, quantiles.T)}
        shaped = {name: value.reshape(channels, 1, 1) for name, value in found.items()}
        return shaped | {"count": np.array([self._pictures])}


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


def _quantile_name(q: float) -> str:
    return f"q{round(100 * q):02d}"
