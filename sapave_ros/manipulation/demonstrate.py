"""`sapave demonstrate`: what the expert does in simulation, as data sets in the format of `sapave dataset`.

Each frame has what the policy would be given, and what the expert would do from there. What the robot really does
wavers now and then, so that there is something to learn about what to do off the expert's way (Laskey et al. 2017,
"DART"). Episodes in which the expert fails are left out. With `--model` the model does what it would do instead, and
the expert says what would have been right there (Ross et al. 2011, "DAgger"), for as long as the thing stands. Beside
each episode stand snapshots of other states, as an episode of their own whose frames do not follow each other.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from tqdm import tqdm

from sapave_ros import g1
from sapave_ros.bench.lockstep import LoopTiming
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.kinematics import TORSO, Kinematics
from sapave_ros.crew import crew
from sapave_ros.dataset.features import EXPERT_CHUNK, EXPERT_POINTS, Frame, frame
from sapave_ros.dataset.writer import DatasetWriter
from sapave_ros.manipulation.actors import Model
from sapave_ros.manipulation.eyes import Eyes
from sapave_ros.manipulation.hands import STEPS
from sapave_ros.manipulation.lockstep import Actor, Chunks, RobotLoop
from sapave_ros.manipulation.settings import CONDITIONS, Placing, Setting
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import SessionParameters
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats, Observation

OUTPUT = Path("out/data/demonstrations")

FIRST_SEED = 1_000_000
MODELS_SEED = 1_500_000
"""Of the settings, for the expert and for models: the benchmark's are below."""

EPISODES_PER_PART = 10
FPS = 10
"""Frames are as far apart as the steps of a chunk."""

_FALLEN = 0.7
"""Cosine of the tilt from which on a thing lies, and no expert takes it up."""

_EXTRA = {EXPERT_CHUNK: STEPS * len(g1.POLICY), EXPERT_POINTS: 6}


@dataclass(frozen=True)
class Part:
    """A data set of its own, so that work can be shared out and taken up. folder: where it is to be. tasks: of `TASKS`,
    by turns. waver: of the arm's joints, see `Wavering`. model: ONNX file of who moves the robot, empty for the expert.
    """

    folder: Path
    number: int
    tasks: tuple[str, ...]
    waver: float
    model: str = ""

    @property
    def notes(self) -> dict[str, Any]:
        who = {"model": _policy(self.model).manifest.weights_sha256} if self.model else {"waver": self.waver}
        return {"tasks": list(self.tasks), "first_seed": self.seeds[0], "episodes": len(self.seeds), **who}

    @property
    def seeds(self) -> range:
        first = (MODELS_SEED if self.model else FIRST_SEED) + self.number * EPISODES_PER_PART
        return range(first, first + EPISODES_PER_PART)


class Wavering:
    """Disturbances of what an expert does: for a moment its joints drift at an even speed."""

    START = 0.08
    """Probability that one begins at a picture."""

    DURATION_S = (0.2, 0.6)
    HEAD = 1.5
    """The head's speed in relation to the arm's."""

    CAREFULLY = 0.3
    """How much of it while something is held or let go."""

    CAREFUL = frozenset({"close", "lift", "carry", "put down", "let go", "leave", "move"})

    def __init__(self, random: np.random.Generator, speed_rad_s: float) -> None:
        self._random, self._speed = random, speed_rad_s
        self._drift = np.zeros(len(g1.POLICY))
        self._until_s = 0.0

    def disturbed(self, chunks: Chunks, stage: str) -> Chunks:
        """The chunks that are executed instead. stage: what the expert is at."""
        assert chunks.head is not None and chunks.other is not None
        stamp_s = chunks.other.stamp_s
        if stamp_s >= self._until_s and self._random.random() < self.START:
            self._until_s = stamp_s + float(self._random.uniform(*self.DURATION_S))
            self._drift = self._random.normal(0.0, self._speed, len(g1.POLICY))
            self._drift[: len(g1.HEAD)] *= self.HEAD
            self._drift[np.isin(g1.POLICY.names, g1.HANDS.names)] = 0.0
        if stamp_s >= self._until_s:
            return chunks
        share = self.CAREFULLY if stage in self.CAREFUL else 1.0
        return Chunks(self._with_drift(chunks.head, 1.0), self._with_drift(chunks.other, share))

    def _with_drift(self, chunk: ActionChunk, share: float) -> ActionChunk:
        steps = np.arange(len(chunk.increments)) * chunk.dt_s < self._until_s - chunk.stamp_s
        drift = self._drift[[g1.POLICY.names.index(name) for name in chunk.joint_names]]
        return replace(chunk, increments=chunk.increments + steps[:, None] * share * drift * chunk.dt_s)


