"""A bag that was cut, emptied or mixed up is read up to there, and what is wrong with it is said in a line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from bag_samples import BEGIN_NS, fill, sample, topics
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import Writer

from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag, BagError
from sapave_ros.bag.writer import Attachment, BagWriter

ROBOT = b"<robot/>" * 50
FREE = WriterParameters(keep_free_mb=0.0)


def read(path: Path) -> list[tuple[str, int, bytes]]:
    return [(m.topic, m.stamp_ns, m.data) for m in Bag(path).messages()]


def bag_or_reason(path: Path) -> Bag | str:
    try:
        return Bag(path)
    except BagError as error:
        return str(error)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A whole file, its samples, and after how many of them it was flushed at which size."""
    folder = tmp_path_factory.mktemp("whole") / "bag"
    writer = BagWriter(folder, topics(), FREE)
    writer.attach(Attachment("robot.urdf", "application/xml", ROBOT, BEGIN_NS))
    flushes, samples = [], []
    for i in range(60):
        samples.append(sample(i))
        writer.write(*samples[-1])
        if i % 7 == 6:
            writer.flush()
            flushes.append((i + 1, writer.path.stat().st_size))
    writer.close()
    return (folder / "bag_0.mcap").read_bytes(), samples, flushes


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_cut_anywhere_all_up_to_the_last_flush_is_there(recording, tmp_path_factory, data):
    whole, samples, flushes = recording
    cut = data.draw(st.integers(0, len(whole)), "cut")
    flushed = max((n for n, size in flushes if size <= cut), default=0)
    path = tmp_path_factory.mktemp("cut") / "x.mcap"
    path.write_bytes(whole[:cut])
    bag = bag_or_reason(path)
    if isinstance(bag, str):
        assert flushed == 0
        assert "holds no message (x.mcap: ends within a record after" in bag
        return
    got = [(m.topic, m.stamp_ns, m.data) for m in bag.messages()]
    assert got == samples[: len(got)]  # nothing that was not written, such as half a message
    assert len(got) >= flushed
    assert len(bag.damage) == (cut < len(whole))
    assert bag.attachments == {"robot.urdf": ROBOT}  # it comes before the first chunk
    assert all("\n" not in line for line in bag.damage)


@given(data=st.data(), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_never_makes_a_wrong_message(recording, tmp_path_factory, data, bit):
    """Chunks and attachments carry checksums: they are as they were written, or they are not there."""
    whole, samples, _ = recording
    at = data.draw(st.integers(0, len(whole) - 1), "at")
    path = tmp_path_factory.mktemp("flip") / "x.mcap"
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    bag = bag_or_reason(path)
    if isinstance(bag, str):
        return
    got = [(m.topic, m.stamp_ns, m.data) for m in bag.messages()]
    assert got == samples[: len(got)]
    assert bag.attachments in ({}, {"robot.urdf": ROBOT})
    for topic in topics():
        assert bag.topics[topic.name].definition == topic.definition


def test_without_metadata_all_is_there(tmp_path):
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    samples = fill(writer, 50)
    writer.close()
    (tmp_path / "bag/metadata.yaml").unlink()
    assert read(tmp_path / "bag") == samples
    assert Bag(tmp_path / "bag").damage == [
        "metadata.yaml: is missing: the bag was not closed in order, or is still being recorded"
    ]


@pytest.mark.parametrize("text", ["", "a: [", "rosbag2_bagfile_information: 3", "\0\1", "- 1"])
def test_metadata_that_makes_no_sense_is_said(tmp_path, text):
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    samples = fill(writer, 5)
    writer.close()
    (tmp_path / "bag/metadata.yaml").write_text(text)
    (line,) = Bag(tmp_path / "bag").damage
    assert line.startswith("metadata.yaml: cannot be read: ")
    assert read(tmp_path / "bag") == samples


def test_a_missing_file_and_a_cut_one_are_both_said(tmp_path):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(split_s=1.0, keep_free_mb=0.0))
    samples = fill(writer, 150)
    writer.close()
    (tmp_path / "bag/bag_1.mcap").unlink()
    last = tmp_path / "bag/bag_2.mcap"
    last.write_bytes(last.read_bytes()[:-10])
    bag = Bag(tmp_path / "bag")
    said = ["bag_1.mcap: is listed in metadata.yaml and not there", "bag_2.mcap: ends within a record after"]
    assert [line[: len(text)] for line, text in zip(bag.damage, said, strict=True)] == said
    assert read(tmp_path / "bag") == samples[:50] + samples[100:]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" * 9])
def test_a_file_that_is_none_does_not_take_the_others_with_it(tmp_path, content):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(split_s=1.0, keep_free_mb=0.0))
    samples = fill(writer, 150)
    writer.close()
    (tmp_path / "bag/bag_1.mcap").write_bytes(content)
    bag = Bag(tmp_path / "bag")
    (line,) = bag.damage
    assert line.startswith("bag_1.mcap: ")
    assert [(m.topic, m.stamp_ns, m.data) for m in bag.messages()] == samples[:50] + samples[100:]


def test_what_is_no_bag_is_named(tmp_path):
    with pytest.raises(BagError, match=r"path: .*nothing is not there; expected the folder of a bag, or an MCAP file"):
        Bag(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"path: .* has no \*\.mcap in it"):
        Bag(tmp_path)
    (tmp_path / "x.mcap").write_bytes(b"SQLite format 3\0")
    with pytest.raises(BagError, match=r"path: .*x\.mcap begins with b'SQLite f'; expected an MCAP file"):
        Bag(tmp_path / "x.mcap")
    (tmp_path / "metadata.yaml").write_text("")
    with pytest.raises(BagError, match="expected its folder"):
        Bag(tmp_path / "metadata.yaml")


def test_an_mcap_file_of_something_else_is_named(tmp_path):
    buffer = io.BytesIO()
    writer = Writer(buffer)
    writer.start(profile="ros1")
    writer.finish()
    (tmp_path / "x.mcap").write_bytes(buffer.getvalue())
    with pytest.raises(BagError, match=r"profile: 'ros1' in .*; expected 'ros2'"):
        Bag(tmp_path / "x.mcap")


@pytest.mark.parametrize("content", [b"", None])
def test_an_empty_bag_is_named(tmp_path, content):
    if content is None:
        BagWriter(tmp_path / "bag", topics(), FREE).close()
    else:
        (tmp_path / "bag").mkdir()
        (tmp_path / "bag/bag_0.mcap").write_bytes(content)
    with pytest.raises(BagError, match=r"path: .*bag holds no message.*; expected a bag with at least one"):
        Bag(tmp_path / "bag")


def test_a_stream_that_is_not_there_is_named_at_once(tmp_path):
    writer = BagWriter(tmp_path / "bag", topics(), FREE)
    writer.write(*sample(0))
    writer.close()
    with pytest.raises(BagError, match=r"topics: '/sapave/permit' has no message in .*; expected of /joint_states"):
        Bag(tmp_path / "bag").messages(["/sapave/permit"])
