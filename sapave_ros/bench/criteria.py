"""What counts as having looked: one definition for the benchmark, the demo and the data's own checks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class LookCriterion:
    """The target's centre within max_angle_rad of the optical axis and at least min_visible_fraction of it
    unoccluded, reached within time_limit_s, and still so hold_s later."""

    max_angle_rad: float = float(np.deg2rad(10.0))
    min_visible_fraction: float = 0.5
    time_limit_s: float = 6.0
    hold_s: float = 1.0

    def met(self, angle_rad: float, visible_fraction: float) -> bool:
        """Whether one view meets it."""
        return angle_rad <= self.max_angle_rad and visible_fraction >= self.min_visible_fraction


@dataclass
class LookScore:
    """Follows one episode. `reached_s`: when the target was centred for good, None if never."""

    criterion: LookCriterion = field(default_factory=LookCriterion)
    reached_s: float | None = None
    success: bool = False

    def update(self, time_s: float, angle_rad: float, visible_fraction: float) -> bool:
        """One view, time_s after the instruction. Returns whether the episode is decided."""
        if self.success:
            return True
        if not self.criterion.met(angle_rad, visible_fraction):
            self.reached_s = None
        elif self.reached_s is None and time_s <= self.criterion.time_limit_s:
            self.reached_s = time_s
        if self.reached_s is not None and time_s >= self.reached_s + self.criterion.hold_s:
            self.success = True
        return self.success or (time_s > self.criterion.time_limit_s and self.reached_s is None)
