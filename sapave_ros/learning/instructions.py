"""What a person may say to make the robot look somewhere: a small grammar, drawn from with a seed."""

from __future__ import annotations

import numpy as np

from sapave_ros.policy.tokenizer import split
from sapave_ros.sim.objects import COLOURS, KINDS

SYNONYMS: dict[str, tuple[str, ...]] = {
    "mug": ("mug", "mug", "cup"),
    "box": ("box", "box", "carton"),
    "can": ("can", "can", "tin"),
    "pan": ("pan", "pan", "frying pan", "skillet"),
    "ball": ("ball",),
}
"""Words for a kind, the usual one repeated; kinds that are not here go by their own name."""

PHRASES: tuple[str, ...] = (
    "look at {}",
    "look at {}",
    "look at {}",
    "find {}",
    "find {}",
    "where is {}?",
    "search for {}",
    "show me {}",
    "turn your head to {}",
    "can you see {}?",
    "look for {}",
    "please find {}",
    "watch {}",
    "focus on {}",
    "keep an eye on {}",
)

MAX_WORDS = 12


def noun_phrase(random: np.random.Generator, kind: str, colour: str | None) -> str:
    """`the red mug`, or `the cup` where colour is None. Raises ValueError on a kind or colour that does not exist."""
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r}, expected of {', '.join(KINDS)}")
    if colour is not None and colour not in COLOURS:
        raise ValueError(f"colour: {colour!r}, expected of {', '.join(COLOURS)}")
    words = SYNONYMS.get(kind, (kind,))
    word = words[random.integers(len(words))]
    return f"the {colour} {word}" if colour else f"the {word}"


def instruction(random: np.random.Generator, kind: str, colour: str | None) -> str:
    """One way to ask for an object by colour and kind, or by kind alone."""
    return PHRASES[random.integers(len(PHRASES))].format(noun_phrase(random, kind, colour))


def vocabulary() -> tuple[str, ...]:
    """Every word the grammar can produce, sorted."""
    texts = [*PHRASES, *KINDS, *COLOURS, "the", *(w for words in SYNONYMS.values() for w in words)]
    return tuple(sorted({word for text in texts for word in split(text)}))
