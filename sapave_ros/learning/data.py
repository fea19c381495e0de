"""Pictures, instructions and the head movements that are right for them, made in simulation from a seed.

Every shard is one `.npz` of scenes that depend on the seed and the shard's number alone, so making them can be
interrupted and taken up again. Pictures are rendered as the camera takes them and reduced by the same code as
at run time. Scene numbers stay below `FIRST_TEST_SCENE`: what is above is for evaluation.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sapave_ros.learning import labels
from sapave_ros.learning.instructions import instruction
from sapave_ros.learning.model import CONFIGS, Config
from sapave_ros.learning.poses import head_pose
from sapave_ros.learning.view import Target, Teacher
from sapave_ros.sim.objects import COLOURS, KINDS
from sapave_ros.sim.scene import Scene, random_scene

FIRST_TEST_SCENE = 1_000_000
SCENES_PER_SHARD = 50
SCENES_PER_SEED = 200_000

POSES_PER_SCENE = 5
PAIRS_PER_POSE = 4

KIND_ALONE = 0.15
"""Share of instructions that leave the colour out, where the kind tells the thing apart."""

ABSENT = 0.25
"""Share of "out of view" instructions that name something which is not in the room at all."""


class Field(str, Enum):
    """Arrays of a shard. The first six are per picture (n), the others per pair (p)."""

    RGB = "rgb"  # (n, h, w, 3) uint8
    DEPTH = "depth_m"  # (n, h / 2, w / 2) float16
    INTRINSICS = "intrinsics"  # (n, 3, 3) float32, of the reduced picture
    POSE = "camera_in_torso"  # (n, 4, 4) float32
    JOINTS = "joint_positions"  # (n, 28) float32
    SCENE = "scene"  # (n,) int64, number of the room
    IMAGE = "image"  # (p,) int64, row of the picture
    TEXT = "text"  # (p,) str
    CHUNK = "chunk"  # (p, k, 2) float32 [rad], what the head should do
    COVERAGE = "coverage"  # (p, h / 16, w / 16) uint8, share of each patch that the named thing covers, of 255


_PER_PICTURE = (Field.RGB, Field.DEPTH, Field.INTRINSICS, Field.POSE, Field.JOINTS, Field.SCENE)


@dataclass(frozen=True)
class Things:
    """What each picture shows, of up to m things.

    kind, colour, size: (n, m) int64, number of the class, -1 for unknown and for none. captions: (n, m) str, a
    description each, empty for none. foremost: (n, h / 16, w / 16) uint8, the thing that shows most in each patch, 255
    for none. share: of the patch that it covers, of 255.
    """

    kind: NDArray
    colour: NDArray
    size: NDArray
    captions: NDArray
    foremost: NDArray
    share: NDArray

    def coverage(self, pictures: NDArray) -> NDArray:
        """Share of each patch that each thing covers as the foremost, (P, m, h / 16, w / 16) float32 in 0..1."""
        number = np.arange(self.kind.shape[1])[:, None, None]
        own = self.foremost[pictures, None] == number
        return own * (self.share[pictures, None] / np.float32(255))


class Dataset(dict[Field, NDArray]):
    """Arrays by `Field`; texts as a list; and what is known of the things, if anything."""

    @property
    def texts(self) -> list[str]:
        return [str(t) for t in self[Field.TEXT]]

    @property
    def things(self) -> Things | None:
        return None


@dataclass
class Recorder:
    """Collects pictures and pairs for one configuration until they are written as one shard."""

    config: Config

    def __post_init__(self) -> None:
        self._rows: dict[Field, list] = {f: [] for f in Field}
        self._search = np.empty((0, 2))  # the same for every thing out of view of one picture

    def __len__(self) -> int:
        return len(self._rows[Field.TEXT])

    def picture(self, teacher: Teacher) -> None:
        """Takes the teacher's present view; the pairs that follow belong to it."""
        for f, value in teacher.picture(self.config.image_size, self.config.depth_size).items():
            self._rows[Field(f)].append(value)
        self._search = labels.search_chunk(teacher.head, self.config.chunk_steps, self.config.dt_s)

    def pair(self, teacher: Teacher, text: str, target: Target | None) -> None:
        """An instruction for the last picture. target: the named thing, None where the room has no such thing."""
        if target is not None and target.shown:
            chunk = labels.look_chunk(teacher.head, target.goal, self.config.chunk_steps, self.config.dt_s)
            coverage = teacher.coverage(target, self.config.grid)
        else:
            chunk = self._search
            coverage = np.zeros(self.config.grid, np.uint8)
        rows = self._rows
        rows[Field.IMAGE].append(len(rows[Field.RGB]) - 1)
        rows[Field.TEXT].append(text)
        rows[Field.CHUNK].append(chunk.astype(np.float32))
        rows[Field.COVERAGE].append(coverage)

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        arrays = {f.value: np.array(rows) if f is Field.TEXT else np.stack(rows) for f, rows in self._rows.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
        self.__post_init__()


def ask(random: np.random.Generator, scene: Scene, name: str) -> str:
    """An instruction for an item, by its kind alone now and then where that is enough."""
    item = scene.items[scene.index(name)]
    unique = sum(i.kind == item.kind for i in scene.items) == 1
    return instruction(random, item.kind, None if unique and random.random() < KIND_ALONE else item.colour)


def ask_absent(random: np.random.Generator, scene: Scene) -> str:
    """An instruction for something that is not there, more often than not confusable with something that is."""
    while True:
        colour, kind = COLOURS[random.integers(len(COLOURS))], KINDS[random.integers(len(KINDS))]
        if scene.items and random.random() < 0.7:
            like = scene.items[random.integers(len(scene.items))]
            colour, kind = (like.colour, kind) if random.random() < 0.5 else (colour, like.kind)
        if f"{colour} {kind}" not in scene.names:
            return instruction(random, kind, colour)


def add_pairs(random: np.random.Generator, recorder: Recorder, teacher: Teacher, scene: Scene, count: int) -> None:
    """Pairs for the teacher's present view: about half of the things named are in view.

    Things of which too little shows to tell what is right are not asked for.
    """
    targets = teacher.targets()
    shown = [t for t in targets if t.shown]
    hidden = [t for t in targets if t.hidden]
    random.shuffle(shown)
    random.shuffle(hidden)
    nearest = sorted(shown, key=lambda t: float(np.linalg.norm(t.goal - teacher.head)))[:1]
    for i in range(count):
        if i % 2 == 0 and (shown or nearest):
            target = nearest.pop() if nearest and random.random() < 0.5 else shown.pop()
            shown = [t for t in shown if t is not target]
            nearest = [t for t in nearest if t is not target]
            recorder.pair(teacher, ask(random, scene, target.name), target)
        elif hidden and random.random() > ABSENT:
            target = hidden.pop()
            recorder.pair(teacher, ask(random, scene, target.name), target)
        else:
            recorder.pair(teacher, ask_absent(random, scene), None)


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"shard_{index:04d}.npz"


def make_shard(
    teacher: Teacher, path: Path, index: int, seed: int, config_name: str, scenes: int = SCENES_PER_SHARD
) -> int:
    """One shard; returns the number of pairs. Depends on index, seed, number of scenes and configuration alone."""
    c = CONFIGS[config_name]
    random = np.random.default_rng([seed, index])
    recorder = Recorder(c)
    for i in range(scenes):
        number = seed * SCENES_PER_SEED + index * SCENES_PER_SHARD + i
        if not 0 <= number < FIRST_TEST_SCENE:
            raise ValueError(
                f"seed and shard: scene {number} is outside 0 to {FIRST_TEST_SCENE - 1}, which are for training"
            )
        scene = random_scene(number)
        teacher.load(scene)
        for _ in range(POSES_PER_SCENE):
            teacher.move_head(head_pose(random, teacher, scene))
            recorder.picture(teacher)
            add_pairs(random, recorder, teacher, scene, PAIRS_PER_POSE)
    pairs = len(recorder)
    recorder.write(path)
    return pairs


def load(folders: list[Path], size: tuple[int, int], test_share: float = 0.04) -> tuple[Dataset, Dataset]:
    """All shards of the folders: to train on, and to test on (the last shards of each folder).

    Raises FileNotFoundError on a folder without shards, ValueError where the pictures are of another size.
    """
    train, test = [], []
    for folder in folders:
        shards = sorted(folder.glob("shard_[0-9][0-9][0-9][0-9].npz"))
        if not shards:
            raise FileNotFoundError(f"{folder}: no shards; make them with `sapave data --pairs 100000`")
        held = max(1, round(len(shards) * test_share)) if len(shards) > 1 else 0
        train += shards[: len(shards) - held]
        test += shards[len(shards) - held :] or shards
    return _join(train, size), _join(test, size)


def _join(paths: list[Path], size: tuple[int, int]) -> Dataset:
    parts: dict[Field, list[NDArray]] = {f: [] for f in Field}
    pictures = 0
    for path in paths:
        with np.load(path, allow_pickle=False) as shard:
            if shard[Field.RGB].shape[1:3] != size:
                raise ValueError(
                    f"{path}: pictures of {shard[Field.RGB].shape[1:3]}, expected {size}: make the data again"
                )
            for f in Field:
                parts[f].append(
                    shard[f.value] + (pictures if f is Field.IMAGE else 0) if f is not Field.TEXT else shard[f.value]
                )
            pictures += len(shard[Field.RGB])
    return Dataset({f: np.concatenate(rows) for f, rows in parts.items()})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", choices=sorted(CONFIGS), default="nano", help="whose picture size to make")
    parser.add_argument("--output", type=Path, default=Path("out/data/look"), help="folder of the shards")
    parser.add_argument("--pairs", type=int, default=100_000, help="make at least so many")
    parser.add_argument("--seed", type=int, default=0, help="0 to 3")
    parser.add_argument(
        "--shards", type=int, nargs=2, metavar=("FROM", "TO"), help="these shards only (to share the work)"
    )


def run(args: argparse.Namespace) -> int:
    if args.pairs <= 0:
        raise ValueError(f"--pairs: {args.pairs}, expected > 0")
    per_shard = SCENES_PER_SHARD * POSES_PER_SCENE * PAIRS_PER_POSE
    first, last = args.shards or (0, -(-args.pairs // per_shard))
    args.output.mkdir(parents=True, exist_ok=True)
    about = {"seed": args.seed, "config": args.config, "size": list(CONFIGS[args.config].image_size)}
    note = args.output / "about.json"
    if note.exists() and json.loads(note.read_text()) != about:
        raise ValueError(f"{note}: says {note.read_text()}, expected {json.dumps(about)}; use another --output")
    note.write_text(json.dumps(about))
    missing = [i for i in range(first, last) if not shard_path(args.output, i).exists()]
    teacher = Teacher() if missing else None
    bar = tqdm(
        total=(last - first) * per_shard, initial=(last - first - len(missing)) * per_shard, unit="pair", desc="data"
    )
    for i in missing:
        assert teacher is not None
        bar.update(make_shard(teacher, shard_path(args.output, i), i, args.seed, args.config))
    bar.close()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
