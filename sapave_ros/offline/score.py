"""Figures of a policy on a recording: how near to what was done, how smooth, how late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from sapave_ros import graph
from sapave_ros.bag import document
from sapave_ros.core.chunk import ChunkExecutor
from sapave_ros.offline.again import TOPIC, Answers, identical
from sapave_ros.offline.recording import GROUPS, Recording, Sent
from sapave_ros.types import ActionChunk, Floats

NOMINAL_LATENCY_S = 0.06
"""From exposure to chunk, where the recording has no chunk of that exposure."""

_GRID_S = 0.02
"""Of what is commanded: the period of its topics [s]."""


def errors(recording: Recording, chunks: Iterable[ActionChunk], group: str) -> Floats:
    """Mean over a group's joints of |predicted - commanded increment| [rad], (n chunks, steps).

    NaN where the group had no permission to move or the bag does not tell what was commanded.
    """
    rows = []
    for chunk in chunks:
        columns = [i for i, name in enumerate(chunk.joint_names) if name in GROUPS[group].names]
        if not columns:
            continue
        names = [chunk.joint_names[i] for i in columns]
        order = [GROUPS[group].names.index(name) for name in names]
        times: Floats = chunk.stamp_s + chunk.dt_s * np.arange(len(chunk.increments) + 1, dtype=np.float64)
        done = np.diff(recording.commanded(group, times)[:, order], axis=0)
        row = np.abs(chunk.increments[:, columns] - done).mean(axis=1)
        allowed = [recording.moving(group, a, b) for a, b in pairwise(times)]
        rows.append(np.where(allowed, row, np.nan))
    return np.array(rows) if rows else np.empty((0, 0))


def jumps(recording: Recording, sent: Sequence[Sent], group: str) -> tuple[Floats, dict[str, int]]:
    """Where a chunk takes over from the one before: the largest step [rad] of a joint of its reference, (n,), without
    any blending; and how many were refused, by kind. Chunks are executed by the controller's own executor.
    """
    joints = GROUPS[group]
    executor = ChunkExecutor(joints.names, joints.column("velocity"), blend_s=0.0)
    found: list[float] = []
    refused: dict[str, int] = {}
    path = recording.commands.get(group)
    if path is None:
        return np.empty(0), refused
    at = 0
    for s in sent:
        while at < len(path.times_s) and path.times_s[at] <= s.received_s:
            executor.record(float(path.times_s[at]), path.positions[at])
            at += 1
        own = _only(s.chunk, joints.names)
        if own is None:
            continue
        before = executor.reference(s.received_s)
        refusal = executor.accept(own, s.received_s)
        if refusal is not None:
            refused[refusal.fault.value] = refused.get(refusal.fault.value, 0) + 1
        elif before is not None:
            found.append(float(np.abs(executor.sample(s.received_s)[0] - before[0]).max()))
    return np.array(found), refused


def jerk(recording: Recording, group: str) -> float | None:
    """Root mean square of the third derivative of what was commanded [rad/s^3], over all joints while it moved."""
    path = recording.commands.get(group)
    if path is None or path.times_s[-1] - path.times_s[0] < 1.0:
        return None
    times = np.arange(path.times_s[0], path.times_s[-1], _GRID_S)
    q = recording.commanded(group, times)
    third = np.diff(q, n=3, axis=0) / _GRID_S**3
    moves = np.abs(np.diff(q, axis=0)[2:]).max(axis=1) > 1e-5
    third = third[moves & np.isfinite(third).all(axis=1)]
    return float(np.sqrt((third**2).mean())) if len(third) else None


def figures(recording: Recording, answers: Answers) -> dict[str, Any]:
    """What is scored of one model on one recording, as JSON holds it; None where there is nothing to tell."""
    same = identical(recording, answers)
    report: dict[str, Any] = {
        "sha256": answers.model_sha256,
        "session": asdict(answers.parameters),
        "observed": answers.observed,
        "missing": _counted(why for _, why in answers.missing),
        "refused_answers": len(answers.refused),
        "malformed": dict(sorted(recording.malformed.items())),
        "unknown_words": sorted(answers.unknown_words),
        "identical": {h: {"chunks": n, "of": of, "largest_rad": worst} for h, (n, of, worst) in same.items()},
        "groups": {},
    }
    for head, groups in (("head", ("head",)), ("other", ("arms", "hands"))):
        chunks = answers.chunks.get(head, [])
        sent = arrived(recording, head, chunks)
        for group in groups:
            if not chunks:
                continue
            each = errors(recording, chunks, group)
            steps, refused = jumps(recording, sent, group)
            report["groups"][group] = {
                "chunks": len(chunks),
                "compared_steps": int(np.isfinite(each).sum()),
                "error_rad": _mean(each),
                "error_rad_by_step": [_mean(column) for column in each.T],
                "jump_rad": _spread(steps),
                "refused": refused,
            }
    return report


def run_figures(recording: Recording) -> dict[str, Any]:
    """What a recording says of the run itself, whatever model is asked."""
    sent = recording.chunks.get(graph.HEAD_INCREMENTS, []) + recording.chunks.get(graph.ARM_INCREMENTS, [])
    return {
        "damage": recording.damage,
        "messages": dict(sorted(recording.bag.counts.items())),
        "model_sha256": document.model_sha256(recording.bag.attachments),
        "latency_s": _spread(np.array([s.received_s - s.chunk.stamp_s for s in sent])),
        "age_s": _spread(ages(recording)),
        "jerk_rad_s3": {group: jerk(recording, group) for group in recording.commands},
        "nodes": recording.figures,
        "instructions": [text for _, text in recording.instructions],
    }


def ages(recording: Recording) -> Floats:
    """How old the exposure of a chunk was when the next one came [s], (n,), where one came before that chunk's end."""
    found = [
        after.received_s - before.chunk.stamp_s
        for topic in TOPIC.values()
        for before, after in pairwise(recording.chunks.get(topic, ()))
        if after.received_s <= before.chunk.stamp_s + before.chunk.dt_s * len(before.chunk.increments)
    ]
    return np.array(found)


def arrived(recording: Recording, head: str, chunks: Sequence[ActionChunk]) -> list[Sent]:
    """Chunks with the time at which they would have come [s]: as late as the robot's own of the same exposure."""
    own = {s.chunk.stamp_s: s.received_s for s in recording.chunks.get(TOPIC[head], ())}
    return [Sent(own.get(c.stamp_s, c.stamp_s + NOMINAL_LATENCY_S), c) for c in chunks]


def _only(chunk: ActionChunk, names: tuple[str, ...]) -> ActionChunk | None:
    columns = [i for i, name in enumerate(chunk.joint_names) if name in names]
    if not columns:
        return None
    own = tuple(chunk.joint_names[i] for i in columns)
    return ActionChunk(chunk.stamp_s, chunk.dt_s, own, chunk.increments[:, columns])


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _spread(values: Floats) -> dict[str, float] | None:
    if not values.size:
        return None
    return {"median": float(np.median(values)), "p95": float(np.percentile(values, 95)), "max": float(values.max())}


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    """How often each, with numbers taken out so that the like of it is one."""
    found: dict[str, int] = {}
    for reason in reasons:
        key = "".join("#" if c.isdigit() else c for c in reason)
        found[key] = found.get(key, 0) + 1
    return found
