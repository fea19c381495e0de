"""A bag replayed into a ROS domain of its own: what arrives there, under which names, and beside whom nothing does."""

from __future__ import annotations

import importlib
import os
import pty
import subprocess
import sys
import threading
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from bag_samples import BEGIN_NS, PERIOD_NS, fill, topics
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from test_inference_node import SlowPolicy

from sapave_ros import cli, g1, graph, keys, replay
from sapave_ros.bag import replayed
from sapave_ros.bag.metadata import Topic
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.player import Player, PlayParameters
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.bag.replayed import Present, company, replayed_sources, replayed_topic, watched_topics
from sapave_ros.bag.writer import BagWriter
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.nodes import alone, inference, record, ros
from sapave_ros.nodes.record import bag_topics
from sapave_ros.nodes.replay import ReplayNode, conversions, decompressed, nothing_said, perishable
from sapave_ros.types import Observation

PATIENCE_S = 30.0
NUMBER = 30
FREE = WriterParameters(keep_free_mb=0.0)
FED = {graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.JOINT_STATES, graph.INSTRUCTION}
"""What inference needs. Only the test knows these names; the code reads the table."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording") / "bag"
    writer = BagWriter(folder, topics(), FREE)
    samples = fill(writer, NUMBER)
    writer.close()
    return Bag(folder), samples


# Names


@pytest.mark.parametrize("stream", graph.STREAMS, ids=lambda s: s.topic)
def test_what_moves_or_watches_hears_nothing_of_a_bag_but_what_inference_needs(stream):
    name = replayed_topic(stream)
    if {"head", "arm", "teleop", "watchdog"} & set(stream.subscribers):
        assert name != stream.topic or stream.topic in FED
    assert (name == stream.topic) == (stream.topic in FED)
    assert name in (stream.topic, f"/replay{stream.topic}")
    assert name == stream.topic or name not in {s.topic for s in graph.STREAMS}


def test_what_a_controller_also_takes_keeps_its_prefix_though_inference_takes_it():
    """Should inference one day hear permits, or anything of a node that the table does not have yet."""
    for others in [("head",), ("arm", "*"), ("teleop",), ("gripper",)]:
        stream = graph.Stream("/x", "std_msgs/String", ("*",), ("inference", *others), graph.Qos.EVENT, None, None, "")
        assert replayed_topic(stream) == "/replay/x"


def test_only_inference_may_be_there():
    assert set(replayed.STRANGERS) == {p.name for p in graph.PROCESSES if p.ros} - {"inference"}
    assert company(Present(["/replay", "/inference", "/rviz", "/arm_viewer"], {"/joint_states": []})) is None
    for name in ("/arm", "/head", "/watchdog", "/teleop", "/camera", "/robot_1/arm"):
        said = company(Present(["/inference", name], {}))
        assert said is not None and f"node {name} is in this ROS domain" in said


def test_publishers_of_what_is_replayed_and_of_what_gives_a_robot_away_are_company():
    watched = watched_topics(graph.STREAMS)
    assert FED | {graph.CLOCK, graph.PERMIT, graph.HEAD_COMMAND, graph.ARM_COMMAND, graph.TAKEOVER} <= set(watched)
    assert not {graph.HEAD_INCREMENTS, graph.HEALTH, graph.GROUNDING, graph.DIAGNOSTICS} & set(watched), "inference's"
    # What is not replayed somebody else may publish: an instruction by hand, to the pictures of a bag.
    assert graph.INSTRUCTION not in watched_topics([graph.stream(graph.COLOR)])
    said = company(Present(["/x"], {graph.PERMIT: ["/renamed_watchdog"]}))
    assert said is not None and "node /renamed_watchdog publishes /sapave/permit" in said


def test_what_the_table_does_not_have_is_never_replayed(tmp_path):
    foreign = Topic("/tf", "std_msgs/String", "string data\n")
    writer = BagWriter(tmp_path / "bag", [*topics(), foreign], FREE)
    fill(writer, 10)
    writer.write("/tf", BEGIN_NS, b"\0\1\0\0\0\0\0\0")
    writer.close()
    bag = Bag(tmp_path / "bag")
    assert "/tf" not in [s.recorded for s in replayed_sources(bag)]
    assert replayed.left_out(bag) == ["/tf"]
    with pytest.raises(BagError, match=r"topics: '/tf' is no stream of the graph; expected of /joint_states"):
        replayed_sources(bag, ["/tf"])


def test_messages_of_another_type_are_refused(tmp_path):
    permit = graph.stream(graph.PERMIT)
    (right,) = bag_topics([permit], compress=False)
    for topic, said in (
        (Topic(right.name, "std_msgs/String", "string data\n"), r"type: /sapave/permit is 'std_msgs/msg/String'"),
        (Topic(right.name, right.type, "", "RIHS01_00"), r"type_hash: /sapave/permit has RIHS01_00"),
    ):
        folder = tmp_path / topic.type.replace("/", "_")
        writer = BagWriter(folder, [topic], FREE)
        writer.write(right.name, BEGIN_NS, b"\0\1\0\0\0\0\0\0")
        writer.close()
        with pytest.raises(BagError, match=said):
            replayed_sources(Bag(folder))


def test_rosbag2_plays_the_same_under_the_same_names():
    words = replayed.rosbag2_command(Path("bag"), graph.STREAMS, 2.0, 1.5, loop=True, paused=True)
    assert words[:6] == ["ros2", "bag", "play", "bag", "--clock", "100"]
    assert words[6:12] == ["--rate", "2", "--start-offset", "1.5", "--loop", "--start-paused"]
    topics, remap = words.index("--topics"), words.index("--remap")
    assert words[topics + 1 : remap] == [s.topic for s in graph.STREAMS], "and nothing that the table does not have"
    renamed = dict(rule.split(":=") for rule in words[remap + 1 :])
    for stream in graph.STREAMS:
        assert renamed.get(stream.topic, stream.topic) == replayed_topic(stream)


def test_the_launch_file_starts_the_player_when_the_guard_says_so(monkeypatch):
    """By stand-ins for `launch`, which is not everywhere: what it is told, not what it does."""
    launch = {name: types.ModuleType(name) for name in (
        "launch", "launch.actions", "launch.event_handlers", "launch.events", "launch.events.process",
        "launch.launch_description_entity", "launch_ros", "launch_ros.actions",
    )}  # fmt: skip
    for module in launch.values():
        module.__getattr__ = lambda name: lambda *args, **kwargs: SimpleNamespace(kind=name, args=args, **kwargs)
    for name, module in launch.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("launching", "launching_replay"):
        monkeypatch.delitem(sys.modules, f"sapave_ros.{name}", raising=False)
    module = importlib.import_module("sapave_ros.launching_replay")
    monkeypatch.delitem(sys.modules, "sapave_ros.launching", raising=False)
    monkeypatch.delitem(sys.modules, "sapave_ros.launching_replay", raising=False)
    given = {"bag": "b", "rate": "2.0", "start": "0.0", "loop": "true", "paused": "false", "topics": graph.PERMIT}
    *_, handler, guard = module._actions(SimpleNamespace(launch_configurations=given))
    assert guard.cmd[1:] == ["-m", "sapave_ros.nodes.alone", "--besides", "rosbag2_player", graph.PERMIT]
    event = handler.args[0]
    assert event.target_action is guard
    assert event.on_stdout(SimpleNamespace(text=b"alone: ready\n")) == []
    (player,) = event.on_stdout(SimpleNamespace(text=b"alone: alone\n"))
    assert player.cmd == replayed.rosbag2_command(Path("b"), [graph.stream(graph.PERMIT)], 2.0, loop=True)
    assert player.on_exit.kind == guard.on_exit.kind == "Shutdown"
    with pytest.raises(ValueError, match=r"parameter rate: 0\.0"):
        module._actions(SimpleNamespace(launch_configurations=given | {"rate": "0"}))


def picture() -> np.ndarray:
    """A colour picture without sharp edges."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 3, y * 4, 255 - x - y], axis=-1).astype(np.uint8)


