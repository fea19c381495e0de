"""Backbones by name: picture and instruction to what is where. Each is imported when it is used.

film_cnn   ours, small, pretrained from nothing by the stage `ground`
vlm        a pretrained vision-language model from a folder, frozen, adapted through peft
"""

from __future__ import annotations

import importlib

from sapave_ros.learning.backbones.interface import Backbone
from sapave_ros.learning.config import Config, known

BACKBONES: dict[str, tuple[str, str]] = {
    "film_cnn": ("sapave_ros.learning.backbones.film_cnn", "FilmCnn"),
    "vlm": ("sapave_ros.learning.backbones.vlm", "Vlm"),
}
"""Module and class of each; the class is built from a `Config`."""


def build(config: Config) -> Backbone:
    """Raises ValueError on a name that is not there, ModuleNotFoundError where its extra is not installed."""
    known("backbone", config.backbone, BACKBONES)
    module, name = BACKBONES[config.backbone]
    backbone: Backbone = getattr(importlib.import_module(module), name)(config)
    return backbone


__all__ = ["BACKBONES", "Backbone", "build"]
