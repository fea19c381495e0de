"""Demonstrations to learn doing from: data sets of `sapave demonstrate` or `sapave dataset`, as batches.

Pictures are decoded once, into files beside each data set (`.arrays`, 210 kB a frame), which the operating system keeps
in memory as far as there is room.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor

from sapave_ros import g1
from sapave_ros.dataset.features import (
    ACTION,
    CAMERA_IN_TORSO,
    COLOR,
    DEPTH,
    EXPERT_CHUNK,
    EXPERT_POINTS,
    INTRINSICS,
    STATE,
)
from sapave_ros.dataset.writer import EPISODES_PATH, TASKS_PATH
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, PICTURE_SIZE
from sapave_ros.learning.training.batches import MIRROR_CAMERA, MIRROR_TORSO, Source, light
from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb, scale_intrinsics
from sapave_ros.policy.tokenizer import Tokenizer

EVERY = 2
"""Of the frames, each so manieth is learned from: the next one shows nearly the same."""

TEST_EVERY = 20
"""Each so manieth episode is kept to test on."""

POINTS = 2
_VECTORS = (STATE, INTRINSICS, CAMERA_IN_TORSO, ACTION)
_FORMAT = 1

_OTHER_ARM = np.array(
    [
        g1.POLICY.names.index(name.replace("left", "\0").replace("right", "left").replace("\0", "right"))
        for name in g1.POLICY.names
    ]
)
"""Joint of the other side, of each; the head's are their own."""

_SIGNS = np.ones(len(g1.POLICY), np.float32)
_SIGNS[g1.POLICY.names.index("head_yaw_joint")] = -1.0
for _group in (g1.LEFT_ARM, g1.RIGHT_ARM):
    _SIGNS[[g1.POLICY.names.index(name) for name in _group.names]] = g1.ARM_MIRROR


def mirrored(positions: NDArray) -> NDArray:
    """Positions or increments (..., 28) of the mirror image."""
    return np.asarray(positions[..., _OTHER_ARM] * _SIGNS)


@dataclass(frozen=True)
class Frames:
    """What is learned from one data set. Frames n, steps k = 16. rgb (n, h, w, 3) and depth_m (n, h / 2, w / 2) are
    mapped from disk. joints (n, 28), intrinsics (n, 3, 3) of the reduced picture, pose (n, 4, 4), chunk (n, k, 28)
    [rad], points (n, 2, 3) [m] in torso_link, NaN where nobody knows. episode (n,): its number in the data set.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float16]
    joints: NDArray[np.float32]
    intrinsics: NDArray[np.float32]
    pose: NDArray[np.float32]
    chunk: NDArray[np.float32]
    points: NDArray[np.float32]
    texts: tuple[str, ...]
    episode: NDArray[np.int64]


def read(folder: Path, steps: int, dt_s: float) -> Frames:
    """One data set. steps, dt_s: of the chunks. Raises ValueError where its frames are not dt_s apart or its joints are
    others, OSError where it cannot be read."""
    info = json.loads((folder / "meta/info.json").read_text())
    if abs(info["fps"] * dt_s - 1.0) > 1e-6:
        raise ValueError(f"{folder}: fps {info['fps']}, expected {1 / dt_s:g}: a frame a step of the chunks")
    if tuple(info["features"][STATE]["names"]) != g1.POLICY.names:
        raise ValueError(
            f"{folder}: {STATE} has the joints {info['features'][STATE]['names']}, expected {g1.POLICY.names}"
        )
    names = [*_VECTORS, *(n for n in (EXPERT_CHUNK, EXPERT_POINTS) if n in info["features"]), "task_index"]
    table = pa.concat_tables([parquet.read_table(f, columns=names) for f in sorted(folder.glob("data/*/*.parquet"))])
    episodes = parquet.read_table(folder / EPISODES_PATH).to_pylist()
    tasks = parquet.read_table(folder / TASKS_PATH).to_pylist()
    words = {row["task_index"]: row["task"] for row in tasks}
    columns = {name: _array(table, name) for name in names if name != "task_index"}
    pick = np.concatenate([np.arange(e["dataset_from_index"], e["dataset_to_index"], _every(e)) for e in episodes])
    of = np.concatenate([np.full(-(-e["length"] // _every(e)), e["episode_index"]) for e in episodes])
    if EXPERT_CHUNK in columns:
        chunk = columns[EXPERT_CHUNK][pick].reshape(len(pick), -1, len(g1.POLICY))[:, :steps]
    else:
        chunk = np.stack([_done(columns[ACTION], i, episodes[e], steps) for i, e in zip(pick, of)])
    unknown = np.full((len(pick), POINTS, 3), np.nan, np.float32)
    points = columns[EXPERT_POINTS][pick].reshape(-1, POINTS, 3) if EXPERT_POINTS in columns else unknown
    size = tuple(info["features"][COLOR]["shape"][:2])
    intrinsics = [scale_intrinsics(k, size, PICTURE_SIZE) for k in columns[INTRINSICS][pick].reshape(-1, 3, 3)]
    rgb, depth_m = _unpacked(folder, info, episodes, len(pick))
    task = table["task_index"].to_numpy()[pick]
    return Frames(
        rgb,
        depth_m,
        columns[STATE][pick],
        np.asarray(intrinsics, np.float32),
        columns[CAMERA_IN_TORSO][pick].reshape(-1, 4, 4),
        chunk.astype(np.float32),
        points,
        tuple(words[int(t)] for t in task),
        of,
    )


def _every(episode: dict[str, Any]) -> int:
    """Snapshots of `sapave demonstrate` do not follow each other."""
    return 1 if episode.get("kind") == "snapshots" else EVERY


def _array(table: pa.Table, name: str) -> NDArray[np.float32]:
    column = table[name].combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(table), -1)


def _done(actions: NDArray, first: int, episode: dict[str, Any], steps: int) -> NDArray:
    """What was done from a frame on; after the episode's end nothing."""
    chunk = np.zeros((steps, actions.shape[1]), np.float32)
    there = actions[first : min(first + steps, episode["dataset_to_index"])]
    chunk[: len(there)] = there
    return chunk


