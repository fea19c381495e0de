"""Chunks: target(t) = q_cmd(stamp) + increments up to t, by name and by time; a refused one changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkExecutor, ChunkFault
from sapave_ros.types import ActionChunk

GROUPS = {"head": g1.HEAD, "other": g1.OTHER}
T0 = 1_700_000_000.0  # an epoch, so that the resolution of a double is part of the test


def executor(group=g1.OTHER, blend_s: float = 0.0, moving: float = 0.0) -> ChunkExecutor:
    """With one second of history up to T0 in which every joint was commanded from 0.1 on with speed `moving`."""
    made = ChunkExecutor(group.names, group.column("velocity"), blend_s)
    for t in np.arange(-1.0, 0.001, 0.01):
        made.record(T0 + t, np.full(len(group), 0.1 + moving * (t + 1.0)))
    made.flush(hold=np.full(len(group), 0.1 + moving))
    return made


def chunk(names, stamp_s=T0, dt_s=0.1, increments=None, steps=8) -> ActionChunk:
    if increments is None:
        increments = np.full((steps, len(names)), 0.01)
    return ActionChunk(stamp_s, dt_s, tuple(names), np.asarray(increments, dtype=float))


def snapshot(made: ChunkExecutor):
    return [np.concatenate(made.sample(T0 + t)) for t in np.linspace(-0.5, 2.0, 26)]


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 20), late_s=st.floats(0.0, 0.9))
@settings(deadline=None, max_examples=40)
def test_ends_of_steps_are_the_anchor_plus_the_sum(group, seed, steps, late_s) -> None:
    rng = np.random.default_rng(seed)
    made = executor(group, moving=0.2)
    subset = rng.permutation(len(group))[: rng.integers(1, len(group) + 1)]
    names = [group.names[i] for i in subset]
    increments = rng.uniform(-0.1, 0.1, (steps, len(names)))
    stamp = T0 - late_s
    now = min(T0, stamp + 0.1 * steps - 1e-3)
    assert made.accept(chunk(names, stamp, increments=increments), now) is None
    anchor = 0.1 + 0.2 * (stamp - T0 + 1.0)
    for i in range(steps):
        q, _ = made.reference(stamp + 0.1 * (i + 1))
        np.testing.assert_allclose(q[subset], anchor + increments[: i + 1].sum(axis=0), atol=1e-5)
        others = np.setdiff1d(np.arange(len(group)), subset)
        np.testing.assert_allclose(q[others], 0.3)  # keep their reference
    end, at_rest = made.reference(stamp + 0.1 * steps + 5.0)
    np.testing.assert_allclose(end[subset], anchor + increments.sum(axis=0), atol=1e-6)
    np.testing.assert_array_equal(at_rest, 0.0)
    assert made.exhausted(stamp + 0.1 * steps + 5.0)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_between_ends_it_is_monotone_and_velocity_is_the_derivative(seed) -> None:
    rng = np.random.default_rng(seed)
    made = executor(g1.HEAD)
    increments = rng.uniform(-0.1, 0.1, (6, 2)) * rng.choice([0, 1], (6, 2))
    made.accept(chunk(g1.HEAD.names, increments=increments), T0)
    ends = 0.1 + np.vstack([np.zeros(2), increments.cumsum(axis=0)])
    for i in range(6):
        low, high = np.minimum(ends[i], ends[i + 1]), np.maximum(ends[i], ends[i + 1])
        for u in np.linspace(0.05, 0.95, 7):
            t = T0 + 0.1 * (i + u)
            q, v = made.reference(t)
            assert np.all(q >= low - 1e-5)
            assert np.all(q <= high + 1e-5)
            slope = (made.reference(t + 1e-3)[0] - made.reference(t - 1e-3)[0]) / 2e-3
            np.testing.assert_allclose(v, slope, atol=0.01)


def test_late_chunk_skips_what_is_past() -> None:
    early, late = executor(), executor()
    one = chunk(g1.OTHER.names, T0 - 0.35)
    early.accept(one, T0 - 0.35)
    late.accept(one, T0)
    for t in np.linspace(0.0, 1.0, 11):
        np.testing.assert_allclose(late.reference(T0 + t)[0], early.reference(T0 + t)[0])


def test_joints_are_matched_by_name() -> None:
    forward, backward = executor(), executor()
    increments = np.arange(26) * 1e-3 * np.ones((4, 1))
    forward.accept(chunk(g1.OTHER.names, increments=increments), T0)
    backward.accept(chunk(g1.OTHER.names[::-1], increments=increments[:, ::-1]), T0)
    np.testing.assert_array_equal(forward.reference(T0 + 0.33)[0], backward.reference(T0 + 0.33)[0])


def test_two_chunks_move_their_own_joints_at_the_same_time() -> None:
    made = executor()
    left, right = g1.LEFT_ARM.names, g1.RIGHT_ARM.names
    assert made.accept(chunk(left, increments=np.full((8, 7), 0.02)), T0) is None
    assert made.accept(chunk(right, increments=np.full((8, 7), -0.01)), T0) is None  # same picture, other joints
    q, _ = made.reference(T0 + 0.8)
    np.testing.assert_allclose(q[:7], 0.1 + 0.16)
    np.testing.assert_allclose(q[7:14], 0.1 - 0.08)
    np.testing.assert_allclose(q[14:], 0.1)


@pytest.mark.parametrize("blend_s", [0.0, 0.15, 1.0])
def test_switch_is_continuous_and_ends_on_the_new_chunk(blend_s) -> None:
    made = executor(g1.HEAD, blend_s)
    made.accept(chunk(g1.HEAD.names, T0 - 0.2, increments=np.full((20, 2), 0.02)), T0)
    now = T0 + 0.3
    for t in np.arange(0.0, 0.3, 0.01):
        made.record(T0 + 0.01 + t, np.full(2, 0.1 + 0.2 * t))
    before = made.reference(now)
    made.accept(chunk(g1.HEAD.names, T0 + 0.2, increments=np.full((20, 2), -0.03)), now)
    after = made.reference(now)
    if blend_s:
        np.testing.assert_allclose(after, before, atol=1e-9)  # neither position nor speed steps
    path, speed = np.array([made.reference(now + t) for t in np.arange(0.0, blend_s + 0.2, 1e-3)]).swapaxes(0, 1)
    assert np.abs(np.diff(path, axis=0)).max() < 2e-3 + (0.0 if blend_s else 1.0)
    np.testing.assert_allclose((speed[1:] + speed[:-1]) / 2, np.diff(path, axis=0) / 1e-3, atol=1e-3)
    anchor = 0.1 + 0.2 * 0.19
    np.testing.assert_allclose(made.reference(T0 + 0.2 + 2.0)[0], anchor - 0.6, atol=1e-3)


NAMES = g1.OTHER.names
BAD = {
    "nan": (
        chunk(NAMES, increments=np.where(np.eye(8, 26), np.nan, 0.0)),
        ChunkFault.NOT_FINITE,
        "left_shoulder_pitch",
    ),
    "inf": (chunk(NAMES, increments=np.full((8, 26), np.inf)), ChunkFault.NOT_FINITE, "increments"),
    "-inf": (chunk(NAMES, increments=np.full((8, 26), -np.inf)), ChunkFault.NOT_FINITE, "increments"),
    "nan stamp": (chunk(NAMES, stamp_s=np.nan), ChunkFault.NOT_FINITE, "stamp"),
    "unknown joint": (chunk(["left_elbow_joint", "tail_joint"]), ChunkFault.NAMES, "tail_joint"),
    "joint of another group": (chunk(g1.HEAD.names), ChunkFault.NAMES, "head_yaw_joint"),
    "twice": (chunk(["left_elbow_joint"] * 2), ChunkFault.NAMES, "left_elbow_joint"),
    "no joint": (chunk([]), ChunkFault.NAMES, "empty"),
    "too few columns": (chunk(NAMES, increments=np.zeros((8, 25))), ChunkFault.SHAPE, "(8, 25)"),
    "too many columns": (chunk(NAMES, increments=np.zeros((8, 27))), ChunkFault.SHAPE, "(8, 27)"),
    "one dimension": (chunk(NAMES, increments=np.zeros(26)), ChunkFault.SHAPE, "(26,)"),
    "no step": (chunk(NAMES, increments=np.zeros((0, 26))), ChunkFault.SHAPE, "(0, 26)"),
    "endless": (chunk(NAMES, increments=np.zeros((5000, 26))), ChunkFault.SHAPE, "5000"),
    "dt 0": (chunk(NAMES, dt_s=0.0), ChunkFault.DT, "dt = 0.0"),
    "dt negative": (chunk(NAMES, dt_s=-0.1), ChunkFault.DT, "dt"),
    "dt nan": (chunk(NAMES, dt_s=np.nan), ChunkFault.DT, "dt"),
    "dt too long": (chunk(NAMES, dt_s=10.0), ChunkFault.DT, "dt"),
    "future": (chunk(NAMES, stamp_s=T0 + 0.021), ChunkFault.FUTURE, "ahead of now"),
    "all past": (chunk(NAMES, stamp_s=T0 - 0.8), ChunkFault.PAST, "0.800 s old"),
    "long past": (chunk(NAMES, stamp_s=0.0), ChunkFault.PAST, "old"),
    "before history": (chunk(NAMES, stamp_s=T0 - 1.5, steps=20), ChunkFault.PAST, "no command is remembered"),
    "too fast": (chunk(NAMES, increments=np.full((8, 26), 0.3)), ChunkFault.BOUND, "0.3000 rad"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("busy", [False, True])
def test_bad_chunk_is_refused_by_name_and_changes_nothing(case, busy) -> None:
    bad, fault, says = BAD[case]
    made = executor()
    if busy:
        assert made.accept(chunk(NAMES, T0 - 0.7, steps=30), T0) is None
    before = snapshot(made)
    refusal = made.accept(bad, T0)
    assert refusal is not None
    if not (busy and refusal.fault is ChunkFault.SEQUENCE):  # older than the running one says it as well
        assert refusal.fault is fault
        assert says in refusal.text
    np.testing.assert_array_equal(snapshot(made), before)
    assert made.accept(chunk(NAMES, T0 - 0.1), T0) is None  # a good one is taken as before


@pytest.mark.parametrize("joint", range(26))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.2251, -0.2251])
def test_every_joint_is_checked(joint, bad) -> None:
    made = executor()
    increments = np.zeros((8, 26))
    increments[joint % 8, joint] = bad
    refusal = made.accept(chunk(NAMES, increments=increments), T0)
    assert refusal is not None
    assert NAMES[joint] in refusal.text
    increments[joint % 8, joint] = 0.2249  # 1.5 rad/s * 0.1 s * 1.5
    assert made.accept(chunk(NAMES, increments=increments), T0) is None


def test_bound_seen_in_training_is_kept() -> None:
    made = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"))
    made.record(T0, np.zeros(2))
    largest = np.array([[0.05, 0.02]])
    probe = chunk(g1.HEAD.names, increments=largest)
    rate = largest[0] / probe.dt_s
    refusal = made.accept(chunk(g1.HEAD.names, increments=[[0.04, 0.03]]), T0, rate)
    assert refusal is not None
    assert "head_pitch_joint" in refusal.text
    assert made.accept(chunk(g1.HEAD.names, increments=largest.astype(np.float32)), T0, rate) is None


def test_older_or_repeated_chunk_is_refused() -> None:
    made = executor()
    assert made.accept(chunk(NAMES, T0 - 0.1), T0) is None
    for stamp in (T0 - 0.1, T0 - 0.2):
        refusal = made.accept(chunk(NAMES[:3], stamp), T0)
        assert refusal is not None
        assert refusal.fault is ChunkFault.SEQUENCE
    assert made.accept(chunk(NAMES, T0 - 0.05), T0) is None


def test_after_a_flush_only_newer_pictures_count() -> None:
    made = executor()
    made.accept(chunk(NAMES, T0 - 0.1), T0)
    made.flush(hold=np.full(26, 0.1), not_before_s=T0)
    assert made.reference(T0 + 0.1) is None
    refusal = made.accept(chunk(NAMES, T0 - 0.01), T0 + 0.05)
    assert refusal is not None
    assert refusal.fault is ChunkFault.TOO_EARLY
    assert made.accept(chunk(NAMES, T0), T0 + 0.05) is None


def test_stamp_a_little_ahead_is_two_clocks_not_an_error() -> None:
    assert executor().accept(chunk(NAMES, T0 + 0.019), T0) is None


def test_clock_that_runs_backwards_forgets() -> None:
    made = executor()
    made.accept(chunk(NAMES, T0), T0)
    made.record(T0 - 10.0, np.zeros(26))
    assert made.reference(T0) is None
    assert made.commanded_at(T0 - 0.5) is None


def test_history_is_interpolated_and_bounded() -> None:
    made = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"))
    for i in range(5000):  # the ring goes around more than once
        made.record(T0 + 0.004 * i, np.array([i, -i], dtype=float))
    end = T0 + 0.004 * 4999
    np.testing.assert_allclose(made.commanded_at(end - 0.006), [4997.5, -4997.5], atol=1e-3)
    np.testing.assert_allclose(made.commanded_at(end + 0.01), [4999, -4999])
    assert made.commanded_at(end - 2.1) is None
