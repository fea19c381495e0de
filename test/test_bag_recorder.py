"""Whatever the disk does: who hears messages never waits, memory is bounded, and what is lost is counted."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import threading
import tracemalloc
from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest
from bag_samples import BEGIN_NS, PERIOD_NS, sample, topics
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage, Image

from sapave_ros import graph
from sapave_ros.bag import jpeg
from sapave_ros.bag import recorder as module
from sapave_ros.bag.once import QUIET_S, Once
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.recorder import ENTRY_BYTES, SMALL_BYTES, SMALL_SHARE, Recorder
from sapave_ros.bag.writer import Attachment, BagWriter
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import bag_topics, compressed, conversions
from sapave_ros.record import table

FREE = WriterParameters(keep_free_mb=0.0)
ROOM = 10_000_000
WAIT_S = 30.0


class Disk:
    """A sink whose every write waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.reached = threading.Event()
        self.got: list[tuple[str, int, bytes]] = []
        self.attached: list[str] = []
        self.closed = False
        self.unwritten: Counter[str] = Counter()

    def write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        self.reached.set()
        assert self.go.wait(WAIT_S)
        self.got.append((topic, stamp_ns, data))

    def attach(self, attachment: Attachment) -> None:
        self.attached.append(attachment.name)

    def flush(self) -> None:
        pass

    def duplicate_descriptor(self) -> int:
        raise ValueError("no file")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.go.set()


def recorder(disk: Any, room: int = ROOM) -> Recorder:
    made = Recorder(disk, [graph.COLOR, graph.PERMIT], room_bytes=room)
    made.start()
    return made


