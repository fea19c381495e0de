"""The road as a whole, on injected time: no motion without permission, ramps in and out, holds within limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkFault
from sapave_ros.core.controller import ControllerConfig, JointController, Phase, in_order
from sapave_ros.core.gate import Reason
from sapave_ros.types import ActionChunk, JointState, Mode, Permit

ROS0, MONO0 = 1_700_000_000.0, 5_000.0
HEAD, ARMS = (g1.HEAD, 0.01, False), (g1.OTHER, 0.004, True)
both = pytest.mark.parametrize("kind", [HEAD, ARMS], ids=["head", "arms"])


class Rig:
    """A controller, its clock and ideal joints that are where they are told (where `follows`)."""

    def __init__(self, kind, config: ControllerConfig | None = None, start=None, follows: bool = True) -> None:
        self.group, self.dt, self.shared = kind
        self.controller = JointController(self.group, self.dt, config or ControllerConfig(), self.shared)
        self.q = (self.group.lower + self.group.upper) / 2 if start is None else np.array(start, dtype=float)
        self.follows, self.t = follows, 0.0
        self.mode: Mode | None = Mode.MOVE
        self.permit_at = self.state_at = 0.0
        self.permit_flows = self.state_flows = True
        self.blind = False
        self.written: list = []

    @property
    def now(self) -> float:
        return ROS0 + self.t

    def tick(self, n: int = 1):
        command = None
        for _ in range(n):
            self.t += self.dt
            self.permit_at = self.t if self.permit_flows else self.permit_at
            self.state_at = self.t if self.state_flows else self.state_at
            permit = None
            if self.mode is not None:
                permit = Permit(
                    MONO0 + self.permit_at, 1, "STATE", "because", self.mode, self.mode, sent_s=MONO0 + self.permit_at
                )
            seen = np.full(len(self.q), np.nan) if self.blind else self.q.copy()
            state = JointState(MONO0 + self.state_at, seen, np.zeros(len(self.q)))
            command = self.controller.tick(self.now, MONO0 + self.t, state, permit)
            self.written.append(command)
            if command is not None and self.follows:
                self.q = command.positions.copy()
        return command

    def run(self, seconds: float):
        return self.tick(round(seconds / self.dt))

    def engage(self) -> Rig:
        self.run(1.1)
        assert self.controller.phase is Phase.ACTIVE
        assert not self.controller.holding
        return self

    def chunk(self, increment=0.02, steps=8, dt_s=0.1, stamp=None, names=None) -> ActionChunk:
        names = names or self.group.names
        rows = np.full((steps, len(names)), increment)
        return ActionChunk(self.now if stamp is None else stamp, dt_s, tuple(names), rows)

    def offer(self, **how):
        return self.controller.offer(self.chunk(**how), self.now)

    def positions(self) -> np.ndarray:
        return np.array([c.positions for c in self.written if c is not None])

    def assert_within_limits(self) -> None:
        q, limits = self.positions(), self.controller.gate.limits
        v = np.diff(q, axis=0) / self.dt
        assert np.isfinite(q).all()
        assert np.all(np.abs(v) <= limits.velocity * 1.02 + 1e-9)
        assert np.all(np.abs(np.diff(v, axis=0)) <= limits.acceleration * self.dt * 1.02 + 1e-6)


NO_PERMISSION = {
    "no permit": lambda rig: setattr(rig, "mode", None),
    "hold": lambda rig: setattr(rig, "mode", Mode.HOLD),
    "release": lambda rig: setattr(rig, "mode", Mode.RELEASE),
    "damp": lambda rig: setattr(rig, "mode", Mode.DAMP),
    "permit stale": lambda rig: setattr(rig, "permit_flows", False),
}


@both
@pytest.mark.parametrize("case", NO_PERMISSION)
def test_nothing_is_written_before_permission(kind, case) -> None:
    rig = Rig(kind)
    rig.t = 10.0
    NO_PERMISSION[case](rig)
    for _ in range(20):
        assert rig.tick(5) is None
        refusal = rig.offer()
        assert refusal is not None
        assert refusal.fault is ChunkFault.NOT_MOVING
    assert rig.controller.phase is Phase.IDLE


@both
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda rig: setattr(rig, "state_flows", False), "old"),
        (lambda rig: rig.q.__setitem__(0, np.nan), "finite"),
        (lambda rig: setattr(rig, "q", np.zeros(3)), "expected"),
        (lambda rig: rig.q.__setitem__(1, rig.group.upper[1] + 0.2), "measured at"),
    ],
    ids=["stale", "nan", "shape", "far outside"],
)
def test_no_control_is_taken_of_joints_that_are_not_known(kind, spoil, says) -> None:
    rig = Rig(kind)
    rig.t = 10.0
    spoil(rig)
    assert rig.tick(100) is None
    assert says in rig.controller.holding


@both
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_taking_control_moves_nothing(kind, seed) -> None:
    rng = np.random.default_rng(seed)
    group = kind[0]
    start = rng.uniform(group.lower - 0.05, group.upper + 0.05)  # hands rest on their stops, beyond the margin
    rig = Rig(kind, start=start, follows=False)
    rig.run(1.5)
    seed_of = np.clip(start, group.lower - 0.009, group.upper + 0.009)  # never beyond the mechanical range
    np.testing.assert_allclose(rig.positions()[0], seed_of, atol=1e-12)
    assert np.all(rig.positions() == rig.positions()[0])
    assert rig.controller.phase is Phase.ACTIVE
    assert not rig.controller.gate.counts


def test_weight_rises_smoothly_from_zero_and_chunks_wait_for_it() -> None:
    rig = Rig(ARMS)
    first = rig.tick()
    assert first is not None
    assert first.weight == 0.0
    while rig.controller.phase is Phase.ENGAGING:
        refusal = rig.offer()
        assert refusal is not None
        assert refusal.fault is ChunkFault.NOT_MOVING
        rig.tick()
    weights = np.array([c.weight for c in rig.written])
    assert weights[-1] == 1.0
    assert np.all(np.diff(weights) >= 0)
    assert np.diff(weights).max() < 2.1 * rig.dt / 1.0
    assert len(weights) * rig.dt == pytest.approx(1.0, abs=0.02)
    assert rig.offer(stamp=rig.now - 0.05).fault is ChunkFault.TOO_EARLY  # type: ignore[union-attr]
    rig.tick()
    assert rig.offer() is None


@pytest.mark.parametrize("joint", [0, 3, 13])
@pytest.mark.parametrize("hold_first", [False, True], ids=["while taken", "after a hold"])
def test_arms_that_move_while_they_are_taken_are_not_pulled_back(joint, hold_first) -> None:
    """The robot's own controller, or a person, moves an arm while the weight rises, or in a hold before it has
    risen: it went on rising, and pulled the arm to where it had been."""
    rig = Rig(ARMS, follows=False)
    rig.run(0.5)
    assert rig.controller.phase is Phase.ENGAGING
    if hold_first:
        rig.mode = Mode.HOLD
        rig.run(1.0)
    before = rig.controller.weight
    assert 0.0 < before < 0.5
    rig.q[joint] += rig.group.joints[joint].max_tracking_error + 0.01
    rig.mode = Mode.MOVE
    rig.run(0.1)
    assert rig.controller.phase is Phase.RELEASING
    assert rig.controller.weight < before
    assert rig.group.names[joint] in rig.controller.last_verdict_detail
    rig.run(3.0)  # handed back, and taken again from where they are now
    assert rig.controller.phase is Phase.ACTIVE
    np.testing.assert_array_equal(rig.positions()[-1], rig.q)


def test_head_has_no_weight_to_ramp() -> None:
    rig = Rig(HEAD)
    command = rig.tick()
    assert command is not None
    assert command.weight == 1.0
    assert rig.controller.phase is Phase.ACTIVE


def permit(sequence: int, mode: Mode) -> Permit:
    return Permit(MONO0, sequence, "STATE", "because", mode, mode, sent_s=MONO0)


@pytest.mark.parametrize(("before", "sequence"), [(None, -1), (7, 7), (7, 6), (7, 0), (7, -1)])
def test_a_permit_out_of_order_moves_nothing_and_drops_nothing(before, sequence) -> None:
    """An old permit that is sent again counted as fresh."""
    last = None if before is None else permit(before, Mode.HOLD)
    for mode in Mode:
        counts = in_order(last, permit(sequence, mode))
        assert counts.mode_head is counts.mode_arms is (Mode.DAMP if mode is Mode.DAMP else Mode.HOLD)
        assert f"permit {sequence} after" in counts.reason
        # A watchdog that started anew is obeyed from its second permit on.
        assert in_order(counts, permit(sequence + 1, mode)).mode_arms is mode


@pytest.mark.parametrize(("before", "sequence"), [(None, 0), (None, 900), (7, 8), (7, 80)])
def test_permits_in_order_count_as_they_are(before, sequence) -> None:
    last = None if before is None else permit(before, Mode.HOLD)
    for mode in Mode:
        assert in_order(last, permit(sequence, mode)) == permit(sequence, mode)


@both
def test_a_chunk_arrives_where_its_increments_add_up(kind) -> None:
    rig = Rig(kind).engage()
    start = rig.q.copy()
    assert rig.offer(increment=-0.02, steps=10) is None
    rig.run(2.0)
    np.testing.assert_allclose(rig.q, np.maximum(start - 0.2, rig.group.lower), atol=1e-3)
    rig.assert_within_limits()
    assert not rig.controller.gate.counts


@both
@pytest.mark.parametrize("latency_s", [0.03, 0.1, 0.2, 0.4])
def test_chunks_at_policy_rate_make_one_smooth_motion(kind, latency_s) -> None:
    """Late chunks and their blending are a feedback loop: with a blend as short as the latency it oscillates."""
    rig = Rig(kind).engage()
    start, pictures = rig.q.copy(), []
    for i in range(round(3.0 / rig.dt)):
        if i % round(0.12 / rig.dt) == 0:
            pictures.append(rig.now)
        if pictures and rig.now - pictures[0] >= latency_s - 1e-6:
            assert rig.offer(increment=0.003, steps=24, dt_s=1 / 30, stamp=pictures.pop(0)) is None
        rig.tick()
    rig.assert_within_limits()
    assert np.all(rig.q - start > 0.15)
    # Starting from rest takes what the limits give; changing from chunk to chunk does not.
    jerk = np.diff(rig.positions()[-round(1.5 / rig.dt) :, :14], n=3, axis=0) / rig.dt**3
    assert np.abs(jerk).max() < 0.1 * rig.controller.gate.limits.jerk.max()


@both
@pytest.mark.parametrize("dt_s", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("latency_s", [0.01, 0.06, 0.13])
def test_a_motion_in_coarse_chunks_is_followed_without_stop_and_go(kind, latency_s, dt_s) -> None:
    """Each chunk tells mean speeds of its steps, so that one after the other begins with another speed."""
    omega, amplitude = 2.0, 0.15
    rig = Rig(kind).engage()

    def way(t: np.ndarray) -> np.ndarray:
        return amplitude * (1.0 - np.cos(omega * np.maximum(t, 0.0)))

    start, begin, pictures = rig.q.copy(), rig.now, []
    for i in range(round(5.0 / rig.dt)):
        if i % round(0.13 / rig.dt) == 0:
            pictures.append(rig.now)
        if pictures and rig.now - pictures[0] >= latency_s - 1e-6:
            stamp = pictures.pop(0)
            ends = stamp - begin + dt_s * np.arange(round(2.0 / dt_s) + 1)
            increments = np.diff(way(ends))[:, None] * np.where(start < 0.0, 1.0, -1.0)
            chunk = ActionChunk(stamp, dt_s, rig.group.names, increments)
            assert rig.controller.offer(chunk, rig.now) is None
        rig.tick()
    rig.assert_within_limits()
    limits = rig.controller.gate.limits
    free = np.minimum(start - limits.lower, limits.upper - start) > 0.4  # others are stopped by their range
    speed = np.diff(rig.positions()[:, free], axis=0)[-round(np.pi / rig.dt) :] / rig.dt  # one period
    jerk = np.diff(speed, n=2, axis=0) / rig.dt**2
    turns = (np.diff(np.sign(speed), axis=0) != 0).sum(axis=0)
    assert np.abs(speed).max() < 1.3 * amplitude * omega
    assert np.sqrt(np.mean(jerk**2)) < 12 * amplitude * omega**3
    assert turns.max() <= 2


def test_tighter_limits_stretch_a_chunk_instead_of_refusing_it() -> None:
    rig = Rig(HEAD, ControllerConfig(limit_scale=0.1)).engage()
    start = rig.q.copy()
    assert rig.offer(increment=0.05, steps=8) is None
    rig.run(0.8)
    assert np.all(rig.q - start < 0.1 * 1.5 * 0.8)
    rig.run(4.0)
    np.testing.assert_allclose(rig.q, start + 0.4, atol=1e-3)
    v = np.diff(rig.positions(), axis=0) / rig.dt
    assert np.abs(v).max() <= 0.15 * 1.01


STOPS = {
    "hold": lambda rig: setattr(rig, "mode", Mode.HOLD),
    "permit stale": lambda rig: setattr(rig, "permit_flows", False),
    "permit gone": lambda rig: setattr(rig, "mode", None),
    "state stale": lambda rig: setattr(rig, "state_flows", False),
    "state nonsense": lambda rig: setattr(rig, "blind", True),
}


@both
@pytest.mark.parametrize("case", STOPS)
def test_motion_ends_within_limits_and_resumes_only_with_newer_pictures(kind, case) -> None:
    rig = Rig(kind).engage()
    rig.offer(increment=0.05, steps=8)
    rig.run(0.3)
    speed = np.abs(rig.controller.limiter.velocity).max()
    assert speed > 0.3
    STOPS[case](rig)
    rig.run(0.1 + rig.controller.gate.limits.stop_within_s)  # staleness plus a full stop
    assert rig.controller.limiter.at_rest
    assert rig.controller.holding
    frozen = rig.positions()[-1]
    assert rig.offer().fault is ChunkFault.NOT_MOVING  # type: ignore[union-attr]
    rig.run(1.0)
    np.testing.assert_array_equal(rig.positions()[-1], frozen)
    assert rig.controller.weight == 1.0  # a stall drops nobody's arms
    old = rig.now
    rig.mode, rig.permit_flows, rig.state_flows, rig.blind = Mode.MOVE, True, True, False
    rig.tick()
    assert not rig.controller.holding
    rig.run(0.05)
    np.testing.assert_array_equal(rig.positions()[-1], frozen)
    assert rig.offer(stamp=old - 0.01).fault is ChunkFault.TOO_EARLY  # type: ignore[union-attr]
    assert rig.offer(increment=-0.01) is None
    rig.run(1.2)
    np.testing.assert_allclose(rig.positions()[-1], np.maximum(frozen - 0.08, rig.group.lower), atol=2e-3)
    rig.assert_within_limits()
    assert not rig.controller.gate.counts  # the controller did all of it by itself


@both
@pytest.mark.parametrize("which", ["permit", "state"])
def test_an_age_by_another_clock_is_no_age(kind, which) -> None:
    """Wall clock instead of the monotonic one: received ages from now, such a permit or state was fresh for ever."""
    rig = Rig(kind)
    at = MONO0 + (ROS0 if which == "permit" else 0.0), MONO0 + (ROS0 if which == "state" else 0.0)
    for t in np.arange(1, 20) * rig.dt:
        permit = Permit(at[0], 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=at[0])
        assert rig.controller.tick(ROS0 + t, MONO0 + t, JointState(at[1], rig.q, 0 * rig.q), permit) is None
    assert rig.controller.phase is Phase.IDLE


def test_release_hands_back_over_two_seconds_without_moving() -> None:
    rig = Rig(ARMS).engage()
    rig.offer(increment=0.05)
    rig.run(0.3)
    before = len(rig.written)
    rig.mode = Mode.RELEASE
    rig.run(1.0)
    assert rig.controller.phase is Phase.RELEASING
    rig.mode = Mode.MOVE  # a release always completes
    rig.run(0.9)
    assert rig.controller.phase is Phase.RELEASING
    rig.mode = Mode.RELEASE
    rig.run(0.3)
    assert rig.controller.phase is Phase.IDLE
    assert rig.tick() is None
    commands = [c for c in rig.written[before:] if c is not None]
    weights = np.array([c.weight for c in commands])
    assert weights[-1] == 0.0
    assert np.abs(np.diff(weights)).max() < rig.dt / 2.0 * 1.01
    assert len(weights) * rig.dt == pytest.approx(2.0, abs=0.05)
    np.testing.assert_array_equal(commands[-1].positions, commands[200].positions)
    rig.assert_within_limits()


@pytest.mark.parametrize("blind", [False, True])
def test_release_completes_without_watchdog_and_without_state(blind) -> None:
    rig = Rig(ARMS).engage()
    rig.permit_flows = rig.state_flows = not blind
    rig.controller.release()
    rig.run(2.2)
    assert rig.controller.phase is Phase.IDLE
    rig.mode = Mode.MOVE
    assert rig.tick(50) is None  # for good


@pytest.mark.parametrize("mode", [Mode.RELEASE, Mode.DAMP])
def test_handing_back_completes_whatever_the_gate_refuses(mode) -> None:
    """A refused command was replaced by one of the old weight, so with feed-forward torques that were no numbers
    the weight never fell: the arms stayed stiff through an emergency stop."""
    rig = Rig(ARMS).engage()
    for i in range(1, 800):
        t = rig.t + i * rig.dt
        permit = Permit(MONO0 + t, 1, "STATE", "", mode, mode, sent_s=MONO0 + t)
        state = JointState(MONO0 + t, rig.q, np.zeros(len(rig.q)))
        rig.written.append(rig.controller.tick(ROS0 + t, MONO0 + t, state, permit, torques=np.full(len(rig.q), np.nan)))
    assert rig.controller.phase is Phase.IDLE
    commands = [c for c in rig.written if c is not None]
    assert commands[-1].weight == 0.0
    assert all(np.isfinite(c.torques).all() for c in commands)
    assert np.abs(np.diff([c.weight for c in commands])).max() < 0.02


def test_control_comes_back_from_where_the_arms_are_then() -> None:
    rig = Rig(ARMS).engage()
    rig.mode = Mode.RELEASE
    rig.run(2.2)
    rig.q = rig.q + 0.1  # the robot's own controller moved them
    rig.mode = Mode.MOVE
    first = rig.tick()
    assert first is not None
    assert first.weight == 0.0
    np.testing.assert_array_equal(first.positions, rig.q)


def test_damp_gives_way_then_hands_back() -> None:
    rig = Rig(ARMS).engage()
    rig.offer(increment=0.05)
    rig.run(0.3)
    before = len(rig.written)
    rig.mode = Mode.DAMP
    rig.run(0.6)
    assert rig.controller.stiffness == 0.0
    rig.mode = Mode.MOVE  # it is too late for that
    rig.run(2.2)
    end = rig.written.index(None, before)
    commands = rig.written[before:end]
    stiffness, weights = np.array([c.stiffness for c in commands]), np.array([c.weight for c in commands])
    assert np.argmax(stiffness == 0.0) * rig.dt == pytest.approx(0.5, abs=0.05)
    assert np.all(weights[stiffness > 0.0] == 1.0)  # first soft, then handed back
    assert weights[-1] == 0.0
    rig.assert_within_limits()


@pytest.mark.parametrize("mode", [Mode.RELEASE, Mode.DAMP, Mode.HOLD])
def test_head_keeps_its_torque_and_stands_still(mode) -> None:
    rig = Rig(HEAD).engage()
    rig.mode = mode
    command = rig.run(3.0)
    assert command is not None
    assert (command.weight, command.stiffness) == (1.0, 1.0)
    assert rig.controller.phase is Phase.ACTIVE


@pytest.mark.parametrize("joint", range(14))  # a finger that grasps stays short of its command by design
def test_blocked_joint_stops_the_arms_short(joint) -> None:
    rig = Rig(ARMS, follows=False).engage()
    start = rig.q.copy()
    for _ in range(4):
        rig.offer(increment=0.1, steps=10, names=[rig.group.names[joint]])
        rig.run(0.5)
    assert rig.controller.gate.counts[Reason.TRACKING]
    bound = rig.group.joints[joint].max_tracking_error
    overrun = 1.5**2 / (2 * 15.0) + 1.5 * rig.dt
    assert rig.positions()[-1][joint] - start[joint] < bound + overrun
    assert rig.group.names[joint] in rig.controller.last_verdict_detail
    rig.assert_within_limits()


@both
@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, 0.2, 3600.0])
def test_a_clock_that_is_set_drops_chunks_and_moves_nothing_by_itself(kind, jump_s) -> None:
    rig = Rig(kind).engage()
    rig.offer(increment=0.03, steps=20)
    rig.run(0.4)
    mono = rig.t
    for i in range(1, 200):
        t = mono + i * rig.dt
        permit = Permit(MONO0 + t, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=MONO0 + t)
        command = rig.controller.tick(
            ROS0 + t + jump_s, MONO0 + t, JointState(MONO0 + t, rig.q, np.zeros(len(rig.q))), permit
        )
        rig.written.append(command)
        rig.q = command.positions.copy()
    assert rig.controller.limiter.at_rest
    assert "jumped" in rig.controller.last_verdict_detail
    rig.assert_within_limits()
    rig.t = t + jump_s
    assert rig.controller.offer(rig.chunk(), rig.now) is None


@both
def test_torques_that_are_not_numbers_never_reach_the_motors(kind) -> None:
    rig = Rig(kind).engage()
    permit = Permit(MONO0 + rig.t, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=MONO0 + rig.t)
    state = JointState(MONO0 + rig.t, rig.q, np.zeros(len(rig.q)))
    command = rig.controller.tick(
        rig.now + rig.dt, MONO0 + rig.t + rig.dt, state, permit, torques=np.full(len(rig.q), np.nan)
    )
    assert command is not None
    assert np.isfinite(command.torques).all()
    assert rig.controller.gate.counts[Reason.NOT_FINITE] == 1


@pytest.mark.parametrize("kind", [HEAD, ARMS], ids=["head", "arms"])
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_any_course_of_events_keeps_the_limits(kind, seed) -> None:
    rng = np.random.default_rng(seed)
    rig = Rig(kind, follows=bool(rng.random() < 0.8)).engage()
    for _ in range(25):
        rig.mode = rng.choice([Mode.MOVE, Mode.MOVE, Mode.MOVE, Mode.HOLD, Mode.RELEASE, Mode.DAMP])
        rig.permit_flows, rig.state_flows = rng.random() < 0.9, rng.random() < 0.9
        names = list(rng.permutation(rig.group.names)[: rng.integers(1, len(rig.group) + 1)])
        chunk = rig.chunk(steps=int(rng.integers(1, 16)), dt_s=rng.uniform(0.02, 0.2), names=names)
        wild = rng.uniform(-1, 1, chunk.increments.shape) * 2.0 * chunk.dt_s
        before = len(rig.written)
        rig.controller.offer(ActionChunk(chunk.stamp_s, chunk.dt_s, chunk.joint_names, wild), rig.now)
        rig.tick(int(rng.integers(1, 60)))
        if not rig.shared and None in rig.written[before:]:
            pytest.fail("the head let go")
    # Pieces between two times of control; each begins where the joints were.
    limits = rig.controller.gate.limits
    for one, two, three in zip(rig.written, rig.written[1:], rig.written[2:], strict=False):
        if one is None or two is None or three is None or three.weight == 0.0 or two.weight == 0.0:
            continue
        v0, v1 = (two.positions - one.positions) / rig.dt, (three.positions - two.positions) / rig.dt
        assert np.all(np.abs(v1) <= limits.velocity * 1.02 + 1e-9)
        hard = np.abs(v1 - v0) > limits.acceleration * rig.dt * 1.02 + 1e-6
        at_edge = (three.positions <= limits.lower + 1e-9) | (three.positions >= limits.upper - 1e-9)
        assert not np.any(hard & ~at_edge)
        assert np.all(three.positions >= limits.lower - 1e-9)
        assert np.all(three.positions <= limits.upper + 1e-9)
