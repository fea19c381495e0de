"""What is written is the published format, what was recorded, and nothing that is out of sync or damaged."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_bags import (
    INSTRUCTION,
    LAG_S,
    MODEL_SHA256,
    SECONDS,
    START_S,
    commanded,
    depth_mm,
    later,
    measured,
    picture,
    recording,
    without,
    write,
)
from dataset_format import check_format, read_rows, read_table, read_video
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from pyarrow import parquet
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import cli, g1, graph
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.dataset import stats, video, writer
from sapave_ros.dataset.convert import Converter
from sapave_ros.dataset.episodes import Reason
from sapave_ros.dataset.features import COLOR, DEPTH, Frame, frame
from sapave_ros.dataset.parameters import EpisodeParameters
from sapave_ros.dataset.streams import header_stamp_s
from sapave_ros.dataset.writer import DatasetWriter
from sapave_ros.nodes import ros
from sapave_ros.parameters import ParameterError
from sapave_ros.types import Mode, Observation, Permit, Source

STEP_S = 0.1
OTHER_INSTRUCTION = "find the blue bowl"
STATE_ERROR_RAD = 5e-5
"""50 samples a second of a smooth motion, linear between them."""


@pytest.fixture(scope="module")
def said():
    return recording()


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics.from_urdf()


@pytest.fixture(scope="module")
def bags(said, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bags")
    teleop = recording(2.0, OTHER_INSTRUCTION, Source.TELEOP)
    return [write(folder / "policy", said, "success"), write(folder / "person", later(teleop, 100.0))]


@pytest.fixture(scope="module")
def dataset(bags, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "mine"
    assert convert(bags, folder) == 0
    return folder


def convert(bags: list[Path], folder: Path, *more: str) -> int:
    return cli.main(["dataset", "from-bags", *map(str, bags), "--output", str(folder), *more])


@pytest.fixture
def take(kinematics, tmp_path):
    """Converts one recording; gives what became of its episodes."""

    def take(said, verdict=None, attached=None, **parameters):
        bag = write(tmp_path / "bag", said, verdict, attached)
        use = EpisodeParameters(**parameters)
        with DatasetWriter(tmp_path / "set", use.fps) as to:
            rows = Converter(to, use, kinematics).take(bag)["episodes"]
            if to.episodes:
                to.publish({})
        return rows

    return take


# -- what is written ---------------------------------------------------------------------------


def test_it_is_the_published_format(dataset):
    check_format(dataset)
    info = json.loads((dataset / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (2, 50, 10)
    assert info["features"]["action"]["names"] == list(g1.POLICY.names)


def test_a_frame_is_what_the_policy_saw_and_what_was_then_commanded(dataset, kinematics):
    rows = [row for row in read_rows(dataset) if row["episode_index"] == 0]
    assert len(rows) == SECONDS / STEP_S
    for i, row in enumerate(rows):
        time_s = START_S + i * STEP_S
        exposure_s = time_s + row["exposure_offset"]
        assert row["timestamp"] == pytest.approx(i * STEP_S, abs=1e-6)
        assert abs(row["exposure_offset"]) < 1e-3, "every third of thirty pictures a second"
        np.testing.assert_allclose(row["observation.state"], measured(exposure_s), atol=STATE_ERROR_RAD)
        np.testing.assert_allclose(
            row["action"], commanded(time_s + STEP_S) - commanded(time_s), atol=2 * STATE_ERROR_RAD
        )
        head = np.array(row["observation.state"][:2])
        np.testing.assert_allclose(
            np.reshape(row["observation.camera_in_torso"], (4, 4)), kinematics.camera_in_torso(head), atol=1e-6
        )
        assert row["observation.intrinsics"] == [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]
        assert np.array_equal(row["observation.depth"], depth_mm(time_s)), "to the last millimetre"
    increments = np.array([row["action"] for row in rows]).sum(axis=0)
    np.testing.assert_allclose(increments, commanded(START_S + SECONDS) - commanded(START_S), atol=2 * STATE_ERROR_RAD)


def test_a_frames_picture_is_the_one_of_its_time(dataset):
    episodes = read_table(dataset / "meta/episodes/chunk-000/file-000.parquet")
    for episode in episodes:
        for i, (stamp_s, shown) in enumerate(read_video(dataset, episode)):
            assert stamp_s == pytest.approx(i * STEP_S, abs=1e-4)
            assert np.abs(shown.astype(int) - picture(START_S + i * STEP_S)).mean() < 4
        assert i + 1 == episode["length"]


def test_of_an_episode_it_tells_what_was_asked_who_commanded_and_how_it_went(dataset):
    policy, person = read_table(dataset / "meta/episodes/chunk-000/file-000.parquet")
    assert policy["tasks"] == [INSTRUCTION] and person["tasks"] == [OTHER_INSTRUCTION]
    assert (policy["sapave/outcome"], person["sapave/outcome"]) == ("success", "unknown")
    assert policy["sapave/bag"].endswith("/policy")
    assert policy["sapave/model_sha256"] == MODEL_SHA256
    assert policy["sapave/end_s"] - policy["sapave/start_s"] == pytest.approx(SECONDS, abs=1e-3)
    assert policy["sapave/start_s"] == pytest.approx(START_S, abs=1e-3)
    for part in ("head", "arms"):
        assert (policy[f"sapave/commander_{part}"], person[f"sapave/commander_{part}"]) == ("policy", "teleop")
        assert person[f"sapave/actions_{part}"] == "commanded", "a person goes down the same road"


def test_statistics_are_those_of_the_frames(dataset):
    found, rows = json.loads((dataset / "meta/stats.json").read_text()), read_rows(dataset)
    for name in ("observation.state", "action", "timestamp"):
        values = np.array([row[name] for row in rows]).reshape(len(rows), -1)
        for kind in ("mean", "std", "min", "max"):
            np.testing.assert_allclose(found[name][kind], getattr(values, kind)(axis=0), atol=1e-6)
        assert found[name]["count"] == [len(rows)]
    assert np.shape(found[COLOR]["mean"]) == (3, 1, 1) and 0 < np.min(found[COLOR]["mean"]) < 1
    assert np.shape(found[DEPTH]["max"]) == (1, 1, 1) and np.max(found[DEPTH]["max"]) > 10_000


@pytest.mark.parametrize("number", [1, 2, 3, 50])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1)])
def test_counted_pixels_have_the_statistics_of_all_of_them(number, dtype, channels):
    rng = np.random.default_rng(number)
    pictures = rng.integers(0, np.iinfo(dtype).max + 1, (number, 8, 8, channels)).astype(dtype)
    counts = stats.PixelCounts(channels, dtype)
    for one in pictures:
        counts.add(one)
    found, whole = counts.stats(scale=255.0), stats.vector_stats(pictures[:, 0, 0] / 255.0)
    assert found["count"] == number and set(found) == set(whole)
    for kind, values in whole.items():
        if kind != "count":
            assert found[kind].shape == (channels, 1, 1)
            np.testing.assert_allclose(found[kind].ravel(), values, rtol=1e-9, atol=1e-9, err_msg=kind)


def test_a_long_episode_takes_no_more_memory_than_a_short_one(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_GROUP", 16)
    rng, peaks = np.random.default_rng(0), []
    for number in (40, 400):
        folder = tmp_path / str(number)
        tracemalloc.start()
        with DatasetWriter(folder, 10) as to:
            for _ in range(number):
                depth = rng.integers(0, 2**16, (96, 96)).astype(np.uint16)  # which no PNG makes smaller
                to.add(Frame(np.zeros((96, 96, 3), np.uint8), depth, {"action": np.zeros(28, np.float32)}, ""))
            to.save({})
            to.publish({})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        file = parquet.ParquetFile(folder / "data/chunk-000/file-000.parquet")
        assert file.metadata.num_rows == number and file.metadata.row_group(0).num_rows == 16
    assert number * 96 * 96 * 2 > 5e6 and peaks[1] < peaks[0] + 1e6


def test_the_same_bags_are_the_same_bytes(bags, tmp_path):
    for name in ("once", "again"):
        assert convert(bags, tmp_path / name, "--repo-id", "lab/g1") == 0
    files = [p.relative_to(tmp_path / "once") for p in sorted((tmp_path / "once").rglob("*")) if p.is_file()]
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_large_sets_are_many_files(said, kinematics, tmp_path):
    bag = write(tmp_path / "bag", said)
    with DatasetWriter(tmp_path / "set", 10, data_mb=0.05, video_mb=0.006) as to:
        for _ in range(4):
            Converter(to, EpisodeParameters(), kinematics).take(bag)
        to.publish({})
    check_format(tmp_path / "set")
    episodes = read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    assert len({e["data/file_index"] for e in episodes}) > 1
    videos = [e[f"videos/{COLOR}/file_index"] for e in episodes]
    assert len(set(videos)) > 1 and len(set(videos)) < len(videos), "some with several episodes"
    for episode in episodes:
        for i, (_, shown) in enumerate(read_video(tmp_path / "set", episode)):
            assert np.abs(shown.astype(int) - picture(START_S + i * STEP_S)).mean() < 4


def test_every_depth_comes_back():
    depth = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    observation = Observation(
        0.0, "", np.zeros((256, 256, 3), np.uint8), np.zeros(28), depth.astype(np.float32) * np.float32(1e-3),
        np.eye(3), np.eye(4),
    )  # fmt: skip
    assert np.array_equal(frame(observation, np.zeros(28), 0.0).depth_mm, depth)


# -- what an episode is ------------------------------------------------------------------------


def test_without_a_mark_every_instruction_is_an_episode_while_motion_is_permitted(take, said):
    def permitted(t):
        return not 2.0 < t < 2.2

    halves = sorted([*said, (START_S + 1.5, graph.INSTRUCTION, String(data=OTHER_INSTRUCTION))], key=lambda e: e[0])
    changed = [(t, topic, m if topic != graph.PERMIT or permitted(t - START_S) else _hold(t)) for t, topic, m in halves]
    rows = take(changed, min_frames=6)
    assert [(r["instructions"], round(r["end_s"] - r["start_s"], 1)) for r in rows] == [
        ([INSTRUCTION], 1.5),
        ([OTHER_INSTRUCTION], 0.5),
        ([OTHER_INSTRUCTION], 0.8),
    ]
    assert [r["kept"] for r in rows] == [True, False, True]
    assert rows[1]["reason"] == Reason.SHORT.value


def _hold(t: float):
    return ros.permit_to_msg(Permit(t, 0, "HOLD", "", Mode.HOLD, Mode.HOLD))


def test_an_instruction_that_was_given_before_the_recording_is_the_one_that_was_followed(take, said):
    late = without(said, lambda t, topic: topic == graph.INSTRUCTION)
    (row,) = take([(START_S, graph.FOLLOWED, String(data=INSTRUCTION)), *late], "success")
    assert row["kept"] and row["instructions"] == [INSTRUCTION]


def test_a_marked_episode_may_have_several_instructions(take, said, tmp_path):
    more = sorted([*said, (START_S + 1.49, graph.INSTRUCTION, String(data=OTHER_INSTRUCTION))], key=lambda e: e[0])
    (row,) = take(more, "failure")
    assert row["kept"] and row["outcome"] == "failure"
    assert row["instructions"] == [INSTRUCTION, OTHER_INSTRUCTION]
    assert [r["task_index"] for r in read_rows(tmp_path / "set")] == [0] * 15 + [1] * 15


def test_a_marked_episode_is_what_was_asked_and_permitted_of_it(take, said):
    late = without(said, lambda t, topic: topic == graph.INSTRUCTION)
    late = [(t, topic, _hold(t) if topic == graph.PERMIT and t > START_S + 2.5 else m) for t, topic, m in late]
    late = sorted([*late, (START_S + 0.5, graph.INSTRUCTION, String(data=INSTRUCTION))], key=lambda e: e[0])
    (row,) = take(late, "")
    assert row["kept"] and row["outcome"] == "unknown"
    assert (row["start_s"] - START_S, row["end_s"] - START_S) == (
        pytest.approx(0.5, abs=0.01),
        pytest.approx(2.52, abs=0.01),
    )


def test_arms_that_nobody_here_commands_have_the_increments_that_were_measured(take, tmp_path):
    (row,) = take(recording(mode_arms=Mode.RELEASE))
    assert row["kept"]
    (episode,) = read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    assert (episode["sapave/commander_head"], episode["sapave/commander_arms"]) == ("policy", "nobody")
    assert (episode["sapave/actions_head"], episode["sapave/actions_arms"]) == ("commanded", "measured")
    moved = np.concatenate([
        commanded(START_S + 0.3)[:2] - commanded(START_S + 0.2)[:2],
        measured(START_S + 0.3)[2:] - measured(START_S + 0.2)[2:],
    ])  # fmt: skip
    third = read_rows(tmp_path / "set")[2]
    np.testing.assert_allclose(third["action"], moved, atol=2 * STATE_ERROR_RAD)


def test_a_person_who_took_over_is_told_beside_the_policy(take, said, tmp_path):
    def taken(t, permit):
        return ros.permit_to_msg(
            Permit(t, 0, "TELEOP", "", Mode.MOVE, Mode.MOVE, Source.POLICY, Source.TELEOP if t > 1.0 else Source.POLICY)
        )

    (row,) = take(replaced(said, graph.PERMIT, taken))
    assert row["kept"]
    (episode,) = read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    assert (episode["sapave/commander_head"], episode["sapave/commander_arms"]) == ("policy", "policy, teleop")


def test_compressed_colour_is_read(take, said, tmp_path):
    small = [(t, f"{topic}/compressed", m) if topic == graph.COLOR else (t, topic, m) for t, topic, m in said]
    (row,) = take(small)
    assert row["kept"] and row["frames"] == 30


def test_a_bag_that_was_cut_gives_what_was_recorded_until_then(said, kinematics, tmp_path):
    bag = write(tmp_path / "bag", said, "success")
    file = bag / "bag_0.mcap"
    content = file.read_bytes()
    file.write_bytes(content[: content.index(b"episode.json")])
    with DatasetWriter(tmp_path / "set", 10) as to:
        result = Converter(to, EpisodeParameters(min_frames=3), kinematics).take(bag)
    assert result["damage"]
    (row,) = result["episodes"]
    assert row["outcome"] == "unknown", "who judged it did so at its end"
    assert row["kept"] and 3 < row["frames"] < SECONDS / STEP_S


# -- what is left out --------------------------------------------------------------------------


def replaced(said, topic, change):
    return [(t, name, change(t - START_S, m) if name == topic else m) for t, name, m in said]


def bad_intrinsics(t, info):
    if t < 1.0:
        return info
    return CameraInfo(header=info.header, k=[0.0] * 9)


def cut_short(t, image):
    if t < 1.0:
        return image
    cut = ros.image_msg(ros.image_array(image), image.encoding, ros.stamp_s(image.header.stamp), "")
    cut.data = cut.data[:-1]
    return cut


def blind(t, image):
    return (
        image if t < 1.0 else ros.image_msg(np.zeros((48, 64), np.uint16), "16UC1", ros.stamp_s(image.header.stamp), "")
    )


def late_camera(said, by_s):
    """The camera's clock is behind by that much."""

    def change(t, m):
        return later([(t, "", m)], -by_s)[0][2]

    for topic in (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO):
        said = replaced(said, topic, change)
    return said


