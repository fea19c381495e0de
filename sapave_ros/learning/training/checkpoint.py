"""Checkpoints on disk: whole or not at all, and plain about what is wrong with one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sapave_ros.learning.config import Config, plain

FIELDS = frozenset({"stage", "step", "config", "vocabulary", "training", "model", "average", "optimiser"})


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces the file in one step, after its bytes are on the disk. OSError leaves what was there as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch wraps some failures of the disk
        partial.unlink(missing_ok=True)
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        kept = "; the checkpoint from before is whole" if path.exists() else ""
        raise OSError(f"{path}: cannot be written ({cause}){kept}") from error
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Raises ValueError where the file is no checkpoint of this program, OSError where it cannot be opened."""
    with path.open("rb") as file:
        try:
            state = torch.load(file, weights_only=True, map_location="cpu")
        except Exception as error:  # of a dozen unrelated types
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            message = f"{path}: is damaged or no checkpoint ({reason:.120}); delete it or use --fresh"
            raise ValueError(message) from error
    if not isinstance(state, dict) or (missing := sorted(FIELDS - state.keys())):
        lacks = f" ({missing[0]} is missing)" if isinstance(state, dict) else ""
        raise ValueError(f"{path}: is no checkpoint of this version{lacks}; delete it or use --fresh")
    return state


def backbone(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint of the stage `ground` taught, and no more: averaged weights of the backbone, in 16 bits."""
    taught = {n: v for n, v in (state["model"] | state["average"]).items() if n.startswith("backbone.")}
    half = {n: v.half() if v.is_floating_point() else v for n, v in taught.items()}
    about = {n: v for n, v in state.items() if n not in ("model", "average", "optimiser", "readout")}
    return {**about, "model": half, "average": {}, "optimiser": {}}


def looked(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint of the stage `look` taught, and no more: all averaged weights, in 16 bits."""
    half = {n: v.half() if v.is_floating_point() else v for n, v in (state["model"] | state["average"]).items()}
    about = {n: v for n, v in state.items() if n not in ("model", "average", "optimiser", "readout")}
    return {**about, "model": half, "average": {}, "optimiser": {}}


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names and values."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check(path: Path, state: Mapping[str, Any], config: Config, vocabulary: tuple[str, ...]) -> None:
    """ValueError naming what differs, where a checkpoint is of another network or of other words.

    What an earlier version did not know yet is no difference.
    """
    here, there = plain(config), state["config"]
    for name in sorted(there):
        value, expected = (_listed(side.get(name)) for side in (there, here))
        if value != expected and name != "name":
            raise ValueError(
                f"{path}: is of another architecture: config {name} is {value!r:.80}, here {expected!r:.80}; "
                "use another --run or --fresh"
            )
    if tuple(state["vocabulary"]) != vocabulary:
        raise ValueError(f"{path}: was trained on another vocabulary; use another --run or --fresh")


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
