"""The arm controller in lockstep with the simulated body: what gravity asks for, and where a chunk arrives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.core.arm import HANDS_EXTRA_AGE_S, ArmController, body_fault, measured_joints
from sapave_ros.core.controller import ControllerConfig, Phase
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.unitree_face import MotorCommand, blend
from sapave_ros.sim.world import OWN_KD, OWN_KP, World
from sapave_ros.types import ActionChunk, BodyState, JointState, Mode, Permit

MOTORS = np.array([j.motor for j in g1.ARMS.joints])
DT_S, T0 = 0.004, 1_700_000_000.0


def body_state(world: World, at_s: float) -> BodyState:
    return BodyState(
        at_s,
        int(at_s * 1e3),
        5,
        0,
        world.motor_positions,
        world.motor_velocities,
        world.motor_torques,
        np.ones(29, np.uint8),
        np.zeros(29, np.uint32),
        np.zeros((29, 2), np.int16),
        world.imu_quaternion,
        bytes(40),
    )


class Body:
    """The simulated body with the robot's own controller holding the pose it starts in."""

    def __init__(self) -> None:
        self.world = World()
        q = np.clip(np.zeros(26), g1.OTHER.lower, g1.OTHER.upper)
        q[[0, 7]], q[[1, 8]] = 0.2, (0.25, -0.25)
        self.world.set_positions(g1.OTHER, q)
        own = self.world.motor_positions
        self.own = MotorCommand(own, np.zeros(29), np.zeros(29), OWN_KP, OWN_KD)
        self.controller = ArmController(ControllerConfig(), Kinematics.from_urdf())
        self.t, self.mode = 0.0, Mode.MOVE
        self.sent: list = []

    def run(self, seconds: float) -> None:
        world, n = self.world, 29
        for _ in range(round(seconds / DT_S)):
            self.t += DT_S
            hands = JointState(self.t, world.positions(g1.HANDS), world.velocities(g1.HANDS))
            permit = Permit(self.t, 1, "ACTIVE", "", self.mode, self.mode, sent_s=self.t)
            setpoint = self.controller.tick(T0 + self.t, self.t, body_state(world, self.t), hands, permit)
            self.sent.append(setpoint)
            command = self.own
            if setpoint is not None:
                fields = {f: np.zeros(n) for f in ("q", "dq", "tau", "kp", "kd")}
                for name, value in zip(
                    fields,
                    (setpoint.positions, setpoint.velocities, setpoint.torques, setpoint.kp, setpoint.kd),
                    strict=True,
                ):
                    fields[name][:] = getattr(self.own, name)  # the waist stays with the robot
                    fields[name][MOTORS] = value
                command = blend(self.own, MotorCommand(**fields), setpoint.weight)
                if setpoint.hands is not None:
                    world.set_hand_targets(setpoint.hands)
            world.set_motor_targets(command.q, command.dq, command.tau, command.kp, command.kd)
            world.step(round(DT_S / TIMESTEP_S))

    @property
    def q(self) -> np.ndarray:
        return self.world.positions(g1.OTHER)


@pytest.fixture
def body():
    made = Body()
    yield made
    made.world.close()


def test_a_chunk_arrives_within_20_mrad_against_gravity(body) -> None:
    body.run(1.2)
    controller = body.controller.controller
    assert controller.phase is Phase.ACTIVE
    start = body.q
    increments = np.zeros((20, 26))
    increments[:, :7] = (-0.03, 0.02, 0.01, -0.02, 0.01, 0.01, -0.01)  # raises the left arm
    increments[:, 7:14] = (-0.04, -0.02, -0.01, 0.01, -0.01, 0.01, 0.01)
    increments[:, 14:] = 0.01
    chunk = ActionChunk(T0 + body.t, 0.1, g1.OTHER.names, increments)
    assert controller.offer(chunk, T0 + body.t) is None
    body.run(3.5)
    wanted = start + increments.sum(axis=0)
    np.testing.assert_allclose(body.q[:14], wanted[:14], atol=0.02)
    np.testing.assert_allclose(body.q[14:], wanted[14:], atol=0.05)
    assert not controller.gate.counts


