"""`sapave watch`: a bag and a live node on the screen, read back from the recording; the server; what it refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import rclpy
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import cli, g1, graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.writer import BagWriter
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.monitor.scene import Scene
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import bag_topics, compressed
from sapave_ros.types import ActionChunk, Mode, Permit

rr = pytest.importorskip("rerun", reason="rerun-sdk is not installed: pip install '.[watch]'")
from sapave_ros.watch.feed import Feed  # noqa: E402
from sapave_ros.watch.layout import layout  # noqa: E402
from sapave_ros.watch.recorded import play  # noqa: E402
from sapave_ros.watch.screen import PLOTS, Screen  # noqa: E402
from sapave_ros.watch.viewer import HOST, Viewer, ViewerError  # noqa: E402

PATIENCE_S = 120.0
BEGIN_S = 1_800_000_000.0
KINEMATICS = Kinematics.from_urdf()
ARMS = np.array([{**g1.ARMS_REST, **g1.ARMS_HOME}[name] for name in g1.OTHER.names])
HEAD = np.array([0.2, 0.4])
LENGTH_S = 2.0


def messages(t: float) -> Iterator[tuple[str, object]]:
    """What the graph says at ROS time t."""
    permit = Permit(t, 1, "ACTIVE", "armed", Mode.MOVE, Mode.MOVE, sent_s=t)
    yield graph.PERMIT, ros.permit_to_msg(permit)
    for topic, group, q in ((graph.HEAD_COMMAND, g1.HEAD, HEAD), (graph.ARM_COMMAND, g1.OTHER, ARMS)):
        yield topic, ros.joint_state_msg(group.names, t, q, q * 0)
        yield graph.JOINT_STATES, ros.joint_state_msg(group.names, t, q, q * 0)


def seen(stamp_s: float) -> Iterator[tuple[str, object]]:
    """A picture, and what the policy makes of it."""
    info = CameraInfo(width=64, height=48, k=[50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0], d=[0.0] * 5)
    info.header.stamp = ros.to_msg_time(stamp_s)
    yield graph.CAMERA_INFO, info
    yield graph.DEPTH, ros.image_msg(np.full((48, 64), 1500, np.uint16), "16UC1", stamp_s, "optical")
    yield graph.COLOR, ros.image_msg(np.full((48, 64, 3), 90, np.uint8), "rgb8", stamp_s, "optical")
    yield graph.GROUNDING, ros.image_msg(np.full((6, 8), 200, np.uint8), "mono8", stamp_s, "optical")
    chunk = ActionChunk(stamp_s, 0.1, g1.HEAD.names, np.full((10, 2), 0.01))
    yield graph.HEAD_INCREMENTS, ros.chunk_to_msg(chunk)


def write_bag(folder: Path, compress: bool = False) -> Path:
    """Two seconds of a robot that looks for a mug."""
    writer = BagWriter(folder, bag_topics(list(graph.STREAMS), compress), WriterParameters(keep_free_mb=0.0))
    for i in range(round(LENGTH_S * 50)):
        t = BEGIN_S + i * 0.02
        said = [(graph.INSTRUCTION, String(data="look at the red mug"))] if i == 10 else []
        for topic, msg in (*messages(t), *said, *(seen(t - 0.06) if i % 7 == 6 else ())):
            data = bytes(serialize_message(msg))
            if compress and topic == graph.COLOR:
                topic, data = f"{topic}/compressed", compressed(data)
            writer.write(topic, round(t * 1e9), data)
        if i % 10 == 0:
            writer.flush()  # what is damaged is lost by the chunk
    writer.close()
    return folder


class Tape:
    """Stands in for a recording of Rerun: keeps what is logged, with its time."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, object]] = []
        self.static: set[str] = set()
        self._now_s = float("nan")

    def set_time(self, timeline: str, *, timestamp: float) -> None:
        self._now_s = timestamp

    def log(self, entity: str, archetype: object, *, static: bool = False) -> None:
        if static:
            self.static.add(entity)
        else:
            self.rows.append((self._now_s, entity, archetype))

    def flush(self) -> None:
        """Nothing waits."""

    def of(self, entity: str) -> list[object]:
        return [archetype for _, e, archetype in self.rows if e == entity]

    @property
    def entities(self) -> set[str]:
        return {entity for _, entity, _ in self.rows}


