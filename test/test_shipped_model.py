"""The model that ships looks where words say, in rooms that it has never seen, through the deployed core."""

from __future__ import annotations

from pathlib import Path

import pytest

from sapave_ros import g1
from sapave_ros.bench.perception_cases import CELLS, SPLITS
from sapave_ros.bench.perception_play import Result, Settings, Task, Untold, play
from sapave_ros.learning.language import MAX_WORDS, vocabulary
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.share import share_path

MAX_BYTES = 20_000_000


def played(tasks: list[Task], baselines: tuple[str, ...] = ()) -> list:
    return play(Settings({"model": share_path(SHIPPED)}, baselines), tasks, workers=1, bar=False)


def success(rows: list, policy: str) -> float:
    own = [r for r in rows if isinstance(r, Result) and r.policy == policy]
    return sum(r.success for r in own) / len(own)


def test_it_says_what_it_is():
    manifest = OnnxPolicy(share_path(SHIPPED)).manifest
    assert manifest.trained_heads == ("head",), "the head that moves 26 joints is not trained and says so"
    assert manifest.head_joints == g1.HEAD.names and manifest.other_joints == g1.OTHER.names
    assert manifest.chunk_steps == 16
    assert all(b > 0 for b in manifest.head_bound_rad)
    assert not any(manifest.other_bound_rad)
    assert manifest.training["pairs"] >= 200_000


def test_it_reads_every_word_that_the_grammar_says():
    manifest = OnnxPolicy(share_path(SHIPPED)).manifest
    assert set(vocabulary()) <= set(manifest.vocabulary)
    assert manifest.max_words >= MAX_WORDS


@pytest.mark.parametrize("name", ["nano", "nano-no-adapter", "nano-no-spatial", "nano-shared-head"])
def test_its_backbone_is_one_that_ablations_of_today_start_from(name):
    pytest.importorskip("torch")
    from sapave_ros.learning import train
    from sapave_ros.learning.config import config_named
    from sapave_ros.learning.model import SaPaVe

    words = vocabulary()
    model = SaPaVe(config_named(name, {"vocabulary_size": str(len(words) + 2)}))
    given = train.grounded(model, Path(share_path("models/sapave_nano_backbone.pt")), words, "look")
    assert given["pairs"] == OnnxPolicy(share_path(SHIPPED)).manifest.training["pairs"]


def test_what_ships_stays_small():
    files = [p for p in Path(share_path("models")).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < MAX_BYTES


def test_it_looks_where_words_say():
    """A small sample, so a loose bound: the benchmark has the figure."""
    rows = played([Task("score", "val", 1000 + i) for i in range(9)])
    assert success(rows, "model") >= 0.3
    assert not any(r.refused for r in rows if isinstance(r, Result))


def test_it_looks_nowhere_without_words():
    rows = played([Task("empty", split, 1000) for split in SPLITS])
    stayed = [r.stayed for r in rows if isinstance(r, Untold) and r.policy == "model"]
    assert len(stayed) == len(SPLITS) and all(stayed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_beats_a_fixed_scan_by_far():
    rows = played([Task("score", "val", 1100 + i) for i in range(3 * len(CELLS))], ("sweep", "still"))
    assert success(rows, "model") > success(rows, "sweep") + 0.3
    assert success(rows, "still") < 0.1
