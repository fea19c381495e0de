"""LeRobot's format v3.0 as published, read by its rules and without our writer.

Rules are those of LeRobot's documentation of the format and of what its loader does with a folder: info.json names the
paths and features; meta/episodes says in which rows of which data file, and where in which video, an episode is; a
frame's picture is the video's at `from_timestamp + timestamp`, no more than 1e-4 s off; tasks.parquet is a pandas table
whose index is the task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pyarrow import parquet

TOLERANCE_S = 1e-4
STATS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
ARROW = {"float32": "float", "int64": "int64"}


def read_table(path: Path) -> list[dict[str, Any]]:
    return parquet.read_table(path).to_pylist()


def read_rows(root: Path) -> list[dict[str, Any]]:
    """All frames in order, with depth decoded."""
    rows = [row for path in sorted((root / "data").glob("*/*.parquet")) for row in read_table(path)]
    for row in rows:
        png = np.frombuffer(row["observation.depth"]["bytes"], np.uint8)
        row["observation.depth"] = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    return rows


def read_video(root: Path, episode: dict[str, Any]) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of an episode: time within it [s], picture (H, W, 3)."""
    info = json.loads((root / "meta/info.json").read_text())
    (key,) = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    place = {name: episode[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
    capture = cv2.VideoCapture(str(root / info["video_path"].format(video_key=key, **place)))
    begin_s, end_s = episode[f"videos/{key}/from_timestamp"], episode[f"videos/{key}/to_timestamp"]
    try:
        while True:
            there, picture = capture.read()
            if not there:
                return
            stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if begin_s - TOLERANCE_S <= stamp_s < end_s - TOLERANCE_S:
                yield stamp_s - begin_s, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def check_format(root: Path) -> None:
    """AssertionError with what is not as published."""
    info = json.loads((root / "meta/info.json").read_text())
    features = info["features"]
    assert info["codebase_version"] == "v3.0"
    assert isinstance(info["fps"], int)
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index"} <= set(features)
    assert all("/" not in name for name in features)
    episodes = [row for path in sorted((root / "meta/episodes").glob("*/*.parquet")) for row in read_table(path)]
    tasks = _tasks(root)
    assert info["total_episodes"] == len(episodes) and info["total_tasks"] == len(tasks)
    assert info["splits"] == {"train": f"0:{len(episodes)}"}
    _check_schema(root, features)
    rows = read_rows(root)
    assert info["total_frames"] == len(rows) == episodes[-1]["dataset_to_index"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    for number, episode in enumerate(episodes):
        first, last = episode["dataset_from_index"], episode["dataset_to_index"]
        own = rows[first:last]
        assert episode["episode_index"] == number
        assert episode["length"] == last - first == len(own) > 0
        assert first == (episodes[number - 1]["dataset_to_index"] if number else 0)
        assert {row["episode_index"] for row in own} == {number}
        assert [row["frame_index"] for row in own] == list(range(len(own)))
        np.testing.assert_allclose(
            [row["timestamp"] for row in own], np.arange(len(own)) / info["fps"], atol=TOLERANCE_S
        )
        assert sorted({tasks[row["task_index"]] for row in own}) == sorted(episode["tasks"])
        place = {name: episode[f"data/{name}"] for name in ("chunk_index", "file_index")}
        held = read_table(root / info["data_path"].format(**place))
        assert {number} <= {row["episode_index"] for row in held}
        assert sum(row["episode_index"] == number for row in held) == len(own), "in one file"
        shown = list(read_video(root, episode))
        assert len(shown) == len(own), "as many pictures as frames"
        np.testing.assert_allclose([t for t, _ in shown], [row["timestamp"] for row in own], atol=TOLERANCE_S)
        _check_pictures(features, own[0], shown[0][1])
        for name, feature in features.items():
            _check_stats({k: episode[f"stats/{name}/{k}"] for k in STATS}, feature)
    found = json.loads((root / "meta/stats.json").read_text())
    assert set(found) == set(features)
    for name, feature in features.items():
        _check_stats(found[name], feature)


def _tasks(root: Path) -> list[str]:
    """Tasks by their index, as pandas reads them: the table's index is the column that its metadata names."""
    table = parquet.read_table(root / "meta/tasks.parquet")
    (index,) = json.loads(table.schema.metadata[b"pandas"])["index_columns"]
    rows = table.to_pylist()
    assert [row["task_index"] for row in rows] == list(range(len(rows))), "the n-th row is task n"
    return [row[index] for row in rows]


def _check_schema(root: Path, features: dict[str, Any]) -> None:
    for path in (root / "data").glob("*/*.parquet"):
        schema = parquet.read_schema(path)
        stored = {name for name, feature in features.items() if feature["dtype"] != "video"}
        assert set(schema.names) == stored
        noted = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert {name for name in noted if noted[name]["_type"] == "Image"} == {"observation.depth"}
        for name in stored:
            feature, kind = features[name], str(schema.field(name).type)
            if feature["dtype"] == "image":
                assert kind == "struct<bytes: binary, path: string>"
            elif feature["shape"] == [1]:
                assert kind == ARROW[feature["dtype"]]
            else:
                assert kind == f"fixed_size_list<element: {ARROW[feature['dtype']]}>[{feature['shape'][0]}]"
                assert feature["names"] is None or len(feature["names"]) == feature["shape"][0]


def _check_pictures(features: dict[str, Any], row: dict[str, Any], shown: np.ndarray) -> None:
    (color,) = [feature for feature in features.values() if feature["dtype"] == "video"]
    assert list(shown.shape) == color["shape"]
    depth = features["observation.depth"]
    assert list(row["observation.depth"].shape) == depth["shape"][:2]
    assert row["observation.depth"].dtype == np.uint16
    assert depth["info"] == {"is_depth_map": True, "depth_unit": "mm"}


def _check_stats(found: dict[str, Any], feature: dict[str, Any]) -> None:
    assert set(found) == STATS
    is_picture = feature["dtype"] in ("image", "video")
    shape = (feature["shape"][2], 1, 1) if is_picture else tuple(feature["shape"])
    for kind in STATS - {"count"}:
        assert np.shape(found[kind]) == shape, kind
    assert np.shape(found["count"]) == (1,)
    assert np.all(np.array(found["min"]) <= np.array(found["q50"]))
    assert np.all(np.array(found["q50"]) <= np.array(found["max"]))
