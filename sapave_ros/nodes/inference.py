"""Process `inference`: pictures, joints and an instruction in, one action chunk per trained head out."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String

from sapave_ros import graph, scheduling
from sapave_ros.core.inference_health import InferenceHealth
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import FUTURE_TOLERANCE_S, ObservationBuilder, ObservationParameters
from sapave_ros.nodes import ros
from sapave_ros.nodes.report import Reporter
from sapave_ros.parameters import parameter
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.onnx_policy import OnnxPolicy, PolicyOutput
from sapave_ros.policy.output import OutputError
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.share import share_path
from sapave_ros.types import Observation


@dataclass(frozen=True)
class InferenceParameters:
    """Parameters of the node, besides those of the observation and of the session."""

    model: str = parameter("", doc="path of the ONNX model; empty: the one that ships with the package")
    provider: str = parameter(
        "auto",
        choices=("auto", "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
        doc="ONNX Runtime execution provider; auto: the fastest that this machine has",
    )
    threads: int = parameter(1, low=1, high=64, doc="threads of one inference on the CPU")
    rate_hz: float = parameter(
        graph.INFERENCE_HZ, unit="Hz", low=0.5, high=60.0, doc="inferences per second, while told to act"
    )


@dataclass
class _Timing:
    """The last inferences' times [ms]."""

    model: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    preprocess: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    exposure_to_increments: deque[float] = field(default_factory=lambda: deque(maxlen=100))


