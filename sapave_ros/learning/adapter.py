"""The camera adapter of our own backbones: low-rank layers beside frozen ones."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor


class Adapted(nn.Module):
    """A frozen linear or 1x1-convolution layer plus a trainable low-rank one beside it (LoRA, Hu et al. 2021).

    `up` starts at zero, so the adapted backbone starts as the backbone itself.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int):
        super().__init__()
        self.layer = layer
        if isinstance(layer, nn.Conv2d):
            self.down: nn.Conv2d | nn.Linear = nn.Conv2d(layer.in_channels, rank, 1, bias=False)
            self.up: nn.Conv2d | nn.Linear = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(layer.in_features, rank, bias=False)
            self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


def add_adapter(module: nn.Module, rank: int) -> None:
    """Freezes a module and puts an adapter beside each of its linear and 1x1 layers, in place."""
    module.requires_grad_(False)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear) or (isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1)):
            setattr(module, name, Adapted(child, rank))
        else:
            add_adapter(child, rank)


def fold_adapter(module: nn.Module) -> None:
    """Adds every low-rank branch into the layer beside it, in place: the same function, fewer operations."""
    for name, child in list(module.named_children()):
        if isinstance(child, Adapted):
            weight, down, up = child.layer.weight, child.down.weight, child.up.weight
            with torch.no_grad():
                weight += (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
            setattr(module, name, child.layer)
        else:
            fold_adapter(child)
