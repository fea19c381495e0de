"""What of a bag is due when, on a clock that the test moves: no test here waits for time to pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from bag_samples import BEGIN_NS, PERIOD_NS, fill, sample, topics

from sapave_ros import graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.bag.player import Player, PlayParameters, ReadAhead
from sapave_ros.bag.reader import Bag, BagError, BagMessage
from sapave_ros.bag.writer import BagWriter
from sapave_ros.parameters import ParameterError

PATIENCE_S = 30.0
PERIOD_S = PERIOD_NS * 1e-9
NUMBER = 60
LENGTH_S = (NUMBER - 1) * PERIOD_S
BLANK = {graph.INSTRUCTION: b"nothing"}


def write(folder, samples=None) -> list[tuple[str, int, bytes]]:
    writer = BagWriter(folder, topics(), WriterParameters(keep_free_mb=0.0))
    if samples is None:
        samples = fill(writer, NUMBER)
    else:
        for s in samples:
            writer.write(*s)
    writer.close()
    return samples


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A bag of NUMBER samples, one every PERIOD_S, and the samples."""
    folder = tmp_path_factory.mktemp("recording") / "bag"
    samples = write(folder)
    return Bag(folder), samples


def player(bag: Bag, topics=None, said=None, perishable=None, **parameters) -> Player:
    say = (lambda text: None) if said is None else said.append
    return Player(bag, PlayParameters(**parameters), topics, BLANK, perishable, say)


def due(p: Player, now_s: float) -> list[tuple[str, int, bytes]]:
    """All that is due at now_s; what has to be read first has been read."""
    found = []
    while True:
        assert p.wait_ready(PATIENCE_S)
        loops, message = p.loops, p.next(now_s)
        if message is not None:
            found.append((message.topic, message.stamp_ns, message.data))
        elif p.loops == loops:
            return found


def played(p: Player, step_s: float = 0.013, begin_s: float = 100.0) -> Iterator[tuple[float, BagMessage]]:
    """Plays to the end, the clock moving by steps: when each message came, and what."""
    now_s = begin_s
    while not p.ended:
        for message in due(p, now_s):
            yield now_s - begin_s, BagMessage(*message)
        now_s += step_s


@pytest.mark.parametrize("rate", [0.25, 1.0, 3.0, 100.0])
def test_everything_comes_in_order_at_its_time_divided_by_the_rate(recording, rate):
    bag, samples = recording
    step_s = 0.3 * PERIOD_S / rate
    with closing(player(bag, rate=rate)) as p:
        got = list(played(p, step_s))
        assert [(m.topic, m.stamp_ns, m.data) for _, m in got] == samples
        for at_s, m in got:
            assert -1e-6 <= at_s - (m.stamp_ns - BEGIN_NS) * 1e-9 / rate <= step_s + 1e-6
        assert sum(t.late + t.dropped for t in p.tallies.values()) == 0
        assert sum(t.sent for t in p.tallies.values()) == NUMBER


def test_what_is_not_due_waits_and_is_announced(recording):
    bag, samples = recording
    with closing(player(bag)) as p:
        assert due(p, 5.0) == samples[:1]
        assert p.due_in_s(5.0) == pytest.approx(PERIOD_S)
        assert due(p, 5.0 + 0.9 * PERIOD_S) == []
        assert p.due_in_s(5.0 + 0.9 * PERIOD_S) == pytest.approx(0.1 * PERIOD_S)
        assert due(p, 5.0 + 3.5 * PERIOD_S) == samples[1:4]


def test_some_topics_alone(recording):
    bag, samples = recording
    with closing(player(bag, [graph.PERMIT])) as p:
        assert [m.data for _, m in played(p)] == [d for t, _, d in samples if t == graph.PERMIT]


