"""The watchdog's state: what an event does is a row of a table.

It boots without permission, and only a person gives it: motion that a fault ended goes on by itself only where
the table of faults says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from sapave_ros.types import Mode


class State(Enum):
    """Where the whole system stands."""

    STARTING = "not everything has reported yet"
    STANDBY = "ready; nothing may move"
    ACTIVE = "the policy may move the robot"
    TELEOP = "a person moves what was taken over, the policy the rest"
    HOLD = "frozen in the last commanded pose"
    ESTOP = "stopped until reset"


class Event(Enum):
    """What can happen to it."""

    STOP = "emergency stop"
    DANGER = "a fault that stops"
    TROUBLE = "a fault that holds"
    CLEAR = "all is well"
    HELD = "all is well, and the arms are still held"  # a watchdog that starts anew drops no arms
    RECOVERED = "the fault is gone for its time"
    TAKE = "a person takes over"
    GIVE_BACK = "the person gives back"
    ARM = "arm requested"
    DISARM = "disarm requested"
    RESET = "reset requested"


_S, __ = State, None

TABLE: dict[Event, tuple[State | None, ...]] = {
    # from:           STARTING     STANDBY    ACTIVE       TELEOP       HOLD         ESTOP
    Event.STOP:       (_S.ESTOP,    _S.ESTOP,  _S.ESTOP,    _S.ESTOP,    _S.ESTOP,    __),
    Event.DANGER:     (__,          __,        _S.ESTOP,    _S.ESTOP,    _S.ESTOP,    __),
    Event.TROUBLE:    (__,          __,        _S.HOLD,     _S.HOLD,     __,          __),
    Event.CLEAR:      (_S.STANDBY,  __,        __,          __,          __,          __),
    Event.HELD:       (_S.HOLD,     __,        __,          __,          __,          __),
    Event.RECOVERED:  (__,          __,        __,          __,          _S.ACTIVE,   __),
    Event.TAKE:       (__,          __,        _S.TELEOP,   __,          __,          __),
    Event.GIVE_BACK:  (__,          __,        __,          _S.ACTIVE,   __,          __),
    Event.ARM:        (__,          _S.ACTIVE, __,          __,          _S.ACTIVE,   __),
    Event.DISARM:     (_S.STANDBY,  __,        _S.STANDBY,  _S.STANDBY,  _S.STANDBY,  __),
    Event.RESET:      (__,          __,        __,          __,          __,          _S.STANDBY),
}  # fmt: skip
"""The state after an event, from each state in the order of `State`; None where it stays."""

NO_STOP = "there is no emergency stop to reset"
RESET_FIRST = "stopped by an emergency stop: reset first"
REFUSED: dict[tuple[State, Event], str] = {
    (State.STARTING, Event.ARM): "not everything has reported yet",
    **{(state, Event.RESET): NO_STOP for state in State if state is not State.ESTOP},
    (State.ESTOP, Event.ARM): RESET_FIRST,
    (State.ESTOP, Event.DISARM): RESET_FIRST,
}
"""Why a request does nothing although somebody made it."""

MODES: dict[State, tuple[Mode, Mode]] = {
    # (head, arms)
    State.STARTING: (Mode.HOLD, Mode.HOLD),
    State.STANDBY: (Mode.RELEASE, Mode.RELEASE),
    State.ACTIVE: (Mode.MOVE, Mode.MOVE),
    State.TELEOP: (Mode.MOVE, Mode.MOVE),  # a group whose deadman is released holds
    State.HOLD: (Mode.HOLD, Mode.HOLD),
    State.ESTOP: (Mode.DAMP, Mode.DAMP),
}

_COLUMN = {state: i for i, state in enumerate(State)}


def after(state: State, event: Event) -> State:
    """The state that follows."""
    return TABLE[event][_COLUMN[state]] or state


class Supervisor:
    """Applies events to the state. state, reason: where it stands and why, for people. since_s: when it got there."""

    def __init__(self, now_s: float) -> None:
        self.state, self.reason, self.since_s = State.STARTING, "just started", now_s

    def update(self, events: Iterable[tuple[Event, str]], now_s: float) -> list[str]:
        """Applies (event, reason) pairs in this order; returns the transitions, for the log."""
        said = []
        for event, reason in events:
            following = after(self.state, event)
            if following is not self.state:
                said.append(f"{self.state.name} -> {following.name}: {reason}")
                self.state, self.reason, self.since_s = following, reason, now_s
        return said
