"""Whatever is asked, commands keep the arms apart from the robot and in their space, and motion within its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.clearance import APPROACH_S, WATCHED, Clearance
from sapave_ros.core.command import Command, Reason
from sapave_ros.core.gate import Gate
from sapave_ros.core.limiter import Limiter, Limits, brake_path, brake_velocity
from sapave_ros.types import JointState, Mode

CLEARANCE = Clearance.from_urdf()
LIMITS = Limits.of(g1.OTHER)
DT, N = 0.004, 26
ZERO = np.clip(np.zeros(N), LIMITS.lower, LIMITS.upper)
STILL = np.zeros(N)

BENT_M = 0.001
"""Four poses of a stop are looked at; the way between them is bent by less than this."""


def command(q, v=STILL) -> Command:
    return Command(q, v, STILL)


class Road:
    """Limiter and gate, with joints that are where they are told; keeps all commands."""

    def __init__(self, start=ZERO, slow: bool = True) -> None:
        self.gate, self.limiter = Gate(LIMITS, DT, clearance=CLEARANCE), Limiter(LIMITS, DT)
        self.gate.start(start, weight=1.0)
        self.limiter.reset(start)
        self.written, self.now_s, self._slow = [np.array(start)], 0.0, slow

    def tick(self, target, velocity=STILL, mode: Mode = Mode.MOVE):
        self.now_s += DT
        if mode is Mode.MOVE:
            share = self.gate.slow(self.limiter.position, self.limiter.heading(target, velocity))
            self.limiter.track(target, velocity, share if self._slow else None)
        else:
            self.limiter.stop()
        state = JointState(self.now_s, self.written[-1], STILL)
        wanted = command(self.limiter.position, self.limiter.velocity)
        verdict = self.gate.check(wanted, self.now_s, state, mode, 0.0)
        if verdict.refused:
            self.limiter.reset(verdict.command.positions, verdict.command.velocities)
        self.written.append(verdict.command.positions)
        return verdict

    def assert_lawful(self) -> None:
        path = np.array(self.written)
        room = CLEARANCE.room(path)
        # What began with room keeps it; what began without comes no closer.
        floor = np.minimum(room[0], 0.0) - BENT_M
        least = room.min(axis=0)
        assert np.all(least >= floor), [(WATCHED[i].text, least[i]) for i in np.flatnonzero(least < floor)]
        speed = np.diff(path, axis=0) / DT
        assert np.all(np.abs(speed) <= LIMITS.velocity * 1.02 + 1e-9)
        hard = np.abs(np.diff(speed, axis=0)) > LIMITS.acceleration * DT * 1.02 + 1e-6
        at_edge = (path[2:] <= LIMITS.lower + 1e-9) | (path[2:] >= LIMITS.upper - 1e-9)
        assert not np.any(hard & ~at_edge)
        assert np.all((path >= LIMITS.lower - 1e-9) & (path <= LIMITS.upper + 1e-9))


def drive(road: Road, seed: int, ticks: int) -> None:
    """Jumps, moving targets, small motions, holds: what chunks of a policy and a joystick can ask for, and more."""
    rng = np.random.default_rng(seed)
    target, velocity, mode = ZERO, STILL, Mode.MOVE
    for tick in range(ticks):
        if tick % 50 == 0:
            kind = rng.integers(0, 4)
            near = road.limiter.position + rng.normal(0.0, 0.6, N)
            target = rng.uniform(LIMITS.lower, LIMITS.upper) if kind == 0 else near
            velocity = rng.uniform(-1.5, 1.5, N) if kind > 1 else STILL
            mode = Mode.HOLD if rng.random() < 0.15 else Mode.MOVE
        target = target + velocity * DT
        road.tick(target, velocity, mode)


@pytest.mark.parametrize("slow", [True, False], ids=["slowed", "gate alone"])
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=12)
def test_whatever_comes_the_arms_keep_clear(slow, seed) -> None:
    road = Road(slow=slow)
    drive(road, seed, 400)
    road.assert_lawful()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # minutes by itself; beside others it met the 180 s of quick tests
@pytest.mark.parametrize("slow", [True, False], ids=["slowed", "gate alone"])
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_whatever_comes_for_long_the_arms_keep_clear(slow, seed) -> None:
    road = Road(slow=slow)
    drive(road, seed, 1500)
    road.assert_lawful()


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_from_anywhere_nothing_comes_closer_than_it_is(seed) -> None:
    """Poses in which a margin is not kept: the arms may have been led there by hand."""
    rng = np.random.default_rng(seed)
    road = Road(start=rng.uniform(LIMITS.lower, LIMITS.upper))
    drive(road, seed, 300)
    room = CLEARANCE.room(np.array(road.written))
    kept = np.minimum(np.maximum.accumulate(room, axis=0)[:-1], 0.0)
    assert np.all(room[1:] >= kept - BENT_M)


@pytest.mark.parametrize("seed", [2007, 2027, 2050, 2084, 2182])
def test_a_stop_does_not_go_beyond_a_turning_point(seed) -> None:
    """Led there by hand, the arm comes away, and would go back by the length of its stop: 2 mm in these."""
    road = Road(start=np.random.default_rng(seed).uniform(LIMITS.lower, LIMITS.upper))
    drive(road, seed, 300)
    room = CLEARANCE.room(np.array(road.written))
    assert np.all(room[1:] >= np.minimum(np.maximum.accumulate(room, axis=0)[:-1], 0.0) - BENT_M)


def test_slowing_down_alone_keeps_the_gate_out_of_it() -> None:
    """Both hands are sent into each other: the command comes to rest before the margin, smoothly and by itself."""
    road = Road()
    target = ZERO.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        target[g1.OTHER.names.index(f"{side}_shoulder_yaw_joint")] = -sign * 1.2
    for _ in range(900):
        road.tick(target)
    road.assert_lawful()
    assert not road.gate.counts
    assert road.gate.slowed > 300
    assert road.gate.refused == road.gate.clamped == 0
    room = CLEARANCE.room(np.array(road.written)).min(axis=1)
    assert 0.0 <= room[-1] < 0.001
    acceleration = np.diff(np.array(road.written), 2, axis=0) / DT**2
    assert np.abs(np.diff(acceleration, axis=0)).max() / DT < LIMITS.jerk.max() * 1.5
    # Within the room, all that changes it goes at most as fast as the law says, but for the lag of the limiter.
    approach = -np.diff(room) / DT
    assert np.all(approach <= room[:-1] / APPROACH_S * 1.5 + 0.02)


def test_without_slowing_down_the_gate_refuses_and_names_the_parts() -> None:
    road = Road(slow=False)
    target = ZERO.copy()
    target[g1.OTHER.names.index("left_shoulder_roll_joint")] = -1.0
    verdicts = [road.tick(target) for _ in range(200)]
    road.assert_lawful()
    refused = [v for v in verdicts if v.refused]
    assert refused
    assert all(v.reason is Reason.COLLISION for v in refused)
    assert "left upper arm and torso" in refused[0].detail
    assert "expected 0.004" in refused[0].detail
    assert road.gate.refused == len(refused) == road.gate.counts[Reason.COLLISION]


def test_a_hand_stops_at_the_border_of_its_space() -> None:
    road = Road(slow=False)
    target = ZERO.copy()
    target[g1.OTHER.names.index("right_shoulder_pitch_joint")] = 2.0  # swings back
    target[g1.OTHER.names.index("right_shoulder_roll_joint")] = -0.6
    verdicts = [road.tick(target) for _ in range(600)]
    road.assert_lawful()
    reasons = {v.reason for v in verdicts if v.refused}
    assert reasons == {Reason.WORKSPACE}
    assert any("right hand and its back border" in v.detail for v in verdicts)


def test_who_came_too_close_may_leave() -> None:
    start = ZERO.copy()
    start[g1.OTHER.names.index("left_shoulder_roll_joint")] = -0.2
    road = Road(start=start)
    assert CLEARANCE.room(start[None]).min() < 0.0
    for _ in range(300):
        road.tick(ZERO)
    assert not road.gate.counts
    np.testing.assert_allclose(road.written[-1], ZERO, atol=1e-3)


def test_arms_that_stand_or_have_no_model_cost_nothing() -> None:
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked for")

    gate = Gate(LIMITS, DT, clearance=Untouchable())  # type: ignore[arg-type]
    gate.start(ZERO, weight=1.0)
    assert gate.slow(ZERO, STILL) is None
    assert gate.check(command(ZERO), 0.0, JointState(0.0, ZERO, STILL), Mode.MOVE, 0.0).reason is None
    free = Gate(LIMITS, DT)
    assert free.slow(ZERO, STILL + 1.0) is None
    assert free.slowed == 0


def test_far_from_everything_nothing_is_slowed() -> None:
    gate = Gate(LIMITS, DT, clearance=CLEARANCE)
    velocity = STILL.copy()
    velocity[g1.OTHER.names.index("left_shoulder_roll_joint")] = 0.5
    assert gate.slow(ZERO, velocity) is None
    assert gate.slowed == 0
    assert gate.slow(ZERO, STILL) is None
    share = gate.slow(ZERO, -velocity)
    assert share is not None
    assert share.min() < 0.4
    assert gate.slowed == 1


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=50)
def test_the_path_that_is_looked_at_is_the_one_that_the_brake_takes(seed) -> None:
    rng = np.random.default_rng(seed)
    q, v = rng.uniform(-1, 1, N), rng.uniform(-1.5, 1.5, N) * rng.integers(0, 2, N)
    steps, speed = [q], v
    while speed.any():
        speed = brake_velocity(speed, LIMITS.acceleration, DT)
        steps.append(steps[-1] + speed * DT)
    ticks = int(np.floor(np.abs(v) / (LIMITS.acceleration * DT)).max())
    for third, pose in enumerate(brake_path(q, v, LIMITS.acceleration, DT), 1):
        np.testing.assert_allclose(pose, steps[ticks * third // 3], atol=1e-12)
    np.testing.assert_allclose(pose, steps[-1], atol=1e-12)


# ---- the limiter's part ----


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_any_share_keeps_all_limits(seed) -> None:
    rng = np.random.default_rng(seed)
    limiter = Limiter(LIMITS, DT)
    limiter.reset(ZERO)
    rows = [(limiter.position, limiter.velocity, limiter.acceleration)]
    for tick in range(200):
        if tick % 20 == 0:
            target, velocity = rng.uniform(-4, 4, N), rng.uniform(-2, 2, N)
            share = np.where(rng.random(N) < 0.5, 1.0, rng.uniform(0.0, 1.0, N))
        limiter.track(target + velocity * DT * (tick % 20), velocity, share)
        rows.append((limiter.position, limiter.velocity, limiter.acceleration))
    q, v, a = np.array(rows).transpose(1, 0, 2)
    assert np.all((q >= LIMITS.lower - 1e-6) & (q <= LIMITS.upper + 1e-6))
    assert np.all(np.abs(v) <= LIMITS.velocity + 1e-6)
    assert np.all(np.abs(a) <= LIMITS.acceleration + 1e-6)
    assert np.all(np.abs(np.diff(a, axis=0)) <= LIMITS.jerk * DT * (1 + 1e-6) + 1e-6)
    assert limiter.faults == 0


def test_a_share_is_what_a_joint_ends_up_with() -> None:
    limiter = Limiter(LIMITS, DT)
    limiter.reset(ZERO)
    share = np.ones(N)
    share[0], share[1] = 0.25, 0.0
    for _ in range(100):
        heading = limiter.heading(ZERO + 10.0, STILL)
        limiter.track(ZERO + 10.0, STILL, share)
    np.testing.assert_allclose(heading[:14], 1.5)
    np.testing.assert_allclose(limiter.velocity[:3], [0.375, 0.0, 1.5], atol=1e-3)


def test_all_of_the_heading_is_no_change() -> None:
    one, other = Limiter(LIMITS, DT), Limiter(LIMITS, DT)
    for limiter, share in ((one, None), (other, np.ones(N))):
        limiter.reset(ZERO)
        for _ in range(100):
            limiter.track(ZERO + 0.3, STILL, share)
    np.testing.assert_array_equal(one.position, other.position)


def test_after_a_brake_the_limiter_goes_on_braking() -> None:
    """Taken on without acceleration it would run on further than the gate had looked."""
    limiter = Limiter(LIMITS, DT)
    velocity = np.where(np.arange(N) % 2, 1.2, -0.02)
    limiter.reset(ZERO + 0.3, velocity)
    for _ in range(60):
        before = np.abs(limiter.velocity)
        limiter.stop()
        assert np.all(np.abs(limiter.velocity) <= before + 1e-9)
    assert limiter.at_rest
    way = np.abs(limiter.position - (ZERO + 0.3))
    assert np.all(way <= velocity**2 / (2 * LIMITS.acceleration) + 0.012)
