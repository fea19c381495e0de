"""Writes LeRobot's format v3.0: many episodes a file, and in meta/episodes where each is.

    meta/info.json, stats.json, tasks.parquet, episodes/chunk-000/file-000.parquet, sapave.json
    data/chunk-000/file-000.parquet                              a row a frame, a row group at most 256 of an episode
    videos/observation.images.head/chunk-000/file-000.mp4

All of it is written beside the folder that it is to be (`.NAME.PID.part`), and becomes that folder when it is whole.
What fails takes it along; what is killed leaves it there, for the next one of that name to remove.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from sapave_ros.dataset import stats, video
from sapave_ros.dataset.features import COLOR, DEPTH, INDICES, Frame, features

VERSION = "v3.0"
ROBOT = "unitree_g1"
FILES_PER_CHUNK = 1000
DATA_MB = 100
VIDEO_MB = 200
"""A file is followed by another before it grows past this, between two episodes."""

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
TASKS_PATH = "meta/tasks.parquet"

_GROUP = 256
"""Frames in memory at a time, however long an episode is: with their depth, a row group of a file."""

_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 6]


class _Pngs:
    """Depth pictures of an episode, on disk until it is known whether it is kept."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("xb")
        self._sizes: list[int] = []

    def add(self, depth_mm: NDArray[np.uint16]) -> None:
        done, png = cv2.imencode(".png", depth_mm, _PNG)
        assert done
        self._sizes.append(self._file.write(png.data))

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(self._sizes)

    def groups(self) -> Iterator[tuple[int, list[bytes]]]:
        """In their order, as many at a time as a row group takes, and before each how many came before. Ends it."""
        self._file.close()
        with self._path.open("rb") as file:
            for first in range(0, len(self._sizes), _GROUP):
                yield first, [file.read(size) for size in self._sizes[first : first + _GROUP]]
        self.abort()

    def abort(self) -> None:
        """Forgets them."""
        with suppress(OSError):  # a disk that is full, once more
            self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass
class _Buffer:
    """The episode that is being written."""

    encoder: video.VideoEncoder
    depth: _Pngs
    vectors: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    color_pixels: stats.PixelCounts = field(default_factory=lambda: stats.PixelCounts(3, np.uint8))
    depth_pixels: stats.PixelCounts = field(default_factory=lambda: stats.PixelCounts(1, np.uint16))

    def abort(self) -> None:
        """Forgets it."""
        self.encoder.abort()
        self.depth.abort()


