"""Look pairs that nobody has drawn: a bright square is the red box, and the head turns to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sapave_ros.learning.config import PATCH
from sapave_ros.learning.pairs import store
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, GRID, PICTURE_SIZE
from sapave_ros.learning.pairs.generate import Shard
from sapave_ros.learning.pairs.labels import STEPS
from sapave_ros.learning.pairs.splits import SPLITS

PAIRS = 48


def write(folder: Path) -> Path:
    """A shard to train on and one to test on; the folder again."""
    for number, split in enumerate(("train", "val")):
        store.write(store.ShardName(folder, split, 0, 0), made_up(split, np.random.default_rng(number)))
    return folder


def made_up(split: str, random: np.random.Generator) -> Shard:
    (h, w), (rows, columns), room = PICTURE_SIZE, GRID, SPLITS[split].room_seed(0, 0, 0)
    shard = Shard({f.name: [] for f in store.PAIRS}, {f.name: [] for f in store.PICTURES}, rooms=1)
    for i in range(PAIRS):
        v, u = random.integers(rows), random.integers(columns)
        rgb = random.integers(0, 90, (h, w, 3), dtype=np.uint8)
        rgb[v * PATCH : (v + 1) * PATCH, u * PATCH : (u + 1) * PATCH] = (250, 20, 20)
        shows = np.zeros(GRID, np.uint8)
        shows[v, u] = 255
        end = np.array([0.5 - (u + 0.5) / columns, (v + 0.5) / rows - 0.5]) * 0.1 * STEPS
        picture = {
            "picture": i,
            "room_seed": room,
            "rgb": rgb,
            "depth_mm": np.full(DEPTH_SIZE, 1000, np.uint16),
            "intrinsics": np.array([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]], np.float32),
            "camera_in_torso": np.eye(4, dtype=np.float32),
            "joint_positions": np.zeros(28, np.float32),
            "item_kinds": ["box"],
            "item_colours": ["red"],
            "item_sizes": [1],
            "foremost": np.where(shows > 0, 0, 255).astype(np.uint8),
            "share": shows,
        }
        pair = {
            "template": "tabletop",
            "room_seed": room,
            "split": split,
            "picture": i,
            "text": "look at the red box",
            "kind": "name",
            "target": "red box",
            "target_kind": "box",
            "target_colour": "red",
            "target_size": 1,
            "visibility": "in view",
            "visible_fraction": 1.0,
            "angle_rad": 0.1,
            "difficulty": 0,
            "head": np.zeros(2),
            "goal": end,
            "goal_fraction": 1.0,
            "search": False,
            "chunk": np.tile(end / STEPS, (STEPS, 1)).astype(np.float32),
            "coverage": shows,
            "box": np.array([u, v, u + 1, v + 1]) * PATCH,
        }
        for rows_of, values in ((shard.pictures, picture), (shard.pairs, pair)):
            for name, value in values.items():
                rows_of[name].append(value)
    return shard
