"""Where rooms and requests come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sapave_ros.learning.pairs.splits import Split
from sapave_ros.types import Floats


class Source(Protocol):
    """Rooms and what may be asked in them, for one split."""

    templates: Sequence[str]
    kinds: Sequence[str]
    """All kinds that may turn up: what the world is compiled with."""

    def room(self, template: str, seed: int) -> Any: ...

    def requests(self, random: np.random.Generator, room: Any, count: int) -> list[Any]: ...

    def pose(self, direction: str) -> Floats: ...


@dataclass(frozen=True)
class _Goal:
    item: int | None = None
    landmark: int | None = None
    direction: str | None = None


@dataclass(frozen=True)
class _Request:
    text: str
    kind: str
    goal: _Goal
    candidates: tuple[int, ...] = ()
    phrasing: str = "train"


@dataclass(frozen=True)
class _Room:
    scene: Any
    template: str
    landmarks: tuple[Any, ...] = ()


class Simple:
    """The rooms of `random_scene` and the instructions of `learning.instructions`."""

    def __init__(self, split: Split) -> None:
        from sapave_ros.sim.objects import KINDS

        self.templates: Sequence[str] = ("table and shelf",)
        self.kinds: Sequence[str] = KINDS

    def room(self, template: str, seed: int) -> Any:
        from sapave_ros.sim.scene import random_scene

        return _Room(random_scene(seed), template)

    def requests(self, random: np.random.Generator, room: Any, count: int) -> list[Any]:
        out: list[Any] = []
        for i in range(count):
            if i % 10 == 9:
                out.append(_Request("look to the left", "direction", _Goal(direction="left")))
                continue
            n = int(random.integers(len(room.scene.items)))
            item = room.scene.items[n]
            out.append(_Request(f"look at the {item.name}", "name", _Goal(item=n)))
        return out

    def pose(self, direction: str) -> Floats:
        return np.array({"left": (0.75, 0.3)}[direction])


class Rooms(Simple):
    """The rooms of `sim.rooms`, and what `learning.language` says in them."""

    def __init__(self, split: Split) -> None:
        from sapave_ros.sim.catalogue import CATALOGUE
        from sapave_ros.sim.rooms import TEMPLATES, TRAINING_KINDS

        self.templates = [t.name for t in TEMPLATES.values() if t.held_out == split.held_out]
        self.kinds = tuple(CATALOGUE) if split.held_out else TRAINING_KINDS

    def room(self, template: str, seed: int) -> Any:
        from sapave_ros.sim.rooms import make_room

        return make_room(template, seed, self.kinds)

    def requests(self, random: np.random.Generator, room: Any, count: int) -> list[Any]:
        out: list[Any] = []
        for i, m in enumerate(room.landmarks):
            if len(out) < count // 3:
                out.append(_Request(f"look at the {m.name}", "part" if m.sort == "part" else "place", _Goal(landmark=i)))
        return out + super().requests(random, room, count - len(out))
