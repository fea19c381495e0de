"""The bench of the recorder: counting as laws on made-up messages, and a recorder beside a publisher for real."""

from __future__ import annotations

import time
from collections import Counter
from threading import Event
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message

from sapave_ros import graph
from sapave_ros.bag.reader import Bag
from sapave_ros.bench import latency, recording
from sapave_ros.bench.recording import EDGE_NS, Listener, Recorder, compared, identity
from sapave_ros.cli import main
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import OperatorError, session

S = 1_000_000_000
BEGIN, END = 100 * S, 200 * S
times = st.lists(st.integers(BEGIN, END - 1), max_size=60)
T = graph.PERMIT


def messages(times_ns, what=lambda i: i):
    return {T: [(t, what(i)) for i, t in enumerate(times_ns)]}


@given(times, st.integers(-EDGE_NS + 1, EDGE_NS - 1))
def test_what_is_all_there_lacks_nothing_however_late_it_was_heard(heard, late_ns):
    there = messages([t + late_ns for t in heard])
    found = compared(messages(heard), there, BEGIN, END)[T]
    assert found["published"] == len(heard) and found["missing"] == 0


@given(st.binary(min_size=8, max_size=40))
def test_what_dds_fills_up_with_is_no_difference(data):
    assert identity(T, data) == identity(T, data + bytes(-len(data) % 4))
    assert identity(T, data) != identity(T, data + b"x" * 4)


@given(times, st.data())
def test_as_many_are_missing_as_were_taken_out(heard, data):
    """Also where several say the same: they are told apart by their number."""
    same = data.draw(st.booleans())
    gone = data.draw(st.sets(st.integers(0, max(0, len(heard) - 1)), max_size=len(heard))) if heard else set()
    what = (lambda i: 0) if same else (lambda i: i)
    all_of = messages(heard, what)
    kept = {T: [m for i, m in enumerate(all_of[T]) if i not in gone]}
    found = compared(all_of, kept, BEGIN, END)[T]
    assert found == {"published": len(heard), "in_bag": len(heard) - len(gone), "missing": len(gone)}


@given(times, times)
def test_what_only_the_bag_has_and_what_is_outside_does_not_count(heard, others):
    before = [t - 100 * S - EDGE_NS for t in others]
    more = {T: messages(heard)[T] + [(t, f"more {t}") for t in others]}
    found = compared({T: messages(heard)[T] + messages(before)[T]}, more, BEGIN, END)[T]
    assert found["published"] == len(heard) and found["missing"] == 0
    assert compared(messages(heard), {}, BEGIN, END)[T] == {
        "published": len(heard),
        "in_bag": 0,
        "missing": len(heard),
    }


def test_a_picture_is_known_by_the_stamp_of_what_comes_with_it():
    for picture, teller in recording.TOLD_BY.items():
        kinds = [ros.message_type(graph.stream(topic)) for topic in (picture, teller)]
        made = [kind() for kind in kinds]
        for msg in made:
            msg.header.stamp = ros.to_msg_time(1234.5)
        data = [bytes(serialize_message(msg)) for msg in made]
        assert identity(picture, data[0]) == recording.stamp_of(data[1])
        made[0].header.stamp = ros.to_msg_time(1234.6)
        assert identity(picture, bytes(serialize_message(made[0]))) != recording.stamp_of(data[1])


def test_every_stream_is_heard_or_told_of():
    assert set(recording.TOLD_BY) == {s.topic for s in graph.STREAMS if s.type == graph.IMAGE}


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "601"])
def test_a_time_that_is_none_is_refused(minutes, capsys):
    assert main(["bench", "record", "--minutes", minutes]) == 2
    assert f"--minutes {float(minutes):g}; expected more than 0, at most 600" in capsys.readouterr().err


@pytest.mark.e2e
def test_what_is_published_is_found_in_the_bag_of_a_recorder(ros_domain, tmp_path):
    with session() as operator:
        listener = Listener(operator)
        recorder = Recorder(tmp_path / "bag", operator)
        topics = (graph.PERMIT, graph.CAMERA_INFO, graph.COLOR)
        publishers = {t: ros.publisher(operator, graph.stream(t)) for t in topics}
        readers = {graph.PERMIT: 3, graph.CAMERA_INFO: 2, graph.COLOR: 1}  # the operator itself hears permits
        connected = lambda: all(p.get_subscription_count() == readers[t] for t, p in publishers.items())  # noqa: E731
        assert operator.wait(connected, 60.0)
        operator.wait(lambda: False, 1.0)
        begin_ns = time.time_ns()
        for i in range(30):
            publishers[graph.PERMIT].publish(ros.status("sapave/permit", b"\x00", f"ACTIVE: {i}", {}))
            for topic in (graph.CAMERA_INFO, graph.COLOR):
                msg = ros.message_type(graph.stream(topic))()
                msg.header.stamp = ros.to_msg_time(1000.0 + i)
                publishers[topic].publish(msg)
            count = i + 1
            assert operator.wait(lambda count=count: len(listener.heard[graph.PERMIT]) == count, 60.0)
            operator.wait(lambda: False, 0.05)
        end_ns = time.time_ns()
        said = recorder.end()
    assert recorder.process.returncode == 0 and "Traceback" not in said
    bag = Bag(tmp_path / "bag")
    recorded: recording.Ids = {}
    for m in bag.messages():
        recorded.setdefault(m.topic, []).append((m.stamp_ns, identity(m.topic, m.data)))
    found = compared(listener.heard, recorded, begin_ns, end_ns + 10 * S)
    assert found[graph.PERMIT] == {"published": 30, "in_bag": 30, "missing": 0}
    heard = Counter(what for _, what in listener.heard[graph.COLOR])  # best effort: maybe not all of them
    there = Counter(what for _, what in recorded[graph.COLOR])
    assert found[graph.COLOR]["missing"] == (heard - there).total() and heard


@pytest.mark.e2e
def test_a_recorder_that_does_not_start_is_told_with_its_words(ros_domain, tmp_path):
    (tmp_path / "bag").mkdir()
    with session() as operator, pytest.raises(OperatorError, match="did not start: .*bag: is there already"):
        Recorder(tmp_path / "bag", operator)


class HeldUp:
    """An operator whose robot is held up once, and refuses to be armed so often."""

    def __init__(self, refuses: int) -> None:
        self.state, self.reason, self.refuses, self.asked = "HOLD", "STREAM_SLOW", refuses, 0

    def say(self, _: str) -> None: ...

    def wait(self, *_: object) -> None: ...

    def arm(self) -> None:
        self.asked += 1
        if self.asked <= self.refuses:
            raise OperatorError("refused in HOLD: STREAM_SLOW")
        self.state = "ACTIVE"


@pytest.mark.parametrize("refuses", [0, 3])
def test_a_measurement_goes_on_once_what_held_it_up_is_over(refuses):
    operator, bringup = HeldUp(refuses), SimpleNamespace(check=lambda: None)
    holds = latency.look_around(operator, bringup, Event(), 2 * latency.CHANGE_EVERY_S)
    assert holds == ["HOLD: STREAM_SLOW"] and operator.asked == refuses + 1


def test_a_measurement_ends_where_it_stays_held_up(monkeypatch):
    monkeypatch.setattr(latency, "ARM_WITHIN_S", 0.0)
    with pytest.raises(OperatorError, match="STREAM_SLOW"):
        latency.look_around(HeldUp(9), SimpleNamespace(check=lambda: None), Event(), 1.0)