def test_a_compressed_picture_goes_out_as_the_camera_sends_it(tmp_path):
    color = graph.stream(graph.COLOR)
    sent = ros.image_msg(picture(), "rgb8", 12.5, "optical")
    small = record.compressed(bytes(serialize_message(sent)))
    writer = BagWriter(tmp_path / "bag", bag_topics([color], compress=True), FREE)
    for i in range(3):
        writer.write(f"{graph.COLOR}/compressed", BEGIN_NS + i * PERIOD_NS, small)
    writer.close()
    bag = Bag(tmp_path / "bag")
    (source,) = replayed_sources(bag)
    assert (source.recorded, replayed_topic(source.stream)) == (f"{graph.COLOR}/compressed", graph.COLOR)
    assert replayed.left_out(bag) == []
    convert = conversions([source])
    with closing(Player(bag, None, [source.recorded], {}, perishable([source]), convert=convert)) as player:
        assert player.wait_ready(PATIENCE_S)
        got = deserialize_message(player.next(0.0).data, Image)
    assert got.header == sent.header
    assert np.abs(ros.image_array(got).astype(int) - picture()).max() < 12
    with pytest.raises(ValueError, match=r"format: 'x', 3 bytes; expected a picture"):
        decompressed(bytes(serialize_message(CompressedImage(format="x", data=[1, 2, 3]))))


