"""Short descriptions of single things, for training on pictures with words: `a small red mug on the table`."""

from __future__ import annotations

import numpy as np

from sapave_ros.learning.language.facts import View, core
from sapave_ros.learning.language.lexicon import SHAPES, SIZES, Lexicon, default
from sapave_ros.learning.language.meaning import RoomLike
from sapave_ros.learning.language.phrases import PLACES, PURPOSE, expand, spoken


def attributes(room: RoomLike, item: int, lexicon: Lexicon | None = None) -> dict[str, tuple[str, ...]]:
    """What is certainly true of an item: kind (empty for held-out kinds), colour, size, shape, function, place."""
    view = View(room, lexicon or default())
    own = view.items[item]
    uses = view.lexicon.kinds[own.kind].functions
    place = core(room.place[item]) or "floor"
    known = view.lexicon.knows(place)
    return {
        "kind": view.lexicon.words(own.kind)[:1],
        "colour": (own.colour,),
        "size": tuple(s for s in SIZES if view.size(item, s)),
        "shape": tuple(s for s in SHAPES if view.shape(item, s)),
        "function": tuple(f for f in uses if f in view.lexicon.trained_functions),
        "place": (f"{room.preposition[item]} {place}",) if known and room.preposition[item] in PLACES else (),
    }


def captions(random: np.random.Generator, room: RoomLike, item: int, lexicon: Lexicon | None = None) -> str:
    """One description, of words that `vocabulary` has; the colour is always said, the rest now and then."""
    own = lexicon or default()
    known = attributes(room, item, own)
    words = own.words(room.scene.items[item].kind)
    noun = words[random.integers(len(words))] if words else "thing"
    adjectives = [*known["size"], *known["shape"]]
    said = [a for a in adjectives if random.random() < 0.4]
    text = " ".join(["a", *said, *known["colour"], noun])
    if known["function"] and random.random() < (0.15 if words else 0.6):
        use = known["function"][random.integers(len(known["function"]))]
        text += " " + expand(random, PURPOSE, use=use.removeprefix("to "))
    if known["place"] and random.random() < 0.5:
        preposition, landmark = known["place"][0].split(" ", 1)
        text += " " + expand(random, PLACES[preposition], landmark=landmark)
    return spoken(text)
