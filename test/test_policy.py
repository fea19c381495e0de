"""The exported model at run time: what it is given, what it gives back, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.policy.manifest import KEY, Manifest, ManifestError
from sapave_ros.policy.onnx_policy import OnnxPolicy, PreviousChunk, prefix_weights, resample
from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb, scale_intrinsics
from sapave_ros.types import ActionChunk, Observation

SHIPPED = Path(__file__).parents[1] / "models/sapave_nano.onnx"


@pytest.fixture(scope="module")
def policy() -> OnnxPolicy:
    return OnnxPolicy(SHIPPED, threads=1)


def observation(height: int = 240, width: int = 424, **changes) -> Observation:
    random = np.random.default_rng(0)
    whole = Observation(
        stamp_s=12.5,
        instruction="look at the red mug",
        rgb=random.integers(0, 255, (height, width, 3), dtype=np.uint8),
        joint_positions=np.zeros(28),
        depth_m=random.uniform(0.3, 3, (height, width)).astype(np.float32),
        intrinsics=np.array([[0.7 * width, 0, width / 2], [0, 0.7 * width, height / 2], [0, 0, 1.0]]),
        camera_in_torso=np.eye(4),
    )
    return dataclasses.replace(whole, **changes)


def test_shipped_model_is_small_and_says_what_it_can(policy):
    assert SHIPPED.stat().st_size < 20e6
    m = policy.manifest
    assert m.trained_heads == ("head",)
    assert m.chunk_steps == 16
    assert (m.bound_rad("head") > 0).all()
    assert m.training["pairs"] >= 20_000
    for word in ("look", "red", "mug", "blue", "bottle"):
        assert word in m.vocabulary


def test_chunk_is_stamped_named_and_within_what_training_showed(policy):
    out = policy.infer(observation())
    assert out.head is not None
    assert out.head.stamp_s == 12.5
    assert out.head.joint_names == g1.HEAD.names
    assert out.head.increments.shape == (16, 2)
    assert (np.abs(out.head.increments) < 2 * policy.manifest.bound_rad("head")).all()
    assert out.grounding.dtype == np.float32
    assert out.grounding.min() >= 0
    assert out.grounding.max() <= 1


def test_untrained_head_gives_nothing_to_move(policy):
    assert policy.infer(observation()).other is None


def test_same_noise_same_chunk(policy):
    one, two, three = (policy.infer(observation(), noise=n).head.increments for n in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)
    arrays = {"head": np.zeros((16, 2)), "other": np.zeros((16, 26))}
    none = policy.infer(observation()).head.increments
    assert np.array_equal(policy.infer(observation(), noise=arrays).head.increments, none)
    assert not np.array_equal(one, none)


@pytest.mark.parametrize(
    "absent", [(), ("depth_m",), ("intrinsics",), ("camera_in_torso",), ("depth_m", "intrinsics", "camera_in_torso")]
)
def test_any_subset_of_geometry(policy, absent):
    out = policy.infer(observation(**dict.fromkeys(absent)))
    assert np.isfinite(out.head.increments).all()


@pytest.mark.parametrize(("height", "width"), [(240, 424), (480, 640), (480, 848), (720, 1280)])
def test_any_size_of_picture(policy, height, width):
    assert np.isfinite(policy.infer(observation(height, width)).head.increments).all()


def test_unknown_words_are_reported(policy):
    assert policy.infer(observation(instruction="look at the pink unicorn")).unknown_words == ("pink", "unicorn")


def test_a_continued_chunk_stays_with_what_is_under_way(policy):
    """Real-time chunking: the first steps are those of the chunk before, the last are free."""
    before = ActionChunk(12.3, 0.1, g1.HEAD.names, np.tile([0.08, -0.05], (16, 1)))
    increments, known = resample(before, 12.5, 16, 0.1)
    previous = PreviousChunk(increments, prefix_weights(known, delay_steps=3, horizon_steps=8))
    free = policy.infer(observation()).head.increments
    kept = policy.infer(observation(), previous={"head": previous}).head.increments
    assert np.abs(kept[:3] - increments[:3]).max() < 0.03
    assert np.abs(kept[:3] - increments[:3]).mean() < 0.3 * np.abs(free[:3] - increments[:3]).mean()


BAD = {
    "rgb": {"rgb": np.zeros((240, 424), np.uint8)},
    "depth_m": {"depth_m": np.zeros((10, 10), np.float32)},
    "intrinsics": {"intrinsics": np.eye(4)},
    "intrinsics: focal": {"intrinsics": np.zeros((3, 3))},
    "camera_in_torso": {"camera_in_torso": np.full((4, 4), np.nan)},
    "joint_positions": {"joint_positions": np.zeros(27)},
    "joint_positions: is nan": {"joint_positions": np.full(28, np.nan)},
}


@pytest.mark.parametrize("field", BAD)
def test_malformed_observation_is_refused_by_name(policy, field):
    with pytest.raises(ValueError, match=field):
        policy.infer(observation(**BAD[field]))


def write(path: Path, manifest: Manifest | None, cut: int | None = None, flip: bool = False) -> Path:
    """The shipped graph with another manifest; cut or changed."""
    from onnx import ModelProto  # the only thing at run time that needs no onnx is the policy itself

    whole = SHIPPED.read_bytes()
    shipped = Manifest.from_json(
        onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map[KEY]
    )
    graph = bytearray(whole[: shipped.weights_bytes])
    if flip:
        graph[len(graph) // 2] ^= 1  # inside the weights
    tail = ModelProto()
    if manifest is not None:
        tail.metadata_props.add(key=KEY, value=manifest.to_json())
    path.write_bytes((bytes(graph) + tail.SerializeToString())[:cut])
    return path


def test_missing_broken_and_foreign_files_are_refused(policy, tmp_path):
    m = policy.manifest
    with pytest.raises(ManifestError, match="is not there"):
        OnnxPolicy(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    for spoilt, message in (
        (tmp_path / "text.onnx", "cannot be read|no manifest"),
        (write(tmp_path / "cut.onnx", m, cut=100_000), "cannot be read"),
        (write(tmp_path / "bare.onnx", None), "carries no manifest"),
        (write(tmp_path / "flipped.onnx", m, flip=True), "weights_sha256"),
        (write(tmp_path / "joints.onnx", dataclasses.replace(m, head_joints=m.head_joints[::-1])), r"head_joints\[0\]"),
        (write(tmp_path / "size.onnx", dataclasses.replace(m, image_size=(8, 8))), "rgb"),
    ):
        with pytest.raises(ManifestError, match=message):
            OnnxPolicy(spoilt)
    with pytest.raises(ManifestError, match="providers"):
        OnnxPolicy(SHIPPED, providers=("NoSuchExecutionProvider",))
    OnnxPolicy(write(tmp_path / "same.onnx", m))


def test_manifest_is_readable_json(policy):
    assert json.loads(policy.manifest.to_json())["name"] == "sapave-nano"


# --- laws of the arithmetic around the model ------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    shift=st.floats(-1, 3),
    dt=st.sampled_from([0.05, 0.1, 0.13]),
    seed=st.integers(0, 1000),
)
def test_resampling_keeps_the_path(shift, dt, seed):
    """The running sum on the new grid lies on the old path."""
    random = np.random.default_rng(seed)
    chunk = ActionChunk(5.0, 0.1, ("a", "b"), random.normal(0, 0.1, (16, 2)))
    increments, known = resample(chunk, 5.0 + shift, 20, dt)
    times = shift + dt * np.arange(21)
    knots = 0.1 * np.arange(17)
    path = np.vstack([np.zeros(2), np.cumsum(chunk.increments, axis=0)])
    for j in range(2):
        expected = np.interp(times, knots, path[:, j])
        np.testing.assert_allclose(np.cumsum(increments[:, j]), expected[1:] - expected[0], atol=1e-9)
    edge = np.minimum(np.abs(times[:-1] + 1e-6), np.abs(times[1:] - 1.6 - 1e-6)) < 1e-9  # either is right there
    assert ((known == ((times[:-1] >= -1e-6) & (times[1:] <= 1.6 + 1e-6))) | edge).all()


def test_resampling_by_whole_steps_shifts():
    chunk = ActionChunk(5.0, 0.1, ("a",), np.arange(16.0)[:, None])
    increments, known = resample(chunk, 5.3, 16, 0.1)
    np.testing.assert_allclose(increments[:13, 0], np.arange(3, 16), atol=1e-6)
    assert known.tolist() == [True] * 13 + [False] * 3


@given(delay=st.integers(0, 16), horizon=st.integers(0, 16), last=st.integers(0, 16))
def test_weights_fall_from_one_to_zero_and_know_nothing_unknown(delay, horizon, last):
    known = np.arange(16) < last
    w = prefix_weights(known, delay, horizon)
    assert ((w >= 0) & (w <= 1)).all()
    assert (np.diff(w) <= 1e-12).all()
    assert (w[: min(delay, last)] == 1).all()
    assert (w[max(delay, horizon) :] == 0).all()
    assert (w[last:] == 0).all()


def test_reduced_depth_averages_what_is_valid_only():
    depth = np.full((24, 40), 2.0)
    depth[:, ::4] = 0  # a quarter has none
    depth[:12] = 0
    reduced = reduce_depth(depth, (3, 5))
    assert (reduced[2] == 2.0).all()
    assert (reduced[0] == 0).all()
    for bad in (np.nan, np.inf, -1.0, 99.0):
        assert (reduce_depth(np.full((24, 40), bad), (3, 5)) == 0).all()


def test_scaled_intrinsics_see_the_same_rays():
    """A pixel's ray through the full picture is that of its place in the reduced one."""
    k = np.array([[306.0, 0, 211.5], [0, 306.0, 119.5], [0, 0, 1]])
    small = scale_intrinsics(k, (240, 424), (96, 160))
    for u, v in ((-0.5, -0.5), (423.5, 239.5), (100.0, 30.0)):
        us, vs = (u + 0.5) * 160 / 424 - 0.5, (v + 0.5) * 96 / 240 - 0.5
        np.testing.assert_allclose(np.linalg.solve(k, [u, v, 1]), np.linalg.solve(small, [us, vs, 1]), atol=1e-12)


def test_reduced_picture_keeps_its_mean():
    rgb = np.random.default_rng(0).integers(0, 255, (240, 424, 3), dtype=np.uint8)
    np.testing.assert_allclose(reduce_rgb(rgb, (96, 160)).mean((0, 1)), rgb.mean((0, 1)), atol=1.0)
