"""What the fault bench found, as a table for people who read it later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

HEADER = ("what was broken", "state", "noticed", "stopped after that", "arms", "highest speed, of its limit")


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """One line a row of `faults.as_json`, in the order tried; of several trials of one row the slowest."""
    worst: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        before = worst.get(row["name"])
        if before is None or (before["passed"], _end(row)) > (row["passed"], _end(before)):
            worst[row["name"]] = row
    lines = [HEADER, ("---",) * len(HEADER), *(_cells(row) for row in worst.values())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _end(row: Mapping[str, Any]) -> float:
    return float(row["ended_after_s"] or 0.0)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    motors = row["motors"]
    if motors is None or not row["passed"]:
        return (row["name"], f"**{'; '.join(row['problems'])}**", "", "", "", "")
    stopped_s = row["stopped_after_seen_s"]
    if motors["released_s"] is not None:
        arms = f"given back by {motors['released_s']:.1f} s"
    else:
        arms = "held" if row["expected"]["arms"] == "held" else "not ours"
    return (
        row["name"],
        row["reached"]["state"],
        _ms(row["seen_after_s"]),
        "–" if stopped_s is None else "before" if stopped_s < 0.0 else _ms(stopped_s),
        arms,
        f"{motors['top_speed']['share']:.0%}",
    )


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.0f} ms"
