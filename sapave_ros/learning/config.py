"""Sizes and variants of the network, by name. Rows of the paper's ablation table are configurations, not branches."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sapave_ros import g1
from sapave_ros.names import known

PATCH = 16
"""Side of a patch [px]: stride of the backbone and cell of every map that training compares with."""

DEPTH_REDUCTION = 2
"""Depth is looked at with so many times fewer pixels each way: it tells where things are, not what they are."""

GEOMETRY: dict[str, tuple[bool, bool, bool]] = {
    "none": (False, False, False),
    "depth": (True, False, False),
    "kt": (False, True, True),
    "all": (True, True, True),
    "any": (True, True, True),
}
"""Which of depth, intrinsics and camera pose the network looks at, in training and afterwards. `any` learns to do with
random subsets of the three; `all` is always trained with the three together."""

TUNINGS = ("adapter", "full", "frozen")
"""What the backbone does in stage `look`: a low-rank adapter beside its fixed weights, all weights, or nothing."""


@dataclass(frozen=True)
class Config:
    """backbone: name in `backbones.BACKBONES`. checkpoint: folder of the pretrained model of backbone `vlm`.
    vocabulary_size: words, padding and unknown. text_width, text_layers, summaries: the text encoder, its layers, and
    the tokens in which it sums an instruction up. widths: channels at stride 2, 4, 8 and 16. blocks: residual blocks
    at stride 8, at stride 16, and at stride 16 under the instruction's control. relation_layers: layers of attention
    among patches and words. colours, kinds, sizes: classes of the attribute head. attribute_weight, caption_weight,
    direction_weight: of the losses beside the grounding in stage `ground`. ground_weight, position_weight: of those
    beside the flow's in stage `look`. 0 switches one off. near_weight: of pairs whose thing is near the middle already,
    in stage `look`. head_weight, other_weight, points_weight: of the losses in stage `do`; with a head_weight of 0 the
    head's decoder stays as it is. tuning: one of `TUNINGS`.
    spatial: the spatial encoder. decoupled: a decoder each for head and other joints, or one for all. geometry: one
    of `GEOMETRY`. beta: most that real-time chunking may pull per denoising step.
    """

    name: str = "nano"
    backbone: str = "film_cnn"
    checkpoint: str = ""
    image_size: tuple[int, int] = (192, 320)
    vocabulary_size: int = 400
    max_words: int = 20
    text_width: int = 96
    text_layers: int = 2
    summaries: int = 4
    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    blocks: tuple[int, int, int] = (1, 2, 2)
    relation_layers: int = 4
    colours: int = 16
    kinds: int = 128
    sizes: int = 4
    attribute_weight: float = 0.5
    caption_weight: float = 0.2
    direction_weight: float = 0.2
    ground_weight: float = 1.0
    position_weight: float = 0.1
    near_weight: float = 3.0
    head_weight: float = 1.0
    other_weight: float = 1.0
    points_weight: float = 0.3
    d: int = 128
    decoder_layers: int = 3
    tuning: str = "adapter"
    adapter_rank: int = 8
    spatial: bool = True
    decoupled: bool = True
    geometry: str = "any"
    chunk_steps: int = 16
    # 16 steps of 0.1 s: long enough to bridge a slow inference, and at 1.2 rad/s enough for any turn of the neck.
    dt_s: float = 0.1
    denoising_steps: int = 5
    beta: float = 5.0
    head_scale_rad: tuple[float, ...] = (0.06, 0.06)
    other_scale_rad: tuple[float, ...] = field(default=(0.06,) * len(g1.OTHER))

    def __post_init__(self) -> None:
        known("geometry", self.geometry, GEOMETRY)
        known("tuning", self.tuning, TUNINGS)
        if len(self.widths) != 4:
            raise ValueError(f"widths: {self.widths}, expected four: channels at stride 2, 4, 8 and 16")
        if any(side % PATCH for side in self.image_size):
            raise ValueError(f"image_size: {self.image_size}, expected multiples of {PATCH}")
        if self.tuning == "adapter" and self.adapter_rank < 1:
            raise ValueError(f"adapter_rank: {self.adapter_rank}, expected > 0; tuning=frozen does without an adapter")

    @property
    def grid(self) -> tuple[int, int]:
        return self.image_size[0] // PATCH, self.image_size[1] // PATCH

    @property
    def depth_size(self) -> tuple[int, int]:
        return self.image_size[0] // DEPTH_REDUCTION, self.image_size[1] // DEPTH_REDUCTION


_NANO = Config()
_DEBUG = Config(
    "debug",
    text_width=16,
    text_layers=1,
    summaries=2,
    widths=(8, 8, 16, 24),
    blocks=(1, 0, 1),
    relation_layers=1,
    d=32,
    decoder_layers=1,
    adapter_rank=2,
)

CONFIGS: dict[str, Config] = {
    c.name: c
    for c in (
        _NANO,
        _DEBUG,
        # What a GPU trains in the hours that two cores take for nano.
        Config(
            "small",
            text_width=192,
            text_layers=4,
            widths=(32, 64, 128, 192),
            blocks=(2, 4, 4),
            relation_layers=6,
            d=256,
            decoder_layers=4,
            adapter_rank=16,
        ),
        # What a lab trains on its own GPUs: --set checkpoint=FOLDER names the pretrained model.
        Config("vlm", backbone="vlm", d=512, decoder_layers=6, adapter_rank=16),
        # The paper's ablations: without camera adapter, spatial injection, decoupled heads; with geometry in part.
        replace(_NANO, name="nano-no-adapter", tuning="full"),
        replace(_NANO, name="nano-no-spatial", spatial=False),
        replace(_NANO, name="nano-shared-head", decoupled=False),
        *(replace(_NANO, name=f"nano-geometry-{g}", geometry=g) for g in GEOMETRY if g != _NANO.geometry),
    )
}


def config_named(name: str, changes: Mapping[str, str] | None = None) -> Config:
    """A configuration with fields changed, as text: {"adapter_rank": "4", "widths": "8,16,32,64", "spatial": "false"}.

    Raises ValueError with what may have been meant on a name, a field or a value that does not exist.
    """
    known("config", name, CONFIGS)
    return config_with(CONFIGS[name], changes or {})


def config_with(config: Config, changes: Mapping[str, str]) -> Config:
    """A configuration with fields changed, as `config_named`."""
    kinds = typing.get_type_hints(Config)
    values: dict[str, Any] = {}
    for key, text in changes.items():
        known("field of a configuration", key, kinds)
        values[key] = _value(key, kinds[key], text)
    return replace(config, **values)


def plain(config: Config) -> dict[str, Any]:
    """As JSON and checkpoints hold it."""
    return dataclasses.asdict(config)


def config_from(values: Mapping[str, Any]) -> Config:
    """What `plain` made. Raises ValueError naming the first field that this version does not have."""
    for key in values:
        known("field of a configuration", key, typing.get_type_hints(Config))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Config(**fields)


def _value(key: str, kind: Any, text: str) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(_value(key, typing.get_args(kind)[0], part) for part in text.split(","))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key}: {text!r}, expected true or false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{key}: {text!r}, expected {kind.__name__}") from error
