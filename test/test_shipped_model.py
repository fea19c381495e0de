"""The model that ships looks at what it is told, on scenes that it has never seen, through the deployed core."""

from __future__ import annotations

from pathlib import Path

import pytest

from sapave_ros import g1
from sapave_ros.bench import look
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.lockstep import LoopTiming
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.share import share_path

MODELS = share_path("models")
MAX_BYTES = 20_000_000


def shares(policies: tuple[str, ...], scenes: int, first_seed: int) -> dict[str, dict]:
    """Figures of each policy over unseen scenes."""
    results = look.play(
        policies,
        share_path("models/sapave_nano.onnx"),
        "plain",
        LoopTiming(),
        iter(range(first_seed, first_seed + 10 * scenes)),
        scenes,
        workers=1,
    )
    limit_s = LookCriterion().time_limit_s
    return {p: look.figures([r for r in results if r.policy == p], limit_s) for p in policies}


def test_it_says_what_it_is():
    manifest = OnnxPolicy(share_path("models/sapave_nano.onnx")).manifest
    assert manifest.trained_heads == ("head",), "the head that moves 26 joints is not trained and says so"
    assert manifest.head_joints == g1.HEAD.names and manifest.other_joints == g1.OTHER.names
    assert manifest.chunk_steps == 16
    assert all(b > 0 for b in manifest.head_bound_rad)
    assert not any(manifest.other_bound_rad)
    assert manifest.training["pairs"] >= 20_000


def test_what_ships_stays_small():
    files = [p for p in Path(MODELS).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < MAX_BYTES


def test_it_looks_at_what_it_is_told():
    """A small sample, so a loose bound: the benchmark has the figure."""
    figures = shares(("model",), scenes=6, first_seed=1_500_000)
    assert figures["model"]["success"] >= 0.5
    assert figures["model"]["refused_chunks"] == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_beats_a_fixed_scan_in_success_and_in_time():
    figures = shares(("model", "sweep", "still"), scenes=40, first_seed=1_600_000)
    assert figures["model"]["success"] >= 0.8
    assert figures["model"]["success"] > figures["sweep"]["success"] + 0.3
    assert figures["model"]["mean_time_s"] < figures["sweep"]["mean_time_s"]
    assert figures["still"]["success"] < 0.1
