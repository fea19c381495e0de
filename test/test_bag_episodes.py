"""Episodes: one bag each, with what held when it began, and how it went."""

from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path

import pytest
import rclpy
from bag_samples import sample, topics
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from sapave_ros import graph
from sapave_ros.bag.episodes import Episodes
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.recorder import Recorder
from sapave_ros.bag.writer import Attachment, BagWriter
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import RecordNode

WITHIN_S = 60.0


def make(bag: Path) -> Recorder:
    return Recorder(BagWriter(bag, topics(), WriterParameters(keep_free_mb=0.0)), [t.name for t in topics()])


@pytest.fixture
def episodes(tmp_path):
    made = Episodes(tmp_path, make, [graph.INSTRUCTION], iter(range(100, 1000, 100)).__next__)
    yield made
    made.end("")


def read(bag: Path) -> list[tuple[str, int, bytes]]:
    return [(m.topic, m.stamp_ns, m.data) for m in Bag(bag).messages()]


def test_each_episode_is_a_bag_that_begins_with_what_holds(episodes, tmp_path):
    samples = [sample(i) for i in range(40)]
    for s in samples[:10]:
        episodes.put(*s)  # before any episode: only the instruction, number 5, is kept
    assert episodes.start() == (True, f"recording {tmp_path / 'episode_0000'}")
    for s in samples[10:20]:
        episodes.put(*s)
    assert episodes.end("success") == (True, f"{tmp_path / 'episode_0000'}: success, 11 messages")
    for s in samples[20:30]:
        episodes.put(*s)
    assert episodes.start()[0]
    for s in samples[30:]:
        episodes.put(*s)
    assert episodes.end("failure") == (True, f"{tmp_path / 'episode_0001'}: failure, 11 messages")
    first, second = read(tmp_path / "episode_0000"), read(tmp_path / "episode_0001")
    assert first == [(graph.INSTRUCTION, 100, samples[5][2]), *samples[10:20]]
    assert second == [(graph.INSTRUCTION, 300, samples[25][2]), *samples[30:]]
    verdict = json.loads(Bag(tmp_path / "episode_0001").attachments["episode.json"])
    assert verdict == {"verdict": "failure", "began_ns": 300, "ended_ns": 400}


def test_what_is_attached_is_in_every_episode(episodes, tmp_path):
    episodes.attach(lambda: [Attachment("robot.urdf", "application/xml", b"<robot/>", 0)])
    for _ in range(2):
        assert episodes.start()[0]
        episodes.put(*sample(0))
        assert episodes.end("")[0]
    for name in ("episode_0000", "episode_0001"):
        assert Bag(tmp_path / name).attachments["robot.urdf"] == b"<robot/>"


def test_a_discarded_episode_is_gone_and_its_number_free(episodes, tmp_path):
    assert episodes.start()[0]
    episodes.put(*sample(0))
    assert episodes.discard() == (True, f"{tmp_path / 'episode_0000'}: removed")
    assert list(tmp_path.iterdir()) == []
    assert episodes.start() == (True, f"recording {tmp_path / 'episode_0000'}")


def test_what_makes_no_sense_is_refused(episodes, tmp_path):
    assert episodes.end("success") == (False, "nothing is being recorded")
    assert episodes.discard() == (False, "nothing is being recorded")
    assert episodes.start()[0]
    assert episodes.start() == (False, f"{tmp_path / 'episode_0000'} is being recorded; end it first")


def test_an_episode_that_the_disk_did_not_take_is_said_and_can_be_discarded(episodes, tmp_path, monkeypatch):
    assert episodes.start()[0]

    def full(_: BagWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BagWriter, "flush", full)
    deadline_s = time.monotonic() + WITHIN_S
    while episodes.failure is None:
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)
    assert episodes.failure == "No space left on device"
    assert episodes.discard()[0]
    assert list(tmp_path.iterdir()) == []
    assert episodes.failure is None
    assert episodes.start()[0]
    done, said = episodes.end("success")
    assert (done, said) == (False, "No space left on device")


def test_numbers_that_are_taken_are_passed_over(episodes, tmp_path):
    (tmp_path / "episode_0000").mkdir()
    assert episodes.start() == (True, f"recording {tmp_path / 'episode_0001'}")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    done, said = Episodes(tmp_path / "file", make, []).start()
    assert not done
    assert "file" in said


def test_services_of_the_table_begin_and_end_episodes(ros_domain, episodes, tmp_path):
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recording, person = RecordNode(episodes, []), rclpy.create_node("person")
    executor = ros.make_executor()
    for node in (recording, person):
        executor.add_node(node)

    def ask(service: str) -> tuple[bool, str]:
        client = person.create_client(Trigger, service)
        deadline_s = time.monotonic() + WITHIN_S
        while not client.service_is_ready():
            assert time.monotonic() < deadline_s, service
            executor.spin_once(timeout_sec=0.05)
        future = client.call_async(Trigger.Request())
        while not future.done():
            assert time.monotonic() < deadline_s, service
            executor.spin_once(timeout_sec=0.05)
        return future.result().success, future.result().message

    try:
        assert ask(graph.EPISODE_STOP_SERVICE) == (False, "nothing is being recorded")
        for service, verdict in (
            (graph.EPISODE_STOP_SERVICE, ""),
            (graph.EPISODE_SUCCESS_SERVICE, "success"),
            (graph.EPISODE_FAILURE_SERVICE, "failure"),
        ):
            assert ask(graph.EPISODE_START_SERVICE)[0]
            episodes.put(*sample(0))
            done, said = ask(service)
            assert done
            bag = Bag(Path(said.split(": ")[0]))
            assert json.loads(bag.attachments["episode.json"])["verdict"] == verdict
        assert ask(graph.EPISODE_START_SERVICE)[0]
        assert ask(graph.EPISODE_DISCARD_SERVICE)[0]
        assert len(list(tmp_path.iterdir())) == 3
    finally:
        executor.shutdown()
        recording.destroy_node()
        person.destroy_node()
        rclpy.try_shutdown()
