"""What `sapave top` says of streams and processes."""

from __future__ import annotations

import json
import math
import sys

import pytest

from sapave_ros import cli, graph
from sapave_ros.monitor.latency import Budget
from sapave_ros.nodes.monitor_messages import latency_status
from sapave_ros.top.flows import Flows, Newest
from sapave_ros.top.processes import Load, process_name
from sapave_ros.top.screen import STAGES, Picture, figures, lines, silent


def heard(rate: float = 1.0, until_s: float = 4.0, now_s: float = 4.0, leave_out: str = "") -> Flows:
    """All streams at a share of their rate."""
    flows = Flows()
    for stream in flows.streams:
        if stream.topic == leave_out:
            continue
        hz = rate * stream.rate_hz * len(stream.publishers)
        for i in range(int(until_s * hz) + 1):
            flows.add(stream.topic, i / hz)
    return flows


def picture(flows: Flows, now_s: float, **changes) -> Picture:
    given = {"state": "ACTIVE", "reason": "armed", "wrong": {}, "reported": {}, "loads": {}} | changes
    return Picture(41, given.pop("state"), given.pop("reason"), flows.now(now_s), **given)


def test_streams_at_their_rates_are_all_right():
    for flow in heard().now(4.0):
        assert flow.wrong == ""
        assert flow.rate_hz == pytest.approx(flow.nominal_hz, rel=0.1)
    assert graph.COLOR not in {f.topic for f in heard().now(4.0)}, "a reader of pictures would load what it looks at"


def test_what_came_never_came_slowly_or_came_once_is_told_apart():
    by_topic = {f.topic: f for f in heard(rate=0.1).now(4.0)}
    assert by_topic[graph.PERMIT].wrong in ("slow", "stale")
    stale = {f.topic: f for f in heard().now(6.0)}
    assert {t: f.wrong for t, f in stale.items() if graph.stream(t).stale_after_s} == dict.fromkeys(
        (t for t in stale if graph.stream(t).stale_after_s), "stale"
    )
    silent = {f.topic: f for f in heard(leave_out=graph.JOINT_STATES).now(4.0)}[graph.JOINT_STATES]
    assert silent.wrong == "never" and math.isinf(silent.age_s)
    by_hand = {f.topic: f for f in heard(leave_out=graph.TELEOP_HEAD_INCREMENTS).now(4.0)}[graph.TELEOP_HEAD_INCREMENTS]
    assert by_hand.wrong == "", "nobody has to move the head by hand"


@pytest.mark.parametrize("process", graph.PROCESSES, ids=lambda p: p.name)
def test_processes_are_known_however_they_were_started(process):
    assert process_name([sys.executable, "-m", process.module, "--ros-args"]) == process.name
    assert process_name(["/usr/bin/python3", f"/opt/ros/lib/sapave_ros/{process.script}", "--ros-args"]) == process.name
    assert process_name([f"/opt/ros/lib/sapave_ros/{process.script}"]) == process.name
    assert process_name(["grep", "-r", process.module]) is None
    assert process_name([]) is None


def test_the_screen_has_every_stream_process_and_stage():
    wrong = {p.name: "" for p in graph.PROCESSES if p.ros} | {"head": "a servo does not answer"}
    reported = {node: {key: "12.34"} for _, node, key in STAGES}
    loads = {p.name: Load(7, 0.5, 100.0) for p in graph.PROCESSES}
    shown = picture(heard(), 4.0, wrong=wrong, reported=reported, loads=loads)
    text = "\n".join(lines(shown, colour=False))
    assert "\x1b" not in text and "\x1b" in "\n".join(lines(shown, colour=True))
    assert all(stream.topic in text for stream in Flows().streams)
    assert all(f"\n{p.name} " in text for p in graph.PROCESSES)
    assert "a servo does not answer" in text and "12.3 ms" in text and "ACTIVE" in text
    assert json.loads(json.dumps(figures(shown)))["wrong"]["head"] == "a servo does not answer"


def test_the_latency_budget_is_shown_stage_by_stage():
    budget = Budget({"camera": 0.012, "inference": 0.061, "control": 0.008, "motion": 0.04}, 0.1, 9)
    for budgets, said in (
        ({"head": budget}, "121.0 ms = camera 12 + inference 61 + control 8 + motion 40"),
        ({}, "no chunk is followed"),
    ):
        status = latency_status(budgets)
        reported = {status.name: {value.key: value.value for value in status.values}}
        assert said in "\n".join(lines(picture(heard(), 4.0, reported=reported), colour=False))
    assert "sapave monitor" in "\n".join(lines(picture(heard(), 4.0), colour=False))


def test_who_falls_silent_is_neither_well_nor_permitting():
    said = Newest(0.5)
    said.add("head", "", 1.0)
    assert said.now(1.5) == {"head": ""} and said.now(1.6) == {}
    assert picture(heard(), 4.0).permit == ("ACTIVE", "armed")
    for flows in (heard(until_s=2.0), heard(leave_out=graph.PERMIT)):
        shown = picture(flows, 4.0, reported={"sapave/head": {}})
        text = "\n".join(lines(shown, colour=False))
        assert text.startswith("no permit") and figures(shown)["state"] == "no permit"
        assert next(line for line in text.splitlines() if line.startswith("head ")).endswith("not heard")


def test_who_has_not_been_heard_is_known_by_name():
    nodes = {p.name for p in graph.PROCESSES if p.ros}
    reporting = set(graph.stream(graph.HEALTH).publishers)
    wrong, reported = dict.fromkeys(reporting, ""), {f"sapave/{name}": {} for name in nodes}
    assert silent({}, {}) == nodes
    assert silent(wrong, reported) == set()
    assert silent(wrong, {}) == nodes - reporting
    assert silent({}, reported) == reporting, "who should report its health is not heard by its diagnostics alone"


def test_where_nothing_is_heard_that_is_said():
    (line,) = lines(picture(Flows(), 4.0), colour=False)
    assert "ROS_DOMAIN_ID 41" in line
    json.dumps(figures(picture(Flows(), 4.0)), allow_nan=False)


def test_a_wait_that_is_none_is_refused(capsys):
    assert cli.main(["top", "--every", "0"]) == 2
    assert "--every 0" in capsys.readouterr().err
