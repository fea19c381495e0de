"""The inference node beside a model that takes its time: nobody waits for it, and only what is new is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from sapave_ros import g1, graph
from sapave_ros.core.faults import Fault
from sapave_ros.nodes import inference, ros
from sapave_ros.policy.onnx_policy import PolicyOutput, Timings
from sapave_ros.types import ActionChunk, Observation

pytestmark = pytest.mark.e2e
PATIENCE_S = 10.0


LASTS_S = 60.0
"""How long a chunk lasts [s]: no busy machine makes it late."""


class SlowPolicy:
    """Stands in for the model: keeps what it is asked, answers when it is let."""

    class manifest:
        name, chunk_steps, dt_s, trained_heads = "slow", 4, LASTS_S / 4, ("head",)
        bound_rad = staticmethod(lambda head: np.array([0.1, 0.1]))

    class tokenizer:
        unknown_words = staticmethod(lambda text: ["xyzzy"] if "xyzzy" in text else [])

    providers = ("CPUExecutionProvider",)

    def __init__(self, *_: object) -> None:
        self.asked: list[Observation] = []
        self.warm_up = lambda: None
        self.begun = threading.Semaphore(0)
        self.answer = threading.Semaphore(0)
        self.fails = False
        self.increments = np.zeros((4, 2))
        self.grounding = np.zeros((3, 5), np.float32)

    def infer(self, observation: Observation, noise: int | None = None, previous: object = None) -> PolicyOutput:
        self.asked.append(observation)
        self.begun.release()
        assert self.answer.acquire(timeout=PATIENCE_S)
        if self.fails:
            raise RuntimeError("the model broke")
        head = ActionChunk(observation.stamp_s, LASTS_S / len(self.increments), g1.HEAD.names, self.increments)
        return PolicyOutput(head, None, self.grounding, (), Timings(0.0, 0.0))


@pytest.fixture
def node(request, ros_domain, monkeypatch) -> Iterator[inference.InferenceNode]:
    """Indirect parameters: what follows `--ros-args`."""
    monkeypatch.setattr(inference, "OnnxPolicy", SlowPolicy)
    given = getattr(request, "param", [])
    rclpy.init(args=["--ros-args", *given] if given else None, signal_handler_options=SignalHandlerOptions.NO)
    node = inference.InferenceNode()
    node.sent = []
    monkeypatch.setattr(node._head, "publish", node.sent.append)
    node.reports = []
    monkeypatch.setattr(node._reporter._publisher, "publish", lambda msg: node.reports.append(ros.report_from_msg(msg)))
    yield node
    for _ in range(10):
        node._policy.answer.release()
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()


def show(node: inference.InferenceNode, value: int, due: bool = True) -> None:
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
    if due:  # the rate is not what is tested here
        node._due_stamp_s = -np.inf


def begun(node: inference.InferenceNode) -> Observation:
    assert node._policy.begun.acquire(timeout=PATIENCE_S)
    return node._policy.asked[-1]


def comes(what: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def sent(node: inference.InferenceNode, count: int) -> None:
    assert comes(lambda: len(node.sent) >= count), f"{len(node.sent)} chunks sent; expected {count}"


def reported(node: inference.InferenceNode) -> dict[Fault, str]:
    """The findings of a report that is made now, in the main thread as the node's timer does."""
    node._reporter._look()
    return node.reports[-1].findings


def answers(node: inference.InferenceNode, increments: np.ndarray) -> None:
    """One more exposure, and the policy's answer to it."""
    node._policy.increments = increments
    show(node, 1)
    begun(node)
    node._policy.answer.release()


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


def test_who_joins_later_is_told_what_is_followed(node):
    """A recording that begins after `sapave say` has ended knows it from here."""
    node._on_instruction(String(data=" look at the red mug "))
    listener, heard, executor = rclpy.create_node("late"), [], ros.make_executor()
    ros.subscribe(listener, graph.stream(graph.FOLLOWED), lambda msg: heard.append(msg.data))
    executor.add_node(listener)

    def hears(text: str) -> bool:
        return comes(lambda: executor.spin_once(timeout_sec=0.02) or heard[-1:] == [text])

    assert hears("look at the red mug")
    node._on_instruction(String(data="look at the red mug"))  # nothing new
    node._on_instruction(String(data=""))
    assert hears("") and heard == ["look at the red mug", ""]
    executor.shutdown()
    listener.destroy_node()


def test_what_is_followed_is_said_before_any_answer_to_it(node, monkeypatch):
    said = []
    monkeypatch.setattr(node._followed, "publish", lambda msg: said.append((msg.data, len(node.sent))))
    for i, text in enumerate(("look at the red mug", "look at the blue ball")):
        node._on_instruction(String(data=text))
        show(node, i)
        begun(node)
        node._policy.answer.release()
        sent(node, i + 1)
    assert said == [("look at the red mug", 0), ("look at the blue ball", 1)]


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
    assert comes(lambda: node.failure() is not None)
    assert "the model broke" in node.failure()


GOOD = np.full((4, 2), 0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0, 1e300])
def test_nonsense_is_not_sent_but_reported_until_there_is_sense_again(node, value):
    node._on_instruction(String(data="look at the red mug"))
    answers(node, GOOD)
    sent(node, 1)
    assert reported(node) == {}

    bad = GOOD.copy()
    bad[2, 1] = value
    answers(node, bad)
    assert comes(lambda: Fault.POLICY_INVALID in reported(node))
    assert "head_pitch_joint" in reported(node)[Fault.POLICY_INVALID] or "head[2, 1]" in node._reason
    assert len(node.sent) == 1
    assert node.failure() is None, "one bad answer ends nothing"

    answers(node, GOOD)
    sent(node, 2)
    assert comes(lambda: reported(node) == {})
    for msg in node.sent:
        assert np.array_equal([p.positions for p in msg.points], GOOD)


