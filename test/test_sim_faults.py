"""Every fault is seen where it breaks something, and is gone when it is ended; what nobody knows is refused."""

import inspect
import math
import os
import socket
import termios
import threading
import tty

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr
from sapave_ros.graph import CAMERA_HZ
from sapave_ros.sim import remote
from sapave_ros.sim.body import Body
from sapave_ros.sim.camera_faults import CameraFaults
from sapave_ros.sim.dynamixel_protocol import Instruction, Parser, encode
from sapave_ros.sim.faults import CLEAR, FAULTS, SOCKETS, FaultClient, FaultError, FaultSocket, _address, checked, find
from sapave_ros.sim.robot_faults import RobotFaults
from sapave_ros.sim.scene import random_scene
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.state_faults import LowState
from sapave_ros.sim.unitree_face import Inbox, UnitreeFace
from sapave_ros.sim.world import World

ELBOW = "left_elbow_joint"
MOTOR = g1.MOTOR_NAMES.index(ELBOW)
PARTS = {"robot": RobotFaults, "camera": CameraFaults}


class Channel:
    """A DDS channel of this process alone."""

    def __init__(self):
        self.data = []

    def write(self, data):
        self.data.append(data)

    def take(self):
        return self.data.pop() if self.data else None


def face_without_dds() -> UnitreeFace:
    face = UnitreeFace.__new__(UnitreeFace)
    face._inbox, face.state = Inbox(5), LowState(5)
    face._state_writer, face._hand_writer = Channel(), Channel()
    face._arm_reader, face._hand_reader = Channel(), Channel()
    face._hand_state = unitree_cdr.motor_states(len(g1.HANDS))
    face.heal()
    return face


class Robot:
    """A body that ticks as fast as it can, with all its faces open to the test."""

    def __init__(self, path):
        self.world, self.face = World(random_scene(0)), face_without_dds()
        self.neck = ServoBus(path / "neck", position_rad=self.world.positions(g1.HEAD))
        self.body = Body(self.world, self.face, self.neck)
        self.faults = RobotFaults(self.body, self.face, self.neck)

    def inject(self, name, **arguments):
        getattr(self.faults, name)(**checked(find(name), arguments))

    def run(self, ticks=1):
        for _ in range(ticks):
            self.body.tick(0.0)

    def states(self):
        """LowState frames since the last call, whole or broken."""
        frames, self.face._state_writer.data = self.face._state_writer.data, []
        read = []
        for data in frames:
            frame = unitree_cdr.LowStateFrame()
            frame.load(data)
            read.append(frame)
        return read

    def state(self):
        self.run()
        return self.states()[-1]

    def command(self, weight=1.0, **joints):
        frame = unitree_cdr.LowCmdFrame()
        frame.header[:] = 0, 5
        frame.motors[:29, unitree_cdr.Q] = self.world.motor_positions
        for name, change in joints.items():
            frame.motors[g1.MOTOR_NAMES.index(name), unitree_cdr.Q] += change
        frame.motors[:29, unitree_cdr.KP], frame.motors[:29, unitree_cdr.KD] = 300.0, 10.0
        frame.motors[29, unitree_cdr.Q] = weight
        self.face._arm_reader.write(frame.seal())

    def ask(self, servo_id, instruction, parameters=b""):
        """(id, error, data) of every status packet, without the pty."""
        with self.neck._lock:
            answer = self.neck.bus.feed(encode(servo_id, instruction, parameters), self.neck._clock())
        return [(p.servo_id, p.parameters[0], p.parameters[1:]) for p in Parser().feed(answer, 0.0)]


@pytest.fixture
def robot(tmp_path):
    robot = Robot(tmp_path)
    yield robot
    robot.neck.close()


# -- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_every_row_is_carried_out_by_its_part(fault):
    parameters = inspect.signature(getattr(PARTS[fault.part], fault.name)).parameters.values()
    free = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}
    assert names <= {a.name for a in fault.arguments}
    assert free or names == {a.name for a in fault.arguments}


