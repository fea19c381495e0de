"""Where a recording should have looked: written down by hand, in YAML, as `targets.yaml` in the bag's folder.

    targets:
      - from_s: 2.0             # seconds after the bag's first message, as `sapave replay` counts them
        to_s: 6.5
        frame: torso            # torso_link: x forward, y left, z up; it moves with the robot
        point: [1.2, 0.3, 0.4]  # m
      - from_s: 6.5
        to_s: 9.0
        frame: camera           # the optical frame at from_s: x right, y down, z forward
        direction: [0.4, 0.0, 1.0]

Of `point` and `direction` (of any length) a target has one. Spans follow each other and do not overlap; what a robot
that walks should look at is written down anew where it has moved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sapave_ros.types import Floats

NAME = "targets.yaml"
FRAMES = ("torso", "camera")
_FIELDS = ("from_s", "to_s", "frame", "point", "direction")


@dataclass(frozen=True)
class Target:
    """from_s, to_s: after the bag's first message [s]. frame: of FRAMES. place: (3,), a point [m] or a direction."""

    from_s: float
    to_s: float
    frame: str
    place: Floats
    is_point: bool


def read(path: Path, length_s: float) -> list[Target]:
    """The targets of a file in order of time. length_s: of the bag.

    Raises ValueError naming field, value and what was expected, OSError where it cannot be read.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is no YAML ({error})") from None
    try:
        return parse(found, length_s)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse(found: Any, length_s: float) -> list[Target]:
    """From plain data; see `read`."""
    if not isinstance(found, Mapping) or set(found) != {"targets"} or not isinstance(found["targets"], list):
        raise ValueError(f"{_short(found)}; expected a list under `targets` and nothing else")
    if not found["targets"]:
        raise ValueError("targets: []; expected at least one")
    targets: list[Target] = []
    for i, entry in enumerate(found["targets"]):
        target = _target(f"targets[{i}]", entry)
        if targets and target.from_s < targets[-1].to_s:
            raise ValueError(
                f"targets[{i}].from_s: {target.from_s:g}; expected at least {targets[-1].to_s:g}, where the one before "
                "it ends"
            )
        if target.to_s > length_s:
            raise ValueError(f"targets[{i}].to_s: {target.to_s:g}; expected at most {length_s:.3f}, the bag's length")
        targets.append(target)
    return targets


def _target(where: str, entry: Any) -> Target:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: {_short(entry)}; expected {', '.join(_FIELDS[:3])} and point or direction")
    for key in entry:
        if key not in _FIELDS:
            raise ValueError(f"{where}.{key}: is no field; expected of {', '.join(_FIELDS)}")
    for key in _FIELDS[:3]:
        if key not in entry:
            raise ValueError(f"{where}.{key}: is missing")
    kinds = [key for key in ("point", "direction") if key in entry]
    if len(kinds) != 1:
        raise ValueError(f"{where}: has {' and '.join(kinds) or 'neither'}; expected one of point and direction")
    if entry["frame"] not in FRAMES:
        raise ValueError(f"{where}.frame: {_short(entry['frame'])}; expected one of {', '.join(FRAMES)}")
    from_s, to_s = (_number(f"{where}.{key}", entry[key]) for key in ("from_s", "to_s"))
    if from_s < 0.0:
        raise ValueError(f"{where}.from_s: {from_s:g}; expected at least 0")
    if to_s <= from_s:
        raise ValueError(f"{where}.to_s: {to_s:g}; expected more than from_s, {from_s:g}")
    field, values = f"{where}.{kinds[0]}", entry[kinds[0]]
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"{field}: {_short(values)}; expected three numbers")
    place = np.array([_number(f"{field}[{i}]", value) for i, value in enumerate(values)])
    if kinds[0] == "direction" and not place.any():
        raise ValueError(f"{field}: {_short(values)}; expected a direction, of any length but 0")
    return Target(from_s, to_s, entry["frame"], place, kinds[0] == "point")


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{field}: {_short(value)}; expected a finite number")
    return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
