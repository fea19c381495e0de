"""The node `monitor` beside published streams on the real clock; its messages; what rviz is told to show."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
import yaml
from launch_stand_ins import launching
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import cli, g1, graph
from sapave_ros.core.kinematics import TORSO, Kinematics
from sapave_ros.monitor.eyes import Cloud
from sapave_ros.monitor.latency import Budget
from sapave_ros.monitor.quaternion import quaternion_xyzw
from sapave_ros.nodes import hearing, ros
from sapave_ros.nodes.monitor import MonitorNode
from sapave_ros.nodes.monitor_messages import cloud_msg, latency_status
from sapave_ros.share import share_path
from sapave_ros.types import ActionChunk, Mode, Permit

PATIENCE_S = 60.0
ARMS = np.array([{**g1.ARMS_REST, **g1.ARMS_HOME}[name] for name in g1.OTHER.names])
HEAD = np.array([0.2, 0.4])
HEARD = (*hearing.SMALL, *hearing.PICTURES)


class Graph:
    """Publishes what the graph would, in the same process as the monitor."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("graph")
        self.monitor = MonitorNode()
        self.got: dict[str, list] = {}
        self._out = {topic: ros.publisher(self.node, graph.stream(topic)) for topic in HEARD}
        self._executor = ros.make_executor()
        for node in (self.node, self.monitor):
            self._executor.add_node(node)

    def ask_for(self, *topics: str) -> None:
        streams = {s.topic: s for s in graph.MONITOR_STREAMS}
        for topic in topics:
            self.got[topic] = []
            ros.subscribe(self.node, streams[topic], self.got[topic].append)

    def say(self) -> None:
        """One of everything, as of now."""
        now_s, mono_s = ros.now_s(self.node), time.monotonic()
        permit = Permit(mono_s, 1, "ACTIVE", "armed", Mode.MOVE, Mode.MOVE, sent_s=mono_s)
        self._out[graph.PERMIT].publish(ros.permit_to_msg(permit))
        for topic, group, q in ((graph.HEAD_COMMAND, g1.HEAD, HEAD), (graph.ARM_COMMAND, g1.OTHER, ARMS)):
            self._out[topic].publish(ros.joint_state_msg(group.names, now_s, q))
            self._out[graph.JOINT_STATES].publish(ros.joint_state_msg(group.names, now_s, q))
        info = CameraInfo(width=64, height=48, k=[50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0])
        stamp_s = now_s - 0.1
        info.header.stamp = ros.to_msg_time(stamp_s)
        self._out[graph.CAMERA_INFO].publish(info)
        self._out[graph.DEPTH].publish(ros.image_msg(np.full((48, 64), 1500, np.uint16), "16UC1", stamp_s, "optical"))
        self._out[graph.COLOR].publish(ros.image_msg(np.full((48, 64, 3), 90, np.uint8), "rgb8", stamp_s, "optical"))
        for topic, group in ((graph.HEAD_INCREMENTS, g1.HEAD), (graph.ARM_INCREMENTS, g1.OTHER)):
            chunk = ActionChunk(stamp_s, 0.1, group.names, np.full((10, len(group)), 0.01))
            self._out[topic].publish(ros.chunk_to_msg(chunk))
        self._out[graph.INSTRUCTION].publish(String(data="look at the red mug"))

    def until(self, done, what: str) -> None:
        deadline_s, next_s = time.monotonic() + PATIENCE_S, 0.0
        while not done():
            assert time.monotonic() < deadline_s, f"{what}; got { ({t: len(m) for t, m in self.got.items()}) }"
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + 0.02
                self.say()
            self._executor.spin_once(timeout_sec=0.01)

    def readers(self, topic: str) -> list[str]:
        return [i.node_name for i in self.node.get_subscriptions_info_by_topic(topic)]

    def close(self) -> None:
        self._executor.shutdown()
        self.monitor.close()
        for node in (self.node, self.monitor):
            node.destroy_node()


@pytest.fixture
def beside(ros_domain) -> Iterator[Graph]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    running = Graph()
    yield running
    running.close()
    rclpy.try_shutdown()