def _unpacked(
    folder: Path, info: dict[str, Any], episodes: list[dict[str, Any]], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Reduced pictures and depth, from files that are made where they are missing."""
    place = folder / ".arrays"
    about = {"format": _FORMAT, "every": EVERY, "frames": count, "size": list(PICTURE_SIZE)}
    note = place / "whole.json"
    if not note.exists() or json.loads(note.read_text()) != about:
        partial = folder / ".arrays.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        rgb = np.lib.format.open_memmap(partial / "rgb.npy", "w+", np.uint8, (count, *PICTURE_SIZE, 3))
        depth = np.lib.format.open_memmap(partial / "depth.npy", "w+", np.float16, (count, *DEPTH_SIZE))
        at = 0
        for episode in episodes:
            for picture, depth_mm in zip(_video(folder, info, episode), _depths(folder, info, episode), strict=True):
                rgb[at] = reduce_rgb(picture, PICTURE_SIZE)
                depth[at] = reduce_depth(depth_mm / np.float32(1000), DEPTH_SIZE)
                at += 1
        rgb.flush()
        depth.flush()
        (partial / "whole.json").write_text(json.dumps(about))
        shutil.rmtree(place, ignore_errors=True)
        partial.replace(place)
    return np.load(place / "rgb.npy", mmap_mode="r"), np.load(place / "depth.npy", mmap_mode="r")


def _video(folder: Path, info: dict[str, Any], episode: dict[str, Any]) -> Iterator[NDArray[np.uint8]]:
    """The pictures of an episode that are learned from."""
    where = {key: episode[f"videos/{COLOR}/{key}"] for key in ("chunk_index", "file_index")}
    path = folder / info["video_path"].format(video_key=COLOR, **where)
    film = cv2.VideoCapture(str(path))
    try:
        film.set(cv2.CAP_PROP_POS_FRAMES, round(episode[f"videos/{COLOR}/from_timestamp"] * info["fps"]))
        for i in range(episode["length"]):
            if not film.grab():
                raise OSError(f"{path}: ends at frame {i} of episode {episode['episode_index']}")
            if i % _every(episode) == 0:
                yield np.asarray(film.retrieve()[1][..., ::-1])
    finally:
        film.release()


def _depths(folder: Path, info: dict[str, Any], episode: dict[str, Any]) -> Iterator[NDArray[np.uint16]]:
    where = {key: episode[f"data/{key}"] for key in ("chunk_index", "file_index")}
    path = folder / info["data_path"].format(**where)
    table = parquet.read_table(path, columns=[DEPTH], filters=[("episode_index", "=", episode["episode_index"])])
    for cell in table[DEPTH].to_pylist()[:: _every(episode)]:
        yield np.asarray(cv2.imdecode(np.frombuffer(cell["bytes"], np.uint8), cv2.IMREAD_UNCHANGED), np.uint16)


class DemonstrationBatches:
    """Endless shuffled batches of demonstrations; what comes depends on the seed and the step alone. A
    `training.batches.Source`, with chunk (B, k, 28) and points (B, 2, 3); rgb has a picture each.

    test: those episodes that are kept to test on, without augmentation; else all others. Half of the frames are seen
    in a mirror: the left hand does what the right one did. Geometry is dropped as in `training.batches.Batches`, but
    seldom: without it hands can only guess.
    """

    def __init__(self, data: Sequence[Frames], tokenizer: Tokenizer, batch: int, seed: int, test: bool):
        self._data, self._batch, self._seed, self._test = data, batch, seed, test
        first, rows = 0, []
        for i, frames in enumerate(data):
            number = first + frames.episode
            mine = np.flatnonzero((number % TEST_EVERY == 0) == test)
            rows.append(np.column_stack([np.full(len(mine), i), mine]))
            first += int(frames.episode.max()) + 1
        self.rows = np.concatenate(rows)  # (n, 2): data set, frame
        if not len(self.rows):
            raise ValueError(f"demonstrations: {first} episodes; expected at least {2 if first else 1}")
        self.episodes = first
        known = {text: tokenizer.encode(text) for frames in data for text in set(frames.texts)}
        self._words = [np.stack([known[text] for text in frames.texts]) for frames in data]
        self._sides = tokenizer.id("left"), tokenizer.id("right")

    def __call__(self, step: int) -> dict[str, Tensor]:
        random = np.random.default_rng([self._seed, step])
        chosen = self.rows[random.integers(len(self.rows), size=self._batch)]

        def take(name: str) -> NDArray:
            return np.stack([getattr(self._data[i], name)[j] for i, j in chosen])

        batch = {
            "rgb": take("rgb"),
            "depth_m": take("depth_m").astype(np.float32),
            "intrinsics": take("intrinsics"),
            "camera_in_torso": take("pose"),
            "present": np.ones((self._batch, 3), np.float32),
            "words": np.stack([self._words[i][j] for i, j in chosen]),
            "joint_positions": take("joints"),
            "chunk": take("chunk"),
            "points": take("points"),
        }
        if not self._test:
            batch["rgb"] = light(batch["rgb"], random)
            batch["present"][random.random((self._batch, 3)) < 0.25 * (random.random((self._batch, 1)) < 0.2)] = 0.0
            self._mirror(batch, random.random(self._batch) < 0.5)
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in batch.items()}

    def _mirror(self, batch: dict[str, NDArray], which: NDArray) -> None:
        for name, axis in (("rgb", 2), ("depth_m", 2)):
            batch[name][which] = np.flip(batch[name][which], axis)
        batch["intrinsics"][which, 0, 2] = batch["rgb"].shape[2] - 1 - batch["intrinsics"][which, 0, 2]
        batch["camera_in_torso"][which] = MIRROR_TORSO @ batch["camera_in_torso"][which] @ MIRROR_CAMERA
        batch["points"][which, :, 1] *= -1
        for name in ("joint_positions", "chunk"):
            batch[name][which] = mirrored(batch[name][which])
        left, right = self._sides
        words = batch["words"][which]
        batch["words"][which] = np.select([words == left, words == right], [right, left], words)


class Mixed:
    """A `Source` of demonstrations, and beside each batch one of look pairs, whose names begin with `look_`."""

    def __init__(self, demonstrations: DemonstrationBatches, pairs: Source):
        self._demonstrations, self._pairs = demonstrations, pairs

    def __call__(self, step: int) -> dict[str, Tensor]:
        pairs = {f"look_{name}": value for name, value in self._pairs(step).items()}
        return self._demonstrations(step) | pairs
