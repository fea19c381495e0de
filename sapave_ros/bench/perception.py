"""`sapave bench perception`: semantic active perception, closed loop in lockstep, on three splits.

Rooms, requests and start poses as in `perception_cases`; the model is scored beside policies that do not see (`still`,
`sweep`, `random`) and one that knows (`oracle`). `--swap` asks whether the words are used, `--perturb` whether depth,
intrinsics and the camera's pose are. `--page` writes all of it as a page. `--journal` keeps what was played, for a run
that is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sapave_ros.bench import lookers, perception_page, perception_pictures, perception_plots
from sapave_ros.bench.lockstep import LoopTiming
from sapave_ros.bench.perception_cases import CELLS, SPLITS
from sapave_ros.bench.perception_journal import Journal
from sapave_ros.bench.perception_play import BASELINES, PARTS, Result, Row, Settings, Task, play
from sapave_ros.bench.perception_report import (
    changed,
    episode,
    exchanged,
    print_perturb,
    print_scores,
    print_swap,
    print_unknown,
    print_unplayable,
    some,
    summary,
    unknown,
    unplayable,
)
from sapave_ros.cli import json_argument
from sapave_ros.learning.language import MAX_WORDS, vocabulary
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.tokenizer import Tokenizer
from sapave_ros.share import share_path

MODEL = "model"
CASES, QUICK = 540, len(CELLS)
"""Cases of a split: each cell twenty times, or once."""

TOLERATED = 0.01
"""From this share of all tasks on, those whose cases could not be made are too many to trust the figures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench perception`."""
    parser.add_argument("--cases", type=int, help=f"of each split (default: {CASES}); at least {len(CELLS)}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} cases of each split")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    choices = (MODEL, *BASELINES)
    parser.add_argument("--policies", nargs="+", choices=choices, default=list(choices))
    parser.add_argument("--model", type=Path, help="ONNX model (default: the one that ships with the package)")
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="NAME=PATH", help="further models, such as ablations"
    )
    parser.add_argument("--chunking", choices=("plain", "rtc"), default="plain")
    parser.add_argument("--delay", type=float, default=LoopTiming.inference_delay_s, help="exposure to chunk [s]")
    parser.add_argument("--swap", action="store_true", help="also: two requests from one start, and none at all")
    parser.add_argument(
        "--perturb",
        nargs="*",
        metavar="NAME",
        help="also: cameras mounted otherwise, with and without geometry, seen by these models (default: all)",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=[],
        help="also: the first model told of depth, intrinsics and pose (kt) only this, without gaze memory",
    )
    parser.add_argument("--no-memory", action="store_true", help="models without gaze memory: each picture by itself")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="also draw; episodes then go on for the thresholds")
    parser.add_argument(
        "--page", type=Path, metavar="DIR", help="also write all of it as a page, with plots and pictures"
    )
    parser.add_argument(
        "--unknown-words", action="store_true", help="score models that were not trained with these words"
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="keep what is played as it comes; what is there already, of the same models and settings, is not played "
        "again",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    json_argument(parser)
    parser.epilog = (
        f"Exit code 0: measured; 1: {TOLERATED:.0%} of the cases or more could not be made, or a process was killed; "
        "2: wrong usage or set-up; 130: Ctrl-C."
    )


def run(args: argparse.Namespace) -> int:
    """Plays and prints. Exit code 0: it measures, it does not judge; 1 where too many cases could not be made."""
    cases = args.cases if args.cases is not None else QUICK if args.quick else CASES
    if cases < len(CELLS):
        raise ValueError(f"--cases {cases}; expected at least {len(CELLS)}: each kind of request in each visibility")
    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}; expected at least 1")
    splits = list(dict.fromkeys(args.splits))
    models = named_models(args.policies, args.model, args.models)
    tokenizers = {name: fit(name, path, args.unknown_words) for name, path in models.items()}
    baselines = tuple(p for p in BASELINES if p in args.policies)
    timing = LoopTiming(inference_delay_s=args.delay)
    for folder in folders(args):
        folder.mkdir(parents=True, exist_ok=True)  # fails before hours are spent
    parts = tuple(p for p in PARTS if p in args.parts)
    perturbed = tuple(dict.fromkeys(args.perturb or ()))
    if strangers := [name for name in perturbed if name not in models]:
        raise ValueError(f"--perturb {strangers[0]}; expected of the models: {', '.join(models) or 'none is scored'}")
    settings = Settings(
        models, baselines, args.chunking, timing, bool(folders(args)), parts, perturbed, not args.no_memory
    )
    if taken := sorted(set(settings.told) & set(models)):
        raise ValueError(f"--models {taken[0]}: the first model told in part is called so; expected another name")
    todo = tasks(splits, cases, args.swap, args.perturb is not None)
    with Journal(args.journal, settings) if args.journal else nullcontext() as journal:
        try:
            rows = played(settings, todo, args.workers, journal)
            results = [r for r in rows if isinstance(r, Result)]
            report = summary(results, splits, settings, cases)
            report["unplayable"] = unplayable(rows, len(todo))
            report["unknown_words"] = unknown(results, tokenizers, splits)
            tell(args, report, rows, settings, splits)
        except BaseException as error:
            if journal:
                print(kept(journal, todo, command(args)), file=sys.stderr)
            elif isinstance(error, KeyboardInterrupt):
                print("nothing is kept; --journal FILE keeps what was played", file=sys.stderr)
            raise
    return int(len(report["unplayable"]["cases"]) >= TOLERATED * len(todo))


def played(settings: Settings, todo: Sequence[Task], workers: int, journal: Journal | None) -> list[Row]:
    """What came of all tasks, in their order; those that are in the journal from there. Raises as `play`."""
    if journal is None:
        return play(settings, todo, workers)
    there = sum(task in journal.rows for task in todo)
    if there:
        print(f"{there} of {len(todo)} cases are in {journal.path}, as they were played then")
    return play(settings, todo, workers, True, journal.rows, journal.add)


def kept(journal: Journal, todo: Sequence[Task], again: str) -> str:
    """What is not lost of a run that ends early, and the command by which to go on."""
    there = sum(task in journal.rows for task in todo)
    return f"{there} of {len(todo)} cases are kept in {journal.path}; to go on: {again}"


def tell(
    args: argparse.Namespace, report: dict[str, Any], rows: Sequence[Row], settings: Settings, splits: Sequence[str]
) -> None:
    """Prints, draws and writes what was played, and adds to the report what not every run has."""
    results = [r for r in rows if isinstance(r, Result)]
    print_scores(report, splits)
    print_unknown(report["unknown_words"])
    if args.swap:
        report["swap"], report["empty"] = exchanged(rows, splits)
        print_swap(report)
    if args.perturb is not None:
        report["perturb"] = changed(rows)
        print_perturb(report["perturb"])
    shown = shown_policies(settings)
    plots: dict[str, str] = {}
    for folder in folders(args):
        plots, report["sensitivity"] = perception_plots.draw(folder, rows, splits, settings, shown)
        print(f"plots in {folder}")
    report["episodes"] = [episode(r) for r in results]
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    if args.page:
        chosen = perception_pictures.choose(results, splits, shown[0])
        shots = perception_pictures.shoot(settings, chosen)
        print(f"page: {perception_page.write(args.page, report, command(args), shots, plots)}")
    print_unplayable(report["unplayable"])


def folders(args: argparse.Namespace) -> list[Path]:
    """Where plots go."""
    return list(dict.fromkeys(f for f in (args.plots, args.page) if f))


def tasks(splits: Sequence[str], cases: int, swap: bool, perturb: bool) -> list[Task]:
    """What to play: for each split, pairs and silent starts a fifth as many as cases, at least one for each cell; other
    cameras a tenth, in the first split alone."""
    few = max(cases // 5, len(CELLS))
    all_of = [Task("score", s, i) for s in splits for i in range(cases)]
    if swap:
        all_of += [Task(what, s, i) for what in ("swap", "empty") for s in splits for i in range(few)]
    if perturb:
        all_of += [Task("perturb", splits[0], i) for i in range(max(cases // 10, 9))]
    return all_of


def named_models(policies: Sequence[str], model: Path | None, further: Sequence[str]) -> dict[str, Path]:
    """Name to file. Raises ValueError on a name that is taken or an argument that is not NAME=PATH."""
    models = {MODEL: model or share_path(SHIPPED)} if MODEL in policies else {}
    for text in further:
        name, separator, path = text.partition("=")
        if not (separator and path and re.fullmatch(r"[\w.-]+", name)):  # plots are called after it
            raise ValueError(f"--models {text!r}; expected NAME=PATH, such as without_depth=out/ablation.onnx")
        if name in models or name in BASELINES or name == MODEL:
            raise ValueError(f"--models {text!r}; {name} is the name of another policy")
        models[name] = Path(path)
    return models


def fit(name: str, path: Path, unknown_words: bool) -> Tokenizer:
    """Looks whether a model can be scored, and returns how it reads. Raises ManifestError (a ValueError) on a file that
    is none, ValueError where it does not move the head or was not trained with the words of the requests."""
    manifest = lookers.Model(path).manifest
    missing = sorted(set(vocabulary()) - set(manifest.vocabulary))
    if not unknown_words and missing:
        raise ValueError(
            f"{name}: {path} was trained without {len(missing)} of {len(vocabulary())} words of the requests "
            f"({some(missing)}); --unknown-words scores it all the same"
        )
    if not unknown_words and manifest.max_words < MAX_WORDS:
        raise ValueError(
            f"{name}: {path} reads {manifest.max_words} words, requests have up to {MAX_WORDS}; "
            "--unknown-words scores it all the same"
        )
    return Tokenizer(manifest.vocabulary, manifest.max_words)


def command(args: argparse.Namespace) -> str:
    """As it would be typed: what differs from the defaults. Workers change nothing but the time that it takes."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["sapave", "bench", "perception"]
    for name, default in vars(parser.parse_args([])).items():
        value = getattr(args, name)
        if value == default or name == "workers":
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words += map(str, value) if isinstance(value, list) else [str(value)]
    return shlex.join(words)


def shown_policies(settings: Settings) -> tuple[str, ...]:
    """Those that are drawn: the models, first of all the one that ships or was named, or else the first policy."""
    return tuple(settings.models) or settings.policies[:1]
