"""What the inference process tells of its policy: nonsense until there is sense, and a hang while it lasts."""

from __future__ import annotations

from sapave_ros.core.faults import Fault
from sapave_ros.core.inference_health import SLOW_AFTER_S, InferenceHealth


def test_a_policy_at_work_has_no_findings() -> None:
    health = InferenceHealth()
    for i in range(20):
        now_s = i / 7.5
        health.offered(now_s)
        health.begun(now_s)
        assert health.findings(now_s + 0.1) == {}
        health.answered()
    assert health.findings(1000.0) == {}, "nothing to do is no fault"


def test_thinking_too_long_is_slow_until_it_answers() -> None:
    health = InferenceHealth()
    health.offered(0.0)
    health.begun(0.1)
    assert health.findings(0.1 + SLOW_AFTER_S) == {}
    for now_s in (0.2 + SLOW_AFTER_S, 100.0):
        health.offered(now_s)  # pictures go on coming
        assert "thinking" in health.findings(now_s)[Fault.POLICY_SLOW]
    health.answered()
    health.begun(100.0)
    assert health.findings(100.1) == {}


def test_a_picture_that_nobody_takes_is_slow_however_often_it_is_replaced() -> None:
    health = InferenceHealth()
    for i in range(20):
        health.offered(0.1 * i)
    assert "nobody takes" in health.findings(2.0)[Fault.POLICY_SLOW]
    health.restart()
    assert health.findings(2.0) == {}


def test_nonsense_counts_until_a_good_answer_or_another_instruction() -> None:
    for end in (InferenceHealth.answered, InferenceHealth.restart):
        health = InferenceHealth()
        health.begun(0.0)
        health.answered_nonsense("nan")
        health.begun(0.1)
        assert health.findings(0.2) == {Fault.POLICY_INVALID: "nan"}
        assert health.findings(0.2 + SLOW_AFTER_S).keys() == {Fault.POLICY_INVALID, Fault.POLICY_SLOW}
        end(health)
        assert Fault.POLICY_INVALID not in health.findings(0.2)
        assert (health.invalid, health.expired) == (1, 0)


def test_an_answer_that_comes_too_late_is_slow() -> None:
    health = InferenceHealth()
    health.begun(0.0)
    health.answered_too_late(1.7, 1.6)
    assert health.findings(0.9) == {Fault.POLICY_SLOW: "answered 1.70 s after the exposure, with 1.6 s of motion"}
    health.begun(0.9)
    health.answered()
    assert health.findings(1.0) == {}
    assert (health.invalid, health.expired) == (0, 1)


def test_a_hang_outlives_the_instruction() -> None:
    health = InferenceHealth()
    health.begun(0.0)
    health.restart()
    assert Fault.POLICY_SLOW in health.findings(SLOW_AFTER_S + 0.1)
