"""A person takes over, in lockstep: who moves what and when, on injected time, through watchdog and controllers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1, graph
from sapave_ros.bench.rehearsal import MONO0_S, ROS0_S, FakePad, Rehearsal
from sapave_ros.bench.takeover import rehearse
from sapave_ros.core.chunk import ChunkExecutor
from sapave_ros.core.faults import Fault
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.jog import STEP_S, STEPS, Jog, Limb, TeleopParameters, Way, Wish, chunk
from sapave_ros.core.pads import REMOTE, load
from sapave_ros.core.supervisor import Event, State
from sapave_ros.core.teleop import STOP_SHOWS_S, Teleop
from sapave_ros.types import Grip, Mode, Permit, Source

PAD, IK = load("xbox"), HandIk()
HOME = {**g1.HEAD_HOME, **g1.ARMS_HOME}
STALE_S = graph.stream(graph.JOY).stale_after_s


def person(policy: bool = False, pad=PAD) -> Rehearsal:
    """Armed, with the deadman held."""
    rehearsal = Rehearsal(pad, policy=policy, start=HOME, ik=IK).arm()
    rehearsal.pad.do["deadman"] = 1.0
    rehearsal.run(0.1)
    return rehearsal


def taken(*groups: str, policy: bool = False, pad=PAD) -> Rehearsal:
    rehearsal = person(policy, pad)
    for group in groups:
        rehearsal.press(f"take_{group}")
    rehearsal.run(0.3)
    return rehearsal


def grips(rehearsal: Rehearsal) -> tuple[Grip, Grip]:
    return rehearsal.takeover.head, rehearsal.takeover.arms


def moved(rehearsal: Rehearsal, seconds: float) -> tuple[float, float]:
    """How far any joint of the head, and of the arms, was commanded to go in the next while [rad]."""
    begun = [track.positions[-1] for track in (rehearsal.head, rehearsal.arms)]
    rehearsal.run(seconds)
    ended = [track.positions[-1] for track in (rehearsal.head, rehearsal.arms)]
    head, arms = (float(np.abs(b - a).max()) for a, b in zip(begun, ended, strict=True))
    return head, arms


# ---- nothing moves but what was taken, with the deadman held ----

MOVES = ("forward", "left", "up", "tilt", "close", "open")


@pytest.mark.parametrize("function", [*MOVES, "take_head", "take_arms", "limb", "way", "fast", "joint_next"])
def test_without_the_deadman_no_stick_and_no_button_does_anything(function) -> None:
    rehearsal = taken("head", "arms")
    del rehearsal.pad.do["deadman"]
    rehearsal.run(0.3)
    limb, way = rehearsal.teleop.limb, rehearsal.teleop.way
    rehearsal.pad.do[function] = 1.0
    assert moved(rehearsal, 0.5) == (0.0, 0.0)
    assert grips(rehearsal) == (Grip.HOLD, Grip.HOLD)
    assert (rehearsal.teleop.limb, rehearsal.teleop.way) == (limb, way)


@pytest.mark.parametrize("function", MOVES)
def test_without_a_take_no_stick_does_anything(function) -> None:
    rehearsal = person()
    rehearsal.pad.do[function] = 1.0
    assert moved(rehearsal, 0.5) == (0.0, 0.0)
    assert grips(rehearsal) == (Grip.NONE, Grip.NONE)
    assert rehearsal.state is State.ACTIVE


def test_a_taken_group_moves_and_the_policy_keeps_the_other() -> None:
    rehearsal = taken("head", policy=True)
    assert grips(rehearsal) == (Grip.MOVE, Grip.NONE)
    assert rehearsal.state is State.TELEOP
    assert (rehearsal.head.sources[-1], rehearsal.arms.sources[-1]) == (Source.TELEOP, Source.POLICY)
    head, arms = moved(rehearsal, 0.4)
    assert head == 0.0
    assert arms > 0.3
    rehearsal.pad.do["left"] = 1.0
    assert moved(rehearsal, 0.4)[0] > 0.05


@pytest.mark.parametrize("group", ["head", "arms"])
def test_released_means_no_chunk_and_hold_in_the_same_tick(group) -> None:
    rehearsal = taken(group)
    rehearsal.pad.do["forward"] = 1.0
    rehearsal.run(0.5)
    track = rehearsal.head if group == "head" else rehearsal.arms
    assert np.abs(track.speeds()[-1]).max() > 0.1
    del rehearsal.pad.do["deadman"]
    accepted = track.controller.accepted
    rehearsal.run(0.002)
    assert getattr(rehearsal.takeover, group) is Grip.HOLD
    rehearsal.run(0.02 + track.controller.gate.limits.stop_within_s)
    assert track.controller.accepted == accepted
    assert track.controller.limiter.at_rest
    assert rehearsal.state is State.TELEOP  # still taken
    assert track.kick_ratios().max() <= 1.0 + 1e-6
    assert moved(rehearsal, 0.5) == (0.0, 0.0)


def test_a_stick_that_was_held_before_moves_nothing_until_it_was_let_go() -> None:
    rehearsal = person()
    rehearsal.pad.do["left"] = 1.0
    rehearsal.press("take_head")
    rehearsal.run(0.3)
    assert grips(rehearsal)[0] is Grip.MOVE
    assert moved(rehearsal, 0.5) == (0.0, 0.0)
    rehearsal.pad.do["left"] = 0.0
    rehearsal.run(0.1)
    rehearsal.pad.do["left"] = 1.0
    assert moved(rehearsal, 0.5)[0] > 0.05


@pytest.mark.parametrize("button", ["limb", "way", "deadman"])
def test_after_every_change_a_stick_has_to_be_let_go(button) -> None:
    rehearsal = taken("head", "arms")
    rehearsal.pad.do["forward"] = 1.0
    assert max(moved(rehearsal, 0.5)) > 0.02
    if button == "deadman":
        del rehearsal.pad.do["deadman"]
        rehearsal.run(0.3)
        rehearsal.pad.do["deadman"] = 1.0
    else:
        rehearsal.press(button)
    rehearsal.run(0.5)
    assert moved(rehearsal, 0.5) == pytest.approx((0.0, 0.0), abs=1e-3)


def test_a_trigger_that_the_driver_says_is_half_pulled_until_it_is_touched_closes_no_hand() -> None:
    """Drivers say 0 before an axis first moves, which is half-way for a trigger that rests at 1."""
    rehearsal = person()
    rehearsal.pad.do["close"] = 0.5
    rehearsal.press("take_arms")
    rehearsal.run(0.3)
    axis = PAD.places["close"].axis
    assert rehearsal.pad.message()[0][axis] == 0.0
    assert moved(rehearsal, 1.0) == (0.0, 0.0)
    rehearsal.pad.do["forward"] = 1.0  # a stick is not held up by it
    assert moved(rehearsal, 0.5)[1] > 0.02


# ---- when it ends ----


def test_given_back_the_policy_goes_on_from_where_the_person_left_it() -> None:
    rehearsal = taken("head", "arms", policy=True)
    rehearsal.press("take_head")
    assert rehearsal.takeover.head is Grip.NONE
    assert rehearsal.head.sources[-1] is Source.POLICY
    assert rehearsal.arms.sources[-1] is Source.TELEOP
    rehearsal.press("take_arms")
    rehearsal.run(0.1)
    assert rehearsal.state is State.ACTIVE
    head, arms = moved(rehearsal, 0.5)
    assert min(head, arms) > 0.2


def test_with_the_joystick_gone_everything_holds_until_a_person_takes_again() -> None:
    rehearsal = taken("arms", policy=True)
    rehearsal.pad.do["forward"] = 1.0
    rehearsal.run(0.3)
    rehearsal.connected = False
    rehearsal.run(STALE_S + 0.1)
    assert rehearsal.state is State.HOLD
    assert Fault.JOYSTICK_LOST.name in rehearsal.watchdog.supervisor.reason
    assert grips(rehearsal) == (Grip.NONE, Grip.NONE)  # the watchdog holds: the takeover has ended
    assert not rehearsal.teleop.findings()
    rehearsal.run(0.5)
    assert moved(rehearsal, 1.0) == (0.0, 0.0)
    rehearsal.connected = True
    assert moved(rehearsal, 1.0) == (0.0, 0.0)
    ok, said, _ = rehearsal.watchdog.request(Event.ARM, MONO0_S + rehearsal.t, ROS0_S + rehearsal.t)
    assert ok, said
    rehearsal.run(0.5)
    assert grips(rehearsal) == (Grip.NONE, Grip.NONE)
    assert rehearsal.state is State.ACTIVE


def test_a_silent_joystick_holds_at_once_and_coming_back_does_not_move_on() -> None:
    """Before the watchdog has said anything."""
    rehearsal = taken("head")
    rehearsal.pad.do["left"] = 1.0
    rehearsal.run(0.3)
    teleop, now_s = rehearsal.teleop, MONO0_S + rehearsal.t
    assert teleop.update(now_s)[1] is not None
    now_s += STALE_S + 0.05
    permit = Permit(now_s, 10**6, "TELEOP", "", Mode.MOVE, Mode.MOVE, sent_s=now_s)
    teleop.permit(permit, now_s)
    takeover, wish = teleop.update(now_s)
    assert takeover.head is Grip.HOLD
    assert wish is None
    assert Fault.JOYSTICK_LOST in teleop.findings()
    for do in ({}, {"deadman": 1.0}):
        rehearsal.pad.do = do
        now_s += 0.02
        teleop.hear(PAD, *rehearsal.pad.message(), now_s, ROS0_S + rehearsal.t + now_s)
        assert teleop.update(now_s)[0].head is Grip.HOLD
        assert Fault.JOYSTICK_LOST in teleop.findings()  # until the takeover has ended


def test_a_deadman_that_is_down_when_the_joystick_comes_back_does_not_count() -> None:
    teleop, fake = Teleop(TeleopParameters()), FakePad(PAD)
    fake.do = {"deadman": 1.0}
    teleop.hear(PAD, *fake.message(), 10.0)
    assert teleop.urgent == (False, False)
    fake.do = {}
    teleop.hear(PAD, *fake.message(), 10.1)
    fake.do = {"deadman": 1.0}
    teleop.hear(PAD, *fake.message(), 10.2)
    assert teleop.urgent == (True, False)
    teleop.hear(PAD, *fake.message(), 11.0)  # it was silent
    assert teleop.urgent == (False, False)


MALFORMED = {
    "too few axes": lambda axes, buttons: (axes[:-1], buttons),
    "too few buttons": lambda axes, buttons: (axes, buttons[:-1]),
    "empty": lambda axes, buttons: ([], []),
    "no number": lambda axes, buttons: ([float("nan"), *axes[1:]], buttons),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_message_that_makes_no_sense_is_a_lost_joystick(case) -> None:
    rehearsal = taken("head")
    rehearsal.pad.do["left"] = 1.0
    rehearsal.run(0.3)
    axes, buttons = MALFORMED[case](*rehearsal.pad.message())
    now_s = MONO0_S + rehearsal.t
    rehearsal.teleop.hear(PAD, axes, buttons, now_s, ROS0_S + rehearsal.t)
    takeover, wish = rehearsal.teleop.update(now_s)
    assert takeover.head is Grip.HOLD
    assert wish is None
    assert Fault.JOYSTICK_LOST in rehearsal.teleop.findings()
    rehearsal.run(0.1)
    assert rehearsal.state is State.HOLD


def test_a_pad_out_of_reach_whose_driver_repeats_itself_comes_to_rest() -> None:
    rehearsal = taken("head")
    rehearsal.pad.do["left"] = 0.4
    rehearsal.run(TeleopParameters().repeats_s + 0.6)
    assert max(moved(rehearsal, 1.0)) < 1e-6
    assert "says the same" in rehearsal.teleop.remark
    rehearsal.pad.do["left"] = 0.3
    assert max(moved(rehearsal, 0.5)) < 1e-6
    rehearsal.pad.do["left"] = 0.0
    rehearsal.run(0.1)
    rehearsal.pad.do["left"] = -0.5
    assert moved(rehearsal, 0.5)[0] > 0.01


@pytest.mark.parametrize("state", [s for s in State if s not in (State.ACTIVE, State.TELEOP)])
def test_every_takeover_ends_where_the_watchdog_permits_no_motion(state) -> None:
    rehearsal = taken("head", "arms")
    now_s = MONO0_S + rehearsal.t
    rehearsal.teleop.permit(Permit(now_s, 10**6, state.name, "", Mode.MOVE, Mode.MOVE, sent_s=now_s), now_s)
    takeover, wish = rehearsal.teleop.update(now_s)
    assert (takeover.head, takeover.arms) == (Grip.NONE, Grip.NONE)
    assert wish is None
    fake = rehearsal.pad
    for i, do in enumerate(({"deadman": 1.0}, {"deadman": 1.0, "take_head": 1.0})):
        fake.do = do
        rehearsal.teleop.hear(PAD, *fake.message(), now_s + 0.01 * i, ROS0_S + rehearsal.t + 0.01 + 0.01 * i)
    assert rehearsal.teleop.update(now_s + 0.02)[0].head is Grip.NONE
    assert f"not taken: {state.name}" in rehearsal.teleop.remark


def test_without_a_fresh_permit_what_is_taken_stands_and_stays_taken() -> None:
    """Given back on a missed permit, the policy would go on in the hand of a person who believes to hold it."""
    rehearsal = taken("head")
    rehearsal.pad.do["left"] = 1.0
    rehearsal.run(0.3)
    now_s = MONO0_S + rehearsal.t + graph.PERMIT_STALE_AFTER_S + 0.01
    rehearsal.teleop.permit(rehearsal.permit, now_s)
    takeover, wish = rehearsal.teleop.update(now_s)
    assert takeover.head is Grip.HOLD
    assert wish is None


# ---- buttons ----


def test_a_stop_pressed_for_one_message_is_told_long_enough_and_needs_no_deadman() -> None:
    rehearsal = Rehearsal(PAD, policy=True, start=HOME, ik=IK).arm()
    rehearsal.pad.do = {"stop": 1.0}
    rehearsal.run(0.002)
    assert rehearsal.takeover.stop
    rehearsal.pad.do = {}
    rehearsal.run(STOP_SHOWS_S - 0.01)
    assert rehearsal.takeover.stop
    assert rehearsal.state is State.ESTOP
    rehearsal.run(0.1)
    assert not rehearsal.takeover.stop
    assert rehearsal.state is State.ESTOP


def test_a_message_heard_twice_presses_nothing_twice() -> None:
    """Several subscriptions hear the same joystick, in any order."""
    rehearsal = person()
    messages = []
    for do in ({"deadman": 1.0}, {"deadman": 1.0, "take_head": 1.0}):
        rehearsal.pad.do = do
        rehearsal.run(0.15)
        messages.append((rehearsal.pad.message(), MONO0_S + rehearsal.t, ROS0_S + rehearsal.t))
    for (axes, buttons), now_s, ros_s in messages * 3:
        rehearsal.teleop.hear(PAD, axes, buttons, now_s + 0.01, ros_s - 0.01)
    rehearsal.run(0.1)
    assert rehearsal.takeover.head is not Grip.NONE


def test_the_sticks_are_passed_on_among_what_is_taken() -> None:
    rehearsal = taken("head")
    assert rehearsal.teleop.limb is Limb.HEAD
    rehearsal.press("limb")
    assert rehearsal.teleop.limb is Limb.HEAD
    rehearsal.press("take_arms")
    seen = []
    for _ in range(4):
        seen.append(rehearsal.teleop.limb)
        rehearsal.press("limb")
    assert seen == [Limb.LEFT, Limb.RIGHT, Limb.HEAD, Limb.LEFT]
    rehearsal.press("take_arms")
    assert rehearsal.teleop.limb is Limb.HEAD


def test_joint_by_joint_moves_the_joint_that_was_chosen_alone() -> None:
    rehearsal = taken("arms")
    rehearsal.press("way")
    rehearsal.press("way")
    assert rehearsal.teleop.way is Way.JOINT
    for _ in range(3):
        rehearsal.press("joint_next")
    begun = rehearsal.arms.positions[-1]
    rehearsal.pad.do["forward"] = 1.0
    rehearsal.run(0.5)
    change = rehearsal.arms.positions[-1] - begun
    assert np.flatnonzero(change).tolist() == [g1.OTHER.names.index("left_elbow_joint")]
    assert change.max() > 0.03


def test_fingers_close_and_open_by_the_triggers_in_every_way() -> None:
    for way in range(3):
        rehearsal = taken("arms")
        for _ in range(way):
            rehearsal.press("way")
        begun = rehearsal.arms.positions[-1]
        rehearsal.pad.do["close"] = 1.0
        rehearsal.run(0.5)
        change = rehearsal.arms.positions[-1] - begun
        assert np.all(change[14:20] > 0.01)
        assert not change[:14].any()
        assert not change[20:].any()
        rehearsal.pad.do = {"deadman": 1.0, "open": 1.0}
        rehearsal.run(1.2)
        assert np.all(rehearsal.arms.positions[-1][14:20] < begun[14:20])


# ---- how it moves ----


@given(stick=st.floats(0.2, 1.0), sign=st.sampled_from([1.0, -1.0]), fast=st.booleans())
@settings(deadline=None, max_examples=12)
def test_the_speed_of_the_head_is_that_of_the_stick(stick, sign, fast) -> None:
    """Fifty short chunks a second, blended and limited, come out as one constant speed; and it stops without a step."""
    rehearsal, config = taken("head"), TeleopParameters()
    if fast:
        rehearsal.pad.do["fast"] = 1.0
    rehearsal.pad.do["left"] = sign * stick
    rehearsal.run(0.7)
    way = (stick - config.dead_zone) / (1.0 - config.dead_zone)
    curve = (1.0 - config.expo) * way + config.expo * way**3
    wanted = sign * curve * config.head_rad_s * (1.0 if fast else config.slow_share)
    speeds = rehearsal.head.speeds()[-10:, 0]
    np.testing.assert_allclose(speeds, wanted, rtol=0.02)
    rehearsal.pad.do["left"] = 0.0
    rehearsal.run(0.8)
    assert np.abs(rehearsal.head.speeds()[-10:]).max() < 2e-3
    assert rehearsal.head.kick_ratios().max() < 1.0


@pytest.mark.parametrize(("stick", "axis", "sign"), [("forward", 0, -1), ("left", 1, 1), ("up", 2, 1)])
def test_a_hand_moves_at_the_speed_of_the_stick_in_the_torso(stick, axis, sign) -> None:
    """From the ready pose, at slow speed: within 3 %, and within 2 mm of the line, through chunks and limiter."""
    rehearsal, config = taken("arms"), TeleopParameters()
    begin = IK.hand_in_torso("left", rehearsal.arms.positions[-1][:7])
    rehearsal.pad.do[stick] = float(sign)
    rehearsal.run(1.0)
    a, b = (IK.hand_in_torso("left", rehearsal.arms.positions[i][:7])[:3, 3] for i in (-76, -1))
    speed = (b - a) / 0.3
    assert speed[axis] == pytest.approx(sign * config.hand_m_s * config.slow_share, rel=0.03)
    assert np.abs(np.delete(b - begin[:3, 3], axis)).max() < 0.002
    np.testing.assert_array_equal(rehearsal.arms.positions[-1][7:], rehearsal.arms.positions[0][7:])


@pytest.mark.parametrize("group", ["head", "arms"])
def test_pushing_on_at_the_end_of_a_range_winds_nothing_up(group) -> None:
    """The reference ran on beyond the range, and the stick moved nothing on its way back until that was undone."""
    rehearsal = taken(group)
    if group == "arms":
        rehearsal.press("way")
        rehearsal.press("way")
    stick, track = ("left", rehearsal.head) if group == "head" else ("forward", rehearsal.arms)
    rehearsal.pad.do.update({"fast": 1.0, stick: 1.0})
    rehearsal.run(2.8 if group == "head" else 2.95)
    rehearsal.pad.do[stick] = 0.9  # another message: it is not lost
    rehearsal.run(2.9)
    joint = 0
    if group == "head":
        assert track.positions[-1][joint] == pytest.approx(g1.HEAD.upper[0], abs=0.01)
    begun = track.positions[-1][joint]
    rehearsal.pad.do[stick] = -1.0
    rehearsal.run(0.8)
    assert track.positions[-1][joint] < begun - 0.1


def test_a_joint_that_does_not_come_along_is_waited_for() -> None:
    """What slows a command down on its way (another part of the robot is near) must not be hurried after."""
    config = TeleopParameters()
    jog = Jog(config, None)
    pace = {"forward": 0.0, "left": 1.0, "up": 0.0, "tilt": 0.0, "close": 0.0, "open": 0.0}
    wish = Wish(Limb.HEAD, Way.ALONG, 0, pace)
    asked, now_s, stuck = 0.0, 100.0, np.zeros(2)
    for _ in range(200):
        now_s += 0.02
        asked += jog.rates(wish, stuck, None, now_s)[0][0] * 0.02
    assert 0.02 < asked < 0.25  # of 3.2 rad


def test_without_pinocchio_the_head_and_single_joints_still_move() -> None:
    jog, now_s = Jog(TeleopParameters(), None), 100.0
    pace = {"forward": 1.0, "left": 0.0, "up": 0.0, "tilt": 0.0, "close": 0.0, "open": 0.0}
    q = np.array([HOME.get(j.name, (j.lower + j.upper) / 2) for j in g1.OTHER.joints])
    for limb, way, moves in (
        (Limb.HEAD, Way.ALONG, "head"),
        (Limb.LEFT, Way.JOINT, "arms"),
        (Limb.LEFT, Way.ALONG, ""),
    ):
        for _ in range(5):
            now_s += 0.02
            head, arms = jog.rates(Wish(limb, way, 3, pace), np.zeros(2), q, now_s)
        assert bool(head.any()) == (moves == "head")
        assert bool(arms.any()) == (moves == "arms")


def test_nothing_moves_from_where_nobody_knows() -> None:
    jog, now_s = Jog(TeleopParameters(), IK), 100.0
    pace = dict.fromkeys(("forward", "left", "up", "tilt", "close", "open"), 1.0)
    for limb in Limb:
        for way in Way:
            now_s += 0.02
            head, arms = jog.rates(Wish(limb, way, 0, pace), None, None, now_s)
            assert not head.any()
            assert not arms.any()


def test_silence_of_the_node_brings_the_joints_to_rest() -> None:
    executor = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"))
    executor.record(1.0, np.zeros(2))
    assert executor.accept(chunk(1.0, g1.HEAD.names, np.array([0.5, -0.5])), 1.0) is None
    position, velocity = executor.sample(1.0 + STEPS * STEP_S + 1e-6)
    np.testing.assert_allclose(position, np.array([0.5, -0.5]) * STEPS * STEP_S)
    assert not velocity.any()


# ---- the whole of it ----


@pytest.fixture(scope="module", params=["xbox", "game_controller"])
def played(request):
    return rehearse(request.param)[0]


@pytest.mark.parametrize("group", ["head", "arms"])
def test_no_change_of_hands_is_a_step(played, group) -> None:
    """The policy at full speed, taken, moved by stick, let go, given back: no command steps by more than the velocity
    limit allows in one tick, no speed by more than the acceleration limit does."""
    figures = played[group].figures()
    assert figures["changes"] >= 4
    assert figures["step_at_changes"] > 0.5  # it was in motion
    assert figures["step"] <= 1.0 + 1e-6
    assert figures["speed_change"] <= 1.0 + 1e-6


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=6)
def test_whatever_a_person_does_with_both_hands_every_command_keeps_the_limits(seed) -> None:
    rng = np.random.default_rng(seed)
    rehearsal = taken("head", "arms", policy=True)
    functions = [name for name in PAD.places if name != "stop"]
    for _ in range(25):
        chosen = rng.choice(functions, size=rng.integers(0, 5), replace=False)
        rehearsal.pad.do = {
            str(f): 1.0 if f in PAD.places and f not in MOVES[:4] else rng.uniform(-1, 1) for f in chosen
        }
        if rng.random() < 0.8:
            rehearsal.pad.do["deadman"] = 1.0
        rehearsal.run(float(rng.uniform(0.02, 0.3)))
    for track in (rehearsal.head, rehearsal.arms):
        q, limits = np.array(track.positions), track.controller.gate.limits
        assert np.isfinite(q).all()
        assert np.all((q >= limits.lower - 1e-9) & (q <= limits.upper + 1e-9))
        assert track.step_ratios().max() <= 1.0 + 1e-6
        assert track.kick_ratios().max() <= 1.02
        assert not track.controller.gate.refused


def test_the_unitree_remote_takes_over_too() -> None:
    rehearsal = taken("arms", pad=load(REMOTE))
    begin = IK.hand_in_torso("left", rehearsal.arms.positions[-1][:7])
    rehearsal.pad.do["up"] = 1.0
    rehearsal.run(1.0)
    end = IK.hand_in_torso("left", rehearsal.arms.positions[-1][:7])
    assert (end - begin)[2, 3] > 0.03
