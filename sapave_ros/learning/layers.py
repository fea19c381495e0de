"""Layers that more than one part of the network is made of. Shapes as in `model`."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

PLACE_WIDTH = 10

HEAD_WIDTH = 32
"""Channels of one attention head. Processors like powers of two: heads of 24 cost twice as much as these."""


def places(h: int, w: int) -> Tensor:
    """Where each patch is in the picture, (h w, 10): coordinates in -1..1, and their sines and cosines.

    The coordinates themselves are among them, so that tokens weighted by evidence carry the thing's centroid.
    """
    v, u = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    at = torch.stack([u, v], -1).reshape(h * w, 2)
    return torch.cat([at, *(wave(torch.pi * n * at) for n in (1, 2) for wave in (torch.sin, torch.cos))], dim=1)


class Attention(nn.Module):
    """Multi-head attention whose keys and values can be computed ahead (`memory`) and asked more than once."""

    def __init__(self, d: int):
        super().__init__()
        self.heads = max(1, d // HEAD_WIDTH)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)

    def memory(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, T, d / heads)."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None = None) -> Tensor:
        """x (B, n, d). mask (B, 1, 1, T): added to the scores."""
        query, (key, value) = self._split(self.query(x)), memory
        if x.is_cuda:
            y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:  # in 16 bits, torch's fused one takes three times as long backwards on a CPU (torch 2.13)
            score = (query / math.sqrt(query.shape[-1])) @ key.transpose(2, 3)  # (B, heads, n, T)
            y = (score if mask is None else score + mask).softmax(-1).to(value.dtype) @ value
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer network, each normed before and added (Xiong et al. 2020)."""

    def __init__(self, d: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.attention = Attention(d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.norms[0](x)
        x = x + self.attention(y, self.attention.memory(y), mask)
        return x + self.mlp(self.norms[1](x))


def padding_mask(real: Tensor) -> Tensor:
    """real (B, T) bool -> (B, 1, 1, T) to add to scores: nobody attends to padding."""
    return torch.where(real, 0.0, -1e4)[:, None, None]
