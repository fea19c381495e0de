"""Recordings of a robot that moves as a formula says, for tests of data sets: small pictures, all a policy sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header, String

from sapave_ros import g1, graph
from sapave_ros.bag import definitions
from sapave_ros.bag.metadata import Topic
from sapave_ros.bag.writer import Attachment, BagWriter
from sapave_ros.nodes import ros
from sapave_ros.nodes.record import COMPRESSED, compressed
from sapave_ros.types import Mode, Permit, Source

START_S = 1_800_000_000.0
SECONDS = 3.0
WIDTH, HEIGHT = 64, 48
K = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
INSTRUCTION = "look at the red mug"
LAG_S = 0.04
MODEL_SHA256 = "ab" * 32

Said = list[tuple[float, str, object]]
"""(received [s], topic, message)"""

_FREQUENCIES = 0.5 + 0.05 * np.arange(len(g1.POLICY))
_MIDDLE = (g1.POLICY.lower + g1.POLICY.upper) / 2


def commanded(time_s: float | np.ndarray) -> np.ndarray:
    """Positions (..., 28) [rad] that the robot is sent to."""
    return _MIDDLE + 0.1 * np.sin(np.multiply.outer(np.asarray(time_s) - START_S, _FREQUENCIES))


def measured(time_s: float | np.ndarray) -> np.ndarray:
    """It follows 0.04 s later."""
    return commanded(np.asarray(time_s) - 0.04)


def picture(time_s: float) -> np.ndarray:
    """Its brightness tells when it was taken, to 4 ms modulo 1 s."""
    return np.full((HEIGHT, WIDTH, 3), round((time_s - START_S) % 1.0 * 250), np.uint8)


def depth_mm(time_s: float) -> np.ndarray:
    """Rows of all kinds of depth, large ones too; different in every picture."""
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint32) * 10 + round((time_s - START_S) * 1000)
    return (values % 32_768).astype(np.uint16).reshape(HEIGHT, WIDTH)


def recording(
    seconds: float = SECONDS,
    instruction: str = INSTRUCTION,
    source: Source = Source.POLICY,
    mode_arms: Mode = Mode.MOVE,
) -> Said:
    """All that a robot says from START_S on: 30 pictures and 50 joint states a second, permitted all the time."""
    said: Said = [(START_S, graph.INSTRUCTION, String(data=instruction))]
    for i in range(round(seconds * 50) + 1):
        now_s = round(START_S + i / 50, 6)
        permit = Permit(now_s, i, "ACTIVE", "", Mode.MOVE, mode_arms, source, source)
        said.append((now_s, graph.PERMIT, ros.permit_to_msg(permit)))
        heads = len(g1.HEAD)
        for topic, position in ((graph.HEAD_COMMAND, commanded), (graph.JOINT_STATES, measured)):
            said.append((now_s, topic, ros.joint_state_msg(g1.HEAD.names, now_s, position(now_s)[:heads])))
        for topic, position in ((graph.ARM_COMMAND, commanded), (graph.JOINT_STATES, measured)):
            if topic == graph.JOINT_STATES or mode_arms is Mode.MOVE:
                said.append((now_s, topic, ros.joint_state_msg(g1.OTHER.names, now_s, position(now_s)[heads:])))
    for i in range(round(seconds * 30) + 1):
        now_s = round(START_S + i / 30, 6)
        info = CameraInfo(k=K.ravel().tolist(), width=WIDTH, height=HEIGHT)
        info.header.stamp = ros.to_msg_time(now_s)
        said.append((now_s + LAG_S, graph.COLOR, ros.image_msg(picture(now_s), "rgb8", now_s, "")))
        said.append((now_s + LAG_S, graph.DEPTH, ros.image_msg(depth_mm(now_s), "16UC1", now_s, "")))
        said.append((now_s + LAG_S, graph.CAMERA_INFO, info))
    return sorted(said, key=lambda entry: entry[0])


def without(said: Said, gone: Callable[[float, str], bool]) -> Said:
    """Less the messages of which that is true; the time is from START_S."""
    return [(t, topic, m) for t, topic, m in said if not gone(t - START_S, topic)]


def later(said: Said, by_s: float) -> Said:
    """The same, said later."""
    moved: Said = []
    for t, topic, message in said:
        copied = copy(message)
        if hasattr(message, "header"):
            stamp = ros.to_msg_time(ros.stamp_s(message.header.stamp) + by_s)
            copied.header = Header(stamp=stamp, frame_id=message.header.frame_id)
        moved.append((t + by_s, topic, copied))
    return moved


def write(folder: Path, said: Said, verdict: str | None = None, attached: dict[str, bytes] | None = None) -> Path:
    """A bag of that; verdict: marked as an episode that went so."""
    topics = []
    for name in dict.fromkeys(topic for _, topic, _ in said):
        kind = COMPRESSED if name.endswith("/compressed") else graph.stream(name).type
        topics.append(Topic(name, kind, definitions.definition(kind), definitions.type_hash(kind)))
    bag = BagWriter(folder, topics)
    for received_s, topic, message in said:
        data = bytes(serialize_message(message))
        bag.write(topic, round(received_s * 1e9), compressed(data) if topic.endswith("/compressed") else data)
    files = {"model.json": json.dumps({"sha256": MODEL_SHA256}).encode(), **(attached or {})}
    if verdict is not None:
        span = {"began_ns": round(said[0][0] * 1e9), "ended_ns": round(said[-1][0] * 1e9)}
        files["episode.json"] = json.dumps({"verdict": verdict, **span}).encode()
    for name, data in files.items():
        bag.attach(Attachment(name, "application/json", data, 0))
    bag.close()
    return folder
