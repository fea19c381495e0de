"""Motion limits: every command stays within position, velocity, acceleration and jerk, whatever is asked.

Two laws share the work, joint by joint. A linear third-order law tracks a moving reference smoothly; a
time-optimal one (Ruckig, Berscheid and Kroeger 2021) takes over where the linear one would leave the
limits. Time-optimal tracking alone obeys the limits too, but it does so by switching the jerk between
its extremes: on a minimum-jerk motion sent as ten increments a second it was measured to use the whole
300 rad/s^3 and to lag by up to 60 mrad, where the linear law needs 20 rad/s^3 and 5 mrad.

Before a step is taken, the path of a full stop from its end is computed. A step whose stop would leave
the position range is replaced by a step of the stop itself, so from any state that is reached there is
a way to stand still inside the range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import ruckig

from sapave_ros.g1 import JointGroup
from sapave_ros.types import Floats

POSITION_TOLERANCE_RAD = 1e-9
"""Numerical slack of the position range: far below an encoder step (1.5e-3 rad)."""

UNEVEN = 1.0 - 1e-9
"""Share of the jerk limit that Ruckig is told of. From rest to rest over exactly 2 a^3 / j^2 (0.075 rad) its root
finder fails or takes minutes over the way; with even limits a brake and the way back are such distances."""


@dataclass(frozen=True)
class Limits:
    """What a command of one joint group must keep to, each (n,).

    lower, upper [rad], velocity [rad/s], acceleration [rad/s^2], jerk [rad/s^3], max_tracking_error
    [rad], effort [N m] (bound of the feed-forward torque).
    """

    names: tuple[str, ...]
    lower: Floats
    upper: Floats
    velocity: Floats
    acceleration: Floats
    jerk: Floats
    max_tracking_error: Floats
    effort: Floats

    @classmethod
    def of(cls, group: JointGroup) -> Limits:
        """The limits of the robot's table."""
        return cls(
            group.names,
            group.lower,
            group.upper,
            group.column("velocity"),
            group.column("acceleration"),
            group.column("jerk"),
            group.column("max_tracking_error"),
            group.column("effort"),
        )

    def tightened(self, scale: float, lower: Floats | None = None, upper: Floats | None = None) -> Limits:
        """Velocity, acceleration and jerk times `scale`, and the range [rad] cut to `lower`, `upper`, (n,) each.

        ValueError unless 0 < scale <= 1 and a range remains: configuration never loosens.
        """
        if not 0.0 < scale <= 1.0:
            raise ValueError(f"limit_scale = {scale}: expected above 0 and at most 1; limits may only be tightened")
        low = self.lower if lower is None else np.maximum(self.lower, lower)
        high = self.upper if upper is None else np.minimum(self.upper, upper)
        if not np.all(low < high):
            raise ValueError(f"lower = {low}, upper = {high} rad: expected a range for every joint")
        return replace(
            self,
            lower=low,
            upper=high,
            velocity=self.velocity * scale,
            acceleration=self.acceleration * scale,
            jerk=self.jerk * scale,
        )

    @property
    def stop_within_s(self) -> float:
        """Longest time [s] that a full stop within the limits takes, from any state within them."""
        # Acceleration to zero, then a trapezoid of deceleration from at most the full velocity.
        return float(np.max(2.0 * self.acceleration / self.jerk + self.velocity / self.acceleration))


