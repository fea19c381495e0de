"""Is the robot's graph in this ROS domain? Asked before a bag is replayed, and all the while.

As a process it stands guard for players that do not ask themselves: it says `alone` once it has looked long enough, and
ends with code 1 as soon as it is not.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Collection, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from sapave_ros import graph
from sapave_ros.bag.replayed import ALONE, Present, company, watched_topics
from sapave_ros.claims import claim
from sapave_ros.nodes import ros
from sapave_ros.plan import ros_domain_of_environment

LOOK_S = 2.0
"""How long to look before nobody is there: who is there is found in a fraction of it, unless the machine is busy."""

AGAIN_S = 0.2

NAMELESS, NAMELESS_S = "_NODE_NAME_UNKNOWN_", 0.5
"""How ROS calls a node of which nothing but a publisher is known yet, and how long it may be so [s]."""

_CLAIMED: list[socket.socket] = []
"""Held for as long as this process lives."""


def claim_domain() -> None:
    """Keeps the graph from being started in this ROS domain on this computer. Raises ClaimedError where it has been."""
    _CLAIMED.append(claim("ros_domain", ros_domain_of_environment(), patience_s=0.0))


class Watch:
    """Looks around for a node. topics: whose publishers count. besides: name of a node that may be there."""

    def __init__(self, node: Node, topics: Sequence[str], besides: str = "") -> None:
        self._node, self._topics, self._besides = node, topics, besides
        self._nameless_s: float | None = None

    def company(self, now_s: float, own: Collection[str] = ()) -> str | None:
        """Why nothing may be replayed at now_s [s], None where nothing speaks against it.

        own: topics on which the node itself publishes.
        """
        me = _full(self._node.get_name(), self._node.get_namespace())
        nodes = [_full(name, space) for name, space in self._node.get_node_names_and_namespaces()]
        publishers: dict[str, list[str]] = {}
        for topic in self._topics:
            infos = self._node.get_publishers_info_by_topic(topic)
            names = [_full(i.node_name, i.node_namespace) for i in infos]
            if topic in own and me in names:
                names.remove(me)  # once: a second one of that name is somebody else
            publishers[topic] = [name for name in names if not self._besides or name != f"/{self._besides}"]
        # A publisher may be heard of a moment before its node. Whoever stays nameless is a stranger too.
        if not any(NAMELESS in name for names in publishers.values() for name in names):
            self._nameless_s = None
        elif self._nameless_s is None:
            self._nameless_s = now_s
        if self._nameless_s is not None and now_s - self._nameless_s < NAMELESS_S:
            publishers = {topic: [n for n in names if NAMELESS not in n] for topic, names in publishers.items()}
        return company(Present(nodes, publishers))


def _full(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


class AloneNode(Node):
    """besides: name of the node that replays. LOOK_S after it is made it prints `alone: alone`."""

    def __init__(self, topics: Sequence[str], besides: str) -> None:
        super().__init__("alone")
        self._watch = Watch(self, topics, besides)
        self._since_s, self._said, self._failed = time.monotonic(), False, ""
        # By a clock of its own: nobody knows what time the bag will say it is.
        self.create_timer(AGAIN_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def failure(self) -> str | None:
        """Who is there."""
        return self._failed or None

    def close(self) -> None:
        """Nothing to put in order."""

    def _look(self) -> None:
        self._failed = self._failed or self._watch.company(time.monotonic()) or ""
        if not self._failed and not self._said and time.monotonic() - self._since_s >= LOOK_S:
            try:
                claim_domain()
            except RuntimeError as error:
                self._failed = str(error)
                return
            self._said = True
            print(f"{self.get_name()}: {ALONE}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--besides", default="", metavar="NODE", help="name of the node that replays")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="of the graph's streams, those that are replayed")
    args = parser.parse_args()
    streams = [graph.stream(topic) for topic in args.topics]
    return ros.run("alone", lambda: AloneNode(watched_topics(streams), args.besides), argv=[])


if __name__ == "__main__":
    sys.exit(main())
