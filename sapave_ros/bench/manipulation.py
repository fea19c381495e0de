"""`sapave bench manipulation`: ActiveManip-Bench, closed loop in lockstep, by friction between fingers and thing.

Tasks as in `manipulation.tasks`, the robot with limits, gate and controllers as in `manipulation.lockstep`. So
far it is played by an expert that knows where everything is, and by one that does nothing: the shipped policy moves no
arms.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sapave_ros import g1
from sapave_ros.bench.lockstep import LoopTiming
from sapave_ros.bench.perception_score import share
from sapave_ros.cli import json_argument
from sapave_ros.core.clearance import Clearance
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.crew import crew
from sapave_ros.dataset.video import VideoEncoder
from sapave_ros.manipulation.actors import Model, Still
from sapave_ros.manipulation.lockstep import Actor, RobotLoop
from sapave_ros.manipulation.progress import STAGES, Criterion
from sapave_ros.manipulation.settings import CONDITIONS, Setting
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import SessionParameters
from sapave_ros.share import share_path
from sapave_ros.sim.rendering import HEAD_CAMERA, OBSERVER_CAMERA
from sapave_ros.sim.world import World

MODEL, FIXED = "model", "fixed head"
POLICIES = (MODEL, FIXED, "expert", "still")
"""The model; the same with a head that stays where it sees most of the table; who knows where everything is; nobody."""

FIXED_HEAD_RAD = (0.0, 0.75)
"""Yaw and pitch."""

EPISODES, QUICK = 20, 1
"""Episodes of each task and condition."""

QUICK_POLICIES = (MODEL, "expert")

FILM_FPS = 15
_CAMERAS = (HEAD_CAMERA, OBSERVER_CAMERA)


@dataclass(frozen=True)
class Episode:
    """task: of `TASKS`. model: ONNX file. limit_s: how long it may take [s]. delay_s: of inference, besides the usual
    [s]. film: where a video of it goes, empty for none."""

    task: str
    policy: str
    condition: str
    seed: int
    limit_s: float
    model: str = ""
    chunking: str = "plain"
    delay_s: float = 0.0
    film: str = ""


@dataclass(frozen=True)
class Played:
    """How it went. at_s: when each of `STAGES` was reached first [s]. refused: chunks that the controllers refused.
    clearance_m: the smallest room between the robot's own parts beyond the margin that commands leave. jerk_rad_s3: of
    the commanded arms, see `RobotLoop`. spent_s: of this machine's time, by what it went into. why: the last reason of
    a controller or the gate to refuse something, of an episode that failed.
    """

    episode: Episode
    side: str
    instruction: str
    success: bool
    at_s: dict[str, float]
    lasted_s: float
    refused: int
    clearance_m: float
    jerk_rad_s3: float
    spent_s: dict[str, float]
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench manipulation`."""
    parser.add_argument("--episodes", type=int, help=f"of each task and condition (default: {EPISODES})")
    quick = f"{QUICK} episode of each task and condition, by {' and '.join(QUICK_POLICIES)}"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of the episodes (default: %(default)s)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--policies", nargs="+", choices=POLICIES, help=f"default: {', '.join(POLICIES)}")
    parser.add_argument("--model", type=Path, help="ONNX file (default: the one that ships)")
    parser.add_argument("--chunking", choices=("plain", "rtc"), default="plain", help="how chunks follow each other")
    parser.add_argument(
        "--delay", type=float, default=0.0, metavar="MS", help="of inference, besides the usual (default: %(default)g)"
    )
    limit_s = Criterion().time_limit_s
    parser.add_argument(
        "--limit", type=float, default=limit_s, metavar="S", help="of an episode (default: %(default)g)"
    )
    parser.add_argument("--film", type=Path, metavar="DIR", help="also a video of each episode")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--ray", metavar="ADDRESS", help='use this Ray cluster instead; "local" starts one here')
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Plays and prints. Exit code 0: it measures, it does not judge."""
    episodes = args.episodes if args.episodes is not None else QUICK if args.quick else EPISODES
    for name, value in (("--episodes", episodes), ("--workers", args.workers)):
        if value < 1:
            raise ValueError(f"{name} {value}; expected at least 1")
    if not args.limit > 0:
        raise ValueError(f"--limit {args.limit:g}; expected more than 0 s")
    if not 0 <= args.delay < 1000:
        raise ValueError(f"--delay {args.delay:g}; expected 0 to 1000 ms")
    if args.first < 0:
        raise ValueError(f"--first {args.first}; expected a seed, 0 or more")
    if args.film and args.ray:
        raise ValueError(f"--film {args.film}: films stay where the episodes are played; leave out --ray")
    if args.film:
        args.film.mkdir(parents=True, exist_ok=True)
    model = str(args.model or share_path(SHIPPED))
    policies = args.policies or able(model, QUICK_POLICIES if args.quick else POLICIES)
    wanted = [
        Episode(
            task,
            policy,
            condition,
            seed,
            args.limit,
            model,
            args.chunking,
            args.delay / 1000.0,
            str(args.film / f"{task} {policy} {condition} {seed}.mp4") if args.film else "",
        )
        for task in dict.fromkeys(args.tasks)
        for policy in dict.fromkeys(policies)
        for condition in dict.fromkeys(args.conditions)
        for seed in range(args.first, args.first + episodes)
    ]
    done = dict(tqdm(crew(args.workers, args.ray)(play, wanted), total=len(wanted), unit="episode", dynamic_ncols=True))
    played = [done[episode] for episode in wanted]
    report = summary(played)
    print("\n".join(lines(report)))
    for p in played:
        if not p.success and p.episode.policy == "expert":
            where = f"{p.episode.task}, {p.episode.condition}, seed {p.episode.seed}"
            reached = [stage for stage in STAGES if stage in p.at_s]
            print(f"failed: {where}, {p.instruction}: {', '.join(reached)}; {p.why}")
    if args.film:
        print(f"films in {args.film}")
    if args.json:
        args.json.write_text(json.dumps({**report, "episodes": [asdict(p) for p in played]}, indent=1))
    return 0


def able(model: str, policies: Sequence[str]) -> list[str]:
    """Those that can play; a model that has not learned to move the arms is left out, and that is said."""
    if "other" in _policy(model).manifest.trained_heads:
        return list(policies)
    print(f"{model}: its head for arms and hands is untrained, so it does not play (--model FILE)")
    return [policy for policy in policies if policy not in (MODEL, FIXED)]


def play(episode: Episode) -> Played:
    """One episode."""
    task = TASKS[episode.task]
    setting = task.setting(episode.seed, episode.condition)
    if episode.policy == FIXED:
        setting = replace(setting, scene=replace(setting.scene, head=FIXED_HEAD_RAD))
    world = World.of(setting.scene)
    film = _Film(world, Path(episode.film)) if episode.film else None
    try:
        progress = task.progress(world, setting, Criterion(time_limit_s=episode.limit_s))
        clearance = _Clearance(world)
        usual = LoopTiming()
        timing = replace(usual, inference_delay_s=usual.inference_delay_s + episode.delay_s)
        loop, actor = RobotLoop(world, _kinematics(), timing), _actor(episode, world, setting)

        def look(time_s: float) -> bool:
            clearance.look()
            if film is not None:
                film.look(time_s)
            return progress.update(time_s)

        loop.run(actor, look)
        if film is not None:
            film.close()
    finally:
        if film is not None:
            film.abort()
        world.close()
    seeing_s = getattr(actor, "seeing_s", 0.0)
    return Played(
        episode,
        setting.side,
        setting.instruction,
        progress.success,
        progress.at_s,
        loop.time_s,
        loop.refused,
        clearance.least_m,
        loop.jerk_rad_s3,
        {**loop.spent_s, "actor": loop.spent_s["actor"] - seeing_s, "pictures": seeing_s},
        "" if progress.success else loop.last_refusal,
    )


def _actor(episode: Episode, world: World, setting: Setting) -> Actor:
    if episode.policy == "still":
        return Still()
    if episode.policy in (MODEL, FIXED):
        parameters = SessionParameters(chunking=episode.chunking)
        return Model(_policy(episode.model), setting.instruction, _kinematics(), parameters, episode.policy == MODEL)
    expert: Actor = TASKS[episode.task].expert(world, setting, HandIk())
    return expert


@cache
def _policy(path: str) -> OnnxPolicy:
    return OnnxPolicy(path)


@cache
def _kinematics() -> Kinematics:
    return Kinematics.from_urdf()


class _Clearance:
    """least_m: the smallest room so far, by the measured pose."""

    def __init__(self, world: World) -> None:
        self._world, self._clearance = world, Clearance.from_urdf()
        self.least_m = float("inf")

    def look(self) -> None:
        room = self._clearance.room(self._world.positions(g1.OTHER)[None])
        self.least_m = min(self.least_m, float(room.min()))


class _Film:
    """What the head camera sees beside what somebody sees who stands there."""

    def __init__(self, world: World, path: Path) -> None:
        self._world = world
        self._frames = 0
        self._height = max(camera.height for camera in _CAMERAS)
        width = sum(camera.width for camera in _CAMERAS)
        self._encoder: VideoEncoder | None = VideoEncoder(path, self._height, width, FILM_FPS)

    def look(self, time_s: float) -> None:
        if self._encoder is None or time_s < self._frames / FILM_FPS:
            return
        self._frames += 1
        pictures = [self._world.picture(camera) for camera in _CAMERAS]
        self._encoder.write(np.hstack([np.pad(p, ((0, self._height - len(p)), (0, 0), (0, 0))) for p in pictures]))

    def close(self) -> None:
        """Ends the film."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    def abort(self) -> None:
        """Ends what has not been closed."""
        if self._encoder is not None:
            self._encoder.abort()


