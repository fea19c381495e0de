"""What is around the graph on the bench: the person, the policy, the joystick, and what is heard and recorded."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy

from sapave_ros import g1, graph
from sapave_ros.bench.fault_graph import Graph
from sapave_ros.bench.fault_joystick import Joystick
from sapave_ros.bench.fault_measure import Said, Wire, of_one_watchdog, speeds
from sapave_ros.bench.fault_motion import AMPLITUDE_RAD, Player
from sapave_ros.bench.fault_wire import WireTap
from sapave_ros.bringup import BringupError
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError
from sapave_ros.plan import Options
from sapave_ros.sim.faults import FaultClient
from sapave_ros.sim.motors import MotorReader, Motors
from sapave_ros.types import Floats

if TYPE_CHECKING:
    from sapave_ros.bench.fault_recorder import Recording

PATIENCE_S = 15.0
"""For what takes a second or two, on a busy machine [s]. Nothing is judged by it."""

UNDER_WAY_RAD_S = 0.25
"""Head and arms both are in motion when the fastest joint of each has this speed [rad/s]: half of the highest."""

ROOM_RAD = AMPLITUDE_RAD + 0.05
"""What a joint of the head needs on both sides of where it begins."""

AT_HOME_RAD = 0.02

INSTRUCTIONS = ("look at the red mug", "find the blue ball", "where is the green bottle?", "look at the yellow box")

KEPT = 2000
"""Newest permits that are kept: 40 s."""

MOVING = ("ACTIVE", "TELEOP")
"""States in which something may move."""


class RigError(RuntimeError):
    """The graph did not come to where a fault can be tried. The message says what was waited for."""


class Rig:
    """One graph after the other, and the person and the policy at it.

    options: of the graph. operator: lives in the caller's ROS session. stop: set to end every wait early. told: names
    of the faults that nodes and watchdog have reported; whoever asks clears it before. recording: the newest recorder
    beside the graph.
    """

    def __init__(self, options: Options, operator: Operator, stop: threading.Event) -> None:
        self.options, self.operator, self.player = options, operator, Player(operator)
        self.faults = FaultClient(options.run_dir)
        self.permits: list[Said] = []
        self.told: set[str] = set()
        self.by_command = False
        self.recording: Recording | None = None
        self.joystick = Joystick(operator)
        self._undo: list[Callable[[], None]] = []
        self._stop = stop
        self._graph: Graph | None = None
        self._tap: WireTap | None = None
        self._motors: MotorReader | None = None
        self._said = 0
        often = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE)
        operator.create_subscription(DiagnosticStatus, graph.PERMIT, self._on_permit, often)
        ros.subscribe(operator, graph.stream(graph.DIAGNOSTICS), self._on_diagnostics)
        ros.subscribe(operator, graph.stream(graph.HEALTH), self._on_report)

    # ---- what is heard ----

    def _on_permit(self, msg: DiagnosticStatus) -> None:
        permit = ros.permit_from_msg(msg, time.monotonic())
        self.permits.append(Said(permit.sent_s, permit.sequence, permit.state, permit.reason))
        del self.permits[:-KEPT]

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        keys = [value.key for status in msg.status for value in status.values]
        self.told |= {key.removeprefix("fault ") for key in keys if key.startswith("fault ")}

    def _on_report(self, msg: DiagnosticStatus) -> None:
        self.told |= {fault.name for fault in ros.report_from_msg(msg).findings}

    @property
    def state(self) -> str:
        """Of the newest permit of our watchdog, `unknown` before the first."""
        said = of_one_watchdog(self.permits)
        return said[-1].state if said else "unknown"

    def motors(self) -> Motors:
        """The simulated motors in the last half minute."""
        assert self._motors is not None
        return self._motors.all_after(0)

    def wire(self) -> Wire:
        """The frames of the last half minute."""
        assert self._tap is not None
        return self._tap.reader.all()

    def _newest(self) -> Motors:
        assert self._motors is not None
        newest = self._motors.all_after(self._motors.latest - 3)
        if not len(newest):
            raise RigError("the simulated motors tell nothing")
        return newest[-1:]

    # ---- waiting ----

    def spin(self, seconds: float) -> None:
        """Lets time pass, with the player playing. KeyboardInterrupt where somebody wants to stop."""
        self.operator.wait(self._stop.is_set, seconds)
        if self._stop.is_set():
            raise KeyboardInterrupt

    def until(self, done: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Raises RigError where that does not come true in time."""
        if not self.operator.wait(lambda: done() or self._stop.is_set(), patience_s):
            last = self.permits[-1] if self.permits else None
            raise RigError(f"not within {patience_s:g} s: {what}; last permit: {last}")
        if self._stop.is_set():
            raise KeyboardInterrupt

    # ---- the graph ----

    def start(self, by_command: bool = False) -> None:
        """Starts the graph and waits for STANDBY. by_command: see `Graph`."""
        self.by_command = by_command
        self.permits.clear()
        try:
            self._graph = Graph(self.options, by_command, self._stop)
            self.until((self.options.run_dir / "motors").exists, "the simulated robot", 60.0)
            self._tap = WireTap(self.options.run_dir, self.options.dds_domain)
            self._motors = MotorReader(self.options.run_dir / "motors")
            self.until(lambda: self.state == "STANDBY", "STANDBY after the start", 30.0)
        except BringupError as error:
            raise RigError(f"the graph does not start: {error}") from error

    def stop(self) -> None:
        """Ends the graph and everything beside it."""
        self.tidy()
        self.player.end()
        self.joystick.alive = False
        if self._tap is not None:
            self._tap.close()
        if self._graph is not None:
            self._graph.close()
        self._graph = self._tap = None

    @property
    def pids(self) -> dict[str, int]:
        """As `Graph.pids`; empty without one."""
        return {} if self._graph is None else self._graph.pids

    def signal(self, pid: int, number: signal.Signals) -> float:
        """Sends it to a process of the graph; returns when [s, monotonic]."""
        assert self._graph is not None
        now_s = time.monotonic()
        self._graph.signal(pid, number)
        return now_s

    def spawn(self, argv: Sequence[str], log: str = "others.log") -> subprocess.Popen[bytes]:
        """As `Graph.spawn`."""
        assert self._graph is not None
        return self._graph.spawn(argv, log)

    def later(self, undo: Callable[[], None]) -> None:
        """What `tidy` has to do."""
        self._undo.append(undo)

    def tidy(self) -> None:
        """Ends what an action or a preparation has begun, newest first."""
        while self._undo:
            self._undo.pop()()

    # ---- up to the fault and back ----

    def arm(self, take: bool = True) -> None:
        """From STANDBY or HOLD to ACTIVE; take: with the arms taken and the neck held, which a shadow does not do."""

        def taken() -> bool:
            newest = self._newest()
            return not take or bool(newest.weight[0] == 1.0 and newest.neck_torque[0].all())

        deadline_s = time.monotonic() + PATIENCE_S
        while not (self.state == "ACTIVE" and taken()):
            refused = ""
            if self.state != "ACTIVE":
                try:
                    self.operator.arm(PATIENCE_S)
                except OperatorError as error:  # rates are judged over a while, and the graph has just begun
                    refused = str(error)
            if time.monotonic() > deadline_s:
                raise RigError(f"not ACTIVE{' with the arms and the neck' * take} within {PATIENCE_S:g} s; {refused}")
            self.spin(0.1)

    def make_room(self) -> None:
        """In ACTIVE: turns the head home where its motion would end at a stop. Rows leave it wherever they end."""
        home = np.array([g1.HEAD_HOME[name] for name in g1.HEAD.names])
        room = np.minimum(self.head_at() - g1.HEAD.lower, g1.HEAD.upper - self.head_at())
        if room.min() < ROOM_RAD:
            self.operator.call(graph.HEAD_HOME_SERVICE, PATIENCE_S)
            self.until(lambda: bool(np.abs(self.head_at() - home).max() < AT_HOME_RAD), "the head at home")

    def head_at(self) -> Floats:
        """Where the neck is [rad], (2,)."""
        return np.asarray(self._newest().head[0])

    def under_way(self) -> bool:
        """Whether head and arms are in motion."""
        speed = speeds(self._newest())
        heads = len(g1.HEAD)
        return bool(min(speed[0, :heads].max(), speed[0, heads:].max()) > UNDER_WAY_RAD_S)

    def instruct(self) -> None:
        """Another instruction than the last one."""
        self._said += 1
        self.operator.say(INSTRUCTIONS[self._said % len(INSTRUCTIONS)], PATIENCE_S)

    def until_under_way(self) -> None:
        """Raises RigError where head and arms do not come into motion, or may not move any more."""
        self.until(lambda: self.under_way() or self.state not in MOVING, "head and arms in motion")
        if self.state not in MOVING:
            raise RigError(f"stopped before anything was broken: {self.permits[-1]}")

    def recover(self) -> None:
        """To STANDBY with the arms released, from wherever a fault that is over has led. Raises RigError."""
        self.player.end()
        self.player.reports = False
        self.tidy()
        try:
            self.faults.clear()
            self.operator.say("", PATIENCE_S)
            self.operator.release_stop(PATIENCE_S)
            deadline_s = time.monotonic() + PATIENCE_S
            while self.state != "STANDBY":
                service = graph.RESET_SERVICE if self.state == "ESTOP" else graph.DISARM_SERVICE
                try:
                    self.operator.call(service, PATIENCE_S)
                except OperatorError:
                    if time.monotonic() > deadline_s:
                        raise
                self.spin(0.2)
        except (OperatorError, RuntimeError) as error:
            raise RigError(f"no way back to STANDBY: {error}") from error
        self.until(lambda: bool(self._newest().weight[0] == 0.0), "the arms released")
        self.spin(0.3)
