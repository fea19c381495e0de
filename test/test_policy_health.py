"""What chunks tell about a policy: each fault shows after its time, and a healthy search and rest show none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import g1
from sapave_ros.core.faults import Fault
from sapave_ros.core.policy_health import (
    CHATTER_FOR_S,
    CHATTER_SHARE,
    CHATTER_SPEED_SHARE,
    IDLE_FOR_S,
    LATE_IN_A_ROW,
    SILENT_AFTER_S,
    STUCK_FOR_S,
    PolicyHealth,
)
from sapave_ros.types import ActionChunk

PERIOD_S, DELAY_S, DT_S, STEPS = 1 / 7.5, 0.06, 0.1, 16
GROUPS = {"head": g1.HEAD, "arms": g1.OTHER}


class Policy:
    """A policy that sends a chunk every `PERIOD_S`, made by a function of its number."""

    def __init__(self, group: str = "head", health: PolicyHealth | None = None) -> None:
        self.health = health or PolicyHealth()
        if health is None:
            self.health.instructed("look at the red mug", 0.0)
        self.group, self.names = group, GROUPS[group].names
        self.now_s, self.count = 0.0, 0
        self.random = np.random.default_rng(0)

    def send(self, increments, delay_s: float = DELAY_S) -> dict[Fault, str]:
        self.now_s += PERIOD_S
        self.count += 1
        ros_s = 1e9 + self.now_s
        chunk = ActionChunk(ros_s - delay_s, DT_S, self.names, np.asarray(increments, dtype=float))
        self.health.chunk(self.group, chunk, self.now_s, ros_s)
        return self.health.findings(self.now_s)

    def steady(self, velocity) -> np.ndarray:
        """Increments of a velocity (n,) or scalar [rad/s], with the last digits of an answer to another picture."""
        steps = np.full((STEPS, len(self.names)), 1.0) * np.asarray(velocity) * DT_S
        return steps + self.random.normal(0, 1e-6, steps.shape)


def after(policy: Policy, seconds: float, make) -> tuple[dict[Fault, str], float | None]:
    """The findings at the end, and when the first came [s]."""
    first = None
    begun = policy.now_s
    while policy.now_s - begun < seconds:
        found = policy.send(make(policy.count))
        if found and first is None:
            first = policy.now_s - begun
    return found, first


@pytest.mark.parametrize("group", GROUPS)
def test_a_search_that_turns_round_now_and_then_shows_nothing(group) -> None:
    policy = Policy(group)
    found, first = after(policy, 20.0, lambda i: policy.steady(1.2 * np.sign(np.sin(i * PERIOD_S * 2 * np.pi / 1.0))))
    assert (found, first) == ({}, None)


# ---- late ----


@pytest.mark.parametrize("group", GROUPS)
def test_chunks_of_which_most_is_past_are_late_and_one_on_time_ends_it(group) -> None:
    policy, half_s = Policy(group), 0.5 * STEPS * DT_S
    for i in range(1, LATE_IN_A_ROW + 3):
        found = policy.send(policy.steady(0.5), half_s + 0.01)
        assert (Fault.CHUNKS_LATE in found) == (i >= LATE_IN_A_ROW)
    assert found[Fault.CHUNKS_LATE].startswith(f"{group}: 51 %")
    assert policy.send(policy.steady(0.5), half_s - 0.01) == {}


def test_the_other_groups_chunks_say_nothing_about_late_ones() -> None:
    """The text told of whichever chunk came last, on time or not."""
    head = Policy("head")
    arms = Policy("arms", head.health)
    for _ in range(LATE_IN_A_ROW):
        head.send(head.steady(0.5), 1.0)
        found = arms.send(arms.steady(0.5))
    assert found == {Fault.CHUNKS_LATE: "head: 62 % of the last one was past, at most 50 %"}


def test_chunks_that_end_are_not_late_for_ever() -> None:
    policy = Policy("arms")
    for _ in range(LATE_IN_A_ROW):
        found = policy.send(policy.steady(0.5), 1.0)
    assert found
    assert policy.health.findings(policy.now_s + SILENT_AFTER_S + 0.01) == {}


# ---- stuck ----


@pytest.mark.parametrize("group", GROUPS)
def test_the_same_answer_to_every_picture_is_stuck(group) -> None:
    policy = Policy(group)
    same = policy.steady(0.3)
    found, first = after(policy, STUCK_FOR_S + 1.0, lambda _: same)
    assert list(found) == [Fault.POLICY_STUCK]
    assert STUCK_FOR_S < first - PERIOD_S < STUCK_FOR_S + 2 * PERIOD_S
    changed = same.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], 1.0)
    assert policy.send(changed) == {}, "one bit is another answer"


def test_a_policy_with_nothing_to_do_may_say_the_same() -> None:
    policy = Policy()
    same = policy.steady(0.3)
    after(policy, 5.0, lambda _: same)
    policy.health.instructed("", policy.now_s)
    found, first = after(policy, 10.0, lambda _: same)
    assert (found, first) == ({}, None)


def test_an_instruction_that_is_said_again_begins_nothing_anew() -> None:
    """Whoever repeated the instruction ten times a second kept a stuck policy from being seen."""
    policy = Policy()
    same = policy.steady(0.3)

    def make(_: int) -> np.ndarray:
        policy.health.instructed("look at the red mug", policy.now_s)
        return same

    assert list(after(policy, 4.0, make)[0]) == [Fault.POLICY_STUCK]
    policy.health.instructed("find the blue ball", policy.now_s)
    assert policy.health.findings(policy.now_s) == {}


# ---- idle ----


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("group", GROUPS)
def test_a_policy_that_rests_is_told_as_idle_and_as_nothing_else(group, zeros) -> None:
    policy = Policy(group)
    rest = np.zeros((STEPS, len(policy.names)))
    found, first = after(policy, IDLE_FOR_S + 1.0, lambda _: rest if zeros else policy.steady(0.005))
    assert list(found) == [Fault.POLICY_IDLE]
    assert IDLE_FOR_S < first - PERIOD_S < IDLE_FOR_S + 2 * PERIOD_S
    assert policy.send(policy.steady(0.1)) == {}


def test_one_joint_that_moves_is_not_idle_nor_is_a_motion_to_and_fro() -> None:
    policy = Policy("arms")
    velocity = np.zeros(len(policy.names))
    velocity[17] = 0.1
    assert after(policy, 10.0, lambda _: policy.steady(velocity))[1] is None
    policy = Policy()
    wave = 0.05 * np.sin(np.linspace(0, 2 * np.pi, STEPS + 1))  # ends where it began
    assert after(policy, 10.0, lambda _: np.diff(wave)[:, None] + policy.steady(0.0))[1] is None


# ---- chatter ----


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("factor", [0.9, 1.1, 5.0])
def test_to_and_fro_with_every_chunk_is_chatter_above_an_amplitude(group, factor) -> None:
    policy = Policy(group)
    joint = len(policy.names) - 1
    velocity = np.zeros(len(policy.names))
    velocity[joint] = factor * CHATTER_SPEED_SHARE * GROUPS[group].column("velocity")[joint]
    found, first = after(policy, 6.0, lambda i: policy.steady(velocity * (-1) ** i))
    assert (Fault.POLICY_CHATTERS in found) == (factor > 1.0)
    if factor > 1.0:
        assert policy.names[joint] in found[Fault.POLICY_CHATTERS]
        assert CHATTER_FOR_S < first <= CHATTER_FOR_S + 3 * PERIOD_S


def test_what_counts_is_the_part_of_a_chunk_that_is_executed() -> None:
    policy = Policy()

    def make(i: int) -> np.ndarray:
        increments = policy.steady(0.3)
        increments[4:] *= (-1) ** i  # at 0.4 s and later: the next chunk comes at 0.2 s
        return increments

    assert after(policy, 6.0, make)[1] is None


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_chatter_is_a_share_of_turns(share, seed) -> None:
    """Turns at random times, more or fewer than the share that counts."""
    random, policy, sign = np.random.default_rng(seed), Policy(), 1.0
    turns: list[tuple[float, bool]] = []
    for _ in range(40):
        turn = bool(random.random() < share)
        sign = -sign if turn else sign
        # A chunk is judged when the next one comes, which ends its time.
        found = policy.send(policy.steady(0.5 * sign))
        turns.append((policy.now_s, turn))
        recent = [t for s, t in turns[:-1] if policy.now_s - s <= CHATTER_FOR_S + PERIOD_S + 1e-9]
        if policy.now_s < CHATTER_FOR_S + 3 * PERIOD_S:
            continue
        mean = np.mean(recent)
        if abs(mean - CHATTER_SHARE) > 0.1:
            assert (Fault.POLICY_CHATTERS in found) == (mean > CHATTER_SHARE)


def test_slow_turns_are_deliberate() -> None:
    policy, health = Policy(), PolicyHealth()
    health.instructed("x", 0.0)
    for i in range(40):
        now_s = 0.5 * i
        health.chunk("head", ActionChunk(now_s, DT_S, policy.names, policy.steady(0.5 * (-1) ** i)), now_s, now_s)
        assert health.findings(now_s) == {}


# ---- what else may come ----


def test_groups_are_judged_apart() -> None:
    head = Policy("head")
    arms = Policy("arms", head.health)
    same = head.steady(0.3)
    for i in range(40):
        head.send(same)
        found = arms.send(arms.steady(0.5 * (-1) ** i))
    assert found.keys() == {Fault.POLICY_STUCK, Fault.POLICY_CHATTERS}
    assert found[Fault.POLICY_STUCK].startswith("head: ")
    assert found[Fault.POLICY_CHATTERS].startswith("arms: ")


def test_left_and_right_in_turn_are_followed_apart() -> None:
    policy = Policy("arms")
    left, right = (tuple(n for n in g1.ARMS.names if n.startswith(side)) for side in ("left", "right"))
    for i in range(80):
        policy.names = (left, right)[i % 2]
        assert policy.send(policy.steady(0.3 if i % 2 else -0.3)) == {}


def test_after_a_silence_judgement_begins_anew() -> None:
    policy = Policy()
    same = policy.steady(0.3)
    after(policy, 3.0, lambda _: same)
    policy.now_s += SILENT_AFTER_S
    assert policy.health.findings(policy.now_s) == {}
    assert policy.send(same) == {}


@pytest.mark.parametrize(
    ("names", "increments"),
    [
        ((), np.zeros((4, 0))),
        (("no_such_joint",), np.zeros((4, 1))),
        (g1.HEAD.names, np.full((4, 2), np.nan)),
        (g1.HEAD.names, np.full((4, 2), np.inf)),
    ],
)
def test_what_a_controller_refuses_is_not_judged_and_breaks_nothing(names, increments) -> None:
    health = PolicyHealth()
    health.instructed("x", 0.0)
    for i in range(40):
        health.chunk("head", ActionChunk(0.1 * i, DT_S, names, increments), 0.1 * i, 0.1 * i)
        assert health.findings(0.1 * i) == {}


@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_clock_that_is_set_is_no_turn(jump_s) -> None:
    policy = Policy()
    for i in range(40):
        now_s = i * PERIOD_S
        ros_s = now_s + (jump_s if i % 2 else 0.0)
        chunk = ActionChunk(ros_s - DELAY_S, DT_S, policy.names, policy.steady(0.5))
        policy.health.chunk("head", chunk, now_s, ros_s)
        assert policy.health.findings(now_s) == {}