# What our own node makes of it


def exposure(i: int) -> list[tuple[str, int, bytes]]:
    """The i-th picture with depth and intrinsics and the joints before and after it, 30 a second."""
    stamp_s = BEGIN_NS * 1e-9 + i / 30.0
    info = CameraInfo(k=[300.0, 0.0, 3.0, 0.0, 300.0, 2.0, 0.0, 0.0, 1.0])
    info.header.stamp = ros.to_msg_time(stamp_s)
    messages = [
        (graph.COLOR, stamp_s, ros.image_msg(np.full((4, 6, 3), i, np.uint8), "rgb8", stamp_s, "optical")),
        (graph.DEPTH, stamp_s, ros.image_msg(np.full((4, 6), 1000, np.uint16), "16UC1", stamp_s, "optical")),
        (graph.CAMERA_INFO, stamp_s, info),
    ]
    for group in (g1.HEAD, g1.OTHER):
        for t in (stamp_s - 0.01, stamp_s + 0.01):
            position = np.full(len(group), (t - BEGIN_NS * 1e-9) * 0.1)
            messages.append((graph.JOINT_STATES, t, ros.joint_state_msg(group.names, t, position)))
    messages.sort(key=lambda m: m[1])
    return [(topic, round(t * 1e9) + 2_000_000, bytes(serialize_message(m))) for topic, t, m in messages]


def exposures(number: int) -> list[tuple[str, int, bytes]]:
    return sorted((s for i in range(number) for s in exposure(i)), key=lambda s: s[1])


PICTURED = (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.JOINT_STATES)


def observed(builder: ObservationBuilder, player: Player, to_s: float, now_s: float = 0.0) -> dict[float, Observation]:
    """What the builder makes of what is played until then, by stamp; it lives in the bag's time, as a node would."""
    found = {}
    while now_s < to_s - 1e-9:
        now_s = min(now_s + 1.0 / 120.0, to_s)
        assert player.wait_ready(PATIENCE_S)
        while (message := player.next(now_s)) is not None:
            msg = deserialize_message(message.data, ros.message_type(graph.stream(message.topic)))
            stamp_s = ros.stamp_s(msg.header.stamp)
            if message.topic == graph.JOINT_STATES:
                builder.joints.add(msg.name, stamp_s, np.asarray(msg.position))
            elif message.topic == graph.CAMERA_INFO:
                builder.add_intrinsics(stamp_s, np.asarray(msg.k).reshape(3, 3))
            else:
                add = builder.add_color if message.topic == graph.COLOR else builder.add_depth
                add(stamp_s, ros.image_array(msg))
            observation = builder.take(player.clock_ns(now_s) * 1e-9, "look")
            if isinstance(observation, Observation):
                found[observation.stamp_s] = observation
    return found


