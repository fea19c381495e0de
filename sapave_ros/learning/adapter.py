"""The camera adapter of our own backbones: low-rank layers beside frozen ones."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class Adapted(nn.Module):
    """A frozen linear or 1x1-convolution layer plus a trainable low-rank one beside it (LoRA, Hu et al. 2021).

    `up` starts at zero, so the adapted backbone starts as the backbone itself. The product of the two is added to the
    weight, not to the output: the same function, and at these widths two thirds of the time.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int):
        super().__init__()
        self.layer = layer
        outputs, inputs = layer.weight.shape[:2]
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def weight(self) -> Tensor:
        """Of the layer with its adapter, in the layer's shape."""
        return self.layer.weight + (self.up.weight @ self.down.weight).reshape(self.layer.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.Conv2d):
            return F.conv2d(x, self.weight(), self.layer.bias)
        return F.linear(x, self.weight(), self.layer.bias)


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
            with torch.no_grad():
                child.layer.weight.copy_(child.weight())
            setattr(module, name, child.layer)
        else:
            fold_adapter(child)
