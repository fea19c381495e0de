"""A pretrained vision-language model from a folder as the backbone, frozen; the camera adapter is LoRA through peft.

Works with models of `transformers` whose language model reads the picture as tokens in its sequence. LLaVA, Qwen2-VL,
PaliGemma and Idefics3 are tried. The sequence is

    beginning, instruction, picture

in this order, so that a language model that only looks back has read the instruction when it comes to the picture. Its
last hidden states at the picture's tokens are the patches, resampled to our grid.

Everything is tensors, the picture's preparation included. What the words of an instruction are to the model's own
tokenizer is a table that is made once (`learn_words`) and kept in checkpoints.
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
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from sapave_ros.learning.backbones.grounding import Grounding
from sapave_ros.learning.backbones.interface import Backbone
from sapave_ros.learning.config import Config
from sapave_ros.learning.layers import PLACE_WIDTH, EncoderLayer, places

PIECES = 6
"""Of the model's own tokens that one word may be made of; what is longer is cut."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Layers of the language model that are adapted, as all of these families name them."""

FRAMES = (
    ("<|vision_start|>", "<|vision_end|>"),
    ("<fake_token_around_image><global-img>", "<fake_token_around_image>"),
)
"""What stands before and after a picture in the sequence of families that mark it (Qwen; Idefics3 and SmolVLM)."""


