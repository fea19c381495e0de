"""Laws of the limiter: whatever is asked, the command stays within position, velocity, acceleration and jerk."""

from __future__ import annotations

import numpy as np
import pytest
import ruckig
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.limiter import Limiter, Limits

GROUPS = {"head": (g1.HEAD, 0.01), "other": (g1.OTHER, 0.004)}
EPS = 1e-6


def run(limiter: Limiter, references, ticks_each: int) -> np.ndarray:
    """Commanded (position, velocity, acceleration) of every tick, (ticks, 3, n); a reference of None is a stop."""
    rows = [(limiter.position, limiter.velocity, limiter.acceleration)]
    for reference in references:
        for i in range(ticks_each):
            if reference is None:
                limiter.stop()
            else:
                target, velocity = reference
                limiter.track(target + velocity * i * limiter.dt_s, velocity)
            rows.append((limiter.position, limiter.velocity, limiter.acceleration))
    return np.array(rows)


def assert_within(limiter: Limiter, path: np.ndarray) -> None:
    limits, dt = limiter.limits, limiter.dt_s
    q, v, a = path[:, 0], path[:, 1], path[:, 2]
    assert np.all(q >= limits.lower - EPS) and np.all(q <= limits.upper + EPS)
    assert np.all(np.abs(v) <= limits.velocity + EPS)
    assert np.all(np.abs(a) <= limits.acceleration + EPS)
    assert np.all(np.abs(np.diff(a, axis=0)) <= limits.jerk * dt * (1 + 1e-6) + EPS)
    # The same seen from outside, in the positions that are written; between two ticks the speed may be
    # higher by jerk dt^2 / 8.
    v_written = np.diff(q, axis=0) / dt
    assert np.all(np.abs(v_written) <= limits.velocity + limits.jerk * dt**2 / 8 + 1e-5)
    assert np.all(np.abs(np.diff(v_written, axis=0)) <= limits.acceleration * dt + 1e-5)


@st.composite
def references(draw, n: int):
    """Jumps, moving targets, targets outside the range, and stops, in any order."""
    out = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 4)) == 0:
            out.append(None)
            continue
        seed = draw(st.integers(0, 2**31))
        rng = np.random.default_rng(seed)
        out.append((rng.uniform(-4.0, 4.0, n), rng.uniform(-3.0, 3.0, n) * draw(st.sampled_from([0.0, 0.2, 1.0]))))
    return out


@pytest.mark.parametrize("name", GROUPS)
@given(data=st.data(), ticks=st.integers(1, 80), start=st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=40)
def test_any_reference_stays_within_all_limits(name, data, ticks, start) -> None:
    group, dt = GROUPS[name]
    limiter = Limiter(Limits.of(group), dt)
    limiter.reset(limiter.limits.lower + start * (limiter.limits.upper - limiter.limits.lower))
    path = run(limiter, data.draw(references(len(group))), ticks)
    assert_within(limiter, path)
    assert limiter.faults == 0


