"""From what is seen to what is permitted: whatever happens, motion needs a person, and nothing that stops."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.core.faults import PEOPLE, Effect, Fault
from sapave_ros.core.health import Report, watches_of_table
from sapave_ros.core.supervisor import MODES, NO_STOP, Event, State
from sapave_ros.core.watchdog import BLIND_AFTER_S, CLOCK_JUMP_S, JUMP_SHOWS_S, Watchdog
from sapave_ros.graph import CAMERA_INFO
from sapave_ros.types import Grip, Mode, Permit, Source, Takeover

TICK_S = 0.02
ROS_S = 1_700_000_000.0
STOPS = [f for f in Fault if f.row.effect is Effect.STOP]
HOLDS = [f for f in Fault if f.row.effect is Effect.HOLD]
RESUMABLE = [f for f in HOLDS if f.row.resumes_after_s is not None]
BY_HAND = [f for f in HOLDS if f.row.resumes_after_s is None]
LONG_S = max(f.row.resumes_after_s or 0.0 for f in Fault) + 0.5
"""Whatever goes on by itself has done so after this long [s]."""


class Bench:
    """A watchdog whose streams all flow, with whatever a node reports besides."""

    def __init__(self) -> None:
        self.now_s, self.ros_ahead_s = 100.0, ROS_S
        self.watchdog = Watchdog(self.now_s)
        self.reports: dict[str, Report] = {}
        self.silent: set[str] = set()
        self.said: list[str] = []

    @property
    def state(self) -> State:
        return self.watchdog.supervisor.state

    @property
    def ros_s(self) -> float:
        return self.now_s + self.ros_ahead_s

    def find(self, *faults: Fault, node: str = "arm", held: bool = False) -> None:
        """What that node reports from now on."""
        self.reports[node] = Report(node, {f: f.name.lower() for f in faults}, held)

    def feed(self) -> None:
        health = self.watchdog.health
        for key in health.watches.keys() - self.silent:
            health.received(key, self.now_s)
        for report in self.reports.values():
            health.reported(report, self.now_s)

    def tick(self, step_s: float = TICK_S) -> Permit:
        self.now_s += step_s
        self.feed()
        self.said += self.watchdog.update(self.now_s, self.ros_s)
        return self.watchdog.permit(self.now_s)

    def run(self, seconds: float) -> Permit:
        for _ in range(round(seconds / TICK_S)):
            permit = self.tick()
        return permit

    def request(self, event: Event) -> tuple[bool, str]:
        done, text, said = self.watchdog.request(event, self.now_s, self.ros_s)
        self.said += said
        return done, text

    def take(self, head: Grip = Grip.NONE, arms: Grip = Grip.NONE, stop: bool = False) -> None:
        self.watchdog.takeover = Takeover(self.now_s, head, arms, stop)


def bench(state: State = State.STANDBY) -> Bench:
    """All is well, in that state, on the way that a person takes to it."""
    b = Bench()
    if state is State.STARTING:
        return b
    b.tick()
    assert b.state is State.STANDBY
    if state in (State.ACTIVE, State.TELEOP, State.HOLD):
        assert b.request(Event.ARM)[0]
    if state is State.TELEOP:
        b.take(arms=Grip.MOVE)
        b.tick()
    if state is State.HOLD:
        b.find(Fault.SERVO_HOT)
        b.tick()
        b.find()
        b.tick()
    if state is State.ESTOP:
        b.watchdog.stop(True, b.now_s)
        b.watchdog.stop(False, b.now_s)
    assert b.state is state
    return b


# ---- what a fault does ----


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_in_every_state(fault, state) -> None:
    b = bench(state)
    b.find(fault)
    permit = b.tick()
    moving, effect = state in (State.ACTIVE, State.TELEOP), fault.row.effect
    if state is State.ESTOP or fault in PEOPLE or (effect is Effect.STOP and (moving or state is State.HOLD)):
        expected = State.ESTOP
    elif moving:
        expected = {Effect.WARN: state, Effect.HOLD: State.HOLD}[effect]
    elif state is State.STARTING:
        expected = State.STANDBY if effect is Effect.WARN else State.STARTING
    else:
        expected = state
    assert b.state is expected
    assert (permit.state, permit.reason) == (expected.name, b.watchdog.supervisor.reason)
    if expected is not state and effect is not Effect.WARN:
        assert fault.name in permit.reason
        assert b.said[-1] == f"{state.name} -> {expected.name}: {permit.reason}"
    assert (Mode.MOVE in (permit.mode_head, permit.mode_arms)) == (expected in (State.ACTIVE, State.TELEOP))


@pytest.mark.parametrize("state", [State.STANDBY, State.HOLD])
@pytest.mark.parametrize("fault", [f for f in Fault if f not in PEOPLE])
def test_nothing_is_armed_while_something_is_wrong_that_stops(fault, state) -> None:
    b = bench(state)
    b.find(fault)
    b.feed()
    done, text = b.request(Event.ARM)
    assert done == (fault.row.effect is Effect.WARN)
    assert (b.state is State.ACTIVE) == done
    if not done:
        assert text.startswith("arm requested, refused in ")
        assert fault.name in (b.watchdog.supervisor.reason if b.state is State.ESTOP else text)


@pytest.mark.parametrize("watch", [w for w in watches_of_table() if w.required], ids=lambda w: w.key)
@pytest.mark.parametrize("state", [State.ACTIVE, State.TELEOP])
def test_each_stream_that_ends_holds_within_its_bound_and_does_not_resume(watch, state) -> None:
    b = bench(state)
    b.silent = {watch.key}
    b.reports = {}
    last_s = b.now_s
    while b.state is state:
        assert b.now_s <= last_s + watch.stale_after_s + 2 * TICK_S
        b.tick()
    assert b.state is State.HOLD
    assert watch.key in b.watchdog.supervisor.reason
    b.silent = set()
    b.run(LONG_S)
    assert b.state is State.HOLD


# ---- what goes on by itself ----


@pytest.mark.parametrize("fault", BY_HAND)
def test_what_a_person_has_to_see_never_resumes(fault) -> None:
    b = bench(State.ACTIVE)
    b.find(fault)
    b.tick()
    b.find()
    b.run(LONG_S)
    assert b.state is State.HOLD
    assert b.request(Event.ARM)[0]
    assert b.state is State.ACTIVE


@pytest.mark.parametrize("fault", RESUMABLE)
def test_what_may_resume_does_so_when_it_is_gone_for_its_time(fault) -> None:
    b = bench(State.ACTIVE)
    b.find(fault)
    b.run(3.0)
    assert b.state is State.HOLD
    b.find()
    b.tick()
    gone_s = b.now_s
    while b.state is State.HOLD:
        assert b.now_s < gone_s + fault.row.resumes_after_s + 2 * TICK_S
        b.tick()
    assert b.state is State.ACTIVE
    assert b.now_s >= gone_s + fault.row.resumes_after_s - 1e-6
    assert fault.name in b.watchdog.supervisor.reason


@pytest.mark.parametrize("first", HOLDS)
@pytest.mark.parametrize("second", HOLDS)
def test_the_most_careful_cause_of_a_hold_decides(first, second) -> None:
    """Also one that comes while the robot holds already, and is gone before the first."""
    b = bench(State.ACTIVE)
    b.find(first)
    b.tick()
    b.find(first, second)
    b.tick()
    b.find()
    times = [f.row.resumes_after_s for f in (first, second)]
    b.tick()
    if None in times:
        b.run(LONG_S)
        assert b.state is State.HOLD
    else:
        b.run(max(times) - 0.1)
        assert b.state is State.HOLD
        b.run(0.2)
        assert b.state is State.ACTIVE


@pytest.mark.parametrize("fault", RESUMABLE)
def test_a_fault_that_comes_back_begins_its_time_anew(fault) -> None:
    b = bench(State.ACTIVE)
    for _ in range(5):
        b.find(fault)
        b.tick()
        b.find()
        b.run(fault.row.resumes_after_s - 0.1)
        assert b.state is State.HOLD


@pytest.mark.parametrize("fault", RESUMABLE)
@pytest.mark.parametrize("end", [Event.DISARM, Event.RESET])
def test_nothing_resumes_where_a_person_ended_it(fault, end) -> None:
    b = bench(State.ACTIVE)
    b.find(fault)
    b.tick()
    if end is Event.RESET:
        b.watchdog.stop(True, b.now_s)
        b.watchdog.stop(False, b.now_s)
        b.tick()
    assert b.request(end)[0]
    b.find()
    b.run(LONG_S)
    assert b.state is State.STANDBY


def test_a_hold_that_was_no_interruption_of_motion_does_not_resume() -> None:
    b = bench(State.STARTING)
    b.find(held=True)
    b.tick()
    assert b.state is State.HOLD
    for fault in RESUMABLE:
        b.find(fault, held=True)
        b.run(1.0)
        b.find(held=True)
        b.run(LONG_S)
        assert b.state is State.HOLD


# ---- the watchdog itself ----


def test_a_watchdog_that_starts_anew_drops_no_arms() -> None:
    b = bench(State.STARTING)
    b.find(held=True)
    permit = b.tick()
    assert (permit.mode_head, permit.mode_arms) == (Mode.HOLD, Mode.HOLD)
    b.find()
    assert b.tick().mode_arms is Mode.HOLD
    assert b.request(Event.DISARM)[0]
    assert b.tick().mode_arms is Mode.RELEASE


@pytest.mark.parametrize("gap_s", [0.001, 0.1, BLIND_AFTER_S - 0.01, BLIND_AFTER_S + 0.01, 0.5, 5.0])
@pytest.mark.parametrize("state", [State.ACTIVE, State.TELEOP])
def test_a_watchdog_that_stood_still_does_not_resume(gap_s, state) -> None:
    """Stopped for seconds while ACTIVE, it came back, found everything fresh and gave the permit again by itself."""
    b = bench(state)
    b.run(1.0)
    permit = b.tick(gap_s)
    blind = gap_s > BLIND_AFTER_S
    assert b.state is (State.HOLD if blind else state)
    assert (Mode.MOVE in (permit.mode_head, permit.mode_arms)) == (not blind)
    assert (Fault.WATCHDOG_BLIND.name in b.watchdog.supervisor.reason) == blind
    b.run(LONG_S)
    assert b.state is (State.HOLD if blind else state)


def test_no_stream_may_be_lost_sooner_than_the_watchdog_counts_as_blind() -> None:
    assert min(w.stale_after_s for w in watches_of_table()) >= BLIND_AFTER_S


@settings(deadline=None)
@given(jump_s=st.floats(-3600.0, 3600.0).filter(lambda s: abs(abs(s) - CLOCK_JUMP_S) > 1e-3))
def test_a_clock_that_is_set_holds_and_is_told_long_enough_to_be_read(jump_s) -> None:
    b = bench(State.ACTIVE)
    b.run(0.2)
    b.ros_ahead_s += jump_s
    b.tick()
    jumped = abs(jump_s) > CLOCK_JUMP_S
    assert (b.state is State.HOLD) == jumped
    assert (Fault.CLOCK_JUMPED in b.watchdog.findings) == jumped
    b.run(JUMP_SHOWS_S - 0.1)
    assert (Fault.CLOCK_JUMPED in b.watchdog.findings) == jumped
    b.run(0.2)
    assert not b.watchdog.findings
    assert (b.state is State.HOLD) == jumped


def test_a_clock_that_is_slewed_does_no_harm() -> None:
    b = bench(State.ACTIVE)
    for _ in range(500):
        b.ros_ahead_s += 0.0005 * TICK_S  # NTP's fastest
        b.tick()
    assert b.state is State.ACTIVE


def test_before_everything_has_reported_arming_is_refused_with_what_is_missing() -> None:
    b = bench(State.STARTING)
    b.silent = {CAMERA_INFO}
    b.tick()
    done, text = b.request(Event.ARM)
    assert not done
    assert "not everything has reported yet" in text
    assert "camera_info never seen" in text
    assert b.watchdog.findings, "nothing is said to be well before it was looked at"
    assert Watchdog(0.0).findings


# ---- stops ----


@pytest.mark.parametrize("state", State)
def test_a_stop_wins_in_every_state_and_only_a_reset_ends_it(state) -> None:
    b = bench(state)
    b.take(head=Grip.MOVE, arms=Grip.MOVE)
    said = b.watchdog.stop(True, b.now_s)
    assert b.state is State.ESTOP
    assert bool(said) == (state is not State.ESTOP)
    assert b.tick().mode_head is Mode.DAMP
    assert not b.request(Event.RESET)[0], "still pressed"
    assert b.watchdog.stop(False, b.now_s) == []
    b.run(1.0)
    assert b.state is State.ESTOP
    for event in (Event.ARM, Event.DISARM):
        done, text = b.request(event)
        assert not done
        assert "reset first" in text
    assert b.request(Event.RESET)[0]
    assert b.state is State.STANDBY


@pytest.mark.parametrize("fault", STOPS)
def test_an_emergency_stop_is_not_reset_while_its_cause_lasts(fault) -> None:
    b = bench(State.ACTIVE)
    b.find(fault)
    b.tick()
    done, text = b.request(Event.RESET)
    assert not done
    assert fault.name in text
    b.find(Fault.SERVO_HOT)  # what only holds does not keep anybody from resetting
    b.tick()
    assert b.request(Event.RESET)[0]
    assert not b.request(Event.ARM)[0]


@pytest.mark.parametrize("state", [s for s in State if s is not State.ESTOP])
@pytest.mark.parametrize("fault", [None, Fault.SERVO_HOT, Fault.MOTOR_HOT])
def test_a_person_may_always_disarm_whatever_is_wrong(fault, state) -> None:
    b = bench(state)
    b.find(*([fault] if fault else []))
    b.silent = {CAMERA_INFO}
    b.feed()
    done, text = b.request(Event.DISARM)
    stopped = fault is Fault.MOTOR_HOT and state in (State.ACTIVE, State.TELEOP, State.HOLD)
    assert done == (not stopped)
    assert b.state is (State.ESTOP if stopped else State.STANDBY), text
    if done:
        assert text == f"STANDBY: {b.watchdog.supervisor.reason}"


@pytest.mark.parametrize("state", [s for s in State if s is not State.ESTOP])
def test_without_an_emergency_stop_there_is_nothing_to_reset(state) -> None:
    b = bench(state)
    b.silent = {CAMERA_INFO} if state is State.STARTING else set()
    b.feed()
    done, text = b.request(Event.RESET)
    assert not done
    assert text.startswith(f"reset requested, refused in {state.name}: {NO_STOP}")
    assert b.state is state


def test_the_stop_button_of_the_joystick_needs_no_report() -> None:
    b = bench(State.ACTIVE)
    b.take(stop=True)
    b.tick()
    assert b.state is State.ESTOP
    assert Fault.STOP_BY_JOYSTICK.name in b.watchdog.supervisor.reason


# ---- people at the joystick ----

GRIPS = list(itertools.product(Grip, Grip))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("head", "arms"), GRIPS)
def test_grips_are_respected_in_every_state(head, arms, state) -> None:
    b = bench(state)
    b.take(head, arms)
    permit = b.tick()
    taken = (head, arms) != (Grip.NONE, Grip.NONE)
    expected = {State.STARTING: State.STANDBY}.get(state, state)
    if state in (State.ACTIVE, State.TELEOP):
        expected = State.TELEOP if taken else State.ACTIVE
    assert b.state is expected
    grips_modes = zip((head, arms), MODES[expected], (False, True), strict=True)
    for grip, mode, is_arms in grips_modes:
        if expected is not State.TELEOP or grip is Grip.NONE:
            assert permit.of(is_arms) == (mode, Source.POLICY)
        else:
            assert permit.of(is_arms) == (Mode.MOVE if grip is Grip.MOVE else Mode.HOLD, Source.TELEOP)


# ---- whatever happens ----

findings = st.frozensets(st.sampled_from(Fault), max_size=2).map(
    lambda faults: {f for f in faults if f not in (Fault.WATCHDOG_BLIND, Fault.CLOCK_JUMPED)}
)
steps = st.one_of(
    st.tuples(st.just("find"), findings),
    st.tuples(st.just("find"), st.just(set())),
    st.tuples(st.just("find"), st.sampled_from(RESUMABLE).map(lambda f: {f})),
    st.tuples(st.just("request"), st.sampled_from([Event.ARM, Event.DISARM, Event.RESET])),
    st.tuples(st.just("request"), st.just(Event.ARM)),
    st.tuples(st.just("take"), st.tuples(st.sampled_from(Grip), st.sampled_from(Grip), st.booleans())),
    st.tuples(st.just("take"), st.just((Grip.NONE, Grip.NONE, False))),
    st.tuples(st.just("stop"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 120])),
    st.tuples(st.just("blind"), st.just(1.0)),
    st.tuples(st.just("jump"), st.sampled_from([-1.0, 1.0])),
    st.tuples(st.just("silent"), st.sampled_from([set(), {CAMERA_INFO}])),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=25))
def test_motion_needs_a_person_and_nothing_that_stops(sequence) -> None:
    b = Bench()
    # A person's word counts until something happens after which only a person may say go.
    allowed = False
    gone_since: dict[Fault, float] = {}  # causes of the present hold
    last: Permit | None = None
    clear_since_s: float | None = None

    for kind, what in sequence:
        if kind == "request":
            b.tick(TICK_S)
            done, text = b.request(what)
            assert text
            allowed = done if what is Event.ARM and done else allowed and not (done and what is not Event.ARM)
        elif kind == "find":
            b.find(*what)
        elif kind == "take":
            b.take(*what)
        elif kind == "stop":
            b.watchdog.stop(what, b.now_s)
            assert not what or b.state is State.ESTOP
        elif kind == "jump":
            b.ros_ahead_s += what
        elif kind == "silent":
            b.silent = what

        for _ in range(what if kind == "wait" else 2):
            before = b.state
            said = len(b.said)
            permit = b.tick(what if kind == "blind" else TICK_S)
            wrong = {f for f in b.watchdog.findings if f.row.effect is not Effect.WARN}
            if wrong:
                clear_since_s = None
                for fault in wrong:
                    gone_since[fault] = b.now_s
                if any(f.row.resumes_after_s is None for f in wrong):
                    allowed = False
            elif clear_since_s is None:
                clear_since_s = b.now_s
            if b.state in (State.STANDBY, State.ESTOP):
                allowed = False
                gone_since.clear()

            moves = Mode.MOVE in (permit.mode_head, permit.mode_arms)
            assert moves <= allowed, "a person armed, and nothing has happened since that needs one again"
            assert not (moves and wrong)
            if moves and before is State.HOLD:  # no request in this loop: it went on by itself
                for fault in gone_since:
                    assert b.now_s - clear_since_s >= fault.row.resumes_after_s - 1e-6
            if moves:
                gone_since.clear()

            assert permit.sent_s == permit.received_s == b.now_s
            assert last is None or (permit.sequence > last.sequence and permit.sent_s >= last.sent_s)
            last = permit
            for is_arms, grip in ((False, b.watchdog.takeover.head), (True, b.watchdog.takeover.arms)):
                mode, source = permit.of(is_arms)
                assert (source is Source.TELEOP) == (b.state is State.TELEOP and grip is not Grip.NONE)
                assert not (source is Source.TELEOP and grip is Grip.HOLD and mode is not Mode.HOLD)
            if b.state is State.TELEOP and before is not State.TELEOP:
                assert before in (State.ACTIVE, State.HOLD)
            if before is State.ESTOP:
                assert b.state is State.ESTOP, "a reset is a request"
            if b.watchdog.stop_pressed or b.watchdog.takeover.stop or wrong & PEOPLE:
                assert b.state is State.ESTOP
            transitions = b.said[said:]
            assert bool(transitions) == (b.state is not before)
            assert permit.reason
            for text in transitions:
                way, reason = text.split(": ", 1)
                assert " -> " in way
                assert reason