def test_start_and_duration_with_what_was_last_said_before(recording):
    bag, samples = recording
    with closing(player(bag, start_s=20.5 * PERIOD_S, duration_s=10 * PERIOD_S)) as p:
        got = list(played(p))
        assert (got[0][1].topic, got[0][1].data) == samples[15][::2], "the instruction before"
        assert got[0][0] == 0.0
        assert [(m.topic, m.stamp_ns, m.data) for _, m in got[1:]] == samples[21:31]
        assert p.at_s(1e6) == pytest.approx(30.5 * PERIOD_S)


def test_a_pause_stops_time_and_nothing_is_lost_by_it(recording):
    bag, samples = recording
    with closing(player(bag, paused=True)) as p:
        assert due(p, 10.0) == due(p, 20.0) == []
        assert p.at_ns(20.0) == BEGIN_NS
        p.resume(30.0)
        assert due(p, 30.0 + 4.5 * PERIOD_S) == samples[:5]
        p.pause(30.0 + 4.5 * PERIOD_S)
        assert due(p, 1000.0) == []
        assert p.due_in_s(1000.0) == np.inf
        assert p.at_s(1000.0) == pytest.approx(4.5 * PERIOD_S)
        p.resume(1000.0)
        p.resume(1000.0)
        assert due(p, 1000.0 + 2 * PERIOD_S) == samples[5:7]
        assert sum(t.late for t in p.tallies.values()) == 0


def test_the_rate_changes_from_here_on(recording):
    bag, samples = recording
    with closing(player(bag)) as p:
        assert due(p, 0.0) + due(p, 10.5 * PERIOD_S) == samples[:11]
        p.set_rate(4.0, 10.5 * PERIOD_S)
        assert p.at_s(10.5 * PERIOD_S) == pytest.approx(10.5 * PERIOD_S)
        assert due(p, 12.5 * PERIOD_S) == samples[11:19]
        p.set_rate(0.0, 12.5 * PERIOD_S)
        assert p.rate == 0.01, "the nearest that there is"


def test_a_jump_back_says_anew_what_was_said_before_and_that_time_went_back(recording):
    bag, samples = recording
    said = []
    with closing(player(bag, said=said)) as p:
        assert due(p, 0.0) + due(p, 50 * PERIOD_S) == samples[:51]
        late = sum(t.late for t in p.tallies.values())
        p.seek(BEGIN_NS + 20 * PERIOD_NS, 50 * PERIOD_S)
        assert p.at_ns(50 * PERIOD_S) == BEGIN_NS + 20 * PERIOD_NS
        assert said == ["from 1.000 s to 0.400 s"]
        assert due(p, 50 * PERIOD_S) == [samples[15], samples[20]]
        assert due(p, 52 * PERIOD_S) == samples[21:23]
        assert sum(t.late for t in p.tallies.values()) == late, "a jump makes nothing late"
        p.seek(BEGIN_NS + 2 * PERIOD_NS, 52 * PERIOD_S)
        nothing = (graph.INSTRUCTION, BEGIN_NS + 2 * PERIOD_NS, b"nothing")
        assert due(p, 52 * PERIOD_S) == [nothing, samples[2]], "nobody had said anything yet"


def test_a_jump_while_paused_says_what_counts_there_and_plays_nothing(recording):
    bag, samples = recording
    with closing(player(bag, paused=True)) as p:
        assert due(p, 0.0) == []
        p.seek(BEGIN_NS + 33 * PERIOD_NS, 1.0)
        assert due(p, 2.0) == [samples[25]]
        assert due(p, 3.0) == []
        p.resume(4.0)
        assert due(p, 4.0) == [samples[33]]


def test_a_jump_past_an_end_is_a_jump_to_it(recording):
    bag, samples = recording
    with closing(player(bag, start_s=10 * PERIOD_S, paused=True)) as p:
        due(p, 0.0)
        p.seek(0, 0.0)
        assert p.at_ns(0.0) == BEGIN_NS + 10 * PERIOD_NS
        due(p, 0.0)
        p.seek(BEGIN_NS * 2, 0.0)
        assert p.at_ns(0.0) == samples[-1][1]
        p.resume(0.0)
        assert due(p, 0.0) == [samples[55], samples[-1]]
        assert p.ended