LEFT_OUT = {
    "commands of the head missing": (
        lambda s: without(s, lambda t, topic: topic == graph.HEAD_COMMAND and 1.0 < t < 1.2), Reason.GAP,
        "commanded head: 0.2"),
    "joints not heard": (
        lambda s: without(s, lambda t, topic: topic == graph.JOINT_STATES and 1.0 < t < 1.2), Reason.GAP,
        "measured head: 0.2"),
    "no commands of the arms": (
        lambda s: without(s, lambda t, topic: topic == graph.ARM_COMMAND), Reason.GAP, "commanded arms: not in"),
    "commands begin late": (
        lambda s: without(s, lambda t, topic: topic == graph.ARM_COMMAND and t < 1.5), Reason.GAP, "begin 1.5"),
    "pictures lost": (
        lambda s: without(s, lambda t, topic: topic.startswith("/camera") and 1.0 < t < 1.4), Reason.APART,
        "away from"),
    "too few pictures": (
        lambda s: without(s, lambda t, topic: topic.startswith("/camera") and round((t - LAG_S) * 30) % 4),
        Reason.APART, "expected at most 0.05 s"),
    "a picture cut short": (
        lambda s: replaced(s, graph.COLOR, cut_short), Reason.PICTURE, "no picture of that stamp, 1.0"),
    "depth lost": (
        lambda s: without(s, lambda t, topic: topic == graph.DEPTH and t > 1.5), Reason.PICTURE, "with depth is"),
    "depth of other stamps": (
        lambda s: replaced(s, graph.DEPTH, lambda t, m: later([(t, "", m)], 0.01)[0][2]), Reason.PICTURE,
        "no whole picture"),
    "no depth in any pixel": (lambda s: replaced(s, graph.DEPTH, blind), Reason.PICTURE, "no depth in any pixel"),
    "no focal length": (lambda s: replaced(s, graph.CAMERA_INFO, bad_intrinsics), Reason.PICTURE, "focal length"),
    "nothing was asked for": (
        lambda s: without(s, lambda t, topic: topic == graph.INSTRUCTION), Reason.INSTRUCTION, "nothing was asked"),
    "never permitted": (lambda s: replaced(s, graph.PERMIT, lambda t, m: _hold(t)), Reason.PERMIT, "never permitted"),
    "permission unknown": (
        lambda s: without(s, lambda t, topic: topic == graph.PERMIT), Reason.PERMIT, "no permit was recorded"),
    "short": (lambda s: without(s, lambda t, _: t > 0.8), Reason.SHORT, "expected at least 10"),
    "the camera's clock is behind": (lambda s: late_camera(s, 1.0), Reason.CLOCK, "the camera came 1.0"),
    "the camera's clock is ahead": (lambda s: late_camera(s, -0.5), Reason.CLOCK, "the camera came -0.4"),
    "no pictures at all": (
        lambda s: without(s, lambda t, topic: topic == graph.COLOR), Reason.BAG, graph.COLOR),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("verdict", [None, "success"], ids=["unmarked", "marked"])
def test_what_is_out_of_sync_or_damaged_is_left_out_and_said(take, said, tmp_path, name, verdict):
    change, reason, text = LEFT_OUT[name]
    (row,) = take(change(said), verdict)
    assert (row["kept"], row["reason"]) == (False, reason.value)
    assert text in row["detail"]
    assert not (tmp_path / "set").exists()


def test_of_a_picture_that_was_lost_the_next_one_takes_the_place(take, said, tmp_path):
    (row,) = take(without(said, lambda t, topic: topic == graph.COLOR and 0.95 < t - LAG_S < 1.02))
    assert row["kept"]
    offsets = [r["exposure_offset"] for r in read_rows(tmp_path / "set")]
    assert abs(offsets[10]) == pytest.approx(1 / 30, abs=1e-3)
    assert max(map(abs, offsets[:10] + offsets[11:])) < 1e-3


@pytest.mark.parametrize("stamp_s", [START_S, 0.0, 1_799_999_999.999999])
def test_stamps_are_read_without_the_picture(stamp_s):
    image = ros.image_msg(np.zeros((4, 4), np.uint16), "16UC1", stamp_s, "camera")
    assert header_stamp_s(bytes(serialize_message(image))) == ros.stamp_s(image.header.stamp)


def test_an_episode_across_a_clock_that_was_set_back_is_left_out(take, said):
    moved = later(without(recording(), lambda t, _: t < 1.5), -1.0)
    rows = take([*without(said, lambda t, _: t >= 1.5), *moved])
    assert {r["reason"] for r in rows} == {Reason.CLOCK.value}
    assert all("set back" in r["detail"] for r in rows)


def test_a_marked_episode_with_a_hold_in_it_is_left_out(take, said):
    held = replaced(said, graph.PERMIT, lambda t, m: _hold(t) if 1.0 < t < 1.5 else m)
    (row,) = take(held, "success")
    assert row["reason"] == Reason.PERMIT.value and "without instruction or permission" in row["detail"]


def test_what_was_commanded_in_shadow_mode_was_done_by_nobody(take, said):
    (row,) = take(said, attached={"parameters/arm.yaml": b"arm: {ros__parameters: {mode: shadow}}"})
    assert row["reason"] == Reason.SHADOW.value


@pytest.mark.parametrize("mode", ["shadow", "live"])
def test_shadow_is_told_on_diagnostics_too(take, said, mode):
    """Where the attachment is of a later start of the node."""
    status = DiagnosticStatus(name="sapave/head", values=[KeyValue(key="mode", value=mode)])
    told = (said[0][0], graph.DIAGNOSTICS, DiagnosticArray(status=[status]))
    (row,) = take([told, *said], attached={"parameters/head.yaml": b"head: {ros__parameters: {mode: live}}"})
    assert row["kept"] is (mode == "live") and (row.get("reason") == Reason.SHADOW.value) is (mode == "shadow")


def test_what_was_commanded_live_is_kept(take, said):
    (row,) = take(said, attached={"parameters/arm.yaml": b"arm: {ros__parameters: {mode: live}}"})
    assert row["kept"]


def test_pictures_of_another_size_are_left_out_and_the_rest_is_kept(said, kinematics, tmp_path):
    first = write(tmp_path / "first", said)
    wide = write(tmp_path / "wide", replaced(replaced(recording(2.0), graph.COLOR, _wider), graph.DEPTH, _wider))
    with DatasetWriter(tmp_path / "set", 10) as to:
        converter = Converter(to, EpisodeParameters(), kinematics)
        rows = [converter.take(bag)["episodes"][0] for bag in (first, wide, first)]
        to.publish({})
    assert [r["kept"] for r in rows] == [True, False, True]
    assert rows[1]["reason"] == Reason.SIZE.value and "expected 64 x 48" in rows[1]["detail"]
    check_format(tmp_path / "set")


def _wider(_, image):
    pixels = ros.image_array(image)
    return ros.image_msg(np.concatenate([pixels, pixels], axis=1), image.encoding, ros.stamp_s(image.header.stamp), "")


# -- the command -------------------------------------------------------------------------------


def test_it_counts_what_it_kept_and_left_out(bags, said, tmp_path, capsys):
    silent = write(tmp_path / "silent", without(said, lambda t, topic: topic == graph.INSTRUCTION))
    nonsense = tmp_path / "nonsense.mcap"
    nonsense.write_bytes(b"no bag at all")
    report = tmp_path / "report.json"
    assert convert([bags[0], silent, nonsense], tmp_path / "set", "--json", str(report)) == 0
    out = capsys.readouterr().out
    assert f"left out: 1: {Reason.INSTRUCTION.value}" in out and f"left out: 1: {Reason.BAG.value}" in out
    assert "1 episodes, 30 frames at 10 Hz" in out
    found = json.loads(report.read_text())
    assert found["kept"] == 1 and found["left_out"] == {Reason.INSTRUCTION.value: 1, Reason.BAG.value: 1}
    notes = json.loads((tmp_path / "set/meta/sapave.json").read_text())
    assert notes["repo_id"] == "local/set" and len(notes["bags"]) == 3


def test_where_nothing_is_fit_nothing_is_written(said, tmp_path, capsys):
    silent = write(tmp_path / "silent", without(said, lambda t, topic: topic == graph.INSTRUCTION))
    assert convert([silent], tmp_path / "sets/mine") == 1
    assert "nothing was written" in capsys.readouterr().out
    assert list((tmp_path / "sets").iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said_of"),
    [
        (["--step", "0.03"], "step_s: 0.03; expected 1/n s"),
        (["--step", "7"], "step_s: 7.0; expected a number in 0.02..1 s"),
        (["--min-frames", "0"], "min_frames: 0; expected"),
        (["--max-apart", "nan"], "max_apart_s: nan; expected"),
        (["--repo-id", "a/b/c"], "--repo-id 'a/b/c'; expected OWNER/NAME"),
    ],
)
def test_bad_arguments_are_named(bags, tmp_path, capsys, more, said_of):
    assert convert(bags, tmp_path / "set", *more) == 2
    assert said_of in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bag_that_is_not_there_is_named(tmp_path, capsys):
    assert convert([tmp_path / "gone"], tmp_path / "set") == 2
    assert "gone: is not there" in capsys.readouterr().err


def test_a_bag_that_is_given_twice_is_named(bags, tmp_path, capsys):
    assert convert([bags[0], bags[0].parent / "." / bags[0].name], tmp_path / "set") == 2
    assert "is given twice" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_not_touched(bags, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine").write_text("mine")
    assert convert(bags, tmp_path / "set") == 2
    assert "is there and is not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "mine"]


def test_an_empty_folder_is_taken(bags, tmp_path):
    (tmp_path / "set").mkdir()
    assert convert(bags[:1], tmp_path / "set") == 0
    check_format(tmp_path / "set")


def test_a_full_disk_leaves_nothing_half_written(bags, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    assert convert(bags, tmp_path / "set") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_leaves_nothing_half_written(bags, tmp_path, capsys, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho 'out.mp4: No space left on device' >&2\nexit 1\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(video, "get_ffmpeg_exe", lambda: str(fake))
    assert convert(bags, tmp_path / "sets/mine") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "sets").iterdir()) == []


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_behind_goes_and_nothing_else(bags, tmp_path, dead_pid):
    left = [tmp_path / f".set.{pid}.part" for pid in (dead_pid, os.getpid())]  # of another container, the latter
    others = [
        f".set.{os.getppid()}.part", ".set.1.part", f".set2.{dead_pid}.part", f"set.{dead_pid}.part", ".set..part",
        ".set.-1.part", f".set.{dead_pid}.part.mine", f".xset.{dead_pid}.part", ".set.0.part", f".set.{10**30}.part",
    ]  # fmt: skip
    for folder in (*left, *(tmp_path / name for name in others)):
        (folder / "meta").mkdir(parents=True)
        (folder / "meta/info.json").write_text("{}")
    mine = tmp_path / f".set.0{dead_pid}.part"
    mine.write_text("a file of somebody")
    assert convert(bags[:1], tmp_path / "set") == 0
    assert {p.name for p in tmp_path.iterdir()} == {"set", mine.name, *others}


def test_two_of_one_name_in_one_process_do_not_take_each_others(tmp_path):
    with DatasetWriter(tmp_path / "set", 10), pytest.raises(FileExistsError):
        DatasetWriter(tmp_path / "set", 10)
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_are_no_video(tmp_path):
    odd = Frame(np.zeros((47, 64, 3), np.uint8), np.zeros((47, 64), np.uint16), {}, "")
    with DatasetWriter(tmp_path / "set", 10) as to, pytest.raises(ValueError, match="expected even numbers"):
        to.add(odd)


def test_parameters_are_checked():
    assert EpisodeParameters(step_s=1 / 15).fps == 15
    with pytest.raises(ParameterError, match="max_gap_s"):
        replace(EpisodeParameters(), max_gap_s=0.0)