def test_no_part_has_a_fault_that_the_table_lacks():
    for part, kind in PARTS.items():
        methods = {n for n, _ in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")}
        assert methods - {"heal", "frame"} == {f.name for f in FAULTS if f.part == part}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("camera_froze", {}, "fault 'camera_froze': unknown; expected one of camera_frozen, "),
        ("camera_frozen", {"hz": 3}, "fault camera_frozen: no argument 'hz'; expected none"),
        ("camera_slow", {}, "fault camera_slow: argument rate_hz is missing; expected a number in 0.1..30 Hz"),
        ("camera_slow", {"rate_hz": 0}, "fault camera_slow: rate_hz 0; expected a number in 0.1..30 Hz"),
        ("camera_slow", {"rate_hz": math.nan}, "rate_hz nan; expected"),
        ("camera_slow", {"rate_hz": True}, "rate_hz True; expected"),
        ("camera_slow", {"rate_hz": "3"}, "rate_hz '3'; expected"),
        ("motor_lost", {"joint": "elbow"}, "joint 'elbow'; expected one of left_hip_pitch_joint, "),
        ("motor_error", {"joint": ELBOW, "bits": 0}, "bits 0; expected an integer in 1..0xffffffff"),
        ("motor_error", {"joint": ELBOW, "bits": 1.5}, "bits 1.5; expected an integer"),
        ("remote", {"buttons": ["L3"]}, "buttons ['L3']; expected a list among R1, L1, "),
        ("remote", {"lx": 1.5}, "lx 1.5; expected a number in -1..1"),
        ("tilt", {"rad": 1.0, "axis": "yaw"}, "axis 'yaw'; expected one of roll, pitch"),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused_by_name(tmp_path, name, arguments, says):
    with pytest.raises(FaultError, match=r".*") as refusal:
        FaultClient(tmp_path).inject(name, **arguments)
    assert says in str(refusal.value)


# -- motors --------------------------------------------------------------------------------------


def test_readings_of_a_motor_say_what_they_are_told_and_heal(robot):
    healthy = bytes(robot.state().buffer[72:])
    robot.inject("motor_temperature", joint=ELBOW, casing=86, winding=121)
    robot.inject("motor_error", joint=ELBOW, bits=0x200)
    robot.inject("motor_voltage", volts=36.5)
    robot.inject("motor_torque", joint=ELBOW, newton_metres=-24.0)
    robot.inject("variant", mode_machine=4)
    state = robot.state()
    assert state.intact
    assert state.temperature[MOTOR].tolist() == [86, 121]
    assert state.motor_error[MOTOR] == 0x200
    assert state.motors[MOTOR, 3] == -24.0
    assert state.header.tolist() == [0, 4]
    np.testing.assert_allclose(state.voltage[:29], 36.5)
    others = np.arange(29) != MOTOR
    assert (state.temperature[:29][others] == 30).all()
    assert (state.motor_error[:29][others] == 0).all()
    robot.faults.heal()
    healed = robot.state()
    assert healed.motors[MOTOR, 3] != -24.0
    assert healed.header.tolist() == [0, 5]
    for field in ("temperature", "motor_error", "voltage", "motor_mode", "remote"):
        fresh = unitree_cdr.LowStateFrame()
        fresh.buffer[72:] = healthy
        np.testing.assert_array_equal(getattr(healed, field), getattr(fresh, field))


@pytest.mark.parametrize("joint", [ELBOW, "left_knee_joint"])
def test_a_lost_motor_says_so_and_gives_no_torque_whatever_it_is_told(robot, joint):
    motor = g1.MOTOR_NAMES.index(joint)
    robot.run(10)
    robot.inject("motor_lost", joint=joint)
    robot.command(left_elbow_joint=0.5)
    robot.run(5)
    state = robot.state()
    assert state.motor_mode[motor] == 0
    assert state.motor_mode[:29].sum() == 28
    assert state.motors[motor, 3] == 0.0
    robot.faults.heal()
    state = robot.state()
    assert state.motor_mode[:29].all()
    assert state.motors[motor, 3] != 0.0 or joint != ELBOW


def test_dropped_arms_sink_slowly_and_come_back_with_arm_sdk(robot):
    robot.command(left_shoulder_roll_joint=0.8, right_shoulder_roll_joint=-0.8)
    robot.run(700)
    raised = robot.world.positions(g1.ARMS)
    robot.inject("arms_dropped")
    assert robot.body.weight == 0.0
    assert not robot.body.arms_kp.any()
    robot.command(left_shoulder_roll_joint=0.8)
    speeds = []
    for _ in range(700):
        robot.run()
        speeds.append(np.abs(robot.world.velocities(g1.ARMS)).max())
    assert robot.body.weight == 0.0
    assert np.abs(robot.world.positions(g1.ARMS) - raised).max() > 0.2
    robot.faults.heal()
    assert robot.body.weight == 1.0
    assert (robot.body.arms_kp == 300.0).all()


# -- what the robot says of itself ---------------------------------------------------------------


@pytest.mark.parametrize(("axis", "column"), [("roll", 0), ("pitch", 1)])
@pytest.mark.parametrize("rad", [-1.2, 0.4])
def test_tilt_is_what_the_imu_says(robot, axis, column, rad):
    robot.inject("tilt", rad=rad, axis=axis)
    imu = robot.state().imu
    expected = np.zeros(3)
    expected[column] = rad
    np.testing.assert_allclose(imu[10:13], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(imu[:4]), 1.0, atol=1e-6)
    w, x, y, z = imu[:4]
    up_in_imu = [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    np.testing.assert_allclose(imu[7:10], 9.81 * np.array(up_in_imu), atol=1e-5)
    robot.faults.heal()
    np.testing.assert_allclose(robot.state().imu[10:13], 0.0, atol=1e-6)


def test_a_frozen_state_repeats_itself_while_the_robot_moves(robot):
    robot.run(2)
    robot.inject("state_frozen")
    robot.command(left_elbow_joint=0.5)
    robot.run(50)
    frames = robot.states()[1:]
    assert len({bytes(f.buffer) for f in frames}) == 1
    assert frames[0].intact
    robot.faults.heal()
    assert robot.state().tick[0] > frames[0].tick[0]


def test_silent_and_corrupt_states(robot):
    robot.inject("state_silent")
    robot.run(5)
    assert not robot.states()
    robot.faults.heal()
    robot.inject("state_corrupt")
    robot.run(5)
    assert [f.intact for f in robot.states()] == [False] * 5
    robot.faults.heal()
    assert robot.state().intact


def test_silent_hands(robot):
    robot.inject("hands_silent")
    robot.run(10)
    assert not robot.face._hand_writer.data
    assert len(robot.states()) == 10
    robot.faults.heal()
    robot.run(10)
    assert len(robot.face._hand_writer.data) == 2


def test_with_the_link_down_nothing_is_heard_or_said_and_nothing_is_heard_later(robot):
    robot.inject("link_down")
    robot.command()
    robot.run(10)
    assert not robot.states()
    assert not robot.face._hand_writer.data
    robot.faults.heal()
    robot.run()
    assert robot.states()
    assert robot.face.frames == (0, 0, 0)


@pytest.mark.parametrize(
    ("held", "byte", "bit"), [("R1", 2, 0), ("L2", 2, 5), ("A", 3, 0), ("B", 3, 1), ("left", 3, 7)]
)
def test_the_remote_speaks_as_gamepad_hpp_has_it(robot, held, byte, bit):
    robot.inject("remote", buttons=[held], lx=0.5, rx=-0.25, ry=1.0, l2=0.75, ly=-1.0)
    data = robot.state().remote.tobytes()
    assert data[5 - byte] == 0
    assert data[byte] == 1 << bit
    assert np.frombuffer(data[4:24], "<f4").tolist() == [0.5, -0.25, 1.0, 0.75, -1.0]
    assert data == remote.encode([held], lx=0.5, rx=-0.25, ry=1.0, l2=0.75, ly=-1.0)
    robot.faults.heal()
    assert not robot.state().remote.any()


def test_a_remote_at_rest_is_not_no_remote():
    assert any(remote.encode())
    with pytest.raises(ValueError, match="'R3'; expected among R1"):
        remote.encode(["R3"])


# -- servo bus -----------------------------------------------------------------------------------


def test_silent_servos_answer_nothing_and_hold_on(robot):
    robot.ask(0, Instruction.WRITE, bytes([64, 0, 1]))
    robot.inject("servo_silent", joint="head_yaw_joint")
    assert robot.ask(0, Instruction.PING) == []
    assert len(robot.ask(1, Instruction.PING)) == 1
    robot.run()
    assert robot.neck.torque == (True, False)
    robot.inject("servo_silent")
    assert robot.ask(1, Instruction.PING) == []
    robot.faults.heal()
    assert len(robot.ask(0xFE, Instruction.PING)) == 2


def test_garbage_on_the_bus_lasts_until_it_ends(robot):
    robot.inject("servo_garbage")
    for _ in range(3):
        assert robot.neck.bus.feed(encode(0, Instruction.PING, b""), 0.0)
        assert robot.ask(0, Instruction.PING) == []
    robot.faults.heal()
    assert len(robot.ask(0, Instruction.PING)) == 1


def test_a_servo_error_takes_the_torque_until_the_end(robot):
    robot.ask(0, Instruction.WRITE, bytes([64, 0, 1]))
    robot.ask(1, Instruction.WRITE, bytes([64, 0, 1]))
    robot.inject("servo_error", joint="head_pitch_joint")
    robot.run()
    assert robot.neck.torque == (True, False)
    ((_, error, _),) = robot.ask(1, Instruction.PING)
    assert error & 0x80
    robot.faults.heal()
    robot.run()
    assert robot.neck.torque == (True, False)  # it came back without torque
    assert robot.ask(1, Instruction.WRITE, bytes([64, 0, 1])) == [(1, 0, b"")]


def test_a_rebooted_servo_is_alive_and_has_forgotten(robot):
    robot.ask(0, Instruction.WRITE, bytes([64, 0, 1]))
    robot.ask(0, Instruction.WRITE, bytes([112, 0]) + (77).to_bytes(4, "little"))
    robot.inject("servo_rebooted", joint="head_yaw_joint")
    servo = robot.neck.bus.servo(0)
    assert (servo["torque_enable"], servo["profile_velocity"], servo["bus_watchdog"]) == (0, 0, 0)
    assert len(robot.ask(0, Instruction.PING)) == 1


def test_late_answers_come_whole_and_in_order(robot):
    """On the pty: a delay is one of the line, not of the servos."""
    fd = os.open(robot.neck.link_path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(fd)
        line = termios.tcgetattr(fd)
        line[4] = line[5] = termios.B1000000
        termios.tcsetattr(fd, termios.TCSANOW, line)
        robot.inject("servo_delay", seconds=0.05)
        start = robot.neck._clock()
        for servo_id in (1, 0):
            os.write(fd, encode(servo_id, Instruction.PING, b""))
        data = b""
        while len(data) < 28:
            data += os.read(fd, 100)
        assert robot.neck._clock() - start >= 0.05
        assert [p.servo_id for p in Parser().feed(data, 0.0)] == [1, 0]
    finally:
        os.close(fd)


# -- camera --------------------------------------------------------------------------------------


def frame(value):
    return float(value), np.full((2, 3, 3), value, np.uint8), np.full((2, 3), 100 * value, np.uint16)


def test_camera_faults_one_by_one():
    faults = CameraFaults()
    assert faults.frame(*frame(1))[0] == 1.0
    faults.camera_frozen()
    stamp_s, rgb, depth = faults.frame(*frame(2))
    assert (stamp_s, rgb[0, 0, 0], depth[0, 0]) == (2.0, 1, 100)
    faults.heal()
    assert faults.frame(*frame(3))[1][0, 0, 0] == 3
    faults.camera_silent()
    assert faults.frame(*frame(4)) is None
    faults.heal()
    faults.camera_black()
    _, rgb, depth = faults.frame(*frame(5))
    assert (rgb.any(), depth[0, 0]) == (False, 500)
    faults.camera_no_depth()  # they add up
    _, rgb, depth = faults.frame(*frame(6))
    assert not rgb.any()
    assert not depth.any()
    faults.heal()
    faults.camera_stamp_jump(-1.5)
    assert faults.frame(*frame(7))[0] == 5.5


@pytest.mark.parametrize("rate_hz", [0.1, 2.0, 7.0, 29.0, 30.0])
def test_a_slow_camera_keeps_its_rate_and_is_quick_again_at_once(rate_hz):
    faults = CameraFaults()
    _, rgb, depth = frame(1)
    stamps = [1e9 + i / CAMERA_HZ for i in range(900)]
    faults.camera_slow(rate_hz)
    delivered = [s for s in stamps if faults.frame(s, rgb, depth) is not None]
    assert len(delivered) == pytest.approx(rate_hz * 30.0, abs=1)
    assert (np.diff(delivered) > 1.0 / rate_hz - 1.0 / CAMERA_HZ - 1e-6).all()
    faults.heal()
    assert faults.frame(stamps[-1] + 0.001, rgb, depth) is not None


# -- the way in ----------------------------------------------------------------------------------


class Recorder:
    def __init__(self):
        self.calls = []

    def heal(self):
        self.calls.append((CLEAR, {}))

    def camera_slow(self, **arguments):
        self.calls.append(("camera_slow", arguments))

    def remote(self, **arguments):
        self.calls.append(("remote", arguments))


@pytest.fixture
def listening(tmp_path):
    """A robot in a run directory with a name longer than a socket's address may be."""
    run_dir = tmp_path / ("long" * 30)
    run_dir.mkdir()
    parts = {part: Recorder() for part in SOCKETS}
    sockets = [FaultSocket(run_dir, part, parts[part]) for part in SOCKETS]
    stop = threading.Event()

    def serve():
        while not stop.wait(0.001):
            for s in sockets:
                s.serve(12.5)

    thread = threading.Thread(target=serve)
    thread.start()
    yield run_dir, parts
    stop.set()
    thread.join()
    for s in sockets:
        s.close()
    assert not list(run_dir.iterdir())


def test_orders_reach_their_part_with_defaults_filled_in_and_tell_when(listening):
    run_dir, parts = listening
    client = FaultClient(run_dir)
    assert client.inject("camera_slow", rate_hz=5) == 12.5
    client.inject("remote", buttons=["L2", "B"])
    assert client.clear() == 12.5
    assert parts["camera"].calls == [("camera_slow", {"rate_hz": 5}), (CLEAR, {})]
    sticks = dict.fromkeys(("lx", "ly", "rx", "ry", "l2"), 0.0)
    assert parts["robot"].calls == [("remote", {"buttons": ["L2", "B"], **sticks}), (CLEAR, {})]


@pytest.mark.parametrize(
    ("part", "data", "says"),
    [
        ("robot", b"nonsense", 'expected {\\"fault\\": NAME'),
        ("robot", b"[1]", 'expected {\\"fault\\": NAME'),
        ("robot", b'{"fault": "clear", "arguments": {"a": 1}}', "'clear': unknown"),
        ("robot", b'{"fault": "camera_slow", "arguments": {"rate_hz": 5}}', "of the camera, asked of the robot"),
        ("camera", b'{"fault": "camera_slow", "arguments": {"rate_hz": 500}}', "rate_hz 500; expected"),
        ("robot", b'{"fault": "__init__", "arguments": {}}', "unknown"),
    ],
)
def test_a_robot_refuses_what_a_client_should_not_have_sent(listening, part, data, says):
    run_dir, parts = listening
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(5.0)
        s.bind("")
        with _address(run_dir / SOCKETS[part]) as address:
            s.sendto(data, address)
        assert says in s.recv(4096).decode()
    assert not parts[part].calls


def test_no_robot_or_one_that_stands_still_is_said(tmp_path):
    with pytest.raises(FaultError, match="is a `sapave_sim --faults` running there"):
        FaultClient(tmp_path).inject("camera_black")
    still = FaultSocket(tmp_path, "camera", Recorder())
    with pytest.raises(FaultError, match=r"no answer in 0.05 s; does the robot stand still"):
        FaultClient(tmp_path, timeout_s=0.05).inject("camera_black")
    FaultSocket(tmp_path, "camera", Recorder()).close()  # what a killed robot left is replaced
    still._socket.close()
    (tmp_path / SOCKETS["camera"]).write_text("mine")
    with pytest.raises(FileExistsError, match="is not a socket"):
        FaultSocket(tmp_path, "camera", Recorder())
