"""What the arm node does when its commands do not arrive; the node itself without ROS around it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sapave_ros.drivers.unitree import UnitreeError
from sapave_ros.nodes.arm import HANDED_BACK_WITHIN_S, ArmNode
from sapave_ros.types import ArmSetpoint

N = np.ones(14)
SETPOINT = ArmSetpoint(0 * N, 0 * N, 0 * N, N, N, 1.0)


class Driver:
    """An SDK process: what it sent last, and what is wrong with it."""

    def __init__(self) -> None:
        self.alive, self.weight, self.trouble = True, 0.0, None

    def body_state(self) -> None:
        return None

    hand_state = body_state

    def send(self, setpoint: ArmSetpoint) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.weight = setpoint.weight


@pytest.fixture
def node():
    made = ArmNode.__new__(ArmNode)
    made._driver, made.permit = Driver(), None
    made._arms = SimpleNamespace(measured=None, setpoint=SETPOINT)
    made._arms.tick = lambda *_: made._arms.setpoint
    made.controller = SimpleNamespace(gate=SimpleNamespace(previous=None))
    made._setpoint_s = made._state_s = -np.inf
    return made


@pytest.mark.parametrize(
    "trouble", [UnitreeError("the SDK process is stuck"), ValueError("setpoint: q[3] is 9 rad")], ids=["stuck", "range"]
)
def test_a_setpoint_that_was_not_sent_ends_the_node(node, trouble) -> None:
    """It was logged, and the controller went on: through the chunk, through a release, alone."""
    node.step(0.0, 0.0)
    node._driver.trouble = trouble
    with pytest.raises(type(trouble), match="stuck|9 rad"):
        node.step(0.004, 0.004)


def test_arms_that_are_still_held_after_their_release_end_the_node(node) -> None:
    """The controller was through with its release while the process below still held the arms at full weight."""
    node.step(0.0, 0.0)
    node._arms.setpoint = None
    node.step(0.1, 0.1)
    with pytest.raises(UnitreeError, match=r"weight 1\.000"):
        node.step(1.0, 0.01 + HANDED_BACK_WITHIN_S)
    node._driver.weight = 0.0
    node.step(2.0, 2.0)
