"""Offline evaluation: what is asked again is what the robot was asked, and a worse policy is told from a good one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import cli, g1, graph
from sapave_ros.bag import definitions, document
from sapave_ros.bag.metadata import Topic
from sapave_ros.bag.reader import BagError
from sapave_ros.bag.writer import Attachment, BagWriter
from sapave_ros.core.chunk import ChunkExecutor
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.nodes import ros
from sapave_ros.offline import again, command, gate, score
from sapave_ros.offline.recording import Recording, Sent
from sapave_ros.parameters import ParameterError
from sapave_ros.policy import manifest
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.share import share_path
from sapave_ros.types import ActionChunk, Mode, Permit

SHIPPED = share_path(manifest.SHIPPED)
START_S = 1_800_000_000.0
SECONDS = 3.0
LATENCY_S = 0.06
INSTRUCTION = "look at the red mug"
K = np.array([[300.0, 0, 211.5], [0, 300.0, 119.5], [0, 0, 1]])


def run_of_a_robot() -> list[tuple[float, str, object]]:
    """(received [s], topic, message) of a head that follows the shipped policy perfectly; pictures of noise."""
    random = np.random.default_rng(0)
    kinematics = Kinematics.from_urdf()
    builder = ObservationBuilder(kinematics.camera_in_torso)
    session = PolicySession(OnnxPolicy(SHIPPED), SessionParameters())
    executor = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"), blend_s=0.5)
    executor.rest_at(np.zeros(2))
    others = np.zeros(len(g1.OTHER))
    said: list[tuple[float, str, object]] = [(START_S - 0.5, graph.INSTRUCTION, String(data=INSTRUCTION))]
    pending = []
    picture = random.integers(0, 255, (240, 424, 3), dtype=np.uint8)
    depth = np.full((240, 424), 1500, np.uint16)
    for tick in range(int(SECONDS * 300)):
        now_s = round(START_S + tick / 300, 6)
        if tick % 6 == 0:
            permit = Permit(now_s, tick, "ACTIVE", "", Mode.MOVE, Mode.MOVE)
            said.append((now_s, graph.PERMIT, ros.permit_to_msg(permit)))
            q = executor.sample(now_s)[0]
            executor.record(now_s, q)
            said.append((now_s, graph.HEAD_COMMAND, ros.joint_state_msg(g1.HEAD.names, now_s, q)))
            for names, values in ((g1.HEAD.names, q), (g1.OTHER.names, others)):
                said.append((now_s, graph.JOINT_STATES, ros.joint_state_msg(names, now_s, values)))
                builder.joints.add(names, now_s, values)
        if tick % 10 == 0:
            info = CameraInfo(k=K.ravel().tolist())
            info.header.stamp = ros.to_msg_time(now_s)
            said.append((now_s + 0.01, graph.COLOR, ros.image_msg(picture, "rgb8", now_s, "")))
            said.append((now_s + 0.01, graph.DEPTH, ros.image_msg(depth, "16UC1", now_s, "")))
            said.append((now_s + 0.01, graph.CAMERA_INFO, info))
            builder.add_color(now_s, picture)
            builder.add_depth(now_s, depth)
            builder.add_intrinsics(now_s, K)
            if tick % 40 == 0:
                pending.append(now_s)
        if pending and pending[0] <= now_s - LATENCY_S / 2:
            observation = builder.at(pending.pop(0), INSTRUCTION)
            assert not isinstance(observation, str), observation
            chunk = session.infer(observation).head
            said.append((now_s + LATENCY_S / 2, graph.HEAD_INCREMENTS, ros.chunk_to_msg(chunk)))
            executor.accept(ros.chunk_from_msg(ros.chunk_to_msg(chunk)), now_s)
    return sorted(said, key=lambda entry: entry[0])


def write(folder: Path, said: list[tuple[float, str, object]], attached: Iterable[Attachment] = ()) -> Path:
    topics = []
    for name in dict.fromkeys(topic for _, topic, _ in said):
        kind = graph.stream(name).type
        topics.append(Topic(name, kind, definitions.definition(kind), definitions.type_hash(kind)))
    bag = BagWriter(folder, topics)
    for received_s, topic, message in said:
        bag.write(topic, round(received_s * 1e9), serialize_message(message))
    for attachment in attached:
        bag.attach(attachment)
    bag.close()
    return folder


@pytest.fixture(scope="module")
def said():
    return run_of_a_robot()


@pytest.fixture(scope="module")
def bag(said, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "run", said)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """The shipped model with some weights of its head's decoder exchanged; its manifest says what it holds."""
    proto = onnx.load(str(SHIPPED))
    random = np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        if "head_decoder" in tensor.name and len(tensor.dims) == 2:
            values = numpy_helper.to_array(tensor)
            mixed = random.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    del proto.metadata_props[:]
    weights = proto.SerializeToString(deterministic=True)
    about = replace(
        manifest.read(SHIPPED), weights_bytes=len(weights), weights_sha256=hashlib.sha256(weights).hexdigest()
    )
    carrier = onnx.ModelProto()
    carrier.metadata_props.add(key=manifest.KEY, value=about.to_json())
    path = tmp_path_factory.mktemp("models") / "damaged.onnx"
    path.write_bytes(weights + carrier.SerializeToString())
    return path


