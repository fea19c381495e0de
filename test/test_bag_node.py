"""The recording node asks those who are there for their parameters, and again whoever was started anew."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import rclpy
import yaml
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from sapave_ros import graph
from sapave_ros.bag.recorder import Tally
from sapave_ros.bag.writer import Attachment
from sapave_ros.nodes import record, ros
from sapave_ros.nodes.record import RecordNode

WITHIN_S = 60.0


class Notes:
    """Stands in for the recorder: keeps what it is told."""

    def __init__(self) -> None:
        self.failure = None
        self.trouble = "the disk does not keep up"
        self.tallies = {graph.INSTRUCTION: Tally()}
        self.got: list[bytes] = []
        self.attached: dict[str, Attachment] = {}

    def put(self, topic: str, stamp_ns: int, data: bytes) -> None:
        self.got.append(data)

    def attach(self, make) -> None:
        self.attached.update({a.name: a for a in make()})


@pytest.fixture
def domain(ros_domain) -> Iterator[None]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    yield
    rclpy.try_shutdown()


class Spinning:
    """Nodes on one executor, spun until something is so."""

    def __init__(self, *nodes) -> None:
        self._executor = ros.make_executor()
        self._nodes = nodes
        for node in nodes:
            self._executor.add_node(node)

    def until(self, done) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not done():
            assert time.monotonic() < deadline_s
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._executor.shutdown()
        for node in self._nodes:
            node.destroy_node()


def inference(model: str):
    node = rclpy.create_node("inference")
    node.declare_parameter("model", model)
    node.declare_parameter("rates", [1.0, 2.0])
    return node


def test_every_node_is_asked_for_its_parameters(domain, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "LOOK_S", 0.1)
    notes = Notes()
    recording, first = RecordNode(notes, []), inference("")
    spinning = Spinning(recording, first)
    spinning.until(lambda: "parameters/inference.yaml" in notes.attached and "model.json" in notes.attached)
    told = yaml.safe_load(notes.attached["parameters/inference.yaml"].data)["inference"]["ros__parameters"]
    assert told["rates"] == [1.0, 2.0]
    assert told["model"] == ""
    assert len(json.loads(notes.attached["model.json"].data)["sha256"]) == 64
    first.destroy_node()
    spinning.until(lambda: not recording._answered)
    second = inference(str(tmp_path / "other.onnx"))
    spinning._executor.add_node(second)
    spinning.until(lambda: b"other.onnx" in notes.attached["model.json"].data)
    spinning._executor.remove_node(second)  # as if killed: listed, and answers nobody
    third = inference(str(tmp_path / "third.onnx"))
    spinning._executor.add_node(third)
    spinning.until(lambda: b"third.onnx" in notes.attached["model.json"].data)
    second.destroy_node()
    third.destroy_node()
    spinning.close()


def test_what_is_published_with_more_than_one_kind_of_qos_is_heard_once(domain):
    notes = Notes()
    stream = graph.stream(graph.INSTRUCTION)
    recording, speaker = RecordNode(notes, [stream]), rclpy.create_node("speaker")
    kept, volatile = ros.publisher(speaker, stream), speaker.create_publisher(String, stream.topic, 10)
    spinning = Spinning(recording, speaker)
    spinning.until(lambda: kept.get_subscription_count() == 3 and volatile.get_subscription_count() == 2)
    for i in range(5):
        kept.publish(String(data=f"kept {i}"))
        volatile.publish(String(data=f"volatile {i}"))
        spinning.until(lambda i=i: len(notes.got) == 2 * i + 2)
    end_s = time.monotonic() + 0.2  # an echo would come by then
    spinning.until(lambda: time.monotonic() > end_s)
    assert len(notes.got) == 10
    assert len(set(notes.got)) == 10
    spinning.close()


def test_what_is_dropped_is_said_with_the_reason(domain, capsys):
    notes = Notes()
    recording = RecordNode(notes, [])
    recording._say_dropped()
    assert capsys.readouterr().out == ""
    notes.tallies[graph.INSTRUCTION].dropped = 3
    recording._say_dropped()
    recording._say_dropped()
    assert capsys.readouterr().out == f"dropped: 3 of {graph.INSTRUCTION} (the disk does not keep up)\n"
    recording.destroy_node()


def test_depth_of_history_is_the_recorders_own(domain):
    """And that of the graph's own subscribers stays as the table has it."""
    recording = RecordNode(Notes(), list(graph.STREAMS))
    depths = {s.topic: s.qos_profile.depth for s in recording.subscriptions}
    assert depths[graph.COLOR] == record.PICTURES_WAITING
    assert depths[graph.PERMIT] == record.MESSAGES_WAITING
    assert ros.qos(graph.stream(graph.PERMIT)).depth == 1
    for s in recording.subscriptions:
        table = ros.qos(graph.stream(s.topic))
        assert (s.qos_profile.reliability, s.qos_profile.durability) == (table.reliability, table.durability) or (
            "*" in graph.stream(s.topic).publishers
        )
    recording.destroy_node()
