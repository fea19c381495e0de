"""The two stages, resumed after interruption, and the export: the same numbers in torch and in ONNX Runtime."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sapave_ros.learning import data, export, train  # noqa: E402
from sapave_ros.learning.model import CONFIGS, PATCH  # noqa: E402
from sapave_ros.policy.onnx_policy import OnnxPolicy  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards of made-up pictures: a bright square is the named thing, and the head turns to it."""
    c = CONFIGS["debug"]
    random = np.random.default_rng(0)
    h, w = c.image_size
    path = tmp_path_factory.mktemp("data")
    for shard in range(2):
        n = 48
        rgb = random.integers(0, 90, (n, h, w, 3), dtype=np.uint8)
        coverage = np.zeros((n, h // PATCH, w // PATCH), np.uint8)
        chunk = np.zeros((n, c.chunk_steps, 2), np.float32)
        for i in range(n):
            v, u = random.integers(h // PATCH), random.integers(w // PATCH)
            rgb[i, v * PATCH : (v + 1) * PATCH, u * PATCH : (u + 1) * PATCH] = (250, 20, 20)
            coverage[i, v, u] = 255
            chunk[i] = np.array([0.5 - (u + 0.5) * PATCH / w, (v + 0.5) * PATCH / h - 0.5]) * 0.1
        arrays = {
            "rgb": rgb,
            "depth_m": np.ones((n, h, w), np.float16),
            "intrinsics": np.tile(np.array([[w, 0, w / 2], [0, w, h / 2], [0, 0, 1]], np.float32), (n, 1, 1)),
            "camera_in_torso": np.tile(np.eye(4, dtype=np.float32), (n, 1, 1)),
            "joint_positions": np.zeros((n, 28), np.float32),
            "scene": np.arange(n),
            "image": np.arange(n),
            "text": np.array(["look at the red box"] * n),
            "chunk": chunk,
            "coverage": coverage,
        }
        np.savez(data.shard_path(path, shard), **arrays)
    return path


def arguments(folder, run_dir, **changes) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--config", "debug", "--data", str(folder), "--run", str(run_dir), "--threads", "1"])
    values = {"ground_steps": 6, "look_steps": 6, "batch": 8, "evaluate_every": 100, "precision": "fp32"}
    return argparse.Namespace(**(vars(args) | values | changes))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    assert train.run(arguments(folder, run_dir, ground_steps=150, look_steps=100, batch=16)) == 0
    return run_dir


def test_both_stages_learn(trained):
    for stage, measure, bound in (("ground", "ground", 3.0), ("look", "mse_rad2", 0.002)):
        log = [json.loads(line) for line in (trained / f"{stage}.jsonl").read_text().splitlines()]
        assert log[-1][measure] < bound, log


def test_backbone_is_frozen_while_learning_to_look(trained):
    ground = torch.load(trained / "ground.pt", weights_only=True)
    look = torch.load(trained / "look.pt", weights_only=True)["model"]
    kernel = "backbone.stem.weight"
    assert torch.equal(ground["average"][kernel], look[kernel])
    adapted = "backbone.ground"
    assert torch.equal(ground["average"][f"{adapted}.weight"], look[f"{adapted}.layer.weight"])
    assert look[f"{adapted}.up.weight"].abs().max() > 0


def test_resumed_training_is_the_same_training(folder, tmp_path):
    train.run(arguments(folder, tmp_path / "whole"))
    # Interrupted: the schedule is that of six steps, but only three are done.
    halves = tmp_path / "halves"
    stopped = arguments(folder, halves, stage="ground")
    original = train.Run.average_step

    def stop(self):
        original(self)
        if self.step == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Run, "average_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train.run(stopped)
    assert torch.load(halves / "ground.pt", weights_only=True)["step"] == 3
    train.run(arguments(folder, halves))
    for stage in train.STAGES:
        one, two = (torch.load(tmp_path / d / f"{stage}.pt", weights_only=True) for d in ("whole", "halves"))
        assert one["step"] == two["step"] == 6
        if stage == "ground":  # the random state of `look` begins where the process began
            for name, value in one["model"].items():
                torch.testing.assert_close(value, two["model"][name], msg=name)


def test_clear_errors(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="sapave data"):
        train.run(arguments(tmp_path / "nothing", tmp_path))
    with pytest.raises(FileNotFoundError, match="ground"):
        train.run(arguments(folder, tmp_path / "new", stage="look"))
    with pytest.raises(FileNotFoundError, match="look"):
        train.load_look(tmp_path)
    train.run(arguments(folder, tmp_path / "run", ground_steps=1, look_steps=1))
    with pytest.raises(ValueError, match="config"):
        train.run(arguments(folder, tmp_path / "run", config="nano"))


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "debug.onnx"
    assert export.run(argparse.Namespace(run=trained, run_dir=trained, output=path)) == 0
    return path


def test_parity_of_torch_and_onnx(trained, exported):
    model, _ = train.load_look(trained)
    policy = OnnxPolicy(exported)
    for seed in range(6):
        inputs = export.example_inputs(model.config, seed)
        if seed % 2:
            inputs["present"] = torch.tensor([[1.0, 0.0, 1.0]])
            inputs["weight_head"] = torch.zeros_like(inputs["weight_head"])
        with torch.no_grad():
            expected = dict(zip(export.OUTPUTS, model.eval()(inputs), strict=True))
        names = list(policy.manifest.outputs)
        got = dict(zip(names, policy._session.run(names, {k: v.numpy() for k, v in inputs.items()}), strict=True))
        for name, value in expected.items():
            assert np.abs(got[name] - value.numpy()).max() < 1e-4, name


def test_export_carries_its_training(trained, exported, folder):
    m = OnnxPolicy(exported).manifest
    assert m.training["seed"] == 0
    assert m.training["pairs"] == 48
    assert m.training["config"]["name"] == "debug"
    assert m.trained_heads == ("head",)
    assert max(m.other_bound_rad) == 0
