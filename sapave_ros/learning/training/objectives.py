"""What each stage learns from: `ground` from what things look like and are called, `look` from where the head goes,
`do` from demonstrations.

Each is a module from batch to losses, so that several processes can train it together.
"""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from sapave_ros import g1
from sapave_ros.learning.backbones import Backbone
from sapave_ros.learning.config import Config
from sapave_ros.learning.language import DIRECTIONS
from sapave_ros.learning.model import SaPaVe, grounding_loss
from sapave_ros.learning.reach import points_losses

REPEATS = 4
CAPTIONS = 128
"""Descriptions per batch that the contrastive term compares; more cost as much as the pictures do."""

JOINT_WIDTH = 64
NEAR_RAD = math.radians(12.0)
"""What is to be looked at is near the middle: little more than what counts as looking at it (`bench.criteria`)."""

FULL_RATE = 0.1
"""Learning rate of the backbone's own weights in stage `look`, where all of them train, in relation to the rest: what
they know is worth keeping."""

Losses = dict[str, Tensor]
Group = tuple[float, dict[str, nn.Parameter]]


class Readout(nn.Module):
    """Reads off the backbone's sight what each patch shows, and which description is of which thing.

    Only pretraining needs it; it is no part of the policy.
    """

    def __init__(self, c: Config, backbone: Backbone):
        super().__init__()
        self.norm = nn.LayerNorm(backbone.sight_width)
        self.attributes = nn.ModuleDict(
            {name: nn.Linear(backbone.sight_width, getattr(c, f"{name}s")) for name in ("colour", "kind", "size")}
        )
        self.image = nn.Linear(backbone.sight_width, JOINT_WIDTH)
        self.text = nn.Linear(backbone.text_width, JOINT_WIDTH)
        self.direction = nn.Linear(backbone.width, len(DIRECTIONS))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def attribute_losses(self, sight: Tensor, batch: dict[str, Tensor]) -> Losses:
        """Cross entropy of colour, kind and size, weighted by how much of a patch its foremost thing covers."""
        share, which = batch["item_coverage"].flatten(2).max(1)  # (P, h w) each
        at = share > 0.05
        seen, share = sight[at], share[at]  # (P, width), (P,)
        losses = {}
        for name, layer in self.attributes.items():
            if f"item_{name}" not in batch:
                continue
            label = batch[f"item_{name}"].gather(1, which)[at]  # (P,)
            weight = share * (label >= 0)
            each = F.cross_entropy(layer(seen).float(), label.clamp(min=0), reduction="none")
            losses[name] = (each * weight).sum() / weight.sum().clamp(min=1e-6)
        return losses

    def direction_loss(self, told: Tensor, direction: Tensor) -> Tensor:
        """Which direction an instruction tells: cross entropy over those that tell one, from its tokens (B, n, width).

        Nothing in a picture tells what "up" means, so that the grounding alone would never keep it apart from "down".
        """
        at = direction >= 0
        each = F.cross_entropy(self.direction(told.mean(1)).float(), direction.clamp(min=0), reduction="none")
        return (each * at).sum() / at.sum().clamp(min=1)

    def caption_loss(self, sight: Tensor, batch: dict[str, Tensor], backbone: Backbone) -> Tensor:
        """Which description is of which thing: cross entropy both ways over the things of the whole batch.

        Things described in the same words, or known to be of one colour and kind, are equally right.
        """
        coverage = batch["item_coverage"].flatten(2)  # (P, n, h w)
        size = coverage.sum(2)  # (P, n) in patches
        row, item = ((size > 0.5) & (batch["captions"] != 0).any(2)).nonzero(as_tuple=True)
        if len(row) > CAPTIONS:
            some = torch.randperm(len(row), device=row.device)[:CAPTIONS]
            row, item = row[some], item[some]
        words = batch["captions"][row, item]  # (P, L)
        if len(row) == 0:  # nothing to tell apart, but other processes expect gradients
            words = words.new_zeros(1, words.shape[1])
            return 0.0 * (self.text(backbone.describe(words)).sum() + self.image(sight[:1, 0]).sum() + self.log_scale)
        pooled = torch.einsum("pa,pad->pd", (coverage / size[..., None].clamp(min=0.5))[row, item], sight.float()[row])
        image = F.normalize(self.image(pooled).float(), dim=-1)
        text = F.normalize(self.text(backbone.describe(words)).float(), dim=-1)
        logits = self.log_scale.exp().clamp(max=50.0) * image @ text.T  # (P, P)
        same = (words[:, None] == words[None]).all(2)
        if "item_colour" in batch and "item_kind" in batch:
            colour, kind = batch["item_colour"][row, item], batch["item_kind"][row, item]
            same |= (colour[:, None] == colour) & (kind[:, None] == kind) & (colour >= 0) & (kind >= 0)
        target = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class Ground(nn.Module):
    """The backbone learns what things look like and what they are called."""

    def __init__(self, model: SaPaVe):
        super().__init__()
        self.model = model
        self.readout = Readout(model.config, model.backbone)

    def groups(self) -> list[Group]:
        """What trains, by name, with its share of the learning rate."""
        return [(1.0, _trainable(self, ("model.backbone.", "readout.")))]

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        c, backbone = self.model.config, self.model.backbone
        seen = (batch["rgb"], batch["words"], batch.get("picture"))
        # A batch may lack what no loss of this configuration needs.
        attributes = c.attribute_weight > 0 and "item_coverage" in batch
        captions = c.caption_weight > 0 and "item_coverage" in batch and "captions" in batch
        directions = c.direction_weight > 0 and "direction" in batch
        tokens, evidence, sight = backbone.perceive(*seen)
        told = tokens[:, evidence[0].numel() + 1 :]
        if (picture := batch.get("picture")) is not None:  # once each: things are a picture's, not an instruction's
            first = torch.searchsorted(picture, torch.arange(len(batch["rgb"]), device=picture.device))
            sight = sight[first]
        sight = self.readout.norm(sight)
        losses = {"ground": grounding_loss(evidence.float(), batch["coverage"])}
        loss = losses["ground"]
        if attributes:
            found = self.readout.attribute_losses(sight, batch)
            loss = loss + c.attribute_weight * sum(found.values())
            losses |= found
        if captions:
            losses["caption"] = self.readout.caption_loss(sight, batch, backbone)
            loss = loss + c.caption_weight * losses["caption"]
        if directions and told.shape[1]:
            losses["direction"] = self.readout.direction_loss(told, batch["direction"])
            loss = loss + c.direction_weight * losses["direction"]
        return {"loss": loss, **losses}


