"""What every node needs of ROS: QoS from the table, parameters from dataclasses, messages to types and back."""

from __future__ import annotations

import array
import math
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Protocol, TypeVar, get_type_hints

import numpy as np
import rclpy
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState, Joy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sapave_ros import scheduling
from sapave_ros.core.faults import Fault, described
from sapave_ros.core.health import Report
from sapave_ros.core.remote import Remote
from sapave_ros.graph import READY, Qos, Stream
from sapave_ros.parameters import ParameterError, check, expected
from sapave_ros.types import ActionChunk, Floats, Grip, Mode, Permit, Source, Takeover

T = TypeVar("T")

_QOS = {
    Qos.SENSOR: QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT),
    Qos.SAMPLES: QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT),
    Qos.COMMAND: QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
    Qos.EVENT: QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE),
    Qos.LATCHED: QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
    ),
}


def qos(stream: Stream) -> QoSProfile:
    """The rclpy profile of a stream of the table."""
    return _QOS[stream.qos]


def message_type(stream: Stream) -> Any:
    """The message class of a stream of the table."""
    import importlib

    package, name = stream.type.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def deserialized(stream: Stream, data: bytes) -> Any:
    """The message of a stream of the table from what came over the wire."""
    return deserialize_message(data, message_type(stream))


def stamp_of_serialized_s(data: bytes) -> float:
    """The stamp [s] of a serialized message that begins with a header, without the cost of reading all of it."""
    order = "<" if data[1] else ">"  # CDR: the second byte of four says how numbers are written
    sec, nanosec = struct.unpack_from(f"{order}iI", data, 4)
    return float(sec + nanosec * 1e-9)


def publisher(node: Node, stream: Stream) -> Any:
    """A publisher on a stream of the table, with its type and QoS."""
    return node.create_publisher(message_type(stream), stream.topic, qos(stream))


