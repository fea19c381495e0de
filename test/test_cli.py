"""The command line: one clear line for whatever goes wrong, and exit codes that mean something."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections import Counter

import pytest
from dataset_format import check_format

from sapave_ros import cli, graph
from sapave_ros.demo.told import named_object
from sapave_ros.plan import Options
from sapave_ros.sim.eyes import PERIOD_S
from sapave_ros.up import overrides

COMMANDS = [[name] for name in cli._COMMANDS] + [["bench", name] for name in cli._BENCHES]


def command(monkeypatch: pytest.MonkeyPatch, run) -> None:
    """`sapave tables` does `run` for this test."""
    module = types.ModuleType("stand_in")
    module.add_arguments = lambda parser: None
    module.run = run
    monkeypatch.setitem(sys.modules, "stand_in", module)
    monkeypatch.setitem(cli._COMMANDS, "tables", ("stand_in", ""))


def raising(error: BaseException):
    def run(_):
        raise error

    return run


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--help"])
    assert end.value.code == 0
    assert f"sapave {' '.join(words)}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["dance"], ["bench"], ["arm", "now"], ["tables", "--nonsense"], ["say"]])
def test_wrong_usage_is_code_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert "usage: sapave" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("rate_hz: 0"), 2, "rate_hz: 0"),
        (FileNotFoundError("no such file"), 2, "no such file"),
        (RuntimeError("refused"), 1, "refused"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "make dev"),
        (ModuleNotFoundError("No module named 'rclpy'", name="rclpy.node"), 2, "source a ROS 2 installation"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(monkeypatch, capsys, error, code, said):
    command(monkeypatch, raising(error))
    assert cli.main(["tables"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bool(said)
    assert all(line.startswith("sapave: error: ") and said in line for line in lines)


def test_output_that_nobody_reads_any_longer_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m sapave_ros.cli --help | true", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["left_elbow_joint=0.3"], "JOINT:=RAD"),
        (["left_elbow_joint:=far"], "JOINT:=RAD"),
    ],
)
def test_move_says_what_it_expects(words, said, capsys):
    assert cli.main(["move", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("item", ["rate_hz:=5", "inference.rate_hz=5", "inference.:=5", ".rate_hz:=5", ""])
def test_overrides_say_what_they_expect(item):
    with pytest.raises(ValueError, match=r"NODE\.PARAMETER:=VALUE"):
        overrides([item])


@pytest.mark.parametrize("value", ["x", "-1", "102", "1.5"])
def test_a_domain_that_cannot_be_is_named(monkeypatch, value):
    monkeypatch.setenv("ROS_DOMAIN_ID", value)
    with pytest.raises(ValueError, match=rf"(?i)ros_domain(_id)?: '?{value}'?; expected 0\.\.101"):
        Options(sim=True)


def test_an_instruction_names_an_object_or_none():
    assert named_object("Look at the red mug, please") == ("red", "mug")
    assert named_object("dance") is None
    assert named_object("look at something red") is None


def sapave(*words: str) -> tuple[int, str]:
    """Exit code and output of the command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "sapave_ros.cli", *words], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.e2e
def test_nobody_there_is_said_with_what_to_check(ros_domain):
    code, said = sapave("disarm")
    assert code == 1
    assert "ROS_DOMAIN_ID" in said


@pytest.mark.e2e
def test_stop_and_reset_by_hand(ros_domain):
    module = graph.process("watchdog").module
    with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as watchdog:
        try:
            assert watchdog.stdout is not None
            assert graph.READY in watchdog.stdout.readline()
            assert sapave("stop")[0] == 0
            code, said = sapave("disarm")
            assert code == 1
            assert "ESTOP" in said
            code, said = sapave("reset")
            assert code == 0
            assert "STANDBY" in said
            assert sapave("disarm")[0] == 0
        finally:
            watchdog.terminate()


@pytest.mark.e2e
def test_a_recorded_demo_is_read_by_others_evaluated_and_learned_from(ros_domain, dds_domain, tmp_path):
    domains = ["--ros-domain", str(ros_domain), "--dds-domain", str(dds_domain)]
    figures, bag = tmp_path / "figures.json", tmp_path / "bag"
    arguments = ["--instruction", "dance", "--no-video", "--out", str(tmp_path), "--json", str(figures)]
    code, said = sapave("demo", *domains, *arguments, "--record", str(bag))
    assert code == 0, said
    assert "not judged" in said
    assert json.loads(figures.read_text())["target"] is None
    assert (tmp_path / "demo.png").exists()
    assert not (tmp_path / "demo.mp4").exists()
    assert {p.suffix for p in (tmp_path / "run").iterdir()} == {".log"}
    recording = pytest.importorskip("sapave_ros.offline.recording").Recording.read(bag)
    assert not recording.damage
    assert "dance" in [text for _, text in recording.instructions]
    assert {"head", "arms"} <= set(recording.commands)
    with pytest.importorskip("rosbags.highlevel").AnyReader([bag]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items() if info.msgcount}
        read = Counter(connection.topic for connection, _, _ in reader.messages())
    assert counts == dict(read) == recording.bag.counts
    report = tmp_path / "eval.json"
    code, said = sapave("eval", str(bag), "--json", str(report))
    assert code == 0, said
    (of,) = json.loads(report.read_text())["bags"]
    assert of["run"]["model_sha256"] == of["models"]["model"]["sha256"]
    same = of["models"]["model"]["identical"]["head"]
    assert same["chunks"] == same["of"] > 5, "live and again, bit for bit"
    apart = str(1.5 * PERIOD_S)  # a busy machine's camera may lose one picture between two
    code, said = sapave("dataset", "from-bags", str(bag), "--output", str(tmp_path / "set"), "--max-apart", apart)
    assert code == 0, said
    check_format(tmp_path / "set")
    code, said = sapave("demo", *domains, "--record", str(bag))
    assert code == 2
    assert "--record" in said
