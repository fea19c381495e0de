"""Head, arm and watchdog as processes on the real clock: no motion without a permit, and none after it is gone.

Run as a program (`python test_controller_nodes.py DDS_DOMAIN`) this file is the body for the arm node's test.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from sapave_ros import g1, graph
from sapave_ros.core.health import Report
from sapave_ros.types import ActionChunk, Mode, Permit, Takeover

pytestmark = pytest.mark.e2e


class Person:
    """A ROS node in this process: gives permits, sends chunks, listens."""

    def __init__(self) -> None:
        import rclpy

        from sapave_ros.nodes import ros

        self.ros = ros
        rclpy.init()
        self.node = rclpy.create_node("person")
        self.received: dict[str, list] = {}
        self.mode: Mode | None = None
        self._sequence = 0
        self._publishers = {}
        for topic in (graph.PERMIT, graph.JOINT_STATES, graph.HEAD_COMMAND, graph.ARM_COMMAND, graph.DIAGNOSTICS):
            self.received[topic] = []
            ros.subscribe(self.node, graph.stream(topic), self.received[topic].append)
        self.node.create_timer(1.0 / graph.PERMIT_HZ, self._permit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from sapave_ros import scheduling

        scheduling.realtime()  # it stands in for the watchdog, which has that too: a permit that is late is a HOLD
        executor = SingleThreadedExecutor()
        executor.add_node(self.node)
        while not self._stop.is_set() and rclpy.ok():
            executor.spin_once(timeout_sec=0.05)

    def publish(self, topic: str, msg) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self.ros.publisher(self.node, graph.stream(topic))
        self._publishers[topic].publish(msg)

    def _permit(self) -> None:
        if self.mode is not None:
            self._sequence += 1
            permit = Permit(0.0, self._sequence, "ACTIVE", "a test", self.mode, self.mode, sent_s=time.monotonic())
            self.publish(graph.PERMIT, self.ros.permit_to_msg(permit))

    def chunk(self, topic: str, names, increments, dt_s: float = 0.1) -> None:
        now = self.ros.now_s(self.node)
        self.publish(topic, self.ros.chunk_to_msg(ActionChunk(now, dt_s, tuple(names), np.array(increments))))

    def newest(self, names, topic: str = graph.JOINT_STATES) -> np.ndarray | None:
        """Positions (n,) of the newest message that has these joints."""
        for msg in reversed(self.received[topic][-20:]):
            if set(names) <= set(msg.name):
                return np.array([msg.position[msg.name.index(n)] for n in names])
        return None

    def values(self, name: str) -> dict[str, str]:
        """The newest diagnostics of a node."""
        for msg in reversed(self.received[graph.DIAGNOSTICS]):
            for status in msg.status:
                if status.name == f"sapave/{name}":
                    return {v.key: v.value for v in status.values}
        return {}

    def call(self, service: str):
        from std_srvs.srv import Trigger

        client = self.node.create_client(Trigger, service)
        assert client.wait_for_service(10.0)
        future = client.call_async(Trigger.Request())
        assert until(future.done)
        return future.result()

    def close(self) -> None:
        import rclpy

        self._stop.set()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown()


def until(condition, timeout_s: float = 20.0) -> bool:
    """Waits for something to become true; the time it takes does not matter."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture
def person(ros_domain):
    made = Person()
    yield made
    made.close()


class NodeProcess:
    """One node of the graph as a process; its output is kept."""

    def __init__(self, name: str, **parameters: object) -> None:
        command = [sys.executable, "-m", graph.process(name).module]
        if parameters:
            command.append("--ros-args")
            for key, value in parameters.items():
                command += ["-p", f"{key}:={value}"]
        self.lines: list[str] = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.name = name

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def ready(self) -> NodeProcess:
        assert until(lambda: f"{self.name}: ready\n" in self.lines or self.process.poll() is not None), self.text
        assert self.process.poll() is None, self.text
        return self

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
            self._reader.join()
            pytest.fail(f"{self.name} did not end:\n{self.text}")
        self._reader.join()
        return code


@pytest.fixture
def start():
    running: list[NodeProcess] = []

    def begin(name: str, **parameters: object) -> NodeProcess:
        running.append(NodeProcess(name, **parameters))
        return running[-1]

    yield begin
    for node in running:
        if node.process.poll() is None:
            node.end()


def settled(person: Person, names) -> np.ndarray:
    """The joints once they have stopped moving."""
    last = person.newest(names)

    def still() -> bool:
        nonlocal last
        before, last = last, person.newest(names)
        time.sleep(0.2)
        return before is not None and last is not None and np.abs(before - last).max() < 1e-3

    assert until(still)
    assert last is not None
    return last


