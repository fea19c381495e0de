"""The cases of semantic active perception: rooms that no training has, one request each, the head turned away from it.

A case follows from its split and its number alone, so the first hundred are the same however many are played. Every
27 numbers have each kind of instruction in each visibility once, a direction instead of one being three times there.
What the start pose hides behind furniture, no other pose reveals: the eyes of a head that turns move by centimetres.
So such cases are not asked for (of 20,000 requests in rooms of all splits, four were hidden and could be revealed).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from sapave_ros.bench.judge import Judge, between_axes
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION, Goal, Request
from sapave_ros.learning.language import head_pose as direction_pose
from sapave_ros.learning.pairs.labels import Look, Sight, Visibility
from sapave_ros.learning.pairs.source import Rooms
from sapave_ros.learning.pairs.splits import SEEDS, split_named
from sapave_ros.learning.poses import head_pose
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.scene import ROOM_BLOCKS
from sapave_ros.sim.sights import Thing
from sapave_ros.sim.targets import HeadPose, Target, any_of, can_be_seen
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

SPLITS = ("val", "test1", "test2")

SEED = SEEDS - 1
"""Of the room numbers. Data of these splits are made with seeds from 0 on, and none of them is trained on."""

VISIBILITIES = (Visibility.OUT, Visibility.IN_VIEW, Visibility.PARTLY)
"""How what is asked for shows at the start, asked for in equal numbers."""

CELLS: tuple[tuple[str, Visibility], ...] = tuple((k, v) for v in VISIBILITIES for k in KINDS_OF_INSTRUCTION)

NOT_YET_RAD = math.radians(15.0)
"""Everything that fits is farther off the optical axis than this at the start: there is something to do."""

APART_RAD = math.radians(25.0)
"""Between the poses for two targets that are told apart: no pose fulfils both."""

_REQUESTS = 32
_POSES = 4
_ROOMS = 600
"""Rooms that are looked into for a cell. Some are rare: of places in the templates of test2 there is one in dozens."""

_PICKY = 30
"""Rooms after which any visibility will do."""


class NoSuchCase(RuntimeError):
    """The rooms that are looked into for a case have none: nobody's failure, and no reason to end a long run."""


@dataclass(frozen=True)
class Case:
    """One episode to play. head: at the start (yaw, pitch) [rad]. goals: what it is right to look at and can be seen,
    or one direction. angle_rad: of the nearest of them at the start. visibility: a `Visibility`.
    """

    split: str
    number: int
    template: str
    room_seed: int
    head: tuple[float, float]
    text: str
    kind: str
    name: str
    goals: tuple[Goal, ...]
    visibility: str
    angle_rad: float

    @property
    def direction(self) -> str | None:
        return self.goals[0].direction

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Pair:
    """Two cases with the same room and start pose, whose targets are far apart."""

    first: Case
    second: Case


@cache
def _rooms(split: str) -> Rooms:
    return Rooms(split_named(split))