class Limiter:
    """Moves `position` towards a reference, one tick at a time, within `limits`.

    dt_s: duration of a tick [s]. bandwidth_rad_s: the three poles of the tracking law [rad/s]; a
    reference that accelerates with a is followed at a distance of 3 a / bandwidth^2.

    position, velocity, acceleration: (n,) commanded state at the end of the last tick. faults: how often
    Ruckig found no solution and the plain brake was used instead.
    """

    def __init__(self, limits: Limits, dt_s: float, bandwidth_rad_s: float = 30.0) -> None:
        n = len(limits.lower)
        self.limits, self.dt_s, self.faults = limits, dt_s, 0
        self._w = bandwidth_rad_s
        self._otg = ruckig.Ruckig(n, dt_s)
        self._out = ruckig.OutputParameter(n)
        self._to_target, self._to_rest, self._to_pace = (ruckig.InputParameter(n) for _ in range(3))
        self._to_rest.control_interface = self._to_pace.control_interface = ruckig.ControlInterface.Velocity
        for inp in (self._to_target, self._to_rest, self._to_pace):
            inp.synchronization = getattr(ruckig.Synchronization, "No")  # noqa: B009 joints do not wait for each other
            inp.max_velocity = limits.velocity
            inp.max_acceleration = limits.acceleration
            inp.max_jerk = limits.jerk * UNEVEN
        self._to_rest.target_velocity = np.zeros(n)
        self._to_rest.target_acceleration = self._to_pace.target_acceleration = np.zeros(n)
        self._to_target.target_acceleration = np.zeros(n)
        self.reset(np.clip(np.zeros(n), limits.lower, limits.upper))

    def reset(self, position: Floats, velocity: Floats | None = None) -> None:
        """Continue from this state, (n,): at rest, or braking as the gate does where a velocity is given.

        A position outside the range (a hand rests on its stop, which lies beyond the margin) is kept: the
        range of that joint extends to where it is, and shrinks again as it moves inwards. It never moves
        further out. ValueError if not finite.
        """
        if not np.all(np.isfinite(position)):
            raise ValueError(f"position = {position}: expected finite values")
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros_like(self.position) if velocity is None else np.array(velocity, dtype=np.float64)
        # As much deceleration as can be taken back by the time that the joint stands.
        braking = np.minimum(self.limits.acceleration, np.sqrt(2.0 * self.limits.jerk * np.abs(self.velocity)))
        self.acceleration = -np.sign(self.velocity) * braking
        low, high = self._stop_extremes((self.position, self.velocity, self.acceleration))
        self._lower, self._upper = np.minimum(self.limits.lower, low), np.maximum(self.limits.upper, high)

    @property
    def at_rest(self) -> bool:
        return bool(np.all(np.abs(self.velocity) < 1e-6) and np.all(np.abs(self.acceleration) < 1e-3))

    def heading(self, target: Floats, target_velocity: Floats) -> Floats:
        """The velocity [rad/s], (n,), with which `track` means to go on towards a reference, as yet unhindered.

        ValueError if the reference is not finite or of another shape.
        """
        inside, v_ref = self._reference(target, target_velocity)
        return np.clip(v_ref + self._w / 3 * (inside - self.position), -self.limits.velocity, self.limits.velocity)

    def track(self, target: Floats, target_velocity: Floats, share: Floats | None = None) -> Floats:
        """One tick towards `target` [rad], which moves with `target_velocity` [rad/s]; returns the position, (n,).

        share: (n,) up to 1, of `heading`: a joint with less than 1 takes on that share of its heading instead, which
        lets the reference get away from it. ValueError as in `heading`: then nothing has changed.
        """
        inside, v_ref = self._reference(target, target_velocity)
        limits, dt = self.limits, self.dt_s
        w = self._w
        q, v, a = self.position, self.velocity, self.acceleration
        error = inside - q
        paced = np.zeros(len(q), dtype=bool) if share is None else share < 1.0
        if share is not None and paced.any():
            v_ref = np.where(paced, share * self.heading(target, target_velocity), v_ref)
            error = np.where(paced, 0.0, error)
        jerk = w**3 * error + 3 * w**2 * (v_ref - v) - 3 * w * a
        a_new = a + jerk * dt
        v_new = v + a * dt + jerk * dt**2 / 2
        q_new = q + v * dt + a * dt**2 / 2 + jerk * dt**3 / 6
        # The speed that remains once the acceleration has been taken back at full jerk.
        v_settled = v_new + a_new * np.abs(a_new) / (2 * limits.jerk)
        smooth = (
            (np.abs(jerk) <= limits.jerk)
            & (np.abs(a_new) <= limits.acceleration)
            & (np.abs(v_new) <= limits.velocity)
            & (np.abs(v_settled) <= limits.velocity)
            & (np.abs(q_new - q) <= limits.velocity * dt + POSITION_TOLERANCE_RAD)  # it may be faster within the tick
        )
        state = (q_new, v_new, a_new)
        for inp, where in ((self._to_target, ~smooth & ~paced), (self._to_pace, ~smooth & paced)):
            if where.any():
                optimal = self._ruckig_step(inp, inside, v_ref)
                if optimal is None:
                    return self.stop()
                state = tuple(np.where(where, *values) for values in zip(optimal, state, strict=True))  # type: ignore
        return self._take(state)

    def _reference(self, target: Floats, target_velocity: Floats) -> tuple[Floats, Floats]:
        """The reference as far as it lies within the limits."""
        if target.shape != self.position.shape or target_velocity.shape != self.position.shape:
            raise ValueError(
                f"reference of shape {target.shape}, {target_velocity.shape}: expected {self.position.shape}"
            )
        if not (np.all(np.isfinite(target)) and np.all(np.isfinite(target_velocity))):
            raise ValueError("reference: expected finite values")
        inside = np.clip(target, self._lower, self._upper)
        speed = self.limits.velocity
        return inside, np.where(inside == target, np.clip(target_velocity, -speed, speed), 0.0)

    def stop(self) -> Floats:
        """One tick of the fastest stop within the limits; returns the position, (n,)."""
        if self.at_rest:
            self.velocity, self.acceleration = np.zeros_like(self.velocity), np.zeros_like(self.velocity)
            return self.position
        step = self._ruckig_step(self._to_rest)
        self.position, self.velocity, self.acceleration = self._brake() if step is None else step
        return self.position

    def _take(self, state: tuple[Floats, Floats, Floats]) -> Floats:
        """Accept a step, except where a stop from its end would leave the range: there, a step of the stop."""
        low, high = self._stop_extremes(state)
        leaves = (low < self._lower - POSITION_TOLERANCE_RAD) | (high > self._upper + POSITION_TOLERANCE_RAD)
        if leaves.any():
            stop = self._ruckig_step(self._to_rest) or self._brake()
            state = (
                np.where(leaves, stop[0], state[0]),
                np.where(leaves, stop[1], state[1]),
                np.where(leaves, stop[2], state[2]),
            )
            low, high = self._stop_extremes(state)
        self._lower = np.minimum(self.limits.lower, np.maximum(self._lower, low))
        self._upper = np.maximum(self.limits.upper, np.minimum(self._upper, high))
        self.position, self.velocity, self.acceleration = state
        return self.position

    def _set_current(self, inp: ruckig.InputParameter, state: tuple[Floats, Floats, Floats]) -> None:
        limits = self.limits
        inp.current_position = state[0]
        inp.current_velocity = np.clip(state[1], -limits.velocity, limits.velocity)
        inp.current_acceleration = np.clip(state[2], -limits.acceleration, limits.acceleration)

    def _ruckig_step(
        self, inp: ruckig.InputParameter, target: Floats | None = None, target_velocity: Floats | None = None
    ) -> tuple[Floats, Floats, Floats] | None:
        """The state one tick further on the time-optimal path, or None where Ruckig finds none."""
        self._set_current(inp, (self.position, self.velocity, self.acceleration))
        if target is not None:
            inp.target_position = target
            inp.target_velocity = target_velocity
        try:
            found = int(self._otg.update(inp, self._out)) >= 0
        except ruckig.RuckigError:  # the Python binding raises where the library returns a code
            found = False
        if not found:
            self.faults += 1
            return None
        out = self._out
        return np.array(out.new_position), np.array(out.new_velocity), np.array(out.new_acceleration)

    def _stop_extremes(self, state: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats]:
        """Lowest and highest position [rad] on the way to rest from `state`, (n,) each.

        The time-optimal stop: jerk to the deceleration `peak`, stay there, jerk back to zero. (Ruckig 0.19
        computes the same path, but its `position_extrema` report 0 where the start is the extreme.)
        """
        q, v, a = state
        if not (v.any() or a.any()):
            return q, q
        jmax, amax = self.limits.jerk, self.limits.acceleration
        settled = v + a * np.abs(a) / (2 * jmax)  # the speed once the acceleration is taken back
        sign = np.where(settled < 0, -1.0, 1.0)
        v, a = sign * v, sign * a
        peak = np.minimum(np.sqrt(np.maximum(jmax * v + a**2 / 2, 0.0)), amax)
        t1 = np.maximum(a + peak, 0.0) / jmax
        v1 = v + a * t1 - jmax * t1**2 / 2
        t2 = np.maximum(v1 - peak**2 / (2 * jmax), 0.0) / np.maximum(peak, 1e-9)
        v2 = v1 - peak * t2
        t3 = peak / jmax
        end = v * t1 + a * t1**2 / 2 - jmax * t1**3 / 6 + (v1 + v2) / 2 * t2 + v2 * t3 - peak * t3**2 / 3
        # Still moving the other way: it turns around first.
        t_turn = np.where(v < 0, (a - np.sqrt(np.maximum(a**2 + 2 * jmax * v, 0.0))) / jmax, 0.0)
        turn = v * t_turn + a * t_turn**2 / 2 - jmax * t_turn**3 / 6
        end, turn = q + sign * end, q + sign * turn
        return np.minimum(np.minimum(q, turn), end), np.maximum(np.maximum(q, turn), end)

    def _brake(self) -> tuple[Floats, Floats, Floats]:
        """Full deceleration at once: keeps position, velocity and acceleration limits, gives up the jerk limit."""
        v = brake_velocity(self.velocity, self.limits.acceleration, self.dt_s)
        return self.position + v * self.dt_s, v, np.zeros_like(v)


def brake_velocity(velocity: Floats, acceleration: Floats, dt_s: float) -> Floats:
    """Velocity [rad/s] one tick later at full deceleration, (n,); reaches zero and stays there."""
    return np.sign(velocity) * np.maximum(np.abs(velocity) - acceleration * dt_s, 0.0)


def brake_path(position: Floats, velocity: Floats, acceleration: Floats, dt_s: float) -> Floats:
    """Positions [rad], (3, n): after each third of the time of the full deceleration that `brake_velocity` makes.

    position, velocity: (n,) at the end of a step.
    """
    speed, change = np.abs(velocity), acceleration * dt_s
    ticks = np.floor(speed / change)
    passed = np.minimum(ticks, ticks.max() * np.array([[1.0], [2.0], [3.0]]) // 3)  # (3, n)
    return position + np.sign(velocity) * passed * dt_s * (speed - change * (passed + 1.0) / 2.0)
