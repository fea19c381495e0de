"""Shards as arrays to train on: what `training.batches.Batches` takes, in memory or mapped from disk.

Pictures are decoded once. Mapped, they are then files of their own beside the shards (180 kB + 30 kB each), which the
operating system keeps in memory as far as there is room; a batch is as fast as from arrays as long as there is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sapave_ros.learning.dataset import Dataset, Field, Things
from sapave_ros.learning.language import DIRECTIONS
from sapave_ros.learning.language.lexicon import default
from sapave_ros.learning.pairs import store
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, GRID, PICTURE_SIZE
from sapave_ros.learning.pairs.generate import chunks, revealed
from sapave_ros.learning.pairs.labels import STEPS
from sapave_ros.learning.pairs.store import ShardName

FILTERS = ("template", "visibility", "kind", "difficulty", "split", "search", "target_kind", "target_colour")
"""Columns by which pairs may be chosen."""

UNSEEN = ("search", "goal")

_FORMAT = 2
_H, _W = PICTURE_SIZE
_Shapes = Mapping[Field, tuple[tuple[int, ...], type]]
_MAPPED: _Shapes = {
    Field.RGB: ((_H, _W, 3), np.uint8),
    Field.DEPTH: (DEPTH_SIZE, np.float16),
}
_ROWS = tuple(f.name for f in store.PAIRS if f.name not in ("text", "chunk", "coverage", "picture", "room_seed"))


class PairDataset(Dataset):
    """Arrays by `dataset.Field`; and `rows`, every other column of the pairs by name (n, ...).

    folders: of shards. split: of those alone. where: column (`FILTERS`) to the values that are wanted. unseen: what is
    right for a thing that the picture does not show: to "search" for it, or to turn to the "goal" that would reveal it
    (as if one knew). mapped: pictures mapped from disk instead of loaded. check: hold every byte against its
    checksums first, as is done anyway where pictures are unpacked.

    Raises FileNotFoundError for a folder without shards, ShardError for a shard that is damaged or missing (both say
    which command makes it), ValueError for a filter that does not exist or leaves nothing, OSError for a full disk.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        split: str | None = None,
        where: Mapping[str, Collection[Any]] | None = None,
        *,
        unseen: str = "search",
        mapped: bool = True,
        check: bool = False,
    ) -> None:
        if unseen not in UNSEEN:
            raise ValueError(f"unseen: {unseen!r}, expected of {', '.join(UNSEEN)}")
        for column in where or {}:
            if column not in FILTERS:
                raise ValueError(f"where: {column!r}, expected of {', '.join(FILTERS)}")
        names = store.find(folders, split)
        store.check_numbers(names)
        if check:
            for name in names:
                store.check(name)
        pictures = _pictures(names)
        pairs = _pairs(names)
        keep = np.ones(len(pairs["text"]), bool)
        for column, wanted in (where or {}).items():
            keep &= np.isin(pairs[column], list(wanted))
        if not keep.any():
            raise ValueError(f"where: {dict(where or {})} leaves no pair of {len(keep)}")
        chosen = {column: values[keep] for column, values in pairs.items()}
        chunk = chosen["chunk"].reshape(-1, STEPS, 2)
        if unseen == "goal":
            turn = chosen["search"] & revealed(chosen["goal_fraction"])
            chunk[turn] = chunks(chosen["head"][turn], chosen["goal"][turn], np.zeros(int(turn.sum()), bool))
        super().__init__(
            {
                **pictures,
                **_unpacked(names, mapped),
                Field.IMAGE: chosen["picture"].astype(np.int64),
                Field.TEXT: chosen["text"],
                Field.CHUNK: chunk,
                Field.COVERAGE: chosen["coverage"].reshape(-1, *GRID),
            }
        )
        self.rows: dict[str, NDArray] = {column: chosen[column] for column in _ROWS}
        self.hash = store.data_hash(names)
        self._names = names
        self._texts: list[str] = [str(t) for t in self[Field.TEXT]]

    @property
    def texts(self) -> list[str]:
        return self._texts

    @cached_property
    def things(self) -> Things:
        lexicon = default()
        kinds, colours = list(lexicon.kinds), list(lexicon.colours)
        parts = [store.read(name, "pictures", ["item_kinds", "item_colours", "item_sizes"]) for name in self._names]
        listed = {c: [row for part in parts for row in part[c].to_pylist()] for c in parts[0].column_names}
        most = max(map(len, listed["item_kinds"]))
        rows = len(listed["item_kinds"])
        kind, colour, size = (np.full((rows, most), -1) for _ in range(3))
        captions = np.full((rows, most), "", dtype=object)
        for i, things in enumerate(zip(*listed.values(), strict=True)):
            for j, (k, c, s) in enumerate(zip(*things, strict=True)):
                kind[i, j], colour[i, j], size[i, j] = kinds.index(k), colours.index(c), s
                nouns = lexicon.words(k)
                captions[i, j] = f"a {c} {nouns[(i + j) % len(nouns)]}" if nouns else ""
        tables = [store.read(name, "pictures", ["foremost", "share"]) for name in self._names]
        where = (np.concatenate([store.array(t, c) for t in tables]).reshape(-1, *GRID) for c in ("foremost", "share"))
        return Things(kind, colour, size, captions, *where)

    @cached_property
    def directions(self) -> NDArray:
        names, told = list(DIRECTIONS), self.rows["kind"] == "direction"
        return np.array([names.index(t) if d else -1 for t, d in zip(self.rows["target"], told, strict=True)])