def test_nonsense_about_the_old_instruction_is_past_with_it(node):
    node._on_instruction(String(data="look at the red mug"))
    answers(node, np.full((4, 2), np.nan))
    assert comes(lambda: Fault.POLICY_INVALID in reported(node))
    node._on_instruction(String(data=""))
    assert reported(node) == {}


def test_what_overshoots_the_training_a_little_is_clipped_and_counted(node):
    node._on_instruction(String(data="look at the red mug"))
    answers(node, np.array([[0.1, -0.1], [0.106, 0.0], [0.0, -0.3], [0.0, 0.0]]))
    sent(node, 1)
    points = np.array([p.positions for p in node.sent[0].points])
    assert np.abs(points).max() <= 0.1
    assert np.allclose(points, [[0.1, -0.1], [0.1, 0.0], [0.0, -0.1], [0.0, 0.0]], atol=1e-6)
    assert node._session.clipped == 1


@pytest.mark.parametrize(
    ("node", "remembers"), [([], True), (["-p", "gaze_memory:=false"], False)], indirect=["node"], ids=["on", "off"]
)
def test_gaze_memory_turns_the_head_unless_it_is_off(node, remembers):
    """The policy sees the thing in the right of the picture, surely, and would turn to the left."""
    node._on_instruction(String(data="look at the red mug"))
    node._policy.grounding[1, 4] = 0.99
    own = np.full((1200, 2), 0.001)  # as long as ever, in steps that a turn can be followed in
    answers(node, own)
    sent(node, 1)
    yaw = np.array([p.positions[0] for p in node.sent[0].points])
    assert (yaw.sum() < 0.0) if remembers else np.array_equal(yaw, own[:, 0])
    assert node._session.remembered == int(remembers)


def test_an_answer_whose_motion_is_past_is_not_sent(node, monkeypatch):
    node._on_instruction(String(data="look at the red mug"))
    show(node, 1)
    begun(node)
    late_s = ros.now_s(node) + LASTS_S
    monkeypatch.setattr(ros, "now_s", lambda _: late_s)
    node._policy.answer.release()
    assert comes(lambda: Fault.POLICY_SLOW in reported(node))
    assert node.sent == []


def test_a_policy_that_hangs_is_reported_from_the_main_thread(node, monkeypatch):
    """It hung, and its node, alive as could be, said nothing."""
    node._on_instruction(String(data="look at the red mug"))
    show(node, 1)
    begun(node)
    assert reported(node) == {}
    later_s = time.monotonic() + 1.5
    with monkeypatch.context() as clock:
        clock.setattr(inference.time, "monotonic", lambda: later_s)
        assert "thinking" in reported(node)[Fault.POLICY_SLOW]
    node._policy.answer.release()
    sent(node, 1)
    assert comes(lambda: reported(node) == {})


def test_inference_goes_on_after_the_clock_was_set_back(node, monkeypatch):
    """The next exposure stayed due an hour ahead: nothing was inferred any more."""
    node._on_instruction(String(data="look at the red mug"))
    answers(node, GOOD)
    sent(node, 1)
    now_s = ros.now_s
    monkeypatch.setattr(ros, "now_s", lambda n: now_s(n) - 3600.0)
    for value in range(2, 12):  # pictures of the time before, which now lie ahead, leave with those that come
        show(node, value, due=False)
    begun(node)


def test_a_malformed_message_is_dropped_and_said(node):
    node._on_instruction(String(data="look at the red mug"))
    picture = ros.image_msg(np.zeros((24, 42, 3), np.uint8), "rgb8", ros.now_s(node), "camera")
    picture.encoding = "bgr8"
    node._on_color(picture)
    assert "bgr8" in node._reason
    node._on_joint_states(ros.joint_state_msg(g1.HEAD.names, ros.now_s(node), np.array([np.nan, 0.0])))
    assert "nan" in node._reason
    answers(node, GOOD)
    sent(node, 1)


@pytest.mark.parametrize("ahead_s", [0.1, 1.0, 3600.0])
def test_what_is_stamped_ahead_of_time_is_not_kept_for_then(node, monkeypatch, ahead_s):
    """Joints stamped a second ahead were taken, a second later, for where the joints were then."""
    node._on_instruction(String(data="look at the red mug"))
    real_now_s, now_s = ros.now_s, ros.now_s(node)
    monkeypatch.setattr(ros, "now_s", lambda _: now_s)
    for i in range(10):
        stamp = now_s + ahead_s + 0.01 * i
        node._on_joint_states(ros.joint_state_msg(g1.HEAD.names, stamp, np.full(2, 0.3)))
        node._on_color(ros.image_msg(np.full((24, 42, 3), 9, np.uint8), "rgb8", stamp, "camera"))
        assert "ahead of now" in node._reason
    monkeypatch.setattr(ros, "now_s", real_now_s)
    answers(node, GOOD)
    sent(node, 1)
    monkeypatch.setattr(ros, "now_s", lambda n: real_now_s(n) + ahead_s)
    answers(node, GOOD)
    sent(node, 2)
    for observation in node._policy.asked:
        assert np.all(observation.joint_positions == 0.0)
        assert observation.rgb[0, 0, 0] == 1
