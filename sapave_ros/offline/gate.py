"""Whether figures are worse than they were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TOLERANCE = 0.05

_NOISE = {"error_rad": 1e-5, "jump_rad": 1e-4, "refused": 0.5, "not_identical": 0.5, "missing": 0.5}
"""What a figure may grow by in any case: less than this says nothing."""


def read(path: Path) -> dict[str, Any]:
    """What `sapave eval --json` wrote. Raises ValueError where it is something else, OSError where it is not there."""
    try:
        found = json.loads(path.read_text())
        dict(_figures(found))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"baseline: {path} is no report of sapave eval ({error!r}); expected what --json wrote"
        ) from error
    return dict(found)


def compare(before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> list[str]:
    """A line for every figure that grew by more than a share; all of them are better when small.

    A figure that is gone is worse: nobody knows. Whether chunks are the robot's is compared for one and the same model
    alone: another one has others. Bags are known by their folder and the one above it; ValueError where that is the
    same for two.
    """
    old, new = dict(_figures(before)), dict(_figures(now))
    then, today = dict(_models(before)), dict(_models(now))
    worse = []
    for key, value in old.items():
        if key[-1] == "not_identical" and (not then[key[:2]] or then[key[:2]] != today.get(key[:2])):
            continue
        name = " ".join(key)
        if key not in new:
            worse.append(f"{name}: was {value:.4g}, is not there any more")
        elif new[key] > value * (1 + tolerance) + _NOISE[key[-1]]:
            worse.append(f"{name}: was {value:.4g}, is {new[key]:.4g}; expected at most {tolerance:.0%} more")
    return worse


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Raises ValueError where two bags cannot be told apart."""
    taken: set[str] = set()
    for bag in report["bags"]:
        name = _name(bag)
        if name in taken:
            raise ValueError(f"bags: {name} is there twice; expected another folder, or one above it, for each")
        taken.add(name)
        for model, of in bag["models"].items():
            where = (name, model)
            yield (*where, "missing"), float(sum(of["missing"].values()))
            for head, same in of["identical"].items():
                yield (*where, head, "not_identical"), float(same["of"] - same["chunks"])
            for group, figures in of["groups"].items():
                if figures["error_rad"] is not None:
                    yield (*where, group, "error_rad"), figures["error_rad"]
                if figures["jump_rad"] is not None:
                    yield (*where, group, "jump_rad"), figures["jump_rad"]["p95"]
                yield (*where, group, "refused"), float(sum(figures["refused"].values()))


def _name(bag: Mapping[str, Any]) -> str:
    """Episodes are numbered anew in every recording: the folder above tells which it was."""
    return "/".join(Path(bag["bag"]).resolve().parts[-2:])


def _models(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Which model had which name, in every bag; empty where nobody wrote that down."""
    for bag in report["bags"]:
        for model, of in bag["models"].items():
            yield (_name(bag), model), of.get("sha256", "")
