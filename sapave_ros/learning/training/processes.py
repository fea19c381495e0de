"""Several processes that train together, as `torchrun` starts them; one process is the same with nobody to talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as distributed
import torch.nn as nn

ASK_EVERY = 4  # steps between two agreements on stopping


@dataclass(frozen=True)
class Processes:
    """rank: number of this process of `count`. device: where it computes."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this one writes files and talks to the user."""
        return self.rank == 0

    def wrap(self, objective: nn.Module) -> nn.Module:
        """The module whose gradients are the mean over all processes."""
        if self.count == 1:
            return objective
        # A batch may lack what some loss needs, and then that part has no gradients.
        return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True)

    def any(self, flag: bool, step: int) -> bool:
        """Whether any process says so, known to all at the same step; they ask each other every few steps."""
        if self.count == 1:
            return flag
        if step % ASK_EVERY:
            return False
        told = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(told)
        return bool(told.item() > 0)

    def wait(self) -> None:
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes of this run. device: auto, cpu or cuda. Raises ValueError where there is no such device."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device: no CUDA device is there, expected cpu or auto")
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
    if count == 1:
        yield Processes(device=device)
        return
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield Processes(rank, count, device)
    finally:
        distributed.destroy_process_group()
