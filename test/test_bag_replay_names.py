"""Under which names a bag goes out, for every stream of the table, and who must not be there when it does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bag_samples import BEGIN_NS, PERIOD_NS, fill, topics
from launch_stand_ins import launching
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from sapave_ros import graph
from sapave_ros.bag import replayed
from sapave_ros.bag.metadata import Topic
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.player import Player
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.bag.replayed import Present, company, replayed_sources, replayed_topics, watched_topics
from sapave_ros.bag.writer import BagWriter
from sapave_ros.nodes import record, ros
from sapave_ros.nodes.record import bag_topics
from sapave_ros.nodes.replay import conversions, decompressed, perishable

PATIENCE_S = 30.0
FREE = WriterParameters(keep_free_mb=0.0)
FED = {graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.JOINT_STATES, graph.INSTRUCTION}
WITH = {"with what was followed": graph.STREAMS,
        "without": [s for s in graph.STREAMS if s.topic != graph.FOLLOWED]}  # fmt: skip
"""What inference needs. Only the test knows these names; the code reads the table."""


@pytest.mark.parametrize("streams", WITH.values(), ids=WITH)
def test_what_moves_or_watches_hears_nothing_of_a_bag_but_what_inference_needs(streams):
    names = replayed_topics(streams)
    assert set(names) == {s.topic for s in streams}
    assert len(set(names.values())) == len(names), "nothing has two sources"
    assert {name for name in names.values() if not name.startswith("/replay/")} == FED
    for topic, name in names.items():
        assert name in (topic, f"/replay{topic}") or (topic, name) == (graph.FOLLOWED, graph.INSTRUCTION)


def test_who_told_inference_what_to_do_is_told_apart_from_what_it_did():
    followed, said = graph.stream(graph.FOLLOWED), graph.stream(graph.INSTRUCTION)
    assert replayed_topics([followed, said]) == {followed.topic: said.topic, said.topic: f"/replay{said.topic}"}
    assert replayed_topics([said]) == {said.topic: said.topic}


def test_what_a_controller_also_takes_keeps_its_prefix_though_inference_takes_it():
    """Should inference one day hear permits, or anything of a node that the table does not have yet."""
    for others in [("head",), ("arm", "*"), ("teleop",), ("gripper",)]:
        stream = graph.Stream("/x", "std_msgs/String", ("*",), ("inference", *others), graph.Qos.EVENT, None, None, "")
        assert replayed_topics([stream]) == {"/x": "/replay/x"}


def test_only_inference_may_be_there():
    assert set(replayed.STRANGERS) == {p.name for p in graph.PROCESSES if p.ros} - {"inference"}
    assert company(Present(["/replay", "/inference", "/rviz", "/arm_viewer"], {"/joint_states": []})) is None
    for name in ("/arm", "/head", "/watchdog", "/teleop", "/camera", "/robot_1/arm"):
        said = company(Present(["/inference", name], {}))
        assert said is not None and f"node {name} is in this ROS domain" in said


def test_publishers_of_what_is_replayed_and_of_what_gives_a_robot_away_are_company():
    watched = watched_topics(graph.STREAMS)
    assert FED | {graph.CLOCK, graph.PERMIT, graph.HEAD_COMMAND, graph.ARM_COMMAND, graph.TAKEOVER} <= set(watched)
    assert graph.INSTRUCTION in watched_topics([graph.stream(graph.FOLLOWED)])
    inferences = {graph.FOLLOWED, graph.HEAD_INCREMENTS, graph.HEALTH, graph.GROUNDING, graph.DIAGNOSTICS}
    assert not inferences & set(watched)
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
    for topic, name in replayed_topics(graph.STREAMS).items():
        assert renamed.get(topic, topic) == name


def test_rosbag2_plays_only_what_it_leaves_whole():
    small = f"{graph.COLOR}/compressed"
    assert replayed.beyond_rosbag2({graph.COLOR: 9, graph.PERMIT: 9}, 0.0) == ""
    assert replayed.beyond_rosbag2({graph.COLOR: 9, small: 9}, 0.0) == ""
    assert small in replayed.beyond_rosbag2({small: 9}, 0.0)
    assert "before the start" in replayed.beyond_rosbag2({graph.COLOR: 9}, 0.5)


def test_the_launch_file_starts_the_player_when_the_guard_says_so(monkeypatch):
    module = launching(monkeypatch, "launching_replay")
    given = {"bag": "b", "rate": "2.0", "start": "0.0", "loop": "true", "paused": "false", "topics": graph.PERMIT}
    *_, handler, guard = module._actions(SimpleNamespace(launch_configurations=given))
    assert guard.cmd[1:] == ["-m", "sapave_ros.nodes.alone", "--besides", "rosbag2_player", graph.PERMIT]
    event = handler.args[0]
    assert event.target_action is guard
    assert event.on_stdout(SimpleNamespace(text=b"alone: ready\n")) == []
    (player,) = event.on_stdout(SimpleNamespace(text=b"alone: alone\n"))
    assert player.cmd == replayed.rosbag2_command(Path("b"), [graph.stream(graph.PERMIT)], 2.0, loop=True)
    assert player.on_exit.kind == guard.on_exit.kind == "Shutdown"
    *_, own = module._actions(SimpleNamespace(launch_configurations=given | {"start": "2.5"}))
    words = ["replay", "b", "--rate", "2", "--start", "2.5", "--loop", "--topics", graph.PERMIT]
    assert own.cmd[1:] == ["-m", "sapave_ros.cli", *words] and own.on_exit.kind == "Shutdown"
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
    assert (source.recorded, source.topic) == (f"{graph.COLOR}/compressed", graph.COLOR)
    assert replayed.left_out(bag) == []
    convert = conversions([source])
    with closing(Player(bag, None, [source.recorded], {}, perishable([source]), convert=convert)) as player:
        assert player.wait_ready(PATIENCE_S)
        got = deserialize_message(player.next(0.0).data, Image)
    assert got.header == sent.header
    assert np.abs(ros.image_array(got).astype(int) - picture()).max() < 12
    with pytest.raises(ValueError, match=r"format: 'x', 3 bytes; expected a picture"):
        decompressed(bytes(serialize_message(CompressedImage(format="x", data=[1, 2, 3]))))