MOVING = {
    *(f"torso/{who}/{kind}" for who in ("robot", "ghost") for kind in ("boxes", "cylinders")),
    "torso/camera", "torso/camera/image", "torso/cloud", "torso/gaze", "torso/path/gaze",
    *(f"joints/{name}/{what}" for name in PLOTS for what in ("measured", "commanded")),
    "state/permit", "state/banner", "log",
    *(f"latency/head/{stage}" for stage in ("camera", "inference", "control", "whole")),
}  # fmt: skip


def played(bag: Bag) -> Tape:
    tape = Tape()
    scene = Scene(KINEMATICS)
    play(bag, Feed(scene, Screen(tape, KINEMATICS)))
    return tape


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "mug")


def test_all_of_a_bag_is_on_the_screen_at_its_own_time(bag):
    tape = played(Bag(bag))
    assert tape.entities >= MOVING, MOVING - tape.entities
    assert {"torso/standing/boxes", "torso", "joints/head/measured"} <= tape.static
    times = [t for t, _, _ in tape.rows]
    assert min(times) >= BEGIN_S - 0.1 and max(times) <= BEGIN_S + LENGTH_S
    (state,) = tape.of("state/permit")
    assert "ACTIVE" in str(state)
    said = "".join(str(row) for row in tape.of("log"))
    assert "ACTIVE: armed" in said and "look at the red mug" in said


def test_a_picture_that_the_policy_has_looked_at_is_shown_with_what_it_saw(bag):
    tape = played(Bag(bag))
    shown = [t for t, entity, _ in tape.rows if entity == "torso/camera/image"]
    stamps = [BEGIN_S + i * 0.02 - 0.06 for i in range(round(LENGTH_S * 50)) if i % 7 == 6]
    np.testing.assert_allclose(np.unique(np.round(shown, 3)), np.round(stamps, 3), atol=2e-3)


def test_a_bag_that_begins_anew_is_shown_anew(bag):
    """As one that is played in a loop. What was kept of the last time goes."""
    tape, kept = Tape(), []
    feed = Feed(Scene(KINEMATICS), Screen(tape, KINEMATICS))
    for _ in range(3):
        play(Bag(bag), feed)
        kept.append(len(feed._pictures))
    images = [t for t, entity, _ in tape.rows if entity == "torso/camera/image"]
    once = sum(entity == "torso/camera/image" for _, entity, _ in played(Bag(bag)).rows)
    assert len(images) >= 3 * once - 3
    assert len(set(kept)) == 1, "pictures of the last time are kept"


def test_pictures_that_were_compressed_are_shown_like_others(tmp_path):
    assert "torso/camera/image" in played(Bag(write_bag(tmp_path / "small", compress=True))).entities


def test_of_a_damaged_bag_all_before_the_damage_is_shown(bag, tmp_path):
    file = next(bag.glob("*.mcap"))
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    damaged = Bag(cut)
    assert damaged.damage
    tape = played(damaged)
    last_s = max(m.stamp_ns for m in damaged.messages()) * 1e-9
    assert tape.entities and max(t for t, _, _ in tape.rows) == pytest.approx(last_s, abs=0.11)
    assert "damaged: cut.mcap: ends within a record" in str(tape.of("log")[-1])


def test_what_is_no_longer_so_is_taken_away():
    tape, scene = Tape(), Scene(KINEMATICS)
    feed = Feed(scene, Screen(tape, KINEMATICS))
    for i in range(60):
        t = BEGIN_S + i * 0.02
        for topic, msg in (*messages(t), *(seen(t - 0.06) if i == 55 else ())):
            if topic not in (graph.DEPTH, graph.COLOR, graph.GROUNDING):
                feed.message(topic, msg, t, t)
        feed.show(t, t)
    assert not isinstance(tape.of("torso/ghost/boxes")[-1], rr.Clear) and tape.of("torso/path/gaze")
    feed.show(t + 5.0, t + 5.0)
    for entity in ("torso/ghost/boxes", "torso/path/gaze"):
        assert isinstance(tape.of(entity)[-1], rr.Clear), f"{entity} is shown, and nobody says so any more"
    assert "no permit" in str(tape.of("state/permit")[-1])