@pytest.mark.parametrize("back_s", [0.1, 0.9, 1.5, 2.9])
def test_an_observation_after_a_jump_back_is_what_it_was_before_it(tmp_path, back_s):
    """Time goes back by a jump or a loop: at most the pictures that were being collected then are lost by it."""
    topics = [graph.stream(t) for t in PICTURED]
    writer = BagWriter(tmp_path / "bag", bag_topics(topics, compress=False), FREE)
    for s in exposures(100):
        writer.write(*s)
    writer.close()
    builder = ObservationBuilder(lambda head: np.diag([*head, 1.0, 1.0]))
    with closing(Player(Bag(tmp_path / "bag"))) as player:
        before = observed(builder, player, 3.0)
        assert len(before) >= 85
        player.seek(player.at_ns(3.0) - round(back_s * 1e9), 3.0)
        after = observed(builder, player, 3.0 + back_s, 3.0)
    expected = [t for t in before if t > BEGIN_NS * 1e-9 + 3.0 - back_s]
    assert len(set(expected) - set(after)) <= 9
    assert back_s < 0.5 or after
    for stamp_s in set(before) & set(after):
        np.testing.assert_array_equal(before[stamp_s].rgb, after[stamp_s].rgb)
        np.testing.assert_allclose(before[stamp_s].joint_positions, after[stamp_s].joint_positions, atol=1e-9)


# On the wire


class Room:
    """A ROS context with a node that hears what is replayed, and a replay on a clock that the test moves."""

    def __init__(self, bag: Bag, **parameters) -> None:
        self.now_s = 0.0
        self.heard: list[tuple[str, bytes]] = []
        self.times: list[int] = []
        self.said: list[str] = []
        self.executor = ros.make_executor()
        self.nodes: list[Node] = []
        self.listener = self.join("listener")
        sources = replayed_sources(bag)
        for stream in [s.stream for s in sources]:
            profile = QoSProfile(depth=100, reliability=ros.qos(stream).reliability)
            self.listener.create_subscription(
                ros.message_type(stream), replayed_topic(stream), self._hearer(stream.topic), profile, raw=True
            )
        self.listener.create_subscription(Clock, graph.CLOCK, self._on_clock, QoSProfile(depth=1000))
        self.player = Player(
            bag,
            PlayParameters(**parameters),
            [s.recorded for s in sources],
            nothing_said(sources),
            perishable(sources),
            self.said.append,
        )
        assert self.player.wait_ready(PATIENCE_S)
        self.node = ReplayNode(self.player, sources, now_s=lambda: self.now_s)
        self.nodes.append(self.node)
        self.executor.add_node(self.node)

    def _hearer(self, topic: str) -> Callable[[bytes], None]:
        return lambda data: self.heard.append((topic, data))

    def _on_clock(self, msg: Clock) -> None:
        self.times.append(msg.clock.sec * 1_000_000_000 + msg.clock.nanosec)

    def join(self, name: str) -> Node:
        """One node more in the domain."""
        node = rclpy.create_node(name)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def leave(self, node: Node) -> None:
        self.executor.remove_node(node)
        self.nodes.remove(node)
        node.destroy_node()

    def wait(self, done: Callable[[], bool], what: str = "") -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, what
            self.executor.spin_once(timeout_sec=0.02)

    def begin(self) -> list:
        """Opens the replay, and waits until the listener hears it; returns its publishers."""
        self.node.look()
        self.now_s += alone.LOOK_S
        self.node.look()
        assert self.node.failure() is None
        publishers = list(self.node._publishers_by_topic.values()) + [self.node._clock_publisher]
        self.wait(lambda: all(p.get_subscription_count() for p in publishers), "nobody is connected")
        self.now_s = 0.0
        self.node.step()
        return publishers

    def play_to(self, at_s: float, step_s: float = PERIOD_NS * 1e-9 / 2) -> None:
        """Moves the clock there by steps; of what is reliable everything that was sent has been heard then."""
        reliable = [
            t for t in self.player.tallies if ros.qos(graph.stream(t)).reliability == ReliabilityPolicy.RELIABLE
        ]
        while self.now_s < at_s - 1e-9 and not self.player.ended:
            self.now_s = min(self.now_s + step_s, at_s)
            assert self.player.wait_ready(PATIENCE_S)
            self.node.step()
            self.wait(lambda: all(self.count(t) >= self.player.tallies[t].sent for t in reliable), "lost")

    def count(self, topic: str) -> int:
        return sum(t == topic for t, _ in self.heard)

    def data(self, topic: str) -> list[bytes]:
        return [d for t, d in self.heard if t == topic]

    def close(self) -> None:
        self.node.close()
        self.player.close()
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()


