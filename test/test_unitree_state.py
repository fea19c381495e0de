"""Which states are news, who else writes, who stands still, and who may write: judged without a robot."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.drivers import unitree_shared, unitree_stream
from sapave_ros.drivers.unitree_cdr import KP, LowCmdFrame, Q
from sapave_ros.drivers.unitree_guard import STUCK_LOOKS, Stall
from sapave_ros.drivers.unitree_state import BACKWARDS, MAX_TICKS, NEW, REPEATED, RESTARTED_AFTER_S, OwnWriter, Ticks
from sapave_ros.drivers.unitree_statistics import TOLD_FOR_S, Statistics, foreign_writer, state_fault

WRAP = 1 << 32
ticks = st.integers(0, WRAP - 1)


@given(first=ticks, steps=st.lists(st.integers(1, MAX_TICKS), max_size=20))
def test_a_tick_that_advances_is_new_also_where_it_wraps(first, steps) -> None:
    judge = Ticks()
    for now_s, tick in enumerate(np.cumsum([first, *steps])):
        assert judge.judge(int(tick) % WRAP, now_s) == NEW


@given(tick=ticks, times_s=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20))
def test_a_tick_that_stands_still_is_never_new_again(tick, times_s) -> None:
    judge = Ticks()
    judge.judge(tick, 0.0)
    assert {judge.judge(tick, t) for t in times_s} == {REPEATED}
    assert judge.judge((tick + 1) % WRAP, 0.0) == NEW


@given(tick=ticks, back=st.integers(1, WRAP - MAX_TICKS - 1000))
def test_a_tick_that_runs_backwards_is_lost_until_it_has_gone_on_for_a_while(tick, back) -> None:
    judge = Ticks()
    judge.judge(tick, 0.0)
    verdicts = [judge.judge((tick - back + i) % WRAP, i * 0.125) for i in range(20) if i < back]
    wait = round(RESTARTED_AFTER_S / 0.125)
    assert verdicts == ([BACKWARDS] * wait + [NEW] * 20)[: len(verdicts)]
    assert judge.restarts == 1


@given(a=st.integers(2 * MAX_TICKS, WRAP - 2 * MAX_TICKS))
def test_of_two_robots_on_one_domain_the_second_is_never_believed(a) -> None:
    judge = Ticks()
    judge.judge(a, 0.0)
    for i in range(1, 200):
        assert judge.judge(i, 0.02 * i) == BACKWARDS
        assert judge.judge(a + i, 0.02 * i) == NEW
    assert judge.restarts == 199


def test_a_restarted_robot_that_hangs_at_once_is_not_believed() -> None:
    judge = Ticks()
    judge.judge(5_000_000, 0.0)
    assert {judge.judge(7, 0.01 * i) for i in range(1000)} == {BACKWARDS}


def test_the_first_writer_of_lowcmd_before_we_take_the_arms_is_the_robot_itself() -> None:
    own = OwnWriter()
    assert not own.is_foreign(1, False, 0.0)
    assert own.is_foreign(2, False, 0.5)
    assert not own.is_foreign(1, True, 0.6)
    assert own.is_foreign(2, True, 50.0)
    assert not own.is_foreign(2, False, 50.0)  # the service was started anew while nobody had the arms
    assert own.is_foreign(1, False, 50.1)


def test_with_the_arms_in_our_hands_every_writer_of_lowcmd_is_a_second_one() -> None:
    assert OwnWriter().is_foreign(1, True, 0.0)


def test_who_stands_still_with_the_arms_is_found_and_nobody_else() -> None:
    stall = Stall()
    assert not any(stall.look(beat, 1.0) for beat in range(20))
    assert not any(stall.look(19, 0.0) for _ in range(20))
    assert [stall.look(19, 0.5) for _ in range(STUCK_LOOKS)] == [False] * (STUCK_LOOKS - 1) + [True]
    assert not stall.look(20, 0.5)


def _hold(descriptor: int, held, end) -> None:
    unitree_shared.Board(descriptor).claim()
    held.set()
    end.wait(60)


def test_only_one_process_may_write_to_the_robot_and_the_next_one_after_its_end() -> None:
    context = multiprocessing.get_context("fork")
    held, end = context.Event(), context.Event()
    descriptor = unitree_shared.Board.create()
    first = context.Process(target=_hold, args=(descriptor, held, end))
    first.start()
    assert held.wait(60)
    board = unitree_shared.Board(descriptor)
    with pytest.raises(BlockingIOError):
        board.claim()
    first.kill()
    board.claim(wait=True)
    with pytest.raises(BlockingIOError):
        unitree_shared.Board(descriptor).claim()
    first.join()


TABLE = unitree_stream.Table(
    np.array([j.motor for j in g1.ARMS.joints]),
    g1.ARMS.column("lower"),
    g1.ARMS.column("upper"),
    g1.MODE_MACHINES_29_DOF,
)


def handed_over(away_rad: np.ndarray, weight: float) -> tuple[LowCmdFrame, list[LowCmdFrame]]:
    """The last frame of one stream and all of the one after it. away_rad: (14,), measured less commanded."""
    first, second = unitree_stream.ArmStream(TABLE), unitree_stream.ArmStream(TABLE)
    first.body = unitree_stream.Body(5, np.ones(29, np.uint8), np.linspace(-0.2, 0.2, 29))
    arm = np.zeros((5, 14))
    arm[0], arm[1], arm[2], arm[3], arm[4] = 0.3, 0.5, 1.0, 80.0, 3.0
    data = first.setpoint(arm, weight, 0.0)
    positions = first.body.positions + 0.05  # the waist has moved too
    positions[TABLE.motors] = 0.3 + away_rad
    second.body = first.body._replace(positions=positions)
    second.resume(data, weight)
    now_s, frames = 0.02, []
    second.release(now_s, settle_s=unitree_stream.SETTLE_S)
    while not second.done:
        now_s += second.due_in(now_s)
        frames.append(_frame(second.repeat(now_s)))
        assert now_s < 10.0
    return _frame(data), frames


def _frame(data: bytes) -> LowCmdFrame:
    frame = LowCmdFrame()
    frame.load(data)
    assert frame.intact
    return frame


@settings(deadline=None, max_examples=20)
@given(away=st.lists(st.floats(-0.09, 0.09) | st.just(np.nan), min_size=14, max_size=14), weight=st.floats(0.01, 1.0))
def test_a_stream_goes_on_where_another_one_stopped(away, weight) -> None:
    last, frames = handed_over(np.array(away), weight)
    for frame in frames:
        moving = [column for column in range(5) if column != 1]
        assert (frame.motors[12:29, moving] == last.motors[12:29, moving]).all()
        assert (frame.motors[:, 1] == 0.0).all()
        assert (frame.motor_mode == last.motor_mode).all()
    weights = np.array([f.motors[29, Q] for f in frames])
    assert weights[0] == last.motors[29, Q]
    assert (np.diff(weights) <= 0.0).all()
    assert (weights[-unitree_stream.FINAL_FRAMES :] == 0.0).all()


@settings(deadline=None, max_examples=20)
@given(joint=st.integers(0, 13), away=st.floats(0.11, 9.0), sign=st.sampled_from([-1.0, 1.0]))
def test_arms_that_have_left_the_last_frame_are_held_where_they_are(joint, away, sign) -> None:
    off = np.full(14, 0.05)
    off[joint] = sign * away
    _, frames = handed_over(off, 1.0)
    expected = np.clip(0.3 + off, TABLE.lower, TABLE.upper)
    assert np.allclose(frames[0].motors[TABLE.motors, Q], expected, atol=1e-6)
    assert (frames[0].motors[TABLE.motors, KP] == 80.0).all()


def status() -> np.void:
    return unitree_shared.Board(unitree_shared.Board.create()).status


def test_a_fault_of_the_states_and_a_second_writer_are_told_for_a_while() -> None:
    s = status()
    assert (state_fault(s, 1e6), foreign_writer(s, 1e6)) == ("", "")
    s["repeated_s"], s["foreign_s"] = 10.0, (0.0, 0.0, 10.0)
    assert "repeat" in state_fault(s, 10.1)
    assert foreign_writer(s, 10.1).startswith("rt/inspire/cmd: another program wrote 100 ms ago")
    s["restarted_s"], s["foreign_s"][0] = 10.05, 10.0
    assert "backwards" in state_fault(s, 10.1)
    assert "rt/arm_sdk" in foreign_writer(s, 10.1)
    assert (state_fault(s, 10.05 + TOLD_FOR_S), foreign_writer(s, 10.0 + TOLD_FOR_S)) == ("", "")


def test_statistics_keep_the_newest_times_of_frames_sent_and_dropped() -> None:
    s = status()
    s["frames_sent"], s["frames_dropped"] = unitree_shared.RING, 10
    s["sent_s"] = np.roll(np.arange(unitree_shared.RING), 10)
    told = Statistics.of(s)
    assert np.all(told.periods_s == 1.0)
    assert len(told.send_times_s) == unitree_shared.RING
    assert told.foreign_frames == dict.fromkeys(unitree_shared.WATCHED, 0)


def test_the_end_of_this_process_is_not_awaited() -> None:
    """The claim holds no descriptor that a child process could inherit."""
    board = unitree_shared.Board(unitree_shared.Board.create())
    board.claim()
    assert not os.get_inheritable(board._claim)
