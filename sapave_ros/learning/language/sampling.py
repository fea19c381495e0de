"""Descriptions that are true of a thing and tell it apart: drawn at random, part by part, and checked in the room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from sapave_ros.learning.language.descriptions import ADJECTIVES, Clause, Description, extension, holds
from sapave_ros.learning.language.facts import PLACE_WORDS, RELATIONS, View, core
from sapave_ros.learning.language.lexicon import SHAPES, SIZES

NOT_NEEDED = 0.25
"""How often a part may be said that the thing could do without: people do, but what is needed teaches more."""
MOST_CANDIDATES = 5
"""More things than these are not offered as equally right."""

_GENERIC = {"relation": 0.35, "place": 0.4, "attribute": 0.45, "negation": 0.3}
_BARE_PLACE = 0.15


class Sampler:
    """Draws descriptions of the things in one room. Held-out objects are never named by a noun."""

    def __init__(self, random: np.random.Generator, view: View):
        self.random, self.view = random, view
        self.nameable = [i for i in range(len(view.items)) if view.lexicon.words(view.items[i].kind)]
        names = {core(m.name) for m in view.room.landmarks if view.lexicon.knows(m.name)}
        self.places = sorted(names | {"floor"})

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def pick(self, choices: Iterable) -> Any:
        """One of them, evenly. Raises ValueError where there is none."""
        choices = list(choices)
        return choices[self.random.integers(len(choices))]

    def word(self, item: int) -> str | None:
        """A noun: the usual word half of the time. None for what training does not name."""
        words = self.view.lexicon.words(self.view.items[item].kind)
        if not words:
            return None
        return words[0] if self.chance(0.5) else words[self.random.integers(len(words))]

    def adjectives(self, item: int, noun: str | None, negated: bool = False) -> list[Clause]:
        """Every attribute that is true of an item; negated: that is certainly not true of it. Sizes need a noun."""
        sizes = SIZES if noun else ()
        trained = self.view.lexicon.trained_colours
        every = [Clause(s, w, negated=negated) for s, ws in (("size", sizes), ("shape", SHAPES)) for w in ws]
        every += [Clause("colour", c, negated=negated) for c in trained]
        return [c for c in every if holds(self.view, item, c) is True]

    def adjective(self, item: int, noun: str | None, *, taken: tuple[Clause, ...] = ()) -> Clause | None:
        """One true attribute: each sort as likely as the others."""
        sorts = {c.sort: c for c in self.shuffled(self.adjectives(item, noun)) if c.sort not in {t.sort for t in taken}}
        return sorts[str(self.pick(sorts))] if sorts else None

    def shuffled(self, things: Iterable) -> list:
        things = list(things)
        return [things[i] for i in self.random.permutation(len(things))]

    def name(self, item: int) -> Description | None:
        """Noun, with the colour where it is needed and now and then where it is not; None where that is not enough."""
        noun = self.word(item)
        if noun is None:
            return None
        colour = Clause("colour", self.view.items[item].colour)
        bare, full = Description(noun), Description(noun, (colour,))
        for d in (bare, full) if self.chance(0.6) else (full, bare):
            if self.unique(d, item) and colour.word in self.view.lexicon.trained_colours:
                return d
        return None

    def unique(self, description: Description, item: int) -> bool:
        sure, maybe = extension(self.view, description)
        return sure == maybe == {item}

    def relation(self, item: int, negated: bool = False) -> Clause | None:
        """A relation that is certainly true of an item (negated: certainly not) to things that have a name."""
        others = [i for i in self.nameable if i != item]
        for name in self.shuffled(RELATIONS if not negated else [r for r in RELATIONS if r != "nearest"]):
            groups = combinations(others, 2) if name == "between" else ((o,) for o in others)
            for group in self.shuffled(groups)[:12]:
                if name == "level" and not self.view.room.place[group[0]]:
                    continue
                clause = Clause("relation", name, negated=negated)
                truth = name == "nearest" or self.view.relation(name, item, group) is (not negated)
                described = [d for o in group if truth and (d := self.name(o))]
                if len(described) == len(group):
                    return replace(clause, references=tuple(zip(described, group, strict=True)))
        return None

    def place(self, item: int, negated: bool = False) -> Clause | None:
        """Where an item certainly is (negated: certainly is not, where something else is)."""
        room = self.view.room
        clauses = [Clause("place", p, n, negated=negated) for n in self.places for p in PLACE_WORDS]
        clauses += [Clause("side", s, negated=negated) for s in ("left", "right")]
        used = {(core(n) or "floor", p) for n, p in zip(room.place, room.preposition, strict=True)}
        fit = [
            c
            for c in clauses
            if (c.sort == "side" or (c.landmark, c.word) in used) and holds(self.view, item, c) is True
        ]
        return self.pick(fit) if fit else None

    def draw(self, item: int, parts: frozenset[str]) -> Description | None:
        """A description of those parts that fits an item and, if definite, no other; None where none was found."""
        description = self._compose(item, parts)
        if description is None or description.combination != parts:
            return None
        sure, maybe = extension(self.view, description)
        if sure != maybe or item not in sure or (description.definite and len(sure) > 1):
            return None
        if ("several" in parts and len(sure) < 2) or len(sure) > MOST_CANDIDATES:
            return None
        for clause in description.clauses:
            without = replace(description, clauses=tuple(c for c in description.clauses if c != clause))
            if extension(self.view, without)[1] == maybe and not self.chance(NOT_NEEDED):
                return None
        return description

    def _compose(self, item: int, parts: frozenset[str]) -> Description | None:
        generic = max((_GENERIC.get(p, 0.0) for p in parts), default=0.0)
        noun = None if "function" in parts or self.chance(generic) else self.word(item)
        if noun is None and (not parts or ("several" in parts)):
            return None
        if noun is None and parts <= {"place"} and self.chance(_BARE_PLACE):
            return self._done(item, noun, [self.place(item)], definite=False)
        clauses: list[Clause | None] = []
        if "attribute" in parts:
            clauses.append(self.adjective(item, noun))
            if self.chance(0.35) and clauses[0]:
                clauses += [a] if (a := self.adjective(item, noun, taken=(clauses[0],))) else []
        if "function" in parts:
            trained = self.view.lexicon.trained_functions
            own = [f for f in self.view.lexicon.kinds[self.view.items[item].kind].functions if f in trained]
            clauses.append(Clause("function", str(self.pick(own))) if own else None)
        negated = "negation" in parts
        if "relation" in parts and negated and self.chance(0.5):
            return self._beside_it(item, noun)
        if "relation" in parts:
            clauses.append(self.relation(item, negated))
        if "place" in parts:
            clauses.append(self.place(item, negated))
        if negated and not parts & {"relation", "place"}:
            if not parts - {"negation", "attribute"} and self.chance(0.5):
                return self._instead(item, "attribute" in parts)
            clauses.append(self._not(item, noun, parts))
        loose = noun is None and parts & {"function", "attribute", "place"} and ("function" in parts or not negated)
        definite = "several" not in parts and not (loose and self.chance(0.7 if "function" in parts else 0.5))
        return self._done(item, noun, clauses, definite)

    def _done(self, item: int, noun: str | None, clauses: list, definite: bool) -> Description | None:
        if None in clauses or (noun is None and not clauses):
            return None
        order = sorted(clauses, key=lambda c: ADJECTIVES.index(c.sort) if c.sort in ADJECTIVES else len(ADJECTIVES))
        return Description(noun, tuple(order), definite)

    def _not(self, item: int, noun: str | None, parts: frozenset[str]) -> Clause | None:
        """Something that others are and the item is not: red, a mug."""
        options = {
            c.sort: c for c in self.shuffled(self.adjectives(item, noun, negated=True)) if self._other_is(item, c, noun)
        }
        if noun is None and "function" in parts:
            words = [w for o in self.nameable if (w := self.word(o))]
            nouns = [c for w in words if holds(self.view, item, c := Clause("noun", w, negated=True)) is True]
            options |= {"noun": self.pick(nouns)} if nouns else {}
        return options[str(self.pick(options))] if options else None

    def _other_is(self, item: int, clause: Clause, noun: str | None) -> bool:
        positive = replace(clause, negated=False)
        others = (o for o in range(len(self.view.items)) if o != item and self.view.noun(o, noun))
        return any(holds(self.view, o, positive) for o in others)

    def _instead(self, item: int, attribute: bool) -> Description | None:
        """Not the mug, the bottle; not the red mug, the other one."""
        noun = self.word(item)
        if noun is None or len(self.nameable) < 2:
            return None
        alike = [o for o in self.nameable if o != item and self.view.noun(o, noun)]
        other = int(self.pick(alike or [o for o in self.nameable if o != item] or [item]))
        named = self.name(other)
        if named is None or other == item:
            return None
        if attribute:
            adjective = self.adjective(item, noun)
            return Description(noun, (adjective,), instead_of=(named, other)) if adjective else None
        if alike:
            named = replace(named, noun=noun)
            return Description(noun, instead_of=(named, other)) if self.unique(named, other) else None
        return Description(noun, instead_of=(named, other))

    def _beside_it(self, item: int, noun: str | None) -> Description | None:
        """Not the mug, the thing beside it."""
        clause = self.relation(item)
        if clause is None or len(clause.references) > 1:
            return None
        return Description(noun, (clause,), instead_of=clause.references[0])
