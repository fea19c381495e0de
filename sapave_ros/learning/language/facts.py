"""What is true of the things in a room, as the robot sees it: attributes, relations, places.

The answer to every question is yes (True), no (False), or that people might disagree (None): a thing a hand's width
further left is "left of"; one that is a finger's width further left is neither left of nor not. Instructions are made
only of what is certain. Robot's view: it stands at the origin and faces +x, y to the left, z up [m].
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from sapave_ros.learning.language.lexicon import Lexicon
from sapave_ros.learning.language.meaning import RoomLike
from sapave_ros.learning.language.shapes import Truth, above
from sapave_ros.types import Floats

APART_M = 0.12
"""Left of, right of, behind, in front of: at least so far apart in that direction."""
WITHIN_M = 1.2
"""and no further apart than this, all in all,"""
LEVEL_M = 0.35
"""nor higher or lower than this,"""
STEEPEST = 1.0
"""nor further apart in the other direction than this many times as far as in that one."""
BESIDE_M = (0.40, 0.60)
"""Beside: so near for certain; further away than the second is certainly not beside. Both a little above."""
BESIDE_LEVEL_M = 0.15
NEARER_M = 0.10
"""Nearest: nearer by so much than any other."""
BETWEEN_SHARE = (0.2, 0.0)
"""Between: how far along the line from one to the other at least (yes, maybe), and so far from the other end."""
BETWEEN_ASIDE = (0.25, 0.6)
"""and how far aside of that line, as a share of its length."""
BETWEEN_WITHIN_M = 1.6
SIDE_RAD = (0.35, 0.12)
"""To your left: the bearing is that much for certain; less than the second is certainly not to the left."""
SAME_BOARD_M = 0.06
"""Things on the same shelf stand at the same height."""
NEAR_FURNITURE_M = 0.7

PLACE_WORDS: tuple[str, ...] = ("on", "in", "under", "behind")
RELATIONS: tuple[str, ...] = ("left", "right", "behind", "front", "beside", "between", "nearest", "level")
"""level: on the same shelf or in the same drawer as the other; nearest depends on what is asked for."""


class View:
    """The facts of one room. Items are indices into `room.scene.items`."""

    def __init__(self, room: RoomLike, lexicon: Lexicon):
        self.room, self.lexicon, self.items = room, lexicon, room.scene.items
        self.shapes = [lexicon.shape(i.kind, i.variant) for i in self.items]
        up = [s.height / 2 for s in self.shapes]
        self.centres = np.array([i.position for i in self.items]).reshape(-1, 3)  # (n, 3)
        self.centres[:, 2] += up
        self.floor_z = self.centres[:, 2] - up

    def noun(self, item: int, word: str | None) -> Truth:
        """Whether a word names it. A "tennis ball" may be meant by "ball" even where that is another kind."""
        kind = self.items[item].kind
        if word is None or kind in self.lexicon.nouns.get(word, ()):
            return True
        own = (kind, *self.lexicon.kinds[kind].words)
        return None if any(w.endswith(f" {word}") for w in own) else False

    def colour(self, item: int, word: str) -> Truth:
        return self.items[item].colour == word

    def size(self, item: int, word: str) -> Truth:
        """big, small: among those of its kind, where there are others and none is of the same size."""
        own = self.items[item]
        others = [o.variant for i, o in enumerate(self.items) if o.kind == own.kind and i != item]
        if not others:
            return None
        above, below = own.variant > max(others), own.variant < min(others)
        wanted, opposite = (above, below) if word == "big" else (below, above)
        return True if wanted else False if opposite else None

    def shape(self, item: int, word: str) -> Truth:
        own = self.items[item]
        return self.lexicon.shaped(own.kind, own.variant, word)

    def function(self, item: int, function: str) -> Truth:
        return function in self.lexicon.kinds[self.items[item].kind].functions

    def bearing(self, item: int) -> float:
        """Direction from the robot [rad], to the left positive."""
        return math.atan2(self.centres[item, 1], self.centres[item, 0])

    def side(self, item: int, side: str) -> Truth:
        """left or right of the robot itself."""
        return above(self.bearing(item) * (1 if side == "left" else -1), *SIDE_RAD)

    def relation(self, name: str, item: int, references: tuple[int, ...]) -> Truth:
        """One of `RELATIONS` but nearest. A thing stands in no relation to itself."""
        if item in references:
            return False
        if name == "between":
            return self._between(item, *references)
        (reference,) = references
        if name == "level":
            return self.level(item, reference)
        delta = self.centres[item] - self.centres[reference]
        if name == "beside":
            return self._beside(delta)
        x, y, z = delta
        turn = self.bearing(item) - self.bearing(reference)
        away = float(np.hypot(*self.centres[item, :2]) - np.hypot(*self.centres[reference, :2]))
        along, across, agrees = {
            "left": (y, x, turn),
            "right": (-y, x, -turn),
            "behind": (x, y, away),
            "front": (-x, y, -away),
        }[name]
        if along <= 0.0 and agrees <= 0.0:
            return False
        near = np.linalg.norm(delta) <= WITHIN_M and abs(z) <= LEVEL_M and abs(across) <= STEEPEST * along
        return True if near and along >= APART_M and agrees > 0.0 else None

    def _beside(self, delta: Floats) -> Truth:
        level, apart = abs(float(delta[2])), math.hypot(delta[0], delta[1])
        if level > LEVEL_M or apart > BESIDE_M[1]:
            return False
        return True if level <= BESIDE_LEVEL_M and apart <= BESIDE_M[0] else None

    def _between(self, item: int, first: int, second: int) -> Truth:
        start, line = self.centres[first], self.centres[second] - self.centres[first]
        length = math.hypot(line[0], line[1])
        delta = self.centres[item] - start
        if length < 1e-6:
            return None
        share = float(delta[:2] @ line[:2]) / length**2
        aside = abs(float(delta[0] * line[1] - delta[1] * line[0])) / length**2
        inside = min(share, 1.0 - share)
        if inside <= BETWEEN_SHARE[1] or aside >= BETWEEN_ASIDE[1]:
            return False
        level = max(abs(line[2]), abs(delta[2]), abs(delta[2] - line[2])) <= LEVEL_M
        sure = inside >= BETWEEN_SHARE[0] and aside <= BETWEEN_ASIDE[0] and length <= BETWEEN_WITHIN_M
        return True if sure and level else None

    def distance(self, item: int, reference: int) -> float:
        return float(np.linalg.norm(self.centres[item] - self.centres[reference]))

    def level(self, item: int, reference: int) -> Truth:
        """On the same board of the same shelf, in the same drawer."""
        where = [(self.room.place[i], self.room.preposition[i]) for i in (item, reference)]
        if where[0] != where[1]:
            return None if _nested(where[0][0], where[1][0]) else False
        same = abs(self.floor_z[item] - self.floor_z[reference]) <= SAME_BOARD_M
        return True if same and where[0][0] else None

    def place(self, item: int, preposition: str, landmark: str) -> Truth:
        """Whether it stands there; landmark: a name without "inside of the", "floor" for the floor."""
        own, how = core(self.room.place[item]) or "floor", self.room.preposition[item]
        if own == landmark:
            return how == preposition
        if landmark == "floor":
            return None if how in ("under", "behind") else False
        if _nested(own, landmark):
            return None
        if _siblings(own, landmark):
            return False
        others = [m for m in self.room.landmarks if core(m.name) == landmark]
        offsets = [self.centres[item] - np.array(m.centre) for m in others]
        near = any(math.hypot(x, y) < NEAR_FURNITURE_M for x, y, _ in offsets)
        if preposition == "behind":
            return None if any(x > 0 and abs(y) < NEAR_FURNITURE_M for x, y, _ in offsets) else False
        if preposition == "under":
            return None if near and any(z < 0 for *_, z in offsets) else False
        whole = {m.sort == "part" for m in self.room.landmarks if m.name in (own, landmark)}
        return None if near and how == preposition and len(whole) > 1 else False


def core(name: str) -> str:
    """The landmark whose inside this is, or the name itself."""
    return name.removeprefix("inside of the ")


def _nested(a: str, b: str) -> bool:
    """Whether one name is a narrower word for the other: a top drawer is a drawer."""
    return a != b and any(long.endswith(f" {short}") for long, short in product((a, b), repeat=2) if short)


def _siblings(a: str, b: str) -> bool:
    """Whether two names are of two things of one sort: the top drawer, the bottom drawer."""
    return a.partition(" of the ")[0].split()[-1] == b.partition(" of the ")[0].split()[-1]
