"""The state of the robot in words, as far as it may be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sapave_ros import graph

NO_PERMIT = "no permit"


class Level(Enum):
    """How a state is painted."""

    GOOD = "good"  # it may move
    WAITING = "waiting"  # it may not
    BAD = "bad"  # stopped, or nobody says what it may


_LEVELS = {"ACTIVE": Level.GOOD, "TELEOP": Level.GOOD, "ESTOP": Level.BAD, NO_PERMIT: Level.BAD}


@dataclass(frozen=True)
class Banner:
    """state: of the watchdog, or `NO_PERMIT`. reason: why it is so. instruction: empty = nothing to do. remarks: what
    else a person has to know to believe what is shown."""

    state: str
    reason: str
    instruction: str
    remarks: tuple[str, ...]

    @property
    def level(self) -> Level:
        return level_of(self.state)

    def lines(self) -> list[str]:
        """From top to bottom."""
        told = f'told: "{self.instruction}"' if self.instruction else "told nothing"
        return [f"{self.state}: {self.reason}", told, *self.remarks]


def level_of(state: str) -> Level:
    """How a state of the watchdog, or `NO_PERMIT`, is painted."""
    return _LEVELS.get(state, Level.WAITING)


def permit_now(state: str, reason: str, age_s: float) -> tuple[str, str]:
    """State and reason of a permit that is age_s [s] old, infinite where none was heard.

    As long as permits come: who gives none any more permits nothing.
    """
    if age_s <= graph.PERMIT_STALE_AFTER_S:
        return state, reason
    return NO_PERMIT, f"{'none was heard' if math.isinf(age_s) else f'the last {elapsed(age_s)} ago'}; was {state}"


def silence(ages_s: Sequence[tuple[str, float, float]]) -> tuple[str, ...]:
    """What is shown of whom nothing is heard any more: (what, age [s], bound [s]) to a line each."""
    return tuple(
        f"{what}: {'never heard' if math.isinf(age_s) else f'silent for {elapsed(age_s)}'}"
        for what, age_s, bound_s in ages_s
        if age_s > bound_s
    )


def elapsed(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1e3:.0f} ms" if seconds < 10.0 else f"{seconds:.0f} s"
