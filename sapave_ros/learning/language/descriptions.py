"""Descriptions of things as data, before they become words, and which things of a room they fit."""

from __future__ import annotations

from dataclasses import dataclass

from sapave_ros.learning.language.facts import NEARER_M, Truth, View

ADJECTIVES: tuple[str, ...] = ("size", "shape", "colour")
"""Sorts of clauses that stand before a noun, in that order."""

PARTS: tuple[str, ...] = ("attribute", "function", "negation", "place", "relation", "several")
"""What descriptions are composed of, besides nouns."""


def _sets(*parts: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(p.split("+")) if p else frozenset() for p in parts)


_ALONE = ("relation", "function", "place", "negation", "several")
TRAINED_COMBINATIONS = _sets("", "attribute", *_ALONE, *(f"attribute+{p}" for p in _ALONE))
"""Combinations of parts that training shows; a bare noun is the empty one."""

_PAIRS = (
    "negation+relation",
    "function+place",
    "function+relation",
    "negation+place",
    "function+negation",
    "place+relation",
    "several+relation",
    "several+place",
)
UNSEEN_COMBINATIONS = _sets(*_PAIRS, *(f"attribute+{p}" for p in _PAIRS))
"""Combinations that only test2 has."""


@dataclass(frozen=True)
class Clause:
    """One thing that is said of an object.

    sort: size, shape, colour, noun, function, place, side, relation. word: the size, ...; for a place its
    preposition, with the landmark's name; for a relation its name, with the things it relates to and their items.
    """

    sort: str
    word: str
    landmark: str = ""
    references: tuple[tuple[Description, int], ...] = ()
    negated: bool = False


@dataclass(frozen=True)
class Description:
    """What is asked for. noun: a word for objects, None for "thing". instead_of: "not the mug, the bottle"."""

    noun: str | None
    clauses: tuple[Clause, ...] = ()
    definite: bool = True
    instead_of: tuple[Description, int] | None = None

    @property
    def combination(self) -> frozenset[str]:
        """Its `PARTS`."""
        names = {"size": "attribute", "shape": "attribute", "colour": "attribute", "side": "place", "noun": "negation"}
        parts = {names.get(c.sort, c.sort) for c in self.clauses if not c.negated or c.sort in ("relation", "place")}
        if self.instead_of or any(c.negated for c in self.clauses):
            parts.add("negation")
        if not self.definite and self.noun:
            parts.add("several")
        return frozenset(parts)

    @property
    def kind(self) -> str:
        """One of `KINDS_OF_INSTRUCTION`: its rarest part."""
        parts = self.combination
        for part in ("negation", "relation", "function", "place", "several"):
            if part in parts:
                return part
        colour_only = all(c.sort == "colour" for c in self.clauses)
        return "name" if self.noun and colour_only else "attribute"


def holds(view: View, item: int, clause: Clause) -> Truth:
    """Whether a clause other than nearest is true of an item."""
    word = clause.word
    if clause.sort == "relation":
        truth = view.relation(word, item, tuple(i for _, i in clause.references))
    elif clause.sort == "place":
        truth = view.place(item, word, clause.landmark)
    else:
        truth = getattr(view, clause.sort)(item, word)
    return truth if truth is None or not clause.negated else not truth


def extension(view: View, description: Description) -> tuple[frozenset[int], frozenset[int]]:
    """Items that fit for certain, and items that may be meant."""
    superlatives = [c for c in description.clauses if c.word == "nearest"]
    sure, maybe = set(), set()
    for item in range(len(view.items)):
        truths = [view.noun(item, description.noun)]
        truths += [holds(view, item, c) for c in description.clauses if c not in superlatives]
        if False not in truths:
            maybe.add(item)
            if None not in truths:
                sure.add(item)
    for clause in superlatives:
        ((_, reference),) = clause.references
        sure, maybe = nearest(view, reference, sure - {reference}, maybe - {reference})
    if description.instead_of:
        other = {description.instead_of[1]}
        sure, maybe = sure - other, maybe - other
    return frozenset(sure), frozenset(maybe)


def nearest(view: View, reference: int, sure: set[int], maybe: set[int]) -> tuple[set[int], set[int]]:
    """Those that are nearest to an item for certain, and those that may be called nearest."""
    away = {i: view.distance(i, reference) for i in maybe}
    first = {i for i in sure if all(away[o] - away[i] >= NEARER_M for o in maybe - {i})}
    possible = {i for i in maybe if all(away[i] - away[o] < NEARER_M for o in sure - {i})}
    return first, possible
