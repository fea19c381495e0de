"""The gate: the last thing before every write. It allows, clamps or refuses a command, and says why.

It knows nothing of chunks, states or limiters and trusts none of them: what it compares is the command
with the one before, with the measured joints, and with the permit. A refused command is replaced by a
braking one, which follows from the previous command alone; so there is always something safe to write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from sapave_ros.core.clearance import Clearance
from sapave_ros.core.command import Command, Reason, Verdict, own, own_array
from sapave_ros.core.limiter import Limits, brake_path, brake_velocity
from sapave_ros.graph import PERMIT_STALE_AFTER_S
from sapave_ros.types import Floats, JointState, Mode

STATE_STALE_AFTER_S = 0.05
"""Age of the measured joints beyond which nothing moves [s]: 25 frames of the G1's 500 Hz, 5 of the neck's 100 Hz."""

AHEAD_S = 0.1
"""What is received while a tick already runs is a little younger than its time [s]. More is another clock, and an age
by it says nothing."""

SLACK = 1.02
"""Velocity and acceleration of a step may exceed the limit by 2 %: the limiter keeps them at the ends of
a tick, and between two ticks the speed may be higher by jerk dt^2 / 8, which is at most 0.2 %."""

STOP_SLACK_S = 0.05
"""A stop may begin this long after its cause: a few ticks."""

ROUNDING = 1e-9
"""What is cut off a value without being told: of a position that is a millionth of an encoder's step."""

REST_RAD_S = 1e-5
"""Speeds below this are rest: nobody creeps without permission, 0.04 rad in an hour."""

MAX_RAMP_PER_S = 4.0
"""Weight and stiffness change at most this fast: nobody is handed a limb, or left with one, at once."""

TORQUE_SHARE = 0.8
"""Share of a motor's effort that a feed-forward torque may ask for: gravity takes at most a third."""

TORQUE_PER_S = 300.0
"""A feed-forward torque grows at most so fast [N m/s]: gravity asks for 20 at full speed, the inertia of a stretched
arm for 120 where the jerk of one joint is at its limit, and joints add up."""

SLOW_EVERY = 4
"""Steps between two looks at how much room is left to slow down in: 16 ms, in which arms come 5 mm closer at most. That
they stop in time is looked at in every step."""

HASTE = 1.1
"""Steps may follow each other 10 % faster than they are made for: the clock that paces a loop is not quite ours."""

BURST_S = 0.05
"""Steps that may come early at once [s]; else they are refused, for each carries a joint on at its full speed."""


def fresh(age_s: float, stale_after_s: float) -> bool:
    """Whether something of that age [s] still counts; not if the age is no number or lies in the future."""
    return -AHEAD_S <= age_s <= stale_after_s


