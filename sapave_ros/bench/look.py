"""`sapave bench look`: closed-loop success of looking, in lockstep, on scenes that no training has seen.

At least half of the episodes begin with the target out of view. The model is scored beside policies that do
not see (`still`, `random`, `sweep`) and one that knows (`oracle`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sapave_ros.bench import lookers
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.lockstep import HeadLoop, Looker, LoopTiming
from sapave_ros.cli import json_argument
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.orphans import die_with_pool
from sapave_ros.policy.session import SessionParameters
from sapave_ros.share import share_path
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.targets import NamedItem
from sapave_ros.sim.world import World

FIRST_SEED = 1_000_000
"""Training uses scenes below this number, benchmarks those from it on."""

NOT_YET_RAD = float(np.deg2rad(15.0))
"""Targets closer to the optical axis than this at the start are passed over: there is nothing to do."""

POLICIES = ("model", "sweep", "random", "still", "oracle")
PHRASES = ("look at the {}", "find the {}", "where is the {}?")


@dataclass(frozen=True)
class Case:
    """One episode to play. start: "in view", "partly occluded" or "out of view"."""

    seed: int
    target: str
    instruction: str
    start: str


@dataclass(frozen=True)
class Result:
    """One episode played; see `lockstep.Episode`."""

    policy: str
    case: Case
    success: bool
    first_s: float | None
    reached_s: float | None
    angle_deg: float
    refused: int


def choose(world: World, seed: int) -> Case | None:
    """The case of a scene: two in three start out of view, where the scene has such a target. None: no fit target."""
    scene = random_scene(seed)
    world.load(scene)
    random = np.random.default_rng([seed, 0xCA5E])
    want_out = seed % 3 != 0
    found: dict[bool, tuple[str, str]] = {}
    for i in random.permutation(len(scene.names)):
        name = scene.names[i]
        if world.visible_when_centred(name) < 0.6:
            continue
        view = world.look_target(name)
        if view.angle_rad < NOT_YET_RAD:
            continue
        fraction = view.visible_fraction or 0.0
        out = not view.in_view and fraction == 0.0
        if not out and not view.in_view:
            continue  # cut by the edge of the picture: neither in view nor out of it
        start = "out of view" if out else ("in view" if fraction > 0.9 else "partly occluded")
        found.setdefault(out, (name, start))
    if not found:
        return None
    name, start = found.get(want_out) or next(iter(found.values()))
    return Case(seed, name, PHRASES[seed % len(PHRASES)].format(name), start)


def make(policy: str, model: Path, chunking: str) -> Looker:
    """The policy of that name."""
    if policy == "model":
        return lookers.Model(model, SessionParameters(chunking=chunking))
    return {"sweep": lookers.Sweep, "random": lookers.Random, "still": lookers.Still, "oracle": lookers.Oracle}[
        policy
    ]()


class _Worker:
    """One process' world and policies, made once."""

    def __init__(self, policies: tuple[str, ...], model: Path, chunking: str, timing: LoopTiming) -> None:
        self._world = World()
        self._loop = HeadLoop(self._world, Kinematics.from_urdf(), timing)
        self._lookers = {p: make(p, model, chunking) for p in policies}

    def play(self, seed: int) -> list[Result]:
        case = choose(self._world, seed)
        if case is None:
            return []
        results = []
        for policy, looker in self._lookers.items():
            self._world.load(random_scene(seed))
            e = self._loop.run(looker, case.instruction, NamedItem(case.target), LookCriterion())
            angle_deg = float(np.rad2deg(e.angle_rad))
            results.append(Result(policy, case, e.success, e.first_s, e.reached_s, angle_deg, e.refused))
        return results


_worker: _Worker


def _begin(*args: Any) -> None:
    global _worker
    die_with_pool()
    _worker = _Worker(*args)


def _play(seed: int) -> list[Result]:
    return _worker.play(seed)


