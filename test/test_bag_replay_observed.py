"""What our own code makes of a bag's time: it goes back by a jump, and pictures are seen as they were before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rclpy
from bag_room import Room
from bag_samples import BEGIN_NS, PERIOD_NS
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from test_inference_node import SlowPolicy

from sapave_ros import g1, graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.player import Player
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.writer import BagWriter
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.nodes import inference, ros
from sapave_ros.nodes.record import bag_topics
from sapave_ros.policy.manifest import SHIPPED
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.share import share_path
from sapave_ros.types import ActionChunk, Observation

PATIENCE_S = 30.0
TELL = "look at the red mug"
FREE = WriterParameters(keep_free_mb=0.0)


def exposure(i: int) -> list[tuple[str, int, bytes]]:
    """The i-th picture with depth and intrinsics and the joints before and after it, 30 a second."""
    stamp_s = BEGIN_NS * 1e-9 + i / 30.0
    info = CameraInfo(k=[300.0, 0.0, 3.0, 0.0, 300.0, 2.0, 0.0, 0.0, 1.0])
    info.header.stamp = ros.to_msg_time(stamp_s)
    messages = [
        (graph.COLOR, stamp_s, ros.image_msg(np.full((4, 6, 3), i, np.uint8), "rgb8", stamp_s, "optical")),
        (graph.DEPTH, stamp_s, ros.image_msg(np.full((4, 6), 1000, np.uint16), "16UC1", stamp_s, "optical")),
        (graph.CAMERA_INFO, stamp_s, info),
    ]
    for group in (g1.HEAD, g1.OTHER):
        for t in (stamp_s - 0.01, stamp_s + 0.01):
            position = np.full(len(group), (t - BEGIN_NS * 1e-9) * 0.1)
            messages.append((graph.JOINT_STATES, t, ros.joint_state_msg(group.names, t, position)))
    messages.sort(key=lambda m: m[1])
    return [(topic, round(t * 1e9) + 2_000_000, bytes(serialize_message(m))) for topic, t, m in messages]


def exposures(number: int) -> list[tuple[str, int, bytes]]:
    return sorted((s for i in range(number) for s in exposure(i)), key=lambda s: s[1])


PICTURED = (graph.COLOR, graph.DEPTH, graph.CAMERA_INFO, graph.JOINT_STATES)


def observed(builder: ObservationBuilder, player: Player, to_s: float, now_s: float = 0.0) -> dict[float, Observation]:
    """What the builder makes of what is played until then, by stamp; it lives in the bag's time, as a node would."""
    found = {}
    while now_s < to_s - 1e-9:
        now_s = min(now_s + 1.0 / 120.0, to_s)
        assert player.wait_ready(PATIENCE_S)
        while (message := player.next(now_s)) is not None:
            msg = deserialize_message(message.data, ros.message_type(graph.stream(message.topic)))
            stamp_s = ros.stamp_s(msg.header.stamp)
            if message.topic == graph.JOINT_STATES:
                builder.joints.add(msg.name, stamp_s, np.asarray(msg.position))
            elif message.topic == graph.CAMERA_INFO:
                builder.add_intrinsics(stamp_s, np.asarray(msg.k).reshape(3, 3))
            else:
                add = builder.add_color if message.topic == graph.COLOR else builder.add_depth
                add(stamp_s, ros.image_array(msg))
            observation = builder.take(player.clock_ns(now_s) * 1e-9, TELL)
            if isinstance(observation, Observation):
                found[observation.stamp_s] = observation
    return found


def told(folder: Path) -> Bag:
    """A bag of 100 exposures and an instruction before them."""
    topics = [graph.stream(t) for t in (*PICTURED, graph.INSTRUCTION)]
    writer = BagWriter(folder, bag_topics(topics, compress=False), FREE)
    writer.write(graph.INSTRUCTION, BEGIN_NS - PERIOD_NS, bytes(serialize_message(String(data=TELL))))
    for s in exposures(100):
        writer.write(*s)
    writer.close()
    return Bag(folder)


