"""Ages, rates, stamps and reports: it fails closed, and what it watches is what the table says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.faults import PEOPLE, Effect, Fault, described, that_stop
from sapave_ros.core.health import (
    RATE_WINDOW,
    SLOW_SHARE,
    STAMP_AHEAD_S,
    STAMP_SHOWS_S,
    STAMP_SLACK_S,
    Health,
    Report,
    Watch,
    joint_states_key,
    report_key,
)
from sapave_ros.graph import CAMERA_INFO, HEAD_INCREMENTS, HEALTH, STREAMS, stream
from sapave_ros.types import ActionChunk

REQUIRED = [k for k, w in Health().watches.items() if w.required]
NODES = stream(HEALTH).publishers


def all_fresh(now_s: float) -> Health:
    health = Health()
    for key in health.watches:
        health.received(key, now_s)
    return health


def flows(health: Health, from_s: float, to_s: float, but: str = "") -> None:
    """Everything comes at its rate, except for one."""
    for key, watch in health.watches.items():
        period_s = 1.0 / (watch.nominal_hz or 50.0)
        for i in range(1, int((to_s - from_s) / period_s + 1e-6) + 1):
            if key != but:
                health.received(key, from_s + i * period_s)


def lost(health: Health, now_s: float) -> str:
    return health.findings(now_s).get(Fault.STREAM_LOST, "")


# ---- ages ----


def test_watches_every_bounded_stream_of_the_table() -> None:
    topics = {s.topic for s in STREAMS if "watchdog" in s.subscribers and s.stale_after_s is not None}
    watched = Health().watches
    assert {key.split(" ")[0] for key in watched} == topics
    assert {joint_states_key("head"), joint_states_key("arms")} <= watched.keys()
    assert {report_key(node) for node in NODES} <= watched.keys()
    for key, watch in watched.items():
        assert watch.stale_after_s == stream(key.split(" ")[0]).stale_after_s


def test_never_seen_is_lost() -> None:
    text = lost(Health(), 1000.0)
    for key, watch in Health().watches.items():
        assert (f"{key} never seen" in text) is watch.required


@pytest.mark.parametrize("key", REQUIRED)
def test_each_stream_alone_is_lost_at_its_bound(key) -> None:
    bound = Health().watches[key].stale_after_s
    health = all_fresh(100.0)
    for other in health.watches:
        if other != key:
            health.received(other, 100.0 + bound)
    assert lost(health, 100.0 + bound - 1e-6) == ""
    text = lost(health, 100.0 + bound + 1e-3)
    assert text.startswith(key)
    assert f"at most {bound:g} s" in text


def test_the_two_controllers_are_told_apart_by_their_joints() -> None:
    health = Health()
    head, arms = (health.watches[joint_states_key(group)] for group in ("head", "arms"))
    health.joints_received(g1.HEAD.names, 1.0)
    assert head.age_s(1.0) == 0.0
    assert arms.age_s(1.0) == float("inf")
    health.joints_received(g1.OTHER.names[:-1], 2.0)  # a joint is missing: does not count
    assert arms.age_s(2.0) == float("inf")
    health.joints_received(g1.OTHER.names[::-1], 3.0)
    assert arms.age_s(3.0) == 0.0
    assert head.age_s(3.0) == 2.0


def test_increments_are_needed_only_with_an_instruction_and_get_time_to_begin() -> None:
    health = all_fresh(0.0)
    bound = stream(HEAD_INCREMENTS).stale_after_s

    def fresh_but_increments(now_s):
        for key in health.watches:
            if key != HEAD_INCREMENTS:
                health.received(key, now_s)
        return lost(health, now_s)

    assert fresh_but_increments(100.0) == ""
    health.require(HEAD_INCREMENTS, True, 100.0)
    assert fresh_but_increments(100.0 + bound - 0.01) == ""
    health.require(HEAD_INCREMENTS, True, 100.0 + bound - 0.01)  # said again: no new time
    assert HEAD_INCREMENTS in fresh_but_increments(100.0 + bound + 0.01)
    health.received(HEAD_INCREMENTS, 102.0)
    assert fresh_but_increments(102.5) == ""
    health.require(HEAD_INCREMENTS, False, 103.0)
    assert fresh_but_increments(200.0) == ""


def test_an_age_that_is_no_number_is_lost() -> None:
    watch = Watch("x", 1.0)
    watch.add(float("nan"), 0.0)
    assert watch.stale(1.0)


def test_unwatched_stream_is_an_error() -> None:
    with pytest.raises(KeyError):
        Health().received("/nonsense", 0.0)
    assert CAMERA_INFO in Health().watches


# ---- rates ----


def test_rate_is_of_the_last_messages_and_falls_when_they_stop() -> None:
    watch = Watch("x", 1.0)
    assert watch.rate_hz(0.0) == 0.0
    for i in range(200):
        watch.add(i / 30.0, 0.0)
    assert watch.rate_hz(199 / 30.0) == pytest.approx(30.0, rel=0.02)
    assert watch.rate_hz(199 / 30.0 + 10.0) < 5.0


@given(
    nominal_hz=st.sampled_from(sorted({s.rate_hz for s in STREAMS if s.rate_hz})),
    share=st.floats(0.05, 1.5).filter(lambda x: abs(x - SLOW_SHARE) > 0.02),
)
def test_slow_is_less_than_a_share_of_the_rate(nominal_hz, share) -> None:
    watch, period_s = Watch("x", 10.0, nominal_hz), 1.0 / (share * nominal_hz)
    for i in range(RATE_WINDOW + 2):
        watch.add(i * period_s, 0.0)
        assert not (share > SLOW_SHARE and watch.slow(i * period_s))
    assert watch.slow(i * period_s) == (share < SLOW_SHARE and not watch.stale(i * period_s))


def test_one_message_has_no_rate_and_what_is_not_needed_is_not_slow() -> None:
    watch = Watch("x", 10.0, 30.0)
    watch.add(0.0, 0.0)
    assert not watch.slow(5.0)
    watch.add(4.0, 0.0)
    assert watch.slow(5.0)
    watch.required = False
    assert not watch.slow(5.0)


def test_a_slow_stream_is_said_with_its_rates_and_a_lost_one_is_not_slow_besides() -> None:
    health = all_fresh(0.0)
    flows(health, 0.0, 1.0, but=CAMERA_INFO)
    flows(health, 1.0, 2.2, but=CAMERA_INFO)
    for i in range(1, 12):
        health.received(CAMERA_INFO, 0.2 * i)
    assert health.findings(2.2) == {Fault.STREAM_SLOW: f"{CAMERA_INFO} at 5.0 Hz, expected 30"}
    flows(health, 2.2, 3.2, but=CAMERA_INFO)
    findings = health.findings(3.2)
    assert list(findings) == [Fault.STREAM_LOST]
    assert findings[Fault.STREAM_LOST].startswith(CAMERA_INFO)


# ---- stamps ----


@pytest.mark.parametrize("key", [CAMERA_INFO, joint_states_key("head"), joint_states_key("arms")])
@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, 1.0, 3600.0, float("nan"), float("inf")])
def test_a_stamp_that_jumps_is_seen_and_so_is_one_among_good_ones(key, jump_s) -> None:
    """Only the newest stamp counted: a wrong one that came between two looks with a good one after it was not seen."""
    health = all_fresh(10.0)
    health.received(key, 10.0, 0.03 - jump_s)
    health.received(key, 10.005, 0.03)
    assert key in health.findings(10.01)[Fault.CLOCKS_DISAGREE]
    flows(health, 10.005, 10.02 + STAMP_SHOWS_S)
    assert health.findings(10.02 + STAMP_SHOWS_S) == {}


@given(age_s=st.floats(-2.0, 2.0))
def test_stamps_may_be_a_little_ahead_and_as_old_as_the_stream_may_be(age_s) -> None:
    health = all_fresh(10.0)
    health.received(CAMERA_INFO, 10.0, age_s)
    oldest = stream(CAMERA_INFO).stale_after_s + STAMP_SLACK_S
    assert (Fault.CLOCKS_DISAGREE in health.findings(10.0)) == (not -STAMP_AHEAD_S <= age_s <= oldest)


def test_joints_are_held_against_the_clock_too_and_unneeded_streams_are_not() -> None:
    health = all_fresh(10.0)
    health.joints_received(g1.HEAD.names, 10.0, 1.0)
    assert joint_states_key("head") in health.findings(10.0)[Fault.CLOCKS_DISAGREE]
    health = all_fresh(10.0)
    health.received(HEAD_INCREMENTS, 10.0, 5.0)
    assert health.findings(10.0) == {}


# ---- reports ----


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("fault", Fault)
def test_what_a_node_reports_is_a_finding_until_it_reports_otherwise(node, fault) -> None:
    health = all_fresh(1.0)
    health.reported(Report(node, {fault: "detail"}), 1.0)
    assert health.findings(1.0) == {fault: "detail"}
    health.reported(Report(node, {}), 1.1)
    assert health.findings(1.1) == {}


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_says_nothing_is_lost_and_what_it_said_last_stands(node) -> None:
    health = all_fresh(1.0)
    health.reported(Report(node, {Fault.MOTOR_HOT: "110 °C"}), 1.0)
    later_s = 1.0 + stream(HEALTH).stale_after_s + 0.01
    for key in health.watches:
        if key != report_key(node):
            health.received(key, later_s)
    assert report_key(node) in lost(health, later_s)
    assert health.findings(later_s)[Fault.MOTOR_HOT] == "110 °C"


def test_findings_of_several_nodes_add_up() -> None:
    health = all_fresh(1.0)
    health.reported(Report("head", {Fault.SECOND_PERMIT: "seen by head"}), 1.0)
    health.reported(Report("arm", {Fault.SECOND_PERMIT: "seen by arm"}), 1.0)
    assert health.findings(1.0) == {Fault.SECOND_PERMIT: "seen by head; seen by arm"}


def test_a_fault_of_another_version_is_not_passed_over() -> None:
    health = all_fresh(1.0)
    health.reported(Report("arm", {}, unknown=("ELBOW_MELTED",)), 1.0)
    assert "ELBOW_MELTED" in lost(health, 1.0)


def test_a_stranger_reports_for_nobody() -> None:
    health = all_fresh(1.0)
    health.reported(Report("stranger", {Fault.STOP_BY_REMOTE: "x"}, held=True), 1.0)
    assert health.findings(1.0) == {}
    assert not health.arms_held


def test_arms_are_held_while_a_node_says_so() -> None:
    health = all_fresh(1.0)
    health.reported(Report("arm", {}, held=True), 1.0)
    health.reported(Report("head", {}), 1.0)
    assert health.arms_held
    health.reported(Report("arm", {}), 1.1)
    assert not health.arms_held


def test_what_the_policys_chunks_tell_is_a_finding() -> None:
    health = all_fresh(1.0)
    for i in range(3):
        chunk = ActionChunk(i * 0.1, 0.1, g1.HEAD.names, np.zeros((4, 2)))
        health.policy.chunk("head", chunk, 1.0, i * 0.1 + 0.3)
    assert list(health.findings(1.0)) == [Fault.CHUNKS_LATE]


# ---- the table of faults ----


def test_every_fault_names_who_sees_it_and_people_stop() -> None:
    nodes = {"watchdog", *NODES}
    for fault in Fault:
        assert set(fault.row.seen_by.split(", ")) <= nodes, fault
        assert fault.row.meaning
        if fault.row.resumes_after_s is not None:
            assert fault.row.effect is Effect.HOLD, "nothing else can go on by itself"
            assert fault.row.resumes_after_s > 0
    assert all(fault.row.effect is Effect.STOP for fault in PEOPLE)
    assert len({fault.row.meaning for fault in Fault}) == len(Fault), "equal rows would be one member of the enum"


def test_warnings_stop_nothing() -> None:
    everything = {fault: fault.name.lower() for fault in Fault}
    stopping = that_stop(everything)
    assert stopping.keys() == {f for f in Fault if f.row.effect is not Effect.WARN}
    assert described({Fault.MOTOR_HOT: "a", Fault.FALLING: "b"}) == "MOTOR_HOT: a; FALLING: b"
