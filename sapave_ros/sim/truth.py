"""What the stand-in world knows and no sensor says: one record per camera frame, for verdicts and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers.shared_ring import RingReader, RingWriter
from sapave_ros.types import Floats

_KIND = "truth"
_LAYOUT = np.dtype(
    [
        ("stamp_s", "<f8"),
        ("head", "<f8", (len(g1.HEAD),)),
        ("arms", "<f8", (len(g1.ARMS),)),
        ("hands", "<f8", (len(g1.HANDS),)),
        ("angle_rad", "<f8"),
        ("in_view", "<f8"),
        ("visible_fraction", "<f8"),
        ("real_time_factor", "<f8"),
        ("worst_tick_s", "<f8"),
    ]
)
_SLOTS = 1024


@dataclass(frozen=True)
class Truth:
    """The world at one exposure.

    stamp_s: as in the frame's header. head (2,), arms (14,), hands (12,): joint positions [rad]. angle_rad,
    in_view, visible_fraction: of the target, as in `targets.Target`; NaN, False, 0 without one.
    real_time_factor: simulated over elapsed time since the start. worst_tick_s: how late the latest physics
    tick since the last record began [s].
    """

    stamp_s: float
    head: Floats
    arms: Floats
    hands: Floats
    angle_rad: float
    in_view: bool
    visible_fraction: float
    real_time_factor: float
    worst_tick_s: float


class TruthWriter:
    """The simulator's end. target: name of what angle and visibility are about, or None. visible_at_best: how much of
    it shows at most, from the pose from which it is seen best."""

    def __init__(self, path: str | Path, target: str | None, visible_at_best: float = 1.0) -> None:
        meta = {"target": target, "visible_at_best": visible_at_best}
        self._ring = RingWriter(path, _KIND, _LAYOUT, meta, _SLOTS)

    def write(self, truth: Truth) -> None:
        self._ring.write(**vars(truth))

    def close(self) -> None:
        """Removes the link."""
        self._ring.close()


class TruthReader:
    """The reader's end. Errors as `shared_ring.RingReader`."""

    def __init__(self, path: str | Path) -> None:
        self._ring = RingReader(path, _KIND, lambda meta: _LAYOUT)

    @property
    def target(self) -> str | None:
        """Name of what angle and visibility are about."""
        name: str | None = self._ring.meta["target"]
        return name

    @property
    def visible_at_best(self) -> float:
        """How much of the target shows at most, 0..1: where that is little, nobody can find it."""
        return float(self._ring.meta["visible_at_best"])

    def all_after(self, sequence: int) -> list[tuple[int, Truth]]:
        """Every record newer than `sequence` with its sequence, oldest first; the ring holds half a minute."""
        return [(n, _truth(record)) for n, record in self._ring.all_after(sequence)]


def _truth(record: Any) -> Truth:
    values = {name: record[name] for name in _LAYOUT.names or ()}
    arrays = {name: np.array(values[name]) for name in ("head", "arms", "hands")}
    numbers = {name: float(v) for name, v in values.items() if name not in arrays}
    return Truth(**arrays, **{**numbers, "in_view": bool(numbers["in_view"])})  # type: ignore[arg-type]
