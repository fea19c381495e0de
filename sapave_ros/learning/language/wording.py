"""From descriptions to words. Style train or test1; test2 has the style of train.

Scope stays plain in every order of words: what follows a thing that something is compared with never belongs to that
thing, and what is negated comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sapave_ros.learning.language import phrases
from sapave_ros.learning.language.descriptions import ADJECTIVES, Clause, Description
from sapave_ros.learning.language.facts import View, core
from sapave_ros.learning.language.lexicon import PLURALS, SIZES
from sapave_ros.learning.language.phrases import expand, spoken

_PRENOMINAL = 0.7
_OWN_STYLE = 0.4  # how often test1 also has a noun phrase or relation of its own, besides its frame
_NOUN_OF = {"colour": "colour", "size": "size", "shape": "shape"}


@dataclass(frozen=True)
class Wording:
    """Draws words for descriptions of things in one room."""

    random: np.random.Generator
    view: View
    style: str

    def request(self, d: Description) -> str:
        """A whole instruction."""
        return spoken(self._request(d))

    def _request(self, d: Description) -> str:
        if d.instead_of:
            return self._contrast(d, *d.instead_of)
        several = not d.definite and d.noun and self._chance(0.25)
        return f"{self._frame(d)} {self._say([phrases.ANY])}" if several else self._frame(d)

    def _frame(self, d: Description) -> str:
        bare = d.noun is None and not d.definite and len(d.clauses) == 1 and not d.clauses[0].negated
        if bare and d.clauses[0].sort in ("place", "side") and self._chance(0.7):
            return self._say(phrases.QUESTIONS[self.style], place=self.location(d.clauses[0]))
        if bare and d.clauses[0].sort == "function" and _personal(d.clauses[0].word) and self._chance(0.4):
            return self._say(phrases.NEEDS[self.style], use=d.clauses[0].word.removeprefix("to "))
        where = [c for c in d.clauses if c.sort in ("place", "side", "relation") and not c.negated]
        if len(where) == 1 and d.noun and self._chance(0.3 if self.style == "test1" else 0.15):
            rest = replace(d, clauses=tuple(c for c in d.clauses if c not in where))
            return self._say(
                phrases.FRONTED[self.style], d.noun, place=self.location(where[0]), np=self.reference(rest)
            )
        return self._say(phrases.FRAMES[self.style], d.noun, np=self.noun_phrase(d))

    def landmark(self, name: str, sort: str) -> str:
        """An instruction for something fixed."""
        if sort == "inside":
            return self._say(phrases.INSIDES[self.style], np=f"the {core(name)}")
        part, _, whole = name.partition(" of the ")
        options = [f"the {name}"] if not whole else [f"the {name}", f"the {whole} {part}", f"the {part} on the {whole}"]
        return self._say(phrases.FRAMES[self.style], np=options[self.random.integers(len(options))])

    def direction(self, direction: str) -> str:
        """An instruction for a direction of `meaning.DIRECTIONS`."""
        way = phrases.WAYS[direction.removeprefix("a bit ")]
        bit = phrases.A_BIT if direction.startswith("a bit") else ""
        return spoken(self._say(phrases.DIRECTIONS[self.style], way=way, bit=bit))

    def noun_phrase(self, d: Description) -> str:
        """The thing itself, with all that is said of it."""
        adjectives = [c for c in d.clauses if c.sort in ADJECTIVES and not c.negated]
        others = [c for c in d.clauses if c not in adjectives]
        before = list(adjectives)
        behind: list[str] = []
        comparing = not others and d.definite and self._chance(0.5)
        if adjectives and not self._chance(_PRENOMINAL):
            before = []
            if self.style == "test1" and not others and self._chance(0.5):
                own = (f"of {{}} {_NOUN_OF[adjectives[0].sort]}", f"whose {_NOUN_OF[adjectives[0].sort]} is {{}}")
                text = own[self.random.integers(2)].format(self._adjective(adjectives[0]))
                behind, before = [text], adjectives[1:]
                return self._join(d, before, behind)
            if not others and d.definite and d.noun and self._chance(0.3):
                one = f"the {' '.join(self._adjective(a, True) for a in adjectives)} one"
                return f"{self._join(d, [], [])} {one}"
            others = [*self._mixed(adjectives), *others]
        return self._join(d, before, self._behind(others, d), comparing)

    def reference(self, d: Description) -> str:
        """A thing with nothing behind the noun, so that what follows belongs to the other thing."""
        return self._join(d, list(d.clauses), [])

    def location(self, c: Clause, pronoun: int | None = None) -> str:
        """A place or relation; pronoun: the item that goes by "it"."""
        if c.sort == "side":
            return self._say([phrases.PLACES["side"]], side=c.word)
        if c.sort == "place":
            rule = phrases.PLACES[c.word] if c.landmark != "floor" else phrases.ON_FLOOR
            return self._say([rule], landmark=c.landmark)
        references = ["it" if i == pronoun else self.reference(d) for d, i in self._mixed(c.references)]
        slots = dict(zip("ab", references))
        if c.word == "level":
            room, first = self.view.room, c.references[0][1]
            preposition = "in" if room.preposition[first] == "in" else "on"
            rule = phrases.LEVEL.replace("(on|in)", preposition)
            return self._say([rule], board=core(room.place[first]).split()[-1], **slots)
        own = self.style == "test1" and self._chance(_OWN_STYLE)
        return self._say([phrases.RELATIONS["test1" if own else "train"][c.word]], **slots)

    def purpose(self, function: str) -> str:
        """to drink from; that i can drink from"""
        rule = phrases.POSSIBLE if _personal(function) else phrases.PURPOSE
        return self._say([rule], use=function.removeprefix("to "))

    def _join(self, d: Description, before: list[Clause], behind: list[str], comparing: bool = False) -> str:
        adjectives = [self._adjective(a, comparing) for a in before]
        if d.noun is None and not d.definite and self._chance(0.7):
            return " ".join([self._say([phrases.SOMETHING]), *" and ".join(self._mixed(adjectives)).split(), *behind])
        thing = f"({phrases.THING}|{phrases.THING}|one)" if d.definite and adjectives else phrases.THING
        noun = d.noun or self._say([thing])
        one, many = phrases.DETERMINERS[d.definite]
        determiner = self._say([many if noun in PLURALS else one])
        there = ["over there"] if d.definite and not behind and self._chance(0.1) else []
        return " ".join([determiner, *adjectives, noun, *behind, *there])

    def _behind(self, clauses: list[Clause], d: Description, pronoun: int | None = None) -> list[str]:
        """What follows the noun: purposes, then properties, then what it is not."""
        functions = [c for c in clauses if c.sort == "function"]
        text = [self.purpose(c.word) for c in functions]
        rest = self._mixed(c for c in clauses if c not in functions)
        plain = [self._predicate(c, pronoun) for c in rest if not c.negated]
        negated = [c for c in rest if c.negated]
        if len(plain) == 1 and not negated and rest[0].sort not in ADJECTIVES and self._chance(0.6):
            return [*text, *plain]
        if len(negated) == 1 and negated[0].sort in ADJECTIVES and d.noun and not rest[1:] and self._chance(0.5):
            return [*text, f"{self._say(['(but not|other than|except)'])} the {self._adjective(negated[0], True)} one"]
        joined = " and ".join(plain)
        if negated:
            joined = " ".join([joined, "and" if plain else "", "not", self._predicate(negated[0], pronoun)])
        if not joined:
            return text
        stands = not negated and all(c.sort in ("place", "relation") for c in rest)
        verbs = phrases.VERBS_PLURAL if d.noun in PLURALS else phrases.VERBS
        verb = self._say([f"(that|which) {verbs if stands else '{is}'}"], d.noun)
        return [*text, verb, joined]

    def _predicate(self, c: Clause, pronoun: int | None) -> str:
        if c.sort in ADJECTIVES:
            return self._adjective(c)
        if c.sort == "noun":
            return c.word if c.word in PLURALS else f"a {c.word}"
        return self.location(c, pronoun)

    def _contrast(self, d: Description, other: Description, item: int) -> str:
        """Not the one, the other; what is meant may go back to what is not, where that is named first."""
        rules = phrases.CONTRASTS[self.style]
        rule = rules[self.random.integers(len(rules))]
        back = rule.find("{other}") < rule.find("{np}")
        alike = back and d.noun is not None and d.noun == other.noun
        # A bare "one" would be another of what was named before.
        plain = replace(d, instead_of=None, noun=d.noun or self._say([phrases.THING]))
        if not d.clauses and d.noun == other.noun:
            noun = "one" if alike and self._chance(0.5) else d.noun
            np_text = f"the other {noun}"
        elif alike and self._chance(0.6):
            np_text = self._said_of("one", plain, item)
        else:
            np_text = self._said_of(None, plain, item if back else None)
        return self._say([rule], d.noun, np=np_text, other=self.reference(other))

    def _said_of(self, noun: str | None, d: Description, pronoun: int | None) -> str:
        if noun is None and not any(c.sort == "relation" for c in d.clauses):
            return self.noun_phrase(d)
        before = [c for c in d.clauses if c.sort in ADJECTIVES]
        behind = self._behind([c for c in d.clauses if c not in before], d, pronoun)
        return self._join(replace(d, noun=noun or d.noun, definite=True), before, behind)

    def _adjective(self, c: Clause, comparing: bool = False) -> str:
        if c.sort != "size":
            return c.word
        usual = SIZES[c.word] if comparing and not c.negated else SIZES[c.word][:2]
        return usual[self.random.integers(len(usual))]

    def _say(self, rules: tuple[str, ...] | list[str], noun: str | None = None, /, **slots: str) -> str:
        """One text of one of the rules; noun: what the verb goes with."""
        rule = rules[self.random.integers(len(rules))]
        return expand(self.random, rule, look=phrases.LOOK, **{"is": "are" if noun in PLURALS else "is"}, **slots)

    def _mixed(self, things) -> list:  # type: ignore[no-untyped-def]
        things = list(things)
        return [things[i] for i in self.random.permutation(len(things))]

    def _chance(self, share: float) -> bool:
        return bool(self.random.random() < share)


def _personal(function: str) -> bool:
    """Whether "i can ..." goes with it: "cut with", "eat", but not "keep off the rain"."""
    words = function.split()
    return len(words) == 2 or words[-1] in ("with", "from", "in", "on")
