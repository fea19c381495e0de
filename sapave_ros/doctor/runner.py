"""Runs the probes side by side and has their facts judged. Raises for no probe, whatever it does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sapave_ros.doctor.checks import CHECKS, FIRST, PROBES, Check
from sapave_ros.doctor.finding import Finding, Outcome, skipped, wrong
from sapave_ros.doctor.judge.software import unread
from sapave_ros.doctor.settings import Settings

AT_ONCE = 4
"""Probes that run at a time: more only take the processor from each other and from a running graph."""


@dataclass(frozen=True)
class Failure:
    """Instead of facts: why there are none."""

    reason: str


def probe(name: str, settings: Settings) -> Any:
    """Facts of one probe, or a `Failure`."""
    row = PROBES[name]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sapave_ros.doctor.child", name],
            input=settings.to_json(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=row.timeout_s,
            check=False,
        )
        if done.returncode == 0:
            return row.facts(**json.loads(done.stdout.splitlines()[-1]))
        said = done.stderr.strip().splitlines()
        return Failure(f"it ended with status {done.returncode}{f': {said[-1]}' if said else ''}")
    except subprocess.TimeoutExpired:
        return Failure(f"no answer within {row.timeout_s:g} s")
    except Exception as error:  # an answer that is none
        return Failure(f"{type(error).__name__}: {error}")


def collect(settings: Settings) -> tuple[Settings, dict[str, Any]]:
    """The settings with all parameters, and the facts of every probe that applies. Unread parameters leave their
    probes out."""
    first = probe(FIRST, settings)
    settings = settings.with_parameters({} if isinstance(first, Failure) else first.nodes)
    names = [
        name
        for name, row in PROBES.items()
        if name != FIRST and (settings.sim or not row.sim_only) and (not row.needs or settings.nodes.get(row.needs))
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first, so that none of them is what everybody waits for at the end.
        order = sorted(names, key=lambda name: -PROBES[name].timeout_s)
        facts = dict(zip(order, pool.map(lambda name: probe(name, settings), order)))
    return settings, {FIRST: first, **facts}


def judge(settings: Settings, facts: Mapping[str, Any]) -> list[Finding]:
    """One finding per check of the table that applies."""
    findings: list[Finding] = []
    told: dict[str, str] = {}  # failed probe to the check that says so
    for check in CHECKS:
        if PROBES[check.probe].sim_only and not settings.sim:
            continue
        findings.append(Finding(check.group, check.name, _outcome(check, settings, facts, told)))
    return findings


def _outcome(check: Check, settings: Settings, facts: Mapping[str, Any], told: dict[str, str]) -> Outcome:
    if check.probe not in facts:
        return unread("what to look for")
    seen = facts[check.probe]
    reason = seen.reason if isinstance(seen, Failure) else ""
    if not reason:
        try:
            return check.judge(settings, seen)
        except Exception as error:  # facts that nobody thought of: no reason to say nothing about the rest
            return wrong(f"could not be judged: {type(error).__name__}: {error}", _alone(check.probe, settings))
    if check.probe in told:
        return skipped(f"as {told[check.probe]!r} above", f"mend {told[check.probe]!r} above")
    told[check.probe] = check.name
    return wrong(f"could not be looked at: {reason}", _alone(check.probe, settings))


def _alone(name: str, settings: Settings) -> str:
    return f"{settings.again} --probe {name} (shows all that this probe says)"
