"""From what is seen to where it is for the hands: the other joints' decoder is told places, not only tokens.

    hybrid tokens ──┐
    colour ─────────(+)──► cells of 8 px ──► attention of each point ──► its place in torso_link ─┐
    depth, K, pose ─┘                                                                            ├──► one vector
    joint positions ──────────────────────────────► where both hands are, by the URDF ───────────┘

A patch of 16 pixels is 4 cm of a table in front of the robot, and a hand has to be right to one. So the points that a
task is about (what is to be moved, and where to) are looked for at twice the resolution, and lifted by depth and the
camera's pose at exposure; what is left to be learned is how far the middle of a thing lies behind what is seen of it.
Where hand and point lie to each other is then plain to the decoder (keypoints as in Levine et al. 2016, "End-to-End
Training of Deep Visuomotor Policies", lifted). Ours; the paper is silent on how its hybrid tokens become centimetres.

Shapes as in `model`: B batch, h w patch grid, 2h 2w cells, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from sapave_ros import g1
from sapave_ros.core.hand_ik import KNUCKLE
from sapave_ros.core.kinematics import TORSO, Kinematics
from sapave_ros.learning.config import DEPTH_REDUCTION, PATCH, Config

POINTS = ("target", "goal")
"""What is to be moved, and where it is to be."""

CELL = PATCH // 2
WIDTH, HIDDEN = 64, 256
_PALMS = ("L_hand_base_link", "R_hand_base_link")

SCALES_M = (0.02, 0.1, 0.4)
"""Distances are told at these scales, each saturating: a centimetre matters at a thing, half a metre far from it."""


class Hands(nn.Module):
    """Forward kinematics of both arms as the URDF has them."""

    constant: Tensor
    sine: Tensor
    cosine: Tensor
    joints: Tensor

    def __init__(self) -> None:
        super().__init__()
        kinematics, sides = Kinematics.from_urdf(), []
        for palm, knuckle, group in zip(_PALMS, KNUCKLE.values(), (g1.LEFT_ARM, g1.RIGHT_ARM)):
            *upper, last = kinematics.chain(palm, TORSO, group.names)
            knuckle_in_palm = kinematics.frame_in_frame(knuckle, palm, {}, default=0.0)
            sides.append([*upper, last.between(np.eye(4), knuckle_in_palm)])
        for name in ("constant", "sine", "cosine"):
            stacked = np.stack([[getattr(joint, name) for joint in side] for side in sides])
            self.register_buffer(name, torch.from_numpy(stacked).float(), persistent=False)  # (2, 7, 4, 4)
        joints = [[g1.POLICY.names.index(n) for n in group.names] for group in (g1.LEFT_ARM, g1.RIGHT_ARM)]
        self.register_buffer("joints", torch.tensor(joints), persistent=False)  # (2, 7)

    def forward(self, positions: Tensor) -> Tensor:
        """positions (B, 28) [rad] -> poses of the knuckles in torso_link (B, 2, 4, 4)."""
        q = positions[:, self.joints.flatten()].unflatten(1, (2, -1))[..., None, None]  # (B, 2, 7, 1, 1)
        each = self.constant + q.sin() * self.sine + q.cos() * self.cosine  # (B, 2, 7, 4, 4)
        pose = each[:, :, 0]
        for i in range(1, each.shape[2]):
            pose = pose @ each[:, :, i]
        return pose


class CellBlock(nn.Module):
    """Residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.mix(F.relu(y))


@dataclass(frozen=True)
class Found:
    """points (B, p, 3) [m] in torso_link. odds (B, p, cells + 1): logits of where each shows, the last of nowhere.
    told (B, d): all of it for the decoder.
    """

    points: Tensor
    odds: Tensor
    told: Tensor


