"""Tokens to conditions: the part of the interpreter that reads noun phrases, places and relations.

Written apart from the grammar that makes instructions, so that each checks the other: it knows words and scope, none of
the rules of `phrases`. A reader holds the words of one text; its methods take a position and return what they have read
with the position after it, or None where the words there are something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sapave_ros.learning.language.facts import NEARER_M, Truth, View
from sapave_ros.learning.language.lexicon import PART_NAMES, SHAPES, SIZES

Condition = Callable[[int], Truth]

_DETERMINERS = {"the", "that", "this", "those", "these", "a", "an", "any", "some"}
_GENERIC = {"thing", "object"}
_VERBS = {"is", "stands", "sits", "lies", "are", "stand", "sit", "lie"}
_PERSONS = {"i", "we", "you"}
_RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of", "on the left hand side of"),
    "right": ("right of", "to the right of", "on the right of", "on the right hand side of"),
    "behind": ("behind", "at the back of"),
    "front": ("in front of", "at the front of"),
    "beside": ("beside", "next to", "right next to", "at the side of"),
    "between": ("between", "in between"),
    "nearest": ("nearest to", "closest to", "least far from", "most near to"),
}
_PLACES: dict[str, tuple[str, ...]] = {
    "on": ("on top of", "on"),
    "in": ("inside", "into", "in"),
    "under": ("under", "below"),
    "behind": ("behind",),
}


@dataclass
class Thing:
    """What a noun phrase means: conditions on items, or landmarks by name, minus what it is not."""

    noun: str | None = None
    conditions: list[Condition] = field(default_factory=list)
    nearest_to: list[Thing] = field(default_factory=list)
    landmarks: tuple[str, ...] = ()
    back_reference: bool = False  # "one": the noun is that of the thing before
    other: bool = False


@dataclass
class Sets:
    """Indices that fit for certain, and that may be meant."""

    sure: set[int]
    maybe: set[int]


class Reader:
    """The words of one text in one room."""

    def __init__(self, tokens: list[str], view: View):
        self.tokens, self.view = tokens, view
        self.previous: Thing | None = None
        lexicon = view.lexicon
        self.landmark_names = _landmark_phrases([*lexicon.landmarks, *(m.name for m in view.room.landmarks)])
        self.adjectives = {w: ("size", s) for s, ws in SIZES.items() for w in ws}
        self.adjectives |= {w: ("shape", s) for s, ws in SHAPES.items() for w in ws}
        self.adjectives |= {c: ("colour", c) for c in lexicon.colours}
        self.uses = {f.removeprefix("to "): f for f in lexicon.functions}

    def at(self, i: int, phrase: str) -> bool:
        """Whether the words at i are those."""
        wanted = phrase.split()
        return self.tokens[i : i + len(wanted)] == wanted

    def longest(self, i: int, phrases) -> tuple[str, int] | None:  # type: ignore[no-untyped-def]
        """The longest of some phrases that stands at i, and where it ends."""
        fit = [p for p in phrases if self.at(i, p)]
        return (best := max(fit, key=len), i + len(best.split())) if fit else None

    def word(self, i: int) -> str:
        return self.tokens[i] if i < len(self.tokens) else ""

    # Noun phrases

    def noun_phrase(self, i: int) -> tuple[Thing, int] | None:
        """A thing with all that is said of it."""
        read = self.simple(i)
        return self._what_follows(*read) if read else None

    def simple(self, i: int) -> tuple[Thing, int] | None:
        """Determiner, adjectives, noun; or something and adjectives."""
        if self.word(i) in ("something", "anything"):
            return self._listed(Thing(), i + 1)
        if self.word(i) not in _DETERMINERS:
            return None
        if self.at(i, "the inside of the") and (found := self.longest(i + 4, self.landmark_names)):
            return Thing(landmarks=tuple(f"inside of the {n}" for n in self.landmark_names[found[0]])), found[1]
        other = self.word(i + 1) == "other"
        read = self._adjectives_and_noun(i + 1 + other)
        if read is None:
            return None
        read[0].other = other
        return read[0], read[1] + (2 if self.at(read[1], "over there") else 0)

    def _listed(self, thing: Thing, i: int) -> tuple[Thing, int]:
        """round and green"""
        while self.word(i) in self.adjectives or (thing.conditions and self._and_adjective(i)):
            i += self.word(i) == "and"
            thing.conditions.append(self._adjective(self.word(i)))
            i += 1
        return thing, i

    def _and_adjective(self, i: int) -> bool:
        return self.word(i) == "and" and self.word(i + 1) in self.adjectives

    def _adjective(self, word: str) -> Condition:
        sort, name = self.adjectives[word]
        check = {"size": self.view.size, "shape": self.view.shape, "colour": self.view.colour}[sort]
        return lambda item: check(item, name)

    def _adjectives_and_noun(self, i: int) -> tuple[Thing, int] | None:
        if self.word(i) in self.adjectives and (read := self._adjectives_and_noun(i + 1)):
            if read[0].landmarks:
                return None
            read[0].conditions.append(self._adjective(self.word(i)))
            return read
        noun, landmark = self.longest(i, self.view.lexicon.nouns), self.longest(i, self.landmark_names)
        if landmark and (not noun or landmark[1] >= noun[1]):
            same = noun[0] if noun and noun[1] == landmark[1] else None
            return Thing(same, landmarks=self.landmark_names[landmark[0]]), landmark[1]
        if noun:
            return Thing(noun[0]), noun[1]
        if self.word(i) in _GENERIC:
            return Thing(), i + 1
        return (Thing(back_reference=True), i + 1) if self.word(i) == "one" else None

    def _what_follows(self, thing: Thing, i: int) -> tuple[Thing, int]:
        while True:
            clause = self.word(i) in ("that", "which") and self.word(i + 1) in _VERBS
            if use := self.purpose(i):
                thing.conditions.append(use[0])
                i = use[1]
            elif clause and (end := self._predicates(thing, i + 2)):
                i = end
            elif (place := self.location(i, thing)) is not None:
                i = place
            elif (end := self._of_kind(thing, i)) is not None:
                i = end
            else:
                return thing, i

    def _of_kind(self, thing: Thing, i: int) -> int | None:
        """of red colour; whose colour is red"""
        nouns = ("colour", "size", "shape")
        if self.word(i) == "of" and self.word(i + 2) in nouns:
            word, end = self.word(i + 1), i + 3
        elif self.word(i) == "whose" and self.word(i + 1) in nouns:
            word, end = self.word(i + 3), i + 4
        else:
            return None
        thing.conditions.append(self._adjective(word))
        return end

    def _predicates(self, thing: Thing, i: int) -> int | None:
        """red and left of the box and not on the table; None where there is not even one"""
        done = None
        while True:
            negated = self.word(i) == "not"
            probe = Thing()
            end = self._predicate(probe, i + negated)
            if end is None:
                return done
            if negated:
                probe.conditions = [_opposite(c) for c in probe.conditions]
            thing.conditions += probe.conditions
            thing.nearest_to += probe.nearest_to
            done = end
            if self.word(end) != "and":
                return done
            i = end + 1

    def _predicate(self, thing: Thing, i: int) -> int | None:
        if self.word(i) in self.adjectives and self.word(i + 1) not in ("of", "next"):
            thing.conditions.append(self._adjective(self.word(i)))
            return i + 1
        article = self.word(i) in ("a", "an")
        if noun := self.longest(i + article, self.view.lexicon.nouns):
            thing.conditions.append(lambda item: self.view.noun(item, noun[0]))
            return noun[1]
        return self.location(i, thing)

    # Purposes, places, relations

    def purpose(self, i: int) -> tuple[Condition, int] | None:
        """to drink from; that i can drink from"""
        if self.word(i) == "to":
            i += 1
        else:
            i += self.word(i) == "that"
            if self.word(i) not in _PERSONS or self.word(i + 1) != "can":
                return None
            i += 2
        return self.use(i)

    def use(self, i: int) -> tuple[Condition, int] | None:
        """drink from"""
        if not (found := self.longest(i, self.uses)):
            return None
        function = self.uses[found[0]]
        return (lambda item: self.view.function(item, function)), found[1]

    def location(self, i: int, thing: Thing) -> int | None:
        """A place or relation, which becomes a condition of the thing; returns where it ends."""
        if self.word(i) in ("on", "to") and self.word(i + 1) == "your" and self.word(i + 2) in ("left", "right"):
            side = self.word(i + 2)
            thing.conditions.append(lambda item: self.view.side(item, side))
            return i + 3
        if self.word(i) in ("on", "in") and self.at(i + 1, "the same") and self.word(i + 4) == "as":
            return self._related(thing, "level", i + 5)
        if place := self.place(i):
            preposition, names, end = place
            thing.conditions.append(lambda item: _any(self.view.place(item, preposition, n) for n in names))
            return end
        for name, phrases in _RELATIONS.items():
            found = self.longest(i, phrases)
            after = self._related(thing, name, found[1]) if found else None
            if after is not None:
                return after
        return None

    def place(self, i: int) -> tuple[str, tuple[str, ...], int] | None:
        """Preposition, names of what the landmark may be, end."""
        for preposition, phrases in _PLACES.items():
            found = self.longest(i, phrases)
            if found and self.word(found[1]) == "the" and (name := self.longest(found[1] + 1, self.landmark_names)):
                noun = self.longest(found[1] + 1, self.view.lexicon.nouns)  # a table is no table fork
                if not noun or noun[1] < name[1]:
                    return preposition, self.landmark_names[name[0]], name[1]
        return None

    def _related(self, thing: Thing, name: str, i: int) -> int | None:
        read = self._reference(i)
        if read is None:
            return None
        references, end = [read[0]], read[1]
        if name == "between":
            second = self._reference(end + 1) if self.word(end) == "and" else None
            if second is None:
                return None
            references.append(second[0])
            end = second[1]
        if name == "nearest":
            thing.nearest_to += references
        else:
            thing.conditions.append(self._relation(name, references))
        return end

    def _reference(self, i: int) -> tuple[Thing, int] | None:
        if self.word(i) == "it":
            return (self.previous, i + 1) if self.previous else None
        return self.simple(i)

    def _relation(self, name: str, references: list[Thing]) -> Condition:
        sets = [self.sets(r) for r in references]
        groups = [(a,) for a in sets[0].maybe]
        if len(sets) > 1:
            groups = [(a, b) for a in sets[0].maybe for b in sets[1].maybe if a != b]  # type: ignore[misc]
        known = all(s.sure == s.maybe and len(s.sure) == 1 for s in sets)

        def related(item: int) -> Truth:
            truths = {self.view.relation(name, item, g) for g in groups}
            if known and len(truths) == 1:
                return truths.pop()
            return False if truths <= {False} else None

        return related

    # Meaning

    def sets(self, thing: Thing) -> Sets:
        """Items that a thing may be."""
        if thing.landmarks and thing.noun is None:
            return Sets(set(), set())
        found = Sets(set(), set())
        for item in range(len(self.view.items)):
            truths = [self.view.noun(item, thing.noun), *(c(item) for c in thing.conditions)]
            if False not in truths:
                found.maybe.add(item)
                if None not in truths:
                    found.sure.add(item)
        for reference in thing.nearest_to:
            found = self._nearest(found, self.sets(reference))
        return found

    def _nearest(self, found: Sets, reference: Sets) -> Sets:
        """Those that no other is nearer than; the reference must be known, else any may be."""
        if len(reference.maybe) != 1 or reference.sure != reference.maybe:
            return Sets(set(), found.maybe if reference.maybe else set())
        (there,) = reference.sure
        away = {i: self.view.distance(i, there) for i in found.maybe if i != there}
        ranked = sorted(away, key=away.__getitem__)
        certain = [i for i in ranked if i in found.sure]
        bound = away[certain[0]] + NEARER_M if certain else float("inf")
        maybe = {i for i in ranked if away[i] < bound}
        return Sets(maybe & found.sure if len(maybe) == 1 else set(), maybe)


def _landmark_phrases(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Phrases for landmarks, and the full names that each may mean."""
    phrases: dict[str, dict[str, None]] = {}
    bases = [n for n in dict.fromkeys(names) if " of the " not in n]
    for name in dict.fromkeys([*names, *(f"{p} of the {b}" for p in PART_NAMES for b in bases)]):
        part, _, whole = name.partition(" of the ")
        if part == "inside":
            phrases.setdefault(whole, {})[whole] = None
            continue
        forms = [name, f"{whole} {part}", f"{part} on the {whole}"] if whole else [name]
        for form in forms:
            phrases.setdefault(form, {})[name] = None
    return {phrase: tuple(found) for phrase, found in phrases.items()}


def _opposite(condition: Condition) -> Condition:
    def opposite(item: int) -> Truth:
        truth = condition(item)
        return truth if truth is None else not truth

    return opposite


def _any(truths) -> Truth:  # type: ignore[no-untyped-def]
    found = list(truths)
    return True if True in found else None if None in found else False
