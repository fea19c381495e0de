"""Training in stages: the backbone learns what things look like (`ground`), then, frozen, it is taught where to look
(`look`: camera adapter, spatial encoder, head decoder; stage 1 of the SaPaVe paper). By demonstrations the decoders
then learn what to do (`do`; stage 2).

Several processes share the work under torchrun; every one draws batches of its own:

    torchrun --nproc-per-node 2 -m sapave_ros.learning.train --data out/data/pairs
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sapave_ros import g1
from sapave_ros.learning import demonstrations, language
from sapave_ros.learning.config import CONFIGS, Config, config_from, config_named, config_with
from sapave_ros.learning.dataset import Field
from sapave_ros.learning.demonstrations import mirrored
from sapave_ros.learning.model import SaPaVe
from sapave_ros.learning.pairs.camera import PICTURE_SIZE
from sapave_ros.learning.pairs.command import OUTPUT
from sapave_ros.learning.pairs.read import PairDataset
from sapave_ros.learning.training import checkpoint
from sapave_ros.learning.training.batches import Batches, Source
from sapave_ros.learning.training.loop import Schedule, train_stage
from sapave_ros.learning.training.objectives import STAGES
from sapave_ros.learning.training.processes import Processes, joined
from sapave_ros.learning.training.run import load_kept, load_parameters, start
from sapave_ros.manipulation.demonstrate import OUTPUT as DEMONSTRATIONS
from sapave_ros.manipulation.demonstrate import found
from sapave_ros.names import known
from sapave_ros.policy.tokenizer import Tokenizer

LEARNING_RATE = {"ground": 2e-3, "look": 1.5e-3, "do": 1e-3}
LOOKED = ("ground", "look")
"""Stages that learn from look pairs alone, by which `--stage all` is meant."""

PER_PICTURE = 4
"""Pairs of a batch that share a picture: the backbone looks at it once, which is half of the time of a step."""

MIRRORED = {"ground": 0.5, "look": 0.0, "do": 0.0}
"""Share of the pictures that are seen in a mirror: for where things are they are as good as new ones."""

PAIRS_SHARE = 4
"""In stage `do` there is a look pair for so many frames of demonstrations."""

UNKNOWN = 0.3
"""Share of the instructions that have words which the policy will never know."""

NOTHING = 0.1
"""Share of the triples that are asked nothing: for no words the head stays where it is."""


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What there is to learn from. batches: (stage, number of words read, batch size, seed) to what to train on and
    what to test on. vocabulary: words by number. head_bound_rad: (2,) largest increments of the chunks. about: for the
    manifest.
    """

    vocabulary: tuple[str, ...]
    head_bound_rad: tuple[float, ...]
    about: dict[str, Any]
    batches: Callable[[str, int, int, int], tuple[Source, Source]]


def lessons(folders: list[Path], image_size: tuple[int, int]) -> Lessons:
    """Those in folders made by `sapave data`: from split `train` to train on, from split `val` to test on.

    Errors as `pairs.read.PairDataset`.
    """
    if image_size != PICTURE_SIZE:
        raise ValueError(f"image_size: {image_size}, expected {PICTURE_SIZE}: that of the triples")
    words, carriers = language.vocabulary(), language.carriers()
    train_data, test_data = PairDataset(folders, "train"), PairDataset(folders, "val")

    def batches(stage: str, max_words: int, size: int, seed: int) -> tuple[Source, Source]:
        tokenizer, per_picture = Tokenizer(words, max_words), PER_PICTURE if size % PER_PICTURE == 0 else 1
        return (
            Batches(train_data, tokenizer, size, seed, per_picture, NOTHING, MIRRORED[stage], UNKNOWN, carriers),
            Batches(test_data, tokenizer, size, seed + 1),
        )

    bound = np.abs(train_data[Field.CHUNK]).max(axis=(0, 1)).astype(float).round(5)
    about = {
        "train_hash": train_data.hash,
        "val_hash": test_data.hash,
        "pairs": len(train_data.texts),
        "test_pairs": len(test_data.texts),
    }
    return Lessons(words, tuple(bound.tolist()), about, batches)


def load_trained(run_dir: Path) -> tuple[SaPaVe, dict[str, Any]]:
    """The model of a training run with its averaged weights, and the checkpoint: of the stage `do` where there is one,
    else of `look`. FileNotFoundError if there is none."""
    path = next((p for name in ("do", "look") if (p := run_dir / f"{name}.pt").exists()), None)
    if path is None:
        raise FileNotFoundError(f"{run_dir / 'look.pt'} is not there: train the stage `look` first")
    return load(path)


