"""What the simulated motors tell of themselves: every tick, what was in force and what came in, in one ring."""

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr
from sapave_ros.sim.body import Body
from sapave_ros.sim.dynamixel_protocol import Instruction, encode
from sapave_ros.sim.motors import MotorReader, MotorWriter
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.unitree_face import Inbox
from sapave_ros.sim.world import World

TORQUE = 64


class Face:
    """The robot's side of DDS without DDS."""

    def __init__(self):
        self.inbox = Inbox(5)

    arm = property(lambda self: self.inbox.arm)
    hands = property(lambda self: self.inbox.hands)
    frames = property(lambda self: (self.inbox.arm_frames, self.inbox.hand_frames, self.inbox.dropped.total()))

    def poll(self, now_s):
        pass

    def publish(self, *state):
        pass

    publish_hands = publish


@pytest.fixture
def robot(tmp_path):
    world, face = World(random_scene(0)), Face()
    with ServoBus(tmp_path / "neck", position_rad=world.positions(g1.HEAD)) as neck:
        body, writer = Body(world, face, neck), MotorWriter(tmp_path / "motors", world)

        def run(ticks):
            for _ in range(ticks):
                now_s = body.time_s
                body.tick(now_s)
                writer.write(now_s, 1e9 + now_s, 0.001, 0.99, body, face, neck)

        yield world, face, neck, run, MotorReader(tmp_path / "motors")
        writer.close()


def arm_frame(world, weight):
    frame = unitree_cdr.LowCmdFrame()
    frame.header[:] = 0, 5
    frame.motors[:29, unitree_cdr.Q] = world.motor_positions
    frame.motors[:29, unitree_cdr.KP] = 100.0
    frame.motors[29, unitree_cdr.Q] = weight
    return frame.seal()


def test_every_tick_is_there_as_the_world_was(robot):
    world, _, _, run, reader = robot
    assert len(reader.all_after(0)) == 0
    run(40)
    motors = reader.all_after(0)
    assert motors.sequence.tolist() == list(range(1, 41))
    np.testing.assert_allclose(np.diff(motors.time_s), TIMESTEP_S)
    np.testing.assert_allclose(motors.ros_s, 1e9 + motors.time_s)
    assert (motors.late_s == 0.001).all()
    assert (motors.real_time_factor == 0.99).all()
    for name, group in (("head", g1.HEAD), ("arms", g1.ARMS), ("hands", g1.HANDS)):
        np.testing.assert_array_equal(getattr(motors, name)[-1], world.positions(group))
    np.testing.assert_array_equal(motors.head_velocity[-1], world.velocities(g1.HEAD))
    np.testing.assert_array_equal(motors.arms_velocity[-1], world.velocities(g1.ARMS))
    np.testing.assert_array_equal(motors.qpos[-1], world.data.qpos)
    assert reader.all_after(30).sequence.tolist() == list(range(31, 41))
    assert motors[motors.time_s > 0.05].sequence[0] == 27


def test_weight_stiffness_and_torque_in_force(robot):
    world, face, neck, run, reader = robot
    run(1)
    own = reader.all_after(0)
    np.testing.assert_array_equal(own.arms_kp[0], g1.ARMS.column("kp"))
    assert own.weight[0] == 0.0
    assert not own.neck_torque.any()
    face.inbox.take_arm(arm_frame(world, 0.25), 0.0)
    neck.bus.feed(encode(1, Instruction.WRITE, bytes([TORQUE, 0, 1])), 1e9)
    run(1)
    now = reader.all_after(1)
    assert now.weight[0] == 0.25
    np.testing.assert_allclose(now.arms_kp[0], 0.75 * g1.ARMS.column("kp") + 25.0)
    assert now.neck_torque[0].tolist() == [False, True]


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        (Instruction.PING, "servo_pings"),
        (Instruction.READ, "servo_reads"),
        (Instruction.SYNC_READ, "servo_reads"),
        (Instruction.FAST_SYNC_READ, "servo_reads"),
        (Instruction.BULK_READ, "servo_reads"),
        (Instruction.WRITE, "servo_writes"),
        (Instruction.REG_WRITE, "servo_writes"),
        (Instruction.SYNC_WRITE, "servo_writes"),
        (Instruction.BULK_WRITE, "servo_writes"),
        (Instruction.ACTION, "servo_others"),
        (Instruction.REBOOT, "servo_others"),
        (0x77, "servo_others"),
        (None, "servo_others"),  # a packet that broke on the way
    ],
)
def test_every_instruction_on_the_bus_is_counted_by_its_kind(robot, instruction, kind):
    """Also one that no servo answers, or that none understands."""
    _, _, neck, run, reader = robot
    packet = bytearray(encode(77, instruction or Instruction.WRITE, bytes(6)))
    packet[-1] ^= instruction is None
    neck.bus.feed(bytes(packet), 1.0)
    run(1)
    motors = reader.all_after(0)
    counts = {k: int(getattr(motors, k)[-1]) for k in ("servo_pings", "servo_reads", "servo_writes", "servo_others")}
    assert counts == {**dict.fromkeys(counts, 0), kind: 1}


def test_frames_are_counted_whether_accepted_or_not(robot):
    world, face, _, run, reader = robot
    for data in (arm_frame(world, 0.1), arm_frame(world, 0.2), arm_frame(world, 2.0), b"noise"):
        face.inbox.take_arm(data, 0.0)
    hands = unitree_cdr.motor_cmds(12)
    face.inbox.take_hands(unitree_cdr.encode_sequence(hands))
    run(1)
    motors = reader.all_after(0)
    assert (motors.arm_frames[0], motors.hand_frames[0], motors.refused_frames[0]) == (2, 1, 2)
