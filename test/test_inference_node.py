"""The inference node beside a model that takes its time: nobody waits for it, and only what is new is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import g1
from sapave_ros.nodes import inference, ros
from sapave_ros.policy.onnx_policy import PolicyOutput, Timings
from sapave_ros.types import ActionChunk, Observation

pytestmark = pytest.mark.e2e
PATIENCE_S = 10.0


class SlowPolicy:
    """Stands in for the model: keeps what it is asked, answers when it is let."""

    class manifest:
        name, chunk_steps, dt_s, trained_heads = "slow", 4, 0.1, ("head",)

    class tokenizer:
        unknown_words = staticmethod(lambda text: ["xyzzy"] if "xyzzy" in text else [])

    providers = ("CPUExecutionProvider",)

    def __init__(self, *_: object) -> None:
        self.asked: list[Observation] = []
        self.begun = threading.Semaphore(0)
        self.answer = threading.Semaphore(0)
        self.fails = False

    def infer(self, observation: Observation, noise: int = 0, previous: object = None) -> PolicyOutput:
        self.asked.append(observation)
        self.begun.release()
        assert self.answer.acquire(timeout=PATIENCE_S)
        if self.fails:
            raise RuntimeError("the model broke")
        head = ActionChunk(observation.stamp_s, 0.1, g1.HEAD.names, np.zeros((4, 2)))
        return PolicyOutput(head, None, np.zeros((3, 5), np.float32), (), Timings(0.0, 0.0))


@pytest.fixture
def node(ros_domain, monkeypatch) -> Iterator[inference.InferenceNode]:
    monkeypatch.setattr(inference, "OnnxPolicy", SlowPolicy)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = inference.InferenceNode()
    node.sent = []
    monkeypatch.setattr(node._head, "publish", node.sent.append)
    yield node
    for _ in range(10):
        node._policy.answer.release()
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()


def show(node: inference.InferenceNode, value: int) -> None:
    """One exposure with joints around it: a picture whose pixels all have that value."""
    stamp = ros.now_s(node)
    for t in (stamp - 0.01, stamp + 0.001):
        for group in (g1.HEAD, g1.OTHER):
            node._on_joint_states(ros.joint_state_msg(group.names, t, np.zeros(len(group))))
    node._on_color(ros.image_msg(np.full((24, 42, 3), value, np.uint8), "rgb8", stamp, "camera"))
    node._on_depth(ros.image_msg(np.full((24, 42), 1000, np.uint16), "16UC1", stamp, "camera"))
    info = CameraInfo(k=[300.0, 0.0, 21.0, 0.0, 300.0, 12.0, 0.0, 0.0, 1.0])
    info.header.stamp = ros.to_msg_time(stamp)
    node._on_camera_info(info)
    node._due_stamp_s = -np.inf  # each picture is due: the rate is not what is tested here


def begun(node: inference.InferenceNode) -> Observation:
    assert node._policy.begun.acquire(timeout=PATIENCE_S)
    return node._policy.asked[-1]


def sent(node: inference.InferenceNode, count: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while len(node.sent) < count:
        assert time.monotonic() < deadline_s, f"{len(node.sent)} chunks sent; expected {count}"
        time.sleep(0.005)


def test_callbacks_do_not_wait_and_the_newest_picture_is_next(node):
    node._on_instruction(String(data="look at the red mug"))
    show(node, 1)
    assert begun(node).rgb[0, 0, 0] == 1
    for value in range(2, 30):  # the model is still at work: all of these return
        show(node, value)
    node._policy.answer.release()
    assert begun(node).rgb[0, 0, 0] == 29
    assert len(node._policy.asked) == 2, "pictures in between are dropped, not queued"
    node._policy.answer.release()
    sent(node, 2)


def test_an_answer_to_the_old_instruction_is_not_sent(node):
    node._on_instruction(String(data="look at the red mug"))
    show(node, 1)
    begun(node)
    node._on_instruction(String(data="find the blue ball"))
    show(node, 2)
    node._policy.answer.release()
    assert begun(node).instruction == "find the blue ball", "the very next inference has the new instruction"
    node._policy.answer.release()
    sent(node, 1)
    assert len(node.sent) == 1, "the chunk of the old instruction was not sent"


def test_without_an_instruction_nothing_is_inferred(node):
    show(node, 1)
    node._on_instruction(String(data="look at the red mug"))
    node._on_instruction(String(data="  "))
    show(node, 2)
    assert not node._policy.begun.acquire(timeout=0.3)
    assert node.sent == []


def test_a_model_that_breaks_ends_the_process_with_its_reason(node):
    node._on_instruction(String(data="look at the red mug"))
    node._policy.fails = True
    show(node, 1)
    begun(node)
    node._policy.answer.release()
    deadline_s = time.monotonic() + PATIENCE_S
    while node.failure() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    assert "the model broke" in node.failure()
