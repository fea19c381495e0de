"""A room as plain data: a scene, what in it has a name, and where in it each thing stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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

    @staticmethod
    def bare(scene: Scene, template: str = "") -> Room:
        """A scene of which nobody says more than what its items are called."""
        return Room(scene, template, (), ("",) * len(scene.items), ("on",) * len(scene.items))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Room:
        """The inverse of `to_json`. Raises ValueError that names what is missing or unknown."""
        try:
            d: dict[str, Any] = json.loads(text)
            scene = Scene.from_json(json.dumps(d.pop("scene")))
            marks = tuple(Landmark(**{k: _tuple(v) for k, v in m.items()}) for m in d.pop("landmarks"))
            return Room(scene=scene, landmarks=marks, **{k: _tuple(v) for k, v in d.items()})
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as e:
            raise ValueError(f"room: {e}") from e


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Template:
    """A family of rooms. build: puts furniture into a draft. held_out: never seen in training."""

    name: str
    build: Callable[[Draft], None]
    held_out: bool = False
