"""The gate: the last thing before every write. It allows, clamps or refuses a command, and says why.

It knows nothing of chunks, states or limiters and trusts none of them: what it compares is the command
with the one before, with the measured joints, and with the permit. A refused command is replaced by a
braking one, which follows from the previous command alone; so there is always something safe to write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from sapave_ros.core.limiter import Limits, brake_velocity
from sapave_ros.graph import PERMIT_STALE_AFTER_S
from sapave_ros.types import Floats, JointState, Mode

STATE_STALE_AFTER_S = 0.05
"""Age of the measured joints beyond which nothing moves [s]: 25 frames of the G1's 500 Hz, 5 of the neck's 100 Hz."""

AHEAD_S = 0.5
"""What is received while a tick already runs is a little younger than its time [s]. More is another clock, and an age
by it says nothing."""

SLACK = 1.02
"""Velocity and acceleration of a step may exceed the limit by 2 %: the limiter keeps them at the ends of
a tick, and between two ticks the speed may be higher by jerk dt^2 / 8, which is at most 0.2 %."""

STOP_SLACK_S = 0.05
"""A stop may begin this long after its cause: a few ticks."""

REST_RAD_S = 1e-3
"""Speeds below this are rest."""

MAX_RAMP_PER_S = 4.0
"""Weight and stiffness change at most this fast: nobody is handed a limb, or left with one, at once."""

TORQUE_SHARE = 0.8
"""Share of a motor's effort that a feed-forward torque may ask for: gravity takes at most a third."""


def fresh(age_s: float, stale_after_s: float) -> bool:
    """Whether something of that age [s] still counts; not if the age is no number or lies in the future."""
    return -AHEAD_S <= age_s <= stale_after_s


class Reason(Enum):
    """Why a command was not written as it was."""

    SHAPE = "wrong number of joints"
    NOT_FINITE = "not finite"
    POSITION = "position limit"
    VELOCITY = "velocity limit"
    ACCELERATION = "acceleration limit"
    TRACKING = "joint does not follow"
    STATE_STALE = "measured joints too old"
    PERMIT_STALE = "permit too old"
    NOT_PERMITTED = "not permitted to move"
    TORQUE = "torque limit"
    AUTHORITY = "weight or stiffness out of range or too sudden"


@dataclass(frozen=True)
class Command:
    """What is to be written to one joint group in one tick.

    positions [rad], velocities [rad/s], torques (feed-forward) [N m]: (n,). weight: share of authority
    taken from the robot's own controller, stiffness: share of kp; both 0 to 1.
    """

    positions: Floats
    velocities: Floats
    torques: Floats
    weight: float = 1.0
    stiffness: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """command: what to write. refused: whether it replaces what was asked. reason: None when nothing was changed.

    detail: the joint, its value and what was expected.
    """

    command: Command
    refused: bool = False
    reason: Reason | None = None
    detail: str = ""


