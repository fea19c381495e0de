"""Laws of resampling: what moves linearly is found again, nothing is known where no sample is near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from sapave_ros.core.resample import grid, interpolate, nearest

EPOCH_S = 1_800_000_000.0


@st.composite
def series(draw):
    """Times (k,) as a recorder has them, jitter and all."""
    gaps = draw(stn.arrays(float, st.integers(1, 60), elements=st.floats(0.001, 0.09)))
    return EPOCH_S + np.concatenate([[0.0], np.cumsum(gaps)])


@given(series(), st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 1), st.integers(2, 20))
def test_a_linear_motion_is_found_again(times, offset, velocity, first, number):
    at = times[0] + np.linspace(first, 1.0, number) * (times[-1] - times[0])
    at = at.clip(times[0], times[-1])
    values = offset + velocity * (times - EPOCH_S)
    found = interpolate(times, values[:, None], at, 0.1)[:, 0]
    np.testing.assert_allclose(found, offset + velocity * (at - EPOCH_S), atol=1e-5)


@given(series(), st.integers(0, 2**32 - 1))
def test_a_sample_is_itself_and_between_two_it_lies_between(times, seed):
    values = np.random.default_rng(seed).normal(size=(len(times), 3))
    np.testing.assert_allclose(interpolate(times, values, times, 0.1), values, atol=1e-9)
    middle = interpolate(times, values, (times[1:] + times[:-1]) / 2, 0.1)
    low, high = np.minimum(values[1:], values[:-1]), np.maximum(values[1:], values[:-1])
    assert ((middle >= low - 1e-9) & (middle <= high + 1e-9)).all()


@given(series(), st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.05, 0.1]))
def test_increments_add_up_to_the_difference_of_positions(times, seed, step):
    values = np.random.default_rng(seed).normal(size=(len(times), 28))
    at = grid(times[0], times[-1], step)
    at = at[at <= times[-1]]
    positions = interpolate(times, values, at, 0.1)
    np.testing.assert_allclose(np.diff(positions, axis=0).sum(axis=0), positions[-1] - positions[0], atol=1e-9)


@given(st.floats(0, 100), st.floats(-1, 60), st.integers(1, 50))
def test_the_grid_is_even_and_stays_within(start, length, rate):
    at = grid(EPOCH_S + start, EPOCH_S + start + length, 1 / rate)
    assert len(at) == 0 if length < -1e-5 else abs(len(at) - 1 - length * rate) <= 1
    assert (np.diff(at) > 0).all()
    np.testing.assert_allclose(np.diff(at), 1 / rate, atol=1e-6)
    assert all(EPOCH_S + start <= t <= EPOCH_S + start + length + 2e-6 for t in at)


def test_nothing_is_known_beyond_the_samples_or_across_a_gap():
    times, values = np.array([1.0, 1.1, 1.5, 1.6]), np.array([[1.0], [2.0], [3.0], [4.0]])
    found = interpolate(times, values, np.array([0.99, 1.05, 1.3, 1.55, 1.61]), 0.2)[:, 0]
    np.testing.assert_allclose(found, [np.nan, 1.5, np.nan, 3.5, np.nan])
    for few in (0, 1):
        assert np.isnan(interpolate(times[:few], values[:few], np.array([1.0]), 0.2)).all()


@given(series(), series())
def test_no_sample_is_nearer_than_the_nearest(times, at):
    found = nearest(times, at)
    assert (np.abs(times[found] - at)[:, None] <= np.abs(times[None, :] - at[:, None])).all()


def test_of_two_equally_near_the_earlier_counts_and_of_none_none():
    assert nearest(np.array([1.0, 2.0]), np.array([1.5, -3.0, 9.0])).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="times_s"):
        nearest(np.array([]), np.array([1.0]))
