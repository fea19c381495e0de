"""A shard in files: pairs and pictures as Parquet, and a note that makes it whole.

    train-0-00003.pairs.parquet       one row a triple (`PAIRS`)
    train-0-00003.pictures.parquet    one row a picture (`PICTURES`)
    train-0-00003.json                rows, checksums; written last: without it the shard is not there

A picture is stored as the difference of each pixel to its left neighbour, under zstd: as small as PNG, seven times
cheaper to write and three times to read. Depth likewise.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.learning.pairs.camera import DEPTH_SIZE, GRID, PICTURE_SIZE
from sapave_ros.learning.pairs.generate import Shard
from sapave_ros.learning.pairs.labels import STEPS

SCHEMA_VERSION = 2

_H, _W = PICTURE_SIZE
_WORD = pa.dictionary(pa.int16(), pa.string())

PAIRS = pa.schema(
    {
        "template": _WORD,
        "room_seed": pa.int64(),
        "split": _WORD,
        "picture": pa.int32(),  # of `PICTURES` of the same shard
        "text": pa.string(),
        "kind": _WORD,  # of instruction
        "target": pa.string(),  # name of the thing or direction; empty where the room has none such
        "target_kind": _WORD,
        "target_colour": _WORD,
        "target_size": pa.int8(),  # index into `objects.VARIANTS`, -1 where it is no object
        "visibility": _WORD,  # `labels.Visibility`
        "visible_fraction": pa.float32(),  # of all of the thing, in the picture
        "angle_rad": pa.float32(),  # between optical axis and the thing's centre
        "difficulty": pa.int8(),  # 0 to 4
        "head": pa.list_(pa.float32(), 2),  # [rad]
        "goal": pa.list_(pa.float32(), 2),  # pose that brings it best into view [rad]
        "goal_fraction": pa.float32(),  # of it that shows there
        "search": pa.bool_(),  # whether the chunk is the search's
        "chunk": pa.list_(pa.float32(), STEPS * 2),  # (STEPS, 2) [rad]
        "coverage": pa.binary(GRID[0] * GRID[1]),  # uint8, share of each patch, of 255; of all that fit
        "box": pa.list_(pa.int16(), 4),  # of the target: first column, row, last column, row [px], -1: not shown
    }
)

PICTURES = pa.schema(
    {
        "picture": pa.int32(),
        "room_seed": pa.int64(),
        "rgb": pa.binary(_H * _W * 3),  # uint8, differences along rows
        # uint16, little-endian, differences along rows; 0 for none
        "depth_mm": pa.binary(DEPTH_SIZE[0] * DEPTH_SIZE[1] * 2),
        "intrinsics": pa.list_(pa.float32(), 9),
        "camera_in_torso": pa.list_(pa.float32(), 16),
        "joint_positions": pa.list_(pa.float32(), len(g1.POLICY)),  # [rad]
        # Every item of the room, shown or not: kind, colour, and size as index into `objects.VARIANTS`.
        "item_kinds": pa.list_(pa.string()),
        "item_colours": pa.list_(pa.string()),
        "item_sizes": pa.list_(pa.int8()),
        "foremost": pa.binary(GRID[0] * GRID[1]),  # uint8, item that shows most in each patch, 255: none
        "share": pa.binary(GRID[0] * GRID[1]),  # uint8, of the patch that it covers, of 255
    }
)

_TABLES = {"pairs": PAIRS, "pictures": PICTURES}


class ShardError(ValueError):
    """A shard is missing or damaged; the message names it and the command that makes it anew."""


@dataclass(frozen=True)
class ShardName:
    """Which shard of which folder."""

    folder: Path
    split: str
    seed: int
    index: int

    @property
    def stem(self) -> str:
        return f"{self.split}-{self.seed}-{self.index:05d}"

    @property
    def note(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def file(self, table: str) -> Path:
        return self.folder / f"{self.stem}.{table}.parquet"

    @property
    def command(self) -> str:
        """What makes it (anew)."""
        return (
            f"sapave data --split {self.split} --seed {self.seed} --shards {self.index} {self.index + 1}"
            f" --output {self.folder}"
        )

    def error(self, what: str) -> ShardError:
        return ShardError(f"shard {self.folder / self.stem}: {what}; make it anew with: {self.command}")


def find(folders: Iterable[Path], split: str | None = None) -> list[ShardName]:
    """Shards that have a note, in order. Raises FileNotFoundError for a folder without any."""
    found: list[ShardName] = []
    for folder in folders:
        names = [n for p in sorted(folder.glob("*-*-*.json")) if (n := _parse(p)) and split in (None, n.split)]
        if not names:
            which = f" of split {split}" if split else ""
            raise FileNotFoundError(f"{folder}: no shards{which}; make them with: sapave data --output {folder}")
        found += names
    return found


def check_numbers(names: Iterable[ShardName]) -> None:
    """Raises ShardError for the first number that is missing between others of a folder, split and seed."""
    there: dict[ShardName, list[int]] = {}
    for name in names:
        there.setdefault(replace(name, index=0), []).append(name.index)
    for which, numbers in there.items():
        if missing := sorted(set(range(min(numbers), max(numbers))) - set(numbers)):
            raise replace(which, index=missing[0]).error(f"is missing between {min(numbers)} and {max(numbers)}")


def _parse(path: Path) -> ShardName | None:
    try:
        split, seed, index = path.name.split(".")[0].split("-")
        return ShardName(path.parent, split, int(seed), int(index))
    except ValueError:
        return None


def write(name: ShardName, shard: Shard) -> int:
    """Whole or not at all; returns the bytes written. Raises OSError that says so where the disk is full."""
    about = {"schema": SCHEMA_VERSION, "split": name.split, "seed": name.seed, "index": name.index}
    tables = {"pairs": _pairs_table(shard.pairs), "pictures": _pictures_table(shard.pictures)}
    note: dict[str, Any] = {**about, "rows": {}, "bytes": {}, "sha256": {}, "rooms": shard.rooms}
    remove(name)
    partial = {t: name.file(t).with_suffix(".partial") for t in tables}
    note_partial = name.note.with_suffix(".partial")
    try:
        name.folder.mkdir(parents=True, exist_ok=True)
        for t, table in tables.items():
            metadata = {b"sapave": json.dumps({**about, "table": t, "size": list(PICTURE_SIZE)}).encode()}
            pq.write_table(
                table.replace_schema_metadata(metadata),
                partial[t],
                compression="zstd",
                compression_level=1,
                use_dictionary=[f.name for f in table.schema if pa.types.is_dictionary(f.type)],
                write_statistics=[f.name for f in table.schema if f.name in ("room_seed", "picture", "difficulty")],
                store_schema=True,
            )
            note["rows"][t] = table.num_rows
            note["bytes"][t] = partial[t].stat().st_size
            note["sha256"][t] = _sha256(partial[t])
        for t in tables:
            partial[t].replace(name.file(t))
        note_partial.write_text(json.dumps(note, indent=1))
        note_partial.replace(name.note)
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise OSError(
                errno.ENOSPC, f"disk full while writing shard {name.folder / name.stem}; what is whole is kept, and "
                "the same command goes on from there"
            ) from error  # fmt: skip
        raise
    finally:
        for path in (*partial.values(), note_partial):
            path.unlink(missing_ok=True)
    return int(sum(note["bytes"].values()))


def remove(name: ShardName) -> None:
    """The note first, so that there is never a note without its files."""
    for path in (name.note, *(name.file(t) for t in _TABLES)):
        path.unlink(missing_ok=True)


def sweep(name: ShardName) -> None:
    """Removes what an interrupted writer left: partial files, and files without a note."""
    for path in name.folder.glob(f"{name.stem}.*"):
        if path.suffix == ".partial" or (path.suffix == ".parquet" and not name.note.exists()):
            path.unlink(missing_ok=True)


def note(name: ShardName) -> dict[str, Any]:
    """Rows, bytes and checksums. Raises ShardError where the note is missing, unreadable or of another version."""
    try:
        about: dict[str, Any] = json.loads(name.note.read_text())
        known = about["schema"] == SCHEMA_VERSION and set(about["sha256"]) == set(_TABLES) and about["rows"]
    except FileNotFoundError as error:
        raise name.error("is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise name.error(f"its note is damaged ({error})") from error
    if not known:
        raise name.error(f"is of schema {about['schema']}, expected {SCHEMA_VERSION}")
    return about


def check(name: ShardName) -> dict[str, Any]:
    """The note, after every byte was held against its checksums. Raises ShardError."""
    about = note(name)
    for t in _TABLES:
        path = name.file(t)
        if not path.exists():
            raise name.error(f"{path.name} is missing")
        if _sha256(path) != about["sha256"][t]:
            raise name.error(f"{path.name} is damaged: its checksum differs")
    return about


def read(name: ShardName, table: str, columns: list[str] | None = None) -> pa.Table:
    """One table of a shard. Raises ShardError where it is missing or cannot be read."""
    about = note(name)
    try:
        content = pq.read_table(name.file(table), columns=columns, memory_map=True)
    except FileNotFoundError as error:
        raise name.error(f"{name.file(table).name} is missing") from error
    except (pa.ArrowException, OSError) as error:
        raise name.error(f"{name.file(table).name} is damaged ({str(error).splitlines()[0]})") from error
    if content.num_rows != about["rows"][table]:
        raise name.error(f"{name.file(table).name} has {content.num_rows} rows, expected {about['rows'][table]}")
    return content


def array(table: pa.Table, column: str) -> NDArray:
    """A column as an array: numbers (n,), lists (n, k), binary (n, bytes) uint8, words as str."""
    chunked = table[column]
    kind = chunked.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return np.array(chunked.to_pylist(), dtype=np.str_)
    parts = [_flat(chunk) for chunk in chunked.chunks]
    return np.concatenate(parts) if len(parts) != 1 else parts[0]


def rgb(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n, h, w, 3) from what is stored (n, bytes)."""
    return np.cumsum(stored.reshape(-1, _H, _W, 3), axis=2, dtype=np.uint8)