def load(path: Path) -> tuple[SaPaVe, dict[str, Any]]:
    """The model of a checkpoint of the stage `look` or `do`, with its averaged weights, and the checkpoint."""
    state = checkpoint.read(path)
    model = SaPaVe(config_from(state["config"]))
    model.begin_look()
    if state["stage"] == "do":
        model.begin_do()
    load_kept(
        model, {name: value.float() if value.is_floating_point() else value for name, value in state["model"].items()}
    )
    load_parameters(dict(model.named_parameters()), state["average"])
    return model, state


def grounded(model: SaPaVe, path: Path, words: tuple[str, ...], stage: str) -> dict[str, Any]:
    """Gives a model what the stage `ground` taught; returns how that was trained, with a hash of the weights.
    FileNotFoundError or ValueError where it is not to be had.

    Only where the stage `ground` goes on may there be other words than before, or more relation layers: in `look`
    nobody would learn them.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: train the stage `ground` first")
    state = checkpoint.read(path)
    # How it is to be adapted, and with which geometry, is open until now: ablations share one pretrained backbone.
    later = {f.name: getattr(model.config, f.name) for f in dataclasses.fields(Config) if f.name not in BACKBONE_FIELDS}
    before = tuple(state["vocabulary"])
    if stage == "ground":
        later["vocabulary_size"] = model.config.vocabulary_size
        later["relation_layers"] = max(model.config.relation_layers, state["config"]["relation_layers"])
        state["vocabulary"] = words
    checkpoint.check(path, state | {"config": state["config"] | later}, model.config, words)
    prefix = "backbone."
    taught = {n.removeprefix(prefix): v for n, v in (state["model"] | state["average"]).items() if n.startswith(prefix)}
    model.backbone.load_state_dict(model.backbone.with_words(taught, before, words), strict=False)
    return {**state["training"], "hash": checkpoint.weights_hash(taught)}


BACKBONE_FIELDS = frozenset(
    {
        *("backbone", "checkpoint", "image_size", "vocabulary_size", "max_words", "text_width", "text_layers"),
        *("summaries", "widths", "blocks", "relation_layers"),
    }
)
"""What of a configuration the backbone is built from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave train`."""
    parser.add_argument("--config", default="nano", help=f"one of {', '.join(CONFIGS)}")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes of the configuration: adapter_rank=4"
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[OUTPUT], help="folders made by `sapave data`")
    parser.add_argument(
        "--run-dir", "--run", dest="run_dir", type=Path, default=Path("out/runs/nano"), help="checkpoints and logs"
    )
    parser.add_argument(
        "--ground", type=Path, help="start from the backbone of this ground.pt (default: for `look`, the run's own)"
    )
    parser.add_argument("--look", type=Path, help="start `do` from this look.pt (default: the run's own)")
    parser.add_argument(
        "--demonstrations",
        type=Path,
        nargs="+",
        default=[DEMONSTRATIONS],
        help="of stage `do`: folders made by `sapave demonstrate` or `sapave dataset` (default: %(default)s)",
    )
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all", help="all: ground and look")
    parser.add_argument("--ground-steps", type=int, default=12000)
    parser.add_argument("--look-steps", type=int, default=6000)
    parser.add_argument("--do-steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64, help="of each process")
    parser.add_argument("--lr", type=float, help=f"peak learning rate (default: {LEARNING_RATE})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    parser.add_argument("--fresh", action="store_true", help="start over instead of resuming")


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on training. Returns 0; KeyboardInterrupt after Ctrl-C, with everything saved."""
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.stage == "do":
        with joined(args.device) as processes:
            _do(args, processes)
        return 0
    config = config_named(args.config, changes(args.set))
    given = lessons(args.data, config.image_size)
    config = dataclasses.replace(config, vocabulary_size=len(given.vocabulary) + 2)
    with joined(args.device) as processes:
        if processes.leads:
            pairs = f"{given.about['pairs']} pairs to train on, {given.about['test_pairs']} to test on"
            print(f"{pairs}; {processes.count} x {args.batch} a step on {processes.device}")
        _train(args, config, given, processes)
    return 0


def changes(texts: list[str]) -> dict[str, str]:
    """FIELD=VALUE, each. ValueError on anything else."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (_, equals, _) in zip(texts, pairs) if not equals]:
        raise ValueError(f"--set: {wrong[0]!r}, expected FIELD=VALUE")
    return {key: value for key, _, value in pairs}


def _train(args: argparse.Namespace, config: Config, given: Lessons, processes: Processes) -> None:
    if args.fresh and processes.leads:
        for stage in LOOKED if args.stage == "all" else (args.stage,):
            for name in (f"{stage}.pt", f"{stage}.jsonl"):
                (args.run_dir / name).unlink(missing_ok=True)
    processes.wait()
    torch.manual_seed(args.seed)
    model = SaPaVe(config)
    model.backbone.learn_words(given.vocabulary)
    for stage in LOOKED if args.stage == "all" else (args.stage,):
        run: dict[str, Any] = {"stage": stage, "batch": args.batch * processes.count, "seed": args.seed}
        run |= {"commit": _commit(), **given.about}
        if source := _taught(args, stage):
            run["backbone"] = grounded(model, source, given.vocabulary, stage)
        extra = {"vocabulary": list(given.vocabulary), "head_bound_rad": list(given.head_bound_rad), "training": run}
        rate = args.lr or LEARNING_RATE[stage]
        state = start(stage, model, args.run_dir / f"{stage}.pt", rate, args.seed, processes.device, extra)
        train, test = given.batches(stage, config.max_words, args.batch, args.seed)
        schedule = Schedule(getattr(args, f"{stage}_steps"), args.seed, args.precision == "bf16", args.evaluate_every)
        train_stage(state, train, test, schedule, processes)


def _do(args: argparse.Namespace, processes: Processes) -> None:
    """The stage `do`. The network is that of the stage `look`; `--set` may change what the losses weigh."""
    path = args.look or args.run_dir / "look.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: train the stage `look` first, or name one by --look")
    if args.fresh and processes.leads:
        for name in ("do.pt", "do.jsonl"):
            (args.run_dir / name).unlink(missing_ok=True)
    processes.wait()
    looked = checkpoint.read(path)
    values = changes(args.set)
    for key in values:
        known("--set in stage do", key, DO_FIELDS)
    torch.manual_seed(args.seed)
    model, _ = load(path)
    model.config = config = config_with(model.config, values)
    words, about = tuple(looked["vocabulary"]), looked["training"]
    folders = found(args.demonstrations)
    if processes.leads:  # one unpacks, the others find what it has made
        for folder in folders:
            demonstrations.read(folder, config.chunk_steps, config.dt_s)
    processes.wait()
    frames = [demonstrations.read(folder, config.chunk_steps, config.dt_s) for folder in folders]
    tokenizer = Tokenizer(words, config.max_words)
    train, test = (
        demonstrations.DemonstrationBatches(frames, tokenizer, args.batch, args.seed + of_test, bool(of_test))
        for of_test in (0, 1)
    )
    given = lessons(args.data, config.image_size)
    if given.vocabulary != words:
        raise ValueError(f"{path}: was trained on another vocabulary than that of {args.data}")
    pairs = given.batches("do", config.max_words, max(PER_PICTURE, args.batch // PAIRS_SHARE), args.seed)[0]
    largest = np.max([np.abs(of.chunk).max(axis=(0, 1)) for of in frames], axis=0)
    other_bound = np.maximum(largest[len(g1.HEAD) :], mirrored(largest)[len(g1.HEAD) :]).astype(float).round(5)
    if processes.leads:
        told = f"{train.episodes} episodes, {len(train.rows)} frames to train on, {len(test.rows)} to test on"
        print(f"{told}; {processes.count} x {args.batch} a step on {processes.device}")
    run: dict[str, Any] = {"stage": "do", "batch": args.batch * processes.count, "seed": args.seed, "commit": _commit()}
    run |= {"data": given.about, "episodes": train.episodes, "frames": len(train.rows), "look": about}
    extra = {
        "vocabulary": list(words),
        "head_bound_rad": list(looked["head_bound_rad"]),
        "other_bound_rad": other_bound.tolist(),
        "training": run,
    }
    rate = args.lr or LEARNING_RATE["do"]
    state = start("do", model, args.run_dir / "do.pt", rate, args.seed, processes.device, extra)
    schedule = Schedule(args.do_steps, args.seed, args.precision == "bf16", args.evaluate_every)
    source = demonstrations.Mixed(train, pairs)
    train_stage(state, source, test, schedule, processes)


DO_FIELDS = ("head_weight", "other_weight", "points_weight", "position_weight")
"""What of a configuration the stage `do` may change."""


def _taught(args: argparse.Namespace, stage: str) -> Path | None:
    """Where a stage finds what has been learned before it."""
    own: Path = args.run_dir / "ground.pt"
    if args.stage == "all" and stage == "look":
        return own
    asked: Path | None = args.ground
    return asked or (own if stage == "look" else None)


def _commit() -> str:
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
