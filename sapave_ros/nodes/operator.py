"""The person's side of the graph: say, arm, disarm, stop. The command line and the demo use it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from sapave_ros import g1, graph
from sapave_ros.nodes import ros
from sapave_ros.types import ActionChunk

ASK_AGAIN_S = 2.0
"""After so long without an answer a service is asked again [s]."""

HEARD_S = 0.3
"""By then a server has heard of a new client [s], on all but a very busy computer."""

ONCE = frozenset({graph.ARM_SERVICE, *graph.EPISODE_SERVICES.values()})
"""What is not asked for again."""

DONE = {graph.ARM_SERVICE: ("ACTIVE",), graph.DISARM_SERVICE: ("STANDBY",), graph.RESET_SERVICE: ("STANDBY",)}
"""States that show that a service has done what it was asked."""


class OperatorError(RuntimeError):
    """The graph did not answer, or refused. The message says what was asked and what came back."""


class Operator(Node):
    """One person at the graph. Create it between `rclpy.init` and `rclpy.shutdown`, or use `session`.

    state, reason: of the newest permit.
    """

    def __init__(self) -> None:
        super().__init__("operator")
        self._instruction = ros.publisher(self, graph.stream(graph.INSTRUCTION))
        self._estop = ros.publisher(self, graph.stream(graph.ESTOP))
        self.state, self.reason = "unknown", ""
        self._clients_by_service: dict[str, Any] = {}
        ros.subscribe(self, graph.stream(graph.PERMIT), self._on_permit)
        self._spinner = ros.make_executor()
        self._spinner.add_node(self)

    def _on_permit(self, msg: Any) -> None:
        permit = ros.permit_from_msg(msg, time.monotonic())
        self.state, self.reason = permit.state, permit.reason

    def close(self) -> None:
        """Leaves the graph. What the executor still holds would live on in it: a latched instruction, for one."""
        self._spinner.remove_node(self)
        self._spinner.shutdown()
        self.destroy_node()

    def wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Spins until `done` or until the time is over; says which."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline_s:
                return False
            self._spinner.spin_once(timeout_sec=0.05)
        return True

    def say(self, instruction: str, timeout_s: float = 5.0) -> None:
        """Gives an instruction, empty = nothing to do. Raises OperatorError if no inference node hears it."""
        self._send(self._instruction, lambda: String(data=instruction), graph.INSTRUCTION, "inference", timeout_s)

    def stop_now(self, timeout_s: float = 2.0) -> None:
        """Emergency stop. Raises OperatorError if no watchdog hears it."""
        self._send(self._estop, lambda: Bool(data=True), graph.ESTOP, "watchdog", timeout_s)

    def release_stop(self, timeout_s: float = 2.0) -> None:
        """Lets go of the emergency stop; the graph stays stopped until it is reset."""
        self._send(self._estop, lambda: Bool(data=False), graph.ESTOP, "watchdog", timeout_s)

    def arm(self, timeout_s: float = 10.0) -> str:
        """Gives permission to move, once every part has reported; returns the answer. Raises OperatorError."""
        self.wait(lambda: self.state not in ("unknown", "STARTING"), timeout_s)
        return self.call(graph.ARM_SERVICE, timeout_s)

    def move(self, increments: Mapping[str, float], speed_rad_s: float = 0.4, timeout_s: float = 5.0) -> float:
        """Sends one chunk by hand: joint name to the angle to move by [rad]. Returns how long it takes [s].

        All joints move together, the furthest at speed_rad_s. The graph must be ACTIVE; the limits and the gate
        are those of every chunk. Raises ValueError on a joint that no controller has, on a mix of head and arm
        joints and on an angle that is not finite.
        """
        topics = {
            **dict.fromkeys(g1.HEAD.names, (graph.HEAD_INCREMENTS, "head")),
            **dict.fromkeys(g1.OTHER.names, (graph.ARM_INCREMENTS, "arm")),
        }
        unknown = [name for name in increments if name not in topics]
        if unknown or not increments:
            raise ValueError(f"joint {', '.join(unknown) or '(none)'}; expected of {', '.join(topics)}")
        targets = {topics[name] for name in increments}
        if len(targets) > 1:
            raise ValueError("joints of the head and of the arms in one chunk; expected one controller's joints")
        angles = np.array(list(increments.values()))
        if not np.isfinite(angles).all():
            raise ValueError(f"increments {angles.tolist()} rad; expected finite angles")
        dt_s = 0.1
        steps = max(1, int(np.ceil(np.abs(angles).max() / speed_rad_s / dt_s)))
        topic, node = targets.pop()
        publisher = ros.publisher(self, graph.stream(topic))
        chunk = ActionChunk(0.0, dt_s, tuple(increments), np.tile(angles / steps, (steps, 1)))

        def message() -> Any:  # stamped when it is sent: its increments begin at what is commanded then
            return ros.chunk_to_msg(dataclasses.replace(chunk, stamp_s=ros.now_s(self)))

        self._send(publisher, message, topic, node, timeout_s)
        return steps * dt_s

    def call(self, service: str, timeout_s: float = 5.0) -> str:
        """Calls one of `graph.SERVICES`; returns its message. Raises OperatorError if refused or unanswered.

        An answer is lost where the server has not yet heard of this client (Fast DDS gives up on it after a moment),
        and a person who disarms must not be left without one. So it is asked again. Permission to move is not, which
        is asked for once, nor an episode, which may take a while to end; so they are asked for a little later, when the
        server has heard. What was carried out of the rest shows in the state, whether the answer came or not.
        """
        if service not in self._clients_by_service:
            self._clients_by_service[service] = self.create_client(Trigger, service)
        client, state = self._clients_by_service[service], self.state
        if not self.wait(client.service_is_ready, timeout_s):
            raise OperatorError(f"{service}: nobody serves it; is the graph up, in this ROS_DOMAIN_ID?")
        if service in ONCE:
            self.wait(lambda: False, HEARD_S)
        deadline_s = time.monotonic() + timeout_s
        asked = 0
        while (left_s := deadline_s - time.monotonic()) > 0.0:
            future, asked = client.call_async(Trigger.Request()), asked + 1
            if not self.wait(future.done, left_s if service in ONCE else min(left_s, ASK_AGAIN_S)):
                continue
            answer = future.result()
            if answer.success:
                return str(answer.message)
            if asked > 1 and self.state != state:  # it was carried out when it was asked before
                break
            raise OperatorError(f"{service}: refused: {answer.message}")
        if self.state in DONE.get(service, ()) and self.state != state:
            return f"{self.state}: {self.reason}"
        raise OperatorError(f"{service}: no answer within {timeout_s:g} s")

    def _send(self, publisher: Any, message: Callable[[], Any], topic: str, node: str, timeout_s: float) -> None:
        def heard() -> bool:
            return any(s.node_name == node for s in self.get_subscriptions_info_by_topic(topic))

        if not self.wait(lambda: heard() and publisher.get_subscription_count() > 0, timeout_s):
            raise OperatorError(f"{topic}: the node {node!r} does not listen; is the graph up, in this ROS_DOMAIN_ID?")
        publisher.publish(message())
        publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=timeout_s))


class session:
    """`with session() as operator:` for one-shot commands."""

    def __enter__(self) -> Operator:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._operator = Operator()
        return self._operator

    def __exit__(self, *_: object) -> None:
        self._operator.close()
        rclpy.try_shutdown()
