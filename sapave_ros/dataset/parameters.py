"""What can be set about a conversion; `sapave dataset from-bags` has an option for each."""

from __future__ import annotations

from dataclasses import dataclass

from sapave_ros.parameters import ParameterError, check, parameter


@dataclass(frozen=True)
class EpisodeParameters:
    """The grid of steps, and what an episode has to be like to be kept."""

    step_s: float = parameter(
        0.1, unit="s", low=0.02, high=1.0, doc="time between two frames: the step of the policy's chunks"
    )
    max_apart_s: float = parameter(
        0.05, unit="s", low=0.001, high=0.5, doc="farthest that a frame's picture may be from its time"
    )
    max_gap_s: float = parameter(
        0.1, unit="s", low=0.01, high=0.5, doc="longest silence of measured or commanded joints that is bridged"
    )
    min_frames: int = parameter(10, low=1, high=100_000, doc="episodes with fewer frames are left out")

    def __post_init__(self) -> None:
        check(self)
        if abs(1 / self.step_s - self.fps) > 1e-6 * self.fps:
            raise ParameterError(
                f"parameter step_s: {self.step_s!r}; expected 1/n s with a whole n: the format counts whole frames "
                f"per second (such as {1 / self.fps:.6g})"
            )

    @property
    def fps(self) -> int:
        """Frames per second."""
        return round(1 / self.step_s)
