"""The takeover's script on the real processes under simulation: a joystick on /joy, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import Joy

from sapave_ros import g1, graph
from sapave_ros.bench.rehearsal import FakePad
from sapave_ros.bench.takeover import Course, Deed
from sapave_ros.bringup import Bringup, install_stop_handler
from sapave_ros.core.limiter import Limits
from sapave_ros.core.pads import load
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError, session
from sapave_ros.plan import Options
from sapave_ros.types import Floats, Grip, Takeover

INSTRUCTION = "look at the red mug"
JOY_HZ = 20.0
TRIES, READY_S = 8, 6.0
"""How often, a second apart, the arms are asked to their ready pose, and how long they take there [s]."""

_GROUPS = {"head": (graph.HEAD_COMMAND, g1.HEAD), "arms": (graph.ARM_COMMAND, g1.OTHER)}


class Witness:
    """A joystick, and everything that is commanded meanwhile. Times are ROS time [s]."""

    def __init__(self, operator: Operator, pad: str) -> None:
        self.pad = FakePad(load(pad))
        self.commands: dict[str, list[tuple[float, Floats]]] = {name: [] for name in _GROUPS}
        self.takeovers: list[tuple[float, Takeover]] = []
        self.states: list[str] = []
        self._operator = operator
        self._joy = ros.publisher(operator, graph.stream(graph.JOY))
        for name, (topic, _) in _GROUPS.items():
            ros.subscribe(operator, graph.stream(topic), partial(self._on_command, name))
        ros.subscribe(operator, graph.stream(graph.TAKEOVER), self._on_takeover)
        ros.subscribe(operator, graph.stream(graph.PERMIT), self._on_permit)
        operator.create_timer(1.0 / JOY_HZ, self.show)

    def show(self) -> None:
        """One message of the joystick."""
        axes, buttons = self.pad.message()
        msg = Joy(axes=axes, buttons=buttons)
        msg.header.stamp = ros.to_msg_time(ros.now_s(self._operator))
        self._joy.publish(msg)

    def _on_command(self, name: str, msg: Any) -> None:
        self.commands[name].append((ros.stamp_s(msg.header.stamp), np.array(msg.position)))

    def _on_takeover(self, msg: Any) -> None:
        self.takeovers.append((ros.now_s(self._operator), ros.takeover_from_msg(msg, time.monotonic())))

    def _on_permit(self, msg: Any) -> None:
        permit = ros.permit_from_msg(msg, time.monotonic())
        said = permit.state if permit.state in ("ACTIVE", "TELEOP") else f"{permit.state}: {permit.reason}"
        if not self.states or self.states[-1] != said:
            self.states.append(said)

    def course(self, name: str, begin_s: float) -> Course:
        """What one controller commanded since `begin_s`, by its own clock: a tick that woke late is one tick."""
        group = _GROUPS[name][1]
        tick_s = 1.0 / (graph.HEAD_LOOP_HZ if name == "head" else graph.ARM_LOOP_HZ)
        told = [(t, q) for t, q in self.commands[name] if t >= begin_s]
        stamps = np.array([t for t, _ in told])
        ticks = np.maximum(1, np.round(np.diff(stamps) / tick_s))
        since = [(t, getattr(takeover, name)) for t, takeover in self.takeovers]
        taken = [next((grip for t, grip in reversed(since) if t <= stamp), Grip.NONE) for stamp in stamps]
        limits = Limits.of(group)
        return Course(
            group.names,
            np.concatenate([[0.0], np.cumsum(ticks * tick_s)]) + (stamps[0] - begin_s),
            np.array([q for _, q in told]),
            taken,
            limits.velocity,
            limits.acceleration,
        )


def _arms_home(operator: Operator) -> None:
    """To the ready pose, once the arms are taken. Raises OperatorError if they are not in time."""
    for left in reversed(range(TRIES)):
        operator.wait(lambda: False, 1.0)
        try:
            operator.call(graph.ARMS_HOME_SERVICE)
            return
        except OperatorError:
            if not left:
                raise
            if operator.state == "HOLD":
                operator.arm()


def play(
    script: Sequence[Deed], pad: str, options: Options
) -> tuple[dict[str, Course], list[tuple[float, str]], list[str]]:
    """What head and arms were commanded, when the person did what, and the states of the watchdog on the way.

    Raises BringupError or OperatorError.
    """
    stop = install_stop_handler()
    bringup = Bringup(options)
    bringup.start(stop)
    try:
        with session() as operator:
            operator.arm()
            operator.say(INSTRUCTION)
            _arms_home(operator)
            operator.wait(stop.is_set, READY_S)
            if operator.state != "ACTIVE":  # another load on this machine
                operator.arm()
            witness = Witness(operator, pad)
            operator.wait(stop.is_set, 0.5)
            begin_s, deeds = ros.now_s(operator), []
            for text, held, seconds in script:
                deeds.append((ros.now_s(operator) - begin_s, text))
                witness.pad.do = {name: v for name, v in held.items() if name in witness.pad.pad.places}
                witness.show()  # with every change, as a driver does
                operator.wait(stop.is_set, seconds)
                bringup.check()
                if stop.is_set():
                    raise KeyboardInterrupt
            return {name: witness.course(name, begin_s) for name in _GROUPS}, deeds, witness.states
    finally:
        bringup.stop()