@pytest.fixture
def room(recording, ros_domain) -> Iterator[Callable[..., Room]]:
    rooms = []

    def make(**parameters) -> Room:
        rooms.append(Room(recording[0], **parameters))
        return rooms[-1]

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    yield make
    for r in rooms:
        r.close()
    rclpy.try_shutdown()


def by_topic(samples) -> dict[str, list[bytes]]:
    found = defaultdict(list)
    for topic, _, data in samples:
        found[topic].append(data)
    return found


def test_everything_arrives_as_it_was_recorded_and_time_with_it(room, recording):
    _, samples = recording
    r = room()
    r.begin()
    r.play_to(5.0)
    assert r.node.done()
    r.wait(
        lambda: r.count(graph.JOINT_STATES) >= len(by_topic(samples)[graph.JOINT_STATES]), "best effort, one machine"
    )
    for topic, data in by_topic(samples).items():
        assert r.data(topic) == data
    order = [t for t, _ in r.heard if t != graph.JOINT_STATES]
    assert order == [t for t, _, _ in samples if t != graph.JOINT_STATES]
    assert r.times == sorted(r.times)
    assert r.times[0] >= BEGIN_NS and r.times[-1] <= samples[-1][1] + PERIOD_NS
    steps_s = np.diff(r.times) * 1e-9
    assert steps_s.max() <= 1.0 / 50.0 + 1e-6, "at least 50 Hz of the clock on which it plays"
    names = dict(r.listener.get_topic_names_and_types())
    assert {"/joint_states", "/sapave/instruction", "/replay/sapave/permit", "/clock", "/replay/status"} <= set(names)
    assert not r.node.get_publishers_info_by_topic(graph.PERMIT), "a permit of a bag stays below the prefix"


def test_who_comes_late_hears_the_instruction(room, recording):
    _, samples = recording
    r = room(start_s=0.55)
    r.begin()
    heard: list[str] = []
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    r.join("late").create_subscription(String, graph.INSTRUCTION, lambda msg: heard.append(msg.data), kept)
    r.wait(lambda: bool(heard), "nobody said the instruction")
    assert heard == ["look at cup 25"]
    assert samples[25][2] == r.data(graph.INSTRUCTION)[0], "what was last said before the start"


def test_a_jump_back_is_said_and_resends_what_counts_there(room, recording):
    _, samples = recording
    r = room()
    r.begin()
    r.play_to(0.4)
    heard = len(r.data(graph.INSTRUCTION))
    r.node.seek(-0.3)
    assert r.said == ["from 0.400 s to 0.100 s"]
    r.play_to(0.42)
    r.wait(lambda: r.times[-1] < BEGIN_NS + 150_000_000, "the clock has not gone back")
    assert r.data(graph.INSTRUCTION)[heard:][-1:] == [samples[5][2]]
    nothing = bytes(serialize_message(String()))
    r.node.seek(-1.0)
    r.play_to(0.43)
    r.wait(lambda: r.data(graph.INSTRUCTION)[-1] == nothing, "nothing had been said then")