class CaseMaker:
    """Makes cases in one process; a world is compiled once for all splits that have things of one scale."""

    def __init__(self) -> None:
        self.kinematics = Kinematics.from_urdf()
        self._judges: dict[float, Judge] = {}

    def close(self) -> None:
        for judge in self._judges.values():
            judge.close()
        self._judges.clear()

    def judge(self, split: str) -> Judge:
        """Who judges the cases of a split. Raises ValueError that lists the splits."""
        scale = _rooms(split).scale
        if scale not in self._judges:
            self._judges[scale] = Judge(World(kinds=tuple(CATALOGUE), blocks=ROOM_BLOCKS), scale)
        return self._judges[scale]

    def room(self, case: Case) -> Room:
        return _rooms(case.split).room(case.template, case.room_seed)

    def load(self, case: Case) -> Room:
        """Puts the room of a case in place, with the head at its start and the camera as drawn."""
        room, judge = self.room(case), self.judge(case.split)
        judge.load(replace(room.scene, head=case.head))
        judge.mount()
        return room

    def target(self, case: Case, room: Room) -> Target:
        """What a case is about, in its room, which is loaded."""
        if case.direction is not None:
            return HeadPose(case.direction, direction_pose(case.direction))
        judge = self.judge(case.split)
        things = [judge.thing(room, goal) for goal in case.goals]
        return any_of(judge, things, [goal.item is None for goal in case.goals], np.array(case.head))

    def fits(self, case: Case, room: Room) -> bool:
        """Whether a case, which is loaded, is one as the camera is mounted now: far off at the start, and seen at best.

        Not for directions, which ask for no picture.
        """
        judge, head = self.judge(case.split), np.array(case.head)
        things = [judge.thing(room, goal) for goal in case.goals]
        return all(
            judge.angle_rad(t, head) >= NOT_YET_RAD and can_be_seen(judge, t, g.item is None, head)
            for t, g in zip(things, case.goals, strict=True)
        )

    def case(self, split: str, number: int) -> Case:
        """The case of that number. Raises ValueError on an unknown split or a number out of range, NoSuchCase where
        no room has what it needs."""
        kind, visibility = CELLS[number % len(CELLS)]
        for attempt, (room, found) in enumerate(self._rooms(split, number, _ROOMS, kind)):
            wanted = [c for c in found if _any(c.visibility, visibility) or attempt >= _PICKY]
            if wanted:
                random = np.random.default_rng([room.scene.seed, 0xCA5E])
                return wanted[random.integers(len(wanted))]
        raise NoSuchCase(f"{split} {number}: no request by {kind} that can be played in {_ROOMS} rooms")

    def pair(self, split: str, number: int) -> Pair:
        """Two requests for things far apart, from one start pose. Raises as `case`; its rooms are others."""
        for room, found in self._rooms(split, _PAIRS + number, _ROOMS):
            random = np.random.default_rng([room.scene.seed, 0x9A12])
            order = [found[i] for i in random.permutation(len(found))]
            for i, a in enumerate(order):
                for b in order[i + 1 :]:
                    if a.head == b.head and self._apart(room, a, b):
                        return Pair(a, b)
        raise NoSuchCase(f"{split} {number}: no two targets far apart in {_ROOMS} rooms")

    # -- inside ----------------------------------------------------------------------------------

    def _rooms(self, split: str, number: int, count: int, kind: str | None = None) -> Iterator[tuple[Room, list[Case]]]:
        """Rooms with all that can be asked for in them from a few poses, by that kind of instruction."""
        source, own, judge = _rooms(split), split_named(split), self.judge(split)
        for attempt in range(count):
            seed = own.room_seed(SEED, number, attempt)
            template = source.templates[(number + attempt) % len(source.templates)]
            room = source.room(template, seed)
            judge.load(room.scene)
            judge.mount()
            random = np.random.default_rng([seed, 0xCA5])
            asked = [r for r in source.requests(random, room, _REQUESTS) if r.goals and kind in (None, r.kind)]
            if not asked:
                continue
            poses = [head_pose(random, judge, room.scene) for _ in range(_POSES)]
            yield room, [c for pose in poses for c in self._from(pose, split, number, room, asked)]

    def _from(self, pose: Floats, split: str, number: int, room: Room, asked: Sequence[Request]) -> Iterator[Case]:
        judge = self.judge(split)
        look = judge.look(pose)
        sights: dict[Thing, Sight] = {}
        head = (float(look.head[0]), float(look.head[1]))
        for request in asked:
            found = self._direction(look, request) or self._things(judge, look, request, room, sights)
            if found:
                goals, name, visibility, angle_rad = found
                yield Case(
                    split,
                    number,
                    room.template,
                    room.scene.seed,
                    head,
                    request.text,
                    request.kind,
                    name,
                    goals,
                    visibility.value,
                    angle_rad,
                )

    def _direction(self, look: Look, request: Request) -> _Found | None:
        way = request.goal.direction
        if way is None:
            return None
        angle = between_axes(self.kinematics, direction_pose(way), look.head)
        return ((request.goal,), way, Visibility.NONE, angle) if angle >= NOT_YET_RAD else None

    @staticmethod
    def _things(judge: Judge, look: Look, request: Request, room: Room, sights: dict[Thing, Sight]) -> _Found | None:
        if request.goal.direction is not None:
            return None
        things = [judge.thing(room, goal) for goal in request.goals]
        for thing in things:
            if thing not in sights:
                sights[thing] = judge.sight(look, thing)
        own = [sights[thing] for thing in things]
        if any(s.visibility is None or s.angle_rad < NOT_YET_RAD for s in own):
            return None
        goals = tuple(
            g for g, t in zip(request.goals, things, strict=True) if can_be_seen(judge, t, g.item is None, look.head)
        )
        if not goals:
            return None
        shows = max(own, key=lambda s: (s.shown, s.fraction, -s.angle_rad))
        nearest = min((s.angle_rad, t.name) for s, t, g in zip(own, things, request.goals, strict=True) if g in goals)
        assert shows.visibility is not None
        return goals, nearest[1], shows.visibility, nearest[0]

    def _apart(self, room: Room, a: Case, b: Case) -> bool:
        """Whether no pose fulfils both: all that fits the one is far from all that fits the other."""
        poses = [[self._pose(case, room, goal) for goal in case.goals] for case in (a, b)]
        return all(between_axes(self.kinematics, p, q) >= APART_RAD for p in poses[0] for q in poses[1])

    def _pose(self, case: Case, room: Room, goal: Goal) -> Floats:
        if goal.direction is not None:
            return direction_pose(goal.direction)
        judge = self.judge(case.split)
        return judge.best(judge.thing(room, goal), np.array(case.head)).head


_Found = tuple[tuple[Goal, ...], str, Visibility, float]

_PAIRS = 50_000
"""Numbers of pairs are those of cases from here on."""


def _any(visibility: str, wanted: Visibility) -> bool:
    return visibility in (wanted.value, Visibility.NONE.value)