def test_time_stands_until_the_first_message_after_a_jump_has_been_read(recording, monkeypatch):
    bag, samples = recording
    gate = threading.Event()
    with closing(player(bag)) as p:
        assert due(p, 0.0) == samples[:1]
        monkeypatch.setattr(ReadAhead, "_run", slowly(ReadAhead._run, gate))
        p.seek(BEGIN_NS + 30 * PERIOD_NS, 1.0)
        assert p.next(5.0) is None
        assert p.at_ns(500.0) == BEGIN_NS + 30 * PERIOD_NS
        gate.set()
        assert due(p, 600.0) == [samples[25], samples[30]]
        assert due(p, 600.0 + PERIOD_S) == samples[31:32]
        assert p.tallies[graph.JOINT_STATES].late == 0


def slowly(run, gate: threading.Event):
    def wait_first(self) -> None:
        gate.wait(PATIENCE_S)
        run(self)

    return wait_first


def test_a_loop_begins_anew_and_says_so(recording):
    bag, samples = recording
    said = []
    with closing(player(bag, said=said, loop=True, duration_s=8.5 * PERIOD_S)) as p:
        got, now_s = [], 0.0
        while p.loops < 3:
            got += due(p, now_s)
            now_s += 0.25 * PERIOD_S
        nothing = (graph.INSTRUCTION, BEGIN_NS, b"nothing")
        once = samples[:9]
        assert got[: 9 * 3 + 2] == once + [nothing] + once + [nothing] + once
        assert said == [f"loop {i}: back to 0.000 s" for i in (1, 2, 3)]
        assert not p.ended


def test_late_is_counted_and_what_is_of_no_use_any_more_is_dropped(recording):
    bag, samples = recording
    with closing(player(bag, perishable={graph.JOINT_STATES: 0.3})) as p:
        assert due(p, 0.0) == samples[:1]
        got = due(p, 1.0)
        old = [s for s in samples[1:51] if s[0] == graph.JOINT_STATES and (BEGIN_NS + 1e9 - s[1]) * 1e-9 > 0.3]
        assert got == [s for s in samples[1:51] if s not in old]
        assert p.tallies[graph.JOINT_STATES].dropped == len(old) > 0
        late = [s for s in got if (BEGIN_NS + 1e9 - s[1]) * 1e-9 > 0.1]
        assert sum(t.late for t in p.tallies.values()) == len(late)


def test_lateness_is_that_of_the_room_not_of_the_bag(recording):
    bag, _ = recording
    with closing(player(bag, rate=50.0)) as p:
        due(p, 0.0)
        due(p, 0.02)  # a second of the bag
        assert sum(t.late for t in p.tallies.values()) == 0


def test_a_clock_set_back_while_recording_neither_floods_nor_stops(tmp_path):
    samples = [sample(i) for i in range(10)]
    samples += [(t, stamp - 3_600_000_000_000, d) for t, stamp, d in (sample(i) for i in range(10, 20))]
    write(tmp_path / "bag", samples)
    said = []
    with closing(player(Bag(tmp_path / "bag"), said=said)) as p:
        got = list(played(p, 0.5 * PERIOD_S))
        assert p.clock_ns(1e6) == samples[-1][1]
    assert [(m.topic, m.stamp_ns, m.data) for _, m in got] == samples
    assert got[-1][0] == pytest.approx(18 * PERIOD_S, abs=PERIOD_S), "without a gap"
    assert said == ["here the clock was set back by 3599.980 s while this was recorded"]


def test_a_little_out_of_order_keeps_its_order_and_is_not_late(tmp_path):
    samples = [sample(i) for i in range(20)]
    samples[10] = (samples[10][0], samples[10][1] - 300_000_000, samples[10][2])
    write(tmp_path / "bag", samples)
    with closing(player(Bag(tmp_path / "bag"), perishable={graph.JOINT_STATES: 0.05})) as p:
        got = [(m.topic, m.stamp_ns, m.data) for _, m in played(p, 0.2 * PERIOD_S)]
        assert got[-len(samples) :] == samples
        assert sum(t.late + t.dropped for t in p.tallies.values()) == 0


