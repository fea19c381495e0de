"""Joystick messages to what a person means: which axis and which button does what, for each kind of pad.

A map names a function and where it is found, in `config/teleop.yaml`:

    forward: {axis: 4}                       # a stick: +1 at one end, -1 at the other
    close: {axis: 5, rest: 1.0, full: -1.0}  # a trigger: 1.0 when let go, -1.0 when pulled
    joint_next: {axis: 6, full: -1.0}        # one half of a D-pad's axis, as a button
    deadman: {button: 4}
    up: {minus: 8, plus: 11}                 # two buttons as a stick

What is not where the map says it is moves nothing: a message that is too short, or holds what is no number, is refused
as a whole; a trigger that has never been seen at rest reads as let go (drivers say 0 until it is first moved).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sapave_ros.parameters import ParameterError
from sapave_ros.share import share_path

STICKS = ("forward", "left", "up", "tilt")
"""-1 to 1: each also means its opposite."""
TRIGGERS = ("close", "open")
"""0 to 1."""
BUTTONS = (
    "deadman", "stop", "take_head", "take_arms", "limb", "way", "fast", "joint_next", "joint_previous",
)  # fmt: skip
RECORDING = ("episode", "success", "failure", "discard")
"""Buttons for the recorder. What moves the robot never sees them, whatever a map says."""
OPTIONAL = frozenset({"tilt", "fast", *RECORDING})
"""What a pad may lack: it is then never used."""

MAY_SHARE = frozenset({("joint_next", "left"), ("joint_previous", "left")})
"""Joint by joint, `left` moves nothing: a pad with few buttons chooses the joint with it."""

PRESSED = 0.5
"""An axis beyond this counts as a pressed button."""

REMOTE = "remote"
"""The map of the Unitree remote."""


@dataclass(frozen=True)
class Place:
    """Where a function is found. Either an axis with its value at rest and at its end, or one or two buttons."""

    axis: int | None = None
    rest: float = 0.0
    full: float = 1.0
    plus: int | None = None
    minus: int | None = None

    def value(self, axes: Sequence[float], buttons: Sequence[int]) -> float:
        """-1 to 1. Raises IndexError where the message is too short."""
        if self.axis is not None:
            return min(1.0, max(-1.0, (axes[self.axis] - self.rest) / (self.full - self.rest)))
        return float(self.plus is not None and buttons[self.plus] != 0) - float(
            self.minus is not None and buttons[self.minus] != 0
        )

    def occupies(self, both_ways: bool) -> set[tuple[str, int, bool]]:
        """What nobody else may use: buttons, and the halves of an axis."""
        if self.axis is not None:
            ends = {True, False} if both_ways or self.rest != 0.0 else {self.full > self.rest}
            return {("axis", self.axis, end) for end in ends}
        return {("button", b, True) for b in (self.plus, self.minus) if b is not None}


@dataclass(frozen=True)
class Pad:
    """One kind of joystick. places: by function that moves something, or stops it. recording: by function of
    `RECORDING`. needs: how many axes and buttons its messages have at least.
    """

    name: str
    places: Mapping[str, Place]
    recording: Mapping[str, Place] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[int, int]:
        axes = [p.axis for p in self.places.values() if p.axis is not None]
        buttons = [b for p in self.places.values() for b in (p.plus, p.minus) if b is not None]
        return max(axes, default=-1) + 1, max(buttons, default=-1) + 1

    def read(self, axes: Sequence[float], buttons: Sequence[int]) -> Controls:
        """What the person does. Raises ValueError naming what a message lacks."""
        for name, values, needed in zip(("axes", "buttons"), (axes, buttons), self.needs, strict=True):
            if len(values) < needed:
                raise ValueError(f"{name}: {len(values)} values; expected at least {needed} of a pad {self.name!r}")
        for i, value in enumerate(axes):
            if not math.isfinite(value):
                raise ValueError(f"axes[{i}]: {value}; expected a finite number")
        found = {name: place.value(axes, buttons) for name, place in self.places.items()}
        return Controls(
            {
                **{name: found.get(name, 0.0) for name in STICKS},
                **{name: max(0.0, found.get(name, 0.0)) for name in TRIGGERS},
            },
            frozenset(name for name in BUTTONS if found.get(name, 0.0) > PRESSED),
        )

    def asked(self, axes: Sequence[float], buttons: Sequence[int]) -> frozenset[str]:
        """Functions of `RECORDING` that are pressed; none in a message of nonsense, or one without their buttons."""
        return frozenset(name for name in self.recording if self.held(name, axes, buttons))

    def held(self, function: str, axes: Sequence[float], buttons: Sequence[int]) -> bool:
        """Whether the button of any function is down."""
        place = self.places.get(function) or self.recording.get(function)
        try:
            return place is not None and all(map(math.isfinite, axes)) and place.value(axes, buttons) > PRESSED
        except IndexError:
            return False


@dataclass(frozen=True)
class Controls:
    """moving: by name out of STICKS and TRIGGERS. pressed: names out of BUTTONS."""

    moving: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STICKS + TRIGGERS, 0.0))
    pressed: frozenset[str] = frozenset()


def shaped(value: float, dead_zone: float, expo: float) -> float:
    """A stick's value without its dead zone, and finer around the middle; odd, and 1 stays 1.

    expo: share of the cube, 0 = a straight line.
    """
    size = abs(value)
    if size <= dead_zone:
        return 0.0
    size = (size - dead_zone) / (1.0 - dead_zone)
    return math.copysign((1.0 - expo) * size + expo * size**3, value)


def load(name: str, path: Path | None = None) -> Pad:
    """The map of that name. path: default `config/teleop.yaml`. Raises ParameterError naming the field."""
    file = path or share_path("config/teleop.yaml")
    pads = (yaml.safe_load(file.read_text()) or {}).get("pads") or {}
    if name not in pads:
        raise ParameterError(f"pad {name!r}; expected one of {', '.join(map(repr, pads))} of {file}")
    return parse(name, pads[name])


def parse(name: str, entries: Any) -> Pad:
    """A map from plain data. Raises ParameterError naming the function and what is wrong with it."""
    if not isinstance(entries, Mapping):
        raise ParameterError(f"pad {name}: {entries!r}; expected functions and where they are found")
    known = STICKS + TRIGGERS + BUTTONS + RECORDING
    for function in entries:
        if function not in known:
            raise ParameterError(f"pad {name}: no function is called {function!r}; expected {', '.join(known)}")
    for function in known:
        if function not in entries and function not in OPTIONAL:
            raise ParameterError(f"pad {name}: {function} is missing; expected where it is found")
    places = {function: _place(f"pad {name}: {function}", entry) for function, entry in entries.items()}
    taken: dict[tuple[str, int, bool], str] = {}
    for function in sorted(places, key=known.index):
        for slot in places[function].occupies(both_ways=function in STICKS):
            other = taken.setdefault(slot, function)
            if other != function and (function, other) not in MAY_SHARE:
                raise ParameterError(f"pad {name}: {function} and {other} both use {slot[0]} {slot[1]}")
    recording = {function: places.pop(function) for function in RECORDING if function in places}
    return Pad(name, places, recording)


def _place(what: str, entry: Any) -> Place:
    kinds: tuple[frozenset[str], ...] = (
        frozenset({"axis", "rest", "full"}),
        frozenset({"button"}),
        frozenset({"minus", "plus"}),
    )
    keys = frozenset(entry) if isinstance(entry, Mapping) else frozenset()
    whole = {"axis"} <= keys or keys in kinds[1:]
    if not whole or not any(keys <= kind for kind in kinds):
        raise ParameterError(f"{what}: {entry!r}; expected {{axis, rest, full}}, {{button}} or {{minus, plus}}")
    for key in keys & {"axis", "button", "minus", "plus"}:
        if type(entry[key]) is not int or not 0 <= entry[key] < 64:
            raise ParameterError(f"{what}: {key}: {entry[key]!r}; expected a whole number from 0 to 63")
    if "axis" not in keys:
        return Place(plus=entry.get("button", entry.get("plus")), minus=entry.get("minus"))
    ends = {key: entry.get(key, default) for key, default in (("rest", 0.0), ("full", 1.0))}
    for key, value in ends.items():
        if isinstance(value, bool) or value not in (-1, 0, 1):
            raise ParameterError(f"{what}: {key}: {value!r}; expected -1, 0 or 1")
    if ends["rest"] == ends["full"]:
        raise ParameterError(f"{what}: rest and full are both {ends['rest']!r}; expected them to differ")
    return Place(axis=entry["axis"], rest=float(ends["rest"]), full=float(ends["full"]))
