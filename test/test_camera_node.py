"""The camera process on the real clock: from the simulator's ring to ROS, with the delivery contract of the table."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from sapave_ros import graph
from sapave_ros.core.faults import Fault
from sapave_ros.drivers.frame_ring import FrameRingWriter
from sapave_ros.nodes import ros
from sapave_ros.share import share_path

pytestmark = pytest.mark.e2e

WIDTH, HEIGHT, RATE_HZ = 424, 240, 30
INTRINSICS = np.array([[300.0, 0, 212], [0, 300.0, 120], [0, 0, 1]])


STRIPES = (np.arange(WIDTH) // 40 % 2 * 40).astype(np.uint8)[None, :, None]


class Writer:
    """A simulator reduced to its camera: frame n has grey level n % 200 and stripes, stamped with the wall clock (ROS
    time). frozen: the first one again and again."""

    def __init__(self, path) -> None:
        self.frozen = False
        self.ring = FrameRingWriter(path, WIDTH, HEIGHT, INTRINSICS)
        self.stamps: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.ring.close()

    def _run(self) -> None:
        while not self._stop.wait(1 / RATE_HZ):
            grey = 0 if self.frozen else len(self.stamps) % 200
            stamp_s = time.time()
            rgb = np.broadcast_to(STRIPES + np.uint8(grey), (HEIGHT, WIDTH, 3))
            self.ring.write(stamp_s, rgb, np.full((HEIGHT, WIDTH), 1000 + grey, np.uint16))
            self.stamps.append(stamp_s)


@pytest.fixture
def environment(monkeypatch, ros_domain) -> int:
    """ROS on a domain of its own, with the transport profile where the package ships one: as bringup starts it."""
    try:
        monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(share_path("config/fastdds_pictures.xml")))
    except FileNotFoundError:
        monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    return ros_domain


@pytest.fixture
def listener(environment):
    """A node in this process that keeps every message of the camera."""
    import rclpy

    rclpy.init()
    node = rclpy.create_node("listener")
    received: dict[str, list] = {}
    for topic in (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.HEALTH, graph.DIAGNOSTICS):
        received[topic] = []
        ros.subscribe(node, graph.stream(topic), received[topic].append)

    def spin(until, timeout_s: float = 20.0) -> bool:
        end_s = time.monotonic() + timeout_s
        while not until(received) and time.monotonic() < end_s:
            rclpy.spin_once(node, timeout_sec=0.05)
        return bool(until(received))

    yield spin, received
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def camera(environment, tmp_path):
    """The camera process, started on a ring that does not exist yet."""
    command = [sys.executable, "-m", "sapave_ros.nodes.camera", "--ros-args", "-p", "source:=sim"]
    command += ["-p", f"ring:={tmp_path / 'ring'}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=20)


def test_pictures_arrive_whole_with_one_stamp_and_silence_has_a_reason(camera, listener, tmp_path) -> None:
    spin, received = listener
    assert camera.stdout.readline().strip() == "camera: ready"

    assert spin(lambda r: any(s.message.startswith("no frame for") for m in r[graph.DIAGNOSTICS] for s in m.status))
    assert received[graph.COLOR] == []

    writer = Writer(tmp_path / "ring")
    try:
        assert spin(lambda r: len(r[graph.COLOR]) >= 30 and len(r[graph.DEPTH]) >= 30)
        assert spin(lambda r: any(s.message == "delivering" for m in r[graph.DIAGNOSTICS] for s in m.status))
    finally:
        writer.close()

    def by_stamp(messages):
        return {(m.header.stamp.sec, m.header.stamp.nanosec): m for m in messages}

    color, depth, info = (by_stamp(received[t]) for t in (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO))
    triples = color.keys() & depth.keys() & info.keys()
    assert len(triples) >= 20
    sent = {round(s * 1e6): n % 200 for n, s in enumerate(writer.stamps)}
    for key in triples:
        grey = sent[key[0] * 1_000_000 + key[1] // 1000]
        assert (color[key].encoding, depth[key].encoding) == ("rgb8", "16UC1")
        assert np.all(np.frombuffer(color[key].data, np.uint8).reshape(HEIGHT, WIDTH, 3) == STRIPES + np.uint8(grey))
        assert np.all(np.frombuffer(depth[key].data, np.uint16) == 1000 + grey)
        assert (color[key].width, color[key].height, info[key].width, info[key].height) == (WIDTH, HEIGHT) * 2
        assert info[key].k.tolist() == INTRINSICS.ravel().tolist()
        assert {color[key].header.frame_id, depth[key].header.frame_id, info[key].header.frame_id} == {
            "camera_color_optical_frame"
        }

    camera.terminate()
    output, _ = camera.communicate(timeout=20)
    assert camera.returncode == 0
    assert re.search(r"simulated camera, frame ring \S+/ring: no frame for \d+ s: ring: ", output)
    assert "Traceback" not in output


def test_it_reports_all_the_time_and_a_picture_that_stands_still_by_name(camera, listener, tmp_path) -> None:
    spin, received = listener

    def reported(fault: Fault | None) -> bool:
        reports = [ros.report_from_msg(m) for m in received[graph.HEALTH][-1:]]
        assert all(r.node == "camera" and not r.held and not r.unknown for r in reports)
        return any(list(r.findings) == ([fault] if fault else []) for r in reports)

    assert camera.stdout.readline().strip() == "camera: ready"
    assert spin(lambda _: reported(None)), "a node without frames reports too: that they are missing is told by them"
    writer = Writer(tmp_path / "ring")
    try:
        assert spin(lambda r: len(r[graph.COLOR]) >= 20 and reported(None))
        writer.frozen = True
        assert spin(lambda _: reported(Fault.CAMERA_REPEATS))
        writer.frozen = False
        assert spin(lambda _: reported(None))
    finally:
        writer.close()


def test_a_parameter_that_cannot_be_ends_the_process_with_one_line(environment) -> None:
    command = [sys.executable, "-m", "sapave_ros.nodes.camera", "--ros-args", "-p", "source:=sim"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("camera: error: parameter ring: ''; expected")