class Look(nn.Module):
    """Stage 1 of the SaPaVe paper: camera adapter, spatial encoder and head decoder learn where to look.

    `model.begin_look` has been called. The grounding goes on being scored (`ground_weight`): it keeps what the operator
    sees honest. Pairs whose thing is near the middle already weigh more (`near_weight`): they are few among pictures
    taken anywhere, but what a head that follows the policy sees most of the time, and there it must not turn away.
    """

    def __init__(self, model: SaPaVe):
        super().__init__()
        self.model = model

    def groups(self) -> list[Group]:
        """As `Ground.groups`."""
        every = _trainable(self, ("model.",))
        every = {n: p for n, p in every.items() if not n.startswith("model.other_decoder.")}
        if self.model.config.tuning != "full":
            return [(1.0, every)]
        known = {n: p for n, p in every.items() if n.startswith("model.backbone.")}
        return [(1.0, {n: p for n, p in every.items() if n not in known}), (FULL_RATE, known)]

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        if self.model.config.geometry == "all":
            batch = batch | {"present": torch.ones_like(batch["present"])}
        context, evidence = self.model.context(batch)
        c = self.model.config
        near = (batch["coverage"].flatten(1).sum(1) > 0) & (batch["chunk"].sum(1).norm(dim=1) < NEAR_RAD)  # (B,)
        weight = 1.0 + (c.near_weight - 1.0) * near
        ground = grounding_loss(evidence.float(), batch["coverage"], weight)
        flow, position = self.model.head_loss(context, batch["chunk"], REPEATS, weight)
        loss = flow + c.position_weight * position + c.ground_weight * ground
        return {"loss": loss, "flow": flow, "position": position, "ground": ground}


class Do(nn.Module):
    """Stage 2 of the SaPaVe paper: on demonstrations and look pairs the decoders learn where to look and what to do.

    `model.begin_do` has been called: adapter, spatial encoder and all before them stay as they are. Who is only told
    to look keeps arms and hands where they are: look pairs teach the other joints' decoder to rest. The loss is
    lambda_head L_head + lambda_other L_other (`head_weight`, `other_weight`), and that of the points
    (`points_weight`), of which only simulation tells where they are.
    """

    def __init__(self, model: SaPaVe):
        super().__init__()
        self.model = model

    def groups(self) -> list[Group]:
        """As `Ground.groups`."""
        prefixes = ["model.reach.", "model.other_decoder.", "model.shared_decoder."]
        if self.model.config.head_weight > 0:
            prefixes.append("model.head_decoder.")
        return [(1.0, _trainable(self, tuple(prefixes)))]

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        c, model = self.model.config, self.model
        context, _ = model.context(batch)
        found = model.find(batch, context)
        assert found is not None
        head, other = model.both_losses(context, found, batch["chunk"], REPEATS)
        where, away = points_losses(found, batch["points"], batch)
        losses = {"head": head[0], "flow": other[0], "position": other[1], "where": where, "away": away}
        head_loss = head[0] + c.position_weight * head[1]
        other_loss = other[0] + c.position_weight * other[1]
        if "look_rgb" in batch:
            pairs = {name.removeprefix("look_"): value for name, value in batch.items() if name.startswith("look_")}
            context, _ = model.context(pairs)
            rest = F.pad(pairs["chunk"], (0, len(g1.OTHER)))
            look, still = model.both_losses(context, model.find(pairs, context), rest, REPEATS)
            losses |= {"look": look[0], "rest": still[0]}
            head_loss = head_loss + look[0] + c.position_weight * look[1]
            other_loss = other_loss + still[0] + c.position_weight * still[1]
        loss = c.head_weight * head_loss + c.other_weight * other_loss + c.points_weight * (where + away)
        return {"loss": loss, **losses}


STAGES: dict[str, type[Ground] | type[Look] | type[Do]] = {"ground": Ground, "look": Look, "do": Do}


def _trainable(module: nn.Module, prefixes: tuple[str, ...]) -> dict[str, nn.Parameter]:
    return {n: p for n, p in module.named_parameters() if p.requires_grad and n.startswith(prefixes)}
