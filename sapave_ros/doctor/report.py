"""The findings for people and for scripts."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sapave_ros.doctor.finding import Finding, Outcome, Verdict, exit_code
from sapave_ros.doctor.settings import Settings

WIDTH = 100
_COLOURS = {Verdict.OK: "32", Verdict.WARNING: "33", Verdict.WRONG: "1;31", Verdict.SKIPPED: "2"}
_WORD, _NAME = 16, 18  # widths of the columns


def text(findings: Sequence[Finding], colour: bool) -> str:
    """At most `WIDTH` columns, except where a command or a path is longer and would not work in two lines."""
    lines: list[str] = []
    for group, members in groupby(findings, key=lambda f: f.group):
        lines += ["", group] if lines else [group]
        for outcome, same in groupby(members, key=lambda f: f.outcome):
            lines += _rows(outcome, [f.name for f in same], colour)
    return "\n".join(lines)


def _rows(outcome: Outcome, names: Sequence[str], colour: bool) -> list[str]:
    """One outcome of these checks."""
    word = f"{outcome.verdict.value:<{_WORD - 2}}"
    if colour:
        word = f"\x1b[{_COLOURS[outcome.verdict]}m{word}\x1b[0m"
    indent = " " * (_WORD + _NAME)
    found = _wrapped(outcome.found, WIDTH - len(indent))
    rows = [f"  {word}{names[0]:<{_NAME}}{found[0]}", *(indent + line for line in found[1:])]
    if names[1:]:
        rows += [indent + line for line in _wrapped(f"(so too {', '.join(names[1:])})", WIDTH - len(indent))]
    if outcome.mend:
        mend = _wrapped(outcome.mend, WIDTH - len(indent) - 2)
        rows += [f"{indent}→ {mend[0]}", *(f"{indent}  {line}" for line in mend[1:])]
    return rows


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(words.split()), width, break_long_words=False, break_on_hyphens=False)


def summary(findings: Sequence[Finding], seconds: float) -> str:
    """The last line."""
    counts = Counter(f.outcome.verdict for f in findings)
    said = ", ".join(f"{counts[v]} {v.value}" for v in Verdict if counts[v] or v in (Verdict.OK, Verdict.WRONG))
    return f"{len(findings)} checks in {seconds:.1f} s: {said}"


def data(settings: Settings, findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """For `--json`."""
    return {
        "sim": settings.sim,
        "ros_domain": settings.ros_domain,
        "dds_domain": settings.dds_domain,
        "run_dir": settings.run_dir,
        "params_file": settings.params_file,
        "seconds": round(seconds, 3),
        "exit_code": exit_code(findings),
        "findings": [
            {
                "group": f.group,
                "name": f.name,
                "verdict": f.outcome.verdict.value,
                "found": f.outcome.found,
                "mend": f.outcome.mend,
            }
            for f in findings
        ],
    }
