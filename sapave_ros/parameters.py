"""Tunables, declared once: frozen dataclasses whose fields carry unit, range and meaning.

    @dataclass(frozen=True)
    class CameraParameters:
        fps: int = parameter(30, unit="Hz", low=1, high=90, doc="frames per second asked of the camera")

Nodes declare them as ROS parameters (`nodes/ros.py`), `config/sapave.yaml` sets them, `check` refuses nonsense.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any


class ParameterError(ValueError):
    """A parameter has a value that it cannot have. The message names field, value and what was expected."""


def parameter(
    default: Any = MISSING,
    *,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A dataclass field with a meaning. Without `default` the parameter must be given. low, high: inclusive."""
    metadata = {"doc": doc, "unit": unit, "low": low, "high": high, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def expected(spec: Field[Any]) -> str:
    """What a field accepts, for people: `a number in 0.1..30 Hz`."""
    meta = spec.metadata
    if meta.get("choices"):
        return "one of " + ", ".join(map(repr, meta["choices"]))
    unit = f" {meta['unit']}" if meta.get("unit") else ""
    low, high = meta.get("low"), meta.get("high")
    if low is not None and high is not None:
        return f"a number in {low:g}..{high:g}{unit}"
    if low is not None:
        return f"a number ≥ {low:g}{unit}"
    if high is not None:
        return f"a number ≤ {high:g}{unit}"
    return f"a value of type {getattr(spec.type, '__name__', spec.type)}{unit}"


def check(parameters: Any) -> None:
    """Raise ParameterError unless every field of the dataclass instance lies in its declared range."""
    for spec in fields(parameters):
        value = getattr(parameters, spec.name)
        meta = spec.metadata
        bad = bool(meta.get("choices")) and value not in meta["choices"]
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                bad = True
            elif isinstance(number, (int, float)) and not isinstance(number, bool):
                low, high = meta.get("low"), meta.get("high")
                bad = bad or (low is not None and number < low) or (high is not None and number > high)
        if bad:
            raise ParameterError(f"parameter {spec.name}: {value!r}; expected {expected(spec)}")