def test_what_is_published_is_shown_and_nothing_else_is_read(beside):
    paths = tuple(graph.MONITOR_PATHS.values())
    beside.ask_for(graph.DIAGNOSTICS)
    beside.until(lambda: any("from exposure" in m.status[0].message for m in beside.got[graph.DIAGNOSTICS]), "latency")
    assert not {graph.MONITOR} & {*beside.readers(graph.COLOR), *beside.readers(graph.DEPTH)}, "nobody wants the cloud"

    beside.ask_for(graph.MONITOR_MARKERS, graph.MONITOR_CLOUD, *paths)
    drawn = lambda topic: [m for m in beside.got[topic] if m.poses]  # noqa: E731  (empty where a busy machine is late)
    beside.until(lambda: beside.got[graph.MONITOR_CLOUD] and all(drawn(p) for p in paths), "cloud and paths")
    good = lambda: [m for m in beside.got[graph.MONITOR_MARKERS] if any("ACTIVE" in x.text for x in m.markers)]  # noqa: E731
    beside.until(lambda: any(x.ns == "ghost" for m in good() for x in m.markers), "a state and a ghost")
    (shown,) = good()[-1:]
    assert {m.header.frame_id for m in shown.markers} == {TORSO}
    assert len({(m.ns, m.id) for m in shown.markers}) == len(shown.markers)
    assert {"ghost", "frustum", "gaze", "banner"} == {m.ns for m in shown.markers}
    assert 'told: "look at the red mug"' in "".join(m.text for m in shown.markers)
    kinematics = Kinematics.from_urdf()
    now = kinematics.frame_in_frame("L_middle_proximal", TORSO, dict(zip(g1.OTHER.names, ARMS)))
    first = drawn(graph.MONITOR_PATHS["left_hand"])[-1].poses[0].pose.position
    np.testing.assert_allclose([first.x, first.y, first.z], now[:3, 3], atol=0.1)
    cloud = beside.got[graph.MONITOR_CLOUD][-1]
    assert cloud.header.frame_id == TORSO and 0 < cloud.width <= 64 * 48 and [f.name for f in cloud.fields][3] == "rgb"
    out = beside.monitor.get_publisher_names_and_types_by_node(graph.MONITOR, "/")
    mine = {topic for topic, _ in out} - {"/rosout", "/parameter_events"}
    assert mine == {s.topic for s in graph.MONITOR_STREAMS}, "nothing else goes out"


def test_pictures_are_taken_only_as_long_as_somebody_wants_the_cloud(beside):
    beside.ask_for(graph.MONITOR_CLOUD)
    beside.until(lambda: graph.MONITOR in beside.readers(graph.DEPTH), "it takes pictures")
    for subscription in list(beside.node.subscriptions):
        beside.node.destroy_subscription(subscription)
    beside.until(lambda: graph.MONITOR not in beside.readers(graph.DEPTH), "it takes none any more")


def test_nobody_of_the_graph_reads_what_is_only_looked_at():
    for stream in graph.MONITOR_STREAMS:
        assert stream.subscribers == ("*",) and stream.publishers == (graph.MONITOR,)
        assert stream.topic == graph.DIAGNOSTICS or stream.topic not in {s.topic for s in graph.STREAMS}
        package, name = stream.type.split("/")
        assert hasattr(importlib.import_module(f"{package}.msg"), name)


def test_a_parameter_out_of_range_is_named(ros_domain, capsys):
    assert cli.main(["monitor", "--set", "cloud_hz"]) == 2
    assert "expected PARAMETER:=VALUE" in capsys.readouterr().err
    assert cli.main(["monitor", "--set", "cloud_hz:=99.0"]) == 2
    assert "parameter cloud_hz: 99.0; expected a number in 0.2..15 Hz" in capsys.readouterr().err


# ---- messages ----


@pytest.mark.parametrize("seed", range(30))
def test_a_rotation_and_its_quaternion_turn_alike(seed):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=4) if seed > 8 else np.eye(4)[seed % 4] + 1e-9 * rng.normal(size=4)
    x, y, z, w = q / np.linalg.norm(q)
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    assert abs(np.dot(quaternion_xyzw(rotation), [x, y, z, w])) == pytest.approx(1.0, abs=1e-9)


def test_a_cloud_is_read_back_as_it_was():
    points = np.arange(9, dtype=np.float32).reshape(3, 3)
    colours = np.array([[255, 0, 0], [0, 128, 0], [1, 2, 3]], np.uint8)
    msg = cloud_msg(Cloud(5.5, points, colours))
    read = np.frombuffer(bytes(msg.data), np.float32).reshape(3, 4)
    np.testing.assert_array_equal(read[:, :3], points)
    packed = np.ascontiguousarray(read[:, 3]).view(np.uint32)
    np.testing.assert_array_equal(np.column_stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255]), colours)
    assert (msg.point_step, msg.row_step, ros.stamp_s(msg.header.stamp)) == (16, 48, 5.5)
    assert cloud_msg(Cloud(5.5, points, None)).point_step == 12


