"""Buttons for the recorder: what they ask for, and that they do nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import pytest
import rclpy
import yaml
from bag_samples import topics
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Joy

from sapave_ros import graph
from sapave_ros.bag.episodes import Episodes
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.recorder import Recorder
from sapave_ros.bag.writer import BagWriter
from sapave_ros.core import episode_buttons, pads
from sapave_ros.core.episode_buttons import AGAIN_AFTER_S, JOY_STALE_AFTER_S, EpisodeButtons
from sapave_ros.nodes import record, ros
from sapave_ros.nodes.record import RecordNode
from sapave_ros.parameters import ParameterError
from sapave_ros.share import share_path

ENTRIES = yaml.safe_load(share_path("config/teleop.yaml").read_text())["pads"]
PADS = {name: pads.load(name) for name in ENTRIES}
WITH_BUTTONS = [name for name, pad in PADS.items() if pad.recording]
START, STOP = graph.EPISODE_START_SERVICE, graph.EPISODE_STOP_SERVICE
ENDS = {
    "success": graph.EPISODE_SUCCESS_SERVICE,
    "failure": graph.EPISODE_FAILURE_SERVICE,
    "discard": graph.EPISODE_DISCARD_SERVICE,
}
PERIOD_S = 0.05
AXES, BUTTONS = 8, 22
functions = st.sets(st.sampled_from(pads.STICKS + pads.TRIGGERS + pads.BUTTONS))
asks = st.sets(st.sampled_from(pads.RECORDING))


def message(pad: pads.Pad, pressed: Iterable[str]) -> tuple[list[float], list[int]]:
    """Axes and buttons of a pad with these at their ends, and the rest let go."""
    places = {**pad.places, **pad.recording}
    axes, buttons = [0.0] * AXES, [0] * BUTTONS
    for place in places.values():
        if place.axis is not None:
            axes[place.axis] = place.rest
    for function in pressed:
        place = places.get(function)
        if place is not None and place.axis is not None:
            axes[place.axis] = place.full
        elif place is not None:
            buttons[place.plus] = 1
    return axes, buttons


class Person:
    """Somebody at a pad of joy_node, which repeats itself; each press and each release is a message."""

    def __init__(self, pad: str = "xbox") -> None:
        self.pad, self.buttons = PADS[pad], EpisodeButtons()
        self.now_s, self.recording = 100.0, False
        self.hold()

    def hold(self, *pressed: str) -> str | None:
        self.now_s += PERIOD_S
        at = message(self.pad, pressed)
        return self.buttons.hear(self.pad, *at, self.now_s, self.now_s, recording=self.recording)

    def wait(self, seconds: float, *pressed: str) -> list[str | None]:
        """The pad repeats itself meanwhile."""
        return [self.hold(*pressed) for _ in range(math.ceil(seconds / PERIOD_S))]

    def press(self, *pressed: str, held: tuple[str, ...] = ()) -> str | None:
        self.wait(AGAIN_AFTER_S + PERIOD_S, *held)
        return self.hold(*held, *pressed)


def test_every_pad_but_the_remote_has_all_of_them():
    assert set(PADS) - set(WITH_BUTTONS) == {pads.REMOTE}
    for name in WITH_BUTTONS:
        assert PADS[name].recording.keys() == set(pads.RECORDING)


@pytest.mark.parametrize("name", PADS)
@given(moving=functions, asked=asks)
@settings(deadline=None, max_examples=60)
def test_what_moves_the_robot_sees_nothing_of_them(name, moving, asked):
    """The law of this file: pressed or not, teleop reads the same; and they read the same whatever is moved."""
    pad = PADS[name]
    moving, asked = moving & pad.places.keys(), asked & pad.recording.keys()
    if {"joint_next", "joint_previous"} <= moving:  # two ends of one axis
        moving.discard("joint_next")
    if {"success", "failure"} <= asked:
        asked.discard("failure")
    both = message(pad, moving | asked)
    assert pad.read(*both) == pad.read(*message(pad, moving))
    assert pad.asked(*both) == asked


def test_a_pad_without_these_buttons_still_moves_the_robot():
    """What moves must not ask for more of a message because a recorder might."""
    pad = PADS["xbox"]
    n_axes, n_buttons = pad.needs
    axes, buttons = message(pad, {"deadman"})
    assert "deadman" in pad.read(axes[:n_axes], buttons[:n_buttons]).pressed
    assert pad.asked(axes[:n_axes], buttons[:n_buttons]) == frozenset()


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf])
def test_a_message_of_nonsense_asks_for_nothing(nonsense):
    axes, buttons = message(PADS["xbox"], {"success", "episode"})
    assert PADS["xbox"].asked([nonsense, *axes[1:]], buttons) == frozenset()
    assert PADS["xbox"].asked([*axes[:7], nonsense], buttons) == frozenset()


@pytest.mark.parametrize("name", WITH_BUTTONS)
@pytest.mark.parametrize("held", [(), ("deadman",), ("deadman", "forward", "fast")])
def test_each_asks_for_its_own_with_or_without_the_deadman(name, held):
    person = Person(name)
    assert person.press("episode", held=held) == START
    person.recording = True
    assert person.press("episode", held=held) == STOP
    assert person.press("success", held=held) == ENDS["success"]
    assert person.press("failure", held=held) == ENDS["failure"]
    assert person.press("discard", held=held) == (None if "deadman" in held else ENDS["discard"])


@given(button=st.sampled_from(pads.RECORDING), held_s=st.floats(0.1, 5.0))
@settings(deadline=None, max_examples=30)
def test_a_button_that_is_held_asks_once(button, held_s):
    person = Person()
    assert person.press(button) is not None
    assert set(person.wait(held_s, button)) == {None}


def test_two_at_once_ask_for_nothing():
    person = Person()
    assert person.press("success", "episode") is None
    assert person.press("episode", held=("success",)) == START


def test_what_is_down_when_the_joystick_comes_or_comes_back_was_not_pressed():
    person = Person()
    person.buttons = EpisodeButtons()
    assert person.hold("episode") is None and set(person.wait(1.0, "episode")) == {None}
    assert person.press("episode") == START
    person.wait(1.0)
    person.now_s += JOY_STALE_AFTER_S + 0.1
    assert person.hold("episode") is None
    person.wait(1.0)
    assert person.press("episode") == START


def test_a_press_counts_though_the_recorder_was_busy():
    person = Person()
    person.wait(1.0)
    at = message(person.pad, ("episode",))
    stamp_s, late_s = person.now_s + PERIOD_S, person.now_s + 5.0
    assert person.buttons.hear(person.pad, *at, late_s, stamp_s, recording=False) == START


def test_a_clock_that_was_set_back_does_not_silence_it():
    person = Person()
    person.wait(1.0)
    for i in range(20):
        assert person.buttons.hear(person.pad, *message(person.pad, ()), person.now_s + i, 1.0 + i, False) is None
    at = message(person.pad, ("episode",))
    assert person.buttons.hear(person.pad, *at, person.now_s + 19.1, 20.1, recording=False) == START


def test_a_message_heard_twice_presses_nothing_twice():
    """Who publishes a joystick with another QoS is heard through several subscriptions, one later than the other."""
    person = Person()
    person.wait(1.0)
    at = person.now_s
    assert person.hold("episode") == START
    person.hold()
    old = message(person.pad, ("episode",))
    person.now_s += 1.0 / 30.0
    assert person.buttons.hear(person.pad, *old, person.now_s, at + PERIOD_S, recording=True) is None
    assert set(person.wait(0.5)) == {None}


def test_a_button_that_bounces_asks_once():
    person = Person()
    assert person.press("episode") == START
    person.recording = True
    person.hold()
    assert person.hold("episode") is None


WRONG = {
    "its button moves something": ({"episode": {"button": 4}}, "episode and deadman both use button 4"),
    "its axis does": ({"success": {"axis": 1, "full": -1.0}}, "success and up both use axis 1"),
    "two have one": ({"discard": {"button": 7}}, "discard and episode both use button 7"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_map_in_which_such_a_button_does_anything_else_is_refused(case):
    change, said = WRONG[case]
    with pytest.raises(ParameterError, match=f"pad mine: {said}"):
        pads.parse("mine", ENTRIES["xbox"] | change)


# -- the recorder hears them -----------------------------------------------------------------------


@pytest.mark.e2e
def test_an_episode_is_recorded_by_joystick(ros_domain, tmp_path, monkeypatch, capfd):
    """With the pad that teleop says it has."""
    monkeypatch.setattr(episode_buttons, "JOY_STALE_AFTER_S", 60.0)  # the person of this test is slow on a busy machine
    monkeypatch.setattr(record, "LOOK_S", 0.1)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)

    def make(bag):
        return Recorder(BagWriter(bag, topics(), WriterParameters(keep_free_mb=0.0)), [t.name for t in topics()])

    episodes = Episodes(tmp_path, make, [])
    recording, teleop, joy = RecordNode(episodes, []), rclpy.create_node("teleop"), rclpy.create_node("joy")
    teleop.declare_parameter("pad", "ps4")
    teleop.declare_parameter("pads_file", "")
    executor = ros.make_executor()
    for node in (recording, joy):
        executor.add_node(node)
    publisher = ros.publisher(joy, graph.stream(graph.JOY))

    def until(done, *pressed: str) -> None:
        deadline_s, next_s = time.monotonic() + 60.0, 0.0
        axes, buttons = message(PADS["ps4"], pressed)
        while not done():
            assert time.monotonic() < deadline_s
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + PERIOD_S
                msg = Joy(axes=axes, buttons=buttons)
                msg.header.stamp = joy.get_clock().now().to_msg()
                publisher.publish(msg)
            executor.spin_once(timeout_sec=0.01)

    def rest(seconds: float = AGAIN_AFTER_S + 0.1) -> None:
        over_s = time.monotonic() + seconds
        until(lambda: time.monotonic() > over_s)

    until(lambda: publisher.get_subscription_count() > 0)
    executor.add_node(teleop)
    until(lambda: recording._pad is not None)
    rest()
    until(lambda: episodes.recording, "episode")
    rest()
    until(lambda: not episodes.recording, "success")
    assert "episodes by joystick too: pad 'ps4'" in capfd.readouterr().out
    bag = next(tmp_path.glob("episode_*"))
    # A bag without a message is none to read, but what was said of it is in its file.
    assert b'"verdict": "success"' in b"".join(f.read_bytes() for f in bag.glob("*.mcap"))
    executor.shutdown()
    for node in (recording, teleop, joy):
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.e2e
def test_a_map_that_is_not_here_is_said(ros_domain, tmp_path, capsys):
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recording = RecordNode(Episodes(tmp_path, lambda bag: None, []), [])
    recording._use_pad("xbox", str(tmp_path / "mine.yaml"))
    assert "no episodes by joystick: " in capsys.readouterr().out and recording._pad is None
    recording._use_pad("wheel", "")
    assert "no episodes by joystick: pad 'wheel'; expected one of" in capsys.readouterr().out
    recording.destroy_node()
    rclpy.try_shutdown()