def test_services_and_keys_pause_and_go_on(room):
    r = room(paused=True)
    r.begin()
    states: list = []
    r.listener.create_subscription(
        ros.message_type(graph.stream(graph.PERMIT)), graph.REPLAY_STATUS, states.append, QoSProfile(depth=10)
    )
    clients = {
        s: r.listener.create_client(Trigger, s) for s in (graph.REPLAY_PAUSE_SERVICE, graph.REPLAY_RESUME_SERVICE)
    }

    def call(service: str) -> str:
        r.wait(clients[service].service_is_ready, service)
        future = clients[service].call_async(Trigger.Request())
        r.wait(future.done, f"{service}: no answer")
        assert future.result().success
        return future.result().message

    r.play_to(0.2)
    assert r.heard == [], "paused"
    assert call(graph.REPLAY_RESUME_SERVICE) == "playing at 0.0 of 0.6 s, rate 1"
    r.play_to(0.4)
    assert r.count(graph.PERMIT) == 4
    assert call(graph.REPLAY_PAUSE_SERVICE) == "paused at 0.2 of 0.6 s, rate 1"
    r.play_to(0.8)
    assert r.count(graph.PERMIT) == 4
    r.wait(lambda: bool(states) and states[-1].message.startswith("paused"), "no status")
    values = {v.key: v.value for v in states[-1].values}
    assert (values["paused"], values["position_s"], values["rate"]) == ("true", "0.200", "1")
    assert int(values["time_ns"]) == BEGIN_NS + 200_000_000
    for pressed, where in ((["space"], "playing at 0.2"), (["+", "+"], "rate 4"), (["-", "x"], "rate 2"),
                           (["left"], "playing at 0.0"), (["right"], "at 0.6")):  # fmt: skip
        r.node._keys = lambda pressed=pressed: pressed
        r.node._on_keys()
        assert where in r.node.status().message


def test_a_node_of_the_graph_that_is_there_keeps_a_replay_from_beginning(room):
    r = room()
    r.join("arm")
    r.wait(lambda: "arm" in r.node.get_node_names())
    r.now_s = 100.0
    r.node.look()
    assert r.node.failure().startswith("node /arm is in this ROS domain")
    r.node.look()
    assert r.node._publishers_by_topic == {} and r.node._clock_publisher is None, "nothing was published"


@pytest.mark.parametrize("name", ["arm", "joint_source"])
def test_who_comes_while_playing_stops_it(room, name):
    r = room()
    r.begin()
    r.play_to(0.1)
    r.node.look()
    assert r.node.failure() is None, "not of itself"
    newcomer = r.join(name)
    if name != "arm":
        ros.publisher(newcomer, graph.stream(graph.JOINT_STATES))
    r.wait(lambda: r.node.look() or r.node.failure() is not None, "nobody noticed")
    assert f"node /{name} " in r.node.failure()
    before = len(r.heard)
    r.now_s = 10.0
    r.node.step()
    r.executor.spin_once(timeout_sec=0.1)
    assert len(r.heard) == before and not r.player.ended, "nothing goes out any more"


def test_a_replay_beside_a_replay_stops(room):
    first, second = room(), room()
    first.begin()
    second.wait(lambda: second.node.look() or second.node.failure() is not None, "nobody noticed")
    assert "node /replay publishes" in second.node.failure()


def test_a_domain_that_somebody_claimed_is_not_played_into(room):
    def claimed() -> None:
        raise RuntimeError("ros_domain: 3 is in use")

    r = room()
    r.node._claim = claimed
    r.now_s = 100.0
    r.node.look()
    assert r.node.failure() == "ros_domain: 3 is in use"
    assert r.node._publishers_by_topic == {}


# An inference node that lives in the time of a bag


class PromptPolicy(SlowPolicy):
    """Answers at once."""

    def infer(self, *args, **kwargs):
        self.answer.release()
        return super().infer(*args, **kwargs)


@pytest.fixture
def sim_time(ros_domain) -> Iterator[None]:
    rclpy.init(args=["--ros-args", "-p", "use_sim_time:=true"], signal_handler_options=SignalHandlerOptions.NO)
    yield
    rclpy.try_shutdown()


