"""What an instruction asks for: goals, requests, and the rooms they are about.

A room is whatever has the fields of `RoomLike`; its items and landmarks are named by their index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sapave_ros.sim.objects import Shape, Vector
from sapave_ros.sim.scene import Scene
from sapave_ros.types import Floats

KINDS_OF_INSTRUCTION: tuple[str, ...] = (
    "name",
    "attribute",
    "relation",
    "function",
    "part",
    "place",
    "negation",
    "several",
    "direction",
)
"""By what a thing is asked for; of a composition, the rarest of its parts (see `wording.kind_of`)."""

SPLITS: tuple[str, ...] = ("train", "test1", "test2")
"""train; other phrasings of the same; combinations that training never shows, and objects it never names."""

MAX_WORDS = 20
"""Longer instructions are not made."""

DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (0.75, 0.30),
    "right": (-0.75, 0.30),
    "up": (0.0, -0.25),
    "down": (0.0, 0.95),
    "ahead": (0.0, 0.25),
    "a bit left": (0.35, 0.30),
    "a bit right": (-0.35, 0.30),
    "a bit up": (0.0, 0.0),
    "a bit down": (0.0, 0.60),
}
"""Head pose (yaw, pitch) [rad] that each direction means, in `g1.HEAD` order: fixed poses rather than offsets, so that
a policy without memory knows when it has arrived."""


@dataclass(frozen=True)
class Goal:
    """What to look at: an item or landmark of the room by its index, or a direction; none where it is absent."""

    item: int | None = None
    landmark: int | None = None
    direction: str | None = None

    @property
    def absent(self) -> bool:
        """Whether the room has no such thing, so that the robot must search."""
        return self == Goal()


@dataclass(frozen=True)
class Request:
    """One instruction and what it means in its room.

    candidates: all items that fit, where several do, any of them being right; then the goal is the one nearest to
    the robot. phrasing: the split whose wording it has. combination: what the description is composed of, sorted.
    """

    text: str
    kind: str
    goal: Goal
    candidates: tuple[int, ...] = ()
    phrasing: str = "train"
    combination: tuple[str, ...] = ()

    @property
    def goals(self) -> tuple[Goal, ...]:
        """All that is right to look at; empty where the thing is absent."""
        if self.candidates:
            return tuple(Goal(item=i) for i in self.candidates)
        return () if self.goal.absent else (self.goal,)


class LandmarkLike(Protocol):
    """Something fixed that has a name. sort: furniture, part or inside; centre in the world [m]."""

    @property
    def name(self) -> str: ...
    @property
    def sort(self) -> str: ...
    @property
    def centre(self) -> Vector: ...


class RoomLike(Protocol):
    """A scene, its landmarks, and for each item the landmark at which it stands ("" is the floor) and how."""

    @property
    def scene(self) -> Scene: ...
    @property
    def landmarks(self) -> tuple[LandmarkLike, ...]: ...
    @property
    def place(self) -> tuple[str, ...]: ...
    @property
    def preposition(self) -> tuple[str, ...]: ...


class KindLike(Protocol):
    """A kind of object: how people call it, what it is for, how it is built from a scale."""

    @property
    def name(self) -> str: ...
    @property
    def build(self) -> Callable[[float], Shape]: ...
    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def functions(self) -> tuple[str, ...]: ...
    @property
    def colours(self) -> tuple[str, ...]: ...
    @property
    def held_out(self) -> bool: ...


def head_pose(direction: str) -> Floats:
    """Head pose (2,) [rad] of a direction. Raises ValueError that lists the directions."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction: no {direction!r}; there are {', '.join(DIRECTIONS)}")
    return np.array(DIRECTIONS[direction])
