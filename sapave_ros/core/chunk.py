"""Action chunks to a reference: increments are added to what was commanded when the picture was taken.

    target(t) = q_cmd(stamp) + increments up to t

The target at the end of each step is exact. Between two ends runs a monotone cubic (Fritsch and Carlson
1980), so that the reference has a speed without steps, and comes to rest at the end of the last step.
A chunk that arrives late is joined where it is by then; what is past is never replayed. Where a chunk
replaces another, the gap between the two references fades out over `blend_s`, and the difference of their
speeds over one step of the new one: the reference goes on without a step in either.

A speed that steps asks the limiter for more jerk than it may use; it then goes the fastest way, too fast and back, with
every chunk. Chunks of 0.2 s steps at 7.5 Hz, which follow a sine of 0.5 rad/s, made arms stop and go by it: jerk 63
rad/s^3 (root mean square) with a step of speed, 7 without.

`blend_s` has to be longer than the time from picture to chunk. Each chunk starts from a command that already
contains the fading of the one before; where the two times meet, this loop was measured to oscillate at the
jerk limit (blend 0.1 s, chunks 0.1 s late), while 0.5 s stays smooth for chunks up to 0.4 s late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sapave_ros.types import ActionChunk, Floats

FUTURE_TOLERANCE_S = 0.02
"""How far a stamp may lie ahead of now [s]: clocks of two machines under PTP or NTP."""

HISTORY_S = 2.0
"""How long commanded positions are remembered [s]: the oldest picture that a chunk may stem from."""

LATEST_HOLDS_S = 0.1
"""The newest command counts as the one in force for this long [s]."""

MAX_STEPS = 512
DT_RANGE_S = (0.005, 0.5)

BOUND_FACTOR = 1.5
"""A step may ask for this much more than the velocity limit allows; the limiter stretches it. More is nonsense."""


ROUNDING_RAD = 1e-6
"""A network counts in 32 bits: its largest increment may lie this far above the bound of its manifest."""


class ChunkFault(Enum):
    """Why a chunk was refused."""

    NAMES = "joint_names"
    SHAPE = "increments shape"
    NOT_FINITE = "not finite"
    DT = "dt"
    FUTURE = "stamp in the future"
    PAST = "stamp too old"
    SEQUENCE = "stamp not newer"
    TOO_EARLY = "stamp before control began"
    BOUND = "increment too large"
    NOT_MOVING = "no permission to move"
    SOURCE = "somebody else's turn"


@dataclass(frozen=True)
class ChunkRefusal:
    """fault: the kind, for counting. text: names the field, its value and what was expected."""

    fault: ChunkFault
    text: str


@dataclass
class _Track:
    """One accepted chunk. columns: (m,) joint indices. knots: (k + 1, m) [rad], slopes: (k + 1, m) [rad/s]."""

    stamp_s: float
    dt_s: float
    columns: np.ndarray
    knots: Floats
    slopes: Floats

    def sample(self, now_s: float) -> tuple[Floats, Floats]:
        """Position and velocity at `now_s`, (m,) each; at rest in the last knot once the chunk has ended."""
        step = (now_s - self.stamp_s) / self.dt_s
        i = int(step)
        if step < 0.0:
            return self.knots[0], np.zeros(len(self.columns))
        if i >= len(self.knots) - 1:
            return self.knots[-1], np.zeros(len(self.columns))
        u, dt = step - i, self.dt_s
        p0, p1, m0, m1 = self.knots[i], self.knots[i + 1], self.slopes[i] * dt, self.slopes[i + 1] * dt
        # Cubic Hermite: p0 + u m0 + u^2 c2 + u^3 c3.
        c2, c3 = 3 * (p1 - p0) - 2 * m0 - m1, 2 * (p0 - p1) + m0 + m1
        return p0 + u * (m0 + u * (c2 + u * c3)), (m0 + u * (2 * c2 + u * 3 * c3)) / dt


class ChunkExecutor:
    """Accepted chunks of one joint group, sampled by ROS time.

    names: (n,) joints of the group. velocity: (n,) limits [rad/s], they bound an increment. blend_s: time
    [s] over which the gap to a new chunk fades out, 0 = at once.
    """

    def __init__(
        self,
        names: Sequence[str],
        velocity: Floats,
        blend_s: float = 0.5,
    ) -> None:
        self.names = tuple(names)
        self._index = {name: i for i, name in enumerate(self.names)}
        self._velocity, self._blend_s = velocity, blend_s
        n = len(self.names)
        self._tracks: list[_Track] = []
        self._hold = np.zeros(n)  # where joints without a chunk rest
        # By how much the reference was ahead of the newest chunk when that was accepted, (n,) each [rad], [rad/s].
        self._gap, self._speed_gap, self._gap_from_s = np.zeros(n), np.zeros(n), np.full(n, -np.inf)
        self._speed_fades_s = np.full(n, blend_s)
        self._last_stamp_s = np.full(n, -np.inf)
        self._stamps_s, self._positions = np.zeros(1024), np.zeros((1024, n))
        self._size, self._next = 0, 0
        self.not_before_s = -np.inf

    # ---- what was commanded ----

    def record(self, stamp_s: float, position: Floats) -> None:
        """Remember that `position` (n,) was commanded at ROS time `stamp_s`. Time that runs backwards starts anew."""
        if self._size and stamp_s <= self._stamps_s[self._next - 1]:
            self.forget()
        self._stamps_s[self._next], self._positions[self._next] = stamp_s, position
        self._next = (self._next + 1) % len(self._stamps_s)
        self._size = min(self._size + 1, len(self._stamps_s))

    def forget(self) -> None:
        """Drop the history and every chunk: what was commanded so far says nothing about what comes."""
        self._size = self._next = 0
        self.flush()

    def commanded_at(self, stamp_s: float) -> Floats | None:
        """Commanded position (n,) at ROS time `stamp_s`, interpolated; None outside the history."""
        if not self._size:
            return None
        order = (np.arange(self._size) + self._next - self._size) % len(self._stamps_s)
        times = self._stamps_s[order]
        if not max(times[0], times[-1] - HISTORY_S) <= stamp_s <= times[-1] + LATEST_HOLDS_S:
            return None
        after = int(np.searchsorted(times, stamp_s))
        if after >= self._size:
            return self._positions[order[-1]].copy()
        if after == 0:
            return self._positions[order[0]].copy()
        t0, t1 = times[after - 1], times[after]
        p0, p1 = self._positions[order[after - 1]], self._positions[order[after]]
        return p0 + (p1 - p0) * ((stamp_s - t0) / (t1 - t0))

    # ---- chunks ----

    def validate(self, chunk: ActionChunk, now_s: float, rate_bound: Floats | None = None) -> ChunkRefusal | None:
        """Why this chunk cannot be executed at ROS time `now_s`, or None. Changes nothing.

        rate_bound: (n,) [rad/s] a tighter bound of one step over its duration, such as the largest increment that
        the policy was trained on; infinite where there is none.
        """
        return self._check_shape(chunk) or self._check_time(chunk, now_s) or self._check_size(chunk, rate_bound)

    def accept(self, chunk: ActionChunk, now_s: float, rate_bound: Floats | None = None) -> ChunkRefusal | None:
        """Execute the chunk from `now_s` on; returns the refusal, after which nothing has changed, or None."""
        refusal = self.validate(chunk, now_s, rate_bound)
        start = self.commanded_at(chunk.stamp_s) if refusal is None else None
        if start is None:
            return refusal or ChunkRefusal(
                ChunkFault.PAST, f"stamp = {chunk.stamp_s:.3f} s: no command known at that time"
            )
        columns = np.array([self._index[name] for name in chunk.joint_names])
        steps = np.asarray(chunk.increments, dtype=np.float64)
        knots = start[columns] + np.vstack([np.zeros(len(columns)), np.cumsum(steps, axis=0)])
        track = _Track(chunk.stamp_s, chunk.dt_s, columns, knots, _monotone_slopes(steps / chunk.dt_s))

        before, speed_before = self.sample(now_s)
        self._drop(columns)
        self._tracks.append(track)
        self._last_stamp_s[columns] = chunk.stamp_s
        position, speed = track.sample(now_s)
        self._gap[columns], self._speed_gap[columns] = before[columns] - position, speed_before[columns] - speed
        self._gap_from_s[columns], self._speed_fades_s[columns] = now_s, min(self._blend_s, chunk.dt_s)
        return None

    def flush(self, hold: Floats | None = None, not_before_s: float | None = None) -> None:
        """Drop every chunk; joints rest at `hold` (n,). Chunks of pictures older than `not_before_s` are refused."""
        self._tracks.clear()
        self._gap[:] = self._speed_gap[:] = 0.0
        self._last_stamp_s[:] = -np.inf
        if hold is not None:
            self._hold = np.array(hold, dtype=np.float64)
        if not_before_s is not None:
            self.not_before_s = not_before_s

    def rest_at(self, position: Floats) -> None:
        """Where joints rest that no chunk names, (n,)."""
        self._hold = np.array(position, dtype=np.float64)

    def reference(self, now_s: float) -> tuple[Floats, Floats] | None:
        """Position [rad] and velocity [rad/s] to aim at, (n,) each; None while no chunk has been accepted.

        After the end of a chunk it rests where the increments add up.
        """
        return self.sample(now_s) if self._tracks else None

    def exhausted(self, now_s: float) -> bool:
        """Whether every accepted chunk has ended."""
        return all(now_s >= t.stamp_s + t.dt_s * (len(t.knots) - 1) for t in self._tracks)

    def sample(self, now_s: float) -> tuple[Floats, Floats]:
        """As `reference`, with joints that no chunk names at rest."""
        q, v = self._hold.copy(), np.zeros(len(self.names))
        for track in self._tracks:
            q[track.columns], v[track.columns] = track.sample(now_s)
        if self._blend_s > 0.0:
            # Cubic Hermite from the gap and its speed to nothing, each in a time of its own.
            since_s, fades_s = now_s - self._gap_from_s, self._speed_fades_s
            u, w = np.clip(since_s / self._blend_s, 0.0, 1.0), np.clip(since_s / fades_s, 0.0, 1.0)
            q += self._gap * (1.0 - u) ** 2 * (1.0 + 2.0 * u) + self._speed_gap * fades_s * w * (1.0 - w) ** 2
            v += self._gap * 6.0 * u * (u - 1.0) / self._blend_s + self._speed_gap * (1.0 - w) * (1.0 - 3.0 * w)
        return q, v

    def _drop(self, columns: np.ndarray) -> None:
        """Take joints away from the chunks that move them so far."""
        remaining = []
        for track in self._tracks:
            keep = ~np.isin(track.columns, columns)
            if keep.any():
                remaining.append(
                    _Track(track.stamp_s, track.dt_s, track.columns[keep], track.knots[:, keep], track.slopes[:, keep])
                )
        self._tracks = remaining

    # ---- refusals ----

    def _check_shape(self, chunk: ActionChunk) -> ChunkRefusal | None:
        names = chunk.joint_names
        unknown = [n for n in names if n not in self._index]
        twice = sorted({n for n in names if names.count(n) > 1})
        if not names:
            return ChunkRefusal(ChunkFault.NAMES, "joint_names is empty: expected joints of this controller")
        if unknown:
            return ChunkRefusal(
                ChunkFault.NAMES, f"joint_names has {unknown}: expected names out of {list(self.names)}"
            )
        if twice:
            return ChunkRefusal(ChunkFault.NAMES, f"joint_names has {twice} more than once: expected each joint once")
        shape = np.shape(chunk.increments)
        if len(shape) != 2 or shape[1] != len(names) or not 1 <= shape[0] <= MAX_STEPS:
            expected = f"(1 to {MAX_STEPS} steps, {len(names)} joints)"
            return ChunkRefusal(ChunkFault.SHAPE, f"increments have shape {shape}: expected {expected}")
        if not np.isfinite(chunk.stamp_s):
            return ChunkRefusal(ChunkFault.NOT_FINITE, f"stamp = {chunk.stamp_s}: expected a finite time")
        finite = np.isfinite(chunk.increments)
        if not finite.all():
            step, column = np.argwhere(~finite)[0]
            value = f"increments[{step}] of {names[column]} = {chunk.increments[step, column]}"
            return ChunkRefusal(ChunkFault.NOT_FINITE, f"{value}: expected finite values")
        low, high = DT_RANGE_S
        if not low <= chunk.dt_s <= high:
            return ChunkRefusal(ChunkFault.DT, f"dt = {chunk.dt_s} s: expected {low} to {high} s")
        return None

    def _check_time(self, chunk: ActionChunk, now_s: float) -> ChunkRefusal | None:
        age_s = now_s - chunk.stamp_s
        if age_s < -FUTURE_TOLERANCE_S:
            text = f"stamp is {-age_s:.3f} s ahead of now: expected at most {FUTURE_TOLERANCE_S} s"
            return ChunkRefusal(ChunkFault.FUTURE, text)
        if chunk.end_s <= now_s:
            length_s = chunk.end_s - chunk.stamp_s
            text = f"stamp is {age_s:.3f} s old: expected less than the {length_s:.3f} s that the chunk lasts"
            return ChunkRefusal(ChunkFault.PAST, text)
        if chunk.stamp_s < self.not_before_s:
            text = (
                f"stamp lies {self.not_before_s - chunk.stamp_s:.3f} s before control began: expected a newer picture"
            )
            return ChunkRefusal(ChunkFault.TOO_EARLY, text)
        last_s = max(self._last_stamp_s[self._index[name]] for name in chunk.joint_names)
        if chunk.stamp_s <= last_s:
            text = f"stamp is {last_s - chunk.stamp_s:.3f} s older than the last accepted: expected a newer one"
            return ChunkRefusal(ChunkFault.SEQUENCE, text)
        if self.commanded_at(chunk.stamp_s) is None:
            text = f"stamp is {age_s:.3f} s old: no command is remembered of that time (at most {HISTORY_S} s)"
            return ChunkRefusal(ChunkFault.PAST, text)
        return None

    def _check_size(self, chunk: ActionChunk, rate_bound: Floats | None) -> ChunkRefusal | None:
        columns = [self._index[name] for name in chunk.joint_names]
        bound = self._velocity[columns] * chunk.dt_s * BOUND_FACTOR
        if rate_bound is not None:
            bound = np.minimum(bound, rate_bound[columns] * chunk.dt_s + ROUNDING_RAD)
        excess = np.abs(chunk.increments) - bound
        if (excess > 0).any():
            step, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
            value = f"increments[{step}] of {chunk.joint_names[column]} = {chunk.increments[step, column]:.4f} rad"
            return ChunkRefusal(ChunkFault.BOUND, f"{value}: expected at most {bound[column]:.4f} rad a step")
        return None


def _monotone_slopes(rates: Floats) -> Floats:
    """Slopes at the knots [rad/s], (k + 1, m), from the mean rates of the steps, (k, m).

    Harmonic mean where neighbours agree in sign, else 0: the cubic between two knots never leaves their
    interval. At the first knot the parabola through the first three, where that is monotone too (Moler 2004,
    Numerical Computing with MATLAB, 3.6); the last is at rest.
    """
    slopes = np.zeros((len(rates) + 1, rates.shape[1]))
    slopes[0] = rates[0]
    a, b = rates[:-1], rates[1:]
    if len(b):
        ahead = np.clip(1.5 - 0.5 * b[0] / np.where(a[0] == 0.0, 1.0, a[0]), 0.0, 3.0)
        slopes[0] = a[0] * ahead
    product, total = a * b, a + b
    slopes[1:-1] = np.where(product > 0, 2 * product / np.where(total == 0, 1.0, total), 0.0)
    return slopes
