"""What the head and the arm node share: permit and chunks in, joints and commands out, a loop of their own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer  # the builtin one from Python 3.11 on
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sapave_ros import graph
from sapave_ros.core.chunk import ChunkFault
from sapave_ros.core.controller import JointController, Phase, in_order
from sapave_ros.core.faults import Fault
from sapave_ros.graph import Stream
from sapave_ros.nodes.report import Reporter
from sapave_ros.nodes.ros import (
    Loop,
    chunk_from_msg,
    diagnostics,
    joint_state_msg,
    now_s,
    permit_from_msg,
    publisher,
    status,
    subscribe,
)
from sapave_ros.types import ActionChunk, JointState, Permit, Source

MAX_PENDING_CHUNKS = 8
REFUSED_FOR_S, REFUSED_AT_LEAST = 0.5, 3
"""Nothing but refused chunks for this long [s], so many at least, is a fault of whoever sends them; one may be an
accident."""

DISORDER_SHOWS_S = 0.5
"""How long a permit out of order is told [s]: long enough to be seen by the watchdog."""

ANSWER_S = 0.5
"""How long a service waits for the loop [s]."""

Pose = Mapping[str, float]
"""Joint name to position [rad]."""


class Divider:
    """Tells in which ticks of a loop something slower is due: 2.5 ticks apart is 2, 3, 2, 3, ..."""

    def __init__(self, rate_hz: float, loop_hz: float) -> None:
        self._share, self._phase = min(1.0, rate_hz / loop_hz), 1.0

    def due(self) -> bool:
        self._phase += self._share
        if self._phase < 1.0:
            return False
        self._phase -= 1.0
        return True


class Refusals:
    """Chunks that were refused one after the other."""

    def __init__(self) -> None:
        self._count, self._since_s, self._last_s, self._text = 0, 0.0, 0.0, ""

    def accepted(self) -> None:
        self._count = 0

    def refused(self, text: str, now_s: float) -> None:
        if self._count == 0 or now_s - self._last_s > REFUSED_FOR_S:
            self._count, self._since_s = 0, now_s
        self._count, self._last_s, self._text = self._count + 1, now_s, text

    def finding(self, now_s: float) -> str:
        """What is wrong at monotonic time `now_s`, or nothing."""
        lasts = now_s - self._since_s > REFUSED_FOR_S and now_s - self._last_s < REFUSED_FOR_S
        if self._count < REFUSED_AT_LEAST or not lasts:
            return ""
        return f"{self._count} in {now_s - self._since_s:.1f} s; the last one: {self._text}"


class ControlNode(Node):
    """Base of the nodes that move joints. A subclass implements `step` and `close`, and calls `start`.

    The loop runs in a thread of its own; ROS callbacks only leave the newest permit and chunks for it.
    """

    def __init__(
        self, name: str, loop_hz: float, increments: Mapping[Source, Stream], command: Stream, poses: Mapping[str, Pose]
    ) -> None:
        """increments: whose chunks come on which stream. poses: service to joint positions that it moves to."""
        super().__init__(name)
        self.permit: Permit | None = None
        self.loop_hz = loop_hz
        self._chunks: deque[tuple[Source, ActionChunk]] = deque(maxlen=MAX_PENDING_CHUNKS)
        self._wish: tuple[Callable[[float], str], Future] | None = None
        self._refusals = Refusals()
        self._disorder: tuple[float, str] = (-np.inf, "")
        self._wakes_s: deque[float] = deque(maxlen=round(10 * loop_hz))
        self._work_s: deque[float] = deque(maxlen=round(10 * loop_hz))
        self._exposure_to_write_s: deque[float] = deque(maxlen=200)
        self._cpu = (time.monotonic(), time.process_time())
        self._said = ""
        self._joint_states = publisher(self, graph.stream(graph.JOINT_STATES))
        self._commands = publisher(self, command)
        self._diagnostics = publisher(self, graph.stream(graph.DIAGNOSTICS))
        self._joints_due = Divider(graph.stream(graph.JOINT_STATES).rate_hz or loop_hz, loop_hz)
        self._command_due = Divider(command.rate_hz or loop_hz, loop_hz)
        subscribe(self, graph.stream(graph.PERMIT), self._on_permit)
        for source, stream in increments.items():
            subscribe(self, stream, partial(self._on_increments, source))
        for service, pose in poses.items():
            self.create_service(Trigger, service, partial(self._on_pose, pose))
        self.create_timer(1.0, self._publish_diagnostics)
        self._reporter = Reporter(self, self._all_findings, self._held)
        self.loop = Loop(1.0 / loop_hz, self._tick, f"{name} loop")

    controller: JointController  # set by the subclass before `start`

    def step(self, ros_s: float, monotonic_s: float) -> tuple[JointState | None, np.ndarray | None]:
        """One tick: read, control, write. Returns the measured joints and the positions written, (n,), if any."""
        raise NotImplementedError

    def numbers(self) -> dict[str, object]:
        """More for /diagnostics."""
        return {}

    def findings(self) -> dict[Fault, str]:
        """What is wrong with the actuators."""
        return {}

    def failure(self) -> str | None:
        """Why this process has to end, or None."""
        return None if self.loop.failed is None else f"{type(self.loop.failed).__name__}: {self.loop.failed}"

    # ---- ROS callbacks: main thread ----

    def _on_permit(self, msg: DiagnosticStatus) -> None:
        permit = permit_from_msg(msg, time.monotonic())
        self.permit = in_order(self.permit, permit)
        if self.permit is not permit:
            self._disorder = (permit.received_s, self.permit.reason)

    def _on_increments(self, source: Source, msg: JointTrajectory) -> None:
        try:
            self._chunks.append((source, chunk_from_msg(msg)))
        except ValueError as error:
            self._refusals.refused(str(error), time.monotonic())
            self.get_logger().warning(f"chunk refused: {error}", throttle_duration_sec=1.0)

    def _on_pose(self, pose: Pose, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        refused = self.ask(lambda ros_s: self.controller.go_to(pose, ros_s))
        answer.success, answer.message = not refused, refused or "on the way"
        return answer

    def ask(self, wish: Callable[[float], str]) -> str:
        """Has the loop's thread do something between two ticks: it alone has the device. Returns why not, or nothing.

        wish: called with ROS time [s]; returns why not, or nothing.
        """
        future: Future = Future()
        self._wish = (wish, future)
        try:
            return str(future.result(timeout=ANSWER_S))
        except NoAnswer:
            self._wish = None
            return "the control loop does not answer"

    def _all_findings(self) -> dict[Fault, str]:
        findings, now_s = self.findings(), time.monotonic()
        refused = self._refusals.finding(now_s)
        if refused and not self.controller.holding:
            findings[Fault.CHUNKS_REFUSED] = refused
        if now_s - self._disorder[0] < DISORDER_SHOWS_S:
            findings[Fault.SECOND_PERMIT] = self._disorder[1]
        return findings

    def _held(self) -> bool:
        return self.controller.shared and self.controller.phase is not Phase.IDLE

    # ---- the loop's thread ----

    def _tick(self, monotonic_s: float) -> None:
        ros_s = now_s(self)
        self._wakes_s.append(monotonic_s)
        begun = []
        while self._chunks:
            source, chunk = self._chunks.popleft()
            refusal = self.controller.offer(chunk, ros_s, source)
            usual = refusal is not None and refusal.fault in (ChunkFault.TOO_EARLY, ChunkFault.SOURCE)
            if refusal is None:
                begun.append(chunk.stamp_s)
                self._refusals.accepted()
            else:
                if not usual and not self.controller.holding:  # where nothing may move, refusals are the rule
                    self._refusals.refused(refusal.text, monotonic_s)
                text = f"chunk refused: {refusal.fault.value}: {refusal.text}"
                if usual:  # the picture was taken before control was, or a person has the joints
                    self.get_logger().info(text, throttle_duration_sec=1.0)
                else:
                    self.get_logger().warning(text, throttle_duration_sec=1.0)
        if self._wish is not None:
            (wish, future), self._wish = self._wish, None
            future.set_result(wish(ros_s))
        measured, written = self.step(ros_s, monotonic_s)
        if begun and written is not None:
            written_s = now_s(self)
            self._exposure_to_write_s += [written_s - stamp_s for stamp_s in begun]
        self._say()
        if measured is not None and self._joints_due.due():
            stamp = ros_s - (monotonic_s - measured.received_s)
            names = self.controller.group.names
            self._joint_states.publish(joint_state_msg(names, stamp, measured.positions, measured.velocities))
        if written is not None and self._command_due.due():
            self._commands.publish(joint_state_msg(self.controller.group.names, ros_s, written))
        self._work_s.append(time.monotonic() - monotonic_s)

    def _say(self) -> None:
        """Log when who has the joints changes, or why they may not move."""
        controller = self.controller
        kind = f"{controller.phase.value}{': holding' if controller.holding else ''}"
        if kind != self._said:
            self._said = kind
            self.get_logger().info(f"{controller.phase.value}; {controller.holding or 'may move'}")

    # ---- health ----

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(self.diagnostics())

    def diagnostics(self) -> DiagnosticArray:
        """Rate and timing of the loop, chunks and the gate's counts."""
        controller = self.controller
        wakes, work = np.array(self._wakes_s), np.array(self._work_s)
        periods_ms = np.diff(wakes) * 1e3 if len(wakes) > 1 else np.zeros(1)
        wall_s, cpu_s = time.monotonic(), time.process_time()
        share = (cpu_s - self._cpu[1]) / max(wall_s - self._cpu[0], 1e-6)
        self._cpu = (wall_s, cpu_s)
        last = controller.last_refusal
        exposure_ms = np.array(self._exposure_to_write_s) * 1e3
        values: dict[str, object] = {
            "mode": "shadow" if controller.shadow else "live",
            "phase": controller.phase.name,
            "holding": controller.holding,
            "rate_hz": 1e3 / max(float(np.mean(periods_ms)), 1e-6),
            "period_median_ms": float(np.median(periods_ms)),
            "period_p99_ms": float(np.percentile(periods_ms, 99)),
            "period_worst_ms": float(np.max(periods_ms)),
            "work_median_ms": float(np.median(work)) * 1e3 if len(work) else 0.0,
            "cpu_share": share,
            **(
                {
                    "exposure_to_write_median_ms": float(np.median(exposure_ms)),
                    "exposure_to_write_p99_ms": float(np.percentile(exposure_ms, 99)),
                }
                if len(exposure_ms)
                else {}
            ),
            "chunks_accepted": controller.accepted,
            "chunks_refused": controller.refused.total(),
            "last_refusal": f"{last.fault.value}: {last.text}" if last else "",
            "last_intervention": controller.last_verdict_detail,
            **{f"gate {reason.value}": count for reason, count in dict(controller.gate.counts).items()},
            **self.numbers(),
        }
        level = DiagnosticStatus.WARN if controller.holding else DiagnosticStatus.OK
        message = controller.holding or controller.phase.value
        return diagnostics(self, status(f"sapave/{self.get_name()}", level, message, values))
