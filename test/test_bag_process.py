"""`sapave record` as a process: what it hears is in the bag, in order, after Ctrl-C and after kill -9."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rosbags.highlevel import AnyReader
from std_msgs.msg import String

from sapave_ros import cli, graph, record
from sapave_ros.bag.reader import Bag
from sapave_ros.nodes import ros
from sapave_ros.types import ActionChunk

WITHIN_S = 60.0


@pytest.fixture
def node(ros_domain) -> Iterator[rclpy.node.Node]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    made = rclpy.create_node("arm")
    yield made
    made.destroy_node()
    rclpy.try_shutdown()


class Recording:
    """`sapave record` in a process of its own."""

    def __init__(self, *words: str, preexec=None) -> None:
        command = [sys.executable, "-m", "sapave_ros.cli", "record", "--keep-free-mb", "0", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, preexec_fn=preexec, **pipes)
        self.said = ""
        assert self.process.stdout is not None
        while f"record: {graph.READY}" not in self.said:
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=WITHIN_S)[0]
        return self.process.returncode


def until(done, what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def permit(i: int):
    return ros.status("sapave/permit", b"\x00", f"ACTIVE: {i}", {"sent_s": f"{time.time():.6f}"})


def numbers(bag: Bag) -> list[int]:
    kind = ros.message_type(graph.stream(graph.PERMIT))
    found = [deserialize_message(m.data, kind).message for m in bag.messages([graph.PERMIT])]
    return [int(text.split()[1]) for text in found]


@pytest.mark.e2e
def test_what_is_published_is_in_the_bag(node, tmp_path):
    """What a late joiner is told, too, and what somebody says with less QoS than the table has, once each."""
    kept = ros.publisher(node, graph.stream(graph.INSTRUCTION))
    kept.publish(String(data="look at the red mug"))
    with Recording("--output", str(tmp_path / "bag")) as recording:
        permits = ros.publisher(node, graph.stream(graph.PERMIT))
        by_hand = node.create_publisher(String, graph.INSTRUCTION, 10)
        chunks = ros.publisher(node, graph.stream(graph.HEAD_INCREMENTS))
        listeners = {permits: 1, chunks: 1, by_hand: 2}
        until(lambda: all(p.get_subscription_count() == n for p, n in listeners.items()), "nobody listens")
        chunks.publish(ros.chunk_to_msg(ActionChunk(1.0, 0.1, ("head_yaw",), np.full((3, 1), 0.25))))
        for i in range(20):
            permits.publish(permit(i))
            assert permits.wait_for_all_acked(rclpy.duration.Duration(seconds=WITHIN_S))
        by_hand.publish(String(data="look at the blue ball"))
        said, expected = "not all is written", {graph.HEAD_INCREMENTS: 1, graph.PERMIT: 20, graph.INSTRUCTION: 2}
        until(lambda: readable(tmp_path / "bag") == expected, said)
        assert recording.end(signal.SIGINT) == 0
    assert "Traceback" not in recording.said
    bag = Bag(tmp_path / "bag")
    assert bag.damage == []
    assert numbers(bag) == list(range(20))
    said = [deserialize_message(m.data, String).data for m in bag.messages([graph.INSTRUCTION])]
    assert said == ["look at the red mug", "look at the blue ball"]
    assert b"<robot" in bag.attachments["g1.urdf"]
    with AnyReader([tmp_path / "bag"]) as reader:
        assert {c.topic for c in reader.connections} == {s.topic for s in graph.STREAMS}
        assert reader.message_count == 23
        (connection,) = [c for c in reader.connections if c.topic == graph.HEAD_INCREMENTS]
        _, _, data = next(reader.messages([connection]))
        points = reader.deserialize(data, connection.msgtype).points
        assert [(p.positions.tolist(), p.time_from_start.nanosec) for p in points] == [
            ([0.25], 100_000_000 * i) for i in (1, 2, 3)
        ]
    lines = {line.split()[0]: line.split()[1:] for line in recording.said.splitlines() if line.startswith("/")}
    assert lines.keys() == {s.topic for s in graph.STREAMS}
    assert lines[graph.PERMIT][0] == "20"
    assert lines[graph.PERMIT][-1] == "0"


def readable(folder: Path) -> dict[str, int]:
    """Messages by topic in a bag that is being recorded."""
    try:
        return Bag(folder).counts
    except ValueError:
        return {}


@pytest.mark.e2e
def test_kill_9_loses_at_most_the_last_second(node, tmp_path):
    with Recording("--output", str(tmp_path / "bag"), "--topics", graph.PERMIT) as recording:
        permits = ros.publisher(node, graph.stream(graph.PERMIT))
        until(lambda: permits.get_subscription_count() == 1, "nobody listens")
        acked_s: list[float] = []
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < 3.0:
            permits.publish(permit(len(acked_s)))
            assert permits.wait_for_all_acked(rclpy.duration.Duration(seconds=WITHIN_S))
            acked_s.append(time.monotonic())
            time.sleep(0.02)
        killed_s = time.monotonic()
        assert recording.end(signal.SIGKILL) == -signal.SIGKILL
    bag = Bag(tmp_path / "bag")
    assert bag.damage[0].startswith("metadata.yaml: is missing")
    got = numbers(bag)
    assert got == list(range(len(got)))  # no gaps, and nothing twice
    assert got[-1] >= max(i for i, at_s in enumerate(acked_s) if at_s < killed_s - 1.0)


@pytest.mark.e2e
def test_a_full_disk_ends_it_with_a_reason(node, tmp_path):
    def small_files() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    words = ("--output", str(tmp_path / "bag"), "--topics", graph.INSTRUCTION)
    with Recording(*words, preexec=small_files) as recording:
        says = ros.publisher(node, graph.stream(graph.INSTRUCTION))
        until(lambda: says.get_subscription_count() > 0, "nobody listens")
        deadline_s = time.monotonic() + WITHIN_S
        while recording.process.poll() is None and time.monotonic() < deadline_s:
            says.publish(String(data="x" * 20_000))
            time.sleep(0.02)
        recording.said += recording.process.communicate(timeout=WITHIN_S)[0]
    assert recording.process.returncode == 1, recording.said
    assert "File too large" in recording.said
    assert "Traceback" not in recording.said
    assert Bag(tmp_path / "bag").counts[graph.INSTRUCTION] > 1


@pytest.mark.e2e
def test_episodes_are_bags_of_their_own(node, tmp_path):
    def ask(word: str) -> bool:
        command = [sys.executable, "-m", "sapave_ros.cli", "episode", word]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
        assert done.returncode == 0 or "refused" in done.stderr, done.stderr
        return done.returncode == 0

    with Recording("--episodes", "--output", str(tmp_path / "bags"), "--topics", graph.PERMIT) as recording:
        permits = ros.publisher(node, graph.stream(graph.PERMIT))
        until(lambda: permits.get_subscription_count() == 1, "nobody listens")
        assert not ask("stop")
        for verdict, number in (("success", 5), (None, 3)):
            assert ask("start")
            bag = tmp_path / "bags" / f"episode_{0 if verdict else 1:04d}"
            for i in range(number):
                permits.publish(permit(i))
                assert permits.wait_for_all_acked(rclpy.duration.Duration(seconds=WITHIN_S))
            until(lambda bag=bag, n=number: readable(bag) == {graph.PERMIT: n}, "not all is written")
            assert verdict is None or ask(verdict)
        assert recording.end(signal.SIGINT) == 0  # the second one is under way
    assert "Traceback" not in recording.said
    for name, number, verdict in (("episode_0000", 5, "success"), ("episode_0001", 3, "")):
        bag = Bag(tmp_path / "bags" / name)
        assert bag.damage == []
        assert numbers(bag) == list(range(number))
        assert json.loads(bag.attachments["episode.json"])["verdict"] == verdict


@pytest.mark.e2e
def test_a_nearly_full_disk_ends_it_with_what_to_change(ros_domain, tmp_path):
    command = [sys.executable, "-m", "sapave_ros.cli", "record", "--output", str(tmp_path / "bag")]
    done = subprocess.run(
        [*command, "--keep-free-mb", "1000000"], capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "left on the disk; recording leaves 1e+06 MB to others (--keep-free-mb)" in line
    assert (tmp_path / "bag/metadata.yaml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split-mb", "0"], "parameter split_mb: 0.0; expected a number in 1..1e+06 MB"),
        (["--split-s", "nan"], "parameter split_s: nan; expected a number in 1..86400 s"),
        (["--topics", "/sapave/permits"], "--topics: '/sapave/permits' is not known; did you mean /sapave/permit?"),
        (["--output", "."], ".: is there already; expected a folder that is not"),
    ],
)
def test_what_cannot_be_recorded_is_one_line_and_code_2(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", ""))
    assert cli.main(["record", *words]) == 2
    assert capsys.readouterr().err == f"sapave: error: {said}\n"
    assert list(tmp_path.iterdir()) == []


def test_all_streams_are_recorded_unless_some_are_named():
    assert record.chosen(None) == list(graph.STREAMS)
    assert [s.topic for s in record.chosen([graph.PERMIT, graph.COLOR])] == [graph.COLOR, graph.PERMIT]


def test_the_command_for_compressed_colour_is_one_of_ours(capsys):
    command = record.own_command("my_bag", 1000.0, 60.0)
    assert command[1:4] == ["-m", "sapave_ros.cli", "record"]
    parser = argparse.ArgumentParser()
    record.add_arguments(parser)
    args = parser.parse_args(command[4:])
    assert (args.compress, args.output, args.split_mb, args.split_s) == (True, Path("my_bag"), 1000.0, 60.0)


@pytest.mark.parametrize("distro", ["humble", "jazzy", "lyrical"])
def test_ros2_bag_records_the_same_streams(distro):
    command = record.ros2_bag_command("my_bag", 1000.0, 60.0, distro)
    end = command.index(graph.STREAMS[0].topic)
    assert command[end:] == [s.topic for s in graph.STREAMS]
    assert (command[end - 1] == "--topics") == (distro != "humble")
    words = ["ros2", "bag", "record", "--storage", "mcap", "--max-bag-size", "1000000000", "--max-bag-duration", "60"]
    assert command[: len(words)] == words
    assert command[len(words) : len(words) + 2] == ["--output", "my_bag"]
