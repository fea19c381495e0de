"""A takeover in lockstep: joystick, teleop, watchdog and both controllers of the robot, with time as an argument.

The policy asks for full speed all the while, and joints are where they are told; what is left out are the wires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.health import Health, Report
from sapave_ros.core.jog import Jog, TeleopParameters, chunk
from sapave_ros.core.pads import Pad
from sapave_ros.core.supervisor import Event, State
from sapave_ros.core.teleop import Teleop
from sapave_ros.core.watchdog import Watchdog
from sapave_ros.types import ActionChunk, Floats, Grip, JointState, Permit, Source

BASE_S = 0.002
ROS0_S, MONO0_S = 1_000_000_000.0, 5_000.0
JOY_HZ, COMMAND_HZ = 20.0, 50.0
SWEEP_RAD = 0.6
POLICY_DELAY_S, POLICY_DT_S, POLICY_STEPS = 0.06, 1 / 30, 24


class FakePad:
    """A joystick as its driver publishes it. do: functions to values, -1 to 1 or 0 and 1."""

    def __init__(self, pad: Pad) -> None:
        self.pad = pad
        self.do: dict[str, float] = {}

    def message(self) -> tuple[list[float], list[int]]:
        """Axes and buttons of its next message."""
        n_axes, n_buttons = self.pad.needs
        axes, buttons = [0.0] * n_axes, [0] * n_buttons
        for place in self.pad.places.values():
            if place.axis is not None:
                axes[place.axis] = place.rest
        for name, value in self.do.items():
            place = self.pad.places[name]
            if place.axis is not None:
                axes[place.axis] = place.rest + value * (place.full - place.rest)
            elif value:
                button = place.plus if value > 0 else place.minus
                assert button is not None
                buttons[button] = 1
        return axes, buttons


@dataclass
class Track:
    """One controller and its history. every: base steps between its ticks. start, measured, direction: (n,) of its
    joints and of the policy's sweep. times [s] since the beginning; positions [rad]; sources, grips of each tick.
    """

    controller: JointController
    every: int
    start: Floats
    measured: Floats
    direction: Floats
    times: list[float] = field(default_factory=list)
    positions: list[Floats] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    grips: list[Grip] = field(default_factory=list)
    mail: list[tuple[float, ActionChunk]] = field(default_factory=list)
    published: Floats | None = None

    @property
    def dt_s(self) -> float:
        return self.every * BASE_S

    def speeds(self) -> Floats:
        """(m - 1, n) [rad/s]."""
        return np.diff(np.array(self.positions), axis=0) / self.dt_s

    def step_ratios(self) -> Floats:
        """(m - 1,): the largest step of each tick as a share of what the velocity limit allows in one."""
        return np.abs(self.speeds() / self.controller.gate.limits.velocity).max(axis=1)

    def kick_ratios(self) -> Floats:
        """(m - 2,): the largest change of speed of each tick as a share of what the acceleration limit allows."""
        allowed = self.controller.gate.limits.acceleration * self.dt_s
        return np.abs(np.diff(self.speeds(), axis=0) / allowed).max(axis=1)


class Rehearsal:
    """Everything between a joystick and two commands. policy: whether it moves all joints at full speed."""

    def __init__(
        self,
        pad: Pad,
        config: TeleopParameters | None = None,
        policy: bool = True,
        start: Mapping[str, float] | None = None,
        ik: HandIk | None = None,
    ) -> None:
        """start: positions [rad] by joint name; those it lacks are in the middle of their range. The policy sweeps
        around it."""
        self.config = config or TeleopParameters()
        self.pad, self.teleop = FakePad(pad), Teleop(self.config)
        self.ik = ik or HandIk(self.config.velocity_share)
        self._jog = Jog(self.config, self.ik)
        self.watchdog = Watchdog(MONO0_S, Health(watches=[]))
        self.policy, self.connected = policy, True
        self.t = 0.0
        self.permit: Permit | None = None
        self._ticks, self._shown_s = 0, -1.0
        self._shown: tuple[list[float], list[int]] | None = None
        places = start or {}
        self.head, self.arms = (
            Track(JointController(group, every * BASE_S, ControllerConfig(), shared), every, q, q, np.ones(len(q)))
            for group, every, shared, q in (
                (group, every, shared, np.array([places.get(j.name, (j.lower + j.upper) / 2) for j in group.joints]))
                for group, every, shared in ((g1.HEAD, 5, False), (g1.OTHER, 2, True))
            )
        )

    @property
    def state(self) -> State:
        return self.watchdog.supervisor.state

    def arm(self) -> Rehearsal:
        """Through STANDBY to ACTIVE, and until the arms are taken."""
        self.run(0.1)
        self.watchdog.request(Event.ARM, MONO0_S + self.t, ROS0_S + self.t)
        self.run(1.2)
        return self

    def press(self, button: str) -> None:
        """A button for a moment, as a person presses it; what else is held stays."""
        self.pad.do[button] = 1.0
        self.run(0.1)
        del self.pad.do[button]
        self.run(0.1)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / BASE_S)):
            self._step()

    # ---- one step of BASE_S ----

    def _step(self) -> None:
        self._ticks += 1
        self.t = self._ticks * BASE_S
        ros_s, mono_s = ROS0_S + self.t, MONO0_S + self.t
        shown = self.pad.message()
        if self.connected and (shown != self._shown or self.t - self._shown_s >= 1 / JOY_HZ):
            before = self.teleop.urgent
            self._shown, self._shown_s = shown, self.t
            self.teleop.hear(self.pad.pad, *shown, mono_s, ros_s)
            if self.teleop.urgent != before:
                self._teleop(ros_s, mono_s)
        if self._ticks % round(1 / graph.TELEOP_HZ / BASE_S) == 0:
            self._teleop(ros_s, mono_s)
            self.watchdog.update(mono_s, ros_s)
            self.permit = self.watchdog.permit(mono_s)
        for track in (self.head, self.arms):
            if self.policy:
                self._think(track, ros_s)
            if self._ticks % track.every == 0:
                self._control(track, ros_s, mono_s)

    def _teleop(self, ros_s: float, mono_s: float) -> None:
        teleop = self.teleop
        teleop.permit(self.permit, mono_s)
        takeover, wish = teleop.update(mono_s)
        self.takeover = takeover
        self.watchdog.takeover = takeover
        self.watchdog.health.reports["teleop"] = Report("teleop", teleop.findings())
        rates = self._jog.rates(wish, self.head.published, self.arms.published, mono_s)
        for track, grip, rate in zip((self.head, self.arms), (takeover.head, takeover.arms), rates, strict=True):
            if grip is Grip.MOVE:
                made = chunk(ros_s, track.controller.group.names, rate)
                track.controller.offer(made, ros_s, Source.TELEOP)

    def _think(self, track: Track, ros_s: float) -> None:
        """The policy: every joint at its limit, back and forth."""
        if self._ticks % round(1 / graph.INFERENCE_HZ / BASE_S) == 0 and track.positions:
            group, q = track.controller.group, track.positions[-1]
            sweep = np.minimum(SWEEP_RAD, 0.3 * (group.upper - group.lower))
            middle = np.clip(track.start, group.lower + sweep, group.upper - sweep)
            track.direction = np.where(q > middle + sweep / 2, -1.0, track.direction)
            track.direction = np.where(q < middle - sweep / 2, 1.0, track.direction)
            rows = np.tile(track.direction * group.column("velocity") * POLICY_DT_S, (POLICY_STEPS, 1))
            track.mail.append((ros_s + POLICY_DELAY_S, ActionChunk(ros_s, POLICY_DT_S, group.names, rows)))
        while track.mail and track.mail[0][0] <= ros_s:
            track.controller.offer(track.mail.pop(0)[1], ros_s, Source.POLICY)

    def _control(self, track: Track, ros_s: float, mono_s: float) -> None:
        measured = JointState(mono_s, track.measured.copy(), np.zeros(len(track.measured)))
        command = track.controller.tick(ros_s, mono_s, measured, self.permit)
        if command is None:
            return
        track.measured = command.positions.copy()
        track.times.append(self.t)
        track.positions.append(command.positions.copy())
        track.sources.append(track.controller.source)
        grips = self.watchdog.takeover
        track.grips.append(grips.arms if track is self.arms else grips.head)
        if len(track.times) % round(1 / COMMAND_HZ / track.dt_s) == 0:
            track.published = command.positions.copy()
