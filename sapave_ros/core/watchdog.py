"""From what is seen to what is permitted: findings and people's wishes become events, states become a permit."""

from __future__ import annotations

from dataclasses import dataclass, field

from sapave_ros.core.faults import PEOPLE, Effect, Fault, Findings, described, that_stop
from sapave_ros.core.health import Health
from sapave_ros.core.supervisor import MODES, REFUSED, Event, State, Supervisor
from sapave_ros.types import Grip, Mode, Permit, Source, Takeover

BLIND_AFTER_S = 0.2
"""Without a look at the streams for this long [s], the shortest staleness bound there is, one may have died unseen."""

CLOCK_JUMP_S = 0.05
"""ROS time that moves this much differently from the monotonic clock between two looks has been set [s]."""

JUMP_SHOWS_S = 0.5
"""A jump of the clock is over at once; it is told for this long [s], so that it is seen."""


@dataclass
class _Cause:
    """Why the robot is in HOLD. resumes_after_s: longest of its faults; None where a person has to say go."""

    resumes_after_s: float | None
    clear_since_s: float | None = None


@dataclass
class Watchdog:
    """What the watchdog knows. Times are monotonic [s] but for `ros_s`.

    health: the streams and the nodes' reports. stop_pressed: level of the emergency stop topic.
    """

    now_s: float
    health: Health = field(default_factory=Health)
    stop_pressed: bool = False

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.now_s)
        self.takeover = Takeover(self.now_s)
        self.findings: Findings = {Fault.STREAM_LOST: "nothing has been watched yet"}
        self._watched_s = self.now_s
        self._clocks: tuple[float, float] | None = None
        self._jump: tuple[float, str] | None = None
        self._cause: _Cause | None = None
        self._sequence = 0

    def update(self, now_s: float, ros_s: float) -> list[str]:
        """One look at everything; returns the transitions, for the log."""
        self.findings = self._look(now_s, ros_s)
        return self._apply(self._events(now_s), now_s)

    def stop(self, pressed: bool, now_s: float) -> list[str]:
        """The level of the emergency stop topic. Releasing it resets nothing."""
        self.stop_pressed = pressed
        reason = f"{Fault.STOP_BY_TOPIC.name}: {Fault.STOP_BY_TOPIC.row.meaning}"
        return self._apply([(Event.STOP, reason)] if pressed else [], now_s)

    def request(self, event: Event, now_s: float, ros_s: float) -> tuple[bool, str, list[str]]:
        """A person's ARM, DISARM or RESET: whether it took effect, the state or why not, and the transitions.

        ARM needs that nothing is wrong, RESET that nothing is wrong that stops.
        """
        said = self.update(now_s, ros_s)
        state, wrong = self.supervisor.state, that_stop(self.findings)
        refused = REFUSED.get((state, event), "")
        if refused and state is State.STARTING:
            refused = f"{refused} ({described(wrong)})"
        if not refused and event is Event.ARM:
            refused = described(wrong)
        if not refused and event is Event.RESET:
            refused = described({f: detail for f, detail in wrong.items() if f.row.effect is Effect.STOP})
        if refused:
            return False, f"{event.value}, refused in {state.name}: {refused}", said
        said += self._apply([(event, event.value)], now_s)
        return True, f"{self.supervisor.state.name}: {self.supervisor.reason}", said

    def permit(self, now_s: float) -> Permit:
        """What the controllers may do from now on."""
        self._sequence += 1
        supervisor = self.supervisor
        (head, head_source), (arms, arms_source) = (
            self._of_group(mode, grip)
            for mode, grip in zip(MODES[supervisor.state], (self.takeover.head, self.takeover.arms), strict=True)
        )
        return Permit(
            now_s, self._sequence, supervisor.state.name, supervisor.reason, head, arms, head_source, arms_source, now_s
        )

    def _of_group(self, mode: Mode, grip: Grip) -> tuple[Mode, Source]:
        if grip is Grip.NONE or self.supervisor.state is not State.TELEOP:
            return mode, Source.POLICY
        return (mode if grip is Grip.MOVE else Mode.HOLD), Source.TELEOP

    # ---- what is seen ----

    def _look(self, now_s: float, ros_s: float) -> Findings:
        findings = self.health.findings(now_s)
        blind_s, self._watched_s = now_s - self._watched_s, now_s
        if blind_s > BLIND_AFTER_S:
            # Permits went stale and everybody held; coming back as it was would set the robot in motion.
            findings[Fault.WATCHDOG_BLIND] = f"for {blind_s:.2f} s"
        if self._clocks is not None:
            jump_s = (ros_s - self._clocks[0]) - (now_s - self._clocks[1])
            if abs(jump_s) > CLOCK_JUMP_S:
                self._jump = (now_s, f"by {jump_s:+.3f} s")
        self._clocks = (ros_s, now_s)
        if self._jump is not None and now_s - self._jump[0] < JUMP_SHOWS_S:
            findings[Fault.CLOCK_JUMPED] = self._jump[1]
        if self.stop_pressed:
            findings[Fault.STOP_BY_TOPIC] = Fault.STOP_BY_TOPIC.row.meaning
        if self.takeover.stop:
            findings[Fault.STOP_BY_JOYSTICK] = Fault.STOP_BY_JOYSTICK.row.meaning
        return findings

    # ---- what follows ----

    def _events(self, now_s: float) -> list[tuple[Event, str]]:
        wrong = that_stop(self.findings)
        stops = {f: detail for f, detail in wrong.items() if f.row.effect is Effect.STOP}
        events = []
        people = {f: detail for f, detail in stops.items() if f in PEOPLE}
        if people:
            events.append((Event.STOP, described(people)))
        if stops:
            events.append((Event.DANGER, described(stops)))
        if wrong:
            events.append((Event.TROUBLE, described(wrong)))
            self._remember(wrong)
        else:
            events.append((Event.HELD if self.health.arms_held else Event.CLEAR, "all is well"))
            if self._recovered(now_s):
                events.append((Event.RECOVERED, f"goes on by itself after: {self.supervisor.reason}"))
        taken = self.takeover.head is not Grip.NONE or self.takeover.arms is not Grip.NONE
        events.append((Event.TAKE, "taken over by joystick") if taken else (Event.GIVE_BACK, "given back by joystick"))
        return events

    def _remember(self, wrong: Findings) -> None:
        """The cause of a HOLD is all that was wrong since it began; the most careful of them decides."""
        if self._cause is None and self.supervisor.state not in (State.ACTIVE, State.TELEOP):
            return
        # What a person had taken is nobody's after the hold: the policy does not go on with it by itself.
        person = self.supervisor.state is State.TELEOP
        times = [None if person else fault.row.resumes_after_s for fault in wrong]
        if self._cause is not None:
            times.append(self._cause.resumes_after_s)
        self._cause = _Cause(None if None in times else max(t for t in times if t is not None))

    def _recovered(self, now_s: float) -> bool:
        cause = self._cause
        if cause is None or cause.resumes_after_s is None or self.supervisor.state is not State.HOLD:
            return False
        if cause.clear_since_s is None:
            cause.clear_since_s = now_s
        return now_s - cause.clear_since_s >= cause.resumes_after_s

    def _apply(self, events: list[tuple[Event, str]], now_s: float) -> list[str]:
        said = self.supervisor.update(events, now_s)
        if self.supervisor.state is not State.HOLD:
            self._cause = None
        return said
