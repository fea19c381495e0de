"""The state machine: the whole table, and the laws that no row may break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.core.health import watches_of_table
from sapave_ros.core.supervisor import BLIND_AFTER_S, MODES, TABLE, Event, State, Supervisor
from sapave_ros.types import Mode

ALL = [(s, e) for s in State for e in Event]


def ready() -> Supervisor:
    supervisor = Supervisor(0.0)
    supervisor.watch("", 1.0)
    return supervisor


@pytest.mark.parametrize(("state", "event"), ALL, ids=[f"{s.name}-{e.name}" for s, e in ALL])
def test_every_event_has_a_row_in_every_state(state, event) -> None:
    row = TABLE[state, event]
    assert not row.refused or row.next is state  # who is refused changes nothing
    if event is Event.ESTOP:
        assert row.next is State.ESTOP
    if state is State.ESTOP and event is not Event.RESET:
        assert row.next is State.ESTOP  # latched
    if row.next is State.ACTIVE and state is not State.ACTIVE:
        assert event is Event.ARM  # only a person starts motion
    if event is Event.DISARM and state is not State.ESTOP:
        assert row.next is State.STANDBY


@pytest.mark.parametrize("state", State)
def test_only_active_allows_motion(state) -> None:
    assert (Mode.MOVE in MODES[state]) is (state is State.ACTIVE)
    assert MODES[State.ESTOP] == (Mode.DAMP, Mode.DAMP)
    assert MODES[State.STANDBY][1] is Mode.RELEASE


@given(events=st.lists(st.sampled_from([*Event, "released", "stale"]), max_size=40))
def test_motion_needs_arm_fresh_streams_and_a_released_stop(events) -> None:
    supervisor, stale, pressed = Supervisor(0.0), True, False
    for i, event in enumerate(events):
        before = supervisor.state
        if event in (Event.FRESH, Event.STALE):
            stale = event is Event.STALE
            supervisor.watch("camera never seen" if stale else "", float(i))
        elif event is Event.ESTOP:
            pressed = True
            supervisor.estop(True, float(i))
        elif event == "released":
            pressed = False
            supervisor.estop(False, float(i))
        elif isinstance(event, Event):
            supervisor.request(event, float(i))
        if supervisor.state is State.ACTIVE:
            assert not stale
            assert before is State.ACTIVE or event is Event.ARM
        if pressed:
            assert supervisor.state is State.ESTOP
        if supervisor.state is not before:
            assert supervisor.reason
            assert supervisor.since_s == float(i)


def test_arm_is_refused_with_the_name_of_what_is_missing() -> None:
    supervisor = ready()
    supervisor.watch("/camera/color/camera_info 0.52 s old, at most 0.3 s", 2.0)
    done, text = supervisor.request(Event.ARM, 2.0)
    assert not done
    assert "camera_info 0.52 s old" in text
    assert supervisor.state is State.STANDBY


def test_boots_without_permission_and_before_all_has_reported() -> None:
    supervisor = Supervisor(0.0)
    assert Mode.MOVE not in supervisor.modes
    done, text = supervisor.request(Event.ARM, 0.0)
    assert not done
    assert "reported" in text


def test_a_lost_stream_holds_and_its_return_does_not_resume() -> None:
    supervisor = ready()
    assert supervisor.request(Event.ARM, 1.0)[0]
    supervisor.watch("/joint_states (arms) 0.21 s old", 2.0)
    assert supervisor.state is State.HOLD
    assert "arms" in supervisor.reason
    supervisor.watch("", 3.0)
    assert supervisor.state is State.HOLD
    assert supervisor.request(Event.ARM, 4.0)[0]
    assert supervisor.state is State.ACTIVE


def test_a_watchdog_that_stood_still_does_not_resume() -> None:
    """Stopped for seconds while ACTIVE, it came back, found everything fresh and gave the permit again by itself."""
    supervisor = ready()
    assert supervisor.request(Event.ARM, 1.0)[0]
    now_s = 1.0
    for gap_s in (0.02, 0.1, BLIND_AFTER_S - 0.01, 0.02):
        now_s += gap_s
        supervisor.watch("", now_s)
        assert supervisor.state is State.ACTIVE
    supervisor.watch("", now_s + 5.0)
    assert supervisor.state is State.HOLD
    assert "stood still for 5.00 s" in supervisor.reason
    supervisor.watch("", now_s + 5.02)
    assert supervisor.state is State.HOLD
    assert supervisor.request(Event.ARM, now_s + 5.02)[0]


def test_no_stream_may_go_stale_sooner_than_the_watchdog_counts_as_blind() -> None:
    assert min(w.stale_after_s for w in watches_of_table()) >= BLIND_AFTER_S


def test_estop_is_latched_until_released_and_reset() -> None:
    supervisor = ready()
    supervisor.request(Event.ARM, 1.0)
    supervisor.estop(True, 2.0)
    assert supervisor.modes == (Mode.DAMP, Mode.DAMP)
    assert not supervisor.request(Event.ARM, 3.0)[0]
    done, text = supervisor.request(Event.RESET, 3.0)
    assert not done
    assert "still pressed" in text
    supervisor.estop(False, 4.0)
    assert supervisor.state is State.ESTOP
    assert supervisor.request(Event.RESET, 5.0)[0]
    assert supervisor.state is State.STANDBY
