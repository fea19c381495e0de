"""The watchdog's state: what an event does is a row of a table.

It boots without permission, and only ARM gives it. What the state allows each controller is a table too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sapave_ros.types import Mode

BLIND_AFTER_S = 0.2
"""Without a look at the streams for this long [s], the shortest staleness bound there is, one may have died unseen."""


class State(Enum):
    """Where the whole system stands."""

    STARTING = "not everything has reported yet"
    STANDBY = "ready; nothing may move"
    ACTIVE = "the robot may move"
    HOLD = "frozen in the last commanded pose"
    ESTOP = "stopped until reset"


class Event(Enum):
    """What can happen to it."""

    FRESH = "every watched stream is fresh"
    STALE = "a watched stream is missing or too old"
    ARM = "arm requested"
    DISARM = "disarm requested"
    ESTOP = "emergency stop pressed"
    RESET = "reset requested"


MODES: dict[State, tuple[Mode, Mode]] = {
    # (head, arms)
    State.STARTING: (Mode.HOLD, Mode.HOLD),  # a watchdog that starts anew drops nobody's arms
    State.STANDBY: (Mode.RELEASE, Mode.RELEASE),
    State.ACTIVE: (Mode.MOVE, Mode.MOVE),
    State.HOLD: (Mode.HOLD, Mode.HOLD),
    State.ESTOP: (Mode.DAMP, Mode.DAMP),
}


@dataclass(frozen=True)
class Row:
    """next: the state after the event. refused: why the event does nothing although somebody asked for it."""

    next: State
    refused: str = ""


_S, _E = State, Event

TABLE: dict[tuple[State, Event], Row] = {
    (_S.STARTING, _E.FRESH): Row(_S.STANDBY),
    (_S.STARTING, _E.STALE): Row(_S.STARTING),
    (_S.STARTING, _E.ARM): Row(_S.STARTING, "not everything has reported yet"),
    (_S.STARTING, _E.DISARM): Row(_S.STANDBY),
    (_S.STARTING, _E.ESTOP): Row(_S.ESTOP),
    (_S.STARTING, _E.RESET): Row(_S.STARTING, "there is no emergency stop to reset"),
    (_S.STANDBY, _E.FRESH): Row(_S.STANDBY),
    (_S.STANDBY, _E.STALE): Row(_S.STANDBY),
    (_S.STANDBY, _E.ARM): Row(_S.ACTIVE),
    (_S.STANDBY, _E.DISARM): Row(_S.STANDBY),
    (_S.STANDBY, _E.ESTOP): Row(_S.ESTOP),
    (_S.STANDBY, _E.RESET): Row(_S.STANDBY, "there is no emergency stop to reset"),
    (_S.ACTIVE, _E.FRESH): Row(_S.ACTIVE),
    (_S.ACTIVE, _E.STALE): Row(_S.HOLD),
    (_S.ACTIVE, _E.ARM): Row(_S.ACTIVE),
    (_S.ACTIVE, _E.DISARM): Row(_S.STANDBY),
    (_S.ACTIVE, _E.ESTOP): Row(_S.ESTOP),
    (_S.ACTIVE, _E.RESET): Row(_S.ACTIVE, "there is no emergency stop to reset"),
    (_S.HOLD, _E.FRESH): Row(_S.HOLD),  # what froze it may be back, but a person says go
    (_S.HOLD, _E.STALE): Row(_S.HOLD),
    (_S.HOLD, _E.ARM): Row(_S.ACTIVE),
    (_S.HOLD, _E.DISARM): Row(_S.STANDBY),
    (_S.HOLD, _E.ESTOP): Row(_S.ESTOP),
    (_S.HOLD, _E.RESET): Row(_S.HOLD, "there is no emergency stop to reset"),
    (_S.ESTOP, _E.FRESH): Row(_S.ESTOP),
    (_S.ESTOP, _E.STALE): Row(_S.ESTOP),
    (_S.ESTOP, _E.ARM): Row(_S.ESTOP, "stopped by an emergency stop: reset first"),
    (_S.ESTOP, _E.DISARM): Row(_S.ESTOP, "stopped by an emergency stop: reset first"),
    (_S.ESTOP, _E.ESTOP): Row(_S.ESTOP),
    (_S.ESTOP, _E.RESET): Row(_S.STANDBY),
}


class Supervisor:
    """Applies events to the state.

    state, reason: where it stands and why, for people. since_s: when it got there. estop_pressed: level of
    the emergency stop, which a reset needs released.
    """

    def __init__(self, now_s: float) -> None:
        self.state, self.reason, self.since_s = State.STARTING, "just started", now_s
        self.estop_pressed = False
        self._stale = "nothing has been watched yet"
        self._watched_s = now_s

    @property
    def modes(self) -> tuple[Mode, Mode]:
        """What (head, arms) may do now."""
        return MODES[self.state]

    def watch(self, stale: str, now_s: float) -> None:
        """Tell what is missing or too old now, for people; empty when everything is fresh.

        A watchdog that stood still held everybody (permits went stale) and comes back as it was: that would set
        the robot in motion without a person, so it counts as a lost stream.
        """
        self._stale, blind_s, self._watched_s = stale, now_s - self._watched_s, now_s
        if blind_s > BLIND_AFTER_S and not stale:
            self._apply(Event.STALE, f"the watchdog itself stood still for {blind_s:.2f} s", now_s)
        self._apply(Event.STALE if stale else Event.FRESH, stale or Event.FRESH.value, now_s)

    def estop(self, pressed: bool, now_s: float) -> None:
        """Tell the level of the emergency stop. Releasing it resets nothing."""
        self.estop_pressed = pressed
        if pressed:
            self._apply(Event.ESTOP, Event.ESTOP.value, now_s)

    def request(self, event: Event, now_s: float) -> tuple[bool, str]:
        """A person's ARM, DISARM or RESET: whether it took effect, and the state or why not.

        ARM needs everything watched to be fresh, RESET the emergency stop to be released.
        """
        refused = TABLE[self.state, event].refused
        if refused and self.state is State.STARTING:
            refused = f"{refused} ({self._stale})"
        if not refused and event is Event.ARM and self._stale:
            refused = self._stale
        if not refused and event is Event.RESET and self.estop_pressed:
            refused = "the emergency stop is still pressed"
        if refused:
            return False, f"{event.value}, refused in {self.state.name}: {refused}"
        self._apply(event, event.value, now_s)
        return True, f"{self.state.name}: {self.reason}"

    def _apply(self, event: Event, reason: str, now_s: float) -> None:
        row = TABLE[self.state, event]
        if not row.refused and row.next is not self.state:
            self.state, self.reason, self.since_s = row.next, reason, now_s
