"""The SDK process below every controller: whatever fails in it, the stream to the robot ends on weight 0."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers import unitree_process, unitree_shared, unitree_stream
from sapave_ros.drivers.unitree_cdr import LowCmdFrame, Q
from sapave_ros.drivers.unitree_sdk import UnitreeError

TABLE = unitree_stream.Table(
    np.array([j.motor for j in g1.ARMS.joints]),
    g1.ARMS.column("lower"),
    g1.ARMS.column("upper"),
    g1.MODE_MACHINES_29_DOF,
)


class Robot:
    """What came through. fails: which writes do not, by number."""

    def __init__(self, fails=lambda i: False) -> None:
        self.weights: list[float] = []
        self._fails, self._writes = fails, 0

    def write(self, data: bytes) -> None:
        self._writes += 1
        if self._fails(self._writes):
            raise UnitreeError("DDS write failed with code -10")
        frame = LowCmdFrame()
        frame.load(data)
        self.weights.append(float(frame.motors[29, Q]))


class Broken:
    def write(self, data: bytes) -> None:
        raise RuntimeError("a bug")


@pytest.fixture
def process(monkeypatch):
    """The process with a pipe for its input and no DDS; on a clock that runs when it waits."""
    clock = [100.0]
    stream = unitree_stream.ArmStream(TABLE)
    stream.body = unitree_stream.Body(5, np.ones(29, np.uint8), np.zeros(29))
    board = unitree_shared.Board(unitree_shared.Board.create())
    out, pipe = os.pipe()
    os.set_blocking(out, False)
    made = unitree_process.Process(board, stream, Robot(), Robot(), SimpleNamespace(error=None), [out])
    made.pipe = pipe

    def select(sources, _w, _x, timeout_s):
        clock[0] += max(timeout_s, 1e-4)
        assert clock[0] < 200.0, "it never ends"
        try:
            made.waiting = os.read(out, 1 << 16) if sources else b""
        except BlockingIOError:
            return [], [], []
        return sources, [], []

    made.os = SimpleNamespace(read=lambda *_: made.waiting, getppid=os.getppid)
    monkeypatch.setattr(unitree_process, "os", made.os)
    monkeypatch.setattr(unitree_process, "select", SimpleNamespace(select=select))
    monkeypatch.setattr(unitree_process, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    yield made
    os.close(out)


def send(process, weight: float = 1.0, hands: bool = False) -> None:
    record = np.zeros(1, unitree_shared.RECORD)
    record["kind"], record["weight"], record["has_hands"] = unitree_shared.SETPOINT, weight, hands
    os.write(process.pipe, record.tobytes())


def ends_handed_back(weights: list[float]) -> None:
    assert weights[0] == 1.0
    assert np.all(np.diff(weights) <= 1e-6)
    assert np.abs(np.diff(weights)).max() < 0.1
    assert weights[-1] == 0.0


def test_a_controller_that_is_gone(process) -> None:
    send(process)
    os.close(process.pipe)
    assert process.run() == 0
    ends_handed_back(process._arms.weights)


def test_writes_that_fail_now_and_then(process) -> None:
    """One failed DDS write ended the process on the spot: the arms stayed at the weight of the last frame."""
    process._arms = Robot(fails=lambda i: i > 1 and i % 3 == 0)
    send(process)
    os.close(process.pipe)
    assert process.run() == 0
    ends_handed_back(process._arms.weights)


def test_whatever_breaks_while_following(process) -> None:
    process._hands = Broken()
    send(process, hands=True)
    assert process.run() == 1
    ends_handed_back(process._arms.weights)
    os.close(process.pipe)


def test_a_state_reader_that_fails(process) -> None:
    send(process)
    process._reader.error = RuntimeError("take failed")
    assert process.run() == 1
    ends_handed_back(process._arms.weights)
    os.close(process.pipe)


def test_a_parent_that_is_gone_while_somebody_else_holds_its_pipe(process) -> None:
    send(process)
    process.os.getppid = lambda: -1  # not 1: pytest itself may be an orphan
    assert process.run() == 0
    ends_handed_back(process._arms.weights)
    os.close(process.pipe)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end(process, number) -> None:
    send(process)
    process.stop(number, None)
    assert process.run() == 0
    ends_handed_back(process._arms.weights)
    os.close(process.pipe)


def test_a_guard_never_believes_in_less_weight_than_the_robot_may_have(process) -> None:
    """Killed between a write and its book-keeping, a process must not look as if it had nothing to hand back."""
    told, write = [], process._arms.write

    def watched(data: bytes) -> None:
        told.append(float(process._board.status["weight"]))
        assert process._board.frame.read()[1] == data
        write(data)

    process._arms.write = watched
    send(process)
    os.close(process.pipe)
    assert process.run() == 0
    sent = np.array(process._arms.weights)
    assert np.all(np.array(told) >= sent - 1e-7)
    assert process._board.status["weight"] == 0.0
