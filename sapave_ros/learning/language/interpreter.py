"""What a text means in a room: an interpreter that is independent of the grammar which makes the instructions.

Used by tests, by the data's own check, and by the demo to judge what people say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sapave_ros.learning.language.facts import View
from sapave_ros.learning.language.lexicon import Lexicon, default
from sapave_ros.learning.language.meaning import Goal, RoomLike
from sapave_ros.learning.language.reading import Reader, Sets, Thing
from sapave_ros.policy.tokenizer import split


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_FILLERS = _words(
    "please robot now look at find see search for show me focus on watch keep an eye eyes turn to your head point",
    "camera face check have a can could would will you where is i do did there anywhere want need like am looking",
    "searching let help it go kindly direct gaze towards wonder be try time locate get view of should what as give",
    "attention not but and tell out peek into inside in the somewhere with us that we up are hey hello ok well thanks",
    "quickly have seen found already here around nearby about how your next task job is must should first cannot bring",
    "sight move until so lost forgot miss go left then what important make sure may gaze observe concentrate aim spot",
    "seek no mean meant said where take would good to be forget",
)
_WAYS = {
    "left": "left",
    "right": "right",
    "up": "up",
    "upwards": "up",
    "down": "down",
    "downwards": "down",
    "ahead": "ahead",
    "straight": "ahead",
    "forward": "ahead",
}
_BIT = {"bit", "little", "slightly"}
_DIRECTING = _words(
    "a please robot now look turn move point your head eyes camera can could you to the should would like i direct",
    "gaze let go with we must have need want is where face hey ok well and then thanks take",
)
_NEGATIONS = ("instead of", "rather than", "other than", "except", "not", "ignore", "forget", "never mind", "skip")
_ASIDES = ("any will do", "no matter which", "if you can")
_ASKING = {"is", "stands", "lies", "sits", "there", "do", "can", "you", "i", "we", "see"}


@dataclass(frozen=True)
class Reading:
    """What a text means for certain, and all that it may mean."""

    sure: frozenset[Goal]
    maybe: frozenset[Goal]


def resolve(text: str, room: RoomLike, lexicon: Lexicon | None = None) -> tuple[Goal, ...]:
    """Every goal that a text may mean in a room; none where the room has no such thing.

    Raises ValueError that names the text where it is not an instruction, or the word that is not understood.
    """
    return in_order(read(text, room, lexicon).maybe)


def in_order(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """Items first, as they are numbered."""
    return tuple(sorted(goals, key=lambda g: (g.item is None, g.item or 0, g.landmark or 0, g.direction or "")))


def read(text: str, room: RoomLike, lexicon: Lexicon | None = None) -> Reading:
    """As `resolve`, with what is certain told from what is possible."""
    tokens = split(text)
    direction = _direction(tokens)
    if direction:
        goals = frozenset({Goal(direction=direction)})
        return Reading(goals, goals)
    reader = Reader(tokens, View(room, lexicon or default()))
    return _meaning(reader, *_things(reader, text))


def _direction(tokens: list[str]) -> str | None:
    ways = {_WAYS[t] for t in tokens if t in _WAYS}
    if len(ways) != 1 or not set(tokens) <= _DIRECTING | _BIT | set(_WAYS):
        return None
    return ("a bit " if _BIT & set(tokens) else "") + ways.pop()


def _things(r: Reader, text: str) -> tuple[list[Thing], list[Thing]]:
    """What is meant and what is not meant."""
    meant: list[Thing] = []
    not_meant: list[Thing] = []
    pending = Thing()  # said before the thing that it belongs to
    negated = inside = False
    i = 0
    while i < len(r.tokens):
        if aside := r.longest(i, _ASIDES):
            i = aside[1]
            continue
        if negation := r.longest(i, _NEGATIONS):
            negated, i = True, negation[1]
            continue
        if phrase := (_question(r, i, pending) or r.noun_phrase(i)):
            thing, i = phrase
            thing.conditions += pending.conditions
            thing.nearest_to += pending.nearest_to
            _refer_back(r, thing, not_meant)
            (not_meant if negated else meant).append(thing)
            r.previous = thing
            pending, negated = Thing(), False
        elif not _eyes_on(r, i) and (end := r.location(i, pending)):
            place = r.place(i)
            inside = inside or bool(place and place[0] == "in")
            if place and place[0] == "in":
                pending.landmarks = tuple(f"inside of the {n}" for n in place[1])
            i = end
        elif use := r.purpose(i):
            pending.conditions.append(use[0])
            i = use[1]
        elif r.word(i) in _FILLERS:
            i += 1
        else:
            raise ValueError(f"{text!r}: {r.word(i)!r} is not understood")
    if pending.landmarks and inside and not meant:
        return [Thing(landmarks=pending.landmarks)], []
    if not meant or pending.conditions:
        raise ValueError(f"{text!r}: not an instruction that is understood")
    return meant, not_meant


def _eyes_on(r: Reader, i: int) -> bool:
    """keep an eye on, focus on: the table itself, not what is on it"""
    return r.word(i) == "on" and i > 0 and r.word(i - 1) in ("eye", "eyes", "focus", "concentrate", "be", "but")


def _question(r: Reader, i: int, pending: Thing) -> tuple[Thing, int] | None:
    """what is on the table; what can i drink from; on the table what is there"""
    if r.word(i) != "what":
        return None
    thing, i = Thing(), i + 1
    while r.word(i) in _ASKING:
        i += 1
    if use := r.use(i):
        thing.conditions.append(use[0])
        return thing, use[1]
    if end := r.location(i, thing):
        return thing, end
    return (thing, i) if pending.conditions else None


def _refer_back(r: Reader, thing: Thing, not_meant: list[Thing]) -> None:
    if thing.back_reference and r.previous:
        thing.noun = r.previous.noun
    if thing.other and r.previous and r.previous not in not_meant:
        not_meant.append(r.previous)


def _meaning(r: Reader, meant: list[Thing], not_meant: list[Thing]) -> Reading:
    items = Sets(set(range(len(r.view.items))), set(range(len(r.view.items))))
    names = [set(t.landmarks) for t in meant]
    for thing in meant:
        found = r.sets(thing)
        items = Sets(items.sure & found.sure, items.maybe & found.maybe)
    for thing in not_meant:
        found = r.sets(thing)
        items = Sets(items.sure - found.maybe, items.maybe - found.sure)
    wanted = set.intersection(*names)
    landmarks = {i for i, m in enumerate(r.view.room.landmarks) if m.name in wanted}
    sure, maybe = ({Goal(item=i) for i in s} | {Goal(landmark=i) for i in landmarks} for s in (items.sure, items.maybe))
    return Reading(frozenset(sure), frozenset(maybe))