@pytest.mark.parametrize("name", GROUPS)
@given(seed=st.integers(0, 2**31), ticks=st.integers(1, 40))
@settings(deadline=None, max_examples=15)
def test_converges_to_a_resting_reference_from_any_state(name, seed, ticks) -> None:
    group, dt = GROUPS[name]
    limits = Limits.of(group)
    limiter = Limiter(limits, dt)
    rng = np.random.default_rng(seed)
    n = len(group)
    run(limiter, [(rng.uniform(-4, 4, n), rng.uniform(-1, 1, n))], ticks)
    goal = rng.uniform(limits.lower, limits.upper)
    path = run(limiter, [(goal, np.zeros(n))], int(6.0 / dt))
    assert_within(limiter, path)
    np.testing.assert_allclose(limiter.position, goal, atol=1e-4)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_stop_ends_within_the_promised_time(seed) -> None:
    group, dt = GROUPS["other"]
    limiter = Limiter(Limits.of(group), dt)
    rng = np.random.default_rng(seed)
    n = len(group)
    run(limiter, [(rng.uniform(-4, 4, n), rng.uniform(-1, 1, n)) for _ in range(3)], int(rng.integers(1, 60)))
    path = run(limiter, [None], int(np.ceil(limiter.limits.stop_within_s / dt)))
    assert_within(limiter, path)
    assert limiter.at_rest


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_mirrored_reference_gives_the_mirrored_motion(seed) -> None:
    group, dt = GROUPS["other"]
    table = Limits.of(group)
    half = np.minimum(np.abs(table.lower), table.upper) + 0.1
    symmetric = Limits(
        *(getattr(table, f) if f not in ("lower", "upper") else None for f in table.__dataclass_fields__)
    )
    symmetric = type(table)(**{**symmetric.__dict__, "lower": -half, "upper": half})
    rng = np.random.default_rng(seed)
    n = len(group)
    plan = [(rng.uniform(-3, 3, n), rng.uniform(-1, 1, n)) for _ in range(3)]
    one, other = Limiter(symmetric, dt), Limiter(symmetric, dt)
    forward = run(one, plan, 30)
    mirrored = run(other, [(-target, -velocity) for target, velocity in plan], 30)
    np.testing.assert_allclose(forward, -mirrored, atol=1e-6)


def test_minimum_jerk_motion_is_followed_smoothly() -> None:
    """The time-optimal law alone uses the whole jerk limit here, at every tick."""
    group, dt = GROUPS["other"]
    limiter = Limiter(Limits.of(group), dt)
    n, duration, distance = len(group), 1.6, 0.2
    start = (limiter.limits.lower + limiter.limits.upper) / 2
    limiter.reset(start)
    path, references_ = [], []
    for t in np.arange(dt, duration + 0.5, dt):
        s = min(t / duration, 1.0)
        shape, rate = 10 * s**3 - 15 * s**4 + 6 * s**5, (30 * s**2 - 60 * s**3 + 30 * s**4) / duration
        target = start + distance * shape
        limiter.track(target, np.full(n, distance * rate))
        path.append((limiter.position, limiter.velocity, limiter.acceleration))
        references_.append(target)
    states = np.array(path)
    assert_within(limiter, states)
    assert np.max(np.abs(np.diff(states[:, 2], axis=0))) / dt < 0.1 * limiter.limits.jerk.min()
    assert np.max(np.abs(states[:, 0] - np.array(references_))) < 0.005
    np.testing.assert_allclose(limiter.position, start + distance, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_non_finite_reference_is_refused_and_changes_nothing(bad, where) -> None:
    limiter = Limiter(Limits.of(g1.HEAD), 0.01)
    before = limiter.position.copy()
    reference = [np.zeros(2), np.zeros(2)]
    reference[where] = np.array([0.1, bad])
    with pytest.raises(ValueError, match="finite"):
        limiter.track(*reference)
    np.testing.assert_array_equal(limiter.position, before)
    with pytest.raises(ValueError, match="shape"):
        limiter.track(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("beyond", [1e-6, 0.01, 0.05])
def test_start_outside_the_range_never_jumps_and_never_moves_further_out(beyond) -> None:
    """Hands rest on their stops and real joints report a little more than their range."""
    limits = Limits.of(g1.OTHER)
    limiter = Limiter(limits, 0.004)
    start = limits.lower - beyond
    limiter.reset(start)
    outward = run(limiter, [(start - 1.0, np.full(26, -1.0))], 100)
    np.testing.assert_allclose(outward[:, 0], np.broadcast_to(start, outward[:, 0].shape), atol=1e-9)
    path = run(limiter, [((limits.lower + limits.upper) / 2, np.zeros(26)), (start, np.zeros(26))], 500)
    assert np.all(path[:, 0] >= start - 1e-9)
    assert np.all(np.abs(path[:, 1]) <= limits.velocity + EPS)
    np.testing.assert_array_less(limits.lower - 1e-6, path[-1, 0])  # once inside, it stays inside


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.0001, 2.0, np.nan, np.inf])
def test_limits_are_only_ever_tightened(scale) -> None:
    with pytest.raises(ValueError, match="limit_scale"):
        Limits.of(g1.POLICY).tightened(scale)
    tight = Limits.of(g1.POLICY).tightened(0.5)
    np.testing.assert_allclose(tight.velocity, 0.5 * g1.POLICY.column("velocity"))
    np.testing.assert_array_equal(tight.lower, g1.POLICY.lower)


