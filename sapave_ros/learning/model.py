"""SaPaVe, whole in its parts: frozen backbone, camera adapter, spatial encoder, two flow-matching decoders.

    rgb, words ──► backbone (frozen) + camera adapter ──► semantic tokens ─┐
    depth, K, pose (any subset) ──► spatial encoder ──► spatial tokens ───(+)──► hybrid tokens
    joint positions ──► proprioception token ──────────────────────────────────────┐ │
    noise ──► head decoder  (k x 2)  ◄── cross-attention ──────────────────────────┤ │
    noise ──► other decoder (k x 26) ◄── cross-attention ──────────────────────────┘─┘

Shapes in comments: B batch, H W picture, H' W' depth, h w patch grid, T = h w + 1 tokens (patches and one for the whole
scene), k steps, n joints, d width, L words. Increments are in rad at the interface and divided by
`*_scale_rad` inside. The parts and their order are those of the SaPaVe paper (arXiv 2603.12193); sizes,
backbone and losses are ours.
"""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from sapave_ros import g1
from sapave_ros.learning.backbones import build
from sapave_ros.learning.config import CONFIGS, DEPTH_REDUCTION, GEOMETRY, PATCH, Config
from sapave_ros.learning.layers import PLACE_WIDTH, Attention, places
from sapave_ros.learning.reach import Found, Reach

__all__ = ["CONFIGS", "PATCH", "Config", "SaPaVe", "grounding_loss"]

CELL = PATCH // DEPTH_REDUCTION  # [px] side of a patch in the depth
HEAD_WAVES = (3.0, 6.0, 12.0)  # [1/rad] the search turns within a tenth of a radian around its middle

NEAR = 0.6
"""Of the scale of increments, which is 2 degrees: nearer than this a chunk's positions are right; see `flow_losses`.
"""

# --- spatial encoder --------------------------------------------------------------------------------------