def play(
    policies: tuple[str, ...],
    model: Path,
    chunking: str,
    timing: LoopTiming,
    seeds: Iterator[int],
    scenes: int,
    workers: int,
) -> list[Result]:
    """Plays cases of the given seeds until `scenes` have been played by every policy."""
    results: list[Result] = []
    # spawn: a graphics context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(workers, _begin, (policies, model, chunking, timing)) as pool,
        tqdm(total=scenes, unit="scene") as bar,
    ):
        for batch in pool.imap(_play, seeds):
            if batch:
                results += batch
                bar.update()
            if len(results) >= scenes * len(policies):
                pool.terminate()
                return results
    raise RuntimeError("scenes ran out")


def figures(results: list[Result], limit_s: float) -> dict[str, Any]:
    """Success and times of one policy's results; a failure counts as the whole time limit."""
    n = len(results)
    if n == 0:
        return {"episodes": 0}
    p = sum(r.success for r in results) / n
    times = [r.reached_s for r in results if r.success and r.reached_s is not None]
    return {
        "episodes": n,
        "success": p,
        "success_95": wilson(p, n),
        "median_time_s": float(np.median(times)) if times else None,
        "mean_time_s": float(
            np.mean([r.reached_s if r.success and r.reached_s is not None else limit_s for r in results])
        ),
        "refused_chunks": sum(r.refused for r in results),
    }


def wilson(p: float, n: int) -> tuple[float, float]:
    """95 % interval of a share p of n (Wilson 1927)."""
    z = 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(centre - half), float(centre + half)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench look`."""
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--model", type=Path, help="ONNX model (default: the one that ships with the package)")
    parser.add_argument("--chunking", choices=("plain", "rtc"), default="plain")
    parser.add_argument("--delay", type=float, default=LoopTiming.inference_delay_s, help="exposure to chunk [s]")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Plays and prints. Exit code 0: it measures, it does not judge."""
    if args.scenes < 1 or args.workers < 1:
        raise ValueError(f"--scenes {args.scenes}, --workers {args.workers}; expected at least 1 of each")
    model = args.model or (share_path("models/sapave_nano.onnx") if "model" in args.policies else Path())
    timing = LoopTiming(inference_delay_s=args.delay)
    seeds = iter(range(FIRST_SEED, FIRST_SEED + 10 * args.scenes))
    results = play(tuple(args.policies), model, args.chunking, timing, seeds, args.scenes, args.workers)
    limit_s = LookCriterion().time_limit_s
    starts = sorted({r.case.start for r in results})
    report: dict[str, Any] = {"scenes": args.scenes, "model": str(model), "chunking": args.chunking, "policies": {}}
    print(
        f"{'policy':8} {'success':>8} {'95 %':>15} {'median':>8} {'mean*':>7}   "
        + "  ".join(f"{s:>16}" for s in starts)
    )
    for policy in args.policies:
        own = [r for r in results if r.policy == policy]
        f = figures(own, limit_s)
        by_start = {s: figures([r for r in own if r.case.start == s], limit_s) for s in starts}
        report["policies"][policy] = {**f, "by_start": by_start}
        low, high = f["success_95"]
        median = "–" if f["median_time_s"] is None else f"{f['median_time_s']:.2f} s"
        cells = "  ".join(f"{by_start[s]['success']:>6.0%} of {by_start[s]['episodes']:>4}" for s in starts)
        print(
            f"{policy:8} {f['success']:8.1%} {low:>6.1%} ..{high:>6.1%} {median:>8} {f['mean_time_s']:5.2f} s   {cells}"
        )
    print(f"* time until centred for good, a failure counted as {limit_s:g} s")
    failures = [r for r in results if r.policy == "model" and not r.success]
    for r in failures:
        first = "never centred" if r.first_s is None else f"first centred at {r.first_s:.1f} s"
        case = f"scene {r.case.seed}, {r.case.instruction!r}, {r.case.start}"
        print(f"  missed: {case}, {first}, {r.angle_deg:.0f}° off at the end")
    if args.json:
        report["failures"] = [vars(r) | {"case": vars(r.case)} for r in failures]
        args.json.write_text(json.dumps(report, indent=1))
    return 0
