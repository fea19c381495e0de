"""A person's joystick on the bench: publishes `/joy` as `joy_node` does, for the real teleop node."""

from __future__ import annotations

import math

from sensor_msgs.msg import Joy

from sapave_ros import graph
from sapave_ros.core import pads
from sapave_ros.core.teleop import TeleopParameters
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator

RATE_HZ = 40.0
AXES, BUTTONS = 6, 21
SWING_RAD_S, SWING_SHARE = 2.0, 0.95
"""The sticks swing to and fro: a joystick that says the same for seconds counts as lost."""


class Joystick:
    """A pad in somebody's hands, while something spins the operator.

    alive: whether it sends. pressed: buttons that are down, by function of `core.pads`. sticks: function to sign; the
    stick swings, as a cosine where it is `forward` or `up`, else as a sine.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._pad = pads.load(TeleopParameters().pad)
        self._out = ros.publisher(operator, graph.stream(graph.JOY))
        self.alive = False
        self.pressed: set[str] = set()
        self.sticks: dict[str, float] = {}
        self._began_s = 0.0
        operator.create_timer(1.0 / RATE_HZ, self.send)

    def swing(self, **sticks: float) -> None:
        """Moves those sticks from now on."""
        self._began_s, self.sticks = ros.now_s(self._operator), dict(sticks)

    def let_go(self) -> None:
        """Alive, with nothing pressed and every stick at rest."""
        self.alive, self.pressed, self.sticks = True, set(), {}
        self.send()

    def release_deadman(self) -> None:
        self.pressed.discard("deadman")
        self.send()

    def press_stop(self) -> None:
        self.pressed.add("stop")
        self.send()

    def fall_silent(self) -> None:
        self.alive = False

    def send(self) -> None:
        """One message, if it lives."""
        if not self.alive:
            return
        msg = Joy(axes=[0.0] * AXES, buttons=[0] * BUTTONS)
        now_s = ros.now_s(self._operator)
        msg.header.stamp = ros.to_msg_time(now_s)
        for function in self.pressed:
            place = self._pad.places[function]
            assert place.plus is not None, f"{function} is no plain button of this pad"
            msg.buttons[place.plus] = 1
        angle = SWING_RAD_S * (now_s - self._began_s)
        for function, sign in self.sticks.items():
            place = self._pad.places[function]
            assert place.axis is not None, f"{function} is no axis of this pad"
            wave = math.cos(angle) if function in ("forward", "up") else math.sin(angle)
            msg.axes[place.axis] = sign * SWING_SHARE * wave
        self._out.publish(msg)
