"""The benchmark of a driver tick measures both ways; how fast they are is not a test's business."""

from __future__ import annotations

import pytest

from sapave_ros.bench import tick


@pytest.mark.e2e
def test_both_ways_are_measured(dds_domain) -> None:
    result = tick.measure(20, dds_domain)
    assert result["ticks"] == 20
    for way in (result["ours"], result["plain"]):
        assert 0.0 < way["median_us"] <= way["p99_us"] <= way["worst_us"]
    assert result["ratio"] == pytest.approx(result["plain"]["median_us"] / result["ours"]["median_us"])