class Demonstrator:
    """An expert whose frames are kept. doer: who moves the robot instead, if anybody. frames: so far. snapshots: what
    it would do in states that it has not come to: arm and head elsewhere, and what is to be moved too, while no hand
    touches it.
    """

    SNAPSHOTS = 3
    """So many are tried at each frame of the expert's way to the thing."""

    ELSEWHERE_RAD = (0.02, 0.3)
    MOVED_M = 0.04

    def __init__(
        self,
        world: World,
        setting: Setting,
        expert: Any,
        eyes: Eyes,
        wavering: Wavering,
        random: np.random.Generator,
        doer: Actor | None = None,
    ) -> None:
        self.frames: list[Frame] = []
        self.snapshots: list[Frame] = []
        self._setting, self._expert, self._eyes, self._wavering = setting, expert, eyes, wavering
        self._random, self._doer = random, doer
        arm = g1.LEFT_ARM if setting.side == "left" else g1.RIGHT_ARM
        self._moved = np.array([world.model.joint(name).qposadr[0] for name in (*g1.HEAD.names, *arm.names)])
        self._lower = np.concatenate([g1.HEAD.lower, arm.lower])
        self._upper = np.concatenate([g1.HEAD.upper, arm.upper])

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        chunks: Chunks = self._expert.act(world, stamp_s, positions)
        stage = self._expert.stage
        self.frames.append(self._frame(world, stamp_s, positions, chunks))
        for _ in range(self.SNAPSHOTS if stage in self._expert.FREE else 0):
            self._elsewhere(world, stamp_s)
        if self._doer is not None:
            return self._doer.act(world, stamp_s, positions)
        return self._wavering.disturbed(chunks, stage)

    def _frame(self, world: World, stamp_s: float, positions: Floats, chunks: Chunks) -> Frame:
        observation = self._eyes.observe(world, stamp_s, positions, self._setting.instruction)
        return demonstrated(observation, chunks, points_in_torso(world, self._setting))

    def _elsewhere(self, world: World, stamp_s: float) -> None:
        """Takes a snapshot of another state, if nothing is in anything there, and puts the present one back."""
        data, random = world.data, self._random
        before = data.qpos.copy()
        scale = float(np.exp(random.uniform(*np.log(self.ELSEWHERE_RAD))))
        there = before[self._moved] + random.normal(0.0, scale, len(self._moved))
        data.qpos[self._moved] = np.clip(there, self._lower, self._upper)
        thing = world.free_joint(self._setting.target)
        if thing is not None:
            data.qpos[thing : thing + 2] += random.uniform(-self.MOVED_M, self.MOVED_M, 2)
        mujoco.mj_forward(world.model, data)
        if data.ncon == 0 or float(data.contact.dist.min()) > -0.003:
            positions = world.positions(g1.POLICY)
            self.snapshots.append(self._frame(world, stamp_s, positions, self._expert.act(world, stamp_s, positions)))
        data.qpos[:] = before
        mujoco.mj_forward(world.model, data)


def demonstrated(observation: Observation, chunks: Chunks, points: Floats) -> Frame:
    """A frame with what an expert would do. points: (2, 3) [m], see `EXPERT_POINTS`."""
    whole = np.zeros((STEPS, len(g1.POLICY)))
    for chunk in (chunks.head, chunks.other):
        if chunk is not None:
            whole[:, [g1.POLICY.names.index(name) for name in chunk.joint_names]] = chunk.increments
    made = frame(observation, whole[0], 0.0)
    extra = {EXPERT_CHUNK: whole.ravel(), EXPERT_POINTS: points.ravel()}
    return replace(made, vectors=made.vectors | {name: v.astype(np.float32) for name, v in extra.items()})


def points_in_torso(world: World, setting: Setting) -> Floats:
    """`Setting.points` in torso_link (2, 3) [m]."""
    body = world.model.body(TORSO).id
    return (setting.points(world) - world.data.xpos[body]) @ world.data.xmat[body].reshape(3, 3)


