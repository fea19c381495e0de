"""One exposure and everything that was true at that moment.

Pictures, depth and intrinsics are matched by their common stamp; joint positions are interpolated to it,
because the head moves while it looks: the pose of the camera *at exposure* is what keeps geometry right.
What cannot be known at the exposure makes no observation. Nothing is filled in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.parameters import parameter
from sapave_ros.types import Floats, Observation

FUTURE_TOLERANCE_S = 0.02
"""How far a picture may be stamped ahead of now [s]: clocks of two machines under PTP or NTP."""


@dataclass(frozen=True)
class ObservationParameters:
    """How old and how complete an observation may be."""

    max_age_s: float = parameter(
        0.3, unit="s", low=0.02, high=2.0, doc="age of a picture beyond which nothing is inferred from it"
    )
    max_joint_gap_s: float = parameter(
        0.1, unit="s", low=0.01, high=0.5, doc="longest gap between joint samples that is interpolated across"
    )
    use_depth: bool = parameter(True, doc="give the policy the depth map")
    use_intrinsics: bool = parameter(True, doc="give the policy the camera matrix")
    use_extrinsics: bool = parameter(True, doc="give the policy the camera's pose in the torso at exposure")


class JointHistory:
    """Positions of named joints over the last second, interpolated linearly in time.

    Each publisher sends its own joints; a series is kept per set of names.
    """

    def __init__(self, length_s: float = 1.0) -> None:
        self._length_s = length_s
        self._series: dict[tuple[str, ...], deque[tuple[float, Floats]]] = {}

    def add(self, names: Sequence[str], stamp_s: float, positions: Floats) -> None:
        """One sample: positions [rad], (n,) of `names` at ROS time stamp_s [s]. Older than the newest: dropped,
        unless so much that the clock has been set back; then what was known before says nothing.

        Raises ValueError where names and positions differ in number or a position is not finite.
        """
        positions = np.asarray(positions, dtype=np.float64)
        if positions.shape != (len(names),):
            raise ValueError(f"position: {positions.size} values; expected one for each of {len(names)} names")
        if not np.isfinite(positions).all():
            raise ValueError(f"position: {positions.tolist()} of {', '.join(names)}; expected finite values")
        series = self._series.setdefault(tuple(names), deque())
        if series and stamp_s < series[-1][0] - self._length_s:
            series.clear()
        if series and stamp_s <= series[-1][0]:
            return
        series.append((stamp_s, positions))
        while series[0][0] < stamp_s - self._length_s:
            series.popleft()

    def at(self, names: Sequence[str], stamp_s: float, max_gap_s: float) -> Floats | str:
        """Positions of `names` at stamp_s [rad], (n,), or why they are not known then."""
        found: dict[str, float] = {}
        for joints, series in self._series.items():
            wanted = [i for i, name in enumerate(joints) if name in names]
            if not wanted:
                continue
            after = bisect_left(series, stamp_s, key=lambda sample: sample[0])
            if after == len(series):
                return f"joints {joints[0]}...: newest sample is {stamp_s - series[-1][0]:.3f} s before the exposure"
            if after == 0 and series[0][0] > stamp_s:
                return f"joints {joints[0]}...: oldest sample is {series[0][0] - stamp_s:.3f} s after the exposure"
            t1, q1 = series[after]
            t0, q0 = series[after - 1] if after > 0 else series[after]
            if t1 - t0 > max_gap_s:
                return f"joints {joints[0]}...: {t1 - t0:.3f} s between samples around the exposure"
            share = (stamp_s - t0) / (t1 - t0) if t1 > t0 else 0.0
            q = q0 + share * (q1 - q0)
            found.update((joints[i], float(q[i])) for i in wanted)
        missing = [name for name in names if name not in found]
        if missing:
            return f"joints never seen: {', '.join(missing[:3])}{'...' if len(missing) > 3 else ''}"
        return np.array([found[name] for name in names])


@dataclass
class _Exposure:
    rgb: NDArray[np.uint8] | None = None
    depth_mm: NDArray[np.uint16] | None = None
    intrinsics: Floats | None = None


@dataclass
class ObservationBuilder:
    """Collects what arrives and gives the newest complete observation.

    camera_in_torso: head positions (2,) [rad] in `g1.HEAD` order to the pose (4, 4) of the optical frame. kept: so many
    exposures are remembered.
    """

    camera_in_torso: Callable[[Floats], Floats]
    parameters: ObservationParameters = field(default_factory=ObservationParameters)
    kept: int = 8

    def __post_init__(self) -> None:
        self.joints = JointHistory()
        self._exposures: OrderedDict[float, _Exposure] = OrderedDict()
        self._last_stamp_s = -np.inf

    def add_color(self, stamp_s: float, rgb: NDArray[np.uint8]) -> None:
        """rgb: (H, W, 3) of the exposure at stamp_s [s]."""
        self._exposure(stamp_s).rgb = rgb

    def add_depth(self, stamp_s: float, depth_mm: NDArray[np.uint16]) -> None:
        """depth_mm: (H, W), aligned to colour, of the exposure at stamp_s [s]."""
        self._exposure(stamp_s).depth_mm = depth_mm

    def add_intrinsics(self, stamp_s: float, intrinsics: Floats) -> None:
        """intrinsics: (3, 3), pixels, of the exposure at stamp_s [s]."""
        self._exposure(stamp_s).intrinsics = intrinsics

    def _exposure(self, stamp_s: float) -> _Exposure:
        exposure = self._exposures.setdefault(stamp_s, _Exposure())
        while len(self._exposures) > self.kept:
            self._exposures.popitem(last=False)
        return exposure

    def take(self, now_s: float, instruction: str, not_before_s: float = -np.inf) -> Observation | str:
        """The newest complete exposure after the last one taken, or the reason why there is none.

        now_s, not_before_s: ROS time [s]; earlier exposures than not_before_s are passed over.
        """
        use = self.parameters
        if self._last_stamp_s > now_s + FUTURE_TOLERANCE_S:  # the clock has been set back
            self._last_stamp_s = -np.inf
        reason = "no picture yet"
        for stamp_s in sorted(self._exposures, reverse=True):
            if stamp_s <= self._last_stamp_s or stamp_s < not_before_s:
                break
            age_s = now_s - stamp_s
            if age_s > use.max_age_s:
                return f"picture is {age_s:.3f} s old; expected at most {use.max_age_s:g} s"
            if age_s < -FUTURE_TOLERANCE_S:
                return f"picture is stamped {-age_s:.3f} s in the future; do the clocks agree?"
            if self._exposures[stamp_s].rgb is None:
                continue
            observation = self.at(stamp_s, instruction)
            if isinstance(observation, str):
                reason = observation
                continue
            self._last_stamp_s = stamp_s
            return observation
        return reason

    def at(self, stamp_s: float, instruction: str) -> Observation | str:
        """The exposure of that stamp [s], or what of it is not there (yet). It depends on the exposure alone, not on
        when it is asked for: a recording gives what the robot had."""
        use, exposure = self.parameters, self._exposures.get(stamp_s)
        if exposure is None or exposure.rgb is None:
            return "no picture of that stamp"
        if (use.use_depth and exposure.depth_mm is None) or (use.use_intrinsics and exposure.intrinsics is None):
            return "picture without depth or intrinsics of the same stamp"
        positions = self.joints.at(g1.POLICY.names, stamp_s, use.max_joint_gap_s)
        if isinstance(positions, str):
            return positions
        return Observation(
            stamp_s,
            instruction,
            exposure.rgb,
            positions,
            exposure.depth_mm.astype(np.float32) * np.float32(1e-3)
            if use.use_depth and exposure.depth_mm is not None
            else None,
            exposure.intrinsics if use.use_intrinsics else None,
            self.camera_in_torso(positions[: len(g1.HEAD)]) if use.use_extrinsics else None,
        )