class Vlm(Backbone):
    """See the module. config.checkpoint: folder with a model and its processor's files; nothing is downloaded.

    Raises FileNotFoundError where the folder is not there, ValueError where the model is of a kind that does not fit.
    """

    pieces: Tensor
    before: Tensor
    frame_start: Tensor
    frame_end: Tensor
    at: Tensor

    def __init__(self, c: Config):
        super().__init__()
        folder = Path(c.checkpoint)
        if not c.checkpoint or not folder.is_dir():
            raise FileNotFoundError(f"checkpoint: {c.checkpoint!r} is no folder; --set checkpoint=FOLDER of a model")
        kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        self.vlm = AutoModel.from_pretrained(folder, local_files_only=True, dtype=kind)
        for part in ("language_model", "text_model"):
            if hasattr(self.vlm, part) and hasattr(self.vlm, "get_image_features"):
                self._language = part
                break
        else:
            raise ValueError(
                f"checkpoint: {folder} is a {type(self.vlm).__name__}, expected one with a language model that reads "
                "pictures as tokens"
            )
        self.vlm.requires_grad_(False)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.pixels = Pixels(AutoImageProcessor.from_pretrained(folder, local_files_only=True), c.image_size)
        self.grid = c.grid
        self.cells = self._cells(c.image_size)
        text = self.vlm.config.get_text_config()
        # Only these have places of three numbers, of time, row and column (multimodal RoPE).
        self.three_places = "mrope_section" in (getattr(text, "rope_parameters", None) or {})
        self.looks_back = self.vlm.config.model_type != "paligemma"  # that one reads all of what it is given at once

        self.register_buffer("pieces", torch.zeros(c.vocabulary_size, PIECES, dtype=torch.int64))
        known = self.tokenizer.get_vocab()
        start, end = next((f for f in FRAMES if f[1] in known), ("", ""))
        bos = self.tokenizer.bos_token_id
        self.register_buffer("before", torch.tensor([] if bos is None else [bos], dtype=torch.int64), persistent=False)
        for name, mark in (("frame_start", start), ("frame_end", end)):
            self.register_buffer(name, torch.tensor(self._ids(mark), dtype=torch.int64), persistent=False)

        self.width = self.sight_width = c.d
        self.text_width = int(text.hidden_size)
        self.norm_in = nn.LayerNorm(self.text_width)
        self.into = nn.Linear(self.text_width, c.d)
        self.register_buffer("at", places(*c.grid), persistent=False)
        self.place = nn.Linear(PLACE_WIDTH, c.d)
        # The pretrained features know what is there; a layer of our own, which `ground` trains, learns to point at it.
        self.layer = EncoderLayer(c.d)
        self.norm = nn.LayerNorm(c.d)
        self.grounding = Grounding(c.d)

    def learn_words(self, vocabulary: Sequence[str]) -> None:
        # After padding comes the word that nobody taught.
        for i, word in enumerate(["", "thing", *vocabulary]):
            ids = self._ids(f" {word}")[:PIECES] if word else []
            self.pieces[i] = torch.tensor([n + 1 for n in ids] + [0] * (PIECES - len(ids)))  # 0 = none

    def is_given(self, name: str) -> bool:
        return name.startswith("vlm.") and "lora_" not in name

    def adapt(self, rank: int) -> None:
        """LoRA in the language model, and what points at things stays as `ground` left it."""
        self.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(TARGETS))
        inject_adapter_in_model(config, self.language)

    def fold(self) -> None:
        for module in list(self.language.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(module, name, child.get_base_layer())

    @property
    def language(self) -> nn.Module:
        language: nn.Module = getattr(self.vlm, self._language)
        return language

    def forward(self, rgb: Tensor, words: Tensor, picture: Tensor | None = None) -> tuple[Tensor, Tensor]:
        begun, real = self._told(words)  # (B, n, hidden), (B, n)
        image = self._picture(rgb)  # (P, rows columns, hidden)
        image = image if picture is None else image[picture]
        start, end = (self._embed(ids).expand(len(words), -1, -1) for ids in (self.frame_start, self.frame_end))
        first = begun.shape[1] + start.shape[1]
        sequence = torch.cat([begun, start, image.to(begun.dtype), end], dim=1)
        real = F.pad(real, (0, sequence.shape[1] - real.shape[1]), value=True)
        out = self._read(sequence, real, first)
        cells = out[:, first : first + image.shape[1]].transpose(1, 2).unflatten(2, self.cells)
        patches = F.interpolate(cells, self.grid, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
        x = self.into(self.norm_in(torch.cat([patches, out[:, -1:]], 1)))  # (B, T, d); the last has read everything
        x = x + F.pad(self.place(self.at), (0, 0, 0, 1))
        x = self.norm(self.layer(x))
        return self.grounding(x[:, :-1], x[:, -1:], self.grid)

    def describe(self, words: Tensor) -> Tensor:
        told, real = self._told(words)
        return self._read(told, real, told.shape[1])[:, -1]

    def _told(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The beginning and the instruction, (B, n, hidden), and which of it is real (B, n); padding is on the left."""
        said = self.pieces[words].flatten(1)  # (B, L PIECES), 0 = none
        none = said == 0
        left = none.long().cumsum(1)
        # Where each goes: none to the left, the rest behind them in its order (ONNX has no stable sort).
        to = torch.where(none, left, left[:, -1:] + (~none).long().cumsum(1)) - 1
        said = torch.zeros_like(said).scatter(1, to, said)
        begin = self._embed(self.before).expand(len(words), -1, -1)
        x = torch.cat([begin, self._embed((said - 1).clamp(min=0))], dim=1)
        return x, F.pad(said != 0, (begin.shape[1], 0), value=True)

    def _read(self, sequence: Tensor, real: Tensor, picture_from: int) -> Tensor:
        """Last hidden states (B, n, hidden) of a sequence; from `picture_from` on, its tokens are a picture's."""
        n = sequence.shape[1]
        seen = real[:, None, None, :].expand(-1, 1, n, -1)
        if self.looks_back:
            seen = seen & torch.ones(n, n, dtype=torch.bool, device=sequence.device).tril()
        seen = seen | torch.eye(n, dtype=torch.bool, device=sequence.device)  # padding sees itself, else nothing
        mask = torch.zeros_like(seen, dtype=sequence.dtype).masked_fill(~seen, torch.finfo(sequence.dtype).min)
        place = (real.long().cumsum(1) - 1).clamp(min=0)  # (B, n)
        if self.three_places:
            place = self._three(place, picture_from)
        out = self.language(inputs_embeds=sequence, attention_mask=mask, position_ids=place, use_cache=False)
        return out.last_hidden_state.float()

    def _three(self, place: Tensor, first: int) -> Tensor:
        """Places (B, n) to (3, B, n): a picture's tokens are at one time, in rows and columns (Qwen2-VL, figure 3)."""
        three = place.expand(3, -1, -1)
        count = self.cells[0] * self.cells[1]
        if first >= place.shape[1]:
            return three
        at = torch.arange(count, device=place.device)
        grid = torch.stack([0 * at, at // self.cells[1], at % self.cells[1]])[:, None]  # (3, 1, count)
        picture = place[None, :, first : first + 1] + grid  # (3, B, count)
        after = three[:, :, first + count :] - count + max(self.cells)
        return torch.cat([three[:, :, :first], picture, after], dim=2)

    def _picture(self, rgb: Tensor) -> Tensor:
        out = self.vlm.get_image_features(**self.pixels(rgb, self.vlm.dtype))
        out = getattr(out, "pooler_output", out)
        out = torch.cat(list(out)) if isinstance(out, (tuple, list)) else out
        return out.reshape(len(rgb), -1, out.shape[-1])

    def _cells(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the tokens of a picture."""
        with torch.no_grad():
            count = self._picture(torch.zeros(1, *image_size, 3, dtype=torch.uint8)).shape[1]
        rows = self.pixels.merged[0] if self.pixels.merged else math.isqrt(count)
        if rows == 0 or count % rows or (not self.pixels.merged and rows * rows != count):
            raise ValueError(f"checkpoint: reads a picture as {count} tokens, expected a grid of them")
        return rows, count // rows

    def _embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.vlm.get_input_embeddings()(ids)
        return embedded

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


class Pixels(nn.Module):
    """A picture as the model's own processor would hand it over, in tensors.

    The whole picture is stretched to the size that the processor makes of one of its size. Processors that would cut
    its sides off do not get to: the head has to see them. merged: rows and columns of tokens where it decides them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, processor: Any, image_size: tuple[int, int]):
        super().__init__()
        whole = {"do_image_splitting": False} if hasattr(processor, "do_image_splitting") else {}
        blank = Image.fromarray(np.zeros((*image_size, 3), np.uint8))
        made = processor(images=[blank], return_tensors="pt", **whole)
        pixels = made["pixel_values"]
        self.scale = float(processor.rescale_factor) if processor.do_rescale else 1.0
        for name in ("mean", "std"):
            value = getattr(processor, f"image_{name}") if processor.do_normalize else [float(name == "std")] * 3
            self.register_buffer(name, torch.tensor(value).reshape(1, 3, 1, 1), persistent=False)
        self.merged: tuple[int, int] | None = None
        self.several = pixels.dim() == 5  # (B, pictures, 3, H, W)
        self.size = (int(pixels.shape[-2]), int(pixels.shape[-1]))
        if "image_grid_thw" in made:
            _, rows, columns = (int(n) for n in made["image_grid_thw"][0])
            self.cut = (int(processor.temporal_patch_size), int(processor.patch_size), int(processor.merge_size))
            self.merged = (rows // self.cut[2], columns // self.cut[2])
            self.size = (rows * self.cut[1], columns * self.cut[1])

    def forward(self, rgb: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """rgb (B, H, W, 3) uint8 -> arguments of `get_image_features`."""
        x = rgb.permute(0, 3, 1, 2).float()
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False)
        x = ((x * self.scale - self.mean) / self.std).to(dtype)  # (B, 3, size)
        if self.merged is None:
            return {"pixel_values": x[:, None] if self.several else x}
        t, p, m = self.cut
        rows, columns = self.merged
        x = x.reshape(len(x), 3, rows, m, p, columns, m, p)
        x = x.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (B, rows, columns, m, m, 3, p, p): what is merged lies together
        x = x[..., None, :, :].expand(*x.shape[:6], t, p, p)  # one picture is a film of t equal ones
        grid = torch.tensor([[1, rows * m, columns * m]], device=x.device).expand(len(rgb), -1)
        return {"pixel_values": x.reshape(-1, 3 * t * p * p), "image_grid_thw": grid}