def make(part: Part) -> tuple[int, int]:
    """Plays a part and puts it into its place. Returns how many episodes and frames it has."""
    with DatasetWriter(part.folder, FPS, extra=_EXTRA) as writer:
        for i, seed in enumerate(part.seeds):
            task = part.tasks[i % len(part.tasks)]
            condition = CONDITIONS[int(np.random.default_rng([seed, 1]).integers(len(CONDITIONS)))]
            for frames, kind in zip(play(task, condition, seed, part.waver, part.model), ("episode", "snapshots")):
                for each in frames:
                    writer.add(each)
                if frames:
                    writer.save({"task": task, "condition": condition, "seed": seed, "kind": kind})
        if writer.episodes:
            writer.publish(part.notes)
        return writer.episodes, writer.frames


def play(task: str, condition: str, seed: int, waver: float, model: str = "") -> tuple[list[Frame], list[Frame]]:
    """One episode, of which nothing is left where the expert failed; and the snapshots beside it."""
    setting = TASKS[task].setting(seed, condition)
    world = World.of(setting.scene)
    try:
        progress = TASKS[task].progress(world, setting)
        expert = TASKS[task].expert(world, setting, _ik())
        wavering = Wavering(np.random.default_rng([seed, 2]), waver)
        random = np.random.default_rng([seed, 3])
        doer = Model(_policy(model), setting.instruction, _kinematics(), SessionParameters()) if model else None
        actor = Demonstrator(world, setting, expert, Eyes(_kinematics()), wavering, random, doer)
        loop = RobotLoop(world, _kinematics(), LoopTiming(inference_period_s=1.0 / FPS))
        falls = isinstance(setting, Placing) and setting.goal.upright

        def over(time_s: float) -> bool:
            return progress.update(time_s) or (falls and bool(world.pose(setting.target)[2, 2] < _FALLEN))

        loop.run(actor, over)
    finally:
        world.close()
    return actor.frames if progress.success or model else [], actor.snapshots


@cache
def _policy(path: str) -> OnnxPolicy:
    return OnnxPolicy(path)


@cache
def _ik() -> HandIk:
    return HandIk()


@cache
def _kinematics() -> Kinematics:
    return Kinematics.from_urdf()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave demonstrate`."""
    parser.add_argument("--episodes", type=int, default=1000, help=f"at least so many, in parts of {EPISODES_PER_PART}")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument(
        "--waver", type=float, default=0.2, metavar="RAD_S", help="standard deviation of drifts (default: %(default)s)"
    )
    parser.add_argument(
        "--model", type=Path, help="ONNX file of a model that moves the robot, while the expert says what is right"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the parts (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--ray", metavar="ADDRESS", help='use this Ray cluster instead; "local" starts one here')


def run(args: argparse.Namespace) -> int:
    """Plays what is not there yet. Exit code 0; ValueError where what is there was made otherwise."""
    if args.episodes < 1 or args.workers < 1:
        raise ValueError(f"--episodes {args.episodes}, --workers {args.workers}; expected at least 1 of each")
    if not args.waver >= 0:
        raise ValueError(f"--waver {args.waver:g}; expected 0 or more")
    parts = [
        Part(args.output / f"part-{number:05d}", number, tuple(args.tasks), args.waver, str(args.model or ""))
        for number in range(-(-args.episodes // EPISODES_PER_PART))
    ]
    wanted = [part for part in parts if not _is_there(part)]
    done = [counts for _, counts in tqdm(crew(args.workers, args.ray)(make, wanted), total=len(wanted), unit="part")]
    episodes, frames = (sum(column) for column in zip(*done)) if done else (0, 0)
    print(f"{episodes} episodes, {frames} frames in {len(wanted)} parts made, {len(parts) - len(wanted)} were there")
    return 0


def _is_there(part: Part) -> bool:
    notes = part.folder / "meta/sapave.json"
    if not notes.exists():
        return False
    if (made := json.loads(notes.read_text())) != part.notes:
        raise ValueError(f"{part.folder}: is there, made as {made}; expected {part.notes}; use another --output")
    return True


def found(folders: Sequence[Path]) -> list[Path]:
    """The data sets in folders: each itself, or its parts. FileNotFoundError for a folder that has none."""
    sets: list[Path] = []
    for folder in folders:
        inside = [folder] if (folder / "meta/info.json").exists() else sorted(folder.glob("part-*"))
        inside = [each for each in inside if (each / "meta/info.json").exists()]
        if not inside:
            raise FileNotFoundError(
                f"{folder}: no data set is there; make one by `sapave demonstrate` or `sapave dataset`"
            )
        sets += inside
    return sets