class DatasetWriter:
    """One data set. Frames are added, then saved as an episode, or discarded.

    folder: where it is to be; not there, or empty. Raises ValueError on a folder that is not, OSError where the disk
    does not take what it is given. A context manager: what was not published is gone at its end.
    """

    def __init__(
        self,
        folder: Path,
        fps: int,
        data_mb: float = DATA_MB,
        video_mb: float = VIDEO_MB,
        extra: Mapping[str, int] | None = None,
    ) -> None:
        """extra: vectors that its frames have besides those of every data set, with their length."""
        check_folder(folder)
        self.folder, self.fps, self._extra = folder, fps, dict(extra or {})
        self.episodes = self.frames = 0
        self.size: tuple[int, int] | None = None
        self._limits = {"data": data_mb * 1e6, "video": video_mb * 1e6}
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._stats: list[dict[str, stats.Stats]] = []
        self._buffer: _Buffer | None = None
        self._data: parquet.ParquetWriter | None = None
        self._data_index, self._data_bytes = 0, 0
        self._video_parts: list[Path] = []
        self._video_index, self._video_bytes, self._video_frames = 0, 0, 0
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_left_behind(folder)
        self._root = folder.parent / f".{folder.name}.{os.getpid()}.part"
        self._root.mkdir()
        _own.add(self._root)

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._buffer is not None:
            self._buffer.abort()
        if self._data is not None:
            with suppress(OSError):  # a disk that is full, once more
                self._data.close()
        shutil.rmtree(self._root, ignore_errors=True)
        _own.discard(self._root)

    def add(self, frame: Frame) -> None:
        """The next frame of the episode. Raises ValueError where its pictures have another size than those before."""
        height, width = frame.rgb.shape[:2]
        if self.size not in (None, (height, width)) or frame.depth_mm.shape != (height, width):
            raise ValueError(
                f"picture: {width} x {height}, depth {frame.depth_mm.shape[1]} x {frame.depth_mm.shape[0]}; "
                f"expected {(self.size or (height, width))[1]} x {(self.size or (height, width))[0]}, both"
            )
        if self._buffer is None:
            path = self._root / f"episode-{self.episodes:06d}.mp4"
            encoder = video.VideoEncoder(path, height, width, self.fps)
            try:
                self._buffer = _Buffer(encoder, _Pngs(path.with_suffix(".depth")))
            except OSError:
                encoder.abort()
                raise
        self.size = (height, width)
        buffer = self._buffer
        buffer.encoder.write(frame.rgb)
        buffer.depth.add(frame.depth_mm)
        buffer.tasks.append(frame.task)
        for name, vector in frame.vectors.items():
            buffer.vectors.setdefault(name, []).append(vector)
        buffer.color_pixels.add(frame.rgb)
        buffer.depth_pixels.add(frame.depth_mm)

    def discard(self) -> None:
        """Forgets the frames that were added since the last episode."""
        if self._buffer is not None:
            self._buffer.abort()
            self._buffer.encoder.path.unlink(missing_ok=True)
            self._buffer = None
            if not self.episodes:
                self.size = None

    def save(self, about: Mapping[str, Any]) -> None:
        """Ends the episode. about: column to value in meta/episodes, the same columns for every episode."""
        buffer = self._buffer
        assert buffer is not None, "an episode needs a frame"
        buffer.encoder.close()
        self._buffer = None
        length = len(buffer.tasks)
        for task in buffer.tasks:
            self._tasks.setdefault(task, len(self._tasks))
        columns = self._columns(buffer)
        found = self._statistics(buffer, columns)
        row = {
            "episode_index": self.episodes,
            "tasks": list(dict.fromkeys(buffer.tasks)),
            "length": length,
            **self._place_data(columns, buffer.depth),
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + length,
            **self._place_video(buffer.encoder.path, length),
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
            **about,
        }
        row |= {f"stats/{name}/{kind}": v.tolist() for name, of in found.items() for kind, v in of.items()}
        self._rows.append(row)
        self._stats.append(found)
        self.episodes += 1
        self.frames += length

    def publish(self, notes: Mapping[str, Any]) -> None:
        """Ends the data set and puts it into its place. notes: for meta/sapave.json."""
        assert self._rows and self.size, "a data set needs an episode"
        self._end_video()
        if self._data is not None:
            self._data.close()
            self._data = None
        self._write_tasks()
        (self._root / EPISODES_PATH).parent.mkdir(parents=True)
        _write(pa.Table.from_pylist(self._rows), self._root / EPISODES_PATH)
        names = list(self._stats[0])
        total = {name: stats.aggregate([of[name] for of in self._stats]) for name in names}
        _write_json(
            {name: {kind: value.tolist() for kind, value in of.items()} for name, of in total.items()},
            self._root / "meta/stats.json",
        )
        _write_json(self._info(), self._root / "meta/info.json")
        _write_json(notes, self._root / "meta/sapave.json")
        check_folder(self.folder)
        self._root.replace(self.folder)

    # -- inside ----------------------------------------------------------------------------------

    def _columns(self, buffer: _Buffer) -> dict[str, NDArray]:
        """All of an episode but its pictures, (frames, n) or (frames,)."""
        number = np.arange(len(buffer.tasks))
        return {
            **{name: np.stack(rows) for name, rows in buffer.vectors.items()},
            "timestamp": (number / self.fps).astype(np.float32),
            "frame_index": number,
            "episode_index": np.full(len(number), self.episodes),
            "index": self.frames + number,
            "task_index": np.array([self._tasks[task] for task in buffer.tasks]),
        }

    def _statistics(self, buffer: _Buffer, columns: Mapping[str, NDArray]) -> dict[str, stats.Stats]:
        frames = len(buffer.tasks)
        return {
            COLOR: buffer.color_pixels.stats(scale=255.0),
            DEPTH: buffer.depth_pixels.stats(),
            **{name: stats.vector_stats(values.reshape(frames, -1)) for name, values in columns.items()},
        }

    def _place_data(self, columns: Mapping[str, NDArray], depth: _Pngs) -> dict[str, int]:
        size = depth.size + sum(values.nbytes for values in columns.values())
        if self._data is not None and self._data_bytes + size > self._limits["data"]:
            self._data.close()
            self._data, self._data_bytes, self._data_index = None, 0, self._data_index + 1
        for first, pngs in depth.groups():
            table = _table({name: v[first : first + len(pngs)] for name, v in columns.items()}, first, pngs)
            if self._data is None:
                path = self._root / DATA_PATH.format(**_place(self._data_index))
                path.parent.mkdir(parents=True, exist_ok=True)
                self._data = parquet.ParquetWriter(path, table.schema, compression="snappy")
            self._data.write_table(table)
        self._data_bytes += size
        return {f"data/{key}": value for key, value in _place(self._data_index).items()}

    def _place_video(self, path: Path, length: int) -> dict[str, Any]:
        size = path.stat().st_size
        if self._video_parts and self._video_bytes + size > self._limits["video"]:
            self._end_video()
        self._video_parts.append(path)
        first, self._video_frames = self._video_frames, self._video_frames + length
        self._video_bytes += size
        return {
            **{f"videos/{COLOR}/{key}": value for key, value in _place(self._video_index).items()},
            f"videos/{COLOR}/from_timestamp": first / self.fps,
            f"videos/{COLOR}/to_timestamp": self._video_frames / self.fps,
        }

    def _end_video(self) -> None:
        path = self._root / VIDEO_PATH.format(video_key=COLOR, **_place(self._video_index))
        path.parent.mkdir(parents=True, exist_ok=True)
        moved = [part.rename(path.parent / part.name) for part in self._video_parts]
        video.join(moved, path)
        self._video_parts, self._video_bytes, self._video_frames = [], 0, 0
        self._video_index += 1

    def _write_tasks(self) -> None:
        """As pandas writes a table whose index is the task, without pandas."""
        told = [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
        ]
        about = {"index_columns": ["task"], "column_indexes": [], "columns": told, "pandas_version": "2.0.0"}
        table = pa.table({"task_index": pa.array(self._tasks.values(), pa.int64()), "task": list(self._tasks)})
        (self._root / TASKS_PATH).parent.mkdir(exist_ok=True)
        _write(table.replace_schema_metadata({"pandas": json.dumps(about)}), self._root / TASKS_PATH)

    def _info(self) -> dict[str, Any]:
        assert self.size is not None
        return {
            "codebase_version": VERSION,
            "robot_type": ROBOT,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self.fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": features(*self.size, self.fps, video.about(*self.size, self.fps), self._extra),
        }


