"""A bag replayed into a ROS domain of its own: what arrives there and when, and beside whom nothing does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from bag_room import Room
from bag_samples import BEGIN_NS, PERIOD_NS, fill, topics
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from sapave_ros import cli, graph, replay
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.replayed import replayed_topics
from sapave_ros.bag.writer import BagWriter
from sapave_ros.nodes import alone, ros
from sapave_ros.nodes.record import bag_topics

PATIENCE_S = 30.0
FREE = WriterParameters(keep_free_mb=0.0)
NUMBER = 30


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording") / "bag"
    writer = BagWriter(folder, topics(), FREE)
    samples = fill(writer, NUMBER)
    writer.close()
    return Bag(folder), samples


@pytest.fixture
def room(recording, ros_domain) -> Iterator[Callable[..., Room]]:
    rooms = []

    def make(bag: Bag = recording[0], **parameters) -> Room:
        rooms.append(Room(bag, **parameters))
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
    r.wait(lambda: bool(heard and r.data(graph.INSTRUCTION)), "nobody said the instruction")
    assert heard == ["look at cup 25"]
    assert samples[25][2] == r.data(graph.INSTRUCTION)[0], "what was last said before the start"


def test_a_bag_that_began_after_somebody_spoke_tells_inference_what_was_followed(room, tmp_path):
    """And what others said afterwards goes below the prefix: inference has one master."""
    streams = [graph.stream(t) for t in (graph.PERMIT, graph.INSTRUCTION, graph.FOLLOWED)]
    writer = BagWriter(tmp_path / "late", bag_topics(streams, compress=False), FREE)
    said = {0: (graph.FOLLOWED, "look at cup 1"), 10: (graph.INSTRUCTION, "cup 2"), 11: (graph.FOLLOWED, "cup 2")}
    for i in range(30):
        topic, text = said.get(i, (graph.PERMIT, ""))
        message = String(data=text) if text else ros.status("sapave/permit", b"\x00", "HOLD", {})
        writer.write(topic, BEGIN_NS + i * PERIOD_NS, bytes(serialize_message(message)))
    writer.close()
    r = room(bag=Bag(tmp_path / "late"))
    heard: list[str] = []
    kept = QoSProfile(depth=9, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    r.join("inference").create_subscription(String, graph.INSTRUCTION, lambda msg: heard.append(msg.data), kept)
    r.begin()
    r.play_to(5.0)
    r.wait(lambda: len(heard) >= 2, "not told")
    assert [text for text in heard if text] == ["look at cup 1", "cup 2"]
    assert not r.node.get_publishers_info_by_topic(graph.FOLLOWED), "that is for the inference node itself to say"


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
        ros.message_type(permit), replayed_topics([permit])[permit.topic],
        lambda d: heard.append((time.monotonic(), d)), QoSProfile(depth=100), raw=True,
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


def test_the_table_at_the_end_adds_up():
    from sapave_ros.bag.player import Tally

    text = replay.table({"/a": Tally(10, 1, 2), "/b/c": Tally(5, 0, 1)})
    assert text.splitlines()[-1].split() == ["all", "15", "1", "3"]
    assert "> 0.1 s late" in text.splitlines()[0]
