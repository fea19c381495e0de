"""One shard of triples: the same for the same split, seed and index, whatever was made before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.learning.language import Request
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, Device
from sapave_ros.learning.pairs.labels import (
    DT_S,
    STEPS,
    Guide,
    Look,
    Sight,
    Visibility,
    box,
    coverage,
    foremost,
)
from sapave_ros.learning.pairs.noise import Exposure, Noise
from sapave_ros.learning.pairs.source import Source
from sapave_ros.learning.pairs.splits import Split, split_named
from sapave_ros.learning.poses import head_pose
from sapave_ros.policy import gaze as flow
from sapave_ros.policy.preprocess import reduce_depth
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.scene import ROOM_BLOCKS
from sapave_ros.sim.sights import REVEALED, Thing
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

TRIPLES_PER_SHARD = 1000
POSES_PER_ROOM = 8
REQUESTS_PER_POSE = 5
REQUESTS_PER_ROOM = 32
"""From so many, those are asked at each pose that bring the shares below about."""

SHARES: dict[Visibility, float] = {
    Visibility.IN_VIEW: 0.37,
    Visibility.PARTLY: 0.14,
    Visibility.HIDDEN: 0.05,
    Visibility.OUT: 0.32,
    Visibility.ABSENT: 0.02,
    Visibility.NONE: 0.10,
}
"""Of all triples, how what is asked for shows. Where rooms do not have enough of one, the others fill up."""

_HARD_KINDS = {"relation", "function", "negation", "place", "several"}
_SMALL_PIXELS = 200  # of 424 x 240


@dataclass
class Shard:
    """Columns of `store.PAIRS` and `store.PICTURES` by name; and what the work consisted of."""

    pairs: dict[str, list[Any]]
    pictures: dict[str, list[Any]]
    rooms: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


class ShardMaker:
    """Makes shards of one split in one process. The model is compiled once; a shard takes nothing else over."""

    def __init__(self, split: str, source: Source) -> None:
        self.split: Split = split_named(split)
        self._source = source
        self.guide = Guide(World(kinds=source.kinds, blocks=ROOM_BLOCKS), source.scale)
        self._noise = Noise()

    def close(self) -> None:
        self.guide.close()

    def shard(self, seed: int, index: int, triples: int = TRIPLES_PER_SHARD) -> Shard:
        """Raises ValueError where seed or index leave the split's block of room seeds."""
        random = np.random.default_rng([self.split.number, seed, index, 0x9A185])
        templates = [self._source.templates[i] for i in random.permutation(len(self._source.templates))]
        made = Shard({name: [] for name in _PAIR_COLUMNS}, {name: [] for name in _PICTURE_COLUMNS})
        counts: Counter[Visibility] = Counter()
        while len(made.pairs["text"]) < triples:
            number = self.split.room_seed(seed, index, made.rooms)
            template = templates[made.rooms % len(templates)]
            made.rooms += 1
            self._room(np.random.default_rng([number, 0x9A1]), template, number, made, counts, triples)
        self._chunks(made)
        return made

    # -- inside ----------------------------------------------------------------------------------

    def _room(
        self,
        random: np.random.Generator,
        template: str,
        number: int,
        made: Shard,
        counts: Counter[Visibility],
        triples: int,
    ) -> None:
        room = self._source.room(template, number)
        guide = self.guide
        guide.load(room.scene, Device.draw(random))
        asked = [_Asked(r, self._things(room, r)) for r in self._source.requests(random, room, REQUESTS_PER_ROOM)]
        used: Counter[int] = Counter()
        for _ in range(POSES_PER_ROOM):
            look = guide.look(head_pose(random, guide, room.scene))
            sights: dict[Thing, Sight] = {}
            pool: dict[Visibility, list[tuple[int, Thing | None]]] = {}
            for i in random.permutation(len(asked)):
                chosen = self._chosen(look, asked[i], sights)
                if chosen is None:
                    made.skipped["too little shows"] += 1
                    continue
                visibility, thing = chosen
                pool.setdefault(visibility, []).append((int(i), thing))
            picture = None
            for _ in range(REQUESTS_PER_POSE):
                left = triples - len(made.pairs["text"])
                if not pool or not left:
                    break
                total = sum(counts.values()) + 1
                visibility = max(pool, key=lambda v: SHARES[v] * total - counts[v])
                choices = pool[visibility]
                i, thing = choices.pop(min(range(len(choices)), key=lambda c: used[choices[c][0]]))
                if not choices:
                    del pool[visibility]
                used[i] += 1
                counts[visibility] += 1
                if picture is None:
                    picture = self._picture(random, look, number, made)
                self._pair(look, room, number, asked[i], thing, sights, visibility, picture, made)
            if len(made.pairs["text"]) >= triples:
                return

    def _things(self, room: Room, request: Request) -> tuple[Thing, ...]:
        """What it is right to look at; empty for a direction and for what is absent."""
        goal = request.goal
        items = request.candidates or (() if goal.item is None else (goal.item,))
        if items:
            return tuple(self.guide.item(i) for i in items)
        if goal.landmark is None:
            return ()
        return (self.guide.landmark(room.landmarks, goal.landmark),)

    def _chosen(self, look: Look, asked: _Asked, sights: dict[Thing, Sight]) -> tuple[Visibility, Thing | None] | None:
        """Which of the fitting things it is right to look at here: what shows most, or else what is nearest."""
        if not asked.things:
            return (Visibility.NONE if asked.request.goal.direction else Visibility.ABSENT), None
        for thing in asked.things:
            if thing not in sights:
                sights[thing] = self.guide.sight(look, thing)
        if any(sights[t].visibility is None for t in asked.things):
            return None
        thing = max(asked.things, key=lambda t: (sights[t].shown, sights[t].shown and sights[t].fraction >= 0.5,
                                                 -sights[t].angle_rad))  # fmt: skip
        visibility = sights[thing].visibility
        assert visibility is not None
        return visibility, thing

    def _picture(self, random: np.random.Generator, look: Look, number: int, made: Shard) -> int:
        """Takes the present view; returns its key."""
        guide = self.guide
        rgb, drawn_mm = guide.eye.rgbd_of(guide.world.data, look.view)
        depth_mm = np.rint(1000.0 * reduce_depth(drawn_mm / np.float32(1000.0), DEPTH_SIZE)).astype(np.uint16)
        rgb, depth_mm = self._noise.apply(random, Exposure.draw(random), rgb, depth_mm)
        scene = guide.world.scene
        assert scene is not None
        which, share = foremost(guide.items(look), len(scene.items))
        rows = made.pictures
        key = len(rows["picture"])
        for name, value in {
            "picture": key,
            "room_seed": number,
            "rgb": rgb,
            "depth_mm": depth_mm,
            "intrinsics": look.view.intrinsics.astype(np.float32),
            "camera_in_torso": guide.camera_in_torso(look.head).astype(np.float32),
            "joint_positions": guide.world.positions(g1.POLICY).astype(np.float32),
            "item_kinds": [item.kind for item in scene.items],
            "item_colours": [item.colour for item in scene.items],
            "item_sizes": [item.variant for item in scene.items],
            "foremost": which,
            "share": share,
        }.items():
            rows[name].append(value)
        return key

    def _pair(
        self,
        look: Look,
        room: Room,
        number: int,
        asked: _Asked,
        thing: Thing | None,
        sights: dict[Thing, Sight],
        visibility: Visibility,
        picture: int,
        made: Shard,
    ) -> None:
        guide, request = self.guide, asked.request
        sight = sights[thing] if thing is not None else None
        mask = np.zeros(look.geoms.shape, bool)  # of everything that is right
        own = mask
        goal, fraction = look.head, 0.0
        if request.goal.direction:
            goal, fraction = self._source.pose(request.goal.direction), 1.0
        elif thing is not None:
            best = guide.best(thing, look.head)
            goal, fraction = best.head, best.fraction
            for t in asked.things:
                if sights[t].shown:
                    mask = mask | guide.mask(look, t)
            if sight is not None and sight.shown:
                own = guide.mask(look, thing)
        search = visibility in (Visibility.HIDDEN, Visibility.OUT, Visibility.ABSENT)
        kind, colour, size = self._target(request, thing)
        for name, value in {
            "template": room.template,
            "room_seed": number,
            "split": self.split.name,
            "picture": picture,
            "text": request.text,
            "kind": request.kind,
            "target": thing.name if thing else request.goal.direction or "",
            "target_kind": kind,
            "target_colour": colour,
            "target_size": size,
            "visibility": visibility.value,
            "visible_fraction": sight.fraction if sight else 0.0,
            "angle_rad": sight.angle_rad if sight else float(np.linalg.norm(goal - look.head)),
            "difficulty": _difficulty(room, request, visibility, sight, kind),
            "head": look.head,
            "goal": goal,
            "goal_fraction": fraction,
            "search": search,
            "coverage": coverage(mask),
            "box": box(own),
        }.items():
            made.pairs[name].append(value)

    def _target(self, request: Request, thing: Thing | None) -> tuple[str, str, int]:
        """Kind, colour and size (index into `objects.VARIANTS`) of an item; empty and -1 for all else."""
        scene = self.guide.world.scene
        if thing is None or request.goal.landmark is not None or scene is None:
            return "", "", -1
        item = scene.items[scene.index(thing.name)]
        return item.kind, item.colour, item.variant

    @staticmethod
    def _chunks(made: Shard) -> None:
        heads, goals = np.array(made.pairs["head"]), np.array(made.pairs["goal"])
        made.pairs["chunk"] = list(chunks(heads, goals, np.array(made.pairs["search"])))