def test_a_damaged_bag_is_played_up_to_there(recording, tmp_path):
    bag, samples = recording
    whole = bag.files[0].read_bytes()
    path = tmp_path / "cut.mcap"
    writer = BagWriter(tmp_path / "bag", topics(), WriterParameters(keep_free_mb=0.0))
    for s in samples[:40]:
        writer.write(*s)
    writer.flush()
    cut = writer.path.stat().st_size
    for s in samples[40:]:
        writer.write(*s)
    writer.close()
    path.write_bytes(writer.path.read_bytes()[: cut + 20])
    damaged = Bag(path)
    assert damaged.damage and len(whole) > cut
    with closing(player(damaged)) as p:
        assert [(m.topic, m.stamp_ns, m.data) for _, m in played(p)] == samples[:40]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rate", 0.0, r"parameter rate: 0\.0; expected a number in 0\.01\.\.100"),
        ("rate", -1.0, r"parameter rate: -1\.0; expected"),
        ("rate", float("nan"), r"parameter rate: nan; expected"),
        ("start_s", -1.0, r"parameter start_s: -1\.0; expected a number ≥ 0 s"),
        ("start_s", 2.0, r"start: 2 s; expected at most the bag's length, 1\.180 s"),
        ("duration_s", 0.0, r"parameter duration_s: 0\.0; expected a number ≥ 0\.001 s"),
    ],
)
def test_what_cannot_be_played_is_said_with_field_value_and_what_is_expected(recording, field, value, said):
    with pytest.raises(ParameterError, match=said):
        player(recording[0], **{field: value})


def test_a_stream_that_is_not_in_the_bag_is_named_with_those_that_are(recording):
    with pytest.raises(BagError, match=r"'/joy' has no message in .*; expected of /joint_states, /sapave/instruction"):
        player(recording[0], ["/joy"])


def test_reading_ahead_ends_where_there_is_no_room_and_goes_on_when_there_is():
    messages = [BagMessage("/a", i, b"x" * 100) for i in range(1000)]
    read = []

    def reading():
        for m in messages:
            read.append(m.stamp_ns)
            yield m

    ahead = ReadAhead(reading(), 0, room_bytes=1000)
    with closing(ahead):
        taken = []
        while ahead.wait_ready(PATIENCE_S) and not ahead.exhausted:
            assert ahead.waiting_bytes <= 1000
            if (item := ahead.peek()) is not None:
                ahead.take()
                taken.append(item.message)
                assert len(read) <= len(taken) + 12
        assert taken == messages


def test_a_message_larger_than_the_room_passes_through_it():
    messages = [BagMessage("/a", i, b"x" * 5000) for i in range(5)]
    with closing(ReadAhead(iter(messages), 0, room_bytes=1000)) as ahead:
        taken = []
        while ahead.wait_ready(PATIENCE_S) and not ahead.exhausted:
            if (item := ahead.peek()) is not None:
                ahead.take()
                taken.append(item.message)
        assert taken == messages


def test_what_ends_the_reading_reaches_who_plays(recording, monkeypatch):
    bag, samples = recording
    with closing(player(bag)) as p:
        assert due(p, 0.0) == samples[:1]

        def broken(topics=None):
            yield BagMessage(*samples[0])
            raise OSError("the disk is gone")

        monkeypatch.setattr(bag, "messages", broken)
        p.seek(BEGIN_NS, 1.0)
        assert p.wait_ready(PATIENCE_S)
        with pytest.raises(OSError, match="the disk is gone"):
            due(p, 2.0)


def test_closing_does_not_wait_for_the_rest_of_the_bag(recording):
    bag, _ = recording
    p = Player(bag, room_bytes=10)
    p.close()
    assert not any(t.name == "read-ahead" for t in threading.enumerate())
