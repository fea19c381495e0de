"""Who may move a group of joints: whose chunks count, how old a permit is, poses on request, giving up, shadow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_controller import ARMS, HEAD, MONO0, ROS0, Rig, both

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkFault
from sapave_ros.core.controller import ControllerConfig, JointController, Phase, permit_age_s
from sapave_ros.graph import PERMIT_STALE_AFTER_S
from sapave_ros.types import ActionChunk, JointState, Mode, Permit, Source


def permit(t: float, mode: Mode = Mode.MOVE, source: Source = Source.POLICY, sent_s: float | None = None) -> Permit:
    return Permit(MONO0 + t, 1, "STATE", "", mode, mode, source, source, MONO0 + t if sent_s is None else sent_s)


# ---- how old a permit is ----


@given(waited_s=st.floats(0.0, 100.0), delivered_s=st.floats(0.0, 1.0))
def test_a_permit_is_as_old_as_the_longer_of_its_two_ages(waited_s, delivered_s) -> None:
    """One that lay in the queue of a process that stood still came in as fresh, and moved the robot for 0.1 s."""
    made = dataclasses.replace(permit(0.0), sent_s=MONO0 - waited_s)
    assert permit_age_s(made, MONO0 + delivered_s) == pytest.approx(waited_s + delivered_s)


@pytest.mark.parametrize("sent_s", [np.nan, np.inf, -np.inf, MONO0 + 3600.0], ids=str)
def test_a_permit_of_another_clock_is_no_permit(sent_s) -> None:
    assert permit_age_s(permit(0.0, sent_s=sent_s), MONO0) > PERMIT_STALE_AFTER_S


@both
def test_a_permit_that_was_long_on_its_way_moves_nothing(kind) -> None:
    group, dt, shared = kind
    controller = JointController(group, dt, ControllerConfig(), shared)
    q = (group.lower + group.upper) / 2
    for i in range(100):
        t = i * dt
        old = permit(t, sent_s=MONO0 + t - 1.0)
        assert controller.tick(ROS0 + t, MONO0 + t, JointState(MONO0 + t, q, 0 * q), old) is None
    assert controller.phase is Phase.IDLE


# ---- whose chunks count ----


class TwoHands(Rig):
    """A rig whose permit names a source."""

    source = Source.POLICY

    def tick(self, n: int = 1):
        command = None
        for _ in range(n):
            self.t += self.dt
            state = JointState(MONO0 + self.t, self.q.copy(), np.zeros(len(self.q)))
            command = self.controller.tick(self.now, MONO0 + self.t, state, permit(self.t, self.mode, self.source))
            self.written.append(command)
            if command is not None and self.follows:
                self.q = command.positions.copy()
        return command


@both
def test_only_chunks_of_the_source_in_force_are_followed(kind) -> None:
    rig = TwoHands(kind).engage()
    for source, other in ((Source.POLICY, Source.TELEOP), (Source.TELEOP, Source.POLICY)):
        rig.source = source
        rig.tick(2)
        refusal = rig.controller.offer(rig.chunk(), rig.now, other)
        assert refusal is not None
        assert refusal.fault is ChunkFault.SOURCE
        before = rig.tick(10).positions
        np.testing.assert_array_equal(before, rig.tick(10).positions)
        assert rig.controller.offer(rig.chunk(increment=0.01), rig.now, source) is None
        assert np.abs(rig.run(0.5).positions - before).max() > 0.005


@both
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_changing_hands_in_full_motion_makes_no_step(kind, data) -> None:
    rig = TwoHands(kind).engage()
    for _ in range(6):
        rig.source = data.draw(st.sampled_from(Source))
        rig.tick(1)
        increment = data.draw(st.floats(-0.15, 0.15))
        rig.controller.offer(rig.chunk(increment=increment), rig.now, rig.source)
        rig.run(data.draw(st.floats(0.02, 0.4)))
    rig.assert_within_limits()


@both
def test_what_the_policy_saw_before_a_person_took_over_is_not_followed_after(kind) -> None:
    rig = TwoHands(kind).engage()
    stale = rig.chunk()
    rig.source = Source.TELEOP
    rig.run(0.2)
    rig.source = Source.POLICY
    rig.tick(1)
    refusal = rig.controller.offer(stale, rig.now)
    assert refusal is not None
    assert refusal.fault is ChunkFault.TOO_EARLY


def test_only_the_policy_is_held_to_what_it_was_trained_on() -> None:
    group, dt, shared = HEAD
    for source, refused in ((Source.POLICY, True), (Source.TELEOP, False)):
        rig = TwoHands(HEAD)
        rig.controller = JointController(group, dt, ControllerConfig(), shared, policy_rate=np.array([0.5, 0.5]))
        rig.engage()
        rig.source = source
        rig.tick(1)
        refusal = rig.controller.offer(rig.chunk(increment=0.06), rig.now, source)
        assert (refusal is not None and refusal.fault is ChunkFault.BOUND) is refused


# ---- poses on request ----


@pytest.mark.parametrize(("kind", "pose"), [(HEAD, g1.HEAD_HOME), (ARMS, g1.ARMS_HOME), (ARMS, g1.ARMS_REST)])
def test_a_pose_is_reached_slowly_and_exactly(kind, pose) -> None:
    rig = Rig(kind).engage()
    assert rig.controller.go_to(pose, rig.now + rig.dt) == ""  # asked as the loop asks: at the time of the coming tick
    rig.run(8.0)
    columns = [rig.group.names.index(name) for name in pose]
    np.testing.assert_allclose(rig.q[columns], list(pose.values()), atol=2e-3)
    assert np.abs(np.diff(rig.positions(), axis=0)).max() / rig.dt < 0.6
    rig.assert_within_limits()
    others = [i for i in range(len(rig.q)) if i not in columns]
    np.testing.assert_array_equal(rig.positions()[-1][others], rig.positions()[0][others])


def test_in_shadow_a_pose_is_what_would_come_next_from_here() -> None:
    """Somebody else has the joints, and the commands have gone another way than they."""
    rig = Rig(HEAD, follows=False)
    rig.controller.shadow = True
    rig.engage()
    here = rig.q.copy()
    assert rig.offer(increment=0.02, steps=10) is None
    rig.run(1.5)
    assert np.abs(rig.positions()[-1] - here).max() > 0.1
    assert rig.controller.go_to(g1.HEAD_HOME, rig.now + rig.dt) == ""
    rig.run(4.0)
    np.testing.assert_allclose(rig.positions()[-1], list(g1.HEAD_HOME.values()), atol=2e-3)


@both
def test_a_pose_needs_permission_and_ends_with_it(kind) -> None:
    pose = {kind[0].names[0]: float(kind[0].upper[0])}
    rig = Rig(kind)
    assert "permit" in rig.controller.go_to(pose, rig.now)
    rig.engage()
    assert rig.controller.go_to(pose, rig.now + rig.dt) == ""
    rig.run(0.5)
    refusal = rig.offer()
    assert refusal is not None
    assert refusal.fault is ChunkFault.SOURCE  # the policy waits for the pose
    rig.mode = Mode.HOLD
    stopped = rig.run(0.5).positions
    rig.mode = Mode.MOVE
    np.testing.assert_allclose(rig.run(1.0).positions, stopped, atol=1e-9)


# ---- giving up at once ----


@pytest.mark.parametrize("mode", [Mode.MOVE, Mode.HOLD, Mode.RELEASE])
def test_a_falling_robot_has_its_arms_back_within_a_third_of_a_second(mode) -> None:
    rig = Rig(ARMS).engage()
    rig.mode = mode
    rig.offer()
    rig.run(0.2)
    rig.controller.give_up()
    rig.run(0.33)
    weights = [c.weight for c in rig.written if c is not None]
    assert weights[-1] == 0.0
    rig.run(1.0)
    assert rig.controller.phase is Phase.IDLE  # not taken again under the old permission
    assert np.abs(np.diff(weights)).max() <= 4.0 * rig.dt  # no limb is dropped at once
    rig.assert_within_limits()
    rig.mode = Mode.HOLD
    rig.tick(1)
    rig.mode = Mode.MOVE
    rig.engage()


# ---- shadow ----


@both
def test_in_shadow_each_chunk_begins_where_the_joints_really_are(kind) -> None:
    group, dt, shared = kind
    rig = Rig(kind, follows=False)
    rig.controller = JointController(group, dt, ControllerConfig(), shared, shadow=True)
    rig.engage()
    real = rig.q.copy()
    rows = np.full((10, len(group)), 0.03)
    for _ in range(12):  # a robot that never moves, and a policy that keeps asking
        assert rig.controller.offer(ActionChunk(rig.now, 0.1, group.names, rows), rig.now) is None
        rig.run(0.3)
    ahead = rig.positions()[-1] - real
    assert not rig.controller.gate.counts  # the same gate, and nothing to object to
    assert 0.05 < ahead.min() <= ahead.max() < 0.35  # what comes next from here, not the sum of all that was asked
    rig.assert_within_limits()