def moves_only_with_a_permit(person: Person, increments: str, command: str, names, group) -> None:
    """The course of events that both controllers have to pass."""
    assert until(lambda: person.newest(group.names) is not None)
    start = settled(person, names)
    steps = np.full((10, len(names)), 0.02)
    for mode in (None, Mode.HOLD, Mode.RELEASE):
        person.mode = mode
        for _ in range(10):
            person.chunk(increments, names, steps)
            time.sleep(0.03)
    assert not person.received[command]
    np.testing.assert_allclose(settled(person, names), start, atol=5e-3)

    person.mode = Mode.MOVE
    node = "head" if group is g1.HEAD else "arm"
    assert until(lambda: person.values(node).get("phase") == "ACTIVE" and person.values(node).get("holding") == "")
    begun = person.newest(names, command)
    assert begun is not None
    np.testing.assert_allclose(begun, start, atol=0.05)  # it takes over where the joints are
    person.chunk(increments, names, steps)
    arrived = begun + steps.sum(axis=0)
    assert until(lambda: np.abs(person.newest(names) - arrived).max() < 0.02, 10.0), person.newest(names) - arrived
    assert until(lambda: np.abs(person.newest(names, command) - arrived).max() < 1e-3)
    assert np.abs(settled(person, names) - arrived).max() < 0.02

    person.chunk(increments, names, -np.full((40, len(names)), 0.02))  # four seconds of motion
    assert until(lambda: np.abs(person.newest(names) - arrived).max() > 0.05)
    person.mode = None  # the watchdog dies
    time.sleep(0.1 + 0.4)
    frozen = person.newest(names, command)
    time.sleep(0.7)
    np.testing.assert_allclose(person.newest(names, command), frozen, atol=1e-6)
    assert np.all(frozen > arrived - 0.6)


def test_head_moves_only_with_a_permit(person, start, tmp_path) -> None:
    from sapave_ros.sim.servo_bus import ServoBus

    with ServoBus(tmp_path / "neck", follows=True) as bus:
        node = start("head", port=tmp_path / "neck").ready()
        assert bus.goal_rad() is None  # no torque before a permit
        moves_only_with_a_permit(person, graph.HEAD_INCREMENTS, graph.HEAD_COMMAND, g1.HEAD.names, g1.HEAD)
        assert node.end() == 0, node.text
        assert "Traceback" not in node.text


def arrives(person, topic: str, names, goal: np.ndarray) -> bool:
    """Whether chunks carry the joints to a goal. A hold on the way drops a chunk, by design: then the rest is asked
    for again once they stand still."""
    for _ in range(4):
        left = goal - settled(person, names)
        if np.abs(left).max() < 0.02:
            return True
        person.chunk(topic, names, np.tile(left / 10, (10, 1)))
        until(lambda: np.abs(goal - person.newest(names)).max() < 0.01, 3.0)
    return False


def test_head_goes_home_when_it_is_asked_to(person, start, tmp_path) -> None:
    from sapave_ros.sim.servo_bus import ServoBus

    home = np.array([g1.HEAD_HOME[name] for name in g1.HEAD.names])
    with ServoBus(tmp_path / "neck", follows=True):
        start("head", port=tmp_path / "neck").ready()
        assert not person.call(graph.HEAD_HOME_SERVICE).success  # nothing may move yet
        person.mode = Mode.MOVE
        assert until(lambda: person.values("head").get("holding") == "")
        assert arrives(person, graph.HEAD_INCREMENTS, g1.HEAD.names, home + 0.2)
        assert until(lambda: person.call(graph.HEAD_HOME_SERVICE).success)
        assert until(lambda: np.abs(person.newest(g1.HEAD.names) - home).max() < 0.01)


def test_servo_that_falls_silent_holds_the_head_until_it_is_back(person, start, tmp_path) -> None:
    from sapave_ros.sim.servo_bus import ServoBus

    def holding() -> str | None:
        return person.values("head").get("holding")

    with ServoBus(tmp_path / "neck", follows=True) as bus:
        start("head", port=tmp_path / "neck").ready()
        person.mode = Mode.MOVE
        assert until(lambda: holding() == "")
        bus.fault(lambda b: b.silence(1))
        assert until(lambda: "old" in (holding() or ""))
        person.chunk(graph.HEAD_INCREMENTS, g1.HEAD.names, np.full((10, 2), 0.02))
        bus.fault(lambda b: b.silence(1, on=False))
        assert until(lambda: holding() == "")
        begun = settled(person, g1.HEAD.names)
        np.testing.assert_allclose(begun, 0.0, atol=5e-3)  # the chunk of the dark time is not made up for
        assert arrives(person, graph.HEAD_INCREMENTS, g1.HEAD.names, begun + 0.2)


