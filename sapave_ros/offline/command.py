"""`sapave eval BAG...`: how a policy does on recordings, deterministically, as it would on the robot.

The same observation builder, policy session and chunk executor as live; on one execution provider the answers are bit
for bit those that the robot had. With `--baseline` it is a gate: worse than before by more than the tolerance, exit
code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sapave_ros.bag.reader import BagError
from sapave_ros.cli import json_argument
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.crew import crew
from sapave_ros.offline import again, gate, look, score, targets
from sapave_ros.offline.recording import Recording
from sapave_ros.policy.manifest import SHIPPED, ManifestError
from sapave_ros.share import share_path

MODEL = "model"


@dataclass(frozen=True)
class Task:
    """One bag to ask all models about. number: its place among all. chunking: other than the robot had. targets: of the
    head (`offline/targets.py`), where they are not in the bag.
    """

    number: int
    bag: Path
    models: Mapping[str, Path]
    chunking: str | None = None
    targets: Path | None = None


def evaluate(task: Task, bar: bool = False) -> dict[str, Any]:
    """Figures of the run and of each model on it. Raises BagError, ManifestError (both ValueError)."""
    begin_s, model_s = time.perf_counter(), 0.0
    recording = Recording.read(task.bag)
    kinematics = Kinematics.from_urdf()
    report: dict[str, Any] = {"bag": str(task.bag), "run": score.run_figures(recording), "models": {}}
    if looked := looks(recording, task.targets, kinematics):
        report["run"]["look"] = looked
    count = len(again.wanted(recording)) * len(task.models)
    with tqdm(total=count, unit="exposure", desc=task.bag.name, disable=not bar, dynamic_ncols=True) as progress:
        for name, path in task.models.items():
            answers = again.ask(recording, path, kinematics, task.chunking, progress.update)
            report["models"][name] = score.figures(recording, answers)
            model_s += answers.model_s
    report["speed"] = speed(recording.length_s, len(task.models), time.perf_counter() - begin_s, model_s)
    return report


def evaluate_or_say(task: Task) -> dict[str, Any] | str:
    """`evaluate`, or why that bag cannot be used: no reason to lose the others. ManifestError as there."""
    try:
        return evaluate(task)
    except ManifestError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        return f"{error}"


def looks(recording: Recording, given: Path | None, kinematics: Kinematics) -> dict[str, Any] | None:
    """How well the head looked at its targets, None where nobody has written down any.

    given: a file of them; `targets.yaml` in the bag's folder otherwise. Raises ValueError naming what is wrong with it.
    """
    inside = recording.bag.path / targets.NAME
    path = given or (inside if inside.is_file() else None)
    if path is None:
        return None
    head, begin_s, length_s = recording.measured("head")
    if head is None:
        raise BagError(f"topics: {recording.bag.path} has no joints of the head; expected them, to compare with {path}")
    return look.figures(targets.read(path, length_s), begin_s, head, kinematics.camera_in_torso)


def speed(length_s: float, models: int, took_s: float, model_s: float) -> dict[str, float]:
    """How fast a recording was gone through for each of so many models, as a multiple of real time, and what of that
    time was the models'. took_s: all of it, reading and scoring too [s]."""
    return {"times_real_time": models * length_s / took_s, "model_share": model_s / took_s, "took_s": took_s}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave eval`."""
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="folder of a bag, or an MCAP file")
    parser.add_argument("--model", type=Path, help="ONNX model (default: the one that ships with the package)")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=PATH", help="further models, side by side")
    parser.add_argument(
        "--targets", type=Path, metavar="F", help=f"where it should have looked (default: {targets.NAME} in the bag)"
    )
    parser.add_argument("--chunking", choices=("plain", "rtc"), help="default: as the robot had it, or else plain")
    parser.add_argument("--baseline", type=Path, metavar="F", help="a --json of before; code 1 where that was better")
    parser.add_argument(
        "--tolerance", type=float, default=gate.TOLERANCE, help="share by which a figure may be worse (%(default)s)"
    )
    parser.add_argument("--page", type=Path, metavar="DIR", help="also write all of it as a page with plots")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, for several bags")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help='use this Ray cluster instead, which has the bags and models in the same places; "local" starts one here',
    )
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 where `--baseline` was better, or a bag of several could not be used: the others are. ValueError,
    OSError where something else is not as it should be.
    """
    if args.tolerance < 0 or args.workers < 1:
        raise ValueError(f"--tolerance {args.tolerance}, --workers {args.workers}; expected at least 0 and 1")
    if args.targets and len(args.bags) > 1:
        raise ValueError(
            f"--targets {args.targets} with {len(args.bags)} bags; expected one, or {targets.NAME} in each"
        )
    models = named(args.model, args.models)
    before = gate.read(args.baseline) if args.baseline else None
    if args.page:
        args.page.mkdir(parents=True, exist_ok=True)
    tasks = [Task(i, bag, models, args.chunking, args.targets) for i, bag in enumerate(args.bags)]
    reports: dict[int, dict[str, Any]] = {}
    unusable: dict[str, str] = {}
    one = len(tasks) == 1 and not args.ray
    with tqdm(total=len(tasks), unit="bag", disable=one, dynamic_ncols=True) as progress:
        work = partial(evaluate, bar=True) if one else evaluate_or_say
        for task, report in crew(min(args.workers, len(tasks)), args.ray)(work, tasks):
            progress.update()
            if isinstance(report, str):
                unusable[str(task.bag)] = report
                progress.write(f"{task.bag}: cannot be used: {report}")
                continue
            reports[task.number] = report
            say(report, print if one else progress.write)
    result: dict[str, Any] = {"models": {n: str(p) for n, p in models.items()}, "unusable": unusable}
    result["bags"] = [reports[number] for number in sorted(reports)]
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    if args.page:
        from sapave_ros.offline import page

        print(f"page: {page.write(args.page, result)}")
    if unusable:
        print(f"{len(unusable)} of {len(tasks)} bags cannot be used")
    if before is None:
        return 1 if unusable else 0
    worse = gate.compare(before, result, args.tolerance)
    for line in worse:
        print(f"worse: {line}")
    print(f"{args.baseline}: " + (f"{len(worse)} figures are worse" if worse else "nothing is worse"))
    return 1 if worse or unusable else 0


def named(model: Path | None, further: list[str]) -> dict[str, Path]:
    """Name to file. Raises ValueError on a name that is taken or an argument that is not NAME=PATH."""
    models = {MODEL: model or share_path(SHIPPED)}
    for text in further:
        name, separator, path = text.partition("=")
        if not separator or not name or not path:
            raise ValueError(f"--models {text!r}; expected NAME=PATH, such as before=out/before.onnx")
        if name in models:
            raise ValueError(f"--models {text!r}; {name} is the name of another model")
        models[name] = Path(path)
    return models


def say(report: Mapping[str, Any], write: Callable[[str], object] = print) -> None:
    """One bag, in lines."""
    run_of = report["run"]
    write(f"{report['bag']}: {sum(run_of['messages'].values())} messages")
    for line in run_of["damage"]:
        write(f"  damaged: {line}")
    if latency := run_of["latency_s"]:
        write(f"  exposure to chunk {1e3 * latency['median']:.0f} ms, p95 {1e3 * latency['p95']:.0f} ms")
    if age := run_of["age_s"]:
        write(f"  exposure to the next chunk {1e3 * age['median']:.0f} ms, p95 {1e3 * age['p95']:.0f} ms")
    for line in look_lines(run_of.get("look")):
        write(f"  {line}")
    fast = report["speed"]
    write(f"  {fast['times_real_time']:.1f} times real time, {fast['model_share']:.0%} of it the model")
    for name, figures in report["models"].items():
        write(f"  {name}: {figures['observed']} exposures")
        if run_of["model_sha256"] not in ("", figures["sha256"]):
            had = f"{run_of['model_sha256']:.12}…"
            write(f"    another model than the robot had ({had}): its chunks need not be the robot's")
        for why, count in figures["missing"].items():
            write(f"    {count} not there: {why}")
        for topic, count in figures["malformed"].items():
            write(f"    {count} malformed on {topic}, passed over")
        if figures["unknown_words"]:
            write(f"    words that it has never seen: {', '.join(figures['unknown_words'])}")
        for head, same in figures["identical"].items():
            largest = f", largest difference {same['largest_rad']:.2g} rad" if same["chunks"] < same["of"] else ""
            write(f"    {head}: {same['chunks']} of {same['of']} chunks are the robot's, bit for bit{largest}")
        for group, of in figures["groups"].items():
            error = "nothing to compare with" if of["error_rad"] is None else f"{1e3 * of['error_rad']:.2f} mrad a step"
            jump = "" if of["jump_rad"] is None else f", jump at a boundary p95 {1e3 * of['jump_rad']['p95']:.1f} mrad"
            refused = f", refused: {of['refused']}" if of["refused"] else ""
            write(f"    {group}: error {error} in {of['compared_steps']} steps{jump}{refused}")


def look_lines(looked: Mapping[str, Any] | None) -> list[str]:
    """Of all targets, and of each."""
    if not looked:
        return []
    within = f"within {looked['on_target_deg']:g}°"
    lines = [f"looked at {looked['reached']} of {looked['of']} targets ({within}){_share(looked['share_on_target'])}"]
    for of in looked["targets"]:
        span = f"  {of['from_s']:.1f} to {of['to_s']:.1f} s: "
        angle = of["angle_deg"]
        if angle["first"] is None:
            lines.append(f"{span}nobody knows where the head was")
            continue
        time_s = of["time_to_target_s"]
        reached = "never on target" if time_s is None else f"on target after {time_s:.2f} s"
        degrees = f"from {angle['first']:.0f}° to {angle['last']:.0f}°, least {angle['least']:.0f}°"
        lines.append(f"{span}{reached}{_share(of['share_on_target'])}, {degrees}")
    return lines


def _share(share: float | None) -> str:
    return "" if share is None else f", on target {share:.0%} of the time"
