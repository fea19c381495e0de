"""Words of an instruction to numbers: lower-cased words, a fixed vocabulary, a fixed length."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PAD, UNKNOWN = 0, 1
"""Ids before the vocabulary's own."""

_WORD = re.compile(r"[a-z]+")


def split(text: str) -> list[str]:
    """The words of a text: runs of letters, lower-cased; everything else separates."""
    return _WORD.findall(text.lower())


class Tokenizer:
    """vocabulary: words by id, the first has id 2. max_words: longer instructions are cut."""

    def __init__(self, vocabulary: Sequence[str], max_words: int):
        self.max_words = max_words
        self._ids = {word: i + 2 for i, word in enumerate(vocabulary)}

    def encode(self, text: str) -> NDArray[np.int64]:
        """Ids (max_words,), padded with PAD; words outside the vocabulary are UNKNOWN."""
        ids = np.full(self.max_words, PAD, dtype=np.int64)
        for i, word in enumerate(split(text)[: self.max_words]):
            ids[i] = self.id(word)
        return ids

    def id(self, word: str) -> int:
        """Number of a word; UNKNOWN outside the vocabulary."""
        return self._ids.get(word, UNKNOWN)

    def unknown_words(self, text: str) -> list[str]:
        """Words that the model has never seen, in order; they reach it as UNKNOWN."""
        return [word for word in split(text) if word not in self._ids]
