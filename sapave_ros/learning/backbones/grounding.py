"""How a backbone's patches say which of them show the named thing."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor


class Grounding(nn.Module):
    """Patches (B, h w, width) and scene (B, 1, width) to the tokens and the evidence of a `Backbone`."""

    def __init__(self, width: int):
        super().__init__()
        self.here = nn.Linear(width, 1)
        self.nowhere = nn.Linear(width, 1)
        self.belief = nn.Parameter(0.1 * torch.randn(width))

    def forward(self, patches: Tensor, scene: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        odds = (self.here(patches) - self.nowhere(scene)).float()[..., 0]  # (B, h w)
        # The tokens carry the backbone's belief in plain sight of the decoders.
        belief = torch.cat([odds.clamp(-8, 8), -odds.amax(1, keepdim=True).clamp(-8, 8)], dim=1)  # (B, T)
        tokens = torch.cat([patches, scene], dim=1) + belief[..., None] * self.belief
        return tokens, odds.unflatten(1, grid)