def test_a_disk_that_hangs_keeps_nobody_waiting_and_memory_bounded(disk):
    r = recorder(disk)
    picture = bytes(900_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for i in range(1000):  # 900 MB
            r.put(graph.COLOR, i, bytes(picture[:-1]) + bytes([i % 256]))
            assert r.waiting_bytes <= ROOM
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < ROOM + 2_000_000
    fits = int(ROOM * (1 - SMALL_SHARE)) // (len(picture) + ENTRY_BYTES)
    assert r.tallies[graph.COLOR].dropped == 1000 - fits
    assert r.trouble == "the disk does not keep up"
    disk.go.set()
    r.stop(WAIT_S)
    assert r.failure is None
    assert [stamp for _, stamp, _ in disk.got] == list(range(fits))  # the oldest, in their order
    assert r.tallies[graph.COLOR].written == fits
    assert disk.closed
    assert r.waiting_bytes == 0


def test_pictures_that_do_not_fit_leave_room_for_state(disk):
    r = recorder(disk)
    for i in range(100):
        r.put(graph.COLOR, i, bytes(900_000))
    for i in range(1000):
        r.put(graph.PERMIT, i, bytes(200))
    assert r.tallies[graph.COLOR].dropped > 0
    assert r.tallies[graph.PERMIT].dropped == 0
    for _ in range(10_000_000 // SMALL_BYTES):
        r.put(graph.PERMIT, 0, bytes(SMALL_BYTES))
    assert r.tallies[graph.PERMIT].dropped > 0  # but not without end
    assert r.waiting_bytes <= ROOM
    disk.go.set()
    r.stop(WAIT_S)


def test_messages_without_bytes_weigh_something_too(disk):
    r = recorder(disk, room=100 * ENTRY_BYTES)
    for i in range(1000):
        r.put(graph.PERMIT, i, b"")
    assert r.tallies[graph.PERMIT].dropped == 900
    disk.go.set()
    r.stop(WAIT_S)


def test_a_disk_that_never_comes_back_does_not_keep_the_process(disk):
    r = recorder(disk)
    r.put(graph.PERMIT, 1, b"x")
    assert disk.reached.wait(WAIT_S)
    r.put(graph.PERMIT, 2, b"x" * 1_000_000)
    r.stop(within_s=0.05)
    assert r.failure == "the disk has not taken 1.0 MB within 0.05 s; the bag was not closed"
    assert r.waiting_bytes < 1000  # only what the disk is at


def test_what_comes_after_the_end_is_counted(disk):
    r = recorder(disk)
    disk.go.set()
    r.stop(WAIT_S)
    r.put(graph.PERMIT, 1, b"x")
    assert r.tallies[graph.PERMIT].dropped == 1


def test_attachments_are_made_by_the_thread_that_writes(disk):
    r = recorder(disk)
    made_by: list[str] = []

    def make() -> list[Attachment]:
        made_by.append(threading.current_thread().name)
        return [Attachment("robot.urdf", "application/xml", b"", 0)]

    r.attach(make)
    r.stop(WAIT_S)
    assert (made_by, disk.attached) == (["record"], ["robot.urdf"])


def test_what_cannot_be_attached_does_not_end_the_recording(disk):
    r = recorder(disk)
    disk.go.set()

    def make() -> list[Attachment]:
        raise FileNotFoundError("models/g1/g1.urdf not found")

    r.attach(make)
    r.put(graph.PERMIT, 1, b"x")
    r.stop(WAIT_S)
    assert r.failure is None
    assert r.trouble == "not attached: models/g1/g1.urdf not found"
    assert len(disk.got) == 1


def test_a_recorder_flushes_by_itself(tmp_path):
    """Nobody stops it, nothing more comes: what was heard is on its way to the disk within half a second."""
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    flushed, flush = threading.Event(), writer.flush
    r = Recorder(writer, [t.name for t in topics()])
    wrote = threading.Event()

    def counting() -> None:
        flush()
        if wrote.is_set():
            flushed.set()

    writer.flush = counting  # type: ignore[method-assign]
    original = writer.write

    def write(*args: Any) -> None:
        original(*args)
        wrote.set()

    writer.write = write  # type: ignore[method-assign]
    r.start()
    given = sample(0)
    r.put(*given)
    assert flushed.wait(WAIT_S)
    assert [(m.topic, m.stamp_ns, m.data) for m in Bag(tmp_path / "bag").messages()] == [given]
    r.stop(WAIT_S)


def test_the_bag_is_seen_onto_the_disk(tmp_path, monkeypatch):
    """For when the power goes, not only the process; and a file that has ended since is no error."""
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    synced: list[int] = []
    seen = threading.Event()

    def fdatasync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        seen.set()

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(module, "SYNC_S", 0.01)
    r = Recorder(writer, [t.name for t in topics()])
    r.start()
    assert seen.wait(WAIT_S)
    r.stop(WAIT_S)
    assert r.failure is None
    assert set(synced) == {writer.path.stat().st_ino}


@pytest.fixture
def full_disk():
    """Files of this process cannot grow past 200 kB, as if the disk were full."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_ends_the_recording_and_what_is_there_can_be_read(tmp_path, full_disk):
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    flush, flushed = writer.flush, threading.Event()

    def noting() -> None:
        flush()
        if writer.files[0].messages == 100:
            flushed.set()

    writer.flush = noting  # type: ignore[method-assign]
    r = Recorder(writer, [t.name for t in topics()])
    r.start()
    samples = [sample(i) for i in range(10_000)]
    for s in samples[:100]:
        r.put(*s)
    assert flushed.wait(WAIT_S)
    for s in samples[100:]:  # more than fits
        r.put(*s)
    r.stop(WAIT_S)
    assert r.failure is not None
    assert os.strerror(errno.EFBIG) in r.failure
    bag = Bag(tmp_path / "bag")
    got = [(m.topic, m.stamp_ns, m.data) for m in bag.messages()]
    assert got == samples[: len(got)]
    assert len(got) >= 100
    assert {topic: t.written for topic, t in r.tallies.items()} == bag.counts  # what is said is what is there
    assert sum(t.written + t.dropped for t in r.tallies.values()) == 10_000
    assert "metadata.yaml: is missing" in bag.damage[0]
    read, size = re.findall(r"(\d+\.\d+)", bag.damage[1])
    assert read == size  # cut where the last whole record ends
    assert writer.path.stat().st_size <= 200_000


def test_a_full_disk_does_not_take_the_files_before(tmp_path, full_disk):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(split_s=1.0, keep_free_mb=0.0))
    samples = [sample(i) for i in range(60)]
    for s in samples:
        writer.write(*s)
    with pytest.raises(OSError, match="File too large"):
        writer.write(graph.PERMIT, samples[-1][1], bytes(2_000_000))
    writer.close()
    bag = Bag(tmp_path / "bag")
    got = [(m.topic, m.stamp_ns, m.data) for m in bag.messages()]
    assert got[:50] == samples[:50]
    assert bag.damage[0].startswith("bag_1.mcap: is not listed in metadata.yaml")


def test_the_same_message_heard_twice_counts_once():
    once, heard = Once(), []
    # Three subscriptions; the second misses one, the third is late.
    for subscription, data, now_s in [(0, b"a", 0.0), (1, b"a", 0.01), (0, b"b", 0.1), (2, b"a", 0.2), (2, b"b", 0.3)]:
        heard.append(once.new(subscription, data, now_s))
    assert heard == [True, False, True, False, False]


def test_the_same_words_said_twice_count_twice():
    once = Once()
    heard = [once.new(s, b"stop", t) for t in (0.0, 0.1, 0.2) for s in (0, 1)]
    assert heard == [True, False] * 3


def test_what_was_said_long_ago_is_new_again():
    """A kept message is heard by one subscription alone; the same words later, from others, are no echo of it."""
    once = Once()
    assert once.new(0, b"look", 0.0)
    assert once.new(1, b"look", QUIET_S + 0.1)
    assert not once.new(0, b"look", QUIET_S + 0.2)
    assert len(once._heard) == 1


def picture(encoding: str = "rgb8") -> tuple[np.ndarray, bytes]:
    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([3 * y, 2 * x, 2 * y + x], axis=-1).astype(np.uint8)
    msg = ros.image_msg(rgb, encoding, BEGIN_NS * 1e-9, "head_camera")
    return rgb, bytes(serialize_message(msg))


def test_colour_is_stored_as_jpeg_and_depth_as_it_is(tmp_path):
    streams = [graph.stream(graph.COLOR), graph.stream(graph.DEPTH)]
    assert [t.full_type for t in bag_topics(streams, compress=True)] == [
        "sensor_msgs/msg/CompressedImage",
        "sensor_msgs/msg/Image",
    ]
    writer = BagWriter(tmp_path / "bag", bag_topics(streams, compress=True), FREE)
    r = Recorder(writer, [s.topic for s in streams], conversions(streams, compress=True))
    r.start()
    rgb, data = picture()
    r.put(graph.COLOR, BEGIN_NS, data)
    r.put(graph.DEPTH, BEGIN_NS + PERIOD_NS, data)
    r.put(graph.COLOR, BEGIN_NS, picture("bayer_rggb8")[1])
    r.put(graph.COLOR, BEGIN_NS, b"\0\1")  # a picture that is none does not end the recording
    r.stop(WAIT_S)
    assert r.failure is None
    bag = Bag(tmp_path / "bag")
    assert bag.counts == {f"{graph.COLOR}/compressed": 1, graph.DEPTH: 1}
    colour, depth = bag.messages()
    assert depth.data == data
    msg = deserialize_message(colour.data, CompressedImage)
    assert msg.header == deserialize_message(data, Image).header
    assert "jpeg" in msg.format
    with AnyReader([tmp_path / "bag"]) as reader:
        (connection,) = [c for c in reader.connections if c.topic.endswith("/compressed")]
        _, _, raw = next(reader.messages([connection]))
        assert reader.deserialize(raw, connection.msgtype).data.tobytes() == bytes(msg.data)
    found = cv2.cvtColor(cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(found.astype(int) - rgb).mean() < 3
    assert r.tallies[graph.COLOR].dropped == 2
    assert "/camera/color/image_raw: " in r.trouble


def test_what_cannot_be_compressed_is_named():
    with pytest.raises(ValueError, match=r"encoding: 'bayer_rggb8'; expected 'rgb8'"):
        compressed(picture("bayer_rggb8")[1])
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
        jpeg.encode(np.zeros((4, 4), np.uint8))


def test_the_table_says_messages_rate_and_dropped(disk):
    r = recorder(disk)
    disk.go.set()
    for i in range(51):
        r.put(graph.PERMIT, BEGIN_NS + i * PERIOD_NS, b"x")
    r.put(graph.COLOR, BEGIN_NS, bytes(ROOM))
    r.stop(WAIT_S)
    lines = [line.split() for line in table(r.tallies).splitlines()]
    assert lines == [
        ["topic", "messages", "rate", "dropped"],
        [graph.COLOR, "0", "–", "1"],
        [graph.PERMIT, "51", "50.0", "Hz", "0"],
    ]
