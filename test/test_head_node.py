"""The head node with a servo bus that answers at times; the node itself without ROS around it."""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from sapave_ros import g1
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.gate import Reason
from sapave_ros.drivers.dynamixel import ServoFault, ServoTimeout
from sapave_ros.nodes import head
from sapave_ros.nodes.control import Divider
from sapave_ros.nodes.head import HeadNode
from sapave_ros.types import ActionChunk, JointState, Mode, Permit

DT_S = 0.01


class Neck:
    """Servos that answer to reads; they go where they are told once torque is on."""

    alerts = (False, False)

    def __init__(self, clock: list[float]) -> None:
        self.engaged, self.trouble, self.goals, self._clock = False, None, [], clock
        self.q = np.zeros(2)

    def poll_health(self) -> SimpleNamespace:
        return SimpleNamespace(servo_id=0)

    def read(self) -> JointState:
        return JointState(self._clock[0], self.q.copy(), np.zeros(2))

    def engage(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.engaged = True

    def write(self, positions: np.ndarray) -> None:
        self.goals.append(positions)
        self.q = positions.copy()


class Rig:
    def __init__(self, monkeypatch) -> None:
        self.clock = [1000.0]
        monkeypatch.setattr(head, "time", SimpleNamespace(monotonic=lambda: self.clock[0]))
        self.neck = Neck(self.clock)
        node = HeadNode.__new__(HeadNode)
        node.controller = JointController(g1.HEAD, DT_S, ControllerConfig(), shared=False)
        node._neck, node._measured, node._timeouts, node._not_before_s = self.neck, None, 0, -np.inf
        node._health_due, node._health, node._lost = Divider(0.0, 100.0), {}, (-np.inf, "")
        log = SimpleNamespace(warning=lambda *_, **__: None, error=lambda *_, **__: None)
        node.get_logger = lambda: log
        self.node = node

    def run(self, seconds: float) -> list[np.ndarray]:
        """Ticks with a permit to move and a chunk offered in each; what was said to be written."""
        written = []
        for _ in range(round(seconds / DT_S)):
            self.clock[0] += DT_S
            now_s = self.clock[0]
            self.node.permit = Permit(now_s, 1, "ACTIVE", "", Mode.MOVE, Mode.MOVE, sent_s=now_s)
            self.node.controller.offer(ActionChunk(now_s - 0.005, 0.1, g1.HEAD.names, np.full((10, 2), 0.1)), now_s)
            written.append(self.node.step(now_s, now_s)[1])
        return [w for w in written if w is not None]


@pytest.mark.parametrize(
    "trouble", [ServoTimeout("servo 1: no answer"), ServoFault("servo 1: refuses")], ids=["timeout", "fault"]
)
def test_a_head_that_could_not_be_taken_is_taken_where_it_is(monkeypatch, trouble) -> None:
    """Where taking the head timed out, the controller believed to have it and followed chunks; once the servos
    answered again, the head was thrown to where it should have been by then."""
    rig = Rig(monkeypatch)
    rig.neck.trouble = trouble
    assert not rig.run(2.5)
    assert not rig.neck.goals
    assert not rig.node.controller.accepted
    rig.neck.trouble = None
    rig.run(2.0)
    goals = np.array(rig.neck.goals)
    np.testing.assert_array_equal(goals[0], 0.0)
    assert np.abs(np.diff(goals, axis=0)).max() <= 1.5 * DT_S * 1.02
    assert goals[-1].max() > 0.3  # and then it moves


class CountedMeanwhile(Counter):
    """Counts that the control loop goes on writing while they are read."""

    def items(self):
        for pair in super().items():
            self[len(self)] += 1
            yield pair


def test_diagnostics_are_read_while_the_loop_counts(monkeypatch) -> None:
    """'dictionary changed size during iteration' in a timer callback: the node ended, and the robot lost its head."""
    node = Rig(monkeypatch).node
    node.controller.gate.counts = CountedMeanwhile({Reason.POSITION: 1, Reason.TORQUE: 2})
    node._wakes_s = node._work_s = node._exposure_to_write_s = deque()
    node._cpu = (0.0, 0.0)
    node.get_name = lambda: "head"
    node.get_clock = lambda: SimpleNamespace(now=lambda: SimpleNamespace(to_msg=Time))
    node.numbers = dict
    values = {v.key: v.value for v in node.diagnostics().status[0].values}
    assert values[f"gate {Reason.TORQUE.value}"] == "2"