_own: set[Path] = set()
"""Folders in which this process is writing."""


def remove_left_behind(folder: Path) -> None:
    """Removes what processes that were killed have left beside a data set of that name; what others write stays."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.([1-9]\d*)\.part")
    for part in folder.parent.iterdir():
        found = name.fullmatch(part.name)
        if found and part.is_dir() and not part.is_symlink() and not _writes(int(found[1]), part):
            shutil.rmtree(part, ignore_errors=True)


def _writes(pid: int, part: Path) -> bool:
    """Whether somebody may still write there: a process of that number, or, where it is ours, this one itself.

    In a container every run may have the number of the one before.
    """
    if pid == os.getpid():
        return part in _own
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # it lives and is somebody else's; or nobody knows
        return True
    return True


def check_folder(folder: Path) -> None:
    """Raises ValueError unless a data set may become that folder."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        what = "is not empty" if folder.is_dir() else "is no folder"
        raise ValueError(f"--output {folder}: is there and {what}; expected a folder that is empty or not there")


def _place(index: int) -> dict[str, int]:
    return {"chunk_index": index // FILES_PER_CHUNK, "file_index": index % FILES_PER_CHUNK}


def _table(columns: Mapping[str, NDArray], first: int, depth_png: list[bytes]) -> pa.Table:
    """Rows of an episode, from its frame `first` on, in the types that the library `datasets` gives these features, and
    with its note of them: with it that library takes depth for pictures, LeRobot or not."""
    pictures = [{"bytes": png, "path": f"frame-{i:06d}.png"} for i, png in enumerate(depth_png, first)]
    arrays: dict[str, pa.Array] = {
        DEPTH: pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    }
    noted: dict[str, dict[str, Any]] = {DEPTH: {"_type": "Image"}}
    for name, values in columns.items():
        scalar = {"dtype": "int64" if name in INDICES else "float32", "_type": "Value"}
        if values.ndim == 2 and values.shape[1] > 1:
            flat = pa.array(values.ravel(), pa.float32())
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            noted[name] = {"feature": scalar, "length": values.shape[1], "_type": "List"}
        else:
            arrays[name] = pa.array(values.ravel(), pa.int64() if name in INDICES else pa.float32())
            noted[name] = scalar
    return pa.table(arrays).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": noted}})})


def _write(table: pa.Table, path: Path) -> None:
    parquet.write_table(table, path, compression="snappy")


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