def depth_mm(stored: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Depths (n, h, w) [mm], 0 for none, from what is stored (n, bytes)."""
    return np.cumsum(np.ascontiguousarray(stored).view("<u2").reshape(-1, *DEPTH_SIZE), axis=2, dtype=np.uint16)


def data_hash(names: Iterable[ShardName]) -> str:
    """Of a data set: over the checksums of its shards, in order."""
    digest = hashlib.sha256()
    for name in names:
        about = note(name)
        digest.update(f"{name.stem} {about['sha256']['pairs']} {about['sha256']['pictures']}\n".encode())
    return digest.hexdigest()


# -- inside --------------------------------------------------------------------------------------


def _pairs_table(rows: dict[str, list[Any]]) -> pa.Table:
    columns: list[pa.Array] = []
    for f in PAIRS:
        values = rows[f.name]
        if f.name == "coverage":
            columns.append(_binary(np.stack(values)))
        elif pa.types.is_fixed_size_list(f.type):
            columns.append(_lists(np.stack([np.asarray(v) for v in values]), f.type))
        elif pa.types.is_dictionary(f.type):
            columns.append(pa.array(values, pa.string()).dictionary_encode().cast(f.type))
        else:
            columns.append(pa.array(values, f.type))
    return pa.table(columns, schema=PAIRS)


def _pictures_table(rows: dict[str, list[Any]]) -> pa.Table:
    columns: list[pa.Array] = []
    for f in PICTURES:
        values = rows[f.name]
        if f.name in ("rgb", "depth_mm"):
            pictures = np.stack(values)
            difference = pictures.astype(pictures.dtype.newbyteorder("<"))
            difference[:, :, 1:] -= pictures[:, :, :-1]
            columns.append(_binary(difference))
        elif pa.types.is_fixed_size_binary(f.type):
            columns.append(_binary(np.stack(values)))
        elif pa.types.is_fixed_size_list(f.type):
            columns.append(_lists(np.stack(values), f.type))
        else:
            columns.append(pa.array(values, f.type))
    return pa.table(columns, schema=PICTURES)


def _binary(values: NDArray) -> pa.Array:
    """(n, ...) of any numbers to n values of a fixed number of bytes."""
    size = values.nbytes // len(values)
    data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    return pa.Array.from_buffers(pa.binary(size), len(values), [None, data])


def _lists(values: NDArray, kind: pa.DataType) -> pa.Array:
    flat = np.ascontiguousarray(values, dtype=kind.value_type.to_pandas_dtype()).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)


def _flat(chunk: pa.Array) -> NDArray:
    kind = chunk.type
    if pa.types.is_fixed_size_binary(kind):
        data = np.frombuffer(chunk.buffers()[1], np.uint8)
        first = chunk.offset * kind.byte_width
        return data[first : first + len(chunk) * kind.byte_width].reshape(len(chunk), kind.byte_width)
    if pa.types.is_fixed_size_list(kind):
        return chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), kind.list_size)
    return chunk.to_numpy(zero_copy_only=False)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        for block in _blocks(f):
            digest.update(block)
    return digest.hexdigest()


def _blocks(f: Any) -> Iterator[bytes]:
    while block := f.read(1 << 20):
        yield block
