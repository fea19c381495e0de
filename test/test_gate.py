"""The gate: one battery for every joint, limit and state. Nothing that it lets through ever breaks a limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.gate import MAX_RAMP_PER_S, Command, Gate, Reason
from sapave_ros.core.limiter import Limits
from sapave_ros.types import JointState, Mode

JOINTS = [(g1.HEAD, i, 0.01) for i in range(2)] + [(g1.OTHER, i, 0.004) for i in range(26)]
IDS = [group.names[i] for group, i, _ in JOINTS]
every_joint = pytest.mark.parametrize(("group", "joint", "dt"), JOINTS, ids=IDS)


def middle(group) -> np.ndarray:
    return (group.lower + group.upper) / 2


def command(q, velocities=None, torques=None, weight=1.0, stiffness=1.0) -> Command:
    q = np.array(q, dtype=float)
    zeros = np.zeros(q.shape)
    return Command(
        q, zeros if velocities is None else velocities, zeros if torques is None else torques, weight, stiffness
    )


def measured(q, at_s=0.0) -> JointState:
    return JointState(at_s, np.array(q, dtype=float), np.zeros(len(q)))


def started(group, dt, at=None) -> tuple[Gate, np.ndarray]:
    gate = Gate(Limits.of(group), dt)
    q = middle(group) if at is None else np.array(at)
    gate.start(q, weight=1.0)
    return gate, q


def check(gate, wanted, state, now_s=0.0, mode=Mode.MOVE, permit_age_s=0.0):
    return gate.check(wanted, now_s, state, mode, permit_age_s)


@every_joint
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["positions", "velocities", "torques"])
def test_non_finite_is_refused_and_names_the_joint(group, joint, dt, bad, field) -> None:
    gate, q = started(group, dt)
    value = q.copy() if field == "positions" else np.zeros(len(group))
    value[joint] = bad
    verdict = check(gate, replace(command(q), **{field: value}), measured(q))
    assert verdict.refused
    assert verdict.reason is Reason.NOT_FINITE
    assert group.names[joint] in verdict.detail
    np.testing.assert_array_equal(verdict.command.positions, q)
    assert gate.counts[Reason.NOT_FINITE] == 1


@every_joint
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("share", "allowed"), [(0.5, True), (0.999, True), (1.03, False), (3.0, False), (1e6, False)])
def test_acceleration_is_probed_at_its_edge(group, joint, dt, sign, share, allowed) -> None:
    gate, q = started(group, dt)
    limits = gate.limits
    step = q.copy()
    step[joint] += sign * share * limits.acceleration[joint] * dt**2
    verdict = check(gate, command(step), measured(q))
    assert verdict.refused is not allowed
    if not allowed:
        assert verdict.reason in (Reason.ACCELERATION, Reason.VELOCITY)
        assert group.names[joint] in verdict.detail


@every_joint
@pytest.mark.parametrize("sign", [-1, 1])
def test_velocity_is_refused_above_its_limit(group, joint, dt, sign) -> None:
    gate, q = started(group, dt)
    speed, written = 0.0, q.copy()
    refused_at = None
    for tick in range(100):
        speed += 0.9 * gate.limits.acceleration[joint] * dt
        written = written.copy()
        written[joint] += sign * speed * dt
        verdict = check(gate, command(written), measured(written, tick * dt), tick * dt)
        if verdict.refused:
            refused_at = speed
            assert verdict.reason is Reason.VELOCITY
            break
    limit = gate.limits.velocity[joint]
    assert refused_at is not None
    assert limit < refused_at < limit * 1.02 + gate.limits.acceleration[joint] * dt


@every_joint
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_position_is_clamped_to_the_range(group, joint, dt, side) -> None:
    limits = Limits.of(group)
    edge = middle(group)
    edge[joint] = getattr(limits, side)[joint]
    gate, q = started(group, dt, edge)
    beyond = q.copy()
    beyond[joint] += (1 if side == "upper" else -1) * 0.5 * limits.acceleration[joint] * dt**2
    verdict = check(gate, command(beyond), measured(q))
    assert verdict.reason is Reason.POSITION
    assert group.names[joint] in verdict.detail
    np.testing.assert_array_equal(verdict.command.positions, edge)


@every_joint
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_outside_at_the_start_it_may_stay_or_come_in_but_not_go_out(group, joint, dt, side) -> None:
    limits = Limits.of(group)
    sign = 1 if side == "upper" else -1
    outside = middle(group)
    outside[joint] = getattr(limits, side)[joint] + sign * 0.02
    step = 0.5 * limits.acceleration[joint] * dt**2
    for change, reason in ((0.0, None), (-sign * step, None), (sign * step, Reason.POSITION)):
        gate, q = started(group, dt, outside)
        moved = q.copy()
        moved[joint] += change
        verdict = check(gate, command(moved), measured(q))
        assert verdict.reason is reason
        assert not verdict.refused
        expected = outside if reason else moved
        np.testing.assert_array_equal(verdict.command.positions, expected)


@every_joint
@pytest.mark.parametrize("sign", [-1, 1])
def test_blocked_joint_may_come_back_but_not_push_on(group, joint, dt, sign) -> None:
    limits = Limits.of(group)
    bound = limits.max_tracking_error[joint]
    step = 0.5 * limits.acceleration[joint] * dt**2
    for error, direction, refused in ((1.01, 1, True), (1.01, -1, False), (0.99, 1, False)):
        gate, q = started(group, dt)
        real = q.copy()
        real[joint] -= sign * error * bound
        wanted = q.copy()
        wanted[joint] += sign * direction * step
        verdict = check(gate, command(wanted), measured(real))
        assert verdict.refused is refused
        if refused:
            assert verdict.reason is Reason.TRACKING
            assert group.names[joint] in verdict.detail


WITHHELD = {
    "permit stale": ({"permit_age_s": 0.101}, Reason.PERMIT_STALE),
    "never a permit": ({"permit_age_s": np.inf}, Reason.PERMIT_STALE),
    "permit age not a number": ({"permit_age_s": np.nan}, Reason.PERMIT_STALE),
    "hold": ({"mode": Mode.HOLD}, Reason.NOT_PERMITTED),
    "release": ({"mode": Mode.RELEASE}, Reason.NOT_PERMITTED),
    "damp": ({"mode": Mode.DAMP}, Reason.NOT_PERMITTED),
    "permit of another clock": ({"permit_age_s": -0.6}, Reason.PERMIT_STALE),
    "state of another clock": ({"state_age_s": -0.6}, Reason.STATE_STALE),
    "state stale": ({"state_age_s": 0.051}, Reason.STATE_STALE),
    "no state": ({"state_age_s": None}, Reason.STATE_STALE),
}


def withheld_check(gate, wanted, q, now_s, state_age_s=0.0, **how):
    state = None if state_age_s is None else measured(q, now_s - state_age_s)
    return check(gate, wanted, state, now_s, **how)


@every_joint
@pytest.mark.parametrize("case", WITHHELD)
def test_nothing_starts_to_move_without_permission(group, joint, dt, case) -> None:
    how, reason = WITHHELD[case]
    gate, q = started(group, dt)
    moved = q.copy()
    moved[joint] += 0.5 * gate.limits.acceleration[joint] * dt**2
    verdict = withheld_check(gate, command(moved), q, 100.0, **how)
    assert verdict.refused
    assert verdict.reason is reason
    np.testing.assert_array_equal(verdict.command.positions, q)
    assert not withheld_check(gate, command(q), q, 100.0, **how).refused  # standing still is always allowed
    assert withheld_check(gate, command(q, weight=0.999), q, 100.0, **how).reason is None  # so is handing back
    assert withheld_check(gate, command(q), q, 100.0, **how).reason is reason  # but not taking more


@pytest.mark.parametrize("case", WITHHELD)
@pytest.mark.parametrize(("group", "dt"), [(g1.HEAD, 0.01), (g1.OTHER, 0.004)])
def test_whoever_goes_on_without_permission_is_stopped(group, dt, case) -> None:
    """A controller that ignores the permit has the time of a regular stop; then the gate brakes."""
    how, reason = WITHHELD[case]
    gate, q = started(group, dt)
    n, v, now = len(group), np.zeros(len(group)), 10.0
    wanted = q.copy()
    for _ in range(30):
        v = np.minimum(v + 0.5 * gate.limits.acceleration * dt, 0.3)
        wanted = wanted + v * dt
        now += dt
        assert check(gate, command(wanted), measured(wanted, now), now).reason is None
    begin, reasons = gate.previous.positions.copy(), []
    for _ in range(int(2.0 / dt)):
        wanted = wanted + v * dt
        now += dt
        verdict = withheld_check(gate, command(wanted), gate.previous.positions, now, **how)
        reasons.append(verdict.reason)
    allowed_s = gate.limits.stop_within_s + 0.05 + 2 * dt
    np.testing.assert_array_less(gate.previous.positions - begin, 0.3 * allowed_s + 0.3**2 / gate.limits.acceleration)
    assert reason in reasons
    final = gate.previous.positions.copy()
    withheld_check(gate, command(wanted), final, now + dt, **how)
    np.testing.assert_array_equal(gate.previous.positions, final)
    assert n == len(final)


@pytest.mark.parametrize("field", ["positions", "velocities", "torques"])
@pytest.mark.parametrize("n", [0, 1, 25, 27, 28])
def test_wrong_number_of_joints_is_refused(field, n) -> None:
    gate, q = started(g1.OTHER, 0.004)
    verdict = check(gate, replace(command(q), **{field: np.zeros(n)}), measured(q))
    assert verdict.reason is Reason.SHAPE
    assert field in verdict.detail
    np.testing.assert_array_equal(verdict.command.positions, q)


@pytest.mark.parametrize("bad", [np.full(26, np.nan), np.zeros(25), np.zeros(0), np.append(np.zeros(25), np.inf)])
def test_nonsense_from_the_sensors_counts_as_no_measurement(bad) -> None:
    gate, q = started(g1.OTHER, 0.004)
    state = JointState(100.0, bad, np.zeros(26))
    moved = q + 0.5 * gate.limits.acceleration * 0.004**2
    verdict = check(gate, command(moved), state, 100.0)
    assert verdict.reason is Reason.STATE_STALE
    np.testing.assert_array_equal(verdict.command.positions, q)
    assert check(gate, command(q), state, 100.0).reason is None


@pytest.mark.parametrize("field", ["weight", "stiffness"])
@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf, 0.0])
def test_authority_out_of_range_or_sudden_is_refused(field, value) -> None:
    gate, q = started(g1.OTHER, 0.004)
    verdict = check(gate, replace(command(q), **{field: value}), measured(q))
    assert verdict.reason is Reason.AUTHORITY
    assert (verdict.command.weight, verdict.command.stiffness) == (1.0, 1.0)
    gentle = 1.0 - 0.99 * MAX_RAMP_PER_S * 0.004
    assert check(gate, replace(command(q), **{field: gentle}), measured(q)).reason is None


@pytest.mark.parametrize("field", ["weight", "stiffness"])
def test_a_refused_command_may_still_give_way_but_only_so_fast(field) -> None:
    """What is refused is the motion; who lets go is never kept from it."""
    gate, q = started(g1.ARMS, 0.004)
    gate.start(q, 1.0, 1.0)
    bad = replace(command(q), torques=np.full(len(q), np.nan))
    for value, expected in ((0.99, 0.99), (0.98, 0.98), (0.5, 0.98), (0.985, 0.98), (np.nan, 0.98), (-1.0, 0.98)):
        verdict = check(gate, replace(bad, **{field: value}), measured(q))
        assert verdict.refused
        assert getattr(verdict.command, field) == expected


@pytest.mark.parametrize("joint", range(26))
def test_torques_are_clamped_to_the_motor(joint) -> None:
    gate, q = started(g1.OTHER, 0.004)
    torques = np.zeros(26)
    torques[joint] = 1000.0
    verdict = check(gate, command(q, torques=torques), measured(q))
    assert verdict.reason is Reason.TORQUE
    assert verdict.command.torques[joint] <= g1.OTHER.column("effort")[joint]


def test_unstarted_gate_writes_nothing() -> None:
    with pytest.raises(RuntimeError, match="measured"):
        check(Gate(Limits.of(g1.HEAD), 0.01), command(np.zeros(2)), measured(np.zeros(2)))


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_whatever_comes_what_is_written_keeps_the_limits(seed) -> None:
    rng = np.random.default_rng(seed)
    group, dt = (g1.HEAD, 0.01) if seed % 2 else (g1.OTHER, 0.004)
    gate, q = started(group, dt)
    limits, n = gate.limits, len(group)
    written, v = [q], rng.uniform(-1, 1, n) * limits.velocity * 0.05
    for tick in range(120):
        wanted = written[-1] + v * dt
        kind = rng.integers(0, 6)
        if kind == 0:
            wanted = wanted + rng.normal(0, 1, n)
        elif kind == 1:
            wanted[rng.integers(0, n)] = rng.choice([np.nan, np.inf, -np.inf])
        elif kind == 2:
            v = np.clip(v + rng.uniform(-1, 1, n) * limits.acceleration * dt, -limits.velocity, limits.velocity)
        elif kind == 3:
            wanted = rng.uniform(-4, 4, n)
        state = None if rng.random() < 0.1 else measured(written[-1] + rng.normal(0, 0.2, n), tick * dt)
        mode = Mode.MOVE if rng.random() < 0.9 else Mode.HOLD
        verdict = check(gate, command(wanted), state, tick * dt, mode, rng.choice([0.0, 0.05, 1.0]))
        written.append(verdict.command.positions)
    path = np.array(written)
    speed = np.diff(path, axis=0) / dt
    assert np.isfinite(path).all()
    assert np.all(path >= limits.lower - 1e-12)
    assert np.all(path <= limits.upper + 1e-12)
    assert np.all(np.abs(speed) <= limits.velocity * 1.02 + 1e-6)
    # Only the end of the range stops a joint harder than its acceleration limit.
    hard = np.abs(np.diff(speed, axis=0)) > limits.acceleration * dt * 1.02 + 1e-6
    at_edge = (path[2:] <= limits.lower + 1e-9) | (path[2:] >= limits.upper - 1e-9)
    assert not np.any(hard & ~at_edge)


@every_joint
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_once_inside_the_range_a_joint_stays_inside(group, joint, dt, side) -> None:
    limits = Limits.of(group)
    outward = 1 if side == "upper" else -1
    edge = middle(group)
    edge[joint] = getattr(limits, side)[joint]
    outside = edge.copy()
    outside[joint] += outward * 0.3 * limits.acceleration[joint] * dt**2
    gate, _ = started(group, dt, outside)
    assert check(gate, command(edge), measured(outside)).reason is None
    verdict = check(gate, command(outside), measured(edge))
    assert verdict.reason is Reason.POSITION
    np.testing.assert_array_equal(verdict.command.positions, edge)


@every_joint
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_braking_ends_at_the_range(group, joint, dt, side) -> None:
    limits = Limits.of(group)
    outward = 1 if side == "upper" else -1
    close = middle(group)
    close[joint] = getattr(limits, side)[joint] - outward * 2.5 * limits.acceleration[joint] * dt**2
    gate, q = started(group, dt, close)
    for share in (0.9, 1.8):  # faster than the rest of the way allows
        q = q.copy()
        q[joint] += outward * share * limits.acceleration[joint] * dt**2
        check(gate, command(q), measured(q))
    assert gate.counts.total() <= 1
    for _ in range(5):
        verdict = check(gate, command(np.full(len(group), np.nan)), measured(q))
        assert limits.lower[joint] <= verdict.command.positions[joint] <= limits.upper[joint]


@every_joint
@pytest.mark.parametrize("sign", [-1, 1])
def test_feed_forward_velocity_belongs_to_the_step(group, joint, dt, sign) -> None:
    """On a joint that stands, a feed-forward velocity is a push that nobody has permitted."""
    gate, q = started(group, dt)
    change = gate.limits.acceleration[joint] * dt
    velocities = np.zeros(len(group))
    velocities[joint] = sign * 100.0
    verdict = check(gate, command(q, velocities=velocities), measured(q))
    assert verdict.reason is Reason.VELOCITY
    assert group.names[joint] in verdict.detail
    assert verdict.command.velocities[joint] == sign * change
    step = q.copy()
    step[joint] += sign * 0.9 * change * dt
    verdict = check(gate, command(step, velocities=velocities), measured(q))
    np.testing.assert_allclose(verdict.command.velocities[joint], sign * 1.9 * change, rtol=1e-6)
    velocities[joint] = sign * 0.9 * change
    assert check(gate, command(step + velocities * dt, velocities=velocities), measured(q)).reason is None
    assert check(gate, command(step + velocities * dt), measured(q)).reason is None  # none at all is allowed


def test_joints_seen_long_ago_do_not_look_blocked() -> None:
    """They would turn the smooth stop that follows a lost state into a hard one."""
    gate, q = started(g1.OTHER, 0.004)
    assert check(gate, command(q), measured(q, 100.0), 100.0).reason is None
    moved = q + 0.5 * gate.limits.acceleration * 0.004**2
    assert check(gate, command(moved), measured(q - 1.0, 99.0), 100.004).reason is None
