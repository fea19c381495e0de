"""Publishes what a player says is due, and the time of the bag as ROS time; nothing where the robot's graph is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from sapave_ros import graph
from sapave_ros.bag.player import Player
from sapave_ros.bag.replayed import CLOCK_HZ, Source, watched_topics
from sapave_ros.graph import Qos
from sapave_ros.nodes import alone, ros

CLOCK_BEHIND_NS = 5_000_000
"""Before a message the clock is told anew where it is further behind: nobody gets what is ahead of their time [ns]."""

STATUS_S = 0.2
KEYS_S = 0.05
CONNECT_S, SETTLE_S = 1.0, 3.0
"""How long to wait for those who listen already, at least and at most [s]: they learn of a publisher some tenths of a
second after it has learned of them, and miss what is sent until then."""

STEP_S, FAR_STEP_S, RATE_FACTOR = 5.0, 60.0, 2.0

HELP = "space: pause; left, right: 5 s; up, down: 60 s; + and -: twice and half as fast"

_CLOCK_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_STATUS_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


def nothing_said(sources: Sequence[Source]) -> dict[str, bytes]:
    """What `Player` takes as `kept`: latched topics, each with the message that says nothing: the empty one."""
    latched = [s for s in sources if s.stream.qos is Qos.LATCHED]
    return {s.recorded: bytes(serialize_message(ros.message_type(s.stream)())) for s in latched}


def perishable(sources: Sequence[Source]) -> dict[str, float]:
    """What `Player` takes as `perishable`: what is sent best effort is dropped when it is too old for its readers."""
    found = {s.recorded: s.stream.stale_after_s for s in sources if s.stream.qos in (Qos.SENSOR, Qos.SAMPLES)}
    return {topic: late_s for topic, late_s in found.items() if late_s is not None}


def conversions(sources: Sequence[Source]) -> dict[str, Callable[[bytes], bytes]]:
    """What `Player` takes as `convert`: the policy takes pictures as the camera sends them."""
    return {s.recorded: decompressed for s in sources if s.compressed}


def decompressed(data: bytes) -> bytes:
    """A serialized CompressedImage of a colour picture as a serialized Image, rgb8. Raises ValueError on any other."""
    small = deserialize_message(data, CompressedImage)
    bgr = cv2.imdecode(np.frombuffer(small.data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"format: {small.format!r}, {len(small.data)} bytes; expected a picture that can be decoded")
    picture = ros.image_msg(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), "rgb8", 0.0, small.header.frame_id)
    picture.header.stamp = small.header.stamp
    return bytes(serialize_message(picture))


class ReplayNode(Node):
    """player: of these sources; its life is somebody else's. now_s: the clock on which it plays [s].

    claim: is called before anything is published, and says with a RuntimeError that it must not be. keys: gives names
    of keys pressed (`sapave_ros.keys`). `look` decides when publishers are opened, and after that `step` plays; both
    are called from here once `start` has been called, and by tests otherwise.
    """

    def __init__(
        self,
        player: Player,
        sources: Sequence[Source],
        now_s: Callable[[], float] = time.monotonic,
        keys: Callable[[], list[str]] = list,
        claim: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("replay")
        self._player, self._sources, self._now_s, self._keys = player, sources, now_s, keys
        self._claim = claim
        self._watch = alone.Watch(self, watched_topics(s.stream for s in sources))
        self._publishers_by_topic: dict[str, Any] = {}
        self._clock_publisher: Any = None
        self._told_ns: int | None = None
        self._next_clock_s = -math.inf
        self._since_s = now_s()
        self._failed: str | None = None
        # Between the thread that plays and who pauses or jumps: nothing goes out of the time before a jump after it.
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="replay")

    def start(self) -> None:
        """Goes on by itself: looks who is there, plays, listens to services and keys."""
        # By a clock of its own: ROS time is what this node makes.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(alone.AGAIN_S, self.look, clock=steady)
        self.create_timer(STATUS_S, self._publish_status, clock=steady)
        self.create_timer(KEYS_S, self._on_keys, clock=steady)

    def failure(self) -> str | None:
        """Why it must not go on."""
        return self._failed

    def done(self) -> bool:
        """Whether all has been played."""
        return self._player.ended

    def close(self) -> None:
        """Stops playing, and waits for those who have not yet got what was sent."""
        self._halt()
        if self._failed is None:
            for publisher in self._publishers_by_topic.values():
                publisher.wait_for_all_acked(Duration(seconds=1.0))

    def look(self) -> None:
        """Looks who is there: stops at once where it is not alone, begins when it has been for long enough."""
        own = [s.topic for s in self._sources] + [graph.CLOCK] if self._publishers_by_topic else []
        stranger = self._watch.company(time.monotonic(), own)
        if stranger is not None:
            self._fail(stranger)
        elif self._failed is None and self._clock_publisher is None:
            if self._now_s() - self._since_s >= alone.LOOK_S:
                try:
                    self._claim()
                except RuntimeError as error:
                    return self._fail(str(error))
                self.open()
        elif self._failed is None and not self._thread.is_alive() and not self._stop.is_set():
            waited_s = self._now_s() - self._opened_s
            if waited_s >= SETTLE_S or (waited_s >= CONNECT_S and self._all_connected()):
                print(self._where(self._now_s()), flush=True)
                self._thread.start()

    def open(self) -> None:
        """Opens publishers and services; from now on it is somebody in the graph."""
        self._opened_s = self._now_s()
        for source in self._sources:
            kind, profile = ros.message_type(source.stream), ros.qos(source.stream)
            self._publishers_by_topic[source.recorded] = self.create_publisher(kind, source.topic, profile)
        self._clock_publisher = self.create_publisher(ClockMsg, graph.CLOCK, _CLOCK_QOS)
        self._status = self.create_publisher(DiagnosticStatus, graph.REPLAY_STATUS, _STATUS_QOS)
        self.create_service(Trigger, graph.REPLAY_PAUSE_SERVICE, self._on_pause)
        self.create_service(Trigger, graph.REPLAY_RESUME_SERVICE, self._on_resume)

    def step(self) -> float:
        """Sends all that is due; returns how long there is nothing to do [s]."""
        while not self._stop.is_set():
            with self._lock:
                now_s = self._now_s()
                message = self._player.next(now_s)
                self._tell_time(now_s, urgent=message is not None)
                if message is None:
                    due_s = self._player.due_in_s(now_s)
                    return max(0.0, min(due_s, self._next_clock_s - now_s))
                self._publishers_by_topic[message.topic].publish(bytes(message.data))
        return 0.0

    def pause(self) -> str:
        """Returns where it stands."""
        with self._lock:
            self._player.pause(self._now_s())
        return self._say()

    def resume(self) -> str:
        """Returns where it goes on."""
        with self._lock:
            self._player.resume(self._now_s())
        return self._say()

    def seek(self, by_s: float) -> str:
        """Goes back (negative) or forward by that much of the bag's time [s]; returns where to."""
        with self._lock:
            now_s = self._now_s()
            self._player.seek(self._player.at_ns(now_s) + round(by_s * 1e9), now_s)
        return self._say()

    def set_rate(self, rate: float) -> str:
        """Returns the rate at which it goes on: the nearest that there is."""
        with self._lock:
            self._player.set_rate(rate, self._now_s())
        return self._say()

    def _all_connected(self) -> bool:
        return self._player.wait_ready(0.0) and all(
            publisher.get_subscription_count() >= self.count_subscribers(publisher.topic_name)
            for publisher in self._publishers_by_topic.values()
        )

    def _play(self) -> None:
        try:
            while not self._stop.is_set():
                self._stop.wait(self.step())
        except Exception as error:  # handed to the main thread, which ends the process with it
            self._failed = f"replaying failed: {error or repr(error)}"

    def _halt(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _fail(self, reason: str) -> None:
        self._failed = self._failed or reason
        self._halt()

    def _tell_time(self, now_s: float, urgent: bool) -> None:
        """Says what time it is in the bag: as often as `CLOCK_HZ`, and before a message that is ahead of it."""
        at_ns = self._player.clock_ns(now_s)
        moved_ns = math.inf if self._told_ns is None else at_ns - self._told_ns
        jumped_back = moved_ns < 0
        if now_s >= self._next_clock_s or jumped_back or (urgent and moved_ns > CLOCK_BEHIND_NS):
            msg = ClockMsg()
            msg.clock.sec, msg.clock.nanosec = divmod(at_ns, 1_000_000_000)
            self._clock_publisher.publish(msg)
            self._told_ns = at_ns
            self._next_clock_s = now_s + 1.0 / CLOCK_HZ

    def _publish_status(self) -> None:
        if self._clock_publisher is not None and self._failed is None:
            self._status.publish(self.status())

    def status(self) -> DiagnosticStatus:
        """Where the replay is, as a message."""
        with self._lock:
            player, now_s = self._player, self._now_s()
            values = {
                "time_ns": player.clock_ns(now_s),
                "position_s": f"{player.at_s(now_s):.3f}",
                "length_s": f"{(player.end_ns - player.first_ns) * 1e-9:.3f}",
                "rate": player.rate,
                "paused": str(player.paused).lower(),
                "loops": player.loops,
                "sent": sum(t.sent for t in player.tallies.values()),
                "late": sum(t.late for t in player.tallies.values()),
                "dropped": sum(t.dropped for t in player.tallies.values()),
            }
            return ros.status("sapave/replay", DiagnosticStatus.OK, self._where(now_s), values)

    def _where(self, now_s: float) -> str:
        player = self._player
        doing = "paused" if player.paused else "ended" if player.ended else "playing"
        end_s = (player.end_ns - player.first_ns) * 1e-9
        return f"{doing} at {player.at_s(now_s):.1f} of {end_s:.1f} s, rate {player.rate:g}"

    def _say(self) -> str:
        text = self._where(self._now_s())
        print(text, flush=True)
        self._publish_status()
        return text

    def _on_pause(self, _: Any, response: Any) -> Any:
        response.success, response.message = True, self.pause()
        return response

    def _on_resume(self, _: Any, response: Any) -> Any:
        response.success, response.message = True, self.resume()
        return response

    def _on_keys(self) -> None:
        if self._clock_publisher is None:
            return
        for key in self._keys():
            if key == "space":
                self.resume() if self._player.paused else self.pause()
            elif key in _STEPS_S:
                self.seek(_STEPS_S[key])
            elif key in _FACTORS:
                self.set_rate(self._player.rate * _FACTORS[key])


_STEPS_S = {"left": -STEP_S, "right": STEP_S, "down": -FAR_STEP_S, "up": FAR_STEP_S}
_FACTORS = {"+": RATE_FACTOR, "=": RATE_FACTOR, "-": 1.0 / RATE_FACTOR}