def summary(played: Sequence[Played]) -> dict[str, Any]:
    """By task, policy and condition: success with its interval, how many came how far, times, refusals, clearance."""
    cells: dict[tuple[str, str, str], list[Played]] = {}
    for p in played:
        cells.setdefault((p.episode.task, p.episode.policy, p.episode.condition), []).append(p)
    found: dict[str, Any] = {}
    for (task, policy, condition), of in cells.items():
        times = [p.at_s["done"] for p in of if p.success]
        found.setdefault(task, {}).setdefault(policy, {})[condition] = {
            **share(p.success for p in of),
            "came_to": {stage: sum(stage in p.at_s for p in of) / len(of) for stage in STAGES},
            "median_time_s": float(np.median(times)) if times else None,
            "refused_chunks_per_episode": sum(p.refused for p in of) / len(of),
            "least_clearance_m": min(p.clearance_m for p in of),
            "jerk_rad_s3": float(np.mean([p.jerk_rad_s3 for p in of])),
        }
    spent = {name: sum(p.spent_s[name] for p in played) for name in played[0].spent_s}
    total = max(sum(spent.values()), 1e-9)
    return {"tasks": found, "share_of_time": {name: value / total for name, value in spent.items()}}


def lines(report: dict[str, Any]) -> list[str]:
    """The same as a table."""
    head = f"{'policy':10} {'condition':12} {'success':>9} {'(95 %)':>11}  " + "".join(f"{s:>9}" for s in STAGES)
    out = []
    for task, policies in report["tasks"].items():
        out += [f"{task}:", f"{head} {'time':>8} {'refused':>8} {'room':>8} {'jerk':>6}"]
        for policy, condition, f in ((p, c, f) for p, of in policies.items() for c, f in of.items()):
            low, high = f["success_95"]
            came = "".join(f"{f['came_to'][stage]:>9.0%}" for stage in STAGES)
            time = "–" if f["median_time_s"] is None else f"{f['median_time_s']:.1f} s"
            out.append(
                f"{policy:10} {condition:12} {f['success']:>9.0%} {f'{low:.0%}–{high:.0%}':>11}  {came} {time:>8} "
                f"{f['refused_chunks_per_episode']:>8.2f} {1000 * f['least_clearance_m']:>5.0f} mm "
                f"{f['jerk_rad_s3']:>6.1f}"
            )
    shares = ", ".join(f"{name} {value:.0%}" for name, value in report["share_of_time"].items())
    return [*out, f"of the time: {shares}"]
