"""SaPaVe, whole in its parts: frozen backbone, camera adapter, spatial encoder, two flow-matching decoders.

    rgb, words ──► backbone (frozen) + camera adapter ──► semantic tokens ─┐
    depth, K, pose (any subset) ──► spatial encoder ──► spatial tokens ───(+)──► hybrid tokens
    joint positions ──► proprioception token ──────────────────────────────────────┐ │
    noise ──► head decoder  (k x 2)  ◄── cross-attention ──────────────────────────┤ │
    noise ──► other decoder (k x 26) ◄── cross-attention ──────────────────────────┘─┘

Shapes in comments: B batch, H W picture, h w patch grid, T = h w + 1 tokens (patches and one for the whole
scene), k steps, n joints, d width, L words. Increments are in rad at the interface and divided by
`*_scale_rad` inside. The parts and their order are those of the SaPaVe paper (arXiv 2603.12193); sizes,
backbone and losses are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from sapave_ros import g1

PATCH = 8  # [px] stride of the backbone
HEAD_WAVES = (3.0, 6.0, 12.0)  # [1/rad] the search turns within a tenth of a radian around its middle


@dataclass(frozen=True)
class Config:
    """backbone: name in `BACKBONES`; a pretrained VLM is one more entry there. widths: channels at stride 2, 4
    and 8. blocks: residual blocks at stride 4 and 8. adapter_rank: 0 switches the camera adapter off; spatial: the
    spatial encoder (rows of the paper's ablation table). beta: most that real-time chunking may pull per
    denoising step.
    """

    name: str = "nano"
    backbone: str = "film_cnn"
    image_size: tuple[int, int] = (96, 160)
    vocabulary_size: int = 64
    max_words: int = 12
    text_width: int = 64
    widths: tuple[int, int, int] = (32, 48, 96)
    blocks: tuple[int, int] = (2, 4)
    d: int = 128
    heads: int = 4
    decoder_layers: int = 3
    adapter_rank: int = 8
    spatial: bool = True
    chunk_steps: int = 16
    # 16 steps of 0.1 s: long enough to bridge a slow inference, and at 1.2 rad/s enough for any turn of the neck.
    dt_s: float = 0.1
    denoising_steps: int = 5
    beta: float = 5.0
    head_scale_rad: tuple[float, ...] = (0.06, 0.06)
    other_scale_rad: tuple[float, ...] = field(default=(0.06,) * len(g1.OTHER))

    @property
    def grid(self) -> tuple[int, int]:
        return self.image_size[0] // PATCH, self.image_size[1] // PATCH


CONFIGS = {
    "nano": Config(),
    "debug": Config(
        "debug", widths=(8, 16, 24), blocks=(1, 1), d=32, heads=2, decoder_layers=1, text_width=16, adapter_rank=2
    ),
}


# --- camera adapter ---------------------------------------------------------------------------------------


class Adapted(nn.Module):
    """A frozen linear or 1x1-convolution layer plus a trainable low-rank one beside it (LoRA, Hu et al. 2021).

    `up` starts at zero, so the adapted backbone starts as the backbone itself.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int):
        super().__init__()
        self.layer = layer
        if isinstance(layer, nn.Conv2d):
            self.down: nn.Conv2d | nn.Linear = nn.Conv2d(layer.in_channels, rank, 1, bias=False)
            self.up: nn.Conv2d | nn.Linear = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(layer.in_features, rank, bias=False)
            self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


def add_adapter(module: nn.Module, rank: int) -> None:
    """Freezes a module and puts an adapter beside each of its linear and 1x1 layers, in place."""
    module.requires_grad_(False)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear) or (isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1)):
            setattr(module, name, Adapted(child, rank))
        else:
            add_adapter(child, rank)


# --- backbone ---------------------------------------------------------------------------------------------


class Backbone(nn.Module):
    """Interface: picture and instruction to what is where.

    forward(rgb (B, H, W, 3) uint8, words (B, L) int64) returns tokens (B, T, width) and evidence (B, h, w): the
    log-odds of each patch showing the named thing against the thing not being in view. A pretrained VLM fits
    in by giving its patch features and a grounding layer on them.
    """

    width: int


class TextEncoder(nn.Module):
    """Words (B, L) to one vector (B, d): embeddings, one self-attention layer, mean over the words."""

    def __init__(self, c: Config):
        super().__init__()
        self.word = nn.Embedding(c.vocabulary_size, c.text_width)
        self.position = nn.Parameter(0.02 * torch.randn(c.max_words, c.text_width))
        self.query = nn.Linear(c.text_width, c.text_width)
        self.key = nn.Linear(c.text_width, c.text_width)
        self.value = nn.Linear(c.text_width, c.text_width)
        self.norm = nn.LayerNorm(c.text_width)

    def forward(self, words: Tensor) -> Tensor:
        real = (words != 0).float()  # (B, L) 0 = padding
        x = self.word(words) + self.position  # (B, L, d)
        score = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(x.shape[-1])  # (B, L, L)
        score = score - 1e4 * (1 - real[:, None, :])
        x = x + score.softmax(-1) @ self.value(x)
        mean = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)
        return self.norm(mean)


