"""Closed loop with a head that follows perfectly: a quick score of a policy, and the states it gets itself into.

Visited states with the right movement for each (Ross et al. 2011, "DAgger") are training data like any other:
`--collect` writes them as shards.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sapave_ros.learning import data
from sapave_ros.learning.view import Teacher
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.sim.scene import Scene, random_scene
from sapave_ros.types import ActionChunk, Floats, Observation

PERIOD_S = 0.125
WITHIN_S = 6.0
HOLD_S = 1.0
SUCCESS_RAD = math.radians(10.0)
VISIBLE_FRACTION = 0.5
"""As the benchmark of the whole road: centre within 10 degrees of the optical axis, not hidden, in 6 s and 1 s on."""

Policy = Callable[[Observation], ActionChunk]


@dataclass(frozen=True)
class Episode:
    """scene: number of the room. found_s: when the target was first centred, None if never in time. held: and
    still 1 s later. in_view: whether it was in view at the start. end_deg: its angle off the axis at the end."""

    scene: int
    name: str
    in_view: bool
    found_s: float | None
    held: bool
    end_deg: float
    path: Floats  # (steps, 2) [rad]


def travelled(chunk: ActionChunk, duration_s: float) -> Floats:
    """Sum of the increments (2,) [rad] over the first part of a chunk."""
    share = np.clip(duration_s / chunk.dt_s - np.arange(len(chunk.increments)), 0, 1)
    return share @ chunk.increments


def centred(teacher: Teacher, name: str) -> tuple[bool, float]:
    """Whether an item counts as looked at, and its angle off the axis [rad]."""
    angle = teacher.world.look_target(name, visibility=False).angle_rad
    if angle > SUCCESS_RAD:
        return False, angle
    fraction = teacher.world.look_target(name).visible_fraction
    return fraction is not None and fraction >= VISIBLE_FRACTION, angle


def episode(
    teacher: Teacher,
    policy: Policy,
    scene: Scene,
    name: str,
    instruction: str,
    visit: Callable[[int], None] | None = None,
) -> Episode:
    """One closed loop from the scene's start pose; visit is called at every state with the step's number."""
    teacher.load(scene)
    in_view = next(t for t in teacher.targets() if t.name == name).shown
    found_s: float | None = None
    held, angle, path = False, math.inf, []
    for i in range(round((WITHIN_S + HOLD_S) / PERIOD_S) + 1):
        time_s = i * PERIOD_S
        path.append(teacher.head)
        if visit is not None:
            visit(i)
        good, angle = centred(teacher, name)
        if good and found_s is None:
            found_s = time_s
        if found_s is not None and time_s >= found_s + HOLD_S:
            held = good
            break
        if found_s is None and time_s >= WITHIN_S:
            break
        chunk = policy(teacher.observe(instruction, time_s))
        teacher.move_head(teacher.head + travelled(chunk, PERIOD_S))
    return Episode(scene.seed, name, in_view, found_s, held, math.degrees(angle), np.array(path))


def choose(scene: Scene, teacher: Teacher, random: np.random.Generator) -> str | None:
    """An item that can be seen from where it is centred, in two of three cases out of view at the start."""
    teacher.load(scene)
    targets = teacher.targets()
    fitting = [t for t in targets if t.hidden] if random.random() < 2 / 3 else [t for t in targets if t.shown]
    for i in random.permutation(len(fitting)):
        if teacher.world.visible_when_centred(fitting[i].name) > 0.6:
            return fitting[i].name
    return None


def onnx_policy(path: Path, threads: int = 1) -> tuple[OnnxPolicy, Policy]:
    """A model's file as a policy with noise that differs from call to call and is the same in every run."""
    model = OnnxPolicy(path, providers=("CPUExecutionProvider",), threads=threads)

    def policy(observation: Observation) -> ActionChunk:
        chunk = model.infer(observation, noise=round(observation.stamp_s * 1000)).head
        if chunk is None:
            raise ValueError(f"{path}: the head is untrained")
        return chunk

    return model, policy


def summary(episodes: list[Episode]) -> str:
    def rate(some: list[Episode]) -> str:
        times = [e.found_s for e in some if e.held and e.found_s is not None]
        median = f", median {np.median(times):.2f} s" if times else ""
        return f"{sum(e.held for e in some)}/{len(some)}{median}"

    shown, hidden = [e for e in episodes if e.in_view], [e for e in episodes if not e.in_view]
    lost = sum(e.found_s is not None and not e.held for e in episodes)
    return f"success {rate(episodes)}; in view {rate(shown)}; out of view {rate(hidden)}; found and lost again {lost}"


def _collect(
    recorder: data.Recorder, teacher: Teacher, random: np.random.Generator, name: str, text: str, step: int
) -> None:
    """Every third state, with its instruction and two others."""
    if step % 3:
        return
    recorder.picture(teacher)
    target = next(t for t in teacher.targets() if t.name == name)
    if target.shown or target.hidden:
        recorder.pair(teacher, text, target)
    data.add_pairs(random, recorder, teacher, teacher.scene, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=Path("models/sapave_nano.onnx"))
    parser.add_argument("--first", type=int, default=1_000_000, help="number of the first scene")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument(
        "--collect", type=Path, help="write what was visited as a shard into this folder (training scenes only)"
    )
    parser.add_argument("--config", default="nano", help="whose picture size to collect")


def run(args: argparse.Namespace) -> int:
    if args.collect and args.first + args.scenes > data.FIRST_TEST_SCENE:
        raise ValueError(
            f"--first: scene {args.first + args.scenes} is for evaluation; collect below {data.FIRST_TEST_SCENE}"
        )
    _, policy = onnx_policy(args.model)
    teacher = Teacher()
    c = data.CONFIGS[args.config]
    recorder = data.Recorder(c.image_size, c.chunk_steps, c.dt_s)
    episodes: list[Episode] = []
    for number in tqdm(range(args.first, args.first + args.scenes), desc="rollout", unit="scene"):
        random = np.random.default_rng([number, 0x701])
        scene = random_scene(number)
        name = choose(scene, teacher, random)
        if name is None:
            continue
        text = data.ask(random, scene, name) if args.collect else f"look at the {name}"
        visit = partial(_collect, recorder, teacher, random, name, text) if args.collect else None
        e = episode(teacher, policy, scene, name, text, visit)
        episodes.append(e)
        if visit is None and not e.held:
            found = "never centred" if e.found_s is None else f"centred at {e.found_s:.2f} s"
            start = "in view" if e.in_view else "out of view"
            tqdm.write(f"scene {e.scene}: {e.name}, {start} at the start, {found}, {e.end_deg:.0f} deg off at the end")
    print(summary(episodes))
    if args.collect:
        pairs = len(recorder)
        recorder.write(data.shard_path(args.collect, args.first // 100))
        print(f"{pairs} pairs in {args.collect}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