@pytest.mark.parametrize("back_s", [0.1, 0.9, 1.5, 2.9])
def test_an_observation_after_a_jump_back_is_what_it_was_before_it(tmp_path, back_s):
    """Time goes back by a jump or a loop: at most the pictures that were being collected then are lost by it."""
    bag = told(tmp_path / "bag")
    builder = ObservationBuilder(lambda head: np.diag([*head, 1.0, 1.0]))
    with closing(Player(bag, topics=PICTURED)) as player:
        before = observed(builder, player, 3.0)
        assert len(before) >= 85
        player.seek(player.at_ns(3.0) - round(back_s * 1e9), 3.0)
        after = observed(builder, player, 3.0 + back_s, 3.0)
    expected = [t for t in before if t > BEGIN_NS * 1e-9 + 3.0 - back_s]
    assert len(set(expected) - set(after)) <= 9
    assert back_s < 0.5 or after
    for stamp_s in set(before) & set(after):
        np.testing.assert_array_equal(before[stamp_s].rgb, after[stamp_s].rgb)
        np.testing.assert_allclose(before[stamp_s].joint_positions, after[stamp_s].joint_positions, atol=1e-9)


@pytest.fixture
def sim_time(ros_domain) -> Iterator[None]:
    rclpy.init(args=["--ros-args", "-p", "use_sim_time:=true"], signal_handler_options=SignalHandlerOptions.NO)
    yield
    rclpy.try_shutdown()


class Answers:
    """A bag replayed to an inference node. chunks: what it has answered."""

    def __init__(self, bag: Bag) -> None:
        self.chunks: list[ActionChunk] = []
        self.node = inference.InferenceNode()
        self._asked = self._answered = 0
        self._infer, self.node._infer = self.node._infer, self._on_asked
        self.node._head.publish = self._on_chunk
        self.room = Room(bag)
        self.room.executor.add_node(self.node)
        publishers = self.room.begin()
        self.room.wait(lambda: all(p.get_subscription_count() > 1 for p in publishers), "inference does not listen")

    def _on_asked(self, observation: Observation):
        self._asked += 1
        return self._infer(observation)

    def _on_chunk(self, msg) -> None:
        self.chunks.append(ros.chunk_from_msg(msg))
        self._answered += 1

    def _idle(self) -> bool:
        return self.node._observation is None and self._asked == self._answered

    def play(self, for_s: float) -> list[float]:
        """Plays so much of the bag's time, which waits for the model; the answers' stamps after the beginning [s]."""
        self.chunks.clear()
        end_s = self.room.now_s + for_s
        while self.room.now_s < end_s:
            self.room.play_to(self.room.now_s + 0.01, 0.01)
            for _ in range(8):
                self.room.executor.spin_once(timeout_sec=0.001)
            self.room.wait(self._idle, "the model does not answer")
        return [c.stamp_s - BEGIN_NS * 1e-9 for c in self.chunks]

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.room.executor.remove_node(self.node)
        self.room.close()
        self.node.close()
        self.node.destroy_node()


class PromptPolicy(SlowPolicy):
    """Answers at once."""

    def infer(self, *args, **kwargs):
        self.answer.release()
        return super().infer(*args, **kwargs)


@pytest.mark.e2e
def test_inference_answers_the_pictures_of_a_bag_in_its_time_and_goes_on_after_a_jump(sim_time, monkeypatch, tmp_path):
    monkeypatch.setattr(inference, "OnnxPolicy", PromptPolicy)
    with Answers(told(tmp_path / "bag")) as answers:
        before = answers.play(2.0)
        assert 10 <= len(before) <= 16, "7.5 a second, by the time of the bag"
        assert before == sorted(before) and before[0] >= 0.0 and 1.5 < before[-1] <= 2.0
        answers.room.node.seek(-1.5)
        again = answers.play(1.0)
        new = [s for s in again if s < 1.6]
        assert len(again) - len(new) <= 1, "an answer that was on its way"
        assert 4 <= len(new) <= 9 and min(new) > 0.5


@pytest.mark.e2e
def test_the_shipped_model_answers_a_replayed_bag_as_it_answers_the_bag_itself(sim_time, tmp_path):
    bag = told(tmp_path / "bag")
    kinematics = Kinematics.from_urdf()
    with closing(Player(bag, topics=PICTURED)) as player:
        seen = observed(ObservationBuilder(kinematics.camera_in_torso), player, 2.0)
    by_stamp = {round(stamp_s * 1e6): observation for stamp_s, observation in seen.items()}
    with Answers(bag) as answers:
        answers.play(1.0)
        chunks = list(answers.chunks)
    assert len(chunks) >= 5
    session = PolicySession(OnnxPolicy(share_path(SHIPPED)), SessionParameters())
    for chunk in chunks:
        expected = session.infer(by_stamp[round(chunk.stamp_s * 1e6)]).head
        np.testing.assert_allclose(chunk.increments, expected.increments, atol=1e-6)
        assert np.abs(chunk.increments).max() > 1e-4, "it does something"
