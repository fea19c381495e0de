"""Messages for tests of bags: real ones, serialized as ROS does."""

from __future__ import annotations

from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sapave_ros import graph
from sapave_ros.bag.writer import BagWriter
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import bag_topics

TOPICS = (graph.JOINT_STATES, graph.INSTRUCTION, graph.PERMIT)
STREAMS = [graph.stream(t) for t in TOPICS]
BEGIN_NS = 1_800_000_000_000_000_000
PERIOD_NS = 20_000_000


def sample(i: int) -> tuple[str, int, bytes]:
    """The i-th of a recording: topic, stamp [ns], serialized message. Every tenth is an instruction."""
    stamp_ns = BEGIN_NS + i * PERIOD_NS
    if i % 10 == 5:
        return graph.INSTRUCTION, stamp_ns, bytes(serialize_message(String(data=f"look at cup {i}")))
    if i % 2:
        permit = ros.status("sapave/permit", b"\x00", f"ACTIVE: tick {i}", {"sequence": i})
        return graph.PERMIT, stamp_ns, bytes(serialize_message(permit))
    # All filled: behind empty fields rclpy's serialize_message, other than what goes over the wire, has bytes too many.
    state = JointState(name=["head_yaw", "head_pitch"], position=[0.01 * i, -0.01 * i], velocity=[0.1, 0.2])
    state.effort = [1.0, 2.0]
    state.header.stamp = ros.to_msg_time(stamp_ns * 1e-9)
    return graph.JOINT_STATES, stamp_ns, bytes(serialize_message(state))


def fill(writer: BagWriter, number: int) -> list[tuple[str, int, bytes]]:
    """Writes that many samples; returns them."""
    samples = [sample(i) for i in range(number)]
    for s in samples:
        writer.write(*s)
    return samples


def topics():
    return bag_topics(STREAMS, compress=False)
