"""The table of states: every event in every state, and the laws that no row may break."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.core.supervisor import MODES, NO_STOP, REFUSED, RESET_FIRST, TABLE, Event, State, Supervisor, after
from sapave_ros.types import Mode

MAY_MOVE = {State.ACTIVE, State.TELEOP}
REQUESTS = {Event.ARM, Event.DISARM, Event.RESET}
ALL = list(itertools.product(State, Event))


def in_state(state: State) -> Supervisor:
    supervisor = Supervisor(0.0)
    supervisor.state = state
    return supervisor


@pytest.mark.parametrize(("state", "event"), ALL, ids=[f"{s.name}-{e.name}" for s, e in ALL])
def test_every_event_has_an_outcome_in_every_state(state, event) -> None:
    assert set(TABLE) == set(Event)
    assert len(TABLE[event]) == len(State)
    supervisor = in_state(state)
    said = supervisor.update([(event, "because")], 7.0)
    following = after(state, event)
    assert supervisor.state is following
    if following is state:
        assert said == []
        assert (supervisor.reason, supervisor.since_s) == ("just started", 0.0)
    else:
        assert said == [f"{state.name} -> {following.name}: because"]
        assert (supervisor.reason, supervisor.since_s) == ("because", 7.0)


@pytest.mark.parametrize(("state", "event"), ALL, ids=[f"{s.name}-{e.name}" for s, e in ALL])
def test_no_row_breaks_the_laws(state, event) -> None:
    following = after(state, event)
    if following in MAY_MOVE and state not in MAY_MOVE:
        assert event in (Event.ARM, Event.RECOVERED)
        assert following is State.ACTIVE
    if event is Event.RECOVERED and following is not state:
        assert state is State.HOLD, "only what held goes on by itself"
    if State.TELEOP in (state, following) and following is not state and following in MAY_MOVE:
        assert (state, event, following) in {
            (State.ACTIVE, Event.TAKE, State.TELEOP),
            (State.TELEOP, Event.GIVE_BACK, State.ACTIVE),
        }
    if event in (Event.TAKE, Event.GIVE_BACK) and state not in MAY_MOVE:
        assert following is state
    if event is Event.STOP:
        assert following is State.ESTOP
    if state is State.ESTOP and event is not Event.RESET:
        assert following is State.ESTOP, "latched"
    if event is Event.RESET and state is State.ESTOP:
        assert following is State.STANDBY, "a reset alone moves nothing"
    if event in (Event.DANGER, Event.TROUBLE) and state in MAY_MOVE:
        assert following in (State.ESTOP, State.HOLD) and following not in MAY_MOVE
    if event is Event.DISARM and state is not State.ESTOP:
        assert following is State.STANDBY
    if following is State.STARTING:
        assert state is State.STARTING, "a start is once"


@pytest.mark.parametrize(("state", "event"), [(s, e) for s, e in ALL if e in REQUESTS])
def test_a_request_without_effect_has_a_reason_or_is_fulfilled_already(state, event) -> None:
    fulfilled = {Event.ARM: MAY_MOVE, Event.DISARM: {State.STANDBY}, Event.RESET: set()}[event]
    changes = after(state, event) is not state
    assert ((state, event) in REFUSED) == (not changes and state not in fulfilled)
    if (state, event) in REFUSED:
        assert REFUSED[state, event]
    assert REFUSED.get((State.HOLD, Event.RESET)) == NO_STOP
    assert REFUSED.get((State.ESTOP, Event.ARM)) == RESET_FIRST


def test_only_requests_are_refused() -> None:
    assert {event for _, event in REFUSED} <= REQUESTS


@pytest.mark.parametrize("state", State)
def test_what_each_state_permits(state) -> None:
    assert set(MODES) == set(State)
    assert (Mode.MOVE in MODES[state]) is (state in MAY_MOVE)
    assert (Mode.DAMP in MODES[state]) is (state is State.ESTOP)
    assert (Mode.RELEASE in MODES[state]) is (state is State.STANDBY), (
        "arms go back to the robot where nothing is wrong"
    )


@given(st.lists(st.lists(st.tuples(st.sampled_from(Event), st.text(min_size=1)), max_size=4), max_size=20))
def test_events_apply_in_order_and_each_transition_is_said(batches) -> None:
    supervisor, state = Supervisor(0.0), State.STARTING
    for i, batch in enumerate(batches):
        expected = []
        for event, reason in batch:
            if after(state, event) is not state:
                expected.append(f"{state.name} -> {after(state, event).name}: {reason}")
                state = after(state, event)
        assert supervisor.update(batch, float(i)) == expected
        assert supervisor.state is state
        assert supervisor.reason
        if expected:
            assert supervisor.since_s == float(i)


def test_boots_without_permission() -> None:
    assert Supervisor(3.0).state is State.STARTING
    assert Supervisor(3.0).since_s == 3.0
    assert MODES[State.STARTING] == (Mode.HOLD, Mode.HOLD)