@pytest.mark.e2e
def test_inference_answers_the_pictures_of_a_bag_in_its_time_and_goes_on_after_a_jump(sim_time, monkeypatch, tmp_path):
    topics = [graph.stream(t) for t in (*PICTURED, graph.INSTRUCTION)]
    writer = BagWriter(tmp_path / "bag", bag_topics(topics, compress=False), FREE)
    writer.write(graph.INSTRUCTION, BEGIN_NS - PERIOD_NS, bytes(serialize_message(String(data="look at the red mug"))))
    for s in exposures(100):
        writer.write(*s)
    writer.close()
    monkeypatch.setattr(inference, "OnnxPolicy", PromptPolicy)
    node = inference.InferenceNode()
    sent: list[float] = []
    monkeypatch.setattr(node._head, "publish", lambda msg: sent.append(ros.stamp_s(msg.header.stamp)))
    r = Room(Bag(tmp_path / "bag"))
    try:
        r.executor.add_node(node)
        publishers = r.begin()
        r.wait(lambda: all(p.get_subscription_count() > 1 for p in publishers), "inference does not listen")

        def play(for_s: float) -> list[float]:
            sent.clear()
            end_s = r.now_s + for_s
            while r.now_s < end_s:
                r.play_to(r.now_s + 0.01, 0.01)
                for _ in range(8):
                    r.executor.spin_once(timeout_sec=0.001)
            return [s - BEGIN_NS * 1e-9 for s in sent]

        before = play(2.0)
        assert 10 <= len(before) <= 16, "7.5 a second, by the time of the bag"
        assert before == sorted(before) and before[0] >= 0.0 and 1.5 < before[-1] <= 2.0
        r.node.seek(-1.5)
        again = play(1.0)
        new = [s for s in again if s < 1.6]
        assert len(again) - len(new) <= 1, "an answer that was on its way"
        assert 4 <= len(new) <= 9 and min(new) > 0.5
    finally:
        r.executor.remove_node(node)
        r.close()
        node.close()
        node.destroy_node()


# The command, on the real clock


@pytest.fixture
def in_process(monkeypatch, ros_domain):
    """`sapave replay` in this process, with less time to look around: nobody else is in this domain."""
    monkeypatch.setattr(alone, "LOOK_S", 0.5)
    yield
    while alone._CLAIMED:
        alone._CLAIMED.pop().close()