def profiles(stream: Stream) -> list[QoSProfile]:
    """The QoS that a subscriber of a stream asks for, one subscription each.

    Where anyone may publish, also to those who offer less than the stream's QoS, which ROS would not connect:
    what `ros2 topic pub` or a driver sends by default is volatile or best effort. A message may then be heard
    more than once.
    """
    if "*" not in stream.publishers:
        return [qos(stream)]
    less = (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
    return [qos(stream), *(QoSProfile(depth=10, reliability=reliability) for reliability in less)]


def subscribe(node: Node, stream: Stream, callback: Callable[[Any], None]) -> None:
    """Subscriptions to a stream of the table, with its type and `profiles`: a message may come more than once."""
    for profile in profiles(stream):
        node.create_subscription(message_type(stream), stream.topic, callback, profile)


def parameters(node: Node, kind: type[T]) -> T:
    """Declare the fields of a dataclass (see `sapave_ros.parameters`) as ROS parameters and read them.

    Raises ParameterError naming the field, the value and what was expected.
    """
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for spec in fields(kind):  # type: ignore[arg-type]
        descriptor = ParameterDescriptor(description=spec.metadata["doc"], read_only=True, dynamic_typing=True)
        default = (
            spec.default_factory() if spec.default is MISSING and spec.default_factory is not MISSING else spec.default
        )
        value = node.declare_parameter(spec.name, None if default is MISSING else default, descriptor).value
        if value is None:
            continue
        wanted = hints[spec.name]
        value = list(value) if isinstance(value, array.array) else value
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        elif wanted in (int, float, str, bool) and type(value) is not wanted:
            raise ParameterError(f"parameter {spec.name}: {value!r}; expected {expected(spec)}")
        values[spec.name] = value
    try:
        result = kind(**values)
    except TypeError as error:
        raise ParameterError(f"a required parameter of {node.get_name()} is not set: {error}") from None
    check(result)
    return result


def now_s(node: Node) -> float:
    """ROS time [s]."""
    return node.get_clock().now().nanoseconds * 1e-9


def stamp_s(stamp: Time) -> float:
    """A message's stamp as ROS time [s]."""
    return stamp.sec + stamp.nanosec * 1e-9


def to_msg_time(seconds: float) -> Time:
    """ROS time [s] as a message's stamp, rounded to the microsecond (a double holds no more of an epoch)."""
    microseconds = round(seconds * 1e6)
    return Time(sec=microseconds // 1_000_000, nanosec=microseconds % 1_000_000 * 1000)


def to_msg_duration(seconds: float) -> Duration:
    """A length of time [s] as a message field."""
    nanoseconds = round(seconds * 1e9)
    return Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def chunk_to_msg(chunk: ActionChunk) -> JointTrajectory:
    """An action chunk on the wire: point i carries the increments of step i and ends at (i + 1) * dt."""
    msg = JointTrajectory(joint_names=list(chunk.joint_names))
    msg.header.stamp = to_msg_time(chunk.stamp_s)
    msg.points = [
        JointTrajectoryPoint(positions=row.tolist(), time_from_start=to_msg_duration((i + 1) * chunk.dt_s))
        for i, row in enumerate(np.asarray(chunk.increments, dtype=np.float64))
    ]
    return msg


def chunk_from_msg(msg: JointTrajectory) -> ActionChunk:
    """The chunk of a message. Raises ValueError naming the field where points or times do not form a chunk."""
    if not msg.points:
        raise ValueError("points: empty; expected one point per step")
    n = len(msg.joint_names)
    for i, point in enumerate(msg.points):
        if len(point.positions) != n:
            raise ValueError(
                f"points[{i}].positions: {len(point.positions)} values; expected one for each of {n} joint_names"
            )
    ends = np.array([p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in msg.points])
    dt = float(ends[0])
    if dt <= 0 or np.abs(ends - dt * np.arange(1, len(ends) + 1)).max() > 1e-3:
        raise ValueError(f"points[].time_from_start: {ends.tolist()} s; expected (i + 1) * dt with one positive dt")
    increments = np.array([p.positions for p in msg.points], dtype=np.float64).reshape(len(ends), n)
    return ActionChunk(stamp_s(msg.header.stamp), dt, tuple(msg.joint_names), increments)


_LEVELS = {"ACTIVE": DiagnosticStatus.OK, "TELEOP": DiagnosticStatus.OK, "ESTOP": DiagnosticStatus.ERROR}


def permit_to_msg(permit: Permit) -> DiagnosticStatus:
    """The permit on the wire: level for people, values for controllers."""
    return status(
        "sapave/permit",
        _LEVELS.get(permit.state, DiagnosticStatus.WARN),
        f"{permit.state}: {permit.reason}",
        {
            "sequence": permit.sequence,
            "state": permit.state,
            "reason": permit.reason,
            "mode_head": permit.mode_head.value,
            "mode_arms": permit.mode_arms.value,
            "source_head": permit.source_head.value,
            "source_arms": permit.source_arms.value,
            "sent_s": f"{permit.sent_s:.6f}",  # as text: four digits of a clock tell nothing
        },
    )


def permit_from_msg(msg: DiagnosticStatus, received_s: float) -> Permit:
    """The permit of a message. A mode that is missing or unknown is HOLD: what is not understood moves nothing."""
    values = {v.key: v.value for v in msg.values}
    return Permit(
        received_s,
        max(-1, _number(int, values.get("sequence"), -1)),
        values.get("state", "unknown"),
        values.get("reason", msg.message),
        _member(Mode, values.get("mode_head"), Mode.HOLD),
        _member(Mode, values.get("mode_arms"), Mode.HOLD),
        _member(Source, values.get("source_head"), Source.POLICY),
        _member(Source, values.get("source_arms"), Source.POLICY),
        _number(float, values.get("sent_s"), math.nan),
    )


def takeover_to_msg(takeover: Takeover) -> DiagnosticStatus:
    """What the teleop node says of the person, on the wire."""
    values = {"head": takeover.head.value, "arms": takeover.arms.value, "stop": str(takeover.stop).lower()}
    return status("sapave/takeover", DiagnosticStatus.OK, ", ".join(f"{k}: {v}" for k, v in values.items()), values)


def takeover_from_msg(msg: DiagnosticStatus, received_s: float) -> Takeover:
    """The takeover of a message. A grip that is missing or unknown stands; a stop that is not clearly up is down."""
    values = {v.key: v.value for v in msg.values}
    return Takeover(
        received_s,
        _member(Grip, values.get("head"), Grip.HOLD),
        _member(Grip, values.get("arms"), Grip.HOLD),
        values.get("stop") != "false",
    )


_HELD = "held"


def report_to_msg(report: Report) -> DiagnosticStatus:
    """A node's findings on the wire: fault names to details, and `held`."""
    level = DiagnosticStatus.WARN if report.findings else DiagnosticStatus.OK
    values: dict[str, object] = {fault.name: detail for fault, detail in report.findings.items()}
    values[_HELD] = str(report.held).lower()
    return status(report.node, level, described(report.findings) or "all is well", values)


def report_from_msg(msg: DiagnosticStatus) -> Report:
    """The report of a message; what is no fault of this version is kept by name."""
    values = {v.key: v.value for v in msg.values}
    held = values.pop(_HELD, "true") != "false"
    known = {Fault[name]: detail for name, detail in values.items() if name in Fault.__members__}
    return Report(msg.name, known, held, tuple(name for name in values if name not in Fault.__members__))


def _member(kind: type[T], value: str | None, otherwise: T) -> T:
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        return otherwise


def _number(kind: type[T], text: str | None, otherwise: T) -> T:
    try:
        return kind(text)  # type: ignore[call-arg]
    except (TypeError, ValueError):
        return otherwise


def joint_state_msg(
    names: Iterable[str], stamp: float, positions: Floats, velocities: Floats | None = None
) -> JointState:
    """A JointState stamped with ROS time `stamp` [s]; positions [rad] and velocities [rad/s], (n,)."""
    msg = JointState(name=list(names), position=positions.tolist())
    if velocities is not None:
        msg.velocity = velocities.tolist()
    msg.header.stamp = to_msg_time(stamp)
    return msg


def joy_msg(remote: Remote, stamp: float) -> Joy:
    """The Unitree remote as a joystick, in the order of `remote.AXES` and `remote.BUTTONS`."""
    msg = Joy(axes=list(remote.axes), buttons=[int(b) for b in remote.buttons])
    msg.header.stamp = to_msg_time(stamp)
    return msg


def image_msg(image: np.ndarray, encoding: str, stamp: float, frame_id: str) -> Image:
    """An (H, W) or (H, W, 3) array as an Image."""
    msg = Image(height=image.shape[0], width=image.shape[1], encoding=encoding, is_bigendian=0)
    msg.step = image.strides[0] if image.flags.c_contiguous else image.shape[1] * image[0, 0].nbytes
    data = array.array("B")  # any other type makes rclpy convert the picture byte by byte
    data.frombytes(np.ascontiguousarray(image).data.cast("B"))
    msg.data = data
    msg.header.stamp = to_msg_time(stamp)
    msg.header.frame_id = frame_id
    return msg


def image_array(msg: Image) -> np.ndarray:
    """The pixels of an rgb8, mono8 or 16UC1 Image without a copy. Raises ValueError naming the field."""
    kinds = {"rgb8": (np.uint8, 3), "mono8": (np.uint8, 1), "16UC1": (np.uint16, 1)}
    if msg.encoding not in kinds:
        raise ValueError(f"encoding: {msg.encoding!r}; expected one of {', '.join(kinds)}")
    dtype, channels = kinds[msg.encoding]
    row = msg.width * channels * np.dtype(dtype).itemsize
    if msg.step != row or len(msg.data) != row * msg.height:
        raise ValueError(
            f"data: {len(msg.data)} bytes with step {msg.step}; expected {row * msg.height} with step {row}"
        )
    pixels = np.frombuffer(msg.data, dtype=dtype)
    return pixels.reshape((msg.height, msg.width, 3) if channels == 3 else (msg.height, msg.width))


def status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """One DiagnosticStatus; values are shown as text, floats with four digits."""
    items = [KeyValue(key=k, value=f"{v:.4g}" if isinstance(v, float) else str(v)) for k, v in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=items)


def diagnostics(node: Node, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """What goes on /diagnostics."""
    msg = DiagnosticArray(status=list(statuses))
    msg.header.stamp = node.get_clock().now().to_msg()
    return msg


class SapaveNode(Protocol):
    """What `run` asks of a node: rclpy's Node, plus `close` that leaves its device in order."""

    def close(self) -> None: ...


class Loop:
    """A control loop in a thread of its own, on an absolute schedule of the monotonic clock.

    period_s: time between ticks. tick: called with the monotonic time at which it woke [s]. An exception
    in a tick ends the loop and, through `failed`, the process: a controller that limps is worse than none.
    After an overrun the schedule starts anew instead of catching up in a burst.
    """

    def __init__(self, period_s: float, tick: Callable[[float], None], name: str) -> None:
        self.failed: BaseException | None = None
        self._period_s = period_s
        self._tick = tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop and waits for its last tick."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        next_s = time.monotonic()
        try:
            while not self._stop.is_set():
                self._tick(time.monotonic())
                next_s += self._period_s
                wait_s = next_s - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                else:
                    next_s = time.monotonic()
        except BaseException as error:  # handed to the main thread, which ends the process with it
            self.failed = error


def run(name: str, make_node: Callable[[], Any], argv: list[str] | None = None, control: bool = False) -> int:
    """The life of a node's process: set up, say ready, spin until SIGINT or SIGTERM, close in order.

    control: it moves joints or watches over those who do, and asks for the real-time class.

    A set-up error (a parameter, a device, a file) is one line on stderr and exit code 2. A node may carry
    `failure() -> str | None`: a reason to end the process with code 1, and `done() -> bool`: it has done what it was
    there for, code 0; both are asked ten times a second.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if control:  # before any thread is started: threads inherit it
        scheduling.realtime()
    rclpy.init(args=argv if argv is not None else sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    node = executor = None
    try:
        try:
            node = make_node()
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            print(f"{name}: error: {error}", file=sys.stderr, flush=True)
            return 2
        executor = make_executor()
        executor.add_node(node)
        print(f"{name}: {READY}", flush=True)
        failure = getattr(node, "failure", lambda: None)
        done = getattr(node, "done", lambda: False)
        while not stop.is_set() and not done():
            executor.spin_once(timeout_sec=0.1)
            reason = failure()
            if reason:
                print(f"{name}: error: {reason}", file=sys.stderr, flush=True)
                return 1
        return 0
    finally:
        if executor is not None:  # what it still holds would stay in the graph after its context
            executor.shutdown()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def make_executor() -> Any:
    """The cheapest executor that this ROS has."""
    try:  # a third of the CPU of the wait-set executor; not in Humble
        from rclpy.experimental import EventsExecutor

        return EventsExecutor()
    except ImportError:
        from rclpy.executors import SingleThreadedExecutor

        return SingleThreadedExecutor()