class Reach(nn.Module):
    """See the module."""

    pixels: Tensor
    places: Tensor
    looks_at: Tensor

    def __init__(self, c: Config, looks_at: Tensor):
        """looks_at (3,): which of depth, intrinsics and pose the network looks at."""
        super().__init__()
        h, w = (2 * side for side in c.grid)
        self.grid = (h, w)
        v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        at = torch.stack([u, v], -1).reshape(1, h * w, 2).float()
        self.register_buffer("pixels", at * CELL + (CELL - 1) / 2, persistent=False)  # (1, cells, 2)
        middle = torch.tensor([(w - 1) / 2, (h - 1) / 2])
        self.register_buffer("places", (at - middle) / (w / 2), persistent=False)  # (1, cells, 2)
        self.register_buffer("looks_at", looks_at.clone(), persistent=False)
        self.eye = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, WIDTH, 3, stride=2, padding=1),
        )
        side = CELL // DEPTH_REDUCTION
        self.side = side
        self.relief = nn.Conv2d(2, WIDTH, side, stride=side)
        self.geometry = nn.Linear(3 + 3 + 3 + 1 + 2, WIDTH)
        self.hybrid = nn.Linear(c.d, WIDTH)
        self.asked = nn.Linear(c.d, WIDTH)
        self.blocks = nn.Sequential(CellBlock(WIDTH), CellBlock(WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.here = nn.Linear(WIDTH, len(POINTS))
        self.nowhere = nn.Linear(2 * WIDTH, len(POINTS))
        self.behind = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH + 3 + 2 + 4, 96), nn.GELU(), nn.Linear(96, 3)) for _ in POINTS
        )
        self.hands = Hands()
        count = len(POINTS)
        scales = len(SCALES_M)
        features = len(g1.POLICY) + 2 * 12 + count * (3 + 1 + 2 * 2 * 3 * scales) + 3 * scales + WIDTH
        self.out = nn.Sequential(
            nn.Linear(features, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, c.d),
        )

    def forward(self, batch: dict[str, Tensor], hybrid: Tensor, asked: Tensor) -> Found:
        """batch: the network's inputs. hybrid (B, h w, d): tokens of the patches. asked (B, d): of the instruction."""
        cells, points = self._cells(batch, hybrid, asked)  # (B, cells, WIDTH), (B, cells, 4)
        whole = torch.cat([cells.mean(1), cells.amax(1)], -1)  # (B, 2 WIDTH)
        here = self.here(cells).float().transpose(1, 2)  # (B, p, cells)
        odds = torch.cat([here, self.nowhere(whole).float()[..., None]], -1)
        share = here.softmax(-1).to(cells.dtype)  # (B, p, cells)
        seen = 1.0 - odds.softmax(-1)[..., -1:]  # (B, p, 1)
        pooled = share @ cells  # (B, p, WIDTH)
        lifted = share.float() @ points.float()  # (B, p, 4): point times how far it is known, and that
        at = lifted[..., :3] / lifted[..., 3:].clamp(min=1e-3)
        place = share.float() @ self.places.float()  # (B, p, 2)
        q = batch["joint_positions"].float()
        head = q[:, : len(g1.HEAD)]
        turned = torch.cat([head.sin(), head.cos()], -1)  # (B, 4)
        found = []
        for i, behind in enumerate(self.behind):
            told = torch.cat([pooled[:, i].float(), at[:, i], place[:, i], turned], -1)
            found.append(at[:, i] + behind(told).float())
        where = torch.stack(found, 1)  # (B, p, 3)
        return Found(where, odds, self.out(self._relations(q, where, seen, pooled[:, 0].float())))

    def _cells(self, batch: dict[str, Tensor], hybrid: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the cells (B, cells, WIDTH); their points in torso_link times their share of known depth, and
        that share, (B, cells, 4)."""
        has_depth, has_k, has_pose = (batch["present"] * self.looks_at)[:, None, :].split(1, dim=-1)  # (B, 1, 1) each
        depth = batch["depth_m"] * has_depth
        valid = (depth > 0).float()
        share = F.avg_pool2d(valid[:, None], self.side).flatten(1)[..., None]  # (B, cells, 1)
        z = F.avg_pool2d(depth[:, None], self.side).flatten(1)[..., None] / share.clamp(min=1e-3)
        k, pose = batch["intrinsics"], batch["camera_in_torso"]
        focal = torch.stack([k[:, 0, 0], k[:, 1, 1]], -1)[:, None]
        slope = (self.pixels - k[:, None, :2, 2]) / focal
        ray = torch.cat([slope, torch.ones_like(slope[..., :1])], -1) * has_k  # (B, cells, 3), z = 1
        rotation, position = pose[:, :3, :3], pose[:, None, :3, 3]
        ray_torso = ray @ rotation.transpose(1, 2) * has_pose
        known = share * has_depth * has_k * has_pose
        point = (z * ray_torso + position) * (known > 0)
        shape = torch.cat([point, ray_torso, z * ray, known], -1)
        place = self.places.expand(len(z), -1, -1)
        maps = torch.stack([(depth - 1.0) * valid, valid], 1)
        relief = self.relief(maps) * has_depth[..., None]  # (B, WIDTH, 2h, 2w)
        rgb = batch["rgb"].permute(0, 3, 1, 2).float() / 127.5 - 1
        tokens = self.hybrid(hybrid).transpose(1, 2).unflatten(2, (self.grid[0] // 2, self.grid[1] // 2))
        x = self.eye(rgb) + relief + F.interpolate(tokens, scale_factor=2.0, mode="nearest")
        x = x + self.geometry(torch.cat([shape, place], -1)).transpose(1, 2).unflatten(2, self.grid)
        x = x + self.asked(asked)[:, :, None, None]
        cells = self.norm(self.blocks(x).flatten(2).transpose(1, 2))
        return cells, torch.cat([point * known, known], -1)

    def _relations(self, q: Tensor, where: Tensor, seen: Tensor, pooled: Tensor) -> Tensor:
        """How the points lie to the hands and to each other, (B, features)."""
        pose = self.hands(q)  # (B, 2, 4, 4)
        rotation, position = pose[..., :3, :3], pose[..., :3, 3]
        away = where[:, None] - position[:, :, None]  # (B, 2, p, 3) in the torso
        local = away @ rotation  # in each hand
        way = where[:, 1] - where[:, 0]  # (B, 3)
        told = [q, rotation.flatten(1), position.flatten(1), where.flatten(1), seen.flatten(1), pooled]
        told += [torch.tanh(x.flatten(1) / s) for x in (away, local, way) for s in SCALES_M]
        return torch.cat(told, -1)


def points_losses(found: Found, points: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """How wrong the points are: cross entropy of where they show, and their distance in units of 3 cm.

    points (B, p, 3) [m] in torso_link; NaN where nobody knows. A point outside of the picture shows nowhere, and its
    place is not judged.
    """
    known = points.isfinite().all(-1)  # (B, p)
    place, inside = project(points.nan_to_num(), batch)
    inside = inside & known
    h, w = batch["rgb"].shape[1] // CELL, batch["rgb"].shape[2] // CELL
    column, row = (place[..., i].clamp(0, side - 1) for i, side in ((0, w), (1, h)))
    u = torch.arange(w, device=points.device)
    v = torch.arange(h, device=points.device)
    near = torch.exp(-((u - column[..., None]) ** 2) / 2.0)  # (B, p, w), one cell wide
    along = torch.exp(-((v - row[..., None]) ** 2) / 2.0)  # (B, p, h)
    target = (along[..., :, None] * near[..., None, :]).flatten(2)
    target = target / target.sum(-1, keepdim=True) * inside[..., None]
    target = torch.cat([target, (~inside).float()[..., None]], -1)
    entropy = -(target * found.odds.log_softmax(-1)).sum(-1)
    off = F.smooth_l1_loss(found.points / 0.03, points.nan_to_num() / 0.03, reduction="none", beta=0.3).sum(-1)
    count = known.sum().clamp(min=1)
    return (entropy * known).sum() / count, (off * inside).sum() / inside.sum().clamp(min=1)


def project(points: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cell (B, p, 2), column and row as fractions, of points in torso_link, and whether they are in the picture."""
    pose, k = batch["camera_in_torso"], batch["intrinsics"]
    local = (points - pose[:, None, :3, 3]) @ pose[:, :3, :3]  # in the camera
    z = local[..., 2].clamp(min=0.05)
    u = k[:, None, 0, 0] * local[..., 0] / z + k[:, None, 0, 2]
    v = k[:, None, 1, 1] * local[..., 1] / z + k[:, None, 1, 2]
    height, width = batch["rgb"].shape[1:3]
    inside = (local[..., 2] > 0.05) & (u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)
    return (torch.stack([u, v], -1) - (CELL - 1) / 2) / CELL, inside
