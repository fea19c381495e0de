"""The stand-in robot's tick, clock and truth, without threads, DDS or a pty."""

from dataclasses import asdict

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers.shared_ring import RingError
from sapave_ros.sim.body import HAND_STATE_EVERY, Body
from sapave_ros.sim.main import RESYNC_AFTER_S, Pace
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.truth import Truth, TruthReader, TruthWriter
from sapave_ros.sim.unitree_face import ArmCommand
from sapave_ros.sim.world import World

ELBOW = g1.MOTOR_NAMES.index("left_elbow_joint")
KNEE = g1.MOTOR_NAMES.index("left_knee_joint")


class Limbs:
    def __init__(self):
        self.arm = self.hands = None
        self.states, self.hand_states = [], []

    def poll(self, now_s):
        pass

    def publish(self, tick_ms, positions, velocities, torques, imu_quaternion, gyroscope, accelerometer):
        for value in (positions, velocities, torques):
            assert value.shape == (29,)
        self.states.append((tick_ms, positions))

    def publish_hands(self, q):
        self.hand_states.append(q)


class Neck:
    def __init__(self):
        self.goal, self.present = None, None

    def goal_rad(self):
        return self.goal

    def set_present(self, position_rad, velocity_rad_s):
        self.present = position_rad, velocity_rad_s


@pytest.fixture
def robot():
    world, limbs, neck = World(random_scene(0)), Limbs(), Neck()
    neck.goal = world.positions(g1.HEAD)
    return Body(world, limbs, neck), world, limbs, neck


def run(body, seconds):
    for _ in range(round(seconds / TIMESTEP_S)):
        body.tick(0.0)


def command(world, weight, **joints):
    q = world.motor_positions.copy()
    for name, change in joints.items():
        q[g1.MOTOR_NAMES.index(name)] += change
    zero, kp = np.zeros(29), np.full(29, 300.0)
    return ArmCommand(q, zero, zero, kp, np.full(29, 10.0), weight, 0.0)


def test_every_tick_tells_the_state_and_every_fifth_the_hands(robot):
    body, world, limbs, neck = robot
    run(body, 0.1)
    assert [t for t, _ in limbs.states] == [2 * i for i in range(1, 51)]
    assert len(limbs.hand_states) == 50 // HAND_STATE_EVERY
    np.testing.assert_array_equal(limbs.states[-1][1], world.motor_positions)
    np.testing.assert_array_equal(neck.present[0], world.positions(g1.HEAD))
    assert body.time_s == pytest.approx(0.1)


@pytest.mark.parametrize(("weight", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, None)])
def test_arm_sdk_moves_the_arms_by_its_weight(robot, weight, share):
    body, world, limbs, _ = robot
    run(body, 1.0)
    rest = world.motor_positions
    limbs.arm = command(world, weight, left_elbow_joint=-0.4)
    run(body, 1.5)
    moved = (world.motor_positions[ELBOW] - rest[ELBOW]) / -0.4
    if share is None:
        assert 0.2 < moved < 0.95
    else:
        assert moved == pytest.approx(share, abs=0.06)


def test_arm_sdk_never_moves_the_legs(robot):
    body, world, limbs, _ = robot
    run(body, 0.5)
    rest = world.motor_positions
    limbs.arm = command(world, 1.0, left_knee_joint=0.5)
    run(body, 1.0)
    assert world.motor_positions[KNEE] == pytest.approx(rest[KNEE], abs=0.01)


def test_the_neck_goes_where_the_servos_want_and_is_limp_without_torque(robot):
    body, world, _, neck = robot
    neck.goal = np.array([0.3, 0.5])
    run(body, 1.0)
    np.testing.assert_allclose(world.positions(g1.HEAD), neck.goal, atol=0.02)
    neck.goal = None
    run(body, 0.2)
    neck_actuators = [world.model.actuator(n).id for n in g1.HEAD.names]
    np.testing.assert_array_equal(world.data.actuator_force[neck_actuators], 0.0)


def test_the_hands_follow_their_command(robot):
    body, world, limbs, _ = robot
    limbs.hands = g1.HANDS.lower + 0.7 * (g1.HANDS.upper - g1.HANDS.lower)
    run(body, 1.0)
    np.testing.assert_allclose(world.positions(g1.HANDS), limbs.hands, atol=0.06)


def test_pace_is_real_time_and_catches_up():
    pace = Pace(10.0)
    assert pace.wait_s(10.0) == 0.0
    pace.done()
    assert pace.wait_s(10.0005) == pytest.approx(TIMESTEP_S - 0.0005)
    now = 10.0 + 10 * TIMESTEP_S  # held up for nine ticks: they run at once
    ticks = 0
    while pace.wait_s(now) == 0.0:
        pace.done()
        ticks += 1
    assert ticks in (9, 10)
    assert pace.factor(now) == pytest.approx(1.0, abs=0.11)
    assert pace.worst_s == pytest.approx(9 * TIMESTEP_S)


def test_pace_does_not_catch_up_after_a_suspension():
    pace = Pace(0.0)
    pace.wait_s(0.0)
    pace.done()
    late = 2 * RESYNC_AFTER_S
    assert pace.wait_s(late) == 0.0
    pace.done()
    assert pace.wait_s(late) == pytest.approx(TIMESTEP_S)
    assert pace.resyncs == 1


def test_truth_arrives_as_it_was(tmp_path):
    writer = TruthWriter(tmp_path / "truth", "red mug")
    reader = TruthReader(tmp_path / "truth")
    assert reader.target == "red mug"
    assert reader.all_after(0) == []
    written = [
        Truth(float(i), np.full(2, i), np.full(14, i), np.full(12, i), 0.1 * i, i % 2 == 0, 0.5, 1.0, 0.001)
        for i in range(4)
    ]
    for truth in written:
        writer.write(truth)
    read = reader.all_after(1)
    assert [n for n, _ in read] == [2, 3, 4]
    for (_, got), expected in zip(read, written[1:], strict=True):
        np.testing.assert_equal(asdict(got), asdict(expected))
    writer.close()
    other = tmp_path / "other"
    other.write_bytes(b"no ring at all")
    with pytest.raises(RingError):
        TruthReader(other)