def listening(ready: threading.Event, stop: threading.Event, heard: list) -> None:
    """In a context of its own, as another process would be."""
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("listener", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    permit = graph.stream(graph.PERMIT)
    node.create_subscription(
        ros.message_type(permit), replayed_topic(permit), lambda d: heard.append((time.monotonic(), d)),
        QoSProfile(depth=100), raw=True,
    )  # fmt: skip
    ready.set()
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.e2e
def test_on_the_real_clock_it_takes_its_time_and_says_what_it_did(recording, in_process, capfd):
    bag, samples = recording
    ready, stop, heard = threading.Event(), threading.Event(), []
    listener = threading.Thread(target=listening, args=(ready, stop, heard))
    listener.start()
    try:
        assert ready.wait(PATIENCE_S)
        assert cli.main(["replay", str(bag.path), "--rate", "0.5"]) == 0
        permits = by_topic(samples)[graph.PERMIT]
        deadline_s = time.monotonic() + PATIENCE_S
        while len(heard) < len(permits) and time.monotonic() < deadline_s:
            time.sleep(0.01)
    finally:
        stop.set()
        listener.join()
    assert [d for _, d in heard] == permits
    recorded_s = [s * 1e-9 for t, s, _ in samples if t == graph.PERMIT]
    assert heard[-1][0] - heard[0][0] == pytest.approx((recorded_s[-1] - recorded_s[0]) / 0.5, abs=0.5)
    out = capfd.readouterr().out
    assert "/sapave/permit as /replay/sapave/permit" in out
    assert "/joint_states as /joint_states" in out
    assert "playing at 0.0 of 0.6 s, rate 0.5" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("all ")] == [["all", str(NUMBER)]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "0"], "parameter rate: 0.0; expected a number in 0.01..100"),
        (["--start", "7"], "start: 7 s; expected at most the bag's length, 0.580 s"),
        (["--duration", "-1"], "parameter duration_s: -1.0; expected a number ≥ 0.001 s"),
        (["--topics", "/joy"], "topics: '/joy' has no message in"),
        (["--topics", "/joy"], "expected of /joint_states, /sapave/instruction, /sapave/permit"),
    ],
)
def test_what_cannot_be_played_is_one_line(recording, capfd, words, said):
    assert cli.main(["replay", str(recording[0].path), *words]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("sapave: error: ") and said in line
    assert not any(t.name == "read-ahead" for t in threading.enumerate())


def test_no_bag_is_one_line(tmp_path, capfd):
    assert cli.main(["replay", str(tmp_path / "nothing")]) == 2
    assert "is not there; expected the folder of a bag, or an MCAP file" in capfd.readouterr().err


@pytest.mark.e2e
def test_a_damaged_bag_is_played_up_to_there_and_that_is_said(recording, in_process, tmp_path, capfd):
    file = tmp_path / "cut.mcap"
    file.write_bytes(recording[0].files[0].read_bytes()[:-100])
    assert cli.main(["replay", str(file), "--rate", "20"]) == 0
    out, err = capfd.readouterr()
    assert "damaged: cut.mcap: ends within a record" in err and "the bag is damaged; no more of it" in err
    assert int(out.splitlines()[-1].split()[1]) > 0


@pytest.mark.e2e
def test_beside_an_arm_the_command_refuses_with_code_1(recording, in_process, capfd):
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("arm", context=context)
    try:
        assert cli.main(["replay", str(recording[0].path)]) == 1
    finally:
        node.destroy_node()
        context.try_shutdown()
    assert "replay: error: node /arm is in this ROS domain" in capfd.readouterr().err


@pytest.mark.e2e
def test_the_guard_says_alone_and_ends_when_it_is_not(ros_domain):
    command = [sys.executable, "-m", "sapave_ros.nodes.alone", "--besides", "rosbag2_player", graph.JOINT_STATES]
    context, nodes = rclpy.Context(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as guard:
        try:
            assert guard.stdout is not None and guard.stderr is not None
            assert guard.stdout.readline() == "alone: ready\n"
            context.init()
            nodes.append(rclpy.create_node("rosbag2_player", context=context))
            ros.publisher(nodes[0], graph.stream(graph.JOINT_STATES))
            assert guard.stdout.readline() == "alone: alone\n"
            nodes.append(rclpy.create_node("head", context=context))
            assert guard.wait(PATIENCE_S) == 1
            assert "alone: error: node /head is in this ROS domain" in guard.stderr.read()
        finally:
            guard.kill()
            for node in nodes:
                node.destroy_node()
            context.try_shutdown()


# Keys


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b" ", ["space"]),
        (b"\x1b[D\x1b[C\x1b[A\x1b[B", ["left", "right", "up", "down"]),
        (b"\x1bOC+-=", ["right", "+", "-", "="]),
        (b"\x1b\n\xff q", ["space", "q"]),
        (b"", []),
    ],
)
def test_keys_have_names(data, names):
    assert keys.named(data) == names


def test_a_pipe_has_no_keys():
    read, write = os.pipe()
    with open(read) as stream, open(write, "w"), keys.Keys(stream) as there:
        assert not there.there
        assert there.pressed() == []


def test_a_terminal_gives_keys_without_enter_and_is_left_as_it_was():
    """In a process whose terminal it is."""
    code = (
        "import sys, termios, time\n"
        "from sapave_ros.keys import Keys\n"
        "before = termios.tcgetattr(0)\n"
        "with Keys(sys.stdin) as keys:\n"
        "    print('ready', keys.there, flush=True)\n"
        "    got, end = [], time.monotonic() + 30\n"
        "    while len(got) < 3 and time.monotonic() < end:\n"
        "        got += keys.pressed()\n"
        "        time.sleep(0.01)\n"
        "print('got', got, termios.tcgetattr(0) == before, flush=True)\n"
    )
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    try:
        while b"ready True" not in said:
            said += os.read(master, 1000)
        os.write(master, b" \x1b[C+")
        while b"got" not in said or not said.endswith(b"\n"):
            said += os.read(master, 1000)
    finally:
        os.waitpid(pid, 0)
        os.close(master)
    assert b"got ['space', 'right', '+'] True" in said


# What else of it is ours


def test_the_table_at_the_end_adds_up():
    from sapave_ros.bag.player import Tally

    text = replay.table({"/a": Tally(10, 1, 2), "/b/c": Tally(5, 0, 1)})
    assert text.splitlines()[-1].split() == ["all", "15", "1", "3"]
    assert "> 0.1 s late" in text.splitlines()[0]
