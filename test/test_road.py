"""The whole road as a user starts it: every process, real ROS 2, real DDS, the servo bus, the shipped model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from std_msgs.msg import String

from sapave_ros import g1, graph
from sapave_ros.bringup import Bringup, BringupError
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError, session
from sapave_ros.plan import Options
from sapave_ros.sim.truth import Truth, TruthReader
from sapave_ros.types import ActionChunk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PATIENCE_S = 20.0  # of a busy machine; nothing here is judged by how long it takes


class Road:
    """A running graph, the operator at it, and the simulator's truth."""

    def __init__(self, operator: Operator, bringup: Bringup) -> None:
        self.operator, self.bringup = operator, bringup
        self.reported: dict[str, dict[str, str]] = {}
        self._truth = TruthReader(bringup.options.run_dir / "truth")
        self._sequence = 0
        self._latest: Truth | None = None
        ros.subscribe(operator, graph.stream(graph.DIAGNOSTICS), self._on_diagnostics)
        self._publishers = {
            topic: ros.publisher(operator, graph.stream(topic))
            for topic in (graph.HEAD_INCREMENTS, graph.ARM_INCREMENTS)
        }

    @property
    def state(self) -> str:
        return self.operator.state

    def _on_diagnostics(self, msg) -> None:
        for status in msg.status:
            self.reported[status.name] = {v.key: v.value for v in status.values}

    def truth(self) -> Truth:
        records = self._truth.all_after(self._sequence)
        if records:
            self._sequence, self._latest = records[-1]
        assert self._latest is not None
        return self._latest

    def until(self, done: Callable[[], bool], what: str) -> None:
        assert self.operator.wait(done, PATIENCE_S), f"not within {PATIENCE_S} s: {what}; last: {self.reported}"

    def spin(self, seconds: float) -> None:
        self.operator.wait(lambda: False, seconds)

    def arm(self) -> None:
        """ACTIVE, and both controllers in control; asked again after a HOLD, as a person at a busy machine would."""
        deadline_s = time.monotonic() + 2 * PATIENCE_S
        while not self._in_control():
            assert time.monotonic() < deadline_s, f"not in control: {self.operator.reason}; {self.reported}"
            if self.state != "ACTIVE":
                with contextlib.suppress(OperatorError):
                    self.operator.arm(PATIENCE_S)
            self.operator.wait(lambda: self._in_control() or self.state != "ACTIVE", 2.0)

    def _in_control(self) -> bool:
        phases = {n: self.reported.get(f"sapave/{n}", {}) for n in ("head", "arm")}
        free = all(p.get("phase") == "ACTIVE" and not p["holding"] for p in phases.values())
        return self.state == "ACTIVE" and free

    def send(self, topic: str, chunk: ActionChunk) -> None:
        self._publishers[topic].publish(ros.chunk_to_msg(chunk))


@pytest.fixture(scope="module")
def road(module_ros_domain, module_dds_domain, tmp_path_factory) -> Iterator[Road]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(module_ros_domain))
        options = Options(
            sim=True,
            ros_domain=module_ros_domain,
            dds_domain=module_dds_domain,
            run_dir=tmp_path_factory.mktemp("run"),
            sim_arguments=("--seed", "3"),
        )
        bringup = Bringup(options)
        bringup.start()
        try:
            with session() as operator:
                road = Road(operator, bringup)
                road.until(lambda: road.state == "STANDBY", "STANDBY")
                yield road
        finally:
            bringup.stop()


def test_nothing_moves_without_permission(road):
    """Instruction, chunks for head and arms: and still nobody has armed."""
    before = road.truth()
    road.operator.say("look at the red mug")
    for _ in range(5):
        now = ros.now_s(road.operator)
        road.send(graph.HEAD_INCREMENTS, ActionChunk(now, 0.1, g1.HEAD.names, np.full((5, 2), 0.05)))
        road.send(graph.ARM_INCREMENTS, ActionChunk(now, 0.1, g1.ARMS.names, np.full((5, 14), 0.05)))
        road.spin(0.2)
    road.operator.say("")
    after = road.truth()
    np.testing.assert_allclose(after.head, before.head, atol=5e-3)  # without torque the neck creeps by its weight
    np.testing.assert_allclose(after.arms, before.arms, atol=2e-3)


