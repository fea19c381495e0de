"""A person's requests when answers are lost: what may be asked again is, and what was done counts as done."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from conftest import participants
from std_msgs.msg import String

from sapave_ros import graph
from sapave_ros.nodes import operator as module
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError, session


class Server:
    """A client whose server answers as scripted: None loses the answer. does: what each request does."""

    def __init__(self, operator: Operator, answers: list, does=lambda: None) -> None:
        self.answers, self.does, self.asked = answers, does, 0
        operator._clients_by_service |= dict.fromkeys((s.name for s in graph.SERVICES), self)

    def service_is_ready(self) -> bool:
        return True

    def call_async(self, _) -> SimpleNamespace:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        self.does()
        return SimpleNamespace(done=lambda: answer is not None, result=lambda: answer)


OK = SimpleNamespace(success=True, message="done")
REFUSED = SimpleNamespace(success=False, message="nothing to reset")


@pytest.fixture
def operator(monkeypatch, ros_domain) -> Iterator[Operator]:
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0.1)
    with session() as operator:
        yield operator


def test_an_answer_that_is_lost_is_asked_for_again(operator) -> None:
    server = Server(operator, [None, None, OK])
    assert operator.call(graph.DISARM_SERVICE, 30.0) == "done"
    assert server.asked == 3


def test_permission_to_move_is_asked_for_once(operator) -> None:
    server = Server(operator, [None, OK])
    with pytest.raises(OperatorError, match="no answer within 0.3 s"):
        operator.call(graph.ARM_SERVICE, 0.3)
    assert server.asked == 1


def test_what_was_done_counts_although_the_answer_was_lost(operator) -> None:
    operator.state = "ESTOP"
    server = Server(operator, [None, REFUSED], lambda: setattr(operator, "state", "STANDBY"))
    assert operator.call(graph.RESET_SERVICE, 30.0).startswith("STANDBY")
    assert server.asked == 2
    operator.state = "STANDBY"
    Server(operator, [None], lambda: setattr(operator, "state", "ACTIVE"))
    assert operator.call(graph.ARM_SERVICE, 0.3).startswith("ACTIVE")


def test_a_refusal_is_one(operator) -> None:
    operator.state = "STANDBY"
    for answers in ([REFUSED], [None, REFUSED]):
        Server(operator, answers)
        with pytest.raises(OperatorError, match="refused: nothing to reset"):
            operator.call(graph.RESET_SERVICE, 30.0)
    Server(operator, [None])
    with pytest.raises(OperatorError, match="no answer"):
        operator.call(graph.HEAD_HOME_SERVICE, 0.3)


def test_a_session_that_has_ended_says_nothing_any_more(ros_domain) -> None:
    """An instruction is latched: who leaves must leave the graph, or the next graph obeys somebody who has gone."""
    for _ in range(2):
        with session() as operator:
            operator._instruction.publish(String(data="look at the red mug"))
            operator.wait(lambda: False, 0.2)
        assert participants() == 0
    heard = []
    with session() as operator:
        ros.subscribe(operator, graph.stream(graph.INSTRUCTION), lambda msg: heard.append(msg.data))
        operator.wait(lambda: bool(heard), 1.0)
    assert not heard
