"""The fault bench: measuring as laws on made-up records, its table against those of the system, and rows for real."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.signals import SignalHandlerOptions

from sapave_ros import g1, graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.writer import BagWriter
from sapave_ros.bench import fault_judge, fault_measure, fault_motion, fault_recorder, fault_report, fault_run
from sapave_ros.bench import fault_starts as starts
from sapave_ros.bench.fault_actions import Inject, Kill, Recorder, Stop, StopByTopic
from sapave_ros.bench.fault_graph import GUARD, SDK, Graph
from sapave_ros.bench.fault_judge import Seen, problems
from sapave_ros.bench.fault_measure import (
    JOINTS,
    MOTION_RAD_S,
    Said,
    Wire,
    at_rest_after_s,
    changed,
    for_good_s,
    last_motion_s,
    limits,
    longest_s,
    measure,
    of_one_watchdog,
    robot_time_s,
    top_speed,
    top_step,
    weight_fall_per_s,
)
from sapave_ros.bench.fault_rig import RigError
from sapave_ros.bench.fault_rows import NOT_INJECTED, SILENT, Arms, Row
from sapave_ros.bench.fault_table import ROWS
from sapave_ros.bench.faults import as_json, choose, line
from sapave_ros.cli import main
from sapave_ros.core.chunk import ChunkExecutor, ChunkFault
from sapave_ros.core.faults import Fault
from sapave_ros.core.supervisor import State
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import bag_topics
from sapave_ros.plan import Options
from sapave_ros.sim.faults import checked, find
from sapave_ros.sim.motors import Motors

UNHURRIED = settings(deadline=None, max_examples=40)
TICK_S = 0.002
FAULT_S = 100.0
HEADS = len(g1.HEAD)
KP = g1.ARMS.column("kp")


def motors(speed, seconds=4.0, weight=1.0, stiffness=1.0, late_s=0.0) -> Motors:
    """Two seconds before the fault and some after. speed, weight, stiffness: of the time after it, for all joints."""
    time_s = FAULT_S - 2.0 + TICK_S * np.arange(round((2.0 + seconds) / TICK_S))
    t, n = time_s - FAULT_S, len(time_s)

    def course(value):
        return np.array([value(x) for x in t]) if callable(value) else np.full(n, float(value))

    velocity = course(speed)
    q = np.cumsum(velocity) * TICK_S
    made = {
        "sequence": np.arange(1, n + 1),
        "time_s": time_s,
        "late_s": np.full(n, late_s),
        "head": np.tile(q[:, None], (1, HEADS)),
        "arms": np.tile(q[:, None], (1, len(g1.ARMS))),
        "head_velocity": np.tile(velocity[:, None], (1, HEADS)),
        "arms_velocity": np.tile(velocity[:, None], (1, len(g1.ARMS))),
        "weight": course(weight),
        "arms_kp": course(stiffness)[:, None] * KP,
    }
    return Motors(**{f.name: made.get(f.name, np.zeros(n)) for f in fields(Motors)})


def wire(until_s) -> Wire:
    """Targets that move until then [s after the fault]."""
    time_s = FAULT_S - 1.0 + 0.004 * np.arange(1250)
    target = np.minimum(time_s - FAULT_S, until_s)[:, None] * np.ones(len(g1.ARMS))
    return Wire(time_s, np.ones(len(time_s)), target)


# -- measuring -----------------------------------------------------------------------------------


@UNHURRIED
@given(st.floats(2 * TICK_S, 3.0), st.floats(2 * MOTION_RAD_S, 1.4))
def test_a_stop_is_found_within_a_tick(stop_s, speed):
    m = measure(motors(lambda t: speed if t < stop_s else 0.0), wire(stop_s), FAULT_S, TICK_S)
    for found in (m.last_motion_s, m.head_last_motion_s, m.arms_last_motion_s):
        assert found == pytest.approx(stop_s, abs=1.01 * TICK_S)
    assert m.commanded_until_s == pytest.approx(stop_s, abs=0.006)
    assert not m.moves_at_end and m.speed_at_fault == pytest.approx((speed, speed))
    assert m.top_speed.share == pytest.approx(speed / 1.5)
    assert m.top_step.share == pytest.approx(speed / 1.5)


@UNHURRIED
@given(st.floats(0.0, 0.99 * MOTION_RAD_S), st.integers(0, 2**32 - 1))
def test_noise_below_the_threshold_is_no_motion(level, seed):
    noise = np.random.default_rng(seed).uniform(-level, level, 10**5)
    m = measure(motors(lambda t: noise[int(t * 1e3) % len(noise)]), wire(0.0), FAULT_S, TICK_S)
    assert m.last_motion_s == 0.0 and not m.moves_at_end


@UNHURRIED
@given(st.integers(0, len(JOINTS) - 1), st.floats(0.1, 3.0))
def test_one_joint_that_moves_on_is_enough(joint, until_s):
    time_s = FAULT_S + np.arange(0.0, 4.0, TICK_S)
    speed = np.zeros((len(time_s), len(JOINTS)))
    speed[time_s < FAULT_S + until_s, joint] = 0.4
    assert last_motion_s(time_s, speed, FAULT_S) == pytest.approx(until_s, abs=1.01 * TICK_S)
    assert top_speed(speed).joint == JOINTS.names[joint]


def test_motion_before_the_fault_is_none_after_it():
    assert measure(motors(lambda t: 0.5 if t < 0.0 else 0.0), wire(0.0), FAULT_S, TICK_S).last_motion_s == 0.0


def test_without_a_record_before_the_fault_nothing_is_claimed():
    records = motors(0.5)
    with pytest.raises(ValueError, match="none before the fault"):
        measure(records[records.time_s > FAULT_S], wire(0.0), FAULT_S, TICK_S)


@UNHURRIED
@given(st.floats(0.2, 5.0))
def test_while_the_simulator_stands_still_no_time_passes_for_the_robot(stood_s):
    time_s = FAULT_S + TICK_S * np.arange(1000)
    late = np.where(np.arange(1000) >= 500, time_s + stood_s, time_s)
    expected = time_s - np.where(np.arange(1000) >= 500, TICK_S, 0.0)
    np.testing.assert_allclose(robot_time_s(late, FAULT_S), expected)


def test_a_simulator_that_stood_still_before_the_fault_moves_no_time_after_it():
    time_s = np.concatenate([[FAULT_S - 9.0], FAULT_S + TICK_S * np.arange(-10, 100)])
    np.testing.assert_array_equal(robot_time_s(time_s, FAULT_S), time_s)


@UNHURRIED
@given(st.floats(1.0, 3.0), st.floats(0.05, 1.5))
def test_a_step_is_the_largest_of_any_tick_and_missing_ticks_share_it(speed, at_s):
    sequence = np.arange(1, 1001)
    position = np.zeros((1000, len(JOINTS)))
    jump = round(at_s / TICK_S)
    position[jump:, 3] = speed * TICK_S
    step = top_step(sequence, position, TICK_S)
    assert step.joint == JOINTS.names[3] and step.share == pytest.approx(speed / 1.5)
    gap = np.concatenate([sequence[:jump], sequence[jump:] + 9])
    assert top_step(gap, position, TICK_S).share == pytest.approx(speed / 1.5 / 10)


def test_whoever_drives_a_joint_has_the_limit():
    assert limits()[HEADS] == g1.ARMS.joints[0].velocity
    assert limits([g1.ARMS.names[0]])[HEADS] == 37.0 and limits([g1.ARMS.names[0]])[HEADS + 1] == 1.5


@UNHURRIED
@given(st.floats(0.0, 2.0), st.floats(0.3, 1.5))
def test_released_arms_and_how_steeply(begin_s, length_s):
    fall = lambda t: float(np.clip(1.0 - (t - begin_s) / length_s, 0.0, 1.0))  # noqa: E731
    m = measure(motors(0.2, weight=fall), wire(0.0), FAULT_S, TICK_S)
    assert m.released_s == pytest.approx(begin_s + length_s, abs=1.01 * TICK_S)
    assert m.weight_fall_per_s == pytest.approx(1.0 / length_s, rel=0.05)
    assert m.weight_end == m.weight_least == 0.0


def test_a_weight_that_comes_back_is_not_released():
    m = measure(motors(0.0, weight=lambda t: 0.0 if 1.0 < t < 2.0 else 1.0), wire(0.0), FAULT_S, TICK_S)
    assert m.released_s is None and m.weight_least == 0.0


def test_limp_arms_are_found():
    m = measure(motors(0.0, stiffness=lambda t: float(np.clip(1.0 - t / 0.5, 0.0, 1.0))), wire(0.0), FAULT_S, TICK_S)
    assert m.limp_s == pytest.approx(0.45, abs=0.01)


@UNHURRIED
@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_for_good_is_the_last_change(values):
    true = np.array(values)
    found = for_good_s(np.arange(len(true), dtype=float), true, 0.0)
    if not true[-1]:
        assert found is None
    else:
        assert true[int(found) :].all() and (found == 0.0 or not true[int(found) - 1])


def test_nothing_on_the_wire_tells_nothing():
    empty = np.zeros((0, 14))
    assert at_rest_after_s(np.zeros(0), empty, FAULT_S) is None
    assert weight_fall_per_s(np.zeros(0), np.zeros(0)) == 0.0


@UNHURRIED
@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_the_longest_time_is_that_of_the_longest_run(values):
    runs = [len(run) for run in "".join("x" if v else " " for v in values).split()]
    time_s = np.arange(len(values), dtype=float)
    longest = max(runs, default=0)
    at_the_end = longest and values[-1] and runs.index(longest) == len(runs) - 1
    found = longest_s(time_s, np.array(values))
    assert found == longest or (at_the_end and found == max([longest - 1, *runs[:-1]]))


def test_a_pause_of_one_group_is_a_pause():
    records = motors(lambda t: 0.0 if 1.0 <= t < 1.2 else 0.5)
    moving = replace(records, arms_velocity=np.full_like(records.arms_velocity, 0.5))
    m = measure(moving, wire(0.0), FAULT_S, TICK_S)
    assert m.pause_s == pytest.approx(0.2, abs=1.01 * TICK_S) and m.moves_at_end
    assert measure(motors(0.5), wire(0.0), FAULT_S, TICK_S).pause_s == 0.0


def said(states, first=1, begin_s=FAULT_S - 1.0):
    return [Said(begin_s + 0.02 * i, first + i, s, s.lower()) for i, s in enumerate(states)]


def test_a_change_of_state_is_found_and_a_state_that_was_there_is_none():
    permits = said(["ACTIVE"] * 60 + ["HOLD"] * 40)
    assert changed(permits, FAULT_S).state == "HOLD"
    assert changed(said(["ACTIVE"] * 100), FAULT_S) is None


@UNHURRIED
@given(st.lists(st.booleans(), max_size=100))
def test_permits_of_another_watchdog_do_not_count(mixed):
    ours, theirs = said(["ACTIVE"] * 100, first=500), said(["STARTING"] * 100)
    permits = [ours[0]]
    for i, other in enumerate(mixed, start=1):
        permits += [theirs[i], ours[i]] if other and i < 100 else [ours[i]] if i < 100 else []
    assert {p.state for p in of_one_watchdog(permits)} == {"ACTIVE"}


def test_a_watchdog_that_starts_anew_counts_after_a_silence():
    before, after = said(["ACTIVE"] * 10, first=500), said(["STARTING"] * 10, begin_s=FAULT_S + 3.0)
    assert of_one_watchdog(before + after) == before + after


# -- the motion that is sent ---------------------------------------------------------------------


def test_some_joint_of_each_group_moves_always_and_within_its_limits():
    time_s = np.arange(starts.IN_MOTION_S, 20.0, 0.005)
    for joints in (fault_motion.HEAD_JOINTS, fault_motion.ARM_JOINTS):
        speed = np.abs(np.diff(fault_motion.way(joints, time_s), axis=0)) / 0.005
        assert speed.max(axis=1).min() > 0.3 and speed.max() < 0.51


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("NaN", ChunkFault.NOT_FINITE),
        ("huge", ChunkFault.BOUND),
        ("other joints", ChunkFault.NAMES),
        ("old", ChunkFault.PAST),
        ("ahead", ChunkFault.FUTURE),
    ],
)
@pytest.mark.parametrize("joints", [fault_motion.HEAD_JOINTS, fault_motion.ARM_JOINTS])
def test_a_broken_chunk_is_broken_as_its_name_says_and_a_good_one_is_not(kind, fault, joints):
    group = g1.HEAD if joints is fault_motion.HEAD_JOINTS else g1.OTHER
    executor = ChunkExecutor(group.names, group.column("velocity"))
    executor.record(999.0, np.zeros(len(group)))
    executor.record(1000.0, np.zeros(len(group)))
    moment = fault_motion.Moment(1000.0, 998.0, 7)
    assert executor.validate(fault_motion.well(joints, moment), 1000.0) is None
    assert executor.validate(fault_motion.BROKEN[kind](joints, moment), 1000.0).fault is fault


# -- the table -----------------------------------------------------------------------------------


def test_every_fault_has_a_row_or_a_reason_why_not():
    tried = {fault for row in ROWS for fault in row.faults}
    assert tried | NOT_INJECTED.keys() == set(Fault)
    assert not tried & NOT_INJECTED.keys() and all(NOT_INJECTED.values())


@pytest.mark.parametrize("name", [*(p.name for p in graph.PROCESSES), SDK])
def test_every_process_is_killed_and_stopped(name):
    done = {(type(row.action), row.action.process) for row in ROWS if isinstance(row.action, (Kill, Stop))}
    assert {(Kill, name), (Stop, name)} <= done


def test_the_guard_of_the_sdk_process_is_killed():
    assert Kill(GUARD) in [row.action for row in ROWS]


def test_rows_are_told_apart_by_name():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 60


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_a_row_can_be_done_and_judged(row):
    assert set(row.states) | set(row.after or ()) <= {s.name for s in State} | {SILENT}
    assert row.watch_s > row.noticed_s + row.stop_s or not row.ends, "it is over before the motion has to have ended"
    if row.arms in (Arms.RELEASED, Arms.DAMPED):
        assert 0.0 < row.released_s < row.watch_s
    if isinstance(row.action, Inject):
        checked(find(row.action.fault), row.action.arguments)
    resumable = {f for f in row.faults if f.row.resumes_after_s is not None}
    if row.goes_on and row.states == ("HOLD",):
        assert resumable == set(row.faults), "only what the table resumes goes on by itself"
    if resumable and resumable == set(row.faults) and row.goes_on is False:
        pytest.fail("the table says that it goes on by itself")


def test_rows_are_chosen_by_a_part_of_their_name():
    assert choose(None) == ROWS
    assert {r.name for r in choose(["SDK process"])} == {r.name for r in ROWS if "SDK process" in r.name}
    with pytest.raises(ValueError, match="no row has that"):
        choose(["teapot"])


def test_list_names_every_row_and_starts_nothing(capsys):
    assert main(["bench", "faults", "--list"]) == 0
    assert [text.split("  ")[0] for text in capsys.readouterr().out.splitlines()] == [row.name for row in ROWS]


# -- judging -------------------------------------------------------------------------------------

HELD = Row("made up", StopByTopic(), ("HOLD",), (Fault.STREAM_LOST,), noticed_s=0.3)
STOPPED = replace(HELD, states=("ESTOP",), arms=Arms.DAMPED, released_s=3.0, stop_s=0.5)


def seen_of(records, state="HOLD", reason="STREAM_LOST: gone", after_s=0.2, **other) -> Seen:
    change = Said(FAULT_S + after_s, 7, state, reason)
    m = measure(records, wire(0.25), FAULT_S, TICK_S)
    return Seen(FAULT_S, change, None, (state, reason), state, {"head": False, "arms": False}, measured=m, **other)


def until(stop_s, speed=0.5):
    return lambda t: speed if t < stop_s else 0.0


def damped(t):
    return float(np.clip(1.0 - (t - 0.2) / 0.5, 0.0, 1.0))


GOOD = seen_of(motors(until(0.4)))
WRONG = {
    "another state": (replace(GOOD, reached=("ACTIVE", "arm requested")), "expected HOLD"),
    "another reason": (replace(GOOD, reached=("HOLD", "CAMERA_BLACK: x")), "expected STREAM_LOST"),
    "seen late": (replace(GOOD, changed=Said(FAULT_S + 0.31, 7, "HOLD", "STREAM_LOST: x")), "seen after 310 ms"),
    "motion for too long": (seen_of(motors(until(0.46))), "motion for 4"),
    "too fast": (seen_of(motors(until(0.4, speed=1.6))), "1.07 of its limit"),
    "dropped arms": (seen_of(motors(until(0.4), weight=lambda t: 1.0 if t < 1.0 else 0.9)), "expected held arms"),
    "limp arms": (seen_of(motors(until(0.4), stiffness=lambda t: 1.0 if t < 1.0 else 0.5)), "expected held arms"),
    "goes on by itself": (replace(GOOD, moved_after={"head": True, "arms": False}), "a person to say go"),
    "another state later": (replace(GOOD, after="ACTIVE"), "once the fault was gone"),
    "no way back": (replace(GOOD, recovery="refused"), "recovery: refused"),
    "not tried": (Seen(trouble="void: x"), "void: x"),
    "nothing measured": (Seen(), "nothing was measured"),
}


def test_what_is_as_asked_passes():
    assert problems(HELD, GOOD) == []
    assert line(HELD, GOOD).endswith("PASS")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_asked_is_told(name):
    seen, text = WRONG[name]
    assert text in "; ".join(problems(HELD, seen))
    assert "FAIL" in line(HELD, seen) and not as_json(HELD, seen)["passed"]
    json.dumps(as_json(HELD, seen), allow_nan=False)


def released(t):
    return float(np.clip(1.0 - (t - 0.7) / 2.0, 0.0, 1.0))


def test_an_emergency_stop_is_judged_by_stiffness_weight_and_commanded_motion():
    sagging = motors(lambda t: 0.3 if t < 3.0 else 0.0, weight=released, stiffness=damped)
    seen = replace(
        seen_of(sagging, "ESTOP"),
        measured=replace(measure(sagging, wire(0.25), FAULT_S, TICK_S), head_last_motion_s=0.3),
    )
    assert problems(STOPPED, seen) == []
    for change, text in (
        ({"limp_s": None}, "stiffness gone never"),
        ({"limp_s": 0.9}, "stiffness gone 0.70 s"),
        ({"released_s": None}, "expected released arms"),
        ({"released_s": 3.2}, "released after 3.20 s"),
        ({"weight_fall_per_s": 9.0}, "weight fell by 9.0"),
        ({"commanded_until_s": 0.9}, "motion for 900 ms"),
        ({"head_last_motion_s": 0.9}, "motion for 900 ms"),
    ):
        worse = replace(seen, measured=replace(seen.measured, **change))
        assert text in "; ".join(problems(STOPPED, worse))


def test_a_warning_is_reported_and_nothing_stops():
    row = replace(HELD, states=("ACTIVE",), faults=(Fault.MOTOR_WARM,), ends=frozenset(), moves=True, goes_on=True)
    seen = replace(
        seen_of(motors(0.5), "ACTIVE", "arm requested"), changed=None, moved_after={"head": True, "arms": True}
    )
    assert "nobody reported MOTOR_WARM" in "; ".join(problems(row, seen))
    assert problems(row, replace(seen, told=frozenset({"MOTOR_WARM"}))) == []
    ended = replace(seen_of(motors(until(1.0)), "ACTIVE", "x"), changed=None, told=frozenset({"MOTOR_WARM"}))
    assert "motion ended" in "; ".join(problems(row, ended))


UNNOTICED = replace(HELD, states=("ACTIVE",), faults=(), ends=frozenset(), moves=True, goes_on=True)
MOVED = replace(seen_of(motors(0.5), "ACTIVE", "arm requested"), changed=None, moved_after={"head": True, "arms": True})


def test_a_fault_that_nobody_may_notice_is_noticed_by_nobody():
    assert problems(UNNOTICED, MOVED) == []
    held = Said(FAULT_S + 0.2, 7, "HOLD", "STREAM_SLOW: x")  # which goes on by itself, and is over at the end
    paused = motors(lambda t: 0.0 if 1.0 < t < 1.1 else 0.5)
    for worse, text in (
        (replace(MOVED, changed=held), "HOLD (STREAM_SLOW: x); expected all to go on"),
        (replace(MOVED, told=frozenset({"CAMERA_BLACK"})), "reported CAMERA_BLACK; expected nothing"),
        (replace(MOVED, measured=measure(paused, wire(0.0), FAULT_S, TICK_S)), "stood for"),
        (replace(MOVED, also=("the bag cannot be read",)), "the bag cannot be read"),
    ):
        assert text in "; ".join(problems(UNNOTICED, worse))


def test_motion_of_a_group_that_need_not_end_is_not_asked():
    row = replace(HELD, ends=frozenset({"head"}))
    m = replace(GOOD.measured, arms_last_motion_s=3.0)
    assert fault_judge.ends_s(row, m) == m.head_last_motion_s
    assert fault_judge.ends_s(HELD, m) == 3.0


def test_a_trial_without_motion_or_with_a_simulator_that_stood_still_tells_nothing():
    void = lambda row, records: fault_run._void(row, measure(records, wire(0.0), FAULT_S, TICK_S))  # noqa: E731
    assert void(HELD, motors(0.5)) == ""
    assert "not in motion" in void(HELD, motors(until(-0.1)))
    assert "stood still for 80 ms" in void(HELD, motors(0.5, late_s=0.08))
    assert void(replace(HELD, disturbs=True), motors(0.5, late_s=0.08)) == ""


def test_limits_of_a_trial_are_those_of_the_table():
    assert fault_measure.MECHANICAL_RAD_S.shape == (len(JOINTS),)
    assert (JOINTS.column("velocity") < fault_measure.MECHANICAL_RAD_S).all()


def test_the_table_for_readers_shows_the_slowest_trial_and_every_failure():
    quick = as_json(HELD, replace(GOOD, measured=replace(GOOD.measured, head_last_motion_s=0.01)))
    slow = as_json(HELD, GOOD)
    failed = as_json(replace(HELD, name="other"), replace(GOOD, reached=("ACTIVE", "")))
    lines = fault_report.markdown([slow, quick, failed]).splitlines()
    assert [line.count("|") for line in lines] == [len(fault_report.HEADER) + 1] * 4
    assert fault_report.markdown([slow]).splitlines()[2] == lines[2]
    assert "state ACTIVE" in lines[3]


# -- a recorder beside the graph -----------------------------------------------------------------


def recorded_bag(folder, last_s: float, closed: bool) -> None:
    """Permits until then [s]."""
    writer = BagWriter(folder, bag_topics([graph.stream(graph.PERMIT)], False), WriterParameters(keep_free_mb=0.0))
    for i in range(10):
        writer.write(graph.PERMIT, round((last_s - 0.02 * (9 - i)) * 1e9), b"x" * 50)
    writer.close() if closed else writer.flush()


@pytest.mark.parametrize("closed", [True, False])
def test_a_bag_has_to_reach_to_the_last_second_and_to_be_as_its_recorder_ended(closed, tmp_path):
    recorded_bag(tmp_path / "bag", FAULT_S, closed)
    judged = partial(fault_recorder.bag_problems, tmp_path / "bag")
    assert judged(closed, round((FAULT_S + 0.9) * 1e9)) == []
    assert "ends 1.10 s too early" in "; ".join(judged(closed, round((FAULT_S + 1.1) * 1e9)))
    assert ("is damaged" if not closed else "as if it had been closed") in judged(not closed, round(FAULT_S * 1e9))[0]


def test_a_bag_that_is_not_there_is_told(tmp_path):
    assert "cannot be read" in fault_recorder.bag_problems(tmp_path / "bag", True, 0)[0]


class Publishing:
    """A rig without a robot: it publishes permits and pictures, and that is all that a recorder can tell of it."""

    def __init__(self, run_dir, ros_domain):
        self.options = Options(sim=True, ros_domain=ros_domain, run_dir=run_dir)
        self.recording = None
        self.operator = self
        self.node = rclpy.create_node("watchdog")
        self._permits = ros.publisher(self.node, graph.stream(graph.PERMIT))
        self._pictures = ros.publisher(self.node, graph.stream(graph.COLOR))
        self._picture = ros.image_msg(np.zeros((240, 424, 3), np.uint8), "rgb8", 1.0, "")

    def wait(self, done, timeout_s):
        deadline_s = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline_s:
            self._permits.publish(ros.status("sapave/permit", b"\x00", "ACTIVE: x", {}))
            self._pictures.publish(self._picture)
            time.sleep(0.02)
        return done()

    def until(self, done, what, patience_s):
        assert self.wait(done, patience_s), what

    def spin(self, seconds):
        self.wait(lambda: False, seconds)

    def spawn(self, argv, log):
        return Graph.spawn(self, argv, log)


@pytest.fixture
def publishing(ros_domain, tmp_path):
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    rig = Publishing(tmp_path, ros_domain)
    yield rig
    rig.node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.e2e
@pytest.mark.timeout(400)
@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row.action, Recorder)], ids=lambda row: row.name)
def test_a_recorder_is_broken_and_its_bag_is_as_the_row_says(row, publishing, tmp_path, monkeypatch):
    monkeypatch.setattr(starts, "by_chunks", lambda rig: None)
    undo = []
    publishing.later = undo.append
    try:
        row.start(publishing)
    except RigError as error:
        if "unshare" in str(error) or "mount" in str(error):
            pytest.skip(f"no disk of its own may be mounted here: {error}")
        raise
    row.action.begin(publishing)
    publishing.wait(lambda: False, 1.0)
    row.action.end(publishing)
    assert row.also(publishing) == []
    undo.pop()()
    assert not list(tmp_path.glob("recording_*/")), "its bag is removed"


# -- for real ------------------------------------------------------------------------------------


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_rows_for_real(module_ros_domain, module_dds_domain, tmp_path, capfd):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    arguments = ["--ros-domain", str(module_ros_domain), "--dds-domain", str(module_dds_domain)]
    arguments += [
        "--run-dir",
        str(tmp_path / "run"),
        "--json",
        str(tmp_path / "f.json"),
        "--plots",
        str(tmp_path / "plots"),
    ]
    try:
        main(["bench", "faults", "--rows", "stop by topic", "camera silent", "camera stopped", *arguments])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    rows = {row["name"]: row for row in json.loads((tmp_path / "f.json").read_text())["rows"]}
    assert rows.keys() == {"emergency stop by topic", "camera silent", "camera stopped"}
    for name, state in (("emergency stop by topic", "ESTOP"), ("camera silent", "HOLD"), ("camera stopped", "HOLD")):
        row = rows[name]
        assert row["reached"]["state"] == state, capfd.readouterr().out
        assert row["motors"]["released_s"] is None if state == "HOLD" else row["motors"]["weight_end"] == 0.0
        assert row["motors"]["top_speed"]["share"] < 1.0 and not row["recovery"]
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3
