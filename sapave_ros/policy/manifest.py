"""The model's own contract: what goes in, what comes out, in which order and unit, and where it was trained.

It is JSON (data only, nothing in it is executed) in the `metadata_props` of the ONNX file, so that one
file is the whole model. Inference refuses to start on any mismatch and names the field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import g1
from sapave_ros.share import share_path

SHIPPED = "models/sapave_nano.onnx"
"""The model of the package, see `share_path`."""

KEY = "sapave_manifest"
"""Key of the manifest in the ONNX file's metadata."""

FORMAT = 1
TOKENIZER_VERSION = 1

HEADS: dict[str, g1.JointGroup] = {"head": g1.HEAD, "other": g1.OTHER}
"""The two action heads and the joints that each moves, in this order."""

Shape = tuple[int, ...]


class ManifestError(ValueError):
    """The model does not fit this robot or this software; the message names field, value and what was expected."""


@dataclass(frozen=True)
class Manifest:
    """See the module.

    image_size: (height, width) of the picture the network sees [px]. inputs, outputs: shape of every
    tensor of the graph by name, batch of one. head_joints, other_joints: order of the columns of the
    chunks. chunk_steps, dt_s [s]: length and time grid of a chunk. *_scale_rad: increment [rad] that the
    network sees as 1. *_bound_rad: largest |increment| per step [rad] in the training data, 0 where
    untrained. trained_heads: heads that may move joints. vocabulary: words by id, after padding and
    unknown. max_words: words of an instruction that are read. denoising_steps: Euler steps in the graph.
    training: seed, commit, configuration and data of the training run, and of those that it went on from.
    weights_bytes, weights_sha256: the first bytes of the file, all but this manifest, and their hash.
    """

    name: str
    image_size: tuple[int, int]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    head_joints: tuple[str, ...]
    other_joints: tuple[str, ...]
    chunk_steps: int
    dt_s: float
    head_scale_rad: tuple[float, ...]
    other_scale_rad: tuple[float, ...]
    head_bound_rad: tuple[float, ...]
    other_bound_rad: tuple[float, ...]
    trained_heads: tuple[str, ...]
    vocabulary: tuple[str, ...]
    max_words: int
    denoising_steps: int
    training: dict[str, Any]
    weights_bytes: int = 0
    weights_sha256: str = ""
    tokenizer_version: int = TOKENIZER_VERSION
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises ManifestError on anything but exactly the fields above with their types."""
        try:
            data = json.loads(text)
        except ValueError as e:
            raise ManifestError(f"manifest: not JSON ({e})") from e
        if not isinstance(data, dict):
            raise ManifestError(f"manifest: is {type(data).__name__}, expected an object")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        if missing := sorted(fields.keys() - data.keys()):
            raise ManifestError(f"manifest: field {missing[0]} is missing")
        if unknown := sorted(data.keys() - fields.keys()):
            raise ManifestError(f"manifest: field {unknown[0]} is not known; expected {', '.join(fields)}")
        if data["format"] != FORMAT:
            raise ManifestError(f"manifest: format is {data['format']!r}, expected {FORMAT}")
        return cls(**{name: _typed(name, str(f.type), data[name]) for name, f in fields.items()})

    @property
    def depth_size(self) -> tuple[int, int]:
        """(height, width) of the depth that the network sees [px]. ManifestError where `inputs` has none."""
        shape = self.inputs.get("depth_m", ())
        if len(shape) != 3 or min(shape) < 1:
            raise ManifestError(f"manifest: inputs[depth_m] is {shape}, expected (1, height, width)")
        return shape[1], shape[2]

    def scale_rad(self, head: str) -> np.ndarray:
        """(n,) [rad] of one head."""
        return np.array(getattr(self, f"{head}_scale_rad"))

    def bound_rad(self, head: str) -> np.ndarray:
        """(n,) [rad] of one head."""
        return np.array(getattr(self, f"{head}_bound_rad"))


def read(path: Path) -> Manifest:
    """The manifest of a model file, without loading the model. Raises ManifestError; OSError where there is no file.

    An ONNX file is a protobuf message; its metadata are entries (key 1, value 2) in field 14 of the outermost one
    (onnx.proto, ModelProto.metadata_props).
    """
    data = memoryview(path.read_bytes())
    try:
        for number, content in _protobuf_fields(data):
            entry = dict(_protobuf_fields(content)) if number == 14 else {}
            if bytes(entry.get(1, b"")).decode() == KEY:
                return Manifest.from_json(bytes(entry[2]).decode())
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise ManifestError(f"model: {path} is no ONNX file") from error
    raise ManifestError(f"model: {path} carries no manifest, expected {KEY!r} in its metadata")


def _protobuf_fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every length-delimited field; IndexError where the bytes are no message."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 2:
            size = varint()
            if at + size > len(data):
                raise IndexError(size)
            yield tag >> 3, data[at : at + size]
            at += size
        elif tag & 7 == 0:
            varint()
        else:
            raise IndexError(tag)


def trained_rate(model: str, head: str) -> np.ndarray:
    """(n,) [rad/s] the largest increments per time that one head saw in training; infinite where it is untrained.

    An untrained head sends nothing; what people send in its place has the limits of the joints. model: path, empty =
    the one that ships with the package. Errors as `read`.
    """
    manifest = read(Path(model) if model else share_path(SHIPPED))
    bound = manifest.bound_rad(head) / manifest.dt_s
    return bound if head in manifest.trained_heads else np.full(len(bound), np.inf)


def _typed(name: str, kind: str, value: Any) -> Any:
    """A JSON value as the field's type; ManifestError if it is of another."""

    def wrong() -> ManifestError:
        return ManifestError(f"manifest: {name} is {value!r:.80}, expected {kind}")

    def integer(v: Any) -> bool:
        return isinstance(v, int) and not isinstance(v, bool)

    def number(v: Any) -> bool:
        return isinstance(v, (int, float)) and not isinstance(v, bool) and bool(np.isfinite(v))

    element = {"tuple[str, ...]": lambda v: isinstance(v, str), "tuple[float, ...]": number, "tuple[int, int]": integer}
    if kind in element:
        if not isinstance(value, list) or not all(map(element[kind], value)):
            raise wrong()
        if kind == "tuple[int, int]" and len(value) != 2:
            raise wrong()
        return tuple(float(v) if "float" in kind else v for v in value)
    if kind == "dict[str, Shape]":
        if not isinstance(value, dict) or not all(isinstance(s, list) and all(map(integer, s)) for s in value.values()):
            raise wrong()
        return {k: tuple(s) for k, s in value.items()}
    plain = {
        "int": integer,
        "float": number,
        "str": lambda v: isinstance(v, str),
        "dict[str, Any]": lambda v: isinstance(v, dict),
    }
    if not plain[kind](value):
        raise wrong()
    return float(value) if kind == "float" else value


