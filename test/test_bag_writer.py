"""What is written is what others read: counts, bytes, stamps, types, in one file or many."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from bag_samples import BEGIN_NS, PERIOD_NS, fill, sample, topics
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sapave_ros import graph
from sapave_ros.bag import definitions, document, metadata
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.writer import Attachment, BagWriter, DiskFullError
from sapave_ros.parameters import ParameterError

KINDS = sorted({s.type for s in graph.STREAMS} | {"sensor_msgs/CompressedImage"})


def read_by_others(folder: Path) -> list[tuple[str, int, bytes]]:
    with AnyReader([folder]) as reader:
        return [(c.topic, stamp_ns, bytes(data)) for c, stamp_ns, data in reader.messages()]


@pytest.fixture
def free():
    """Whether this machine's disk is nearly full is no matter here."""
    return {"keep_free_mb": 0.0}


def test_another_reader_finds_every_message(tmp_path, free):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(**free))
    samples = fill(writer, 300)
    writer.close()
    assert read_by_others(tmp_path / "bag") == samples
    assert [(m.topic, m.stamp_ns, m.data) for m in Bag(tmp_path / "bag").messages()] == samples
    with AnyReader([tmp_path / "bag"]) as reader:
        assert {c.topic: c.msgtype for c in reader.connections} == {t.name: t.full_type for t in topics()}
        instruction = next(c for c in reader.connections if c.topic == graph.INSTRUCTION)
        said = [reader.deserialize(d, c.msgtype).data for c, _, d in reader.messages([instruction])]
        assert said == [f"look at cup {i}" for i in range(5, 300, 10)]
        permit = next(c for c in reader.connections if c.topic == graph.PERMIT)
        c, _, data = next(reader.messages([permit], start=BEGIN_NS + 8 * PERIOD_NS))
        assert reader.deserialize(data, c.msgtype).message == "ACTIVE: tick 9"
        state = next(c for c in reader.connections if c.topic == graph.JOINT_STATES)
        c, _, data = next(reader.messages([state], start=BEGIN_NS + 8 * PERIOD_NS))
        assert reader.deserialize(data, c.msgtype).position.tolist() == [0.08, -0.08]
        (profile,) = instruction.ext.offered_qos_profiles
        assert (profile.depth, profile.durability.name, profile.reliability.name) == (1, "TRANSIENT_LOCAL", "RELIABLE")


def test_metadata_counts_what_is_there(tmp_path, free):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(**free))
    samples = fill(writer, 100)
    writer.close()
    found = yaml.safe_load((tmp_path / "bag/metadata.yaml").read_text())["rosbag2_bagfile_information"]
    counts = {t["topic_metadata"]["name"]: t["message_count"] for t in found["topics_with_message_count"]}
    assert metadata.counts(tmp_path / "bag") == counts
    assert counts == Counter(topic for topic, _, _ in samples)
    assert found["message_count"] == 100
    assert found["starting_time"]["nanoseconds_since_epoch"] == samples[0][1]
    assert found["duration"]["nanoseconds"] == samples[-1][1] - samples[0][1]
    assert found["relative_file_paths"] == ["bag_0.mcap"]


@pytest.mark.parametrize("limits", [{"split_s": 1.0}, {"split_s": 3.7}, {"split_mb": 1.0}])
def test_splits_add_up(tmp_path, free, limits):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(**limits, **free))
    writer.attach(Attachment("robot.urdf", "application/xml", b"<robot/>", BEGIN_NS))
    big = b"\0" * 100_000 if "split_mb" in limits else b""
    samples = []
    for i in range(200 if not big else 40):
        topic, stamp_ns, data = sample(i)
        samples.append((topic, stamp_ns, data + big))
        writer.write(*samples[-1])
    writer.close()
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    assert len(files) > 1
    assert read_by_others(tmp_path / "bag") == samples
    whole = Bag(tmp_path / "bag")
    assert whole.damage == []
    assert [(m.topic, m.stamp_ns, m.data) for m in whole.messages()] == samples
    for file in files:
        assert file.stat().st_size <= 1.1e6 or not big
        alone = Bag(file)  # each is whole in itself: types, what is attached, and no damage
        assert alone.damage == []
        assert alone.attachments == {"robot.urdf": b"<robot/>"}
        stamps = [m.stamp_ns for m in alone.messages()]
        assert stamps[-1] - stamps[0] < limits.get("split_s", 1e9) * 1e9
        assert read_by_others(file) == [(m.topic, m.stamp_ns, m.data) for m in alone.messages()]