class SpatialEncoder(nn.Module):
    """Any subset of depth, intrinsics and camera pose to one token per patch.

    What a missing input would have contributed is zeros with its flag down, so the same weights serve every
    subset; training drops random subsets.
    """

    pixels: Tensor
    CHANNELS = 3 + 3 + 6 + 3 + 3 + 3  # flags, ray (camera), pose, ray (torso), point (camera), point (torso)

    def __init__(self, c: Config):
        super().__init__()
        h, w = c.grid
        v, u = torch.meshgrid(
            torch.arange(h) * PATCH + (PATCH - 1) / 2, torch.arange(w) * PATCH + (PATCH - 1) / 2, indexing="ij"
        )
        self.register_buffer(
            "pixels", torch.stack([u, v], -1).reshape(1, h * w, 2).float(), persistent=False
        )  # (1, h w, 2)
        self.relief = nn.Conv2d(2, c.d // 2, CELL, stride=CELL)  # the shape of the depth within a patch
        self.geometry = nn.Linear(self.CHANNELS, c.d)
        self.out = nn.Sequential(nn.Linear(c.d + c.d // 2, c.d), nn.GELU(), nn.Linear(c.d, c.d))
        self.scene = nn.Linear(3 + 6, c.d)  # the token of the whole scene: flags and pose

    def forward(self, depth_m: Tensor, intrinsics: Tensor, camera_in_torso: Tensor, present: Tensor) -> Tensor:
        """depth_m (B, H', W'), intrinsics (B, 3, 3), camera_in_torso (B, 4, 4), present (B, 3) -> (B, T, d)."""
        has_depth, has_k, has_pose = present[:, None, :].split(1, dim=-1)  # (B, 1, 1) each
        depth = depth_m * has_depth  # (B, H', W')
        valid = (depth > 0).float()
        focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], -1)[:, None]  # (B, 1, 2)
        centre = intrinsics[:, None, :2, 2]  # (B, 1, 2)
        slope = (self.pixels - centre) / focal  # (B, h w, 2)
        ray = torch.cat([slope, torch.ones_like(slope[..., :1])], -1) * has_k  # (B, h w, 3), z = 1
        share = F.avg_pool2d(valid[:, None], CELL).flatten(1)[..., None]  # (B, h w, 1)
        z = F.avg_pool2d(depth[:, None], CELL).flatten(1)[..., None] / share.clamp(min=1e-3)  # (B, h w, 1) [m]
        rotation, position = camera_in_torso[:, :3, :3], camera_in_torso[:, None, :3, 3]
        ray_torso = ray @ rotation.transpose(1, 2) * has_pose
        point_torso = (z * ray) @ rotation.transpose(1, 2) * has_pose + position * has_pose * (share > 0) * has_k
        flags = present[:, None].expand(-1, z.shape[1], -1)
        pose = torch.cat([rotation[:, None, :, 2], position], -1) * has_pose  # (B, 1, 6) optical axis, place
        pose_all = pose.expand(-1, z.shape[1], -1)
        channels = torch.cat([flags, ray, pose_all, ray_torso, z * ray, point_torso], -1)  # (B, h w, CHANNELS)
        maps = torch.stack([(depth - 1.0) * valid, valid], 1)  # (B, 2, H', W')
        relief = self.relief(maps).flatten(2).transpose(1, 2) * has_depth  # (B, h w, d / 2)
        tokens = self.out(torch.cat([self.geometry(channels), relief], -1))
        scene = self.scene(torch.cat([present[:, None], pose], -1))  # (B, 1, d)
        return torch.cat([tokens, scene], dim=1)


# --- decoders ---------------------------------------------------------------------------------------------


class DecoderLayer(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))
        self.self_attention = Attention(d)
        self.cross_attention = Attention(d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        y = self.norms[0](x)
        x = x + self.self_attention(y, self.self_attention.memory(y))
        # Chunks that share a context (see `flow_losses`) ask it together: (B R, k, d) -> (B, R k, d).
        query = self.norms[1](x).reshape(memory[0].shape[0], -1, x.shape[-1])
        x = x + self.cross_attention(query, memory).reshape(x.shape)
        return x + self.mlp(self.norms[2](x))


class FlowDecoder(nn.Module):
    """Where the flow from noise (t = 0) to an action chunk (t = 1) is heading, given the hybrid tokens.

    It gives the chunk x1 itself; the velocity of the flow is (x1 - x) / (1 - t). Predicting the velocity asks a
    small network to carry the noise through as well, which costs it precision.
    """

    frequencies: Tensor

    def __init__(self, c: Config, joints: int):
        super().__init__()
        self.into = nn.Linear(joints, c.d)
        self.step = nn.Parameter(0.02 * torch.randn(c.chunk_steps, c.d))
        self.time = nn.Sequential(nn.Linear(16, c.d), nn.GELU(), nn.Linear(c.d, c.d))
        self.layers = nn.ModuleList(DecoderLayer(c.d) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.d)
        self.out = nn.Linear(c.d, joints)
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(8).float() / 4, persistent=False)

    def memories(self, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [layer.cross_attention.memory(context) for layer in self.layers]  # type: ignore[operator, union-attr]

    def forward(
        self, x: Tensor, t: Tensor, memories: list[tuple[Tensor, Tensor]], told: Tensor | None = None
    ) -> Tensor:
        """x (B R, k, n), t (B R,) in 0..1, memories of the context (B, T, d), told (B R, d) -> chunk (B R, k, n)."""
        phase = t[:, None] * self.frequencies  # (B, 8)
        time = self.time(torch.cat([phase.sin(), phase.cos()], -1))  # (B, d)
        if told is not None:
            time = time + told
        y = self.into(x) + self.step + time[:, None]  # (B, k, d)
        for layer, memory in zip(self.layers, memories):
            y = layer(y, memory)
        return self.out(self.norm(y))


# --- the whole --------------------------------------------------------------------------------------------


class SaPaVe(nn.Module):
    """See the module. `begin_look` leaves training what stage 1 trains, besides the decoders; `begin_do` adds what the
    other joints' decoder is told of places."""

    head_scale_rad: Tensor
    other_scale_rad: Tensor
    places: Tensor
    looks_at: Tensor
    off_middle: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = c = config
        self.backbone = build(c)
        self.semantic = nn.Linear(self.backbone.width, c.d)
        self.place = nn.Linear(PLACE_WIDTH, c.d)
        # The token of the whole scene is nowhere: zeros.
        self.register_buffer("places", F.pad(places(*c.grid), (0, 0, 0, 1)), persistent=False)  # (T, PLACE_WIDTH)
        self.told = nn.Linear(self.backbone.width, c.d)
        # What weights the patches: the evidence, and how far they are off the middle; see `context`.
        self.pointing = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.register_buffer("off_middle", _off_middle(*c.grid), persistent=False)  # (h w,)
        self.spatial = SpatialEncoder(c) if c.spatial else None
        self.register_buffer("looks_at", torch.tensor(GEOMETRY[c.geometry]).float(), persistent=False)  # (3,)
        seen = len(g1.POLICY) + 2 * len(g1.HEAD) * len(HEAD_WAVES)
        self.proprioception = nn.Sequential(nn.Linear(seen, c.d), nn.GELU(), nn.Linear(c.d, c.d))
        if c.decoupled:
            self.head_decoder = FlowDecoder(c, len(g1.HEAD))
            self.other_decoder = FlowDecoder(c, len(g1.OTHER))
        else:
            self.shared_decoder = FlowDecoder(c, len(g1.POLICY))
        self.reach: Reach | None = None
        self.register_buffer("head_scale_rad", torch.tensor(c.head_scale_rad), persistent=False)
        self.register_buffer("other_scale_rad", torch.tensor(c.other_scale_rad), persistent=False)

    def begin_look(self) -> None:
        """Stage 1 begins: the backbone's own weights are fixed, the camera adapter comes beside them (`tuning`)."""
        if self.config.tuning == "adapter":
            self.backbone.adapt(self.config.adapter_rank)
        elif self.config.tuning == "frozen":
            self.backbone.requires_grad_(False)

    def begin_do(self) -> None:
        """Stage 2 begins: what has been learned is fixed, but for the decoders; see `reach`."""
        self.requires_grad_(False)
        if self.reach is None:
            self.reach = Reach(self.config, self.looks_at)
        self.reach.requires_grad_(True)
        for decoder in self.decoders:
            decoder.requires_grad_(True)

    @property
    def decoders(self) -> list[FlowDecoder]:
        return [self.head_decoder, self.other_decoder] if self.config.decoupled else [self.shared_decoder]

    def kept(self) -> dict[str, Tensor]:
        """The state without what the backbone loads from elsewhere by itself: what a checkpoint holds."""
        prefix = "backbone."
        return {
            name: value
            for name, value in self.state_dict().items()
            if not (name.startswith(prefix) and self.backbone.is_given(name[len(prefix) :]))
        }

    def context(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The network's inputs (see `policy.preprocess`) to what the decoders attend to, and the evidence (B, h, w).

        Context (B, T + n + 2, d): the hybrid tokens; n of the instruction, without which a decoder would know a
        direction from the whole scene's token alone; one of the named thing, which is the patches weighted by the
        evidence, so that a decoder need not learn again where to attend; and the proprioception. Of several things that
        are named it is right to look at the nearest, and what lies between them is none.
        """
        tokens, evidence = self.backbone(batch["rgb"], batch["words"], batch.get("picture"))
        semantic, told = tokens.tensor_split([len(self.places)], dim=1)  # (B, T, width), (B, n, width)
        hybrid = self.semantic(semantic) + self.place(self.places)  # (B, T, d)
        if self.spatial is not None:
            geometry = (batch[name] for name in ("depth_m", "intrinsics", "camera_in_torso"))
            hybrid = hybrid + self.spatial(*geometry, batch["present"] * self.looks_at)
        odds = self.pointing[0] * evidence.flatten(1) - self.pointing[1] * self.off_middle  # (B, h w)
        share = odds.softmax(1)[:, None].to(hybrid.dtype)  # (B, 1, h w)
        thing = share @ hybrid[:, :-1] + hybrid[:, -1:]  # (B, 1, d)
        q = batch["joint_positions"]
        waves = torch.cat([n * q[:, : len(g1.HEAD)] for n in HEAD_WAVES], dim=1)  # (B, 2 waves)
        proprioception = self.proprioception(torch.cat([q, waves.sin(), waves.cos()], dim=1))[:, None]  # (B, 1, d)
        return torch.cat([hybrid, self.told(told), thing, proprioception], dim=1), evidence

    def find(self, batch: dict[str, Tensor], context: Tensor) -> Found | None:
        """Where the points are that the other joints' decoder is told of; None before stage 2."""
        if self.reach is None:
            return None
        patches = len(self.places) - 1
        told = context[:, patches + 1 : -2]  # between the scene's token and that of the named thing
        asked = told.mean(1) if told.shape[1] else context[:, patches]
        if (picture := batch.get("picture")) is not None:
            batch = batch | {"rgb": batch["rgb"][picture]}
        found: Found = self.reach(batch, context[:, :patches], asked)
        return found

    def denoise(
        self,
        decoder: FlowDecoder,
        context: Tensor,
        noise: Tensor,
        previous: Tensor,
        weight: Tensor,
        told: Tensor | None = None,
    ) -> Tensor:
        """Euler steps from noise (B, k, n) to a chunk, drawn towards `previous` (B, k, n) by weight (B, k, n or 1).

        Real-time chunking (Black et al. 2025) with the Jacobian of the denoiser taken as the identity, so
        that the exported graph needs no gradients: x1 = x + (1 - t) v is where the flow is heading,
        v += g(t) w (previous - x1) bends it, g(t) = min(beta, (1 - t) / t (t^2 + (1 - t)^2) / (1 - t)^2).
        """
        memories = decoder.memories(context)
        x, steps = noise, self.config.denoising_steps
        for i in range(steps):
            t = i / steps
            x1 = decoder(x, torch.full_like(x[:, 0, 0], t), memories, told)
            v = (x1 - x) / (1 - t)
            r2 = (t**2 + (1 - t) ** 2) / (1 - t) ** 2
            g = self.config.beta if i == 0 else min(self.config.beta, (1 - t) / t * r2)
            v = v + g * weight * (previous - x1)
            x = x + v / steps
        return x

    def chunks(self, batch: dict[str, Tensor], context: Tensor, found: Found | None = None) -> tuple[Tensor, Tensor]:
        """Head (B, k, 2) and other (B, k, 26) [rad] from noise_*, previous_* (B, k, n) [rad] and weight_* (B, k)."""
        told = None if found is None else found.told
        arguments = {}
        for name in ("head", "other"):
            scale, noise = getattr(self, f"{name}_scale_rad"), batch[f"noise_{name}"]
            weight = batch[f"weight_{name}"][..., None]
            arguments[name] = (noise, batch[f"previous_{name}"] / scale, weight.expand_as(noise))
        if self.config.decoupled:
            head = self.denoise(self.head_decoder, context, *arguments["head"])
            other = self.denoise(self.other_decoder, context, *arguments["other"], told)
        else:
            noise, before, share = (torch.cat(pair, dim=-1) for pair in zip(arguments["head"], arguments["other"]))
            whole = self.denoise(self.shared_decoder, context, noise, before, share, told)
            head, other = whole[..., : len(g1.HEAD)], whole[..., len(g1.HEAD) :]
        return self.head_scale_rad * head, self.other_scale_rad * other

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the exported graph to head (B, k, 2), other (B, k, 26) [rad] and grounding (B, h, w) in 0..1."""
        context, evidence = self.context(batch)
        return *self.chunks(batch, context, self.find(batch, context)), evidence.sigmoid()

    def head_loss(
        self, context: Tensor, chunk: Tensor, repeats: int, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`flow_losses` of the head's joints. chunk (B, k, 2) [rad].

        A shared decoder learns besides that the other joints rest: `denoise` takes all of them from it.
        """
        target = chunk / self.head_scale_rad
        if self.config.decoupled:
            return self.flow_losses(self.head_decoder, context, target, repeats, weight)
        padded = F.pad(target, (0, len(g1.OTHER)))
        groups = (len(g1.HEAD), len(g1.OTHER))
        return self.flow_losses(self.shared_decoder, context, padded, repeats, weight, groups)

    def both_losses(
        self, context: Tensor, found: Found | None, chunk: Tensor, repeats: int
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """`flow_losses` of the head's joints and of the others. chunk (B, k, 28) [rad].

        A shared decoder is judged by both groups at once; then the first pair is zeros. So it is of a decoder that
        does not train.
        """
        told = None if found is None else found.told
        head, other = chunk.tensor_split([len(g1.HEAD)], dim=-1)
        head, other = head / self.head_scale_rad, other / self.other_scale_rad
        none = head.new_zeros(()), head.new_zeros(())
        if self.config.decoupled:
            trains = self.config.head_weight > 0
            first = self.flow_losses(self.head_decoder, context, head, repeats) if trains else none
            return first, self.flow_losses(self.other_decoder, context, other, repeats, told=told)
        groups = (len(g1.HEAD), len(g1.OTHER))
        target = torch.cat([head, other], -1)
        return none, self.flow_losses(self.shared_decoder, context, target, repeats, None, groups, told)

    def flow_losses(
        self,
        decoder: FlowDecoder,
        context: Tensor,
        chunk: Tensor,
        repeats: int,
        weight: Tensor | None = None,
        groups: tuple[int, ...] = (),
        told: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Flow matching (Lipman et al. 2023): the end of the straight line from noise to chunk (B, k, n).

        The first loss is the squared error of the chunk, which is the velocity's times (1 - t)^2. The second is of
        where the increments have led to after each step: errors of increments that are too small to matter one by one
        are many degrees when they all go the same way, and a head that keeps its place drifts. It grows with the
        distance beyond `NEAR`, not with its square, so that the few chunks that go for the wrong thing do not outweigh
        all the others. The chunk is in units of the scale. Each sample serves `repeats` times: the decoder is cheap
        beside the backbone. The first of them begins as the deployed policy does, from no noise. weight (B,): of each
        sample (default: equal). groups: so many joints each, whose mean errors are added up (default: all in one), so
        that many joints at rest do not drown out a few that move. told (B, d): of places, see `find`.
        """
        memories = decoder.memories(context)
        target = chunk.repeat_interleave(repeats, 0)
        noise = torch.randn_like(target)
        t = torch.rand(len(target), device=target.device)
        noise[::repeats], t[::repeats] = 0.0, 0.0
        x = noise + t[:, None, None] * (target - noise)
        share = None if weight is None else weight.repeat_interleave(repeats)
        if told is not None:
            told = told.repeat_interleave(repeats, 0)
        flow, position = target.new_zeros(()), target.new_zeros(())
        sizes = groups or target.shape[-1:]
        for own, right in zip(decoder(x, t, memories, told).float().split(sizes, -1), target.split(sizes, -1)):
            flow = flow + weighted(F.mse_loss(own, right, reduction="none"), share)
            ends = own.cumsum(1), right.cumsum(1)
            position = position + weighted(F.smooth_l1_loss(*ends, beta=NEAR, reduction="none"), share)
        return flow, position


def weighted(losses: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of losses (B, ...), of samples that weigh (B,) (default: equally)."""
    each = losses.flatten(1).mean(1)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum()


def _off_middle(h: int, w: int) -> Tensor:
    """Distance of each patch from the picture's middle (h w,), in half widths."""
    y, x = torch.meshgrid(torch.arange(h) - (h - 1) / 2, torch.arange(w) - (w - 1) / 2, indexing="ij")
    return torch.hypot(x, y).flatten() / (w / 2)


def grounding_loss(evidence: Tensor, coverage: Tensor, weight: Tensor | None = None) -> Tensor:
    """Which patch shows the named thing, or none.

    evidence (B, h, w) log-odds against "none". coverage (B, h, w): share of each patch that the thing
    covers. weight (B,) of the samples. Cross entropy of a softmax over the patches and "none" (log-odds 0).
    """
    flat = coverage.flatten(1)  # (B, h w)
    total = flat.sum(1, keepdim=True)  # (B, 1)
    target = torch.cat([flat / total.clamp(min=1e-6), (total <= 0).float()], dim=1)
    target = target / target.sum(1, keepdim=True)
    logits = F.pad(evidence.flatten(1), (0, 1))
    return weighted(-(target * logits.log_softmax(1)).sum(1, keepdim=True), weight)