def test_only_those_who_have_pictures_share_memory(road):
    """Whoever starts a tool beside the graph must not hold up the joystick's word for a lock in it."""
    pids = road.bringup.pids.items()
    shares = {name for name, pid in pids if "/dev/shm/fastrtps" in Path(f"/proc/{pid}/maps").read_text()}
    assert shares == {"camera", "inference"}


def test_top_shows_every_stream_and_process(road, tmp_path):
    file = tmp_path / "top.json"
    command = [sys.executable, "-m", "sapave_ros.cli", "top", "--once", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(file.read_text())
    assert seen["state"] == road.state
    always = {graph.CAMERA_INFO, graph.JOINT_STATES, graph.HEALTH, graph.PERMIT, graph.TAKEOVER, graph.DIAGNOSTICS}
    assert not [t for t in always if seen["streams"][t]["wrong"] == "never"]
    assert {p.name for p in graph.PROCESSES if p.ros} <= set(seen["processes"])
    assert all(x["pid"] == road.bringup.pids[name] for name, x in seen["processes"].items() if name != "sim")
    assert "all is well" in done.stdout


def test_taking_control_moves_nothing(road):
    before = road.truth()
    road.arm()
    road.spin(0.5)
    after = road.truth()
    np.testing.assert_allclose(after.head, before.head, atol=5e-3)
    np.testing.assert_allclose(after.arms, before.arms, atol=0.02)


def test_a_chunk_by_hand_arrives_where_its_increments_add_up(road):
    road.arm()
    wanted = {
        "left_shoulder_pitch_joint": -0.35,
        "left_elbow_joint": -0.3,
        "right_shoulder_roll_joint": -0.25,
        "right_wrist_yaw_joint": 0.3,
    }
    before = road.truth().arms
    duration_s = road.operator.move(wanted)
    road.spin(duration_s + 1.5)
    expected = before + np.array([wanted.get(name, 0.0) for name in g1.ARMS.names])
    np.testing.assert_allclose(road.truth().arms, expected, atol=0.02)


def test_hands_follow_too(road):
    road.arm()
    before = road.truth().hands
    duration_s = road.operator.move({"R_index_proximal_joint": 0.6})
    road.spin(duration_s + 1.0)
    moved = road.truth().hands - before
    finger = g1.HANDS.names.index("R_index_proximal_joint")
    assert moved[finger] == pytest.approx(0.6, abs=0.05)
    assert np.abs(np.delete(moved, finger)).max() < 0.02


NAN = np.full((3, 14), np.nan)
STEPS = np.full((3, 14), 0.01)
BAD_CHUNKS = {
    "NaN": (lambda now: ActionChunk(now, 0.1, g1.ARMS.names, NAN), "not finite"),
    "unknown joint": (
        lambda now: ActionChunk(now, 0.1, ("left_elbow_joint", "tail_joint"), STEPS[:, :2]),
        "tail_joint",
    ),
    "twice the same": (
        lambda now: ActionChunk(now, 0.1, ("left_elbow_joint", "left_elbow_joint"), STEPS[:, :2]),
        "joint_names",
    ),
    "another's joint": (lambda now: ActionChunk(now, 0.1, g1.HEAD.names, STEPS[:, :2]), "head_yaw_joint"),
    "from the future": (lambda now: ActionChunk(now + 1.0, 0.1, g1.ARMS.names, STEPS), "future"),
    "long past": (lambda now: ActionChunk(now - 30.0, 0.1, g1.ARMS.names, STEPS), "stamp"),
    "too large": (lambda now: ActionChunk(now, 0.1, g1.ARMS.names, STEPS * 100), "increment too large"),
    "too fine": (lambda now: ActionChunk(now, 1e-4, g1.ARMS.names, STEPS * 1e-3), "dt"),
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_bad_chunk_is_refused_by_name_and_moves_nothing(road, name):
    make, message = BAD_CHUNKS[name]
    road.arm()
    road.spin(0.3)
    before = road.truth()
    refused = int(road.reported["sapave/arm"]["chunks_refused"])
    road.send(graph.ARM_INCREMENTS, make(ros.now_s(road.operator)))
    road.until(lambda: int(road.reported["sapave/arm"]["chunks_refused"]) > refused, f"refusal of {name}")
    assert message in road.reported["sapave/arm"]["last_refusal"]
    np.testing.assert_allclose(road.truth().arms, before.arms, atol=3e-3)
    np.testing.assert_allclose(road.truth().head, before.head, atol=3e-3)


def test_rows_of_another_length_are_refused_before_the_controller(road):
    """A message whose points do not match its names never becomes a chunk."""
    road.arm()
    before = road.truth()
    msg = ros.chunk_to_msg(ActionChunk(ros.now_s(road.operator), 0.1, g1.ARMS.names, STEPS))
    for point in msg.points:
        point.positions = point.positions[:5]
    road._publishers[graph.ARM_INCREMENTS].publish(msg)
    log = road.bringup.log_path("arm")
    road.until(lambda: "points[0].positions: 5 values" in log.read_text(), "the message in the log")
    np.testing.assert_allclose(road.truth().arms, before.arms, atol=3e-3)


def test_the_head_moves_when_told(road):
    """Not how well: that is the benchmark's. The model answers, the servo bus obeys, the neck turns."""
    road.arm()
    before = road.truth().head
    road.operator.say("look at the red mug")
    road.until(lambda: np.abs(road.truth().head - before).max() > 0.1, "the head turns")
    road.operator.say("")
    road.spin(2.5)  # the last chunk runs out, then it rests
    rest = road.truth().head
    road.spin(0.5)
    np.testing.assert_allclose(road.truth().head, rest, atol=3e-3)


def test_an_instruction_is_heard_however_it_is_sent(road):
    """`ros2 topic pub` sends volatile by default, which a latched subscription alone would never hear."""
    publisher = road.operator.create_publisher(String, graph.INSTRUCTION, 1)
    road.until(lambda: publisher.get_subscription_count() >= 2, "somebody listens")
    publisher.publish(String(data="find the blue ball"))
    said = lambda: road.reported.get("sapave/inference", {}).get("instruction")  # noqa: E731
    road.until(lambda: said() == "find the blue ball", "inference has heard it")
    road.operator.say("")
    road.until(lambda: said() == "", "and that it is over")


def test_disarm_gives_the_arms_back(road):
    road.arm()
    road.operator.call(graph.DISARM_SERVICE)
    road.until(lambda: road.reported["sapave/arm"]["phase"] == "IDLE", "arms released")
    assert float(road.reported["sapave/arm"]["weight"]) == 0.0


def test_emergency_stop_is_latched_until_reset(road):
    road.arm()
    road.operator.stop_now()
    road.until(lambda: road.state == "ESTOP", "ESTOP")
    with pytest.raises(OperatorError, match="refused"):
        road.operator.call(graph.ARM_SERVICE)
    road.until(lambda: road.reported["sapave/arm"]["phase"] == "IDLE", "arms released")
    with pytest.raises(OperatorError, match="refused"):  # its cause is not gone: the button is still pressed
        road.operator.call(graph.RESET_SERVICE)
    road.operator.release_stop()
    road.operator.call(graph.RESET_SERVICE)
    road.until(lambda: road.state == "STANDBY", "STANDBY after the reset")


def test_a_second_start_in_the_same_domain_is_refused(road):
    options = road.bringup.options
    with pytest.raises(BringupError, match="ros_domain: .* in use"):
        Bringup(options).start()


def test_a_killed_node_is_named_with_its_last_lines_and_nothing_stays_behind(road):
    """Last in this module: it ends the graph."""
    processes = [psutil.Process(pid) for pid in road.bringup.pids.values()]
    processes += [child for p in processes for child in p.children(recursive=True)]
    os.kill(road.bringup.pids["camera"], signal.SIGKILL)

    def died() -> bool:
        try:
            road.bringup.check()
        except BringupError as error:
            return "camera was killed by SIGKILL" in str(error) and "camera.log" in str(error)
        return False

    road.until(died, "the obituary")
    road.bringup.stop()
    _gone, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert not alive
    assert not (road.bringup.options.run_dir / "neck").exists()


def test_stopping_while_starting_leaves_nothing_behind(ros_domain, dds_domain, tmp_path):
    bringup = Bringup(Options(sim=True, ros_domain=ros_domain, dds_domain=dds_domain, run_dir=tmp_path))
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    before = set(psutil.Process().children(recursive=True))  # such as the tracker of multiprocessing
    started: list[psutil.Process] = []
    watcher = threading.Timer(0.9, lambda: started.extend(psutil.Process().children(recursive=True)))
    watcher.start()
    with pytest.raises(BringupError, match="stopped while starting"):
        bringup.start(stop)
    watcher.join()
    deadline_s = time.monotonic() + PATIENCE_S
    while stay := [p for p in started if p not in before and runs(p)]:
        assert time.monotonic() < deadline_s, stay
        time.sleep(0.05)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # ended between the two
        return False