def test_what_was_followed_counts_where_the_bag_has_it(said, tmp_path):
    """A recorder that began after somebody had spoken has nothing else; and what nobody followed counts for nothing."""
    late = [e for e in said if e[1] != graph.INSTRUCTION]
    unheard = (START_S + 1.0, graph.INSTRUCTION, String(data="find the blue ball"))
    for name, others in (("late", []), ("unheard", [unheard])):
        followed = [(START_S, graph.FOLLOWED, String(data=INSTRUCTION)), *others, *late]
        recording = Recording.read(write(tmp_path / name, sorted(followed, key=lambda e: e[0])))
        assert recording.instructions == [(START_S, INSTRUCTION)]
        assert {text for _, text in again.wanted(recording)} == {INSTRUCTION}


def ask(bag: Path, model: Path) -> tuple[Recording, again.Answers]:
    recording = Recording.read(bag)
    return recording, again.ask(recording, model, Kinematics.from_urdf())


def test_the_answers_are_the_robots_bit_for_bit(bag):
    recording, answers = ask(bag, SHIPPED)
    sent = recording.chunks[graph.HEAD_INCREMENTS]
    assert answers.missing == [] and answers.observed == len(sent) > 15
    same, of, difference = again.identical(recording, answers)["head"]
    assert (same, of, difference) == (len(sent), len(sent), 0.0)


def test_a_policy_that_was_followed_has_little_error_and_a_damaged_one_has_much(bag, damaged):
    own, other = (score.figures(*ask(bag, model))["groups"]["head"] for model in (SHIPPED, damaged))
    assert own["compared_steps"] > 100
    assert own["error_rad"] < 0.3 * other["error_rad"]
    assert own["refused"] == {}


def test_where_there_was_no_permission_nothing_is_compared(said, tmp_path):
    still = [(t, topic, m) for t, topic, m in said if topic != graph.PERMIT]
    recording, answers = ask(write(tmp_path / "still", still), SHIPPED)
    assert score.figures(recording, answers)["groups"]["head"]["compared_steps"] == 0


def test_a_recording_without_a_policy_is_asked_as_often_as_one_with_it(said, tmp_path):
    own = [(t, topic, m) for t, topic, m in said if topic != graph.HEAD_INCREMENTS]
    recording, answers = ask(write(tmp_path / "teleop", own), SHIPPED)
    assert answers.observed == pytest.approx(SECONDS * graph.INFERENCE_HZ, abs=2)
    assert score.figures(recording, answers)["groups"]["head"]["compared_steps"] > 100


def test_what_is_missing_is_told_and_the_rest_is_scored(said, tmp_path):
    late = START_S + 1.5
    gone = [(t, topic, m) for t, topic, m in said if topic != graph.DEPTH or t < late]
    recording, answers = ask(write(tmp_path / "gone", gone), SHIPPED)
    assert {why for _, why in answers.missing} == {"picture without depth or intrinsics of the same stamp"}
    assert 5 < answers.observed < len(recording.chunks[graph.HEAD_INCREMENTS])
    no_pictures = [(t, topic, m) for t, topic, m in said if topic != graph.COLOR]
    with pytest.raises(BagError, match=graph.COLOR):
        ask(write(tmp_path / "blind", no_pictures), SHIPPED)
    alien = [(t, graph.JOY, ros.joint_state_msg((), t, np.empty(0))) for t, _, _ in said[:3]]
    with pytest.raises(BagError, match="topics"):
        Recording.read(write(tmp_path / "alien", alien))


