"""Where in a recording an episode begins and ends, what was asked for in it, who commanded and how it went.

What the recorder marked (`episode.json`, one bag an episode) counts; of it the part from the first to the last moment
at which motion was permitted and something was asked for. In a bag without a mark every stretch of time in which motion
was permitted and one and the same thing was asked for is an episode, and nobody knows how it went.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from sapave_ros.bag import document
from sapave_ros.bag.episodes import VERDICT
from sapave_ros.bag.reader import Bag
from sapave_ros.offline.recording import Recording
from sapave_ros.types import Mode, Permit

UNKNOWN = "unknown"
"""How an episode went of which nobody has said so."""

PERMIT_HOLDS_S = 0.5
"""A permit says nothing any more when no other has come for so long [s]: a recorder may have missed some."""


class Reason(Enum):
    """Why an episode is not in the data set."""

    BAG = "the bag cannot be used"
    INSTRUCTION = "no instruction"
    PERMIT = "motion was not permitted"
    SHADOW = "shadow mode: what was commanded was not sent"
    CLOCK = "a clock jumped, or clocks disagree"
    GAP = "a gap in a stream of joints"
    APART = "picture and joints too far apart"
    SHORT = "too few frames"
    PICTURE = "a picture or its depth is missing or damaged"
    SIZE = "pictures of another size"


class UnfitError(Exception):
    """An episode that is left out. The message says what and when."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Episode:
    """A part of a recording.

    start_s, end_s: ROS time. outcome: success, failure or unknown. asked: (from [s], to [s], instruction), one after
    the other from start to end.
    """

    start_s: float
    end_s: float
    outcome: str
    asked: tuple[tuple[float, float, str], ...]


def episodes(recording: Recording) -> Iterator[Episode | UnfitError]:
    """The episodes of a recording in order of time, or why one that was marked, or all of an unmarked bag, is none."""
    try:
        if node := shadowed(recording):
            raise UnfitError(Reason.SHADOW, f"node {node} was in shadow mode")
        active = list(_active(recording))
        marked = _marked(recording.bag)
        if marked is not None:
            yield _within(marked, active, recording)
            return
        if not active:
            raise _nothing(recording, -float("inf"), float("inf"))
    except UnfitError as error:
        yield error
        return
    for start_s, end_s, text in active:
        yield Episode(start_s, end_s, UNKNOWN, ((start_s, end_s, text),))


def commander(recording: Recording, start_s: float, end_s: float, arms: bool) -> str:
    """Whose chunks the head or the arms followed then: policy, teleop, both (`policy, teleop`), or nobody."""
    sources = set()
    for i, (from_s, permit) in enumerate(recording.permits):
        to_s = recording.permits[i + 1][0] if i + 1 < len(recording.permits) else end_s
        mode, source = permit.of(arms)
        if mode is Mode.MOVE and from_s < end_s and to_s > start_s:
            sources.add(source.value)
    return ", ".join(sorted(sources)) or "nobody"


def shadowed(recording: Recording) -> str:
    """A node that commanded without sending it to the robot at any time, or nothing.

    Parameters are of whoever answered last, and asked for once; on /diagnostics a node says it all the time.
    """
    for node in ("head", "arm"):
        told = document.parameters_of(recording.bag.attachments, node).get("mode")
        if "shadow" in {told, *recording.modes.get(f"sapave/{node}", ())}:
            return node
    return ""


@dataclass(frozen=True)
class _Mark:
    start_s: float
    end_s: float
    outcome: str


def _marked(bag: Bag) -> _Mark | None:
    if VERDICT not in bag.attachments:
        return None
    try:
        said = json.loads(bag.attachments[VERDICT])
        return _Mark(said["began_ns"] * 1e-9, said["ended_ns"] * 1e-9, said["verdict"] or UNKNOWN)
    except (ValueError, KeyError, TypeError) as error:
        raise UnfitError(Reason.BAG, f"{VERDICT} cannot be read ({error!r})") from None


def _within(mark: _Mark, active: list[tuple[float, float, str]], recording: Recording) -> Episode:
    """What of a marked episode can be learned from; raises UnfitError where that is nothing, or has a hole."""
    parts = [(max(a, mark.start_s), min(b, mark.end_s), text) for a, b, text in active]
    parts = [part for part in parts if part[1] > part[0]]
    if not parts:
        raise _nothing(recording, mark.start_s, mark.end_s)
    for (_, to_s, _), (from_s, _, _) in pairwise(parts):
        if from_s > to_s:
            raise UnfitError(
                Reason.PERMIT,
                f"{from_s - to_s:.2f} s without instruction or permission {to_s - mark.start_s:.2f} s after its start",
            )
    return Episode(parts[0][0], parts[-1][1], mark.outcome, tuple(parts))


def _nothing(recording: Recording, start_s: float, end_s: float) -> UnfitError:
    """Why there is no moment in which something was asked for and permitted."""
    if not any(to_s > start_s and from_s < end_s for from_s, to_s, _ in _told(recording)):
        return UnfitError(Reason.INSTRUCTION, "nothing was asked for")
    if not recording.permits:
        return UnfitError(Reason.PERMIT, "no permit was recorded: nobody knows whether motion was permitted")
    return UnfitError(Reason.PERMIT, "motion was never permitted while something was asked for")


def _active(recording: Recording) -> Iterator[tuple[float, float, str]]:
    """Stretches (from [s], to [s], instruction) in which motion was permitted and that was asked for."""
    permitted = list(_permitted(recording.permits))
    for told_s, over_s, text in _told(recording):
        for from_s, to_s in permitted:
            if min(to_s, over_s) > max(from_s, told_s):
                yield max(from_s, told_s), min(to_s, over_s), text


def _told(recording: Recording) -> Iterator[tuple[float, float, str]]:
    """What was asked for, from when until when; what is said twice in a row is one."""
    changes: list[tuple[float, str]] = []
    for now_s, text in recording.instructions:
        if not changes or text != changes[-1][1]:
            changes.append((now_s, text))
    for (from_s, text), (to_s, _) in zip(changes, [*changes[1:], (float("inf"), "")]):
        if text:
            yield from_s, to_s, text


def _permitted(permits: list[tuple[float, Permit]]) -> Iterator[tuple[float, float]]:
    """Spans of time in which the head or the arms might move."""
    begun_s = until_s = -float("inf")
    for i, (now_s, permit) in enumerate(permits):
        next_s = permits[i + 1][0] if i + 1 < len(permits) else now_s  # nobody knows what came after the last one
        if Mode.MOVE not in (permit.mode_head, permit.mode_arms):
            continue
        if now_s > until_s:
            if until_s > begun_s:
                yield begun_s, until_s
            begun_s = now_s
        until_s = min(next_s, now_s + PERMIT_HOLDS_S)
    if until_s > begun_s:
        yield begun_s, until_s
