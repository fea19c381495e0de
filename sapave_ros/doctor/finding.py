"""What the doctor says: one outcome per check, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "not looked at"


@dataclass(frozen=True)
class Outcome:
    """found: what was seen, or why it was not looked at. mend: the command or the act that makes it ok."""

    verdict: Verdict
    found: str
    mend: str = ""

    def __post_init__(self) -> None:
        if not self.found.strip():
            raise ValueError(f"found: {self.found!r}; expected what was seen")
        if (self.verdict is Verdict.OK) == bool(self.mend.strip()):
            raise ValueError(f"mend: {self.mend!r} with {self.verdict.name}; expected one exactly where it is not ok")


@dataclass(frozen=True)
class Finding:
    """The outcome of the check `name` in `group`."""

    group: str
    name: str
    outcome: Outcome


def ok(found: str) -> Outcome:
    return Outcome(Verdict.OK, found)


def warning(found: str, mend: str) -> Outcome:
    """It will run, but less well or less safely than it could."""
    return Outcome(Verdict.WARNING, found, mend)


def wrong(found: str, mend: str) -> Outcome:
    """It will not run, or must not."""
    return Outcome(Verdict.WRONG, found, mend)


def skipped(why: str, mend: str) -> Outcome:
    """Not looked at, because it does not apply or because something before it has to be mended first."""
    return Outcome(Verdict.SKIPPED, why, mend)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if anything is wrong, else 0. What was not looked at for a fault is wrong in the check that found the fault."""
    return int(any(f.outcome.verdict is Verdict.WRONG for f in findings))


def joined(items: Iterable[object], most: int = 6) -> str:
    """Items for people, cut where there are many."""
    texts = [str(i) for i in items]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