class Gate:
    """One gate per actuator bus.

    limits: of its joints. dt_s: time between two writes [s]. counts: how often each reason was given.
    """

    def __init__(self, limits: Limits, dt_s: float, state_stale_after_s: float = STATE_STALE_AFTER_S) -> None:
        self.limits, self._dt_s, self._state_stale_after_s = limits, dt_s, state_stale_after_s
        self.counts: Counter[Reason] = Counter()
        self.previous: Command | None = None
        self._velocity = np.zeros(len(limits.lower))  # of the last written step
        self._moving_until_s = -np.inf
        self._lower, self._upper = limits.lower, limits.upper

    def start(self, measured: Floats, weight: float = 0.0, stiffness: float = 1.0) -> None:
        """Begin from the measured positions, (n,): the first command may not differ from them by more than one step.

        Joints outside their range may stay there and move inwards.
        """
        n = len(measured)
        self.previous = Command(np.array(measured, dtype=np.float64), np.zeros(n), np.zeros(n), weight, stiffness)
        self._velocity = np.zeros(n)
        self._lower = np.minimum(self.limits.lower, measured)
        self._upper = np.maximum(self.limits.upper, measured)

    def check(
        self, wanted: Command, now_s: float, measured: JointState | None, mode: Mode, permit_age_s: float
    ) -> Verdict:
        """The verdict on `wanted` at monotonic time `now_s`; its command counts as written.

        mode, permit_age_s: what the watchdog allows and how old its word is [s]. RuntimeError before `start`.
        """
        if self.previous is None:
            raise RuntimeError("the gate has not been started from a measured position")
        if measured is not None and not self._plausible(measured.positions):
            measured = None  # as good as no measurement
        verdict = self._judge(wanted, self.previous, now_s, measured, mode, permit_age_s)
        if verdict.refused:
            verdict = replace(verdict, command=self._giving_way(verdict.command, wanted))
        if verdict.reason is not None:
            self.counts[verdict.reason] += 1
        self._velocity = (verdict.command.positions - self.previous.positions) / self._dt_s
        self._lower = np.where(verdict.command.positions >= self.limits.lower, self.limits.lower, self._lower)
        self._upper = np.where(verdict.command.positions <= self.limits.upper, self.limits.upper, self._upper)
        self.previous = verdict.command
        return verdict

    def _judge(
        self,
        wanted: Command,
        previous: Command,
        now_s: float,
        measured: JointState | None,
        mode: Mode,
        permit_age_s: float,
    ) -> Verdict:
        n = len(previous.positions)
        for field in ("positions", "velocities", "torques"):
            value = getattr(wanted, field)
            if np.shape(value) != (n,):
                return self._refuse(Reason.SHAPE, f"{field} has shape {np.shape(value)}: expected ({n},)")
            if not np.isfinite(value).all():
                return self._refuse(Reason.NOT_FINITE, f"{field} of {self._worst(~np.isfinite(value), value)}")
        ramp = MAX_RAMP_PER_S * self._dt_s
        for field in ("weight", "stiffness"):
            value, before = getattr(wanted, field), getattr(previous, field)
            if not (0.0 <= value <= 1.0 and abs(value - before) <= ramp):
                return self._refuse(Reason.AUTHORITY, f"{field} = {value} after {before}: expected a step of {ramp}")

        q, was = wanted.positions, previous.positions
        velocity = (q - was) / self._dt_s
        too_fast = np.abs(velocity) > self.limits.velocity * SLACK
        if too_fast.any():
            return self._refuse(Reason.VELOCITY, f"speed of {self._worst(too_fast, velocity)} rad/s")
        acceleration = (velocity - self._velocity) / self._dt_s
        too_hard = np.abs(acceleration) > self.limits.acceleration * SLACK
        if too_hard.any():
            return self._refuse(Reason.ACCELERATION, f"acceleration of {self._worst(too_hard, acceleration)} rad/s^2")

        # Whoever may not move has the time of a full stop to come to rest.
        withheld = self._withheld(now_s, measured, mode, permit_age_s)
        if withheld is not None and wanted.weight > previous.weight:
            return self._refuse(withheld, f"weight = {wanted.weight} after {previous.weight}: may not rise")
        if withheld is None:
            self._moving_until_s = now_s + self.limits.stop_within_s + STOP_SLACK_S
        elif now_s > self._moving_until_s and np.abs(velocity).max() > REST_RAD_S:
            return self._refuse(withheld, f"speed of {self._worst(np.abs(velocity) > REST_RAD_S, velocity)} rad/s")

        if measured is not None and withheld is not Reason.STATE_STALE:
            error = was - measured.positions
            blocked = (np.abs(error) > self.limits.max_tracking_error) & (velocity * error > REST_RAD_S * np.abs(error))
            if blocked.any():
                return self._refuse(Reason.TRACKING, f"command minus measured of {self._worst(blocked, error)} rad")
        return self._clamped(wanted)

    def _plausible(self, positions: Floats) -> bool:
        return np.shape(positions) == self.limits.lower.shape and bool(np.isfinite(positions).all())

    def _withheld(self, now_s: float, measured: JointState | None, mode: Mode, permit_age_s: float) -> Reason | None:
        """Why nothing may move now, or None."""
        if not fresh(permit_age_s, PERMIT_STALE_AFTER_S):
            return Reason.PERMIT_STALE
        if mode is not Mode.MOVE:
            return Reason.NOT_PERMITTED
        if measured is None or not fresh(now_s - measured.received_s, self._state_stale_after_s):
            return Reason.STATE_STALE
        return None

    def _clamped(self, wanted: Command) -> Verdict:
        limits = self.limits
        reason, detail = None, ""
        q = np.clip(wanted.positions, self._lower, self._upper)
        if (q != wanted.positions).any():
            reason, detail = Reason.POSITION, f"position of {self._worst(q != wanted.positions, wanted.positions)} rad"
        torques = np.clip(wanted.torques, -limits.effort * TORQUE_SHARE, limits.effort * TORQUE_SHARE)
        if (torques != wanted.torques).any():
            reason, detail = Reason.TORQUE, f"torque of {self._worst(torques != wanted.torques, wanted.torques)} N m"
        velocities = np.clip(wanted.velocities, -limits.velocity, limits.velocity)
        if reason is None and (velocities != wanted.velocities).any():
            reason, detail = (
                Reason.VELOCITY,
                f"velocity of {self._worst(velocities != wanted.velocities, wanted.velocities)}",
            )
        if reason is None:
            return Verdict(wanted)
        return Verdict(replace(wanted, positions=q, torques=torques, velocities=velocities), False, reason, detail)

    def _refuse(self, reason: Reason, detail: str) -> Verdict:
        """Brake from the previous command instead; its authority and torques stay as they were (see `_giving_way`)."""
        assert self.previous is not None
        v = brake_velocity(self._velocity, self.limits.acceleration, self._dt_s)
        q = np.clip(self.previous.positions + v * self._dt_s, self._lower, self._upper)
        v = np.clip(v, -self.limits.velocity, self.limits.velocity)
        return Verdict(replace(self.previous, positions=q, velocities=v), True, reason, detail)

    def _giving_way(self, brake: Command, wanted: Command) -> Command:
        """The braking command with the authority that is being given up: nobody is kept from letting go."""
        slowest = MAX_RAMP_PER_S * self._dt_s
        fields = {}
        for field in ("weight", "stiffness"):
            value, before = getattr(wanted, field), getattr(brake, field)
            if max(0.0, before - slowest) <= value < before:
                fields[field] = value
        return replace(brake, **fields) if fields else brake

    def _worst(self, mask: np.ndarray, values: Floats) -> str:
        i = int(np.argmax(np.where(mask, np.nan_to_num(np.abs(values), nan=np.inf), -1.0)))
        return f"{self.limits.names[i]} = {values[i]:.4g}"
