"""What a policy says is checked before it goes anywhere: finite, within what it has learnt, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkExecutor
from sapave_ros.nodes import ros
from sapave_ros.policy.output import INSIDE, NONSENSE_FACTOR, OutputError, bounded, finite
from sapave_ros.types import ActionChunk

BOUND = np.array([0.12, 0.06])


def chunk(increments, dt_s: float = 0.1) -> ActionChunk:
    return ActionChunk(1000.0, dt_s, g1.HEAD.names, np.asarray(increments, dtype=np.float64))


steps = st.lists(st.tuples(st.floats(-0.17, 0.17), st.floats(-0.17, 0.17)), min_size=1, max_size=20)


@given(steps)
def test_within_the_bound_nothing_changes_and_beyond_it_nothing_but_the_size(rows):
    before = chunk(rows)
    after = bounded("head", before, BOUND)
    assert (np.abs(after.increments) <= BOUND).all()
    within = np.abs(before.increments) <= INSIDE * BOUND
    assert (after.increments[within] == before.increments[within]).all()
    assert (np.sign(after.increments) == np.sign(before.increments)).all()
    assert (after is before) == bool((np.abs(before.increments) <= BOUND).all())


@pytest.mark.parametrize("dt_s", [0.05, 1 / 15, 0.1, 0.13, 1 / 3])
def test_what_was_clipped_is_never_refused_for_a_rounding_on_the_way(dt_s):
    """The controllers hold the increments of a message against bound / dt of the manifest times dt of the message."""
    bound = np.array([0.12, 0.1 / 3]) * dt_s / 0.1
    sent = ros.chunk_from_msg(ros.chunk_to_msg(bounded("head", chunk(np.tile(2 * bound, (8, 1)), dt_s), bound)))
    executor = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"))
    executor.record(999.99, np.zeros(2))
    executor.record(1000.0, np.zeros(2))
    assert executor.validate(sent, 1000.01, bound / dt_s) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(value):
    with pytest.raises(OutputError, match=r"head\[1, 0\] = -?(nan|inf), and 0 more"):
        bounded("head", chunk([[0.0, 0.0], [value, 0.0]]), BOUND)
    with pytest.raises(OutputError, match=r"grounding\[0, 1\] = .*, and 1 more"):
        finite("grounding", np.array([[0.0, value], [value, 1.0]], np.float32))
    finite("grounding", np.ones((3, 5), np.float32))


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_nonsense_is_refused_and_an_overshoot_is_not(column, sign):
    rows = np.zeros((4, 2))
    rows[2, column] = sign * NONSENSE_FACTOR * BOUND[column]
    assert abs(bounded("head", chunk(rows), BOUND).increments[2, column]) == pytest.approx(BOUND[column], rel=1e-5)
    rows[2, column] *= 1.001
    with pytest.raises(OutputError, match=rf"head\[2\] of {g1.HEAD.names[column]} = .* trained with at most"):
        bounded("head", chunk(rows), BOUND)


def test_a_joint_that_never_moved_in_training_does_not_move():
    after = bounded("head", chunk([[0.05, 0.003]]), np.array([0.12, 0.0]))
    assert after.increments.tolist() == [[pytest.approx(0.05), 0.0]]
