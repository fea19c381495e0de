"""One stage under way: weights, averaged weights, optimiser and step, and how they are saved and found again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sapave_ros.learning.config import plain
from sapave_ros.learning.model import SaPaVe
from sapave_ros.learning.training import checkpoint
from sapave_ros.learning.training.objectives import STAGES, Do, Ground, Look

EMA_DECAY = 0.998


@dataclass
class Run:
    """See the module. extra: what the checkpoint carries besides: `vocabulary`, and `training`, how it was trained.

    average: averaged value of every trainable parameter, by its name in the model, or with `readout.` before it.
    """

    stage: str
    objective: Ground | Look | Do
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    path: Path
    extra: dict[str, Any]
    step: int = 0

    def __post_init__(self) -> None:
        self.trainable = {_short(n): p for n, p in self.objective.named_parameters() if _short(n) in self.average}

    @property
    def model(self) -> SaPaVe:
        return self.objective.model

    def save(self) -> None:
        """OSError where the disk does not take it; see `checkpoint.write`."""
        readout = self.objective.readout.state_dict() if isinstance(self.objective, Ground) else {}
        checkpoint.write(
            self.path,
            {
                "stage": self.stage,
                "step": self.step,
                "config": plain(self.model.config),
                "model": self.model.kept(),
                "readout": readout,
                "average": self.average,
                "optimiser": self.optimiser.state_dict(),
                **self.extra,
                "training": {**self.extra["training"], "steps": self.step},
            },
        )

    def restore(self) -> None:
        """Goes on where the checkpoint stands. ValueError if it is damaged or does not fit."""
        state = checkpoint.read(self.path)
        checkpoint.check(self.path, state, self.model.config, tuple(self.extra["vocabulary"]))
        if not state["optimiser"]:
            raise ValueError(f"{self.path}: holds weights alone; start from them with --ground, in another --run")
        before, now = state["training"], self.extra["training"]
        learned, given = (of.get("backbone", {}).get("hash") for of in (before, now))
        if self.stage == "look" and learned and learned != given:
            raise ValueError(
                f"{self.path}: was trained on the backbone of another ground.pt; "
                "use --stage look --fresh, or another --run with --ground"
            )
        load_kept(self.model, state["model"])
        if isinstance(self.objective, Ground):
            self.objective.readout.load_state_dict(state["readout"])
        load_parameters(self.average, state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self.extra["training"] = before | now

    def average_step(self) -> None:
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                [self.average[n] for n in self.trainable], [p.detach() for p in self.trainable.values()], 1 - decay
            )


class Averaged:
    """A run's model with its averaged weights, inside a `with`."""

    def __init__(self, run: Run):
        self.run = run

    def __enter__(self) -> None:
        self.kept = {n: p.detach().clone() for n, p in self.run.trainable.items()}
        load_parameters(self.run.trainable, self.run.average)

    def __exit__(self, *_: object) -> None:
        load_parameters(self.run.trainable, self.kept)


def start(
    stage: str, model: SaPaVe, path: Path, rate: float, seed: int, device: str, extra: dict[str, Any] | None = None
) -> Run:
    """A run of a stage from the model's present weights, or from where its checkpoint stands.

    rate: peak learning rate. seed: of the parts that are new in this stage. For `look` the model has learned `ground`,
    for `do` both.
    """
    seed_step(seed, stage, -1, 0)
    if stage == "look":
        model.begin_look()
    elif stage == "do":
        model.begin_do()
    objective = STAGES[stage](model).to(device)
    groups = objective.groups()
    names = {n for _, parameters in groups for n in parameters}
    for n, p in objective.named_parameters():
        p.requires_grad_(n in names)
    # Convolutions run several times faster on it.
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        [{"params": list(ps.values()), "lr": rate * share, "peak": rate * share} for share, ps in groups],
        weight_decay=0.01,
        betas=(0.9, 0.98),
        fused=True,
    )
    average = {_short(n): p.detach().clone() for n, p in objective.named_parameters() if n in names}
    run = Run(stage, objective, optimiser, average, path, extra or {"vocabulary": (), "training": {}})
    if path.exists():
        run.restore()
        for group, (share, _) in zip(optimiser.param_groups, groups):
            group["peak"] = rate * share  # as asked for now
    return run


def seed_step(seed: int, stage: str, step: int, rank: int) -> None:
    """Makes all that is drawn in a step depend on the step alone: so a resumed run is the same run."""
    number = [seed, list(STAGES).index(stage), step + 1, rank]
    torch.manual_seed(int(np.random.SeedSequence(number).generate_state(1, np.uint64)[0] >> 1))


def load_parameters(into: dict[str, Any], values: dict[str, Tensor]) -> None:
    """Copies values by name into tensors that are there; names without one are left out."""
    with torch.no_grad():
        for name, tensor in into.items():
            if name in values:
                tensor.copy_(values[name])


def load_kept(model: SaPaVe, values: dict[str, Tensor]) -> None:
    """Loads what `SaPaVe.kept` gave. RuntimeError where a tensor is missing or of another shape."""
    expected, (missing, unknown) = model.kept(), model.load_state_dict(values, strict=False)
    wrong = sorted(expected.keys() & set(missing)) + sorted(unknown)
    if wrong:
        raise RuntimeError(f"checkpoint: {wrong[0]} is missing or not known")


def _short(name: str) -> str:
    return name.removeprefix("model.")