def test_the_command_is_a_gate(bag, damaged, tmp_path, capsys):
    before, after, folder = tmp_path / "before.json", tmp_path / "after.json", tmp_path / "page"
    assert cli.main(["eval", str(bag), "--json", str(before), "--page", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "bit for bit" in out and "times real time" in out
    assert cli.main(["eval", str(bag), "--baseline", str(before)]) == 0
    assert "nothing is worse" in capsys.readouterr().out
    words = ["eval", str(bag), "--model", str(damaged), "--baseline", str(before), "--json", str(after)]
    assert cli.main(words) == 1
    assert f"worse: {bag.parent.name}/run model head error_rad: was " in capsys.readouterr().out
    assert cli.main(["eval", str(bag), "--baseline", str(after)]) == 0, "better than before is fine"
    html = (folder / "index.html").read_text()
    assert re.search(r"[\d.]+ times real time, \d+% of it the model", html)
    fast = json.loads(before.read_text())["bags"][0]["speed"]
    assert fast["times_real_time"] * fast["took_s"] == pytest.approx(SECONDS + 0.5, abs=0.1)
    assert 0.0 < fast["model_share"] < 1.0
    assert INSTRUCTION in html and (folder / "steps_0.png").stat().st_size > 1000
    again_ = json.loads(before.read_text())
    assert gate.compare(again_, json.loads(before.read_text()), 0.0) == []


def test_episodes_of_the_same_number_are_told_apart():
    def report(*missing):
        bags = [{"bag": f"/bags/{day}/episode_0000", "models": {"m": {"missing": {"picture": n}, "identical": {},
                 "groups": {}, "sha256": "a"}}} for day, n in zip(("mon", "tue"), missing, strict=True)]  # fmt: skip
        return {"bags": bags}

    for now in ((5, 0), (0, 5)):
        (line,) = gate.compare(report(0, 0), report(*now), 0.05)
        assert ("mon" if now[0] else "tue") in line
    twice = report(0, 0)
    twice["bags"][1]["bag"] = "/other/mon/episode_0000"
    with pytest.raises(ValueError, match="mon/episode_0000 is there twice"):
        gate.compare(twice, twice, 0.05)


def test_another_model_need_not_say_what_the_robot_was_told():
    def report(sha256, chunks):
        same = {"head": {"chunks": chunks, "of": 9, "largest_rad": 0.1}}
        of = {"missing": {}, "identical": same, "groups": {}, "sha256": sha256}
        return {"bags": [{"bag": "/bags/mon/run", "models": {"m": of}}]}

    assert gate.compare(report("a", 9), report("b", 0), 0.05) == []
    assert gate.compare(report("", 9), report("a", 0), 0.05) == []
    (line,) = gate.compare(report("a", 9), report("a", 0), 0.05)
    assert "mon/run m head not_identical" in line


def test_the_bag_tells_how_chunks_followed_each_other_and_which_model_it_was(said, tmp_path, capsys):
    sha = json.loads(document.model("", 1).data)["sha256"]
    told = {"chunking": "rtc", "rtc_horizon_steps": 5, "noise_seed": 7, "rate_hz": 4.0}
    attached = [document.parameters("inference", told, 1), document.model("", 1)]
    recording = Recording.read(write(tmp_path / "rtc", said, attached))
    assert again.parameters(recording, sha) == SessionParameters("rtc", 5, 7, gaze_memory=False), "of before there was"
    assert again.parameters(recording, sha, "plain") == SessionParameters("plain", 5, 7, gaze_memory=False)
    own = SessionParameters("rtc", 5, gaze_memory=False)
    assert again.parameters(recording, "of another") == own, "noise is a model's own"
    assert again.parameters(Recording.read(write(tmp_path / "bare", said)), sha) == SessionParameters()
    wrong = [document.parameters("inference", told | {"chunking": "none"}, 1)]
    with pytest.raises(ParameterError, match="chunking: 'none'"):
        again.parameters(Recording.read(write(tmp_path / "wrong", said, wrong)), sha)
    other = write(tmp_path / "other", said, [replace(attached[1], data=b'{"sha256": "0123456789abcdef"}')])
    for folder, another in (("rtc", False), ("other", True)):
        assert cli.main(["eval", str(tmp_path / folder)]) == 0
        assert ("another model than the robot had" in capsys.readouterr().out) is another
    assert again.ask(Recording.read(other), SHIPPED, Kinematics.from_urdf()).model_sha256 == sha


def test_chunks_are_older_the_later_the_next_one_comes():
    recording = Recording.__new__(Recording)
    chunk = ActionChunk(10.0, 0.1, g1.HEAD.names, np.zeros((4, 2)))
    times_s = ((10.1, 10.0), (10.3, 10.2), (10.5, 10.4), (500.1, 500.0))  # received, exposure; then nothing for minutes
    sent = [Sent(received_s, replace(chunk, stamp_s=stamp_s)) for received_s, stamp_s in times_s]
    recording.chunks = {graph.HEAD_INCREMENTS: sent}
    np.testing.assert_allclose(score.ages(recording), [0.3, 0.3])


def test_clocks_that_were_set_back_or_disagree_are_told(said, tmp_path):
    assert Recording.read(write(tmp_path / "right", said)).clocks == []
    back = [(t - 1.0 if t > START_S + 2.0 else t, topic, message) for t, topic, message in said]
    told = " ".join(Recording.read(write(tmp_path / "back", back)).damage)
    assert re.search(r"clock of the recorder was set back by (0\.9|1\.0)", told)
    assert re.search(r"pictures came up to 0\.9\d s before their exposures", told)
    assert cli.main(["eval", str(tmp_path / "back")]) == 0


def test_two_models_over_a_recording_are_twice_its_length():
    one = command.speed(10.0, 1, 2.0, 1.5)
    assert one == {"times_real_time": 5.0, "model_share": 0.75, "took_s": 2.0}
    assert command.speed(10.0, 2, 4.0, 3.0)["times_real_time"] == one["times_real_time"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "path: nowhere is not there"),
        (["BAG", "--models", "x"], "NAME=PATH"),
        (["BAG", "--models", "model=x.onnx"], "name of another model"),
        (["BAG", "--model", "nowhere.onnx"], "nowhere.onnx is not there"),
        (["BAG", "--tolerance", "-1"], "expected at least 0"),
        (["BAG", "--baseline", "BASELINE"], "what sapave eval --json wrote|what --json wrote"),
    ],
)
def test_what_cannot_be_is_named(bag, tmp_path, capsys, words, message):
    wrong = tmp_path / "baseline.json"
    wrong.write_text("{}")
    words = [{"BAG": str(bag), "BASELINE": str(wrong)}.get(w, w) for w in words]
    assert cli.main(["eval", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert re.search(message, line), line


def test_what_is_malformed_is_passed_over_and_counted(said, tmp_path):
    """As on the robot: a picture whose bytes are too few, and a chunk without points."""
    spoilt = list(said)
    for topic in (graph.COLOR, graph.HEAD_INCREMENTS):
        at = next(i for i, (_, name, _) in enumerate(said) if name == topic)
        received_s, _, message = said[at]
        broken = deserialize_message(serialize_message(message), type(message))
        if topic == graph.COLOR:
            broken.data = broken.data[:-1]
        else:
            broken.points = []
        spoilt[at] = (received_s, topic, broken)
    recording, answers = ask(write(tmp_path / "spoilt", spoilt), SHIPPED)
    assert score.figures(recording, answers)["malformed"] == {graph.COLOR: 1, graph.HEAD_INCREMENTS: 1}
    assert answers.observed > 15


def test_several_bags_are_shared_out(bag, said, tmp_path, capsys):
    other, report = write(tmp_path / "other", said), tmp_path / "two.json"
    assert cli.main(["eval", str(bag), str(other), "--workers", "2", "--json", str(report)]) == 0
    first, second = json.loads(report.read_text())["bags"]
    assert [first["bag"], second["bag"]] == [str(bag), str(other)]
    assert first["models"] == second["models"]


def test_a_bag_that_cannot_be_used_does_not_cost_the_others(bag, tmp_path, capsys):
    report = tmp_path / "report.json"
    words = ["eval", str(bag), str(tmp_path / "nowhere"), "--json", str(report), "--page", str(tmp_path)]
    assert cli.main(words) == 1
    out = capsys.readouterr().out
    assert "nowhere: cannot be used: " in out and "1 of 2 bags cannot be used" in out
    found = json.loads(report.read_text())
    assert [of["bag"] for of in found["bags"]] == [str(bag)]
    assert "is not there" in found["unusable"][str(tmp_path / "nowhere")]
    assert "nowhere" in (tmp_path / "index.html").read_text()
    assert cli.main(["eval", str(bag), "--baseline", str(report)]) == 0
