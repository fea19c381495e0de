"""The loop: batches in, better weights out, with its checkpoints, its log and its way of being stopped."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sapave_ros.learning.training.batches import Prefetch, Source
from sapave_ros.learning.training.evaluation import evaluate
from sapave_ros.learning.training.objectives import Losses
from sapave_ros.learning.training.processes import Processes
from sapave_ros.learning.training.run import Averaged, Run, seed_step

SAVE_EVERY_S = 60.0
WARM_UP_STEPS = 100
SAY_EVERY = 20  # steps between points of the loss curve


@dataclass(frozen=True)
class Schedule:
    """steps: of the whole stage. seed: of what is drawn in a step. bf16: matrix products in 16 bits."""

    steps: int
    seed: int = 0
    bf16: bool = True
    evaluate_every: int = 500


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak: linear warm-up, then a cosine down to 2 %."""
    warm = min(1.0, (step + 1) / min(WARM_UP_STEPS, 1 + steps // 10))
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))


def take_step(run: Run, wrapped: torch.nn.Module, batch: dict[str, Tensor], schedule: Schedule, rank: int) -> Losses:
    """One step of the optimiser on a batch; the losses before it."""
    seed_step(schedule.seed, run.stage, run.step, rank)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * learning_rate(run.step, schedule.steps)
    with torch.autocast(batch["rgb"].device.type, torch.bfloat16, enabled=schedule.bf16):
        losses: Losses = wrapped(batch)
    run.optimiser.zero_grad()
    losses["loss"].backward()
    torch.nn.utils.clip_grad_norm_(list(run.trainable.values()), 1.0)
    run.optimiser.step()
    run.step += 1
    run.average_step()
    return losses


def train_stage(run: Run, train: Source, test: Source, schedule: Schedule, processes: Processes) -> None:
    """Trains until `schedule.steps`, saving every minute, at the end, and on Ctrl-C (then KeyboardInterrupt).

    A run that has so many steps already stays as it is, its checkpoint to the byte.
    Where the disk is full during training it says so and tries again a minute later; at the end OSError.
    """
    if run.step and run.step >= schedule.steps:
        if processes.leads:
            tqdm.write(f"{run.path}: has had {run.step} of {schedule.steps} steps; nothing to do")
        return
    run.objective.train()
    wrapped, count = processes.wrap(run.objective), processes.count
    saved_s = time.monotonic()
    with (
        Log(run, schedule.steps, processes.leads) as log,
        _stop_flag() as stop,
        Prefetch(train, run.step, lambda step: step * count + processes.rank, processes.device) as batches,
    ):
        while run.step < schedule.steps:
            losses = take_step(run, wrapped, batches.take(), schedule, processes.rank)
            log.step(losses)
            if run.step % schedule.evaluate_every == 0 or run.step == schedule.steps:
                if processes.leads:
                    with Averaged(run):
                        log.scores(evaluate(run.objective, test, device=processes.device))
                processes.wait()
            if processes.any(stop.is_set(), run.step):
                if processes.leads:
                    run.save()
                processes.wait()
                raise KeyboardInterrupt
            if processes.leads and time.monotonic() - saved_s > SAVE_EVERY_S and run.step < schedule.steps:
                try:
                    run.save()
                except OSError as error:
                    tqdm.write(f"{error}; trying again in a minute")
                saved_s = time.monotonic()
        if processes.leads:
            run.save()
    processes.wait()


class Log:
    """The progress bar, the loss curve for TensorBoard (folder `<stage>` of the run) and the scores (`<stage>.jsonl`).

    Points from after the checkpoint that a run goes on from are taken out.
    """

    def __init__(self, run: Run, steps: int, on: bool):
        self._run, self._steps, self._on = run, steps, on

    def __enter__(self) -> Log:
        run = self._run
        if self._on:
            from torch.utils.tensorboard import SummaryWriter

            run.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(run.path.with_suffix("")), purge_step=run.step + 1)
            self._file = _cut(run.path.with_suffix(".jsonl"), run.step)
        self._bar = tqdm(
            total=self._steps,
            initial=run.step,
            desc=run.stage,
            unit="step",
            mininterval=2.0,
            dynamic_ncols=True,
            disable=not self._on,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._on:
            self._writer.close()
            self._file.close()

    def step(self, losses: Losses) -> None:
        self._bar.update()
        step = self._run.step
        if self._on and (step % SAY_EVERY == 0 or step == 1):
            values = {name: value.item() for name, value in losses.items()}
            self._bar.set_postfix({k: f"{v:.4f}" for k, v in values.items() if k != "loss"}, refresh=False)
            for name, value in values.items():
                self._writer.add_scalar(f"train/{name}", value, step)
            self._writer.add_scalar("learning_rate", self._run.optimiser.param_groups[0]["lr"], step)

    def scores(self, scores: dict[str, float]) -> None:
        record = {"step": self._run.step, **{k: round(v, 6) for k, v in scores.items()}}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in scores.items():
            self._writer.add_scalar(f"test/{name}", value, self._run.step)
        self._writer.flush()
        tqdm.write(f"{self._run.stage} {record}")


def _cut(path: Path, step: int) -> Any:
    """The file of scores, open to append, without those after a step."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in lines))
    return path.open("a")


@contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM, so that a step is never cut in half; a second Ctrl-C is not waited with."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
