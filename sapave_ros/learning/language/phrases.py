"""The grammar's rules: nested alternatives `(a|b|)` and slots `{x}`. Tables by split, those of test1 being its own.

A rule is expanded from the inside out, each alternative as likely as the others (one that is repeated, more). Words are
separated by spaces; there is no punctuation, since the tokenizer would drop it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

_ALTERNATIVES = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{\w+\}")
_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])")

FRAMES: dict[str, tuple[str, ...]] = {
    "train": (
        "(please|robot|now|||) {look} {np} (please|now|||)",
        "{look} {np} (please|for me|if you can|||)",
        "(robot||) (can|could) you (please||) {look} {np}",
        "(robot||) where {is} {np}",
        "where can i (find|see) {np}",
        "(can|do) you (see|find) {np} (there|anywhere||)",
        "i (want|need|would like) (you to {look}|to see|to find) {np}",
        "i am (looking|searching) for {np}",
        "(please||) (let|help) me (see|find) {np}",
        "{np} (please|now)",
        "{np} (can you see it|could you find it|i need it|turn to it please|point your camera at it|show it to me)",
        "(hey|hello|ok|well) (robot||) {look} {np} (thanks||)",
        "(show|find) (me|us) {np} (will you|thanks|quickly||)",
        "(have you (seen|found)|did you (see|find)) {np} (already||)",
        "there (should|must|may) be {np} (here|around|nearby||) {look} it",
        "{is} {np} (here|around|nearby)",
        "(what|how) about {np}",
        "your (next||) (task|job) is to {look} {np}",
        "(we|you) (must|should|have to) {look} {np} (first||)",
        "i cannot (find|see) {np} (help me|can you||)",
        "bring {np} into (sight|view)",
        "(move|turn) your (head|eyes|camera) (until|so that) you (see|can see) {np}",
        "i (lost|forgot|miss) {np} (find it|where can it be||)",
        "(next|first|then|and) {look} {np}",
        "(go|go on) and {look} {np}",
        "{np} {is} (what we look for|the next to be found|important now)",
        "make sure (that||) you see {np}",
        "it is {np} (that||) (i|we) (want|look for|need)",
    ),
    "test1": (
        "{np} (where is that|where did that go|do you see that|please find that|look at that|i want to see that)",
        "(would|will) you kindly (turn your eyes|direct your gaze|turn your head|point your camera) (to|towards) {np}",
        "i wonder where {np} ({is}|could be)",
        "(try|you need|it is time) to (locate|look at|find|face) {np}",
        "get (a view of|your eyes on) {np}",
        "eyes on {np} (please|robot||)",
        "your eyes should be on {np} now",
        "{np} {is} what i (want to see|am looking for|need you to find)",
        "as for {np} (look there|show me where|find that)",
        "give {np} (a look|your attention)",
    ),
}
"""What is said around a noun phrase."""

LOOK = (
    "(look at|look at|find|see|search for|look for|show me|focus on|watch|keep an eye on|turn to|turn your head to"
    "|point your (eyes|head|camera) at|face|check|have a look at|gaze at|observe|concentrate on|aim at|spot|seek)"
)

CONTRASTS: dict[str, tuple[str, ...]] = {
    "train": (
        "(please||) do not {look} {other} {look} {np}",
        "{look} {np} (and||) not {other}",
        "not {other} (but||) {np} (please||)",
        "{look} {np} (and||) not at {other}",
        "i (want|need) {np} not {other}",
        "i do not (want|need) {other} (but||) {look} {np}",
        "(ignore|forget|never mind|skip) {other} (and||) {look} {np}",
        "{look} {np} (and||) (ignore|skip|forget) {other}",
        "(no||) i (mean|meant|said) {np} not {other}",
        "{look} {np} (instead of|rather than) {other}",
        "{np} (please||) (and||) not {other}",
        "(no||) not {other} (i||) (mean|meant|said|show me) {np}",
    ),
    "test1": (
        "instead of {other} you should {look} {np}",
        "rather than {other} i want to see {np}",
        "{np} rather than {other} {is} what i want to see",
        "your eyes should not be on {other} but on {np}",
        "(try|you need) to {look} {np} instead of {other}",
    ),
}
"""What is said around what is meant and what is not; only those with `{other}` first may refer back to it."""

QUESTIONS: dict[str, tuple[str, ...]] = {
    "train": (
        "what (is|is|is there|stands|lies|do you see|can you see) {place}",
        "(show me|look at|check|see|find out|let me see) what is {place}",
        "(is there|do you see|can you see|look for|find) (something|anything) {place}",
        "{place} there is (something|anything) (find it|show me)",
        "{place} (show me|find|look for) (something|anything)",
        "(please||) (tell|show) (me|us) what is {place}",
    ),
    "test1": (
        "{place} (what is there|is there anything|what do you see)",
        "tell me what you see {place}",
        "i wonder what is {place}",
    ),
}
"""For what stands at a place."""

NEEDS: dict[str, tuple[str, ...]] = {
    "train": (
        "what can (i|we|you) {use}",
        "(is there|do you see|can you see) (something|anything) (to {use}|i can {use})",
        "i (want|need|would like) something to {use}",
        "(do we have|have we) (something|anything) to {use}",
        "(find|show|bring) (me|us) (something|anything) to {use}",
        "something to {use} (please|find it|would be good|is what i need)",
        "where is (something|anything) to {use}",
    ),
    "test1": (
        "i (want|would like) to {use} something (where is it|find it||)",
        "to {use} (i need something|is there anything|what can you find)",
        "we need to {use} something",
    ),
}
"""For what something is for."""

FRONTED: dict[str, tuple[str, ...]] = {
    "train": (
        "{place} {look} {np} (please||)",
        "(please||) {place} (there (should|must) be|i see|i left) {np} {look} it",
        "{place} (where|there) {is} {np}",
    ),
    "test1": (
        "{place} (there {is}|{is}|you will find) {np} (look there|find that|show me)",
        "somewhere {place} {is} {np} (find that|look there)",
    ),
}
"""Places and relations first."""

INSIDES: dict[str, tuple[str, ...]] = {
    "train": (
        "(please|robot|can you||) (look|peek) (inside|into|in) {np} (please||)",
        "(please||) (check|look at|show me|see) the inside of {np}",
        "i (want|would like) to (look|see) (inside|into) {np}",
        "the inside of {np} (please|now|show me)",
        "(inside|into) {np} (please|look|show me)",
        "(we|you) (must|should|have to) (look|peek) (inside|into) {np}",
    ),
    "test1": (
        "the inside of {np} is what i want to see",
        "(inside|into) {np} you should (look|peek)",
        "turn your eyes (into|to the inside of) {np}",
        "let your eyes (look|peek) (into|inside) {np}",
    ),
}

DIRECTIONS: dict[str, tuple[str, ...]] = {
    "train": (
        "(please|robot|now||) (look|turn|turn your head|move your head|point your (head|eyes|camera)) {way} {bit} "
        "(please|now||)",
        "(can|could) you (look|turn your head) {way} {bit}",
        "{way} {bit} (please|now|robot)",
        "{bit} {way} (please|now|robot)",
        "{bit} {way}",
        "(now||) (go|move|gaze|face|turn) {bit} {way} (please|now||)",
        "(we|you) (must|should|have to|can) (look|turn|face|gaze) {way} {bit}",
        "i (want|need|would like) (you to look|you to turn|to look) {bit} {way}",
        "(have|take) a look {bit} {way}",
        "(your||) (head|camera) {bit} {way} (please|now|thanks||)",
        "(hey|ok|well|and|then) (robot||) (look|turn) {bit} {way}",
        "(please||) {bit} {way} (is where you should look|with the head|with the camera)",
    ),
    "test1": (
        "eyes {way} {bit} (please||)",
        "{way} {bit} you should (look|turn)",
        "i would like you to direct your gaze {way} {bit}",
        "{bit} {way} (with your head|with your eyes) (please||)",
        "let your eyes go {way} {bit}",
    ),
}
WAYS: dict[str, str] = {
    "left": "(left|to the left|to your left)",
    "right": "(right|to the right|to your right)",
    "up": "(up|upwards)",
    "down": "(down|downwards)",
    "ahead": "(straight ahead|ahead|forward|straight forward)",
}
A_BIT = "(a bit|a little|slightly|a little bit)"

RELATIONS: dict[str, dict[str, str]] = {
    "train": {
        "left": "(left of|to the left of|on the left of) {a}",
        "right": "(right of|to the right of|on the right of) {a}",
        "behind": "behind {a}",
        "front": "in front of {a}",
        "beside": "(beside|next to) {a}",
        "between": "between {a} and {b}",
        "nearest": "(nearest|closest) to {a}",
    },
    "test1": {
        "left": "on the left hand side of {a}",
        "right": "on the right hand side of {a}",
        "behind": "at the back of {a}",
        "front": "at the front of {a}",
        "beside": "(right next to|at the side of) {a}",
        "between": "in between {a} and {b}",
        "nearest": "(least far from|most near to) {a}",
    },
}
LEVEL = "(on|in) the same {board} as {a}"

PLACES: dict[str, str] = {
    "on": "(on|on top of) the {landmark}",
    "in": "(in|inside) the {landmark}",
    "under": "(under|below) the {landmark}",
    "behind": "behind the {landmark}",
    "side": "(on|to) your {side}",
}

ON_FLOOR = "on the floor"

DEFINITE = "(the|the|the|that|this)"
INDEFINITE = "(a|any|some)"
DEFINITE_PLURAL = "(the|the|the|those|these)"
INDEFINITE_PLURAL = "(any|some)"
DETERMINERS = {True: (DEFINITE, DEFINITE_PLURAL), False: (INDEFINITE, INDEFINITE_PLURAL)}
"""For definite descriptions and others: one thing, and nouns like scissors."""

ANY = "(any will do|no matter which)"
VERBS = "(is|is|stands|sits|lies)"
VERBS_PLURAL = "(are|are|stand|sit|lie)"
SOMETHING = "(something|anything)"
THING = "(thing|object)"
POSSIBLE = "(to {use}|(that||) (i|we|you) can {use})"
PURPOSE = "to {use}"

OTHER_WORDS = "one other the it and but not that which is are over there a an than except left right"
"""Words that the code puts between the rules' own."""


def expand(random: np.random.Generator, rule: str, **slots: str) -> str:
    """One of the texts of a rule, with the slots filled in; slots may hold rules."""
    text = rule
    while _SLOT.search(text) and slots:
        text = _SLOT.sub(lambda m: slots[m[0][1:-1]], text)
    while "(" in text:
        text = _ALTERNATIVES.sub(lambda m: _choice(random, m[1].split("|")), text, count=1)
    return " ".join(text.split())


def spoken(text: str) -> str:
    """The text with "an" where "a" stands before a vowel."""
    return _BEFORE_VOWEL.sub("an ", text)


def _choice(random: np.random.Generator, options: list[str]) -> str:
    return options[random.integers(len(options))]


def words(rules: Iterable[str]) -> set[str]:
    """Every word of some rules, slots left out."""
    return {w for rule in rules for w in re.findall(r"[a-z]+", _SLOT.sub(" ", rule))}
