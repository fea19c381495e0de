"""The data card: what a data set is like, in figures and in pictures that a person can judge."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.pairs import store
from sapave_ros.learning.pairs.camera import GRID, PATCH, PICTURE_SIZE
from sapave_ros.learning.pairs.generate import SHARES, revealed
from sapave_ros.learning.pairs.labels import DT_S, STEPS
from sapave_ros.learning.pairs.splits import SPLITS
from sapave_ros.learning.pairs.store import ShardName
from sapave_ros.policy.tokenizer import split as words_of

_COUNTED = ("kind", "visibility", "difficulty", "template", "target_kind", "target_colour")
_TILES = (3, 4)  # columns and rows of a sheet
_ZOOM = 2
_LOOK, _SEARCH, _TARGET, _INK = (60, 220, 60), (60, 170, 255), (255, 80, 255), (30, 30, 30)  # BGR


def write(folder: Path, split: str) -> Path:
    """Writes `card-SPLIT.md`, `.json` and sheets beside the shards; returns the path of the first.

    Raises FileNotFoundError where there are no shards, ShardError where one is damaged.
    """
    names = store.find([folder], split)
    figures = describe(names)
    sheets = {}
    for kind in figures["counts"]["kind"]:
        path = folder / f"card-{split}-{kind}.png"
        cv2.imwrite(str(path), sheet(names, kind))
        sheets[kind] = path.name
    (folder / f"card-{split}.json").write_text(json.dumps(figures, indent=1))
    card = folder / f"card-{split}.md"
    card.write_text(_markdown(split, figures, sheets), encoding="utf-8")
    return card


def describe(names: list[ShardName]) -> dict[str, Any]:
    """Counts, statistics of the labels, and the hash over all checksums."""
    columns = [
        *_COUNTED, "text", "room_seed", "head", "goal", "goal_fraction", "visible_fraction", "angle_rad", "search",
        "chunk",
    ]  # fmt: skip
    parts: dict[str, list[NDArray]] = {c: [] for c in columns}
    notes = [store.note(name) for name in names]
    for name in names:
        table = store.read(name, "pairs", columns)
        for c in columns:
            parts[c].append(store.array(table, c))
    rows = {c: np.concatenate(p) for c, p in parts.items()}
    turn = np.rad2deg(np.linalg.norm(rows["goal"] - rows["head"], axis=1))
    chunk = rows["chunk"].reshape(-1, STEPS, 2)
    look = ~rows["search"]
    texts = [str(t) for t in rows["text"]]
    words = Counter(w for t in texts for w in words_of(t))
    return {
        "split": names[0].split,
        "hash": store.data_hash(names),
        "schema": store.SCHEMA_VERSION,
        "shards": len(names),
        "triples": len(texts),
        "pictures": int(sum(n["rows"]["pictures"] for n in notes)),
        "rooms": len(np.unique(rows["room_seed"])),
        "bytes": int(sum(sum(n["bytes"].values()) for n in notes)),
        "picture_size": list(PICTURE_SIZE),
        "texts": {
            "different": len(set(texts)),
            "words": len(words),
            "longest": max(len(words_of(t)) for t in texts),
            "mean_words": float(np.mean([len(words_of(t)) for t in texts])),
        },
        "counts": {c: _counts(rows[c]) for c in _COUNTED},
        "labels": {
            "search_share": float(rows["search"].mean()),
            "turn_deg": _spread(turn[look]) if look.any() else {},
            "angle_deg": _spread(np.rad2deg(rows["angle_rad"])),
            "never_revealed_share": float((~revealed(rows["goal_fraction"])).mean()),
            "goal_fraction": _spread(rows["goal_fraction"]),
            "goal_yaw_deg": _spread(np.rad2deg(rows["goal"][:, 0])),
            "goal_pitch_deg": _spread(np.rad2deg(rows["goal"][:, 1])),
            "largest_increment_rad": np.abs(chunk).max(axis=(0, 1)).astype(float).round(5).tolist(),
        },
    }


def sheet(names: list[ShardName], kind: str) -> NDArray[np.uint8]:
    """Samples of one kind of instruction (H, W, 3) BGR: picture, target outlined, instruction, way of the axis."""
    columns, rows = _TILES
    tiles: list[NDArray[np.uint8]] = []
    seen: set[int] = set()
    kinematics = Kinematics.from_urdf()
    step = max(1, len(names) // (columns * rows))
    for name in names[::step]:
        pairs = store.read(name, "pairs")
        arrays = {f.name: store.array(pairs, f.name) for f in store.PAIRS}
        fit = np.flatnonzero(arrays["kind"] == kind)
        pictures = store.read(name, "pictures", ["rgb", "intrinsics"]) if len(fit) else None
        for i in np.random.default_rng([name.index, 0xCA]).permutation(fit):
            room = int(arrays["room_seed"][i])
            if room in seen or pictures is None or len(tiles) >= columns * rows:
                continue
            seen.add(room)
            row = {c: a[i] for c, a in arrays.items()}
            picture = pictures.slice(int(row["picture"]), 1)
            rgb, k = (store.array(picture, c) for c in ("rgb", "intrinsics"))
            tiles.append(tile(store.rgb(rgb)[0], k.reshape(3, 3), row, kinematics))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[r : r + columns]) for r in range(0, len(tiles), columns)])


def tile(
    rgb: NDArray[np.uint8], intrinsics: NDArray[np.floating], row: dict[str, Any], kinematics: Kinematics
) -> NDArray[np.uint8]:
    """One triple as a picture (H, W, 3) BGR."""
    z, (h, w) = _ZOOM, PICTURE_SIZE
    picture = cv2.resize(np.ascontiguousarray(rgb[..., ::-1]), None, fx=z, fy=z, interpolation=cv2.INTER_CUBIC)
    share = row["coverage"].reshape(GRID)
    if share.any():
        mask = cv2.resize(
            (share > 0).astype(np.uint8), None, fx=PATCH * z, fy=PATCH * z, interpolation=cv2.INTER_NEAREST
        )
        outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outline, -1, _TARGET, 1)
    u0, v0, u1, v1 = (int(v) for v in row["box"])
    if u0 >= 0:
        cv2.rectangle(picture, (u0 * z, v0 * z), (u1 * z + z - 1, v1 * z + z - 1), _TARGET, 2)
    # Where the optical axis goes, as seen in this picture.
    way = np.vstack([np.zeros(2), np.cumsum(row["chunk"].reshape(STEPS, 2), axis=0)])
    here = kinematics.camera_in_torso(row["head"])[:3, :3]
    axes = [kinematics.camera_in_torso(row["head"] + turn)[:3, 2] @ here for turn in way]
    points = np.array([intrinsics[:2] @ (a / max(a[2], 0.15)) * z for a in axes])
    colour = _SEARCH if row["search"] else _LOOK
    for a, b in pairwise(points):
        cv2.line(picture, _pixel(a), _pixel(b), colour, 2, cv2.LINE_AA)
    end = np.clip(points[-1], 6, (w * z - 7, h * z - 7))
    cv2.circle(picture, _pixel(points[0]), 4, colour, -1, cv2.LINE_AA)
    cv2.circle(picture, _pixel(end), 7, colour, 2, cv2.LINE_AA)
    text = np.full((78, w * z, 3), 255, np.uint8)
    lines = _wrapped(str(row["text"]), 66)[:2]
    does = "search" if row["search"] else f"turn {_degrees(way[-1])}"
    fraction = f"{row['visible_fraction']:.0%} visible, {row['goal_fraction']:.0%} at goal"
    lines += [f"[{row['target'] or 'nothing'}] {row['visibility']}, {fraction}; {does}; level {row['difficulty']}"]
    for i, line in enumerate(lines):
        scale = 0.5 if i < len(lines) - 1 else 0.4
        cv2.putText(text, line, (6, 20 + 22 * i), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    framed = cv2.copyMakeBorder(np.vstack([text, picture]), 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(200, 200, 200))
    return np.asarray(framed, np.uint8)


# -- inside --------------------------------------------------------------------------------------


def _degrees(turn: NDArray[np.floating]) -> str:
    yaw, pitch = np.rad2deg(turn)
    return f"{abs(yaw):.0f} {'left' if yaw > 0 else 'right'}, {abs(pitch):.0f} {'down' if pitch > 0 else 'up'}"


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _counts(values: NDArray) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable") if names.dtype.kind == "U" else range(len(names))
    return {str(names[i]): int(counts[i]) for i in order}


def _spread(values: NDArray) -> dict[str, float]:
    low, quarter, middle, three, high = np.percentile(values, [5, 25, 50, 75, 95])
    return {
        "mean": round(float(values.mean()), 4),
        "p5": round(float(low), 4),
        "p25": round(float(quarter), 4),
        "p50": round(float(middle), 4),
        "p75": round(float(three), 4),
        "p95": round(float(high), 4),
    }


def _markdown(split: str, f: dict[str, Any], sheets: dict[str, str]) -> str:
    labels, texts = f["labels"], f["texts"]
    lines = [
        f"# Data card: `{split}`",
        "",
        f"{SPLITS[split].meaning.capitalize()}. {f['triples']:,} triples of picture, instruction and head movement "
        f"from {f['rooms']:,} rooms and {f['pictures']:,} pictures of {f['picture_size'][1]} x {f['picture_size'][0]} "
        f"pixels, in {f['shards']} shards of together {f['bytes'] / 1e9:.2f} GB.",
        "",
        f"Hash: `{f['hash']}` (SHA-256 over the shards' checksums, in order).",
        "",
        f"Instructions: {texts['different']:,} different ones of {texts['words']} words; {texts['mean_words']:.1f} "
        f"words on average, {texts['longest']} at most.",
        "",
        "## Labels",
        "",
        f"{labels['search_share']:.1%} of the chunks are the search's ({STEPS} steps of {DT_S:g} s): what they name "
        f"does not show, and for {labels['never_revealed_share']:.1%} of all no single pose would reveal it. The "
        "others turn the head to the pose that brings it best into view. Largest increment of a step, yaw and pitch: "
        f"{labels['largest_increment_rad']} rad.",
        "",
        "| | mean | 5 % | 25 % | 50 % | 75 % | 95 % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, title in (
        ("turn_deg", "turn to the goal, without searches [deg]"),
        ("angle_deg", "target off the axis [deg]"),
        ("goal_fraction", "of the target visible at the goal"),
        ("goal_yaw_deg", "goal, yaw [deg]"),
        ("goal_pitch_deg", "goal, pitch [deg]"),
    ):
        s = labels[name]
        if s:
            lines.append(
                f"| {title} | " + " | ".join(f"{s[k]:.3g}" for k in ("mean", "p5", "p25", "p50", "p75", "p95")) + " |"
            )
    titles = {
        "kind": "kind of instruction", "visibility": "visibility", "difficulty": "difficulty", "template": "template",
        "target_kind": "kind of object", "target_colour": "colour of object",
    }  # fmt: skip
    shares = {v.value: s for v, s in SHARES.items()}
    for column, title in titles.items():
        counts = f["counts"][column]
        lines += [
            "",
            f"## By {title}",
            "",
            f"| {title} | triples | share |" + (" aimed at |" if column == "visibility" else ""),
        ]
        lines.append("| --- | --- | --- |" + (" --- |" if column == "visibility" else ""))
        for value, n in counts.items():
            aim = f" {shares[value]:.0%} |" if column == "visibility" else ""
            lines.append(f"| {value or '(no object)'} | {n:,} | {n / f['triples']:.1%} |{aim}")
    lines += ["", "## Samples", ""]
    lines += [
        "Box and outline: what is asked for, where it shows. Line: the way of the optical axis, from dot to ring; "
        "green to the goal, orange on the search.",
        "",
    ]
    lines += [f"![{kind}]({path})" for kind, path in sheets.items()]
    return "\n".join(lines) + "\n"
