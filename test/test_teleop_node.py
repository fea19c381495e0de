"""The teleop process on the real clock: joystick, permits and commands in; takeover, increments and health out."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Joy

from sapave_ros import g1, graph
from sapave_ros.bench.rehearsal import FakePad
from sapave_ros.core.faults import Fault
from sapave_ros.core.pads import REMOTE, Pad, load
from sapave_ros.nodes import ros
from sapave_ros.types import Grip, Mode, Permit, Source

pytestmark = pytest.mark.e2e

WAIT_S = 20.0
GROUPS = {graph.HEAD_COMMAND: g1.HEAD, graph.ARM_COMMAND: g1.OTHER}


def until(what: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + WAIT_S
    while not what():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.005)
    return True


class World(Node):
    """All that the node hears, 50 times a second: permits, commands, and the joystick where there is one."""

    def __init__(self) -> None:
        super().__init__("world")
        self.fakes: dict[str, FakePad] = {}
        self.state, self.sequence = "ACTIVE", 0
        self.heard: dict[str, list] = {t: [] for t in (graph.TAKEOVER, graph.HEALTH, graph.TELEOP_HEAD_INCREMENTS,
                                                       graph.TELEOP_ARM_INCREMENTS, graph.DIAGNOSTICS)}  # fmt: skip
        self._out = {t: ros.publisher(self, graph.stream(t)) for t in (graph.PERMIT, *GROUPS, graph.JOY, graph.REMOTE)}
        for topic, messages in self.heard.items():
            ros.subscribe(self, graph.stream(topic), messages.append)
        self.create_timer(0.02, self._tick)

    def _tick(self) -> None:
        self.sequence += 1
        now_s = time.monotonic()
        permit = Permit(now_s, self.sequence, self.state, "", Mode.MOVE, Mode.MOVE, Source.TELEOP, Source.TELEOP, now_s)
        self._out[graph.PERMIT].publish(ros.permit_to_msg(permit))
        for topic, group in GROUPS.items():
            home = {**g1.HEAD_HOME, **g1.ARMS_HOME}
            q = np.array([home.get(j.name, (j.lower + j.upper) / 2) for j in group.joints])
            self._out[topic].publish(ros.joint_state_msg(group.names, ros.now_s(self), q))
        for topic, fake in list(self.fakes.items()):
            axes, buttons = fake.message()
            msg = Joy(axes=axes, buttons=buttons)
            msg.header.stamp = ros.to_msg_time(ros.now_s(self))
            self._out[topic].publish(msg)

    def grips(self) -> tuple[Grip, Grip]:
        if not self.heard[graph.TAKEOVER]:
            return Grip.NONE, Grip.NONE
        takeover = ros.takeover_from_msg(self.heard[graph.TAKEOVER][-1], 0.0)
        return takeover.head, takeover.arms

    def finds(self, fault: Fault) -> bool:
        return bool(self.heard[graph.HEALTH]) and fault in ros.report_from_msg(self.heard[graph.HEALTH][-1]).findings

    def plug_in(self, topic: str, pad: Pad) -> FakePad:
        """A joystick at rest, once the node has heard it."""
        fake = self.fakes[topic] = FakePad(pad)
        self.heard[graph.DIAGNOSTICS].clear()
        wanted = {("pad", pad.name), ("joystick", "well"), ("deadman", "False")}
        assert until(lambda: any(wanted <= self._said(msg) for msg in self.heard[graph.DIAGNOSTICS]))
        return fake

    @staticmethod
    def _said(msg) -> set[tuple[str, str]]:
        return {(v.key, v.value) for v in msg.status[0].values}


@pytest.fixture
def world(ros_domain) -> Iterator[World]:
    rclpy.init()
    node, executor = World(), SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    rclpy.shutdown()
    thread.join()
    node.destroy_node()


@pytest.fixture
def teleop(world) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", graph.process("teleop").module, "--ros-args", "-p", "pad:=xbox"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"teleop: {graph.READY}"
        assert until(lambda: bool(world.heard[graph.TAKEOVER]) and bool(world.heard[graph.HEALTH]))
        yield process
    finally:
        process.terminate()
        assert process.wait(10) == 0


def press(fake: FakePad, button: str, done: Callable[[], bool]) -> None:
    """Holds the deadman, then the button, as a person does until it shows: on a busy computer a permit comes late."""

    def pressed() -> bool:
        for do in ({}, {"deadman": 1.0}, {"deadman": 1.0, button: 1.0}, {"deadman": 1.0}):
            fake.do = do
            time.sleep(0.15)
        end_s = time.monotonic() + 1.0
        while not done() and time.monotonic() < end_s:
            time.sleep(0.01)
        return done()

    assert until(pressed)


def test_taken_moved_held_lost_and_taken_again(world, teleop) -> None:
    joystick = world.plug_in(graph.JOY, load("xbox"))
    assert until(lambda: world.grips() == (Grip.NONE, Grip.NONE))
    press(joystick, "take_arms", lambda: world.grips() == (Grip.NONE, Grip.MOVE))
    chunks = world.heard[graph.TELEOP_ARM_INCREMENTS]
    assert until(lambda: bool(chunks))
    assert not world.heard[graph.TELEOP_HEAD_INCREMENTS]
    assert not ros.chunk_from_msg(chunks[-1]).increments.any()

    def pushed() -> bool:
        """A stick pushed anew: a permit that came late, on a busy computer, asks for it to be let go once."""
        joystick.do = {"deadman": 1.0}
        time.sleep(0.1)
        chunks.clear()
        joystick.do = {"deadman": 1.0, "forward": 1.0}
        time.sleep(0.2)
        return any(ros.chunk_from_msg(c).increments.any() for c in chunks)

    assert until(pushed)
    chunk = next(c for c in map(ros.chunk_from_msg, chunks) if c.increments.any())
    assert chunk.joint_names == g1.OTHER.names
    assert not chunk.increments[:, 7:].any()  # the left hand along
    assert abs(ros.now_s(world) - chunk.stamp_s) < 1.0

    joystick.do = {"forward": 1.0}
    assert until(lambda: world.grips() == (Grip.NONE, Grip.HOLD))
    count = len(chunks)
    assert until(lambda: len(world.heard[graph.TAKEOVER]) > 3)
    assert len(chunks) == count
    assert not world.finds(Fault.JOYSTICK_LOST)

    del world.fakes[graph.JOY]
    assert until(lambda: world.finds(Fault.JOYSTICK_LOST))
    assert world.grips() == (Grip.NONE, Grip.HOLD)
    world.state = "HOLD"  # what the watchdog makes of it
    assert until(lambda: world.grips() == (Grip.NONE, Grip.NONE) and not world.finds(Fault.JOYSTICK_LOST))
    world.state = "ACTIVE"
    joystick = world.plug_in(graph.JOY, load("xbox"))
    press(joystick, "take_head", lambda: world.grips() == (Grip.MOVE, Grip.NONE))
    assert until(lambda: bool(world.heard[graph.TELEOP_HEAD_INCREMENTS]))


def test_the_remote_serves_until_a_joystick_is_heard(world, teleop) -> None:
    remote = world.plug_in(graph.REMOTE, load(REMOTE))
    press(remote, "take_head", lambda: world.grips() == (Grip.MOVE, Grip.NONE))
    joystick = world.plug_in(graph.JOY, load("xbox"))
    assert until(lambda: world.grips() == (Grip.HOLD, Grip.NONE))  # its deadman is not held
    press(joystick, "take_head", lambda: world.grips() == (Grip.NONE, Grip.NONE))
    remote.do = {"deadman": 1.0, "take_arms": 1.0}
    joystick.do = {"stop": 1.0}
    assert until(lambda: ros.takeover_from_msg(world.heard[graph.TAKEOVER][-1], 0.0).stop)
    assert world.grips() == (Grip.NONE, Grip.NONE)


def test_a_pad_that_there_is_not_ends_the_start_with_its_name(ros_domain) -> None:
    command = [sys.executable, "-m", graph.process("teleop").module, "--ros-args", "-p", "pad:=wheel"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "teleop: error: pad 'wheel'; expected one of 'game_controller'" in done.stderr