def test_taking_control_and_handing_back_hardly_move_the_arms(body) -> None:
    body.mode = Mode.HOLD  # first the robot's own controller finds its pose
    body.run(1.0)
    assert set(body.sent) == {None}
    start = body.q[:14]
    body.mode = Mode.MOVE
    body.run(1.5)
    assert np.abs(body.q[:14] - start).max() < 0.03  # they lose the sag of the robot's own controller, no more
    body.mode = Mode.RELEASE
    body.run(2.5)
    assert body.controller.controller.phase is Phase.IDLE
    assert body.sent[-1] is None
    body.run(1.0)
    np.testing.assert_allclose(body.q[:14], start, atol=0.01)


def test_feed_forward_rises_and_falls_with_authority(body) -> None:
    body.run(1.2)
    torques = np.array([s.torques for s in body.sent])
    np.testing.assert_array_equal(torques[0], 0.0)
    assert np.abs(np.diff(torques, axis=0)).max() < 0.2  # no step
    assert np.abs(torques[-1]).max() > 1.0
    body.mode = Mode.DAMP
    body.run(0.7)
    np.testing.assert_array_equal(body.sent[-1].torques, 0.0)
    np.testing.assert_array_equal(body.sent[-1].kp, 0.0)
    np.testing.assert_array_equal(body.sent[-1].kd, g1.ARMS.column("kd"))


def test_hands_are_commanded_at_most_100_times_a_second(body) -> None:
    body.run(1.0)
    with_hands = sum(s.hands is not None for s in body.sent)
    assert 70 <= with_hands <= 100


def test_an_imu_that_has_not_started_gives_no_feed_forward(body) -> None:
    state = replace(body_state(body.world, 0.004), imu_quaternion=np.zeros(4))
    hands = JointState(0.004, body.world.positions(g1.HANDS), np.zeros(12))
    permit = Permit(0.004, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=0.004)
    setpoint = body.controller.tick(T0, 0.004, state, hands, permit)
    assert setpoint is not None
    np.testing.assert_array_equal(setpoint.torques, 0.0)


@pytest.mark.parametrize("mode_machine", [4, 10, 1, 9, 255])
def test_a_robot_with_other_arms_is_refused(body, mode_machine) -> None:
    state = replace(body_state(body.world, 0.0), mode_machine=mode_machine)
    assert f"mode_machine = {mode_machine}" in body_fault(state)
    hands = JointState(0.0, np.zeros(12), np.zeros(12))
    permit = Permit(0.0, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=0.0)
    assert body.controller.tick(T0, 0.0, state, hands, permit) is None


@pytest.mark.parametrize("joint", range(14))
def test_an_absent_motor_is_named(body, joint) -> None:
    state = body_state(body.world, 0.0)
    state.motor_mode[MOTORS[joint]] = 0
    assert g1.ARMS.names[joint] in body_fault(state)


@pytest.mark.parametrize("motor", [0, 12, 14, 20])
def test_a_body_whose_joints_are_not_known_is_not_taken(body, motor) -> None:
    state = body_state(body.world, 0.0)
    state.positions[motor] = np.nan
    assert g1.MOTOR_NAMES[motor] in body_fault(state)
    hands = JointState(0.0, np.zeros(12), np.zeros(12))
    permit = Permit(0.0, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=0.0)
    assert body.controller.tick(T0, 0.0, state, hands, permit) is None


def test_measured_joints_are_as_old_as_the_older_bus(body) -> None:
    state = body_state(body.world, 10.0)
    hands = JointState(9.99, np.arange(12.0), np.zeros(12))
    assert measured_joints(None, hands) is None
    assert measured_joints(state, None) is None
    both = measured_joints(state, hands)
    assert both is not None
    assert both.received_s == 10.0  # hands may be a little older
    np.testing.assert_array_equal(both.positions, np.concatenate([state.positions[MOTORS], hands.positions]))
    late = measured_joints(state, replace(hands, received_s=9.0))
    assert late is not None
    assert late.received_s == pytest.approx(9.0 + HANDS_EXTRA_AGE_S)
