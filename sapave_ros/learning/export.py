"""A training checkpoint to one ONNX file that carries its manifest."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from sapave_ros.learning.config import Config
from sapave_ros.learning.model import SaPaVe
from sapave_ros.learning.training import checkpoint as saved
from sapave_ros.policy import manifest as contract
from sapave_ros.policy.manifest import Manifest

OPSET = 18
INPUTS = (
    "rgb",
    "depth_m",
    "intrinsics",
    "camera_in_torso",
    "present",
    "words",
    "joint_positions",
    "noise_head",
    "noise_other",
    "previous_head",
    "previous_other",
    "weight_head",
    "weight_other",
)
OUTPUTS = ("head", "other", "grounding")


class _Positional(torch.nn.Module):
    """The model with its inputs in the order of INPUTS, as the exporter wants them."""

    def __init__(self, model: SaPaVe):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.model.forward(dict(zip(INPUTS, inputs)))


def example_inputs(c: Config, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of the graph, batch of one."""
    g = torch.Generator().manual_seed(seed)
    (h, w), depth = c.image_size, c.depth_size
    k, n_head, n_other = c.chunk_steps, len(contract.HEADS["head"]), len(contract.HEADS["other"])

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    return {
        "rgb": torch.randint(0, 256, (1, h, w, 3), dtype=torch.uint8, generator=g),
        "depth_m": torch.rand(1, *depth, generator=g) * 3,
        "intrinsics": torch.tensor([[[0.7 * w, 0, w / 2], [0, 0.7 * w, h / 2], [0, 0, 1]]]),
        "camera_in_torso": torch.eye(4)[None] + 0.1 * normal(1, 4, 4),
        "present": torch.ones(1, 3),
        "words": torch.randint(0, c.vocabulary_size, (1, c.max_words), generator=g),
        "joint_positions": 0.3 * normal(1, n_head + n_other),
        "noise_head": normal(1, k, n_head),
        "noise_other": normal(1, k, n_other),
        "previous_head": 0.05 * normal(1, k, n_head),
        "previous_other": 0.05 * normal(1, k, n_other),
        "weight_head": torch.linspace(1, 0, k)[None],
        "weight_other": torch.linspace(1, 0, k)[None],
    }


def export(
    model: SaPaVe, path: Path, vocabulary: tuple[str, ...], training: dict[str, Any], trained: dict[str, list[float]]
) -> Manifest:
    """Writes the ONNX file. trained: bound [rad] of the increments seen in training, per joint, by trained head.

    The manifest is appended as a protobuf message of its own: parsers merge concatenated messages, and the
    bytes before it, which the manifest's hash covers, are a whole ONNX file themselves. Which geometry the network
    looks at is in the configuration under `training`. Raises ValueError on more words than the network knows.
    """
    model = model.eval().float()
    c = model.config
    if len(vocabulary) + 2 > c.vocabulary_size:
        raise ValueError(
            f"vocabulary: {len(vocabulary)} words, the network reads {c.vocabulary_size} with padding and unknown"
        )
    model.backbone.fold()
    example = example_inputs(c)
    with torch.no_grad():
        outputs = dict(zip(OUTPUTS, model(example)))
    program = torch.onnx.export(
        _Positional(model).eval(),
        tuple(example[name] for name in INPUTS),
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    # The exporter notes the path of every source line; it says nothing to a reader of the model.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    weights = proto.SerializeToString(deterministic=True)
    manifest = Manifest(
        name=f"sapave-{c.name}",
        image_size=c.image_size,
        inputs={name: tuple(example[name].shape) for name in INPUTS},
        outputs={name: tuple(outputs[name].shape) for name in OUTPUTS},
        head_joints=contract.HEADS["head"].names,
        other_joints=contract.HEADS["other"].names,
        chunk_steps=c.chunk_steps,
        dt_s=c.dt_s,
        head_scale_rad=tuple(c.head_scale_rad),
        other_scale_rad=tuple(c.other_scale_rad),
        head_bound_rad=tuple(trained.get("head", [0.0] * len(contract.HEADS["head"]))),
        other_bound_rad=tuple(trained.get("other", [0.0] * len(contract.HEADS["other"]))),
        trained_heads=tuple(trained),
        vocabulary=vocabulary,
        max_words=c.max_words,
        denoising_steps=c.denoising_steps,
        training={**training, "config": dataclasses.asdict(c)},
        weights_bytes=len(weights),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    write(path, weights, manifest)
    return manifest


def write(path: Path, weights: bytes, manifest: Manifest) -> None:
    """One file of the graph's bytes and the manifest; whole or not at all."""
    metadata = onnx.ModelProto()
    metadata.metadata_props.add(key=contract.KEY, value=manifest.to_json())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(weights + metadata.SerializeToString())
    partial.replace(path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, default=Path("out/runs/nano"), help="folder of the training run")
    parser.add_argument("--output", type=Path, default=Path("models/sapave_nano.onnx"), help="ONNX file to write")
    parser.add_argument(
        "--backbone", type=Path, help="also write what the stage `ground` taught here, for `sapave train --ground`"
    )
    parser.add_argument(
        "--look", type=Path, help="also write what the stage `look` taught here, for `sapave train --stage do --look`"
    )


def run(args: argparse.Namespace) -> int:
    from sapave_ros.learning.train import load_trained

    model, checkpoint = load_trained(args.run)
    manifest = export(
        model,
        args.output,
        tuple(checkpoint["vocabulary"]),
        checkpoint["training"],
        {name: checkpoint[key] for name in ("head", "other") if (key := f"{name}_bound_rad") in checkpoint},
    )
    if args.backbone:
        saved.write(args.backbone, saved.backbone(saved.read(args.run / "ground.pt")))
        print(f"{args.backbone}: {args.backbone.stat().st_size / 1e6:.1f} MB, the backbone")
    if args.look:
        saved.write(args.look, saved.looked(saved.read(args.run / "look.pt")))
        print(f"{args.look}: {args.look.stat().st_size / 1e6:.1f} MB, what the stage `look` taught")
    print(
        f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB, trained heads: {', '.join(manifest.trained_heads)}"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