def test_the_latency_budget_says_every_stage_and_the_whole():
    budget = Budget({"camera": 0.02, "inference": 0.05, "control": 0.01, "motion": 0.04}, 0.1, 7)
    status = latency_status({"head": budget})
    values = {v.key: v.value for v in status.values}
    assert status.message == "head: 120 ms from exposure to motion" and values["head_whole_ms"] == "120"
    assert sum(float(values[f"head_{s}_ms"]) for s in budget.stages_s) == pytest.approx(120.0)
    assert latency_status({}).message == "no chunk is followed"


def test_the_stamp_of_a_picture_is_read_without_reading_the_picture():
    msg = ros.image_msg(np.zeros((4, 4), np.uint16), "16UC1", 1_800_000_000.25, "optical")
    assert ros.stamp_of_serialized_s(bytes(serialize_message(msg))) == pytest.approx(1_800_000_000.25, abs=1e-6)


def test_a_lens_that_is_none_is_refused_by_name():
    from sapave_ros.monitor.scene import Scene

    scene = Scene(Kinematics.from_urdf())
    with pytest.raises(ValueError, match="k: .*focal lengths above 0"):
        hearing.hear(scene, graph.CAMERA_INFO, CameraInfo(width=64, height=48), 0.0, 0.0)
    with pytest.raises(ValueError, match="width x height: 0 x 0"):
        hearing.hear(scene, graph.CAMERA_INFO, CameraInfo(k=np.eye(3).ravel().tolist()), 0.0, 0.0)


# ---- rviz ----

RVIZ_TYPES = {
    "rviz_default_plugins/MarkerArray": "visualization_msgs/MarkerArray",
    "rviz_default_plugins/PointCloud2": "sensor_msgs/PointCloud2",
    "rviz_default_plugins/Path": "nav_msgs/Path",
    "rviz_default_plugins/Image": "sensor_msgs/Image",
}


def displays() -> list[dict]:
    config = yaml.safe_load(share_path("config/monitor.rviz").read_text())["Visualization Manager"]
    assert config["Global Options"]["Fixed Frame"] == TORSO
    return config["Displays"]


def test_everything_that_rviz_shows_is_published_with_that_type_and_reaches_it():
    streams = {s.topic: s for s in (*graph.STREAMS, *graph.MONITOR_STREAMS)}
    shown = [d for d in displays() if "Topic" in d]
    for display in shown:
        stream = streams[display["Topic"]["Value"]]
        assert RVIZ_TYPES[display["Class"]] == stream.type
        # Who asks for more than is offered gets nothing.
        assert display["Topic"]["Reliability Policy"] == "Best Effort" or stream.qos is not graph.Qos.SENSOR
        assert display["Topic"]["Durability Policy"] == "Volatile"
    mine = {s.topic for s in graph.MONITOR_STREAMS} - {graph.DIAGNOSTICS}
    assert {d["Topic"]["Value"] for d in shown} == mine | {graph.COLOR, graph.GROUNDING}
    (markers,) = [d for d in shown if d["Class"].endswith("MarkerArray")]
    assert set(markers["Namespaces"]) == {"ghost", "frustum", "gaze", "banner"}


def test_rviz_draws_the_links_whose_place_is_published():
    """robot_state_publisher has no transform for joints that nobody measures; rviz would draw them anywhere."""
    kinematics = Kinematics.from_urdf()
    known = kinematics.links_in_frame(TORSO, dict.fromkeys(g1.POLICY.names, 0.0))
    (model,) = [d for d in displays() if d["Class"].endswith("RobotModel")]
    off = {name for name, link in model["Links"].items() if isinstance(link, dict) and not link["Value"]}
    assert off == set(kinematics.link_names) - set(known)


def test_the_launch_file_starts_the_monitor_transforms_and_rviz(monkeypatch):
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    module = launching(monkeypatch, "launching_monitor")
    (actions,) = module.launch_monitor().args
    nodes = {a.package: a for a in actions if a.kind == "Node"}
    assert set(nodes) == {"sapave_ros", "robot_state_publisher", "rviz2"}
    assert nodes["sapave_ros"].executable == "monitor_node"
    assert "<robot" in nodes["robot_state_publisher"].parameters[0]["robot_description"]
    assert nodes["rviz2"].arguments[1].endswith("monitor.rviz")
    set_to = dict(a.args for a in actions if a.kind == "SetEnvironmentVariable")
    assert set_to["FASTRTPS_DEFAULT_PROFILES_FILE"].endswith("_record.xml")
