"""The measure itself: what counts as success, and how sure a share is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.bench.perception_score import wilson

CRITERION = LookCriterion()
FRAMES = np.arange(0.0, 9.0, 1 / 30)


def score(angle_deg, visible=1.0) -> LookScore:
    """Plays a course of views: angle and visibility as functions of time."""
    s = LookScore(CRITERION)
    for t in FRAMES:
        v = visible(t) if callable(visible) else visible
        if s.update(float(t), float(np.deg2rad(angle_deg(t))), v):
            break
    return s


@given(st.floats(0.0, 8.0))
def test_reached_in_time_and_held_is_success(arrival_s):
    s = score(lambda t: 30.0 if t < arrival_s else 3.0)
    first = next(t for t in FRAMES if t >= arrival_s)
    assert s.success == (first <= CRITERION.time_limit_s)
    if s.success:
        assert s.reached_s == pytest.approx(first)


@given(st.floats(0.0, 5.0), st.floats(0.1, 0.9))
def test_passing_by_is_no_success(arrival_s, stay_s):
    assert not score(lambda t: 3.0 if arrival_s <= t < arrival_s + stay_s else 30.0).success


def test_lost_and_found_again_counts_from_the_second_time():
    s = score(lambda t: 3.0 if 1.0 <= t < 1.5 or t >= 4.0 else 30.0)
    assert s.success and s.reached_s == pytest.approx(4.0, abs=0.05)


def test_centred_behind_something_is_not_seen():
    assert not score(lambda t: 1.0, visible=0.2).success
    assert score(lambda t: 1.0, visible=lambda t: 0.2 if t < 2 else 0.9).reached_s == pytest.approx(2.0, abs=0.05)


@given(st.integers(0, 100), st.integers(1, 100))
def test_interval_contains_the_share(k, n):
    p = min(k, n) / n
    low, high = wilson(p, n)
    assert -1e-9 <= low <= p + 1e-9 and p - 1e-9 <= high <= 1 + 1e-9
