"""What the gate says, to the letter, and its boundaries in time: an operator reads the first, a robot lives by both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.core.clearance import WATCHED
from sapave_ros.core.command import Command, Reason, Verdict
from sapave_ros.core.gate import MAX_RAMP_PER_S, SLOW_EVERY, Gate, fresh
from sapave_ros.core.limiter import Limits
from sapave_ros.types import JointState, Mode

DT = 0.01
Q = np.array([0.1, 0.2])
STILL = np.zeros(2)
GOOD = Command(Q, STILL, STILL)
STEP = 12.0 * DT**2  # of full acceleration
LIMITS = replace(Limits.of(g1.HEAD), acceleration=np.full(2, 12.0), jerk=np.full(2, 240.0))
"""Of a neck that these numbers are worked out for."""


def state(q=Q, at_s: float = 0.0) -> JointState:
    return JointState(at_s, np.array(q, dtype=float), STILL)


def gate(q=Q, weight: float = 1.0, **how) -> Gate:
    result = Gate(LIMITS, DT, **how)
    result.start(np.array(q, dtype=float), weight)
    return result


def moved(by: float, joint: int = 1) -> np.ndarray:
    q = Q.copy()
    q[joint] += by
    return q


SAYINGS = {
    "shape": (replace(GOOD, velocities=np.zeros(3)), Reason.SHAPE, "velocities has shape (3,): expected (2,) numbers"),
    "finite": (replace(GOOD, torques=np.array([0, np.nan])), Reason.NOT_FINITE, "torques of head_pitch_joint = nan"),
    "weight": (replace(GOOD, weight=1.5), Reason.AUTHORITY, "weight = 1.5 after 1.0: expected a step of 0.04"),
    "stiffness": (replace(GOOD, stiffness=0.5), Reason.AUTHORITY, "stiffness = 0.5 after 1.0: expected a step of 0.04"),
    "velocity": (replace(GOOD, positions=moved(0.5)), Reason.VELOCITY, "speed of head_pitch_joint = 50 rad/s"),
    "acceleration": (
        replace(GOOD, positions=moved(2 * STEP)),
        Reason.ACCELERATION,
        "acceleration of head_pitch_joint = 24 rad/s^2",
    ),
    "feed-forward": (
        replace(GOOD, velocities=np.array([0.0, 2.0])),
        Reason.VELOCITY,
        "velocity limit of head_pitch_joint = 2 rad/s",
    ),
    "torque": (replace(GOOD, torques=np.array([3.0, 0.0])), Reason.TORQUE, "torque limit of head_yaw_joint = 3 N m"),
}


@pytest.mark.parametrize("case", SAYINGS)
def test_every_refusal_names_field_value_and_what_was_expected(case) -> None:
    wanted, reason, detail = SAYINGS[case]
    verdict = gate().check(wanted, 0.0, state(), Mode.MOVE, 0.0)
    assert (verdict.reason, verdict.detail) == (reason, detail)


def test_the_edge_of_the_range_is_named() -> None:
    edge = np.array([0.1, g1.HEAD.upper[1]])
    verdict = gate(edge).check(replace(GOOD, positions=edge + [0, 0.5 * STEP]), 0.0, state(edge), Mode.MOVE, 0.0)
    assert verdict == replace(verdict, refused=False, reason=Reason.POSITION)
    assert verdict.detail == f"position limit of head_pitch_joint = {edge[1] + 0.5 * STEP:.4g} rad"


def test_a_blocked_joint_is_named() -> None:
    seen = state(Q + [0.0, -0.5])
    verdict = gate().check(replace(GOOD, positions=moved(0.5 * STEP)), 0.0, seen, Mode.MOVE, 0.0)
    assert (verdict.reason, verdict.detail) == (Reason.TRACKING, "command minus measured of head_pitch_joint = 0.5 rad")


def test_who_may_not_move_is_told_how_fast_it_was() -> None:
    wanted = replace(GOOD, positions=moved(-0.5 * STEP, joint=0))
    verdict = gate().check(wanted, 0.0, state(), Mode.HOLD, 0.0)
    assert (verdict.reason, verdict.detail) == (Reason.NOT_PERMITTED, "speed of head_yaw_joint = -0.06 rad/s")


@pytest.mark.parametrize("field", ["weight", "stiffness"])
def test_authority_does_not_rise_without_permission(field) -> None:
    it = gate(weight=0.5)
    it.previous = replace(it.previous, stiffness=0.5)  # type: ignore[type-var]
    wanted = replace(GOOD, **{"weight": 0.5, "stiffness": 0.5, field: 0.51})
    verdict = it.check(wanted, 0.0, state(), Mode.HOLD, 0.0)
    assert verdict.refused
    assert (verdict.reason, verdict.detail) == (Reason.NOT_PERMITTED, f"{field} = 0.51 after 0.5: may not rise")
    assert (verdict.command.weight, verdict.command.stiffness) == (0.5, 0.5)
    assert it.check(wanted, DT, state(at_s=DT), Mode.MOVE, 0.0).reason is None


@pytest.mark.parametrize(
    ("age_s", "mode", "seen", "reason"),
    [
        (9.0, Mode.HOLD, None, Reason.PERMIT_STALE),
        (0.0, Mode.HOLD, None, Reason.NOT_PERMITTED),
        (0.0, Mode.MOVE, None, Reason.STATE_STALE),
    ],
)
def test_of_several_reasons_the_first_in_the_chain_is_given(age_s, mode, seen, reason) -> None:
    assert gate().check(replace(GOOD, positions=moved(0.1 * STEP)), 0.0, seen, mode, age_s).reason is reason


@pytest.mark.parametrize(("border", "reason"), [(False, Reason.COLLISION), (True, Reason.WORKSPACE)])
def test_what_is_too_close_is_named_with_its_distance(border, reason) -> None:
    watched = next(w for w in WATCHED if w.border is border)
    asked = []

    class Near:
        def closer(self, start, path):
            asked.append((start, path))
            return watched, -0.0123

    verdict = gate(clearance=Near()).check(replace(GOOD, positions=moved(0.5 * STEP)), 0.0, state(), Mode.MOVE, 0.0)
    assert verdict.refused
    assert verdict.reason is reason
    distance = watched.margin_m - 0.0123
    assert verdict.detail == f"{watched.text}: {distance:.3f} m until at rest, expected {watched.margin_m}"
    start, path = asked[0]
    np.testing.assert_array_equal(start, Q)
    np.testing.assert_allclose(path, [moved(0.5 * STEP)] * 4)


class Far:
    """Nothing is near; keeps the paths that it was asked about."""

    def __init__(self) -> None:
        self.paths: list[np.ndarray] = []

    def closer(self, start, path):
        self.paths.append(path)


def speed_up(it: Gate, q: np.ndarray, sign: float, ticks: int) -> tuple[np.ndarray, float]:
    """The pitch joint with a growing speed; returns position and speed [rad/s]."""
    v = 0.0
    for i in range(ticks):
        v += sign * 0.9 * 12.0 * DT
        q = q + [0.0, v * DT]
        wanted = Command(q, np.array([0.0, v]), STILL)
        assert it.check(wanted, i * DT, state(q, i * DT), Mode.MOVE, 0.0).reason is None
    return q, v


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_full_stop_from_the_step_is_looked_at(sign) -> None:
    far = Far()
    q, v = speed_up(gate(clearance=far), Q, sign, 8)
    step, _, halfway, end = far.paths[-1]
    np.testing.assert_array_equal(step, q)
    ticks = int(abs(v) / (12.0 * DT))
    way = DT * (ticks * abs(v) - 12.0 * DT * ticks * (ticks + 1) / 2)
    np.testing.assert_allclose(end, q + [0.0, sign * way], atol=1e-12)
    assert 0.0 < sign * (halfway - q)[1] < way


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_the_way_to_rest_that_is_looked_at_ends_at_the_range(side) -> None:
    sign, edge, far = (1.0 if side == "upper" else -1.0), getattr(g1.HEAD, side)[1], Far()
    it = gate([0.1, edge - sign * 0.045], clearance=far)
    q, v = speed_up(it, it.previous.positions, sign, 8)  # type: ignore[union-attr]
    assert sign * (q[1] + sign * v**2 / (2 * 12.0) - edge) > 0.005  # a stop would end outside
    assert far.paths[-1][-1, 1] == edge


def test_who_has_stopped_is_looked_at_once_more_and_who_stands_is_not() -> None:
    far = Far()
    it = gate(clearance=far)
    q, _ = speed_up(it, Q, 1.0, 1)
    for looked in (2, 2):
        it.check(replace(GOOD, positions=q), DT, None, Mode.HOLD, 0.0)
        assert len(far.paths) == looked


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_feed_forward_at_full_speed_ends_at_the_limit_and_may_be_none_at_any(sign) -> None:
    it = gate([0.0, 0.5])
    q, v = speed_up(it, np.array([0.0, 0.5]), sign, 13)
    now_s = 13 * DT
    too_much = Command(q + [0.0, v * DT], np.array([0.0, sign * 1.6]), STILL)
    verdict = it.check(too_much, now_s, state(too_much.positions, now_s), Mode.MOVE, 0.0)
    assert verdict.reason is Reason.VELOCITY
    np.testing.assert_array_equal(verdict.command.velocities, [0.0, sign * 1.5])
    none = Command(q + [0.0, 2 * v * DT], STILL, STILL)
    verdict = it.check(none, now_s + DT, state(none.positions, now_s + DT), Mode.MOVE, 0.0)
    assert verdict.reason is None
    np.testing.assert_array_equal(verdict.command.velocities, 0.0)


def test_counts_tell_apart_what_was_refused_and_what_was_clamped() -> None:
    it = gate()
    it.check(GOOD, 0.0, state(), Mode.MOVE, 0.0)
    assert (it.refused, it.clamped, it.slowed, dict(it.counts)) == (0, 0, 0, {})
    for tick, (wanted, reason, _) in enumerate(SAYINGS.values(), 1):
        before = (it.refused, it.clamped, it.counts[reason])
        verdict = it.check(wanted, tick * DT, state(at_s=tick * DT), Mode.MOVE, 0.0)
        after = (it.refused, it.clamped, it.counts[reason])
        expected = (before[0] + verdict.refused, before[1] + (not verdict.refused), before[2] + 1)
        assert after == expected
    assert it.refused == 6
    assert it.clamped == 2


# ---- time ----


@pytest.mark.parametrize(
    ("age_s", "counts"),
    [(0.0, True), (0.2, True), (0.2 + 1e-9, False), (-0.1, True), (-0.1 - 1e-9, False), (np.nan, False)],
)
def test_an_age_counts_up_to_its_bound_and_a_little_ahead(age_s, counts) -> None:
    assert fresh(age_s, 0.2) is counts


@pytest.mark.parametrize("stale_after_s", [0.05, 0.2])
def test_the_age_of_the_joints_has_the_bound_that_was_set(stale_after_s) -> None:
    wanted = replace(GOOD, positions=moved(0.5 * STEP))
    for age_s, refused in ((0.99 * stale_after_s, False), (1.01 * stale_after_s, True)):
        it = gate(state_stale_after_s=stale_after_s)
        assert it.check(wanted, 10.0, state(at_s=10.0 - age_s), Mode.MOVE, 0.0).refused is refused


@pytest.mark.parametrize("now_s", [np.nan, np.inf, -np.inf, 4.9])
def test_a_time_that_does_not_pass_is_refused_and_changes_no_time(now_s) -> None:
    it = gate()
    assert it.check(GOOD, 5.0, state(at_s=5.0), Mode.MOVE, 0.0).reason is None
    verdict = it.check(GOOD, now_s, state(at_s=5.0), Mode.MOVE, 0.0)
    assert verdict.refused
    assert (verdict.reason, verdict.detail) == (Reason.CLOCK, f"now = {now_s} s after 5.0: expected a later time")
    assert it.check(GOOD, 5.0, state(at_s=5.0), Mode.MOVE, 0.0).reason is None


def burst(it: Gate, pace: float, writes: int, at_s: float = 0.0) -> list[Verdict]:
    return [it.check(GOOD, at_s + i * DT / pace, None, Mode.HOLD, 0.0) for i in range(writes)]


def test_a_clock_that_runs_a_little_fast_is_no_fault_and_a_second_loop_is() -> None:
    assert not any(v.refused for v in burst(gate(), 1.0, 3000))
    assert not any(v.refused for v in burst(gate(), 1.09, 3000))
    twice = burst(gate(), 2.0, 3000)
    assert any(v.refused for v in twice[:20])
    assert sum(v.refused for v in twice) > 2900
    assert {v.reason for v in twice if v.refused} == {Reason.CLOCK}


def test_a_few_writes_may_come_at_once_and_then_time_heals() -> None:
    it = gate()
    at_once = [it.check(GOOD, 0.0, None, Mode.HOLD, 0.0) for _ in range(30)]
    assert [v.refused for v in at_once] == [False] * 6 + [True] * 24  # the first has nothing before it
    assert at_once[6].detail == "writes are 0.060 s early: expected one in 0.01 s"
    assert at_once[29].detail == "writes are 0.100 s early: expected one in 0.01 s"  # and no more is held against it
    assert it.check(GOOD, 0.056, None, Mode.HOLD, 0.0).reason is None
    assert it.check(GOOD, 0.2, None, Mode.HOLD, 0.0).reason is None
    assert all(not it.check(GOOD, 0.2, None, Mode.HOLD, 0.0).refused for _ in range(5))


def test_a_new_start_knows_nothing_of_the_time_before() -> None:
    it = gate()
    moving = replace(GOOD, positions=moved(0.5 * STEP))
    assert it.check(moving, 5.0, state(at_s=5.0), Mode.MOVE, 0.0).reason is None
    for _ in range(10):
        it.check(GOOD, 5.0, None, Mode.HOLD, 0.0)
    it.start(Q, 1.0)
    assert it.check(GOOD, 1.0, None, Mode.HOLD, 0.0).reason is None  # an earlier time
    assert it.check(moving, 1.01, None, Mode.HOLD, 0.0).refused  # and no permission is left over


def test_after_the_permission_a_stop_has_its_time_and_not_more() -> None:
    """A joint that goes on at an even speed is stopped 0.05 s after the time of a full stop."""
    limits = LIMITS
    for late, refused in ((-0.002, False), (0.002, True)):
        it, q = gate(), Q.copy()
        for i in range(20):
            q = q + [0.0, 0.5 * STEP]
            assert it.check(replace(GOOD, positions=q), i * DT, state(q, i * DT), Mode.MOVE, 0.0).reason is None
        q = q + [0.0, 0.5 * STEP]
        now_s = 19 * DT + limits.stop_within_s + 0.05 + late
        verdict = it.check(replace(GOOD, positions=q), now_s, state(q, now_s), Mode.HOLD, 0.0)
        assert verdict.refused is refused


def test_creeping_is_motion() -> None:
    creep = replace(GOOD, positions=moved(2e-5 * DT))
    verdict = gate().check(creep, 0.0, state(), Mode.HOLD, 0.0)
    assert verdict.refused and "head_pitch_joint" in verdict.detail
    rounding = replace(GOOD, positions=moved(0.5e-5 * DT))
    assert not gate().check(rounding, 0.0, state(), Mode.HOLD, 0.0).refused


# ---- what is written instead ----


@pytest.mark.parametrize("bad", [np.array([0.1]), np.array([0.1, np.nan]), np.array(["a", "b"]), None])
def test_it_starts_from_positions_that_make_sense_or_not_at_all(bad) -> None:
    it = Gate(LIMITS, DT)
    with pytest.raises(ValueError, match="expected 2 finite positions"):
        it.start(bad)
    with pytest.raises(RuntimeError, match="^the gate has not been started from a measured position$"):
        it.check(GOOD, 0.0, state(), Mode.MOVE, 0.0)


def test_authority_may_be_given_up_to_the_last_step_and_have_its_whole_ramp() -> None:
    """Also where the rest of the command is refused: arms that kept a hundredth of the weight would never be free."""
    whole = MAX_RAMP_PER_S * DT
    for before, after in ((whole, 0.0), (0.01, 0.0), (0.0, whole)):
        verdict = gate(weight=before).check(replace(GOOD, weight=after), 0.0, state(), Mode.MOVE, 0.0)
        assert (verdict.reason, verdict.command.weight) == (None, after)
    bad = replace(GOOD, positions=np.full(2, np.nan), weight=0.0)
    for before in (whole, 0.01):
        verdict = gate(weight=before).check(bad, 0.0, state(), Mode.MOVE, 0.0)
        assert verdict.refused and verdict.command.weight == 0.0


def test_it_starts_without_weight_and_with_all_stiffness() -> None:
    it = Gate(LIMITS, DT)
    it.start(Q)
    assert it.previous is not None
    assert (it.previous.weight, it.previous.stiffness) == (0.0, 1.0)
    it.start(Q, 0.5, 0.25)
    assert (it.previous.weight, it.previous.stiffness) == (0.5, 0.25)
    np.testing.assert_array_equal(it.previous.velocities, 0.0)
    np.testing.assert_array_equal(it.previous.torques, 0.0)


def test_the_brake_says_its_own_speed_and_keeps_the_torque() -> None:
    it, q = gate(), Q.copy()
    it.limits = replace(it.limits, effort=np.array([10.0, 10.0]))
    for i in range(5):
        q = q + [0.0, 0.5 * STEP * (i + 1)]
        wanted = Command(q, np.array([0.0, 0.06 * (i + 1)]), np.array([0.5, -0.5]))
        assert it.check(wanted, i * DT, state(q, i * DT), Mode.MOVE, 0.0).reason is None
    speed = 0.3  # [rad/s]
    bad = replace(GOOD, positions=np.full(2, np.nan))
    for i in range(5, 9):
        verdict = it.check(bad, i * DT, state(q, i * DT), Mode.MOVE, 0.0)
        speed = max(0.0, speed - 12.0 * DT)
        q = q + [0.0, speed * DT]
        np.testing.assert_allclose(verdict.command.positions, q, atol=1e-12)
        np.testing.assert_allclose(verdict.command.velocities, [0.0, speed], atol=1e-9)
        np.testing.assert_array_equal(verdict.command.torques, [0.5, -0.5])


def test_a_torque_grows_by_its_rate_and_falls_at_once() -> None:
    it = gate()
    it.limits = replace(it.limits, effort=np.array([10.0, 10.0]))
    expected = [3.0, 6.0, 8.0, 8.0]
    for i, value in enumerate(expected):
        wanted = replace(GOOD, torques=np.array([9.0, -9.0]))
        verdict = it.check(wanted, i * DT, state(at_s=i * DT), Mode.MOVE, 0.0)
        assert verdict.reason is Reason.TORQUE
        np.testing.assert_allclose(verdict.command.torques, [value, -value])
    verdict = it.check(GOOD, 0.05, state(at_s=0.05), Mode.MOVE, 0.0)
    assert verdict.reason is None
    np.testing.assert_array_equal(verdict.command.torques, 0.0)


@pytest.mark.parametrize(("excess", "told"), [(0.5e-9, False), (2e-9, True)])
def test_rounding_is_cut_off_without_being_told(excess, told) -> None:
    edge = np.array([0.1, g1.HEAD.upper[1]])
    verdict = gate(edge).check(replace(GOOD, positions=edge + [0.0, excess]), 0.0, state(edge), Mode.MOVE, 0.0)
    assert (verdict.reason is Reason.POSITION) is told
    np.testing.assert_array_equal(verdict.command.positions, edge)


def test_what_is_worst_is_named() -> None:
    both = replace(GOOD, positions=Q + [-0.5, 0.4])
    assert gate().check(both, 0.0, state(), Mode.MOVE, 0.0).detail == "speed of head_yaw_joint = -50 rad/s"
    nan = replace(GOOD, positions=np.array([1e300, np.nan]))
    assert gate().check(nan, 0.0, state(), Mode.MOVE, 0.0).detail == "positions of head_pitch_joint = nan"
    both = replace(GOOD, positions=np.array([np.inf, np.nan]))  # no number at all is worse than infinity
    assert gate().check(both, 0.0, state(), Mode.MOVE, 0.0).detail == "positions of head_pitch_joint = nan"


def test_every_slowed_command_is_counted() -> None:
    class Close:
        def share(self, position, velocity):
            return np.array([1.0, 0.5])

    it = gate(clearance=Close())
    for count in range(1, 10):
        np.testing.assert_array_equal(it.slow(Q, Q), [1.0, 0.5])
        assert it.slowed == count


def test_how_much_room_there_is_to_slow_down_in_is_looked_at_now_and_then_and_at_once_after_a_stand() -> None:
    class Narrowing:
        looks = 0

        def share(self, position, velocity):
            self.looks += 1
            return np.array([1.0, 1.0 / self.looks])

    it = gate(clearance=Narrowing())
    assert it.slow(Q, Q) is None  # all of it: nothing to slow, nothing to count
    assert it.slowed == 0
    shares = [it.slow(Q, Q) for _ in range(SLOW_EVERY * 3 - 1)]
    seen = [1.0 if share is None else share[1] for share in shares]
    assert seen == [1.0] * (SLOW_EVERY - 1) + [1 / 2] * SLOW_EVERY + [1 / 3] * SLOW_EVERY
    assert it.slowed == 2 * SLOW_EVERY
    assert it.slow(Q, Q)[1] == 1 / 4  # type: ignore[index]
    assert it.slow(Q, STILL) is None
    assert it.slow(Q, Q)[1] == 1 / 5  # type: ignore[index]
