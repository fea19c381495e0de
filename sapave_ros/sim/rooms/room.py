"""A room as plain data: a scene, what in it has a name, and where in it each thing stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sapave_ros.sim.parts import Vector
from sapave_ros.sim.scene import Scene

if TYPE_CHECKING:
    from sapave_ros.sim.rooms.draft import Draft

SORTS = ("furniture", "part", "inside")
PREPOSITIONS = ("on", "in", "behind", "under")


@dataclass(frozen=True)
class Landmark:
    """Something fixed that has a name: "cabinet", "top drawer", "handle of the top drawer".

    sort: of `SORTS`. centre: in the world [m]. blocks: indices into `scene.blocks` that are it; empty for an
    inside, which is "inside of the ...".
    """

    name: str
    sort: str
    centre: Vector
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Room:
    """A scene with names.

    place: for each item, the landmark on, in, behind or under which it stands, "" for the bare floor.
    preposition: for each item, of `PREPOSITIONS`. Names of landmarks are distinct, as are those of items.
    """

    scene: Scene
    template: str
    landmarks: tuple[Landmark, ...]
    place: tuple[str, ...]
    preposition: tuple[str, ...]

    def landmark(self, name: str) -> int:
        """Position of the landmark of that name in `landmarks`. Raises KeyError that lists the names."""
        names = [x.name for x in self.landmarks]
        if name not in names:
            raise KeyError(f"no {name!r} in the room; there are {', '.join(names)}")
        return names.index(name)


@dataclass(frozen=True)
class Template:
    """A family of rooms. build: puts furniture into a draft. held_out: never seen in training."""

    name: str
    build: Callable[[Draft], None]
    held_out: bool = False
