"""The small backbone: a convolutional eye, a transformer that reads, and a few layers in which they meet.

    rgb ──► convolutions to stride 16 ──► sight ──► FiLM blocks ──► relation layers ──► tokens, evidence
    words ──► text encoder ──► summaries ───────────┘                 │
                          └──► words ─────────────────────────────────┘

The eye knows nothing of the instruction, so what it learns about colours and kinds serves every one. FiLM picks what
is named; the relation layers, in which all patches and words attend to each other, settle what only others tell:
"the mug left of the box".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from sapave_ros.learning.adapter import add_adapter
from sapave_ros.learning.backbones.grounding import Grounding
from sapave_ros.learning.backbones.interface import Backbone
from sapave_ros.learning.config import Config
from sapave_ros.learning.layers import PLACE_WIDTH, Attention, EncoderLayer, padding_mask, places


class TextEncoder(nn.Module):
    """Words (B, L) to summaries (B, S, text_width) and the words in context (B, L, text_width).

    Order matters ("left of the red box" is not "the red left box"), so positions are learned and nothing is averaged:
    the summaries are tokens of their own that read along.
    """

    def __init__(self, c: Config):
        super().__init__()
        self.word = nn.Embedding(c.vocabulary_size, c.text_width)
        self.position = nn.Parameter(0.1 * torch.randn(c.max_words, c.text_width))
        self.summary = nn.Parameter(0.1 * torch.randn(c.summaries, c.text_width))
        self.layers = nn.ModuleList(EncoderLayer(c.text_width) for _ in range(c.text_layers))
        self.norm = nn.LayerNorm(c.text_width)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.summary.expand(len(words), -1, -1), self.word(words) + self.position], 1)  # (B, S + L, d)
        mask = padding_mask(F.pad(words != 0, (len(self.summary), 0), value=True))  # 0 = padding
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x)
        return x[:, : len(self.summary)], x[:, len(self.summary) :]


class Block(nn.Module):
    """Residual block whose channels the instruction may scale and shift (FiLM, Perez et al. 2018).

    text_width: of the instruction's vector; 0 = a plain block.
    """

    def __init__(self, channels: int, text_width: int = 0):
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.LayerNorm(channels)
        self.film = nn.Linear(text_width, 2 * channels) if text_width else None
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        # Over the channels of each place: on a CPU a third of the cost of a norm over groups of a picture.
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.film is not None:
            scale, shift = self.film(text)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
            y = y * (1 + scale) + shift
        return x + self.mix(F.relu(y))


class RelationLayer(nn.Module):
    """Patches and words attend to the words and to the patches by fours, each at the place of its own.

    Fours are enough to tell where other things are, and a quarter of the cost. At first a layer adds nothing, so that a
    backbone which has learned can be given more of them.
    """

    def __init__(self, d: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.attention = Attention(d)
        last = nn.Linear(2 * d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), last)
        for layer in (self.attention.out, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, grid: tuple[int, int], mask: Tensor) -> Tensor:
        """x (B, h w + words, d), mask (B, 1, 1, fours + words)."""
        count = grid[0] * grid[1]
        y = self.norms[0](x)
        fours = F.avg_pool2d(y[:, :count].transpose(1, 2).unflatten(2, grid), 2, ceil_mode=True)
        memory = self.attention.memory(torch.cat([fours.flatten(2).transpose(1, 2), y[:, count:]], 1))
        x = x + self.attention(y, memory, mask)
        return x + self.mlp(self.norms[1](x))


class FilmCnn(Backbone):
    """See the module."""

    at: Tensor

    def __init__(self, c: Config):
        super().__init__()
        stem, low, mid, wide = c.widths
        self.width = self.sight_width = wide
        self.text_width = c.summaries * c.text_width
        self.grid = c.grid
        self.text = TextEncoder(c)
        self.stem = nn.Conv2d(3, stem, 5, stride=2, padding=2)
        self.down_low = nn.Conv2d(stem, low, 3, stride=2, padding=1)
        self.down_mid = nn.Conv2d(low, mid, 3, stride=2, padding=1)
        self.down_wide = nn.Conv2d(mid, wide, 3, stride=2, padding=1)
        self.blocks_mid = nn.Sequential(*(Block(mid) for _ in range(c.blocks[0])))
        self.blocks_wide = nn.Sequential(*(Block(wide) for _ in range(c.blocks[1])))
        self.blocks_told = nn.ModuleList(Block(wide, self.text_width) for _ in range(c.blocks[2]))
        self.register_buffer("at", places(*c.grid), persistent=False)  # (h w, PLACE_WIDTH)
        self.place = nn.Linear(PLACE_WIDTH, wide)
        self.read = nn.Linear(c.text_width, wide)
        self.relations = nn.ModuleList(RelationLayer(wide) for _ in range(c.relation_layers))
        self.norm = nn.LayerNorm(wide)
        self.grounding = Grounding(wide)

    def forward(self, rgb: Tensor, words: Tensor, picture: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self._look(rgb)
        return self._ask(x if picture is None else x[picture], words)

    def perceive(self, rgb: Tensor, words: Tensor, picture: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        x = self._look(rgb)
        x = x if picture is None else x[picture]
        return *self._ask(x, words), x.flatten(2).transpose(1, 2)

    def describe(self, words: Tensor) -> Tensor:
        return self.text(words)[0].flatten(1)

    def with_words(self, state: dict[str, Tensor], before: Sequence[str], now: Sequence[str]) -> dict[str, Tensor]:
        """Words that were known keep what has been learned of them, new ones begin as they do in a new backbone."""
        name, number = "text.word.weight", {word: i + 2 for i, word in enumerate(before)}
        rows = self.text.word.weight.detach().clone()
        rows[:2] = state[name][:2]  # padding and unknown
        for i, word in enumerate(now):
            if word in number:
                rows[i + 2] = state[name][number[word]]
        return state | {name: rows}

    def adapt(self, rank: int) -> None:
        """The eye stays as it is: what it tells about things is the same wherever the head should go.

        So stage `look` need not go back through it, which is half of the time.
        """
        self.requires_grad_(False)
        for part in (self.text, self.blocks_told, self.place, self.read, self.relations, self.grounding):
            add_adapter(part, rank)

    def _look(self, rgb: Tensor) -> Tensor:
        """(B, H, W, 3) -> (B, wide, h, w)."""
        x = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, W)
        x = F.relu(self.stem(x))  # (B, stem, H/2, W/2)
        x = F.relu(self.down_low(x))  # (B, low, H/4, W/4)
        x = self.blocks_mid(F.relu(self.down_mid(x)))  # (B, mid, H/8, W/8)
        return self.blocks_wide(F.relu(self.down_wide(x)))

    def _ask(self, x: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        summaries, said = self.text(words)  # (B, S, text_width), (B, L, text_width)
        for block in self.blocks_told:
            x = block(x, summaries.flatten(1))
        patches = x.flatten(2).transpose(1, 2) + self.place(self.at)  # (B, h w, wide)
        count = patches.shape[1]
        x = torch.cat([patches, self.read(torch.cat([summaries, said], 1))], 1)  # (B, h w + S + L, wide)
        fours = -(-self.grid[0] // 2) * -(-self.grid[1] // 2)
        mask = padding_mask(F.pad(words != 0, (fours + summaries.shape[1], 0), value=True))
        for layer in self.relations:
            x = layer(x, self.grid, mask)
        x = self.norm(x)
        patches, told = x[:, :count], x[:, count : count + summaries.shape[1]]
        scene = patches.mean(1, keepdim=True) + patches.amax(1, keepdim=True) + told[:, :1]  # (B, 1, wide)
        tokens, evidence = self.grounding(patches, scene, self.grid)
        return torch.cat([tokens, told], 1), evidence
