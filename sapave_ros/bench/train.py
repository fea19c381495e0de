"""`sapave bench train`: samples per second of each training stage, and what of it the data cost.

The same steps are taken in turn on one batch that lies in memory and on batches as training gets them, made by a thread
meanwhile. Their ratio is the share of the speed that is left; 1 means that the data come for nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sapave_ros.cli import json_argument
from sapave_ros.learning.config import CONFIGS, config_named
from sapave_ros.learning.model import SaPaVe
from sapave_ros.learning.pairs.command import OUTPUT
from sapave_ros.learning.train import LEARNING_RATE, LOOKED, Lessons, changes, lessons
from sapave_ros.learning.training.batches import Prefetch
from sapave_ros.learning.training.loop import Schedule, take_step
from sapave_ros.learning.training.run import Run, start

GOAL_RATIO = 0.9
WARM_UP = 3


def measure(stage: str, model: SaPaVe, given: Lessons, batch: int, steps: int, bf16: bool) -> dict[str, float]:
    """samples_s on data as they come, in_memory_s on data in memory [samples/s], ratio; medians over `steps` each."""
    run: Run = start(stage, model, Path("bench") / f"{stage}.none", LEARNING_RATE[stage], 0, "cpu")
    run.objective.train()
    source, _ = given.batches(stage, model.config.max_words, batch, 0)
    schedule = Schedule(steps=1_000_000, bf16=bf16)
    kept = source(0)
    seconds: dict[str, list[float]] = {"memory": [], "made": []}
    with Prefetch(source, 0) as ahead:
        for i in range(WARM_UP + steps):
            for way in seconds:
                begun = time.perf_counter()
                take_step(run, run.objective, ahead.take() if way == "made" else kept, schedule, 0)
                if i >= WARM_UP:
                    seconds[way].append(time.perf_counter() - begun)
    # The thread works on through both kinds of step: the whole is what it costs, less the work that memory saves.
    memory, made = (float(np.mean(seconds[way])) for way in ("memory", "made"))
    return {"samples_s": batch / made, "in_memory_s": batch / memory, "ratio": memory / made}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench train`."""
    parser.add_argument("--config", default="nano", help=f"one of {', '.join(CONFIGS)}")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes of the configuration")
    parser.add_argument("--data", type=Path, nargs="+", default=[OUTPUT], help="folders of triples")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30, help="of each kind and stage")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Exit code 0: it measures, it does not judge."""
    if args.threads:
        torch.set_num_threads(args.threads)
    config = config_named(args.config, changes(args.set))
    given = lessons(args.data, config.image_size)
    config = replace(config, vocabulary_size=len(given.vocabulary) + 2)
    print(f"training {args.config} in batches of {args.batch} on {torch.get_num_threads()} threads")
    figures: dict[str, Any] = {"config": args.config, "batch": args.batch, "threads": torch.get_num_threads()}
    for stage in LOOKED:
        torch.manual_seed(0)
        r = measure(stage, SaPaVe(config), given, args.batch, args.steps, args.precision == "bf16")
        figures[stage] = r
        print(
            f"  {stage:7} {r['samples_s']:6.0f} samples/s, {r['in_memory_s']:6.0f} with the data in memory: "
            f"ratio {r['ratio']:.2f}, goal {GOAL_RATIO}"
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0