def _expect(field: str, value: object, expected: object) -> None:
    if value != expected:
        raise ManifestError(f"manifest: {field} is {value!r:.200}, expected {expected!r:.200}")


def check(
    manifest: Manifest, graph_inputs: Mapping[str, Sequence[Any]], graph_outputs: Mapping[str, Sequence[Any]]
) -> None:
    """Hold the manifest against this robot (`g1`) and against the graph's tensors (name to shape).

    Raises ManifestError on the first mismatch.
    """
    m = manifest
    _expect("tokenizer_version", m.tokenizer_version, TOKENIZER_VERSION)
    for head, joints in HEADS.items():
        names = getattr(m, f"{head}_joints")
        for i, (name, expected) in enumerate(zip(names, joints.names)):
            _expect(f"{head}_joints[{i}]", name, expected)
        _expect(f"length of {head}_joints", len(names), len(joints))
        _expect(f"length of {head}_scale_rad", len(m.scale_rad(head)), len(joints))
        _expect(f"length of {head}_bound_rad", len(m.bound_rad(head)), len(joints))
        if not (m.scale_rad(head) > 0).all():
            raise ManifestError(f"manifest: {head}_scale_rad is {m.scale_rad(head).min()}, expected > 0")
        if not (m.bound_rad(head) >= 0).all():
            raise ManifestError(f"manifest: {head}_bound_rad is {m.bound_rad(head).min()}, expected >= 0")
    for head in m.trained_heads:
        if head not in HEADS:
            raise ManifestError(f"manifest: trained_heads has {head!r}, expected of {', '.join(HEADS)}")
    for field in ("chunk_steps", "dt_s", "max_words", "denoising_steps"):
        if not getattr(m, field) > 0:
            raise ManifestError(f"manifest: {field} is {getattr(m, field)}, expected > 0")
    if not m.vocabulary or len(set(m.vocabulary)) != len(m.vocabulary):
        raise ManifestError(f"manifest: vocabulary of {len(m.vocabulary)} words is empty or has a word twice")

    for kind, declared, graph in (("inputs", m.inputs, graph_inputs), ("outputs", m.outputs, graph_outputs)):
        _expect(f"names of {kind}", sorted(declared), sorted(graph))
        for name, shape in declared.items():
            _expect(f"{kind}[{name}]", shape, tuple(graph[name]))
    (height, width), depth = m.image_size, m.depth_size
    k, h, o = m.chunk_steps, len(g1.HEAD), len(g1.OTHER)
    expected_shapes: dict[str, Shape] = {
        "rgb": (1, height, width, 3),
        "depth_m": (1, *depth),
        "intrinsics": (1, 3, 3),
        "camera_in_torso": (1, 4, 4),
        "present": (1, 3),
        "words": (1, m.max_words),
        "joint_positions": (1, len(g1.POLICY)),
        "noise_head": (1, k, h),
        "noise_other": (1, k, o),
        "previous_head": (1, k, h),
        "previous_other": (1, k, o),
        "weight_head": (1, k),
        "weight_other": (1, k),
    }
    for name, shape in expected_shapes.items():
        _expect(f"inputs[{name}]", m.inputs.get(name), shape)
    _expect("number of inputs", len(m.inputs), len(expected_shapes))
    _expect("outputs[head]", m.outputs.get("head"), (1, k, h))
    _expect("outputs[other]", m.outputs.get("other"), (1, k, o))
    if len(m.outputs.get("grounding", ())) != 3:
        raise ManifestError(f"manifest: outputs[grounding] is {m.outputs.get('grounding')}, expected (1, h, w)")


def check_weights(manifest: Manifest, path: Path) -> None:
    """Hold the file against the hash in its manifest; ManifestError if it was changed or cut."""
    with path.open("rb") as f:
        weights = f.read(manifest.weights_bytes)
    _expect("weights_bytes", len(weights), manifest.weights_bytes)
    _expect("weights_sha256", hashlib.sha256(weights).hexdigest(), manifest.weights_sha256)
