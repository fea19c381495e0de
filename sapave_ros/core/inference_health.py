"""What the inference process can tell about its policy: answers that make no sense, and answers that do not come."""

from __future__ import annotations

from sapave_ros.core.faults import Fault

SLOW_AFTER_S = 1.0
"""A policy that has thought for this long [s] about a picture hangs, or the computer is too slow for it."""


class InferenceHealth:
    """Told what the worker does. Times are monotonic [s]. One thread may tell while another asks.

    invalid, expired: answers thrown away so far, because of what was in them, or because they came too late.
    """

    def __init__(self) -> None:
        self.invalid = self.expired = 0
        self._waits_since_s: float | None = None
        self._thinks_since_s: float | None = None
        self._found: dict[Fault, str] = {}

    def offered(self, now_s: float) -> None:
        """An observation waits for the policy."""
        if self._waits_since_s is None:
            self._waits_since_s = now_s

    def begun(self, now_s: float) -> None:
        """The policy thinks about the observation that waited."""
        self._waits_since_s, self._thinks_since_s = None, now_s

    def answered(self) -> None:
        """It has answered, and the answer can be used."""
        self._thinks_since_s = None
        self._found = {}

    def answered_nonsense(self, why: str) -> None:
        """It has answered with something that must not go out."""
        self.invalid += 1
        self._thinks_since_s = None
        self._found = {Fault.POLICY_INVALID: why}

    def answered_too_late(self, age_s: float, horizon_s: float) -> None:
        """It has answered when all of the motion of horizon_s [s] from the exposure on was past."""
        self.expired += 1
        self._thinks_since_s = None
        self._found = {Fault.POLICY_SLOW: f"answered {age_s:.2f} s after the exposure, with {horizon_s:g} s of motion"}

    def restart(self) -> None:
        """There is a new instruction: nothing waits, and what was wrong about the old answers is past."""
        self._waits_since_s = None
        self._found = {}

    def findings(self, now_s: float) -> dict[Fault, str]:
        """What is wrong at `now_s`. A bad answer counts until a good one comes."""
        found = dict(self._found)
        waits_s, thinks_s = (
            0.0 if since_s is None else now_s - since_s for since_s in (self._waits_since_s, self._thinks_since_s)
        )
        if thinks_s > SLOW_AFTER_S:
            found[Fault.POLICY_SLOW] = f"has been thinking for {thinks_s:.1f} s, at most {SLOW_AFTER_S:g} s"
        elif waits_s > SLOW_AFTER_S:
            found[Fault.POLICY_SLOW] = f"nobody takes the picture that has waited for {waits_s:.1f} s"
        return found
