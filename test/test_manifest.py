"""The model's contract: what does not fit is refused by name, whatever it is."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.policy.manifest import FORMAT, Manifest, ManifestError, check
from sapave_ros.policy.tokenizer import PAD, UNKNOWN, Tokenizer

K, H, W, WORDS = 16, 48, 80, 6


def manifest(**changes) -> Manifest:
    inputs = {
        "rgb": (1, H, W, 3),
        "depth_m": (1, H, W),
        "intrinsics": (1, 3, 3),
        "camera_in_torso": (1, 4, 4),
        "present": (1, 3),
        "words": (1, WORDS),
        "joint_positions": (1, 28),
        "noise_head": (1, K, 2),
        "noise_other": (1, K, 26),
        "previous_head": (1, K, 2),
        "previous_other": (1, K, 26),
        "weight_head": (1, K),
        "weight_other": (1, K),
    }
    whole = Manifest(
        name="test",
        image_size=(H, W),
        inputs=inputs,
        outputs={"head": (1, K, 2), "other": (1, K, 26), "grounding": (1, 6, 10)},
        head_joints=g1.HEAD.names,
        other_joints=g1.OTHER.names,
        chunk_steps=K,
        dt_s=0.1,
        head_scale_rad=(0.06,) * 2,
        other_scale_rad=(0.06,) * 26,
        head_bound_rad=(0.12,) * 2,
        other_bound_rad=(0.0,) * 26,
        trained_heads=("head",),
        vocabulary=("look", "at", "the", "mug"),
        max_words=WORDS,
        denoising_steps=5,
        training={"seed": 0},
        weights_bytes=1,
        weights_sha256="0",
    )
    return dataclasses.replace(whole, **changes)


def test_json_and_back_is_the_same():
    m = manifest()
    assert Manifest.from_json(m.to_json()) == m
    check(m, m.inputs, m.outputs)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Manifest)])
def test_every_field_is_required_and_typed(field):
    data = json.loads(manifest().to_json())
    for spoilt in ({k: v for k, v in data.items() if k != field}, data | {field: None}, data | {field: [None]}):
        with pytest.raises(ManifestError, match=field):
            Manifest.from_json(json.dumps(spoilt))


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"format": 1}', json.dumps({"extra": 1})])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(ManifestError, match="manifest"):
        Manifest.from_json(text)


def test_unknown_fields_and_formats_are_refused():
    data = json.loads(manifest().to_json())
    with pytest.raises(ManifestError, match="surprise"):
        Manifest.from_json(json.dumps(data | {"surprise": 1}))
    with pytest.raises(ManifestError, match="format"):
        Manifest.from_json(json.dumps(data | {"format": FORMAT + 1}))


SWAPPED = (g1.HEAD.names[1], g1.HEAD.names[0])
MISFITS = {
    "head_joints[0]": {"head_joints": SWAPPED},
    "head_joints": {"head_joints": g1.HEAD.names[:1]},
    "other_joints[0]": {"other_joints": g1.OTHER.names[1:] + g1.OTHER.names[:1]},
    "other_joints": {"other_joints": (*g1.OTHER.names, "left_toe_joint")},
    "head_scale_rad": {"head_scale_rad": (0.06,)},
    "head_scale_rad is": {"head_scale_rad": (0.06, 0.0)},
    "other_bound_rad": {"other_bound_rad": (-0.1,) * 26},
    "trained_heads": {"trained_heads": ("neck",)},
    "chunk_steps": {"chunk_steps": 0},
    "dt_s": {"dt_s": -0.1},
    "vocabulary": {"vocabulary": ("the", "the")},
    "tokenizer_version": {"tokenizer_version": 99},
    "inputs[rgb]": {"image_size": (H, W + 8)},
    "inputs[words]": {"max_words": WORDS + 1},
    "inputs[noise_head]": {"chunk_steps": K + 1},
}


@pytest.mark.parametrize("field", MISFITS)
def test_what_does_not_fit_this_robot_is_named(field):
    m = manifest(**MISFITS[field])
    with pytest.raises(ManifestError) as error:
        check(m, m.inputs, m.outputs)
    assert field in str(error.value)
    assert "expected" in str(error.value) or "twice" in str(error.value)


@pytest.mark.parametrize("name", [*manifest().inputs, *manifest().outputs])
def test_every_tensor_of_the_graph_is_held_against_the_manifest(name):
    m = manifest()
    for tensors, other in ((m.inputs, m.outputs), (m.outputs, m.inputs)):
        if name not in tensors:
            continue
        missing = {k: v for k, v in tensors.items() if k != name}
        misshapen = dict(tensors) | {name: (*tensors[name], 7)}
        for spoilt in (missing, misshapen):
            graph = (spoilt, other) if tensors is m.inputs else (other, spoilt)
            with pytest.raises(ManifestError, match=name if spoilt is misshapen else "names of"):
                check(m, *graph)


def test_tokenizer_reads_words_whatever_stands_between_them():
    t = Tokenizer(("look", "at", "the", "mug"), WORDS)
    expected = t.encode("look at the mug")
    assert expected.tolist() == [2, 3, 4, 5, PAD, PAD]
    for text in ("LOOK at the Mug!", "  look, at--the\n mug? ", "Look at 3 the mug"):
        assert np.array_equal(t.encode(text), expected)
    assert t.encode("look at the unicorn")[3] == UNKNOWN
    assert t.unknown_words("look at the pink unicorn") == ["pink", "unicorn"]
    assert t.encode("").tolist() == [PAD] * WORDS
    assert t.encode("mug " * 50).tolist() == [5] * WORDS
