"""Where rooms and requests come from, for one split."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from sapave_ros.learning.language import Request, head_pose, requests
from sapave_ros.learning.pairs.splits import Split
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.objects import Colour
from sapave_ros.sim.rooms import TEMPLATES, TRAINING_KINDS, Room, make_room
from sapave_ros.types import Floats


class Source(Protocol):
    """templates: of the rooms. kinds: all that may turn up in them; what the world is compiled with. scale: of things,
    beside `objects.VARIANTS`."""

    @property
    def templates(self) -> Sequence[str]: ...

    @property
    def kinds(self) -> Sequence[str]: ...

    @property
    def scale(self) -> float: ...

    def room(self, template: str, seed: int) -> Room: ...

    def requests(self, random: np.random.Generator, room: Room, count: int) -> list[Request]: ...

    def pose(self, direction: str) -> Floats:
        """Head pose (2,) [rad] that a direction means."""
        ...


class Rooms:
    """The rooms of `sim.rooms`, and what `learning.language` says in them.

    With held-out templates a room has the held-out kinds among the known ones, so that they can be told apart.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self.templates = [t.name for t in TEMPLATES.values() if t.held_out == split.held_out]
        self.kinds: Sequence[str] = tuple(CATALOGUE) if split.held_out else TRAINING_KINDS
        self.scale = _SCALE if split.new_instances else 1.0

    def room(self, template: str, seed: int) -> Room:
        kinds = self.kinds
        if self._split.held_out:
            random = np.random.default_rng([seed, 0x4E1])
            known = random.permutation(len(TRAINING_KINDS))[:_KNOWN_KINDS]
            held_out = [k for k in CATALOGUE if k not in TRAINING_KINDS]
            kinds = (*held_out, *(TRAINING_KINDS[i] for i in known))
        room = make_room(template, seed, kinds)
        return other_shades(room, seed) if self._split.new_instances else room

    def requests(self, random: np.random.Generator, room: Room, count: int) -> list[Request]:
        return requests(random, room, count, self._split.phrasing)

    def pose(self, direction: str) -> Floats:
        return head_pose(direction)


_KNOWN_KINDS = 15  # as many as are held out
_SCALE = 1.09  # between the sizes that training has, and beyond the largest; small enough to leave things apart
_SHADE = 0.78
"""Colours of new instances are so much paler or darker than any that training has; their hue stays, which is what
colours are told by."""


def other_shades(room: Room, seed: int) -> Room:
    """The same room with every thing in a shade that is in no room as made: paler or darker."""
    random = np.random.default_rng([seed, 0x54AD])
    items = tuple(replace(i, rgb=_shade(i.rgb, bool(random.random() < 0.5))) for i in room.scene.items)
    return replace(room, scene=replace(room.scene, items=items))


def _shade(rgb: Colour, darker: bool) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    if darker or saturation < 0.3:  # black, white and grey have no paler shade of the same name
        value *= _SHADE
    else:
        saturation *= _SHADE
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return (round(r, 4), round(g, 4), round(b, 4))