def test_unplugged_servo_bus_ends_the_head_node_with_a_reason(person, start, tmp_path) -> None:
    from sapave_ros.sim.servo_bus import ServoBus

    with ServoBus(tmp_path / "neck", follows=True):
        node = start("head", port=tmp_path / "neck").ready()
        assert until(lambda: person.newest(g1.HEAD.names) is not None)
    assert until(lambda: node.process.poll() is not None)
    assert node.end() == 1
    assert "head: error:" in node.text


@pytest.fixture
def body(dds_domain):
    process = subprocess.Popen([sys.executable, __file__, str(dds_domain)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "body: ready\n"
    yield process, dds_domain
    if process.poll() is None:
        process.terminate()
        process.wait(10.0)
    process.stdout.close()


def test_arms_move_only_with_a_permit_and_are_handed_back(person, start, body) -> None:
    process, domain = body
    node = start("arm", dds_domain=domain, dds_interface="lo").ready()
    names = ["left_elbow_joint", "right_elbow_joint", "left_wrist_roll_joint", "L_index_proximal_joint"]
    moves_only_with_a_permit(person, graph.ARM_INCREMENTS, graph.ARM_COMMAND, names, g1.OTHER)
    assert node.end() == 0, node.text
    assert "Traceback" not in node.text
    process.terminate()
    assert process.stdout is not None
    seen = json.loads(process.stdout.readline())
    assert seen["weights"][0] < 0.01  # taken smoothly
    assert max(seen["weights"]) == 1.0
    assert seen["weights"][-1] == 0.0  # and handed back
    assert max(np.abs(np.diff(seen["weights"]))) < 0.25  # frames are missed on a busy machine
    assert not seen["dropped"]


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("head", {"port": "/nowhere/neck"}, "/nowhere/neck"),
        ("head", {"limit_scale": 2.0}, "limit_scale"),
        ("arm", {"limit_scale": 1.5}, "limit_scale"),
        ("arm", {"release_s": 0.0}, "release_s"),
        ("arm", {"dds_interface": "nowhere0"}, "nowhere0"),
    ],
)
def test_what_cannot_work_is_one_message_that_names_it(ros_domain, start, name, parameters, says) -> None:
    node = start(name, **parameters)
    assert until(lambda: node.process.poll() is not None)
    assert node.end() == 2, node.text
    (message,) = [line for line in node.lines if line.startswith(f"{name}: error:")]
    assert says in message
    assert "Traceback" not in node.text


def test_watchdog_gives_the_permit_only_while_everything_is_fresh(person, start) -> None:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Bool, String

    node = start("watchdog").ready()
    alive = {"camera": True, "head": True, "arms": True}

    reporters = dict.fromkeys(graph.stream(graph.HEALTH).publishers, True)

    def streams() -> None:
        now_s = person.ros.now_s(person.node)
        if alive["camera"]:
            info = CameraInfo()
            info.header.stamp = person.ros.to_msg_time(now_s)
            person.publish(graph.CAMERA_INFO, info)
        for key, group in (("head", g1.HEAD), ("arms", g1.OTHER)):
            if alive[key]:
                person.publish(graph.JOINT_STATES, person.ros.joint_state_msg(group.names, now_s, np.zeros(len(group))))
        for name, reports in reporters.items():
            if reports:
                person.publish(graph.HEALTH, person.ros.report_to_msg(Report(name, {})))
        person.publish(graph.TAKEOVER, person.ros.takeover_to_msg(Takeover(0.0)))

    def state() -> str:
        if not person.received[graph.PERMIT]:
            return ""
        return person.ros.permit_from_msg(person.received[graph.PERMIT][-1], 0.0).state

    def modes() -> tuple[Mode, Mode]:
        permit = person.ros.permit_from_msg(person.received[graph.PERMIT][-1], 0.0)
        return permit.mode_head, permit.mode_arms

    assert until(lambda: state() == "STARTING")
    assert Mode.MOVE not in modes()
    answer = person.call(graph.ARM_SERVICE)
    assert not answer.success
    timer = person.node.create_timer(0.03, streams)
    assert until(lambda: state() == "STANDBY")
    answer = person.call(graph.ARM_SERVICE)
    assert answer.success, answer.message
    assert until(lambda: modes() == (Mode.MOVE, Mode.MOVE))

    for part, says in (("camera", graph.CAMERA_INFO), ("head", "(head)"), ("arms", "(arms)")):
        alive[part] = False
        assert until(lambda: state() == "HOLD")
        assert modes() == (Mode.HOLD, Mode.HOLD)
        answer = person.call(graph.ARM_SERVICE)
        assert not answer.success
        assert says in answer.message
        alive[part] = True
        assert until(lambda: person.call(graph.ARM_SERVICE).success)
        assert until(lambda: state() == "ACTIVE")

    for name in reporters:  # a node that says nothing is wrong too
        reporters[name] = False
        assert until(lambda: state() == "HOLD")
        answer = person.call(graph.ARM_SERVICE)
        assert not answer.success
        assert f"({name})" in answer.message
        reporters[name] = True
        assert until(lambda: person.call(graph.ARM_SERVICE).success)
        assert until(lambda: state() == "ACTIVE")

    person.publish(graph.INSTRUCTION, String(data="look at the red mug"))  # and nobody infers
    assert until(lambda: state() == "HOLD")
    assert graph.HEAD_INCREMENTS in person.received[graph.PERMIT][-1].message
    person.publish(graph.INSTRUCTION, String(data=""))
    assert until(lambda: person.call(graph.ARM_SERVICE).success)

    person.publish(graph.ESTOP, Bool(data=True))
    assert until(lambda: state() == "ESTOP")
    assert modes() == (Mode.DAMP, Mode.DAMP)
    assert not person.call(graph.RESET_SERVICE).success
    person.publish(graph.ESTOP, Bool(data=False))
    assert until(lambda: person.call(graph.RESET_SERVICE).success)
    assert until(lambda: state() == "STANDBY")
    assert person.call(graph.DISARM_SERVICE).success
    assert until(lambda: person.values("watchdog").get("state") == "STANDBY")
    person.node.destroy_timer(timer)
    assert node.end() == 0, node.text
    assert "ACTIVE -> HOLD: STREAM_LOST: /camera/color/camera_info" in node.text