class FilmBlock(nn.Module):
    """Residual block whose channels the instruction scales and shifts (FiLM, Perez et al. 2018)."""

    def __init__(self, channels: int, text_width: int):
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.film = nn.Linear(text_width, 2 * channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        scale, shift = self.film(text)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        y = self.norm(self.spatial(x))
        return x + self.mix(F.relu(y * (1 + scale) + shift))


class FilmCnn(Backbone):
    """Small convolutional backbone, modulated by the instruction from stride 4 on."""

    def __init__(self, c: Config):
        super().__init__()
        stem, mid, wide = c.widths
        self.width = wide
        self.text = TextEncoder(c)
        self.stem = nn.Conv2d(3, stem, 5, stride=2, padding=2)
        self.down_mid = nn.Conv2d(stem, mid, 3, stride=2, padding=1)
        self.down_wide = nn.Conv2d(mid, wide, 3, stride=2, padding=1)
        self.blocks_mid = nn.ModuleList(FilmBlock(mid, c.text_width) for _ in range(c.blocks[0]))
        self.blocks_wide = nn.ModuleList(FilmBlock(wide, c.text_width) for _ in range(c.blocks[1]))
        self.norm = nn.LayerNorm(wide)
        self.ground = nn.Linear(wide, 1)
        self.ground_none = nn.Linear(wide, 1)
        self.evidence = nn.Parameter(0.1 * torch.randn(wide))

    def forward(self, rgb: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        text = self.text(words)  # (B, text_width)
        x = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, W)
        x = F.relu(self.stem(x))  # (B, stem, H/2, W/2)
        x = F.relu(self.down_mid(x))  # (B, mid, H/4, W/4)
        for block in self.blocks_mid:
            x = block(x, text)
        x = F.relu(self.down_wide(x))  # (B, wide, h, w)
        for block in self.blocks_wide:
            x = block(x, text)
        h, w = x.shape[2:]
        patches = self.norm(x.flatten(2).transpose(1, 2))  # (B, h w, wide)
        scene = patches.mean(1, keepdim=True) + patches.amax(1, keepdim=True)  # (B, 1, wide)
        odds = (self.ground(patches) - self.ground_none(scene)).float()[..., 0]  # (B, h w)
        # The tokens carry the backbone's belief in plain sight of the decoders.
        belief = torch.cat([odds.clamp(-8, 8), -odds.amax(1, keepdim=True).clamp(-8, 8)], dim=1)  # (B, T)
        tokens = torch.cat([patches, scene], dim=1) + belief[..., None] * self.evidence
        return tokens, odds.reshape(-1, h, w)


BACKBONES: dict[str, Callable[[Config], Backbone]] = {"film_cnn": FilmCnn}


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
        self.relief = nn.Conv2d(2, c.d // 2, PATCH, stride=PATCH)  # the shape of the depth within a patch
        self.geometry = nn.Linear(self.CHANNELS, c.d)
        self.out = nn.Sequential(nn.Linear(c.d + c.d // 2, 2 * c.d), nn.GELU(), nn.Linear(2 * c.d, c.d))
        self.scene = nn.Linear(3 + 6, c.d)  # the token of the whole scene: flags and pose

    def forward(self, depth_m: Tensor, intrinsics: Tensor, camera_in_torso: Tensor, present: Tensor) -> Tensor:
        """depth_m (B, H, W), intrinsics (B, 3, 3), camera_in_torso (B, 4, 4), present (B, 3) -> (B, T, d)."""
        has_depth, has_k, has_pose = present[:, None, :].split(1, dim=-1)  # (B, 1, 1) each
        depth = depth_m * has_depth  # (B, H, W)
        valid = (depth > 0).float()
        focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], -1)[:, None]  # (B, 1, 2)
        centre = intrinsics[:, None, :2, 2]  # (B, 1, 2)
        slope = (self.pixels - centre) / focal  # (B, h w, 2)
        ray = torch.cat([slope, torch.ones_like(slope[..., :1])], -1) * has_k  # (B, h w, 3), z = 1
        share = F.avg_pool2d(valid[:, None], PATCH).flatten(1)[..., None]  # (B, h w, 1)
        z = F.avg_pool2d(depth[:, None], PATCH).flatten(1)[..., None] / share.clamp(min=1e-3)  # (B, h w, 1) [m]
        rotation, position = camera_in_torso[:, :3, :3], camera_in_torso[:, None, :3, 3]
        ray_torso = ray @ rotation.transpose(1, 2) * has_pose
        point_torso = (z * ray) @ rotation.transpose(1, 2) * has_pose + position * has_pose * (share > 0) * has_k
        flags = present[:, None].expand(-1, z.shape[1], -1)
        pose = torch.cat([rotation[:, None, :, 2], position], -1) * has_pose  # (B, 1, 6) optical axis, place
        pose_all = pose.expand(-1, z.shape[1], -1)
        channels = torch.cat([flags, ray, pose_all, ray_torso, z * ray, point_torso], -1)  # (B, h w, CHANNELS)
        maps = torch.stack([(depth - 1.0) * valid, valid], 1)  # (B, 2, H, W)
        relief = self.relief(maps).flatten(2).transpose(1, 2) * has_depth  # (B, h w, d / 2)
        tokens = self.out(torch.cat([self.geometry(channels), relief], -1))
        scene = self.scene(torch.cat([present[:, None], pose], -1))  # (B, 1, d)
        return torch.cat([tokens, scene], dim=1)


# --- decoders ---------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)

    def memory(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, T, d / heads); the same at every denoising step, so computed once."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        key, value = memory
        query = self._split(self.query(x))
        score = (query @ key.transpose(2, 3)) / math.sqrt(query.shape[-1])  # (B, heads, k, T)
        y = score.softmax(-1) @ value
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))
        self.self_attention = Attention(d, heads)
        self.cross_attention = Attention(d, heads)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        y = self.norms[0](x)
        x = x + self.self_attention(y, self.self_attention.memory(y))
        # Chunks that share a context (see `flow_loss`) ask it together: (B R, k, d) -> (B, R k, d).
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
        self.layers = nn.ModuleList(DecoderLayer(c.d, c.heads) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.d)
        self.out = nn.Linear(c.d, joints)
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(8).float() / 4, persistent=False)

    def memories(self, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [layer.cross_attention.memory(context) for layer in self.layers]  # type: ignore[operator, union-attr]

    def forward(self, x: Tensor, t: Tensor, memories: list[tuple[Tensor, Tensor]]) -> Tensor:
        """x (B R, k, n), t (B R,) in 0..1, memories of the context (B, T, d) -> chunk (B R, k, n)."""
        phase = t[:, None] * self.frequencies  # (B, 8)
        time = self.time(torch.cat([phase.sin(), phase.cos()], -1))  # (B, d)
        y = self.into(x) + self.step + time[:, None]  # (B, k, d)
        for layer, memory in zip(self.layers, memories):
            y = layer(y, memory)
        return self.out(self.norm(y))


# --- the whole --------------------------------------------------------------------------------------------


def _places(h: int, w: int) -> Tensor:
    """Where each token is in the picture, (T, 10): coordinates in -1..1, their sines and cosines; zeros for the scene.

    The coordinates themselves are among them, so that tokens weighted by evidence carry the thing's centroid.
    """
    v, u = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    at = torch.stack([u, v], -1).reshape(h * w, 2)
    waves = [wave(torch.pi * n * at) for n in (1, 2) for wave in (torch.sin, torch.cos)]
    return F.pad(torch.cat([at, *waves], dim=1), (0, 0, 0, 1))


class SaPaVe(nn.Module):
    """See the module. After `freeze_backbone` only adapter, spatial encoder and decoders train."""

    head_scale_rad: Tensor
    other_scale_rad: Tensor
    places: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = c = config
        self.backbone = BACKBONES[c.backbone](c)
        self.semantic = nn.Linear(self.backbone.width, c.d)
        self.place = nn.Linear(10, c.d)
        self.register_buffer("places", _places(*c.grid), persistent=False)
        self.spatial = SpatialEncoder(c)
        seen = len(g1.POLICY) + 2 * len(g1.HEAD) * len(HEAD_WAVES)
        self.proprioception = nn.Sequential(nn.Linear(seen, c.d), nn.GELU(), nn.Linear(c.d, c.d))
        self.head_decoder = FlowDecoder(c, len(g1.HEAD))
        self.other_decoder = FlowDecoder(c, len(g1.OTHER))
        self.register_buffer("head_scale_rad", torch.tensor(c.head_scale_rad), persistent=False)
        self.register_buffer("other_scale_rad", torch.tensor(c.other_scale_rad), persistent=False)

    def freeze_backbone(self) -> None:
        """Stage 1 begins: the backbone's own weights are fixed, the camera adapter comes beside them."""
        self.backbone.requires_grad_(False)
        if self.config.adapter_rank:
            add_adapter(self.backbone, self.config.adapter_rank)

    def context(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The network's inputs (see `policy.preprocess`) to what the decoders attend to, and the evidence (B, h, w).

        Context (B, T + 2, d): the hybrid tokens; one token of the named thing, which is the patches weighted by
        the evidence, so that a decoder need not learn again where to attend; and the proprioception.
        """
        semantic, evidence = self.backbone(batch["rgb"], batch["words"])
        hybrid = self.semantic(semantic) + self.place(self.places)  # (B, T, d)
        if self.config.spatial:
            geometry = (batch[name] for name in ("depth_m", "intrinsics", "camera_in_torso", "present"))
            hybrid = hybrid + self.spatial(*geometry)
        share = evidence.flatten(1).softmax(1)[:, None].to(hybrid.dtype)  # (B, 1, h w)
        thing = share @ hybrid[:, :-1] + hybrid[:, -1:]  # (B, 1, d)
        q = batch["joint_positions"]
        waves = torch.cat([n * q[:, : len(g1.HEAD)] for n in HEAD_WAVES], dim=1)  # (B, 2 waves)
        proprioception = self.proprioception(torch.cat([q, waves.sin(), waves.cos()], dim=1))[:, None]  # (B, 1, d)
        return torch.cat([hybrid, thing, proprioception], dim=1), evidence

    def denoise(self, decoder: FlowDecoder, context: Tensor, noise: Tensor, previous: Tensor, weight: Tensor) -> Tensor:
        """Euler steps from noise (B, k, n) to a chunk, drawn towards `previous` (B, k, n) by weight (B, k).

        Real-time chunking (Black et al. 2025) with the Jacobian of the denoiser taken as the identity, so
        that the exported graph needs no gradients: x1 = x + (1 - t) v is where the flow is heading,
        v += g(t) w (previous - x1) bends it, g(t) = min(beta, (1 - t) / t (t^2 + (1 - t)^2) / (1 - t)^2).
        """
        memories = decoder.memories(context)
        x, steps = noise, self.config.denoising_steps
        for i in range(steps):
            t = i / steps
            x1 = decoder(x, torch.full_like(x[:, 0, 0], t), memories)
            v = (x1 - x) / (1 - t)
            r2 = (t**2 + (1 - t) ** 2) / (1 - t) ** 2
            g = self.config.beta if i == 0 else min(self.config.beta, (1 - t) / t * r2)
            v = v + g * weight[..., None] * (previous - x1)
            x = x + v / steps
        return x

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the exported graph to head (B, k, 2), other (B, k, 26) [rad] and grounding (B, h, w) in 0..1."""
        context, evidence = self.context(batch)
        chunks = []
        for name, decoder in (("head", self.head_decoder), ("other", self.other_decoder)):
            scale = getattr(self, f"{name}_scale_rad")
            previous, weight = batch[f"previous_{name}"] / scale, batch[f"weight_{name}"]
            chunks.append(scale * self.denoise(decoder, context, batch[f"noise_{name}"], previous, weight))
        return chunks[0], chunks[1], evidence.sigmoid()

    def flow_loss(self, decoder: FlowDecoder, context: Tensor, chunk: Tensor, repeats: int) -> Tensor:
        """Flow matching (Lipman et al. 2023): the end of the straight line from noise to chunk (B, k, n).

        The loss is the squared error of the chunk, which is the velocity's times (1 - t)^2. The chunk is in
        units of the scale. Each sample serves `repeats` times: the decoder is cheap beside the backbone.
        """
        memories = decoder.memories(context)
        target = chunk.repeat_interleave(repeats, 0)
        noise = torch.randn_like(target)
        t = torch.rand(len(target), device=target.device)
        x = noise + t[:, None, None] * (target - noise)
        return F.mse_loss(decoder(x, t, memories), target)


def grounding_loss(evidence: Tensor, coverage: Tensor) -> Tensor:
    """Which patch shows the named thing, or none.

    evidence (B, h, w) log-odds against "none". coverage (B, h, w): share of each patch that the thing
    covers. Cross entropy of a softmax over the patches and "none" (log-odds 0).
    """
    flat = coverage.flatten(1)  # (B, h w)
    total = flat.sum(1, keepdim=True)  # (B, 1)
    target = torch.cat([flat / total.clamp(min=1e-6), (total <= 0).float()], dim=1)
    target = target / target.sum(1, keepdim=True)
    logits = F.pad(evidence.flatten(1), (0, 1))
    return -(target * logits.log_softmax(1)).sum(1).mean()
