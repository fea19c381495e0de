"""A pretrained vision-language model from a folder as the backbone, frozen; the camera adapter is LoRA through peft.

Works with models of `transformers` whose language model reads the picture as tokens in its sequence (LLaVA, Qwen2-VL and
2.5, PaliGemma, Idefics3 and SmolVLM among them). The instruction comes before the picture, so that a model that only
looks back in its sequence has read it when it comes to the picture; its last hidden states at the picture's positions
are the patches, resampled to our grid.

Everything is tensors, the picture's preparation included, so that the graph exports as one. What an instruction's words
are to the model's own tokenizer is a table made once (`learn_words`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoProcessor

from sapave_ros.learning.backbones.grounding import Grounding
from sapave_ros.learning.backbones.interface import Backbone
from sapave_ros.learning.config import Config
from sapave_ros.learning.layers import PLACE_WIDTH, EncoderLayer, places

PIECES = 6  # of the model's own tokens that one word may be made of; what is longer is cut

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Layers of the language model that are adapted, as the families name them."""


class Vlm(Backbone):
    """See the module. config.checkpoint: folder that `AutoModel` and `AutoProcessor` can load; nothing is downloaded.

    Raises FileNotFoundError where the folder is not there, ValueError where the model is of a kind that does not fit.
    """

    pieces: Tensor
    before: Tensor
    frame: Tensor
    at: Tensor

    def __init__(self, c: Config):
        super().__init__()
        folder = Path(c.checkpoint)
        if not c.checkpoint or not folder.is_dir():
            raise FileNotFoundError(f"checkpoint: {c.checkpoint!r} is no folder; --set checkpoint=FOLDER of a model")
        kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        self.vlm = AutoModel.from_pretrained(folder, local_files_only=True, dtype=kind)
        self.vlm.requires_grad_(False)
        self.adapted = False
        self.grid = c.grid
        self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._pixels = _Pixels(self._processor, c.image_size)
        self.register_buffer("pieces", torch.zeros(c.vocabulary_size, PIECES, dtype=torch.int64))
        tokenizer = self._processor.tokenizer
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self.register_buffer("before", torch.tensor(start, dtype=torch.int64), persistent=False)
        self.register_buffer("frame", self._pixels.frame, persistent=False)
        where = (self._pixels.frame == self._image_token()).nonzero()[:, 0]
        if len(where) != math.prod(self._pixels.cells):
            raise ValueError(
                f"checkpoint: {folder} reads a picture as {len(where)} tokens, expected {self._pixels.cells} in a grid"
            )
        self.register_buffer("where", where, persistent=False)

        hidden = int(self.vlm.config.get_text_config().hidden_size)
        self.width = self.sight_width = c.d
        self.text_width = hidden
        self.norm_in = nn.LayerNorm(hidden)
        self.into = nn.Linear(hidden, c.d)
        self.register_buffer("at", places(*c.grid), persistent=False)
        self.place = nn.Linear(PLACE_WIDTH, c.d)
        # The pretrained features know what is there; a layer of our own, which `ground` trains, learns to point at it.
        self.layer = EncoderLayer(c.d)
        self.norm = nn.LayerNorm(c.d)
        self.grounding = Grounding(c.d)

    def learn_words(self, vocabulary: Sequence[str]) -> None:
        tokenizer = self._processor.tokenizer
        for i, word in enumerate(["", "thing", *vocabulary]):  # padding, and what a word nobody taught may stand for
            ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"][:PIECES] if word else []
            self.pieces[i] = torch.tensor([n + 1 for n in ids] + [0] * (PIECES - len(ids)))

    def is_given(self, name: str) -> bool:
        return name.startswith("vlm.") and "lora_" not in name

    def adapt(self, rank: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        self.requires_grad_(False)
        language = self.vlm.language_model
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(TARGETS)), language)
        self.adapted = True

    def fold(self) -> None:
        from peft.tuners.lora import LoraLayer

        for module in list(self.vlm.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(module, name, child.get_base_layer())

    def forward(self, rgb: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        ids, real = self._sequence(words, self.frame)
        out = self.vlm(
            input_ids=ids, attention_mask=real, use_cache=False, **self._pixels(rgb, self.frame, ids)
        ).last_hidden_state
        first = ids.shape[1] - len(self.frame)
        seen = out[:, first + self.where]  # (B, picture tokens, hidden)
        cells = seen.transpose(1, 2).unflatten(2, self._pixels.cells).float()
        patches = F.interpolate(cells, self.grid, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
        last = out[:, -1:].float()  # (B, 1, hidden) has read everything
        x = self.into(self.norm_in(torch.cat([patches, last], 1)))  # (B, T, d)
        x = torch.cat([x[:, :-1] + self.place(self.at), x[:, -1:]], 1)
        x = self.norm(self.layer(x))
        return self.grounding(x[:, :-1], x[:, -1:], self.grid)

    def describe(self, words: Tensor) -> Tensor:
        ids, real = self._sequence(words, self.frame[:0])
        language = self.vlm.language_model
        return language(input_ids=ids, attention_mask=real, use_cache=False).last_hidden_state[:, -1].float()

    def _sequence(self, words: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Padding, beginning, the words' tokens, and what comes after them: ids and 0 for padding, (B, n) each."""
        batch = len(words)
        said = self.pieces[words].flatten(1)  # (B, L PIECES), 0 = nothing
        # Nothing goes to the left, where models are used to padding; the order of the rest stays.
        order = torch.argsort((said != 0).to(torch.int32), dim=1, stable=True)
        said = said.gather(1, order)
        real = (said != 0).to(torch.int64)
        ones = real.new_ones(batch, 1)
        begin, end = (part.expand(batch, -1) for part in (self.before, after))
        # The beginning is a place where attention may rest; behind the padding it is never far.
        ids = torch.cat([begin, (said - 1).clamp(min=0), end], dim=1)
        mask = torch.cat([ones.expand(-1, begin.shape[1]), real, ones.expand(-1, end.shape[1])], dim=1)
        return ids, mask

    def _image_token(self) -> int:
        config = self.vlm.config
        for name in ("image_token_id", "image_token_index"):
            if (number := getattr(config, name, None)) is not None:
                return int(number)
        raise ValueError(f"checkpoint: {type(self.vlm).__name__} does not say which token stands for a picture")


class _Pixels(nn.Module):
    """A picture as the model's own processor would hand it over, in tensors.

    The whole picture is stretched to what the processor makes of one of its size; processors that would cut its sides
    off do not, since the head has to see them. frame: ids of the tokens that a picture is in a sequence. cells: rows and
    columns of the picture's tokens.
    """

    def __init__(self, processor: Any, image_size: tuple[int, int]):
        super().__init__()
        images = processor.image_processor
        blank = Image.fromarray(np.zeros((*image_size, 3), np.uint8))
        token = getattr(processor, "image_token", None) or "<image>"
        plain = {"do_image_splitting": False} if hasattr(images, "do_image_splitting") else {}
        made = processor(text=token, images=blank, return_tensors="pt", **plain)
        tokenizer = processor.tokenizer
        ids = made["input_ids"][0]
        drop = {tokenizer.bos_token_id, tokenizer.eos_token_id}
        self.frame = torch.tensor([i for i in ids.tolist() if i not in drop], dtype=torch.int64)
        self.extra = {k: v for k, v in made.items() if k not in ("input_ids", "attention_mask", "pixel_values")}
        self.extra.pop("token_type_ids", None)
        pixels = made["pixel_values"]
        self.scale = float(images.rescale_factor) if images.do_rescale else 1.0
        mean, std = (images.image_mean, images.image_std) if images.do_normalize else ([0.0] * 3, [1.0] * 3)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)
        self.patch = None
        if "image_grid_thw" in self.extra:
            _, rows, columns = (int(n) for n in self.extra["image_grid_thw"][0])
            self.patch = (int(images.temporal_patch_size), int(images.patch_size), int(images.merge_size))
            self.size = (rows * images.patch_size, columns * images.patch_size)
            self.cells = (rows // images.merge_size, columns // images.merge_size)
        else:
            self.size = (int(pixels.shape[-2]), int(pixels.shape[-1]))
            count = _run_length(self.frame)
            side = math.isqrt(count)
            self.cells = (side, side)
        self.dimensions = pixels.dim()

    def forward(self, rgb: Tensor, frame: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """rgb (B, H, W, 3) uint8 -> arguments of the model."""
        batch = len(rgb)
        x = rgb.permute(0, 3, 1, 2).float()
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False)
        x = (x * self.scale - self.mean) / self.std  # (B, 3, size)
        if self.patch is not None:
            return {"pixel_values": self._in_patches(x), **{k: self._each(v, batch) for k, v in self.extra.items()}}
        if self.dimensions == 5:  # (B, pictures, 3, size)
            x = x[:, None]
        more = {k: self._each(v, batch).to(x.device) for k, v in self.extra.items()}
        return {"pixel_values": x, **more}

    def _in_patches(self, x: Tensor) -> Tensor:
        """(B, 3, rows, columns) -> (B n, 3 t p p), patches that are merged later next to each other (Qwen2-VL)."""
        assert self.patch is not None
        t, p, m = self.patch
        rows, columns = self.cells
        x = x.reshape(len(x), 3, rows, m, p, columns, m, p)
        x = x.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (B, rows, columns, m, m, 3, p, p)
        x = x[..., None, :, :].expand(*x.shape[:6], t, p, p)
        return x.reshape(-1, 3 * t * p * p)

    @staticmethod
    def _each(value: Tensor, batch: int) -> Tensor:
        return value.repeat(batch, *[1] * (value.dim() - 1))


def _run_length(ids: Tensor) -> int:
    """How often the token that is there most often is there."""
    return int(ids.unique(return_counts=True)[1].max())
