"""Rows of `sapave bench perception` made up, and the command on a player that plays nothing."""

from __future__ import annotations

import numpy as np

from sapave_ros.bench.perception_cases import CELLS, Case, Pair
from sapave_ros.bench.perception_play import (
    KNOWLEDGE,
    LEVELS,
    Perturbed,
    Result,
    Row,
    Settings,
    Swapped,
    Task,
    Unplayable,
    Untold,
)
from sapave_ros.cli import main
from sapave_ros.learning.language import Goal


def result(policy: str, split: str, number: int, success: bool) -> Result:
    kind, visibility = CELLS[number % len(CELLS)]
    goals = (Goal(item=0),)
    case = Case(split, number, "tabletop", 1, (0.0, 0.0), "look there", kind, "mug", goals, visibility.value, 0.5)
    views = np.array([(t, 0.05 if success else 0.5, 0.8 if success else np.nan) for t in np.arange(0, 7.2, 1 / 30)])
    return Result(policy, case, success, None, 1.0 if success else None, 3.0, 0, views)


class Actor:
    """In place of a `Player`: makes rows up from the task alone. played: every task, in order. lost: those that cannot
    be made. ends: what is raised instead of the task after so many."""

    played: list[Task]
    lost: frozenset[Task]
    ends: tuple[int, BaseException] | None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def close(self) -> None:
        pass

    def do(self, task: Task) -> list[Row]:
        if self.ends is not None and len(self.played) == self.ends[0]:
            raise self.ends[1]
        self.played.append(task)
        if task in self.lost:
            return [Unplayable(task, f"{task.split} {task.number}: no room has it")]
        wins = (task.number * 7919) % 3 > 0
        rows = [result(p, task.split, task.number, p == "oracle" or wins) for p in self._settings.policies]
        if task.what == "swap":
            return [Swapped(r.policy, Pair(r.case, r.case), (r.success, wins), (wins, True)) for r in rows]
        if task.what == "empty":
            return [Untold(r.policy, r.case, r.success, task.number / 7) for r in rows]
        if task.what == "perturb":
            levels = [("nothing", 0.0), *((c, x) for c, of in LEVELS.items() for x in of)]
            return [Perturbed(r.policy, r.case, c, x, k, wins) for r in rows for c, x in levels for k in KNOWLEDGE]
        return list(rows)


def bench(*words: object, splits: tuple[str, ...] = ("val",), policies: tuple[str, ...] = ("still", "oracle")) -> int:
    fixed = ["--splits", *splits, "--policies", *policies, "--workers", "1"]
    return main(["bench", "perception", *fixed, *map(str, words)])