def _pairs(names: Sequence[ShardName]) -> dict[str, NDArray]:
    """All pairs; `picture` counts through all shards."""
    parts: dict[str, list[NDArray]] = {f.name: [] for f in store.PAIRS}
    first = 0
    for name in names:
        table = store.read(name, "pairs")
        for column, arrays in parts.items():
            values = store.array(table, column)
            arrays.append(values + first if column == "picture" else values)
        first += store.note(name)["rows"]["pictures"]
    return {column: np.concatenate(arrays) for column, arrays in parts.items()}


def _pictures(names: Sequence[ShardName]) -> dict[Field, NDArray]:
    """What belongs to a picture and is small."""
    columns = {
        Field.INTRINSICS: ("intrinsics", (3, 3)),
        Field.POSE: ("camera_in_torso", (4, 4)),
        Field.JOINTS: ("joint_positions", (-1,)),
        Field.SCENE: ("room_seed", ()),
    }
    tables = [store.read(name, "pictures", [c for c, _ in columns.values()]) for name in names]
    out = {}
    for f, (column, shape) in columns.items():
        values = np.concatenate([store.array(t, column) for t in tables])
        out[f] = values.reshape(len(values), *shape) if shape else values
    return out


def _unpacked(names: Sequence[ShardName], mapped: bool) -> dict[Field, NDArray]:
    """Colour and depth of all pictures. mapped: from files that are made where they are missing or of other shards."""
    counts = [store.note(name)["rows"]["pictures"] for name in names]
    shapes = {f: ((sum(counts), *shape), kind) for f, (shape, kind) in _MAPPED.items()}
    if not mapped:
        arrays = {f: np.empty(shape, kind) for f, (shape, kind) in shapes.items()}
        _fill(names, arrays)
        return arrays
    digest = store.data_hash(names)
    folder = names[0].folder / ".arrays" / digest[:16]
    note = folder / "whole.json"
    about = {"format": _FORMAT, "hash": digest}
    if not _says(note, about):
        folder.parent.mkdir(exist_ok=True)
        with _alone(folder.parent / "lock"):  # processes that train together come here together
            if not _says(note, about):
                _unpack(names, shapes, folder, about)
    return {f: np.load(folder / f"{f.value}.npy", mmap_mode="r") for f in shapes}


def _unpack(names: Sequence[ShardName], shapes: _Shapes, folder: Path, about: Mapping[str, Any]) -> None:
    """Makes the files whole or not at all, from shards whose every byte is held against its checksum first."""
    for name in names:
        store.check(name)
    partial = folder.with_suffix(".partial")
    for left in (folder, *folder.parent.glob("*.partial")):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir()
    try:
        opened = {}
        for f, (shape, kind) in shapes.items():
            path = partial / f"{f.value}.npy"
            opened[f] = np.lib.format.open_memmap(path, "w+", dtype=kind, shape=shape)
            with path.open("r+b") as file:  # else a disk that is full on the way is a SIGBUS
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        _fill(names, opened)
        for array in opened.values():
            array.flush()
        del opened
        (partial / "whole.json").write_text(json.dumps(about))
        partial.replace(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            size = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in shapes.values())
            raise OSError(errno.ENOSPC, f"disk full: unpacked pictures take {size / 1e9:.2g} GB in {folder}") from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; a lock of one that has ended is none."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(names: Sequence[ShardName], arrays: Mapping[Field, NDArray]) -> None:
    first = 0
    for name in names:
        table = store.read(name, "pictures", ["rgb", "depth_mm"])
        last = first + table.num_rows
        try:
            arrays[Field.RGB][first:last] = store.rgb(store.array(table, "rgb"))
            arrays[Field.DEPTH][first:last] = store.depth_mm(store.array(table, "depth_mm")) / np.float32(1000)
        except ValueError as error:
            raise name.error(f"{name.file('pictures').name} is damaged ({error})") from error
        first = last


def _says(note: Path, about: dict[str, Any]) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads(note.read_text()) == about)
    return False
