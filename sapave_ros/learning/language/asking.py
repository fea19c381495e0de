"""Instructions for a room: true in it, unambiguous or with all that fit, spread over kinds and things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from sapave_ros.learning.language import phrases
from sapave_ros.learning.language.descriptions import (
    TRAINED_COMBINATIONS,
    UNSEEN_COMBINATIONS,
    Description,
    extension,
)
from sapave_ros.learning.language.facts import View
from sapave_ros.learning.language.lexicon import PART_NAMES, SHAPES, SIZES, Lexicon, default
from sapave_ros.learning.language.meaning import (
    DIRECTIONS,
    KINDS_OF_INSTRUCTION,
    MAX_WORDS,
    SPLITS,
    Goal,
    Request,
    RoomLike,
)
from sapave_ros.learning.language.sampling import Sampler
from sapave_ros.learning.language.wording import Wording
from sapave_ros.policy.tokenizer import split as words_of

WEIGHTS: dict[str, float] = {
    "name": 0.15,
    "attribute": 0.16,
    "relation": 0.18,
    "function": 0.12,
    "part": 0.09,
    "place": 0.13,
    "negation": 0.10,
    "several": 0.07,
    "direction": 0.03,
}
"""How much of each kind of instruction, as far as a room allows."""

UNSEEN_SHARE = 0.75
"""How much of test2 are unseen combinations; the rest are simple instructions in the wording of test1."""
ABSENT_SHARE = 0.1

_TRIES = 24


def requests(
    random: np.random.Generator,
    room: RoomLike,
    count: int,
    split: str,
    *,
    absent: float = ABSENT_SHARE,
    lexicon: Lexicon | None = None,
) -> list[Request]:
    """Instructions for a room, no text twice; fewer than count only where the room has nothing more to ask for.

    absent: share of those that name something which is not in the room. lexicon: the words, by default those of the
    project's catalogue. Raises ValueError on a split that does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"split: no {split!r}; there are {', '.join(SPLITS)}")
    maker = _Maker(random, View(room, lexicon or default()), split, absent)
    found: dict[str, Request] = {}
    for _ in range(4 * count):
        if len(found) == count:
            break
        request = maker.next()
        if request and request.text not in found:
            found[request.text] = request
            maker.count(request)
    return list(found.values())


