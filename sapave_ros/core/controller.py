"""The one road from chunks to a written command, for the head and for the arms.

    chunk -> reference by time -> limiter -> gate -> command

What the controller may do is the watchdog's word (`Mode`), and a word too old counts as HOLD. Control is
always taken from the measured pose: the first command is where the joints are, so that nothing moves.
Arms are shared with the robot's own controller through a weight; the ramps in and out are here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from sapave_ros.core.chunk import ChunkExecutor, ChunkFault, ChunkRefusal
from sapave_ros.core.gate import STATE_STALE_AFTER_S, Command, Gate, fresh
from sapave_ros.core.limiter import Limiter, Limits
from sapave_ros.g1 import POSITION_MARGIN_RAD, JointGroup
from sapave_ros.graph import PERMIT_STALE_AFTER_S
from sapave_ros.parameters import parameter
from sapave_ros.types import ActionChunk, Floats, JointState, Mode, Permit

OUTSIDE_RANGE_RAD = 0.1
"""A joint measured further outside its range than this is mounted or calibrated wrongly: control is refused."""

SEED_MARGIN_RAD = 0.9 * POSITION_MARGIN_RAD
"""A joint on or beyond its stop is taken over this far outside the range of commands, which is still inside the
mechanical one: no driver and no servo takes a goal beyond that. It then moves inwards only."""

CLOCK_JUMP_S = 0.05
"""ROS time that moves this much differently from the monotonic clock has been set: chunks lose their meaning."""


@dataclass(frozen=True)
class ControllerConfig:
    """Tunables of a controller. Limits are in `g1.py` and only ever tightened here."""

    limit_scale: float = parameter(
        1.0, low=0.05, high=1.0, doc="share of the velocity, acceleration and jerk limits that is used"
    )
    blend_s: float = parameter(
        0.5,
        unit="s",
        low=0.0,
        high=2.0,
        doc="time over which the gap between two chunks fades out; keep it above the time from picture to chunk",
    )
    bandwidth_rad_s: float = parameter(
        30.0, unit="rad/s", low=5.0, high=60.0, doc="how tightly the reference is tracked; lag is 3 a / bandwidth^2"
    )
    engage_s: float = parameter(
        1.0, unit="s", low=0.5, high=10.0, doc="arms: the weight rises from 0 to 1 in this time"
    )
    release_s: float = parameter(
        2.0, unit="s", low=0.5, high=10.0, doc="arms: the weight falls from 1 to 0 in this time"
    )
    damp_s: float = parameter(
        0.5, unit="s", low=0.3, high=5.0, doc="arms: stiffness falls to 0 in this time when damping"
    )


def in_order(before: Permit | None, permit: Permit) -> Permit:
    """The permit as it counts after the one before. Out of order, it neither lets anybody move nor drops any arms.

    A sequence that is missing or does not rise is an old permit, a second watchdog, or one that started anew, whose
    next permit counts as it is. A stop is a stop in any order.
    """
    if permit.sequence > (-1 if before is None else before.sequence):
        return permit
    head, arms = (mode if mode is Mode.DAMP else Mode.HOLD for mode in (permit.mode_head, permit.mode_arms))
    after = "nothing" if before is None else str(before.sequence)
    reason = f"permit {permit.sequence} after {after}: expected a rising sequence"
    return replace(permit, reason=reason, mode_head=head, mode_arms=arms)


class Phase(Enum):
    """Who has the joints."""

    IDLE = "no control"
    ENGAGING = "taking control"
    ACTIVE = "in control"
    RELEASING = "handing back"
    DAMPING = "giving way"


class JointController:
    """Control of one joint group.

    group: its joints. dt_s: time between ticks [s]. shared: whether the robot's own controller has the
    joints otherwise (arms), or they are ours alone (head: no weight, and torque stays). lower, upper: (n,)
    tighter range [rad], where the mounting needs one.

    phase, holding: where it stands; holding is the reason why nothing may move, empty while it may.
    accepted, refused: chunks so far. last_refusal: newest one.
    """

    def __init__(
        self,
        group: JointGroup,
        dt_s: float,
        config: ControllerConfig,
        shared: bool,
        lower: Floats | None = None,
        upper: Floats | None = None,
    ) -> None:
        self.group, self.config = group, config
        table = Limits.of(group)
        limits = table.tightened(config.limit_scale, lower, upper)
        # Tighter limits stretch a chunk; they do not turn it into nonsense.
        self.executor = ChunkExecutor(group.names, table.velocity, config.blend_s)
        self.limiter = Limiter(limits, dt_s, config.bandwidth_rad_s)
        self.gate = Gate(limits, dt_s)
        self.phase, self.holding = Phase.IDLE, "no permit yet"
        self.weight, self.stiffness = 0.0, 1.0
        self.accepted, self.refused = 0, Counter[ChunkFault]()
        self.last_refusal: ChunkRefusal | None = None
        self.last_verdict_detail = ""
        self._dt_s, self._shared = dt_s, shared
        self._ramp = 0.0
        self._release = False
        self._clocks: tuple[float, float] | None = None

    def offer(self, chunk: ActionChunk, now_s: float) -> ChunkRefusal | None:
        """Execute a chunk from ROS time `now_s` on; returns why not, or None. A refused chunk changes nothing."""
        if self.phase is not Phase.ACTIVE or self.holding:
            refusal: ChunkRefusal | None = ChunkRefusal(ChunkFault.NOT_MOVING, self.holding or self.phase.value)
        else:
            refusal = self.executor.accept(chunk, now_s)
        if refusal is None:
            self.accepted += 1
        else:
            self.refused[refusal.fault] += 1
            self.last_refusal = refusal
        return refusal

    def lose(self, why: str) -> None:
        """The actuators let go by themselves: control has to be taken anew, from where the joints are."""
        self.phase, self.weight = Phase.IDLE, 0.0
        self.executor.forget()
        self.holding = why

    def release(self) -> None:
        """Hand the joints back for good, whatever the watchdog says; done when `phase` is IDLE."""
        self._release = True

    def tick(
        self,
        now_s: float,
        monotonic_s: float,
        measured: JointState | None,
        permit: Permit | None,
        torques: Floats | None = None,
    ) -> Command | None:
        """The command to write in this tick, or None where nothing is to be written.

        now_s: ROS time. monotonic_s: the clock of `received_s`. torques: (n,) feed-forward [N m] of full
        authority; scaled down with weight and stiffness.
        """
        mode, permit_age_s = self._mode(monotonic_s, permit)
        trouble = self._trouble(monotonic_s, measured)
        self._watch_clock(now_s, monotonic_s)
        self._step_phase(mode, trouble, now_s, measured)
        if self.phase is Phase.IDLE:
            return None
        self._hold_or_move(self._why_hold(mode, permit, permit_age_s, trouble), now_s)

        reference = self.executor.reference(now_s) if not self.holding else None
        if reference is None:
            position = self.limiter.stop()
            self.executor.rest_at(position)
        else:
            position = self.limiter.track(*reference)
        authority = self.weight * self.stiffness
        feed_forward = np.zeros(len(self.group)) if torques is None else torques * authority
        wanted = Command(position, self.limiter.velocity, feed_forward, self.weight, self.stiffness)
        verdict = self.gate.check(wanted, monotonic_s, measured, mode, permit_age_s)
        if verdict.reason is not None:
            self.last_verdict_detail = f"{verdict.reason.value}: {verdict.detail}"
        if verdict.refused:
            # The gate brakes by itself: follow it, and let only new pictures move the joints again.
            self.limiter.reset(verdict.command.positions, verdict.command.velocities)
            self.executor.flush(hold=verdict.command.positions, not_before_s=now_s)
            self.weight, self.stiffness = verdict.command.weight, verdict.command.stiffness
        self.executor.record(now_s, verdict.command.positions)
        return verdict.command

    # ---- what is allowed ----

    def _mode(self, monotonic_s: float, permit: Permit | None) -> tuple[Mode, float]:
        """The mode in force and the age of the permit [s]."""
        if permit is None:
            mode, age_s = Mode.HOLD, np.inf
        else:
            age_s = monotonic_s - permit.received_s
            mode = permit.mode_arms if self._shared else permit.mode_head
            if not fresh(age_s, PERMIT_STALE_AFTER_S):
                mode = Mode.HOLD
        if self._release and mode is not Mode.DAMP:
            mode = Mode.RELEASE
        return mode, age_s

    def _trouble(self, monotonic_s: float, measured: JointState | None) -> str:
        """What is wrong with the measured joints, or nothing."""
        if measured is None:
            return "no measured joints"
        age_s = monotonic_s - measured.received_s
        if not fresh(age_s, STATE_STALE_AFTER_S):
            return f"measured joints are {age_s:.3f} s old: expected at most {STATE_STALE_AFTER_S} s"
        if measured.positions.shape != (len(self.group),) or not np.isfinite(measured.positions).all():
            return f"measured positions {measured.positions}: expected {len(self.group)} finite values"
        return ""

    def _why_hold(self, mode: Mode, permit: Permit | None, permit_age_s: float, trouble: str) -> str:
        if permit is None:
            return "no permit yet"
        if not fresh(permit_age_s, PERMIT_STALE_AFTER_S):
            return f"permit older than {PERMIT_STALE_AFTER_S} s"
        if self.phase is not Phase.ACTIVE:
            return self.phase.value
        if mode is not Mode.MOVE:
            return f"{permit.state}: {permit.reason}"
        return trouble

    def _hold_or_move(self, why_hold: str, now_s: float) -> None:
        """Flush when motion ends; accept only pictures of after it begins."""
        if bool(why_hold) != bool(self.holding):
            self.executor.flush(hold=self.limiter.position, not_before_s=now_s)
        self.holding = why_hold

    def _watch_clock(self, now_s: float, monotonic_s: float) -> None:
        if self._clocks is not None:
            jump_s = (now_s - self._clocks[0]) - (monotonic_s - self._clocks[1])
            if abs(jump_s) > CLOCK_JUMP_S:
                self.executor.forget()
                self.executor.flush(hold=self.limiter.position, not_before_s=now_s)
                self.last_verdict_detail = f"ROS time jumped by {jump_s:.3f} s: chunks dropped"
        self._clocks = (now_s, monotonic_s)

    # ---- who has the joints ----

    def _step_phase(self, mode: Mode, trouble: str, now_s: float, measured: JointState | None) -> None:
        """One step of taking control, handing back and giving way."""
        if self.phase is Phase.IDLE:
            if mode is Mode.MOVE and not self._release:
                self._engage(trouble, measured)
            return
        if not self._shared:
            return
        if mode is Mode.DAMP:
            self.phase = Phase.DAMPING
        elif mode is Mode.RELEASE and self.phase in (Phase.ENGAGING, Phase.ACTIVE):
            self.phase = Phase.RELEASING

        if self.phase is Phase.ENGAGING and mode is Mode.MOVE and not trouble and not self._strayed(measured):
            self._ramp = min(1.0, self._ramp + self._dt_s / self.config.engage_s)
            self.weight = self._ramp**2  # the robot's own controller gives way slowly at first
            if self._ramp == 1.0:
                self.phase = Phase.ACTIVE
        elif self.phase is Phase.DAMPING and self.stiffness > 0.0:
            self.stiffness = max(0.0, self.stiffness - self._dt_s / self.config.damp_s)
        elif self.phase in (Phase.RELEASING, Phase.DAMPING):
            if self.weight == 0.0:
                self.phase, self.holding = Phase.IDLE, "released"
                self.executor.forget()
            self.weight = max(0.0, self.weight - self._dt_s / self.config.release_s)

    def _strayed(self, measured: JointState | None) -> bool:
        """Whether joints have left where they were to be taken; then they are handed back, not pulled there."""
        assert measured is not None
        error = np.abs(measured.positions - self.limiter.position)
        far = error > self.limiter.limits.max_tracking_error
        if far.any():
            i = int(np.argmax(far))
            self.last_verdict_detail = f"{self.group.names[i]} moved by {error[i]:.3f} rad while it was being taken"
            self.phase = Phase.RELEASING
        return bool(far.any())

    def _engage(self, trouble: str, measured: JointState | None) -> None:
        """Take control where the joints are; where that is impossible, `holding` says why."""
        if trouble or measured is None:
            self.holding = trouble
            return
        limits, q = self.limiter.limits, measured.positions
        outside = np.maximum(limits.lower - q, q - limits.upper)
        if outside.max() > OUTSIDE_RANGE_RAD:
            i = int(np.argmax(outside))
            low, high = limits.lower[i], limits.upper[i]
            self.holding = f"{self.group.names[i]} measured at {q[i]:.3f} rad: expected {low:.3f} to {high:.3f}"
            return
        q = np.clip(q, limits.lower - SEED_MARGIN_RAD, limits.upper + SEED_MARGIN_RAD)
        self.limiter.reset(q)
        self._ramp, self.stiffness = 0.0, 1.0
        self.weight = 0.0 if self._shared else 1.0
        self.phase = Phase.ENGAGING if self._shared else Phase.ACTIVE
        self.gate.start(q, self.weight, self.stiffness)
        self.executor.forget()
        self.executor.rest_at(q)
        self.holding = self.phase.value
