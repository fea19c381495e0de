"""How good the network is on pictures that it was not trained on."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from sapave_ros import g1
from sapave_ros.learning.model import grounding_loss
from sapave_ros.learning.reach import POINTS
from sapave_ros.learning.training.batches import Source
from sapave_ros.learning.training.objectives import Do, Ground, Look

FIRST = 10_000_000
"""Step numbers from here on are for testing."""


def evaluate(objective: Ground | Look | Do, batches: Source, count: int = 16, device: str = "cpu") -> dict[str, float]:
    """Mean over `count` batches.

    ground: loss of the grounding. found: share of things named that are found, or rightly said not to be in view.
    colour, kind, size, caption: losses of the readout, where the batch has what they need. mse_rad2: of the
    increments, the paper's measure. end_deg: mean angle between where the chunk ends and where it should;
    end_deg_look: of things in view. Of stage `do`: its losses; target_mm, goal_mm: how far off the points are at the
    median; other_rad: mean distance between where the chunk ends and where it should.
    """
    model = objective.model.eval()
    total: dict[str, list[float]] = defaultdict(list)
    with torch.no_grad():
        for i in range(count):
            b = {name: value.to(device) for name, value in batches(FIRST + i).items()}
            if isinstance(objective, Ground):
                for name, value in objective(b).items():
                    total[name].append(value.item())
                _, evidence = model.backbone(b["rgb"], b["words"], b.get("picture"))
                total["found"].append(_found(evidence.float(), b["coverage"]))
                continue
            if isinstance(objective, Do):
                for name, number in _done(objective, b).items():
                    total[name].append(number)
                continue
            context, evidence = model.context(b)
            total["ground"].append(grounding_loss(evidence.float(), b["coverage"]).item())
            total["found"].append(_found(evidence.float(), b["coverage"]))
            chunk, _ = model.chunks(b | _free(b["chunk"]), context)
            error = chunk - b["chunk"]
            end = torch.rad2deg(error.sum(1).norm(dim=-1))
            total["mse_rad2"].append((error**2).mean().item())
            total["end_deg"].append(end.mean().item())
            if (visible := b["coverage"].flatten(1).sum(1) > 0).any():
                total["end_deg_look"].append(end[visible].mean().item())
    objective.train()
    total.pop("loss", None)
    return {k: float(np.mean(v)) for k, v in total.items()}


def _done(objective: Do, b: dict[str, Tensor]) -> dict[str, float]:
    model = objective.model
    scores = {name: value.item() for name, value in objective(b).items()}
    context, _ = model.context(b)
    found = model.find(b, context)
    assert found is not None
    off = (found.points - b["points"]).norm(dim=-1)  # (B, p)
    for i, name in enumerate(POINTS):
        if (known := off[:, i].isfinite()).any():
            scores[f"{name}_mm"] = 1000.0 * off[known, i].median().item()
    head, other = model.chunks(b | _free(b["chunk"]), context, found)
    right_head, right_other = b["chunk"].tensor_split([len(g1.HEAD)], dim=-1)
    scores["end_deg"] = torch.rad2deg((head - right_head).sum(1).norm(dim=-1)).mean().item()
    scores["other_rad"] = (other - right_other).sum(1).norm(dim=-1).mean().item()
    return scores


def _free(chunk: Tensor) -> dict[str, Tensor]:
    """No noise to start from, as deployed (`policy.session.NO_NOISE`), and nothing to continue."""
    batch, steps = chunk.shape[:2]
    free: dict[str, Tensor] = {}
    for name, joints in (("head", len(g1.HEAD)), ("other", len(g1.OTHER))):
        none = torch.zeros(batch, steps, joints, device=chunk.device)
        free |= {f"noise_{name}": none, f"previous_{name}": none}
        free[f"weight_{name}"] = torch.zeros(batch, steps, device=chunk.device)
    return free


def _found(evidence: Tensor, coverage: Tensor) -> float:
    flat, shown = evidence.flatten(1), coverage.flatten(1)
    visible = shown.sum(1) > 0
    hit = shown.gather(1, flat.argmax(1, keepdim=True))[:, 0] > 0
    says = flat.logsumexp(1) > 0
    return torch.where(visible, hit & says, ~says).float().mean().item()
