"""`sapave tables`: the tables of README.md, made from the tables of the code.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; a test holds README to what this writes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from sapave_ros import graph
from sapave_ros.core.faults import Fault, FaultRow
from sapave_ros.core.supervisor import MODES, Event, State, after
from sapave_ros.types import Mode

_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def processes() -> str:
    """Every process of the graph."""
    return _markdown(
        ("process", "command", "what it does"),
        [
            (p.name, f"`{p.script}`", p.purpose + (" (only in simulation)" if p.sim_only else ""))
            for p in graph.PROCESSES
        ],
    )


def streams() -> str:
    """Every topic of the graph."""
    return _streams(graph.STREAMS)


def monitor() -> str:
    """Every topic of the node that is only looked at."""
    return _streams(graph.MONITOR_STREAMS)


def _streams(shown: Sequence[graph.Stream]) -> str:
    def number(value: float | None, unit: str) -> str:
        return "–" if value is None else f"{value:g} {unit}"

    return _markdown(
        ("topic", "type", "from → to", "rate", "too old after", "QoS", "meaning"),
        [
            (
                f"`{s.topic}`",
                s.type,
                f"{_who(s.publishers)} → {_who(s.subscribers)}",
                number(s.rate_hz, "Hz"),
                number(s.stale_after_s, "s"),
                s.qos.value,
                s.meaning,
            )
            for s in shown
        ],
    )


def services() -> str:
    """Every service of the graph."""
    return _markdown(
        ("service (std_srvs/Trigger)", "served by", "meaning"),
        [(f"`{s.name}`", s.server, s.meaning) for s in graph.SERVICES],
    )


_ALLOWED = {
    Mode.RELEASE: "the robot's own controller has them",
    Mode.HOLD: "decelerate, then hold the last command",
    Mode.MOVE: "follow chunks",
    Mode.DAMP: "stiffness ramps down, then handed back",
}


def states() -> str:
    """Every state of the watchdog: what it means, and what the arms do."""
    return _markdown(("state", "meaning", "arms"), [(s.name, s.value, _ALLOWED[MODES[s][1]]) for s in State])


def diagram() -> str:
    """The states and what leads from one to another, as a Mermaid diagram; what happens everywhere is drawn once."""
    ways: dict[tuple[State, State], list[Event]] = {}
    for event in Event:
        for state in State:
            if (following := after(state, event)) is not state:
                ways.setdefault((state, following), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(State)).name}"]
    for (state, following), events in ways.items():
        lines.append(f"    {state.name} --> {following.name}: {', '.join(e.value for e in events)}")
    return "\n".join([*lines, "```", ""])


def faults() -> str:
    """Everything that is watched for, and what it does to a robot that may move."""

    def effect(row: FaultRow) -> str:
        resumes = f", goes on by itself {row.resumes_after_s:g} s after it is gone" if row.resumes_after_s else ""
        return f"{row.effect.value}{resumes}"

    return _markdown(
        ("fault", "meaning", "seen by", "effect"),
        [(f"`{f.name}`", f.row.meaning, f.row.seen_by, effect(f.row)) for f in Fault],
    )


def _who(names: Sequence[str]) -> str:
    return ", ".join("anyone" if n == "*" else n for n in names)


TABLES = {
    "processes": processes,
    "streams": streams,
    "monitor": monitor,
    "services": services,
    "states": states,
    "diagram": diagram,
    "faults": faults,
}


def render(text: str) -> str:
    """The text with every table made anew. Raises ValueError on a table that does not exist."""

    def table(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ValueError(f"table {match[2]!r}; expected one of {', '.join(TABLES)}")
        return f"{match[1]}{TABLES[match[2]]()}{match[3]}"

    return _BLOCK.sub(table, text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave tables`."""
    parser.add_argument("file", nargs="?", type=Path, default=Path("README.md"))


def run(args: argparse.Namespace) -> int:
    """Rewrites the file in place."""
    args.file.write_text(render(args.file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0