@dataclass(frozen=True)
class _Asked:
    request: Request
    things: tuple[Thing, ...]


def chunks(heads: Floats, goals: Floats, search: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What the head should do: (n, 2) poses and goals [rad], whether to search (n,), to (n, STEPS, 2) [rad]."""
    look = flow.look_chunks(heads, goals, STEPS, DT_S)
    around = flow.search_chunks(heads, STEPS, DT_S)
    return np.where(search[:, None, None], around, look).astype(np.float32)


def revealed(goal_fraction: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether the goal shows the thing at all."""
    return goal_fraction >= REVEALED


def _difficulty(room: Room, request: Request, visibility: Visibility, sight: Sight | None, kind: str) -> int:
    """0 easy to 4: one each for what has to be understood, what shows of it, how small, and what is like it."""
    alike = sum(item.kind == kind for item in room.scene.items) > 1
    shows_badly = visibility not in (Visibility.IN_VIEW, Visibility.NONE)
    small = sight is not None and sight.shown and sight.pixels < _SMALL_PIXELS
    return int(request.kind in _HARD_KINDS) + int(shows_badly) + int(small) + int(alike)


_PAIR_COLUMNS = (
    "template", "room_seed", "split", "picture", "text", "kind", "target", "target_kind", "target_colour",
    "target_size", "visibility", "visible_fraction", "angle_rad", "difficulty", "head", "goal", "goal_fraction",
    "search", "chunk", "coverage", "box",
)  # fmt: skip
_PICTURE_COLUMNS = (
    "picture", "room_seed", "rgb", "depth_mm", "intrinsics", "camera_in_torso", "joint_positions", "item_kinds",
    "item_colours", "item_sizes", "foremost", "share",
)  # fmt: skip