class Gate:
    """One gate per actuator bus.

    limits: of its joints. dt_s: time between two writes [s]. clearance: what keeps the arms apart from all else, None
    for joints that touch nothing.

    counts: how often each reason was given. slowed, clamped, refused: in how many commands a joint was slowed down near
    something, a value was changed, or the brake was written instead.
    """

    def __init__(
        self,
        limits: Limits,
        dt_s: float,
        state_stale_after_s: float = STATE_STALE_AFTER_S,
        clearance: Clearance | None = None,
    ) -> None:
        self.limits, self._dt_s, self._state_stale_after_s = limits, dt_s, state_stale_after_s
        self._clearance = clearance
        self.counts: Counter[Reason] = Counter()
        self.slowed = self.clamped = self.refused = 0
        self._slow_in, self._share = 0, np.ones(len(limits.lower))
        self.previous: Command | None = None
        self._velocity = np.zeros(len(limits.lower))  # of the last written step
        self._moving_until_s = -np.inf
        self._checked_s, self._early_s = -np.inf, 0.0
        self._lower, self._upper = limits.lower, limits.upper

    def start(self, measured: Floats, weight: float = 0.0, stiffness: float = 1.0) -> None:
        """Begin from the measured positions, (n,): the first command may not differ from them by more than one step.

        Joints outside their range may stay there and move inwards. ValueError if the positions make no sense.
        """
        if not self._plausible(measured):
            raise ValueError(f"measured = {measured}: expected {len(self.limits.names)} finite positions")
        n = len(measured)
        self.previous = Command(np.array(measured, dtype=np.float64), np.zeros(n), np.zeros(n), weight, stiffness)
        self._velocity = np.zeros(n)
        self._moving_until_s, self._checked_s, self._early_s = -np.inf, -np.inf, 0.0
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
        wanted = own(wanted)
        verdict = self._judge(wanted, self.previous, now_s, measured, mode, permit_age_s)
        if verdict.refused:
            verdict = replace(verdict, command=self._giving_way(verdict.command, wanted))
            self.refused += 1
        elif verdict.reason is not None:
            self.clamped += 1
        if verdict.reason is not None:
            self.counts[verdict.reason] += 1
        self._velocity = (verdict.command.positions - self.previous.positions) / self._dt_s
        self._lower = np.where(verdict.command.positions >= self.limits.lower, self.limits.lower, self._lower)
        self._upper = np.where(verdict.command.positions <= self.limits.upper, self.limits.upper, self._upper)
        self.previous = verdict.command
        return verdict

    def slow(self, position: Floats, velocity: Floats) -> Floats | None:
        """The share (n,) of a velocity (n,) [rad/s] to go on with from a pose (n,); None: all of it."""
        if self._clearance is None or not velocity.any():
            self._slow_in = 0
            return None
        if self._slow_in == 0:
            self._share = self._clearance.share(position, velocity)
        self._slow_in = (self._slow_in + 1) % SLOW_EVERY
        share = self._share
        if share.min() >= 1.0:
            return None
        self.slowed += 1
        return share

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
            if value.shape != (n,):
                return self._refuse(Reason.SHAPE, f"{field} has shape {value.shape}: expected ({n},) numbers")
            if not np.isfinite(value).all():
                return self._refuse(Reason.NOT_FINITE, f"{field} of {self._worst(~np.isfinite(value), value)}")
        ramp = MAX_RAMP_PER_S * self._dt_s
        for field in ("weight", "stiffness"):
            value, before = getattr(wanted, field), getattr(previous, field)
            if not (0.0 <= value <= 1.0 and abs(value - before) <= ramp):
                return self._refuse(Reason.AUTHORITY, f"{field} = {value} after {before}: expected a step of {ramp}")
        haste = self._haste(now_s)
        if haste:
            return self._refuse(Reason.CLOCK, haste)

        q, was = wanted.positions, previous.positions
        with np.errstate(over="ignore"):
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
        for field in ("weight", "stiffness"):
            value, before = getattr(wanted, field), getattr(previous, field)
            if withheld is not None and value > before:
                return self._refuse(withheld, f"{field} = {value} after {before}: may not rise")
        if withheld is None:
            self._moving_until_s = now_s + self.limits.stop_within_s + STOP_SLACK_S
        elif now_s > self._moving_until_s and np.abs(velocity).max() > REST_RAD_S:
            return self._refuse(withheld, f"speed of {self._worst(np.abs(velocity) > REST_RAD_S, velocity)} rad/s")

        if measured is not None and withheld is not Reason.STATE_STALE:
            error = was - measured.positions
            blocked = (np.abs(error) > self.limits.max_tracking_error) & (velocity * error > REST_RAD_S * np.abs(error))
            if blocked.any():
                return self._refuse(Reason.TRACKING, f"command minus measured of {self._worst(blocked, error)} rad")
        verdict = self._clamped(wanted, previous)
        return self._too_close(verdict.command.positions, was) or verdict

    def _haste(self, now_s: float) -> str:
        """Why the time of this write makes no sense after the one before, or nothing."""
        passed_s = now_s - self._checked_s
        if not (np.isfinite(now_s) and passed_s >= 0.0):
            return f"now = {now_s} s after {self._checked_s}: expected a later time"
        self._checked_s = now_s
        self._early_s = min(max(0.0, self._early_s + self._dt_s - HASTE * passed_s), 2 * BURST_S)
        return (
            f"writes are {self._early_s:.3f} s early: expected one in {self._dt_s} s" if self._early_s > BURST_S else ""
        )

    def _too_close(self, q: Floats, was: Floats) -> Verdict | None:
        """The brake, where the step to `q`, or a full stop from its end, would come too close to anything."""
        if self._clearance is None or ((q == was).all() and not self._velocity.any()):
            return None
        path = np.vstack([q[None], brake_path(q, (q - was) / self._dt_s, self.limits.acceleration, self._dt_s)])
        found = self._clearance.closer(was, np.clip(path, self._lower, self._upper))
        if found is None:
            return None
        watched, room_m = found
        what = f"{watched.text}: {watched.margin_m + room_m:.3f} m until at rest, expected {watched.margin_m}"
        return self._refuse(Reason.WORKSPACE if watched.border else Reason.COLLISION, what)

    def _plausible(self, positions: Floats) -> bool:
        positions = own_array(positions)
        return positions.shape == self.limits.lower.shape and bool(np.isfinite(positions).all())

    def _withheld(self, now_s: float, measured: JointState | None, mode: Mode, permit_age_s: float) -> Reason | None:
        """Why nothing may move now, or None."""
        if not fresh(permit_age_s, PERMIT_STALE_AFTER_S):
            return Reason.PERMIT_STALE
        if mode is not Mode.MOVE:
            return Reason.NOT_PERMITTED
        if measured is None or not fresh(now_s - measured.received_s, self._state_stale_after_s):
            return Reason.STATE_STALE
        return None

    def _clamped(self, wanted: Command, previous: Command) -> Verdict:
        limits = self.limits
        q = np.clip(wanted.positions, self._lower, self._upper)
        grown = np.abs(previous.torques) + TORQUE_PER_S * self._dt_s
        bound = np.minimum(grown, limits.effort * TORQUE_SHARE)
        torques = np.clip(wanted.torques, -bound, bound)
        # Feed-forward belongs to the step: else it moves a joint that stands, and nobody has permitted that.
        speed, change = (q - previous.positions) / self._dt_s, limits.acceleration * self._dt_s
        low = np.clip(speed - change, -limits.velocity, 0.0)
        high = np.clip(speed + change, 0.0, limits.velocity)
        velocities = np.clip(wanted.velocities, low, high)
        command = replace(wanted, positions=q, torques=torques, velocities=velocities)
        for reason, value, asked, unit in (
            (Reason.TORQUE, torques, wanted.torques, "N m"),
            (Reason.POSITION, q, wanted.positions, "rad"),
            (Reason.VELOCITY, velocities, wanted.velocities, "rad/s"),
        ):
            changed = np.abs(value - asked) > ROUNDING
            if changed.any():
                detail = f"{reason.value} of {self._worst(changed, asked)} {unit}"
                return Verdict(command, False, reason, detail)
        return Verdict(command)

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
