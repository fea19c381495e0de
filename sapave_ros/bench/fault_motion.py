"""Head and arms in motion, as a policy would move them: chunk after chunk, and chunks as a broken policy sends them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.core.health import Report
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator
from sapave_ros.types import ActionChunk, Floats

AMPLITUDE_RAD, OMEGA_RAD_S = 0.25, 2.0
"""0.5 rad/s at most, a third of the limit. Of each group some joint moves always: they are a quarter period apart."""

BEGINS_S = 0.3
"""How gently it begins: two thirds of the speed after this time [s]."""

DT_S, STEPS = 0.2, 25
"""A chunk lasts 5 s: longer than it takes to find any fault, so that what ends the motion is never its end."""

Joints = dict[str, tuple[float, bool]]
# joint: (first direction, whether it is fastest at first; the others are fastest a quarter period later)
HEAD_JOINTS: Joints = {"head_yaw_joint": (1.0, True), "head_pitch_joint": (1.0, False)}
ARM_JOINTS: Joints = {
    "left_elbow_joint": (-1.0, True),
    "right_elbow_joint": (-1.0, False),
    "left_shoulder_pitch_joint": (-1.0, False),
    "right_shoulder_pitch_joint": (-1.0, True),
    "left_wrist_roll_joint": (1.0, True),
    "right_wrist_roll_joint": (1.0, False),
}


@dataclass(frozen=True)
class Moment:
    """now_s: ROS time; began_s: when the motion began, ROS time [s]; number: of the chunk."""

    now_s: float
    began_s: float
    number: int


MakeChunk = Callable[[Joints, Moment], ActionChunk]


def way(joints: Joints, time_s: Floats) -> Floats:
    """Where each joint is `time_s` (k,) after the motion began, relative to then [rad], (k, n)."""
    t = np.maximum(time_s, 0.0)
    angle = OMEGA_RAD_S * (t - BEGINS_S * (1.0 - np.exp(-t / BEGINS_S)))  # nobody is at full speed at once
    columns = [s * (np.sin(angle) if fast else 1.0 - np.cos(angle)) for s, fast in joints.values()]
    return np.asarray(AMPLITUDE_RAD * np.stack(columns, axis=1))


def well(joints: Joints, moment: Moment) -> ActionChunk:
    """The motion from now on."""
    ends_s: Floats = moment.now_s - moment.began_s + DT_S * np.arange(STEPS + 1, dtype=np.float64)
    return ActionChunk(moment.now_s, DT_S, tuple(joints), np.diff(way(joints, ends_s), axis=0))


def _times(factor: float) -> MakeChunk:
    def make(joints: Joints, moment: Moment) -> ActionChunk:
        good = well(joints, moment)
        return replace(good, increments=good.increments * factor)

    return make


def _stamped(ahead_s: float) -> MakeChunk:
    def make(joints: Joints, moment: Moment) -> ActionChunk:
        return replace(well(joints, moment), stamp_s=moment.now_s + ahead_s)

    return make


def _others(joints: Joints, moment: Moment) -> ActionChunk:
    """The right numbers under names that another controller has."""
    foreign = g1.HEAD if "head_yaw_joint" not in joints else g1.ARMS
    names = (*foreign.names[:1], *list(joints)[1:])
    return replace(well(joints, moment), joint_names=names)


def _late(joints: Joints, moment: Moment) -> ActionChunk:
    """Two seconds long, and more than half of them past."""
    good = well(joints, replace(moment, now_s=moment.now_s - 1.2))
    return replace(good, increments=good.increments[:10])


def _constant(joints: Joints, moment: Moment, speed_rad_s: float) -> ActionChunk:
    signs = np.array([sign for sign, _ in joints.values()])
    return ActionChunk(moment.now_s, DT_S, tuple(joints), np.tile(speed_rad_s * DT_S * signs, (STEPS, 1)))


def _stuck(joints: Joints, moment: Moment) -> ActionChunk:
    """The same increments for every picture."""
    return _constant(joints, moment, 0.15)


def _chatter(joints: Joints, moment: Moment) -> ActionChunk:
    """To and fro with every chunk, each a little different."""
    return _constant(joints, moment, (0.4, -0.4)[moment.number % 2] * (1.0 + 1e-3 * moment.number))


def _idle(joints: Joints, moment: Moment) -> ActionChunk:
    """Next to nothing, each a little different."""
    return _constant(joints, moment, 1e-3 * math.sin(moment.number))


BROKEN: dict[str, MakeChunk | None] = {
    "NaN": _times(math.nan),
    "huge": _times(100.0),
    "other joints": _others,
    "old": _stamped(-10.0),
    "ahead": _stamped(1.0),
    "late": _late,
    "stuck": _stuck,
    "chatter": _chatter,
    "idle": _idle,
    "silent": None,
}
"""What a broken policy sends, by name; None where it sends nothing at all."""


class Player:
    """Plays the policy: publishes chunks at its rate, while something spins the operator.

    make: how the chunks are made; None for silence. head, arms: whether each gets them.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._heads = ros.publisher(operator, graph.stream(graph.HEAD_INCREMENTS))
        self._arms = ros.publisher(operator, graph.stream(graph.ARM_INCREMENTS))
        self._health = ros.publisher(operator, graph.stream(graph.HEALTH))
        self._signs = dict(HEAD_JOINTS)
        self._began_s, self._number = 0.0, 0
        self.make: MakeChunk | None = None
        self.head = self.arms = self.reports = False
        operator.create_timer(1.0 / graph.INFERENCE_HZ, self._send)
        operator.create_timer(1.0 / graph.HEALTH_HZ, self._report)

    def begin(self, head_at: Floats, head: bool = True, arms: bool = True) -> None:
        """From now on, in motion. head_at: (2,) [rad] where the neck is; it moves towards its middle first."""
        away = np.asarray(head_at) - (g1.HEAD.lower + g1.HEAD.upper) / 2
        fast = [fast for _, fast in HEAD_JOINTS.values()]
        self._signs = {name: (-1.0 if away[i] > 0.0 else 1.0, fast[i]) for i, name in enumerate(HEAD_JOINTS)}
        self._began_s = ros.now_s(self._operator)
        self.head, self.arms, self.make = head, arms, well
        self._send()

    def end(self) -> None:
        """Sends no more chunks."""
        self.make = None

    def _send(self) -> None:
        if self.make is None:
            return
        self._number += 1
        moment = Moment(ros.now_s(self._operator), self._began_s, self._number)
        if self.head:
            self._heads.publish(ros.chunk_to_msg(self.make(self._signs, moment)))
        if self.arms:
            self._arms.publish(ros.chunk_to_msg(self.make(ARM_JOINTS, moment)))

    def _report(self) -> None:
        """In place of the inference node, where that one stands still."""
        if self.reports:
            self._health.publish(ros.report_to_msg(Report("inference", {})))