def test_a_way_that_ruckig_does_not_find_is_gone_all_the_same() -> None:
    """0.075 rad from rest to rest: with even limits Ruckig 0.19 raises, which ended the loop, or creeps."""
    limits = Limits.of(g1.OTHER)
    limiter = Limiter(limits, 0.004)
    start = np.clip(np.zeros(26), limits.lower, limits.upper)
    start[18] = 0.0850000000000001
    limiter.reset(start)
    target = start.copy()
    target[18] = 0.01
    for _ in range(200):
        limiter.track(target, np.zeros(26))
    np.testing.assert_allclose(limiter.position, target, atol=1e-5)
    assert limiter.faults == 0


class Silent:
    """A Ruckig that never knows."""

    def update(self, *_) -> int:
        raise ruckig.RuckigError("no profile")


def test_without_ruckig_the_plain_brake_stops_within_the_limits() -> None:
    limits = Limits.of(g1.OTHER)
    limiter = Limiter(limits, 0.004)
    middle = (limits.lower + limits.upper) / 2
    limiter.reset(middle)
    for _ in range(60):
        limiter.track(middle + 0.4, np.zeros(26))
    speed = limiter.velocity.copy()
    assert np.all(speed > 0.3)
    limiter._otg = Silent()
    path = run(limiter, [(middle + 3.0, np.zeros(26))], 60)
    assert limiter.faults > 0
    assert np.all(np.diff(path[:, 1], axis=0) >= -limits.acceleration * 0.004 - 1e-9)
    np.testing.assert_array_equal(path[-1, 1], 0.0)
    assert np.all(path[-1, 0] <= path[0, 0] + speed**2 / limits.acceleration)


RANGES = ("lower", "upper")
LIMITED = ("velocity", "acceleration", "jerk")


@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 1.0))
@settings(deadline=None, max_examples=60)
def test_no_tightening_loosens_any_limit(seed, scale) -> None:
    """Whatever range a configuration asks for, wider ones too: what comes out lies within the robot's table."""
    rng, table = np.random.default_rng(seed), Limits.of(g1.POLICY)
    n = len(table.names)
    try:
        tight = table.tightened(scale, table.lower + rng.normal(0, 0.5, n), table.upper + rng.normal(0, 0.5, n))
    except ValueError:
        return  # no range is left
    assert np.all(tight.lower >= table.lower)
    assert np.all(tight.upper <= table.upper)
    for name in LIMITED:
        assert np.all(getattr(tight, name) <= getattr(table, name))
    for name in ("max_tracking_error", "effort"):
        np.testing.assert_array_equal(getattr(tight, name), getattr(table, name))


@pytest.mark.parametrize("joint", range(28))
@pytest.mark.parametrize("bad", [np.nan, 10.0])
@pytest.mark.parametrize("side", RANGES)
def test_a_range_that_leaves_nothing_is_refused(joint, bad, side) -> None:
    table = Limits.of(g1.POLICY)
    bounds = {"lower": table.lower.copy(), "upper": table.upper.copy()}
    bounds[side][joint] = bad if side == "lower" else -bad
    with pytest.raises(ValueError, match="range"):
        table.tightened(1.0, **bounds)
