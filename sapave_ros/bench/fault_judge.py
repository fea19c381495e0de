"""Whether what was seen is what the row asks for: the one place where the fault bench judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sapave_ros.bench.fault_measure import Measured, Said
from sapave_ros.bench.fault_rows import RAMP_S, SLACK_S, Arms, Row, effect_of
from sapave_ros.core.faults import Effect
from sapave_ros.core.gate import MAX_RAMP_PER_S

OVERSHOOT = 1.05
"""A joint may be faster than any command by what its motor's spring gives back: 5 % of the limit."""

RAMP_SLACK = 1.1
"""Two frames may come in the time of one on a busy machine: a steepest fall is told this much too high."""


@dataclass(frozen=True)
class Seen:
    """What followed one fault.

    changed: the first permit in another state than before, None if there was none. silent_s: when the last permit had
    grown too old [s after the fault], None while they come. reached: state and reason in force at the end of the watch.
    after: the state once the fault was gone, None where it was not asked. moved_after: by group, whether something
    moved by then. told: names of faults that nodes or watchdog reported. measured: None where nothing could be.
    also: what `Row.also` has found. trouble: why the row could not be tried at all. recovery: why the graph did not
    come back to STANDBY.
    """

    fault_s: float = 0.0
    changed: Said | None = None
    silent_s: float | None = None
    reached: tuple[str, str] = ("unknown", "")
    after: str | None = None
    moved_after: Mapping[str, bool] = field(default_factory=dict)
    told: frozenset[str] = frozenset()
    measured: Measured | None = None
    also: tuple[str, ...] = ()
    trouble: str = ""
    recovery: str = ""

    @property
    def seen_s(self) -> float | None:
        """From the fault until the watchdog's state changed, or until its permits had grown too old [s]."""
        return max(0.0, self.changed.sent_s - self.fault_s) if self.changed is not None else self.silent_s


def ends_s(row: Row, measured: Measured) -> float:
    """When the motion that the row asks about ended [s after the fault]: of the joints, where they are held.

    Arms that are given away sag, and are moved by the robot's own controller: there it is their targets' motion.
    """
    times = [0.0]
    if "head" in row.ends:
        times.append(measured.head_last_motion_s)
    if "arms" in row.ends:
        held = row.arms is Arms.HELD or measured.commanded_until_s is None
        times.append(measured.arms_last_motion_s if held else measured.commanded_until_s or 0.0)
    return max(times)


def problems(row: Row, seen: Seen) -> list[str]:
    """What is not as the row asks; empty = passed."""
    if seen.trouble or seen.measured is None:
        return [seen.trouble or "nothing was measured"]
    found = _of_state(row, seen) + _of_motion(row, seen.measured) + _of_arms(row, seen) + _of_after(row, seen)
    found += seen.also
    if seen.recovery:
        found.append(f"recovery: {seen.recovery}")
    return found


def _of_state(row: Row, seen: Seen) -> list[str]:
    state, reason = seen.reached
    found = []
    if state not in row.states:
        found.append(f"state {state} ({reason}); expected {' or '.join(row.states)}")
    names = [f.name for f in row.faults]
    warns = effect_of(row.faults) is Effect.WARN
    if names and warns and not seen.told & set(names):
        found.append(f"nobody reported {' or '.join(names)}")
    if names and not warns and not any(name in reason for name in names):
        found.append(f"reason {reason!r}; expected {' or '.join(names)}")
    within_s = row.noticed_s if row.seen_s is None else row.seen_s
    if row.moves and seen.changed is not None:
        found.append(f"{seen.changed.state} ({seen.changed.reason}); expected all to go on")
    if row.moves and not row.faults and seen.told:
        found.append(f"reported {', '.join(sorted(seen.told))}; expected nothing")
    if not row.moves and seen.seen_s is not None and seen.seen_s > within_s:
        found.append(f"seen after {seen.seen_s * 1e3:.0f} ms; expected {within_s * 1e3:.0f}")
    return found


def _of_motion(row: Row, m: Measured) -> list[str]:
    found = []
    bound_s, last_s = row.noticed_s + row.stop_s, ends_s(row, m)
    if last_s > bound_s:
        found.append(f"motion for {last_s * 1e3:.0f} ms; expected {row.noticed_s * 1e3:.0f} + {row.stop_s * 1e3:.0f}")
    if row.moves and not m.moves_at_end:
        found.append("motion ended; expected it to go on")
    if row.moves and m.pause_s > 0.0:
        found.append(f"head or arms stood for {m.pause_s * 1e3:.0f} ms; expected them to move all the time")
    for what, extreme, unit in (("speed", m.top_speed, "rad/s"), ("step", m.top_step, "rad a tick")):
        if extreme.share > OVERSHOOT:
            found.append(
                f"{what} of {extreme.joint} {extreme.value:.4g} {unit}, {extreme.share:.2f} of its limit; "
                f"expected {OVERSHOOT:g}"
            )
    return found


def _of_arms(row: Row, seen: Seen) -> list[str]:
    m = seen.measured
    assert m is not None
    if row.arms is Arms.THEIRS:
        return []
    if row.arms is Arms.HELD:
        held = m.weight_least == 1.0 and m.stiffness_end > 0.99
        return [] if held else [f"weight {m.weight_least:.2f}, stiffness {m.stiffness_end:.2f}; expected held arms"]
    found = []
    if m.released_s is None:
        found.append(f"weight {m.weight_end:.2f} at the end; expected released arms")
    elif m.released_s > row.released_s:
        found.append(f"released after {m.released_s:.2f} s; expected {row.released_s:.2f}")
    if m.weight_fall_per_s > MAX_RAMP_PER_S * RAMP_SLACK:
        found.append(f"weight fell by {m.weight_fall_per_s:.1f} a second; expected at most {MAX_RAMP_PER_S:g}")
    if row.arms is Arms.DAMPED:
        limp_s = None if m.limp_s is None else m.limp_s - (seen.seen_s or 0.0)
        if limp_s is None or limp_s > RAMP_S + SLACK_S:
            after = "never" if limp_s is None else f"{limp_s:.2f} s after the word"
            found.append(f"stiffness gone {after}; expected {RAMP_S:g}")
    return found


def _of_after(row: Row, seen: Seen) -> list[str]:
    if row.action.final or seen.after is None:
        return []
    found, expected = [], row.after or row.states
    if seen.after not in expected:
        found.append(f"{seen.after} once the fault was gone; expected {' or '.join(expected)}")
    moved = any(moved for group, moved in seen.moved_after.items() if group in (row.ends or seen.moved_after))
    if row.goes_on is True and not moved:
        found.append("no motion once the fault was gone; expected it to go on by itself")
    if row.goes_on is False and moved:
        found.append("motion once the fault was gone; expected a person to say go first")
    return found
