"""What can be set about a bag; `sapave record` has an option for each."""

from __future__ import annotations

from dataclasses import dataclass

from sapave_ros.parameters import check, parameter


@dataclass(frozen=True)
class WriterParameters:
    """When a file ends and the next one begins, and when recording ends."""

    split_mb: float = parameter(4000.0, unit="MB", low=1.0, high=1e6, doc="a file ends before it grows past this")
    split_s: float = parameter(600.0, unit="s", low=1.0, high=86400.0, doc="a file ends when it covers this time")
    keep_free_mb: float = parameter(
        500.0, unit="MB", low=0.0, high=1e6, doc="recording ends when less is left on the disk: others need it too"
    )

    def __post_init__(self) -> None:
        check(self)
