"""A ROS domain into which a bag is replayed, on a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Callable

import rclpy
from bag_samples import PERIOD_NS
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from sapave_ros import graph
from sapave_ros.bag.player import Player, PlayParameters
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.replayed import replayed_sources
from sapave_ros.nodes import alone, ros
from sapave_ros.nodes.replay import ReplayNode, nothing_said, perishable

PATIENCE_S = 30.0


class Room:
    """A ROS context with a node that hears what is replayed, and a replay on a clock that the test moves."""

    def __init__(self, bag: Bag, **parameters) -> None:
        self.now_s = 0.0
        self.heard: list[tuple[str, bytes]] = []
        self.times: list[int] = []
        self.said: list[str] = []
        self.executor = ros.make_executor()
        self.nodes: list[Node] = []
        self.listener = self.join("listener")
        sources = replayed_sources(bag)
        for source in sources:
            stream = source.stream
            profile = QoSProfile(depth=100, reliability=ros.qos(stream).reliability)
            self.listener.create_subscription(
                ros.message_type(stream), source.topic, self._hearer(stream.topic), profile, raw=True
            )
        self.listener.create_subscription(Clock, graph.CLOCK, self._on_clock, QoSProfile(depth=1000))
        self.player = Player(
            bag,
            PlayParameters(**parameters),
            [s.recorded for s in sources],
            nothing_said(sources),
            perishable(sources),
            self.said.append,
        )
        assert self.player.wait_ready(PATIENCE_S)
        self.node = ReplayNode(self.player, sources, now_s=lambda: self.now_s)
        self.nodes.append(self.node)
        self.executor.add_node(self.node)

    def _hearer(self, topic: str) -> Callable[[bytes], None]:
        return lambda data: self.heard.append((topic, data))

    def _on_clock(self, msg: Clock) -> None:
        self.times.append(msg.clock.sec * 1_000_000_000 + msg.clock.nanosec)

    def join(self, name: str) -> Node:
        """One node more in the domain."""
        node = rclpy.create_node(name)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def leave(self, node: Node) -> None:
        self.executor.remove_node(node)
        self.nodes.remove(node)
        node.destroy_node()

    def wait(self, done: Callable[[], bool], what: str = "") -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, what
            self.executor.spin_once(timeout_sec=0.02)

    def begin(self) -> list:
        """Opens the replay, and waits until the listener hears it; returns its publishers."""
        self.node.look()
        self.now_s += alone.LOOK_S
        self.node.look()
        assert self.node.failure() is None
        publishers = list(self.node._publishers_by_topic.values()) + [self.node._clock_publisher]
        self.wait(lambda: all(p.get_subscription_count() for p in publishers), "nobody is connected")
        self.now_s = 0.0
        self.node.step()
        return publishers

    def play_to(self, at_s: float, step_s: float = PERIOD_NS * 1e-9 / 2) -> None:
        """Moves the clock there by steps; of what is reliable everything that was sent has been heard then."""
        reliable = [
            t for t in self.player.tallies if ros.qos(graph.stream(t)).reliability == ReliabilityPolicy.RELIABLE
        ]
        while self.now_s < at_s - 1e-9 and not self.player.ended:
            self.now_s = min(self.now_s + step_s, at_s)
            assert self.player.wait_ready(PATIENCE_S)
            self.node.step()
            self.wait(lambda: all(self.count(t) >= self.player.tallies[t].sent for t in reliable), "lost")

    def count(self, topic: str) -> int:
        return sum(t == topic for t, _ in self.heard)

    def data(self, topic: str) -> list[bytes]:
        return [d for t, d in self.heard if t == topic]

    def close(self) -> None:
        self.node.close()
        self.player.close()
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
