"""The fault bench as a table: what is broken, in which motion, and what has to follow.

Times are stated in two parts: within which time a fault has to be noticed by whoever ends the motion (`noticed_s`, from
the bounds of `graph.py` and of the checks themselves), and how long a stop may take from there (`Arms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from sapave_ros import graph
from sapave_ros.bench import fault_starts as starts
from sapave_ros.bench.fault_actions import Action
from sapave_ros.bench.fault_rig import Rig
from sapave_ros.core.faults import Effect, Fault
from sapave_ros.nodes.report import LOOK_HZ

TICK_S, REPORT_S = 1.0 / graph.PERMIT_HZ, 1.0 / LOOK_HZ
SLACK_S = 0.05
"""On the way from a fault to whoever sees it: two or three processes wake, on a busy machine."""

STOP_S = 0.15
"""From the word to the end of the motion."""

RAMP_S = 0.5
"""An emergency stop takes the stiffness of the arms away in this time, and the motion with it."""

SILENT = "SILENT"
"""In place of a state: no watchdog says anything any more."""


class Arms(Enum):
    """What becomes of the arms."""

    HELD = "held"  # weight 1 and full stiffness throughout
    RELEASED = "released"  # to weight 0, without a step
    DAMPED = "damped"  # stiffness away within `RAMP_S`, then released
    THEIRS = "theirs"  # not in our hand: the robot, or another program, decides


def _nothing(_: Rig) -> list[str]:
    return []


@dataclass(frozen=True)
class Row:
    """One fault. name: for people and `--rows`.

    states: one of them is reached; faults: one of them is in its reason, unless empty. noticed_s: see the module.
    seen_s: until the state has changed, `noticed_s` unless given. arms: see `Arms`; released_s: from the fault to
    weight 0. ends: groups (head, arms) whose motion has to end. goes_on: whether motion resumes by itself once the
    fault is gone; None where that is not asked. after: states of which one is in force once it is gone, `states` unless
    given. start: who moves head and arms before. also: asked once the fault is over, of what stands beside the graph:
    what is not as it has to be. by_command: the graph is started by `sapave up`. free: joints that we do not drive any
    more (see `fault_measure.limits`). moves: whether all goes on as before. disturbs: whether the simulator itself
    loses time. watch_s: how long to look [s]. stop_s: from the notice to the end of the motion.
    """

    name: str
    action: Action
    states: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    noticed_s: float = TICK_S + SLACK_S
    seen_s: float | None = None
    arms: Arms = Arms.HELD
    released_s: float = 0.0
    ends: frozenset[str] = frozenset({"head", "arms"})
    goes_on: bool | None = False
    after: tuple[str, ...] | None = None
    start: Callable[[Rig], None] = starts.by_chunks
    also: Callable[[Rig], list[str]] = _nothing
    by_command: bool = False
    free: tuple[str, ...] = ()
    moves: bool = False
    disturbs: bool = False
    watch_s: float = 1.5
    stop_s: float = STOP_S


def stale(topic: str) -> float:
    """Until the watchdog notices that a stream has ended [s]."""
    bound_s = graph.stream(topic).stale_after_s
    assert bound_s is not None, f"nobody watches the age of {topic}"
    return bound_s + TICK_S + SLACK_S


def reported(after_s: float = 0.0) -> float:
    """Until the watchdog hears of what a node finds `after_s` after it began [s]."""
    return after_s + REPORT_S + TICK_S + SLACK_S


def resumes(fault: Fault) -> float:
    """Until motion goes on by itself [s]."""
    seconds = fault.row.resumes_after_s
    assert seconds is not None, f"{fault.name} is not resumed by itself"
    return seconds


NOT_INJECTED = {
    Fault.CLOCK_JUMPED: "would set the clock of the whole machine; test_watchdog drives it",
    Fault.POLICY_INVALID: "what the model itself answers, inside the inference node; test_inference_health drives it",
    Fault.POLICY_SLOW: "a model that hangs inside the inference node; test_inference_health drives it",
}
"""What has no row, and why."""


def effect_of(faults: tuple[Fault, ...]) -> Effect:
    """The gravest of them."""
    order = list(Effect)
    return max((f.row.effect for f in faults), key=order.index, default=Effect.WARN)
