"""What the rest of the network asks of a backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn as nn
from torch import Tensor

from sapave_ros.learning.adapter import add_adapter, fold_adapter


class Backbone(nn.Module):
    """Interface: picture and instruction to what is where.

    forward(rgb (P, H, W, 3) uint8, words (B, L) int64, picture) returns tokens (B, T + n, width), the patches row by
    row, one for the whole scene and n >= 0 of the instruction, and evidence (B, h, w): the log-odds of each patch
    showing the named thing against the thing not being in view. picture (B,) int64: which picture each instruction is
    about; None where P = B and each has its own. Instructions that share a picture cost it once, in backbones that look
    before they read.
    """

    width: int
    sight_width: int
    text_width: int

    def perceive(self, rgb: Tensor, words: Tensor, picture: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` returns, and sight (B, h w, sight_width): the patches before anybody is asked for anything.

        Pretraining reads off the sight what each thing is. By default it is the patches' tokens.
        """
        tokens, evidence = self(rgb, words, picture)
        return tokens, evidence, tokens[:, : evidence[0].numel()]

    def describe(self, words: Tensor) -> Tensor:
        """A description (B, L) as one vector (B, text_width)."""
        raise NotImplementedError

    def learn_words(self, vocabulary: Sequence[str]) -> None:
        """Tells what the words' numbers mean, before training. Who learns words from examples need not know."""

    def with_words(self, state: dict[str, Tensor], before: Sequence[str], now: Sequence[str]) -> dict[str, Tensor]:
        """The state of a backbone that was trained with other words. ValueError where it cannot learn new ones."""
        if tuple(before) != tuple(now):
            raise ValueError("vocabulary: this backbone has been trained with other words, and cannot learn new ones")
        return state

    def is_given(self, name: str) -> bool:
        """Whether a parameter or buffer of this name comes from elsewhere unchanged, so that no checkpoint keeps it."""
        return False

    def adapt(self, rank: int) -> None:
        """Fixes all weights and puts the camera adapter beside them; until that is trained the function is the same."""
        add_adapter(self, rank)

    def fold(self) -> None:
        """Adds the adapter into the weights, for export."""
        fold_adapter(self)