def test_more_than_ten_files_stay_in_order(tmp_path, free):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(split_s=1.0, **free))
    samples = fill(writer, 12 * 50)
    writer.close()
    assert [(m.topic, m.stamp_ns, m.data) for m in Bag(tmp_path / "bag").messages()] == samples


def test_counts_of_metadata_that_is_not_there_or_not_so(tmp_path):
    assert metadata.counts(tmp_path) == {}
    for text in ("{", "a: 1", "rosbag2_bagfile_information: {topics_with_message_count: [3]}"):
        (tmp_path / "metadata.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"metadata.yaml: cannot be read .*; expected what rosbag2 writes"):
            metadata.counts(tmp_path)


def test_metadata_lists_whole_files_while_recording(tmp_path, free):
    """Who looks into a bag that is being recorded, or that was killed, finds all but the last file in order."""
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(split_s=1.0, **free))
    samples = fill(writer, 120)
    writer.flush()
    assert read_by_others(tmp_path / "bag") == samples[:100]
    bag = Bag(tmp_path / "bag")
    assert [(m.topic, m.stamp_ns, m.data) for m in bag.messages()] == samples
    assert [line.split(":")[0] for line in bag.damage] == ["bag_2.mcap", "bag_2.mcap"]
    writer.close()
    assert Bag(tmp_path / "bag").damage == []


def test_a_bag_says_what_recorded_it(tmp_path, free):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(**free), document.software())
    writer.attach(document.robot(BEGIN_NS))
    writer.attach(document.parameters("arm", {"mode": "live", "limit_scale": 0.5, "joints": [1, 2]}, BEGIN_NS))
    writer.attach(document.model("", BEGIN_NS))
    writer.attach(document.parameters("arm", {"mode": "shadow"}, BEGIN_NS + 1))
    fill(writer, 1)
    writer.close()
    bag = Bag(tmp_path / "bag")
    assert bag.software["version"]
    assert len(bag.software["commit"].removesuffix("-dirty")) == 40 or bag.software["commit"] == "unknown"
    assert b"<robot" in bag.attachments["g1.urdf"]
    assert yaml.safe_load(bag.attachments["parameters/arm.yaml"]) == {"arm": {"ros__parameters": {"mode": "shadow"}}}
    model = json.loads(bag.attachments["model.json"])
    assert len(model["sha256"]) == 64
    assert model["manifest"]["head_joints"]


def test_a_model_that_is_elsewhere_is_named(tmp_path):
    assert "trouble" in json.loads(document.model("/nowhere/policy.onnx", 0).data)


def test_outside_of_git_the_commit_is_unknown(tmp_path):
    assert document.commit(tmp_path) == "unknown"


@pytest.mark.parametrize("kind", KINDS)
def test_definitions_are_whole_and_hash_to_what_ros_says(kind):
    """A stranger's parser reads the text, and computes from it the hash that ROS has for the type."""
    full = kind.replace("/", "/msg/")
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definitions.definition(kind), full))
    assert store.hash_rihs01(full) == definitions.type_hash(kind)


def test_a_type_that_is_not_installed_is_named():
    with pytest.raises(definitions.UnknownTypeError, match=r"tf2_msgs/TFMessage: no TFMessage\.msg in "):
        definitions.definition("tf2_msgs/TFMessage")


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        BagWriter(tmp_path / "bag", topics())
    assert list((tmp_path / "bag").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"split_mb": 0.0}, r"split_mb: 0\.0; expected a number in 1\.\.1e\+06 MB"),
        ({"split_s": float("nan")}, "split_s: nan; expected a number in 1..86400 s"),
        ({"keep_free_mb": -1.0}, "keep_free_mb: -1.0; expected"),
    ],
)
def test_parameters_that_cannot_be_are_named(given, said):
    with pytest.raises(ParameterError, match=said):
        WriterParameters(**given)


def test_a_nearly_full_disk_ends_in_order(tmp_path):
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(keep_free_mb=1e6))
    samples = fill(writer, 10)
    with pytest.raises(DiskFullError, match="left on the disk"):
        writer.flush()
    writer.close()
    assert read_by_others(tmp_path / "bag") == samples