@pytest.mark.parametrize("reliability", ["RELIABLE", "BEST_EFFORT"])
def test_a_stop_is_heard_however_it_is_sent(person, start, reliability) -> None:
    """`ros2 topic pub` and most drivers offer no latched messages: ROS did not connect them, and nothing stopped."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from std_msgs.msg import Bool

    start("watchdog").ready()
    stop = person.node.create_publisher(
        Bool, graph.ESTOP, QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability])
    )

    def state() -> str:
        stop.publish(Bool(data=True))
        received = person.received[graph.PERMIT]
        return person.ros.permit_from_msg(received[-1], 0.0).state if received else ""

    assert until(lambda: state() == "ESTOP", 10.0)


def simulate_body(domain: int) -> None:
    """The simulated body behind DDS until SIGTERM; then one line of JSON about what it was told."""
    from sapave_ros.sim.stage import TIMESTEP_S
    from sapave_ros.sim.unitree_face import MotorCommand, UnitreeFace, blend
    from sapave_ros.sim.world import OWN_KD, OWN_KP, World

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    world = World()
    world.set_positions(g1.OTHER, np.clip(np.zeros(26), g1.OTHER.lower, g1.OTHER.upper))
    own = MotorCommand(world.motor_positions, np.zeros(29), np.zeros(29), OWN_KP, OWN_KD)
    weights: list[float] = []
    with UnitreeFace(domain, "lo") as face:
        print("body: ready", flush=True)
        start_s, tick = time.monotonic(), 0
        while not stop.is_set():
            now_s = time.monotonic()
            face.poll(now_s)
            command, arm = own, face.arm
            if arm is not None:
                weights.append(arm.weight)
                command = blend(own, arm, arm.weight)
            if face.hands is not None:
                world.set_hand_targets(face.hands)
            world.set_motor_targets(command.q, command.dq, command.tau, command.kp, command.kd)
            while world.time_s < now_s - start_s:
                world.step()
            face.publish(
                round(world.time_s * 1e3),
                world.motor_positions,
                world.motor_velocities,
                world.motor_torques,
                world.imu_quaternion,
                np.zeros(3),
                np.array([0.0, 0.0, 9.81]),
            )
            if tick % 4 == 0:
                face.publish_hands(world.positions(g1.HANDS))
            tick += 1
            time.sleep(2 * TIMESTEP_S)
        print(json.dumps({"weights": weights, "dropped": dict(face.dropped)}), flush=True)


if __name__ == "__main__":
    simulate_body(int(sys.argv[1]))


def test_a_refused_chunk_is_an_accident_and_a_row_of_them_a_fault() -> None:
    from sapave_ros.nodes.control import REFUSED_AT_LEAST, REFUSED_FOR_S, Refusals

    refusals = Refusals()
    assert not refusals.finding(0.0)
    refusals.refused("once", 10.0)
    assert not refusals.finding(10.0 + REFUSED_FOR_S + 0.1)
    for i in range(10):
        refusals.refused("names", 20.0 + 0.1 * i)
    assert "names" in refusals.finding(20.95)
    assert not refusals.finding(20.9 + REFUSED_FOR_S)  # whoever sent them has stopped
    refusals.accepted()
    for i in range(REFUSED_AT_LEAST - 1):
        refusals.refused("late", 30.0 + REFUSED_FOR_S * i)
    assert not refusals.finding(30.0 + REFUSED_FOR_S * (REFUSED_AT_LEAST - 1))
