"""Rooms of twenty templates: furniture with names, and things on, in, behind and under it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.rooms import open_rooms, storage, tables
from sapave_ros.sim.rooms.draft import Draft
from sapave_ros.sim.rooms.fill import collide, fill
from sapave_ros.sim.rooms.room import Landmark, Room, Template
from sapave_ros.sim.scene import ROOM_BLOCKS, Scene, light, waiting_arms, walls

__all__ = ["TEMPLATES", "TRAINING_KINDS", "Landmark", "Room", "Template", "make_room"]

TEMPLATES: dict[str, Template] = {t.name: t for t in (*tables.TEMPLATES, *storage.TEMPLATES, *open_rooms.TEMPLATES)}
"""Every template by its name."""

TRAINING_KINDS: tuple[str, ...] = tuple(name for name, kind in CATALOGUE.items() if not kind.held_out)
"""What is in a room unless other kinds are asked for."""

_FEWEST = 6
_ATTEMPTS = 60


def make_room(template: str, seed: int, kinds: Sequence[str] | None = None) -> Room:
    """The room of that template with that number: the same for the same arguments, on every machine.

    kinds: what may be in it, of the catalogue; None for `TRAINING_KINDS`. With fewer than six kinds there may be
    fewer than six things. Raises ValueError on an unknown template or kind.
    """
    if template not in TEMPLATES:
        raise ValueError(f"template: no {template!r}; there are {', '.join(TEMPLATES)}")
    kinds = TRAINING_KINDS if kinds is None else tuple(kinds)
    unknown = [k for k in kinds if k not in CATALOGUE]
    if unknown or not kinds:
        raise ValueError(f"kinds: {', '.join(unknown) or 'none'}; expected of {', '.join(CATALOGUE)}")
    random = np.random.default_rng([seed, zlib.crc32(template.encode())])
    for _ in range(_ATTEMPTS):  # a room whose things do not fit is built anew, with what comes next from the seed
        draft = Draft(random)
        walls(random, draft.blocks)
        room_walls = tuple(range(1, len(draft.blocks)))
        TEMPLATES[template].build(draft)
        furniture = [x.blocks for x in draft.landmarks if x.sort == "furniture"]
        if collide(draft.blocks, [room_walls, *furniture]):
            continue
        items, spots = fill(random, draft.blocks, draft.spots, kinds)
        if len(items) >= min(_FEWEST, len(kinds)):
            break
    else:
        raise RuntimeError(f"{template} {seed}: no place for {_FEWEST} things in {_ATTEMPTS} attempts")
    if len(draft.blocks) > ROOM_BLOCKS:
        raise RuntimeError(f"{template} {seed}: {len(draft.blocks)} blocks, at most {ROOM_BLOCKS}")
    scene = Scene(
        seed=seed,
        blocks=tuple(draft.blocks),
        items=tuple(items),
        lights=tuple(light(random) for _ in range(2)),
        ambient=float(random.uniform(0.30, 0.50)),
        head=(float(random.uniform(-0.75, 0.75)), float(random.uniform(-0.1, 0.85))),
        arms=waiting_arms(random),
        hands=tuple(float(h) for h in g1.HANDS.lower + random.uniform(0.0, 0.5) * (g1.HANDS.upper - g1.HANDS.lower)),
    )
    place = tuple(s.place for s in spots)
    return Room(scene, template, tuple(draft.landmarks), place, tuple(s.preposition for s in spots))