def test_the_graph_is_shown_as_its_bag_is(ros_domain):
    """The real clock, real topics, pictures included."""
    from sapave_ros.watch.live import WatchNode

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    tape = Tape()
    node = rclpy.create_node("graph")
    out = {s.topic: ros.publisher(node, s) for s in graph.STREAMS}
    gone: list[str | None] = [None]
    watch = WatchNode(Feed(Scene(KINEMATICS), Screen(tape, KINEMATICS)), lambda: gone[0])
    executor = ros.make_executor()
    for each in (node, watch):
        executor.add_node(each)
    try:
        deadline_s, i = time.monotonic() + PATIENCE_S, 0
        while not tape.entities >= MOVING:
            assert time.monotonic() < deadline_s, MOVING - tape.entities
            now_s, i = ros.now_s(node), i + 1
            for topic, msg in (*messages(now_s), *(seen(now_s - 0.06) if i % 7 == 6 else ())):
                out[topic].publish(msg)
            until_s = time.monotonic() + 0.02
            while time.monotonic() < until_s:
                executor.spin_once(timeout_sec=0.005)
        mine = {t for t, _ in watch.get_publisher_names_and_types_by_node("watch", "/")}
        assert mine <= {"/rosout", "/parameter_events"}, "it says nothing"
        assert watch.failure() is None
        gone[0] = "the server has ended"
        assert watch.failure() == "the server has ended"
    finally:
        executor.shutdown()
        for each in (node, watch):
            each.destroy_node()
        rclpy.try_shutdown()


def test_rerun_can_read_what_is_written(bag, tmp_path):
    file = tmp_path / "mug.rrd"
    recording = rr.RecordingStream("sapave_watch")
    recording.save(file, default_blueprint=layout())
    play(Bag(bag), Feed(Scene(KINEMATICS), Screen(recording, KINEMATICS)))
    recording.flush()
    recording.disconnect()
    command = [sys.executable, "-m", "rerun_cli", "rrd", "stats", str(file)]
    stats = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | quiet(tmp_path)).stdout
    for entity in MOVING:
        assert f"\n/{entity}: " in stats, entity


def quiet(folder: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


# ---- the process ----


def free_port() -> int:
    """Of two that are free, the lower one."""
    for port in range(19400, 19600, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind((HOST, port))
                two.bind((HOST, port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_a_bag_in_a_browser_until_ctrl_c_on_this_computer_alone(bag):
    port = free_port()
    command = [sys.executable, "-m", "sapave_ros.cli", "watch", str(bag), "--port", str(port), "--memory", "64"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        said = [next(line for line in lines if "open http" in line)]
        said.append(next(line for line in lines if "all that can be read is shown" in line))
        with urllib.request.urlopen(said[0].split()[1], timeout=PATIENCE_S) as page:
            assert page.status == 200 and b"Rerun" in page.read()
        children = psutil.Process(process.pid).children(recursive=True)
        listening = [c.laddr for p in children for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert sorted(listening) == [(HOST, port), (HOST, port + 1)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        assert not psutil.wait_procs(children, timeout=PATIENCE_S)[1], "its server is gone too"
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_named(bag, capsys):
    port = free_port()
    with socket.socket() as taken:
        taken.bind((HOST, port + 1))
        taken.listen()
        assert cli.main(["watch", str(bag), "--port", str(port)]) == 1
        with pytest.raises(ViewerError, match=f"port {port + 1} is in use"):
            Viewer(port, 64)
    error = capsys.readouterr().err
    assert f"port {port + 1} is in use; expected two free ones" in error and "--port N" in error
    for arguments, text in ((["--port", "80"], "port: 80; expected 1024"), (["--memory", "1"], "memory: 1 MB")):
        assert cli.main(["watch", str(bag), *arguments]) == 2
        assert text in capsys.readouterr().err


def test_without_rerun_it_says_what_is_missing(bag, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert cli.main(["watch", str(bag)]) == 2
    assert "pip install '.[watch]'" in capsys.readouterr().err


def test_a_bag_that_is_none_is_named_before_anything_is_served(tmp_path, capsys):
    assert cli.main(["watch", str(tmp_path / "nothing")]) == 2
    assert "nothing is not there; expected the folder of a bag" in capsys.readouterr().err
