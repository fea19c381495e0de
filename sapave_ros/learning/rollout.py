"""States that a policy gets itself into, with the right movement for each: training data like any other.

The policy plays the benchmark's episodes (deployed core, simulated servos, delays) on training scenes, and at
every third picture the teacher says what would have been right ("DAgger", Ross et al. 2011). A policy trained on
these as well knows its way back from its own mistakes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.lockstep import HeadLoop, Looker, LoopTiming
from sapave_ros.bench.look import choose
from sapave_ros.bench.lookers import Model
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning import data
from sapave_ros.learning.model import CONFIGS
from sapave_ros.learning.view import Teacher
from sapave_ros.share import share_path
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.targets import NamedItem, Target
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Observation

FIRST_SCENE = 800_000
"""Scenes from here to `data.FIRST_TEST_SCENE` are played; `sapave data` does not get here with seeds 0 to 3."""

EVERY = 3
OTHERS = 2  # instructions besides the one being followed, per picture


class Watched:
    """A looker at whose pictures the teacher looks as well."""

    def __init__(self, looker: Looker, teacher: Teacher, recorder: data.Recorder, random: np.random.Generator):
        self._looker, self._teacher, self._recorder, self._random = looker, teacher, recorder, random
        self._target, self._count = "", 0

    @property
    def sees(self) -> bool:
        return self._looker.sees

    def start(self, world: World, target: Target) -> None:
        self._looker.start(world, target)
        self._target, self._count = target.name, 0

    def look(self, observation: Observation) -> ActionChunk | None:
        if self._count % EVERY == 0:
            self._recorder.picture(self._teacher)
            target = next(t for t in self._teacher.targets() if t.name == self._target)
            if target.shown or target.hidden:
                self._recorder.pair(self._teacher, observation.instruction, target)
            data.add_pairs(self._random, self._recorder, self._teacher, self._teacher.scene, OTHERS)
        self._count += 1
        return self._looker.look(observation)


def make_shard(teacher: Teacher, looker: Looker, path: Path, index: int, config_name: str, scenes: int) -> int:
    """Plays `scenes` scenes; returns how many ended in success."""
    c = CONFIGS[config_name]
    random = np.random.default_rng([index, 0xDA66])
    recorder = data.Recorder(c)
    watched = Watched(looker, teacher, recorder, random)
    loop = HeadLoop(teacher.world, Kinematics.from_urdf(), LoopTiming())
    successes = 0
    for i in range(scenes):
        number = FIRST_SCENE + index * data.SCENES_PER_SHARD + i
        if not FIRST_SCENE <= number < data.FIRST_TEST_SCENE:
            raise ValueError(f"scene {number}: outside {FIRST_SCENE} to {data.FIRST_TEST_SCENE - 1}")
        case = choose(teacher.world, number)
        if case is None:
            continue
        teacher.load(random_scene(number))
        text = data.ask(random, teacher.scene, case.target)
        successes += loop.run(watched, text, NamedItem(case.target), LookCriterion()).success
    recorder.write(path)
    return successes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="ONNX model (default: the one that ships with the package)")
    parser.add_argument("--output", type=Path, default=Path("out/data/visited"), help="folder of the shards")
    parser.add_argument("--shards", type=int, default=5, help=f"of {data.SCENES_PER_SHARD} scenes each")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="nano", help="whose picture size to make")


def run(args: argparse.Namespace) -> int:
    looker = Model(args.model or share_path("models/sapave_nano.onnx"))
    teacher = Teacher()
    missing = [i for i in range(args.shards) if not data.shard_path(args.output, i).exists()]
    for i in tqdm(missing, desc="visited", unit="shard"):
        path = data.shard_path(args.output, i)
        successes = make_shard(teacher, looker, path, i, args.config, data.SCENES_PER_SHARD)
        tqdm.write(f"{path}: {successes} of {data.SCENES_PER_SHARD} scenes ended in success")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
