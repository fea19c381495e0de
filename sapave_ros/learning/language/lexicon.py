"""Words for things: from the catalogue of objects and a table of landmarks.

Kinds that are held out are known here, so that a text about them can be understood; `trained` words leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache

from sapave_ros.learning.language.meaning import KindLike
from sapave_ros.learning.language.shapes import Truth, shaped
from sapave_ros.sim.objects import COLOURS, VARIANTS, Shape

SIZES: dict[str, tuple[str, ...]] = {
    "big": ("big", "large", "bigger", "biggest"),
    "small": ("small", "little", "smaller", "smallest"),
}
SHAPES: dict[str, tuple[str, ...]] = {"tall": ("tall",), "flat": ("flat",), "round": ("round",), "long": ("long",)}
"""Words for sizes and shapes, the usual one first."""

LANDMARK_NAMES: tuple[str, ...] = (
    *("table", "left table", "right table", "side table", "desk", "counter", "sideboard", "bench", "chair"),
    *("stool", "left stool", "middle stool", "right stool", "shelf", "window", "window sill", "ledge", "step"),
    *("corner", "panel", "left panel", "right panel", "sink", "tap", "floor", "door", "left door", "right door"),
    *("bin", "left bin", "middle bin", "right bin", "left rack", "right rack", "front rack", "back rack"),
    *("cabinet", "cupboard", "left cupboard", "right cupboard", "wall cupboard", "chest of drawers", "drawer unit"),
    *("top drawer", "second drawer", "third drawer", "middle drawer", "bottom drawer"),
    *("top shelf", "second shelf", "third shelf", "middle shelf", "bottom shelf"),
)
"""Landmarks that training names. Any name of these words is understood; others are never asked for."""

PLURALS = frozenset({"scissors", "shears", "pliers", "pincers", "headphones", "stacking rings", "dice"})
"""Nouns that go with "are"."""

PART_NAMES: tuple[str, ...] = ("handle", "top shelf", "middle shelf", "bottom shelf")
"""What is said to be of a landmark: "handle of the top drawer"."""


@dataclass(frozen=True)
class Lexicon:
    """What the words for things mean. kinds: by name, as in `sim.catalogue.CATALOGUE`."""

    kinds: Mapping[str, KindLike]
    landmarks: tuple[str, ...] = LANDMARK_NAMES
    _shapes: dict[tuple[str, int], Shape] = field(default_factory=dict, compare=False, repr=False)
    _shaped: dict[tuple[str, int, str], Truth] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def nouns(self) -> dict[str, frozenset[str]]:
        """Every word for objects, and the kinds that it may mean."""
        words: dict[str, set[str]] = {}
        for kind in self.kinds.values():
            for word in (kind.name, *kind.words):
                words.setdefault(word, set()).add(kind.name)
        return {word: frozenset(kinds) for word, kinds in words.items()}

    @cached_property
    def trained_nouns(self) -> tuple[str, ...]:
        """Words that training uses: none that also means a held-out kind."""
        return tuple(w for w, kinds in self.nouns.items() if not any(self.kinds[k].held_out for k in kinds))

    @cached_property
    def functions(self) -> tuple[str, ...]:
        """What things are for, of any kind: "to drink from"."""
        return tuple(dict.fromkeys(f for k in self.kinds.values() for f in k.functions))

    @cached_property
    def trained_functions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f for k in self.kinds.values() if not k.held_out for f in k.functions))

    @cached_property
    def colours(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*COLOURS, *(c for k in self.kinds.values() for c in k.colours))))

    @cached_property
    def trained_colours(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*COLOURS, *(c for k in self.kinds.values() if not k.held_out for c in k.colours))))

    @cached_property
    def _landmark_words(self) -> frozenset[str]:
        return frozenset(w for n in (*self.landmarks, *PART_NAMES, "inside of the") for w in n.split())

    def knows(self, landmark: str) -> bool:
        """Whether a landmark can be asked for: training has its words, and no object is called so."""
        name = landmark.removeprefix("inside of the ")
        return set(name.split()) <= self._landmark_words and not {name, landmark} & set(self.nouns)

    @cache  # noqa: B019 (there are as many lexicons as catalogues: one)
    def words(self, kind: str) -> tuple[str, ...]:
        """Trained words for a kind, the usual one first; none for a held-out kind."""
        own = dict.fromkeys((kind, *self.kinds[kind].words))
        return tuple(w for w in own if w in self.trained_nouns)

    def shape(self, kind: str, variant: int) -> Shape:
        key = (kind, variant)
        if key not in self._shapes:
            self._shapes[key] = self.kinds[kind].build(VARIANTS[variant])
        return self._shapes[key]

    def shaped(self, kind: str, variant: int, word: str) -> Truth:
        """Whether one kind in one size is tall, flat, long or round."""
        key = (kind, variant, word)
        if key not in self._shaped:
            self._shaped[key] = shaped(self.shape(kind, variant), word)
        return self._shaped[key]

    def __hash__(self) -> int:
        return id(self)


@lru_cache(maxsize=1)
def default() -> Lexicon:
    """The words for the project's catalogue of objects."""
    from sapave_ros.sim.catalogue import CATALOGUE

    return Lexicon(CATALOGUE)