@dataclass
class _Maker:
    random: np.random.Generator
    view: View
    split: str
    absent: float
    kinds: Counter = field(default_factory=Counter)
    asked: Counter = field(default_factory=Counter)
    impossible: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.random, self.view)
        kinds = self.view.lexicon.kinds
        held_out = {i for i, item in enumerate(self.view.items) if kinds[item.kind].held_out}
        self.targets = [i for i in range(len(self.view.items)) if self.split == "test2" or i not in held_out]

    def count(self, request: Request) -> None:
        self.kinds[request.kind] += 1
        self.asked[request.goal] += 1

    def next(self) -> Request | None:
        """One more instruction, of a kind and for a thing that had few; None where none was found at once."""
        unseen = self.split == "test2" and self.random.random() < UNSEEN_SHARE
        kinds = [k for k in KINDS_OF_INSTRUCTION if k not in self.impossible]
        if unseen:
            kinds = sorted({_kind_of(c) for c in UNSEEN_COMBINATIONS} & set(kinds))
        if not kinds:
            return None
        weights = np.array([WEIGHTS[k] / (1 + 3 * self.kinds[k]) for k in kinds])
        kind = kinds[self.random.choice(len(kinds), p=weights / weights.sum())]
        style = "test1" if self.split == "test1" or (self.split == "test2" and not unseen) else "train"
        missing = bool(self.random.random() < self.absent)
        make = {"direction": self._direction, "part": self._landmark}.get(kind, self._thing)
        if kind == "place" and not unseen and self.random.random() < 0.4:
            make = self._landmark
        phrasing = "test2" if unseen else style
        for _ in range(_TRIES):
            request = make(kind, Wording(self.random, self.view, style), missing, unseen)
            if request and self._said_well(request):
                return replace(request, phrasing=phrasing)
        if (not missing and make != self._landmark) or (kind == "part" and not missing):
            self.impossible.add(kind)
        return None

    def _said_well(self, request: Request) -> bool:
        words = words_of(request.text)
        known = self.split != "test2" or set(words) <= set(vocabulary(self.view.lexicon))
        return len(words) <= MAX_WORDS and known

    def _direction(self, kind: str, wording: Wording, missing: bool, unseen: bool) -> Request:
        direction = str(self.sampler.pick(DIRECTIONS))
        return Request(wording.direction(direction), kind, Goal(direction=direction))

    def _landmark(self, kind: str, wording: Wording, missing: bool, unseen: bool) -> Request | None:
        room, lexicon = self.view.room, self.view.lexicon
        names = [m.name for m in room.landmarks]
        if missing:
            part = kind == "part"
            every = [n for n in lexicon.landmarks if n.endswith((" drawer", " door")) or not part]
            every = [f"handle of the {n}" if part else n for n in every if n != "floor" and lexicon.knows(n)]
            every = [n for n in every if not any(n in m or m in n for m in names)]
            if not every:
                return None
            name = str(self.sampler.pick(every))
            return Request(wording.landmark(name, "part" if part else "furniture"), kind, Goal())
        fit = [
            i
            for i, m in enumerate(room.landmarks)
            if (m.sort == "part") == (kind == "part") and names.count(m.name) == 1 and lexicon.knows(m.name)
        ]
        if not fit:
            return None
        i = self._least_asked([Goal(landmark=i) for i in fit]).landmark
        assert i is not None
        return Request(wording.landmark(room.landmarks[i].name, room.landmarks[i].sort), kind, Goal(landmark=i))

    def _thing(self, kind: str, wording: Wording, missing: bool, unseen: bool) -> Request | None:
        if not self.targets:
            return None
        target = self._least_asked([Goal(item=i) for i in self.targets]).item
        assert target is not None
        combinations = [c for c in (UNSEEN_COMBINATIONS if unseen else TRAINED_COMBINATIONS) if _kind_of(c) == kind]
        combinations.sort(key=sorted)
        if kind in ("name", "attribute"):
            bare = kind == "name" and self.random.random() < 0.4
            combinations = [frozenset() if bare else frozenset({"attribute"})]
        parts = combinations[self.random.integers(len(combinations))]
        description = self.sampler.draw(target, parts)
        if description is None or description.kind != kind:
            return None
        combination = tuple(sorted(parts))
        if missing:
            changed = self._changed(description)
            if changed is None or changed.kind != kind:
                return None
            return Request(wording.request(changed), kind, Goal(), combination=combination)
        sure = sorted(extension(self.view, description)[0])
        nearest = min(sure, key=lambda i: float(np.linalg.norm(self.view.centres[i])))
        candidates = tuple(sure) if len(sure) > 1 else ()
        return Request(wording.request(description), kind, Goal(item=nearest), candidates, combination=combination)

    def _least_asked(self, goals: list[Goal]) -> Goal:
        fewest = np.array([1.0 / (1 + 4 * self.asked[g]) for g in goals])
        return goals[self.random.choice(len(goals), p=fewest / fewest.sum())]

    def _changed(self, d: Description) -> Description | None:
        """The description with one word changed so that nothing in the room can be meant."""
        if d.instead_of:
            return None
        for changed in self.sampler.shuffled(self._changes(d)):
            if not extension(self.view, changed)[1]:
                return changed
        return None

    def _sensible(self, preposition: str, landmark: str) -> bool:
        """Whether something can be there at all: in what has an inside, but not under the floor."""
        inside = any(m.name == f"inside of the {landmark}" for m in self.view.room.landmarks)
        return inside if preposition == "in" else landmark != "floor" or preposition == "on"

    def _changes(self, d: Description) -> Iterator[Description]:
        lexicon = self.view.lexicon
        options: dict[str, Callable[[], tuple[str, ...]]] = {
            "colour": lambda: lexicon.trained_colours,
            "function": lambda: lexicon.trained_functions,
            "side": lambda: ("left", "right"),
            "shape": lambda: tuple(SHAPES),
        }
        if d.noun:
            for noun in lexicon.trained_nouns:
                yield replace(d, noun=noun)
        for i, clause in enumerate(d.clauses):
            if clause.negated:
                continue
            words = options[clause.sort]() if clause.sort in options else ()
            new = [replace(clause, word=w) for w in words]
            if clause.sort == "place":
                new = [replace(clause, landmark=n) for n in self.sampler.places if self._sensible(clause.word, n)]
            for c in new:
                yield replace(d, clauses=(*d.clauses[:i], c, *d.clauses[i + 1 :]))


def _kind_of(parts: frozenset[str]) -> str:
    for part in ("negation", "relation", "function", "place", "several", "attribute"):
        if part in parts:
            return part
    return "name"


def vocabulary(lexicon: Lexicon | None = None) -> tuple[str, ...]:
    """Every word of the training grammar, sorted: those of other phrasings and of held-out objects are left out."""
    return tuple(sorted(_saying() | _telling(lexicon or default())))


def carriers() -> frozenset[str]:
    """Words of the training grammar around what is asked for: without them the meaning is the same."""
    return frozenset(_saying() - _telling(default()))


def _saying() -> set[str]:
    tables = (phrases.FRAMES, phrases.QUESTIONS, phrases.NEEDS, phrases.FRONTED, phrases.INSIDES, phrases.DIRECTIONS)
    return phrases.words([phrases.LOOK, phrases.ANY, *(rule for table in tables for rule in table["train"])])


def _telling(own: Lexicon) -> set[str]:
    """Words of which the meaning is made, negations among them."""
    rules = [*phrases.CONTRASTS["train"], "inside into"]
    rules += [*phrases.RELATIONS["train"].values(), *phrases.PLACES.values(), *phrases.WAYS.values()]
    rules += [phrases.A_BIT, phrases.LEVEL, phrases.VERBS, phrases.VERBS_PLURAL]
    rules += [rule for both in phrases.DETERMINERS.values() for rule in both]
    rules += [phrases.SOMETHING, phrases.THING, phrases.POSSIBLE, phrases.OTHER_WORDS]
    rules += [*own.trained_nouns, *own.trained_functions, *own.trained_colours, *own.landmarks, *PART_NAMES]
    rules += [w for ws in (*SIZES.values(), *SHAPES.values()) for w in ws]
    return phrases.words(rules)