class InferenceNode(Node):
    """Callbacks collect; a worker thread with a one-slot mailbox infers. No callback waits for the model."""

    def __init__(self) -> None:
        super().__init__("inference")
        use = ros.parameters(self, InferenceParameters)
        path = use.model or share_path(SHIPPED)
        self._policy = OnnxPolicy(path, "auto" if use.provider == "auto" else (use.provider,), use.threads)
        self._policy.warm_up()
        self._session = PolicySession(self._policy, ros.parameters(self, SessionParameters))
        kinematics = Kinematics.from_urdf()
        self._builder = ObservationBuilder(kinematics.camera_in_torso, ros.parameters(self, ObservationParameters))
        self._rate_hz, self._period_s = use.rate_hz, graph.exposure_period_s(use.rate_hz)
        self._due_stamp_s = -np.inf

        self._instruction = ""
        self._mail = threading.Condition()
        self._observation: Observation | None = None
        self._closing = False
        self._failed: str | None = None
        self._reason = "no instruction"
        self._published = self._reported = self._silent_reports = 0
        self._timing = _Timing()
        self._health = InferenceHealth()

        self._head = ros.publisher(self, graph.stream(graph.HEAD_INCREMENTS))
        self._arms = ros.publisher(self, graph.stream(graph.ARM_INCREMENTS))
        self._grounding = ros.publisher(self, graph.stream(graph.GROUNDING))
        self._followed = ros.publisher(self, graph.stream(graph.FOLLOWED))
        self._followed.publish(String(data=self._instruction))  # of one that was before, nothing holds any more
        self._diagnostics = ros.publisher(self, graph.stream(graph.DIAGNOSTICS))
        for topic, callback in (
            (graph.COLOR, self._on_color),
            (graph.DEPTH, self._on_depth),
            (graph.CAMERA_INFO, self._on_camera_info),
            (graph.JOINT_STATES, self._on_joint_states),
            (graph.INSTRUCTION, self._on_instruction),
        ):
            ros.subscribe(self, graph.stream(topic), callback)
        self.create_timer(1.0, self._publish_diagnostics)
        # From the main thread, which tells of a worker that hangs.
        self._reporter = Reporter(self, lambda: self._health.findings(time.monotonic()))

        self.get_logger().info(
            f"model {self._policy.manifest.name} on {self._policy.providers[0]}, "
            f"trained heads: {', '.join(self._policy.manifest.trained_heads)}"
        )
        self._worker = threading.Thread(target=self._work, name="inference")
        self._worker.start()

    def _on_color(self, msg: Any) -> None:
        if self._instruction:
            self._collect(msg, lambda stamp_s: self._builder.add_color(stamp_s, ros.image_array(msg)))

    def _on_depth(self, msg: Any) -> None:
        if self._instruction:
            self._collect(msg, lambda stamp_s: self._builder.add_depth(stamp_s, ros.image_array(msg)))

    def _on_camera_info(self, msg: Any) -> None:
        if self._instruction:
            k = np.asarray(msg.k, dtype=float).reshape(3, 3)
            self._collect(msg, lambda stamp_s: self._builder.add_intrinsics(stamp_s, k))

    def _on_joint_states(self, msg: Any) -> None:
        # Also without an instruction: the first picture after it is older than the next joints.
        self._collect(msg, lambda stamp_s: self._builder.joints.add(msg.name, stamp_s, np.asarray(msg.position)))

    def _collect(self, msg: Any, add: Callable[[float], None]) -> None:
        """Adds what a message brings, by its stamp. What is malformed is dropped and said: others go on.

        So is what is stamped ahead of time: kept, it would be taken for what happens then.
        """
        stamp_s = ros.stamp_s(msg.header.stamp)
        try:
            ahead_s = stamp_s - ros.now_s(self)
            if ahead_s > FUTURE_TOLERANCE_S:
                raise ValueError(f"stamp: {ahead_s:.3f} s ahead of now; expected at most {FUTURE_TOLERANCE_S:g} s")
            add(stamp_s)
        except ValueError as error:
            self._reason = f"{type(msg).__name__} dropped: {error}"
            self.get_logger().warning(self._reason, throttle_duration_sec=2.0)
            return
        if self._instruction:
            self._offer()

    def _on_instruction(self, msg: Any) -> None:
        instruction = msg.data.strip()
        if instruction == self._instruction:
            return
        unknown = self._policy.tokenizer.unknown_words(instruction)
        if unknown:
            self.get_logger().warning(f"instruction {instruction!r}: the model has never seen {', '.join(unknown)}")
        with self._mail:  # what was seen under the old instruction is not acted on under the new one
            self._instruction = instruction
            self._observation = None
            self._session.reset()
            self._health.restart()
            self._due_stamp_s = -np.inf
            # Here, where no chunk can come between: a recording has it before the first chunk that answers it.
            self._followed.publish(String(data=instruction))
        self._reason = "waiting for a picture" if instruction else "no instruction"
        self.get_logger().info(f"instruction: {instruction!r}")

    def _offer(self) -> None:
        """Puts the newest complete observation into the mailbox, if one is due."""
        now_s = ros.now_s(self)
        if self._due_stamp_s > now_s + 1.0 / self._rate_hz:  # the clock has been set back
            self._due_stamp_s = -np.inf
        observation = self._builder.take(now_s, self._instruction, self._due_stamp_s)
        if isinstance(observation, str):
            self._reason = observation
            return
        self._due_stamp_s = observation.stamp_s + self._period_s
        with self._mail:
            self._observation = observation
            self._health.offered(time.monotonic())
            self._mail.notify()

    def _work(self) -> None:
        scheduling.background()
        try:
            while True:
                with self._mail:
                    self._mail.wait_for(lambda: self._observation is not None or self._closing)
                    if self._closing:
                        return
                    observation, self._observation = self._observation, None
                    self._health.begun(time.monotonic())
                assert observation is not None
                answer = self._infer(observation)
                with self._mail:
                    # The person has said something else meanwhile: this answers the old question.
                    if observation.instruction != self._instruction:
                        self._session.reset()
                        self._health.answered()
                    elif isinstance(answer, str):
                        self._reason = answer
                        self._health.answered_nonsense(answer)
                    else:
                        self._publish(observation, answer)
        except Exception as error:  # ends the process: a policy that cannot infer must not look alive
            self._failed = f"inference failed: {type(error).__name__}: {error}"

    def _infer(self, observation: Observation) -> PolicyOutput | str:
        """The policy's answer, or why it must not go out."""
        try:
            return self._session.infer(observation)
        except OutputError as error:
            self.get_logger().error(str(error), throttle_duration_sec=2.0)
            return str(error)

    def _publish(self, observation: Observation, output: PolicyOutput) -> None:
        delay_s = ros.now_s(self) - observation.stamp_s
        self._session.delivered(delay_s)
        chunks = [
            (publisher, chunk)
            for publisher, chunk in ((self._head, output.head), (self._arms, output.other))
            if chunk is not None
        ]
        horizon_s = min((chunk.end_s - chunk.stamp_s for _, chunk in chunks), default=np.inf)
        if delay_s >= horizon_s:
            self._health.answered_too_late(delay_s, horizon_s)
            return
        messages = [(publisher, ros.chunk_to_msg(chunk)) for publisher, chunk in chunks]
        for publisher, msg in messages:
            publisher.publish(msg)
        self._health.answered()
        self._timing.exposure_to_increments.append(delay_s * 1e3)
        self._timing.model.append(output.timings.model_s * 1e3)
        self._timing.preprocess.append(output.timings.preprocess_s * 1e3)
        self._published += 1
        heat = np.clip(output.grounding * 255, 0, 255).astype(np.uint8)
        self._grounding.publish(ros.image_msg(heat, "mono8", observation.stamp_s, "camera_color_optical_frame"))

    def _publish_diagnostics(self) -> None:
        timing = self._timing
        values: dict[str, object] = {"instruction": self._instruction, "chunks": self._published}
        values["clipped"], values["remembered"] = self._session.clipped, self._session.remembered
        values["invalid"], values["expired"] = self._health.invalid, self._health.expired
        values["provider"] = self._policy.providers[0]
        for name, series in (
            ("model_ms", timing.model),
            ("preprocess_ms", timing.preprocess),
            ("exposure_to_increments_ms", timing.exposure_to_increments),
        ):
            if series:
                values[name] = statistics.median(series)
        inferring = self._published > self._reported
        self._reported = self._published
        self._silent_reports = 0 if inferring or not self._instruction else self._silent_reports + 1
        message = "inferring" if inferring else self._reason
        level = DiagnosticStatus.OK if inferring or not self._instruction else DiagnosticStatus.WARN
        self._diagnostics.publish(ros.diagnostics(self, ros.status("sapave/inference", level, message, values)))
        if self._silent_reports > 1:  # one is the moment between the instruction and the first chunk
            self.get_logger().warning(f"no chunk: {message}", throttle_duration_sec=2.0)

    def failure(self) -> str | None:
        """Why the process must end, if it must."""
        return self._failed

    def close(self) -> None:
        """Ends the worker."""
        with self._mail:
            self._closing = True
            self._mail.notify()
        self._worker.join()


def main() -> int:
    return ros.run("inference", InferenceNode)


if __name__ == "__main__":
    sys.exit(main())
