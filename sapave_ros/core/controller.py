"""The one road from chunks to a written command, for the head and for the arms.

    chunk -> reference by time -> limiter -> gate -> command

What the controller may do is the watchdog's word (`Mode`), and a word too old counts as HOLD. Control is
always taken from the measured pose: the first command is where the joints are, so that nothing moves.
Arms are shared with the robot's own controller through a weight; the ramps in and out are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from sapave_ros.core.chunk import ChunkExecutor, ChunkFault, ChunkRefusal
from sapave_ros.core.clearance import Clearance
from sapave_ros.core.gate import AHEAD_S, MAX_RAMP_PER_S, STATE_STALE_AFTER_S, Command, Gate, fresh
from sapave_ros.core.limiter import Limiter, Limits
from sapave_ros.g1 import POSITION_MARGIN_RAD, JointGroup
from sapave_ros.graph import PERMIT_STALE_AFTER_S
from sapave_ros.parameters import parameter
from sapave_ros.types import ActionChunk, Floats, JointState, Mode, Permit, Source

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


YIELD_SHARE = 0.9
"""Share of the fastest change of authority with which the arms are given up: 0.28 s, and no rounding is refused."""

POSE_SPEED_RAD_S, POSE_DT_S = 0.5, 0.1
"""Highest speed of a joint on its way to a pose that was asked for [rad/s], and the time grid of that chunk [s]."""


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


def permit_age_s(permit: Permit, monotonic_s: float) -> float:
    """Since the watchdog said it [s], however long it was on its way; infinite where it does not say when.

    A permit that waited for a process that stood still is not a fresh one. The watchdog runs on this computer, so
    that there is one clock; a permit of another computer has an age that makes no sense, and moves nothing.
    """
    sent_ago_s = monotonic_s - permit.sent_s
    if not np.isfinite(sent_ago_s) or sent_ago_s < -AHEAD_S:
        return float("inf")
    return max(sent_ago_s, monotonic_s - permit.received_s)


class Phase(Enum):
    """Who has the joints."""

    IDLE = "no control"
    ENGAGING = "taking control"
    ACTIVE = "in control"
    RELEASING = "handing back"
    DAMPING = "giving way"
    YIELDING = "handing back at once"


class JointController:
    """Control of one joint group.

    group: its joints. dt_s: time between ticks [s]. shared: whether the robot's own controller has the
    joints otherwise (arms), or they are ours alone (head: no weight, and torque stays). lower, upper: (n,)
    tighter range [rad], where the mounting needs one. policy_rate: (n,) [rad/s] the largest increments per
    time that the policy was trained on. shadow: nobody carries out the commands; see `tick`. clearance: what
    keeps the arms apart from the robot, None for the head.

    source: whose chunks count. phase, holding: where it stands; holding is the reason why nothing may move,
    empty while it may.
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
        policy_rate: Floats | None = None,
        shadow: bool = False,
        clearance: Clearance | None = None,
    ) -> None:
        self.group, self.config = group, config
        table = Limits.of(group)
        limits = table.tightened(config.limit_scale, lower, upper)
        # Tighter limits stretch a chunk; they do not turn it into nonsense.
        self.executor = ChunkExecutor(group.names, table.velocity, config.blend_s)
        self.limiter = Limiter(limits, dt_s, config.bandwidth_rad_s)
        self.gate = Gate(limits, dt_s, clearance=clearance)
        self.phase, self.holding = Phase.IDLE, "no permit yet"
        self.source = Source.POLICY
        self.weight, self.stiffness = 0.0, 1.0
        self.accepted, self.refused = 0, Counter[ChunkFault]()
        self.last_refusal: ChunkRefusal | None = None
        self.last_verdict_detail = ""
        self.shared, self.shadow, self._dt_s = shared, shadow, dt_s
        self._policy_rate = policy_rate
        self._ramp = 0.0
        self._release = self._yield = False
        self._posing = False
        self._clocks: tuple[float, float] | None = None

    def offer(self, chunk: ActionChunk, now_s: float, source: Source = Source.POLICY) -> ChunkRefusal | None:
        """Execute a chunk from ROS time `now_s` on; returns why not, or None. A refused chunk changes nothing."""
        refusal: ChunkRefusal | None
        if self.phase is not Phase.ACTIVE or self.holding:
            refusal = ChunkRefusal(ChunkFault.NOT_MOVING, self.holding or self.phase.value)
        elif source is not self.source:
            refusal = ChunkRefusal(ChunkFault.SOURCE, f"chunk of {source.value}: {self.source.value} has these joints")
        elif self._posing and source is Source.POLICY and not self.executor.exhausted(now_s):
            refusal = ChunkRefusal(ChunkFault.SOURCE, "chunk of policy: on the way to a pose that was asked for")
        else:
            self._posing = False
            refusal = self.executor.accept(chunk, now_s, self._policy_rate if source is Source.POLICY else None)
        if refusal is None:
            self.accepted += 1
        else:
            self.refused[refusal.fault] += 1
            self.last_refusal = refusal
        return refusal

    def go_to(self, pose: Mapping[str, float], now_s: float) -> str:
        """Move joints to `pose` [rad] by name, slowly, in place of the policy; returns why not, or nothing.

        A minimum-jerk motion (Flash and Hogan 1985), as one chunk; a chunk of teleop or a hold ends it.
        """
        if self.phase is not Phase.ACTIVE or self.holding:
            return self.holding or self.phase.value
        start = self.executor.commanded_at(now_s)  # where the chunk will begin; in shadow that is the measured pose
        if start is None:
            return "no command is known of now"
        columns = [self.group.names.index(name) for name in pose]
        way = np.array(list(pose.values())) - start[columns]
        speed = POSE_SPEED_RAD_S * self.config.limit_scale
        duration_s = max(1.0, float(np.abs(way).max()) * 1.875 / speed)  # 1.875: its highest over its mean speed
        u = np.linspace(0.0, 1.0, max(2, round(duration_s / POSE_DT_S)) + 1)
        increments = np.diff(10 * u**3 - 15 * u**4 + 6 * u**5)[:, None] * way
        self.executor.flush(hold=self.limiter.position, not_before_s=now_s)
        refusal = self.executor.accept(ActionChunk(now_s, POSE_DT_S, tuple(pose), increments), now_s)
        self._posing = refusal is None
        return "" if refusal is None else refusal.text

    def give_up(self) -> None:
        """Hand the joints back at once, as fast as authority may change: the robot needs them more than we do.

        They are not taken again before the permission to move has been withdrawn and given anew.
        """
        self._yield = True

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
        inertia: Floats | None = None,
    ) -> Command | None:
        """The command to write in this tick, or None where nothing is to be written.

        now_s: ROS time. monotonic_s: the clock of `received_s`. torques: (n,) feed-forward [N m] of full
        authority; scaled down with weight and stiffness. inertia: (n, n) [kg m^2] that the commanded acceleration has
        to overcome; its torques are added.

        In shadow, the joints stay where somebody else has them. The gate then sees joints that follow every
        command, and each chunk begins at the measured pose instead of the commanded one: what is computed is the
        motion that would come next from here.
        """
        mode, source, permit_age_s = self._allowed(monotonic_s, permit)
        trouble = self._trouble(monotonic_s, measured)
        self._watch_clock(now_s, monotonic_s)
        real = measured
        if self.shadow and measured is not None and self.phase is not Phase.IDLE:
            measured = replace(measured, positions=self.limiter.position)
        self._step_phase(mode, trouble, now_s, measured)
        if self.phase is Phase.IDLE:
            return None
        if source is not self.source:
            # Whoever had them, their chunks end here; who has them now starts from where the command stands.
            self.source, self._posing = source, False
            self.executor.flush(hold=self.limiter.position, not_before_s=now_s)
        self._hold_or_move(self._why_hold(mode, permit, permit_age_s, trouble), now_s)

        reference = self.executor.reference(now_s) if not self.holding else None
        if reference is None:
            position = self.limiter.stop()
            self.executor.rest_at(position)
        else:
            share = self.gate.slow(self.limiter.position, self.limiter.heading(*reference))
            position = self.limiter.track(*reference, share)
        authority = self.weight * self.stiffness
        feed_forward = np.zeros(len(self.group)) if torques is None else torques * authority
        if inertia is not None:
            feed_forward = feed_forward + inertia @ self.limiter.acceleration * authority
        wanted = Command(position, self.limiter.velocity, feed_forward, self.weight, self.stiffness)
        verdict = self.gate.check(wanted, monotonic_s, measured, mode, permit_age_s)
        if verdict.reason is not None:
            self.last_verdict_detail = f"{verdict.reason.value}: {verdict.detail}"
        if verdict.refused:
            # The gate brakes by itself: follow it, and let only new pictures move the joints again.
            self.limiter.reset(verdict.command.positions, verdict.command.velocities)
            self.executor.flush(hold=verdict.command.positions, not_before_s=now_s)
            self.weight, self.stiffness = verdict.command.weight, verdict.command.stiffness
        anchor = real.positions if self.shadow and real is not None and not trouble else verdict.command.positions
        self.executor.record(now_s, anchor)
        return verdict.command

    # ---- what is allowed ----

    def _allowed(self, monotonic_s: float, permit: Permit | None) -> tuple[Mode, Source, float]:
        """The mode in force, whose chunks count, and the age of the permit [s]."""
        if permit is None:
            mode, source, age_s = Mode.HOLD, self.source, np.inf
        else:
            age_s = permit_age_s(permit, monotonic_s)
            mode, source = permit.of(arms=self.shared)
            if not fresh(age_s, PERMIT_STALE_AFTER_S):
                mode, source = Mode.HOLD, self.source
        if self.phase is Phase.IDLE and mode is not Mode.MOVE:
            self._yield = False  # permission was withdrawn meanwhile: a new one may take the joints again
        if (self._release or self._yield) and mode is not Mode.DAMP:
            mode = Mode.RELEASE
        return mode, source, age_s

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
            return (
                f"permit {permit_age_s:.3f} s old: expected at most {PERMIT_STALE_AFTER_S} s by this computer's clock"
            )
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
        if not self.shared:
            return
        if self._yield:
            self.phase = Phase.YIELDING
        elif mode is Mode.DAMP:
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
        elif self.phase in (Phase.RELEASING, Phase.DAMPING, Phase.YIELDING):
            if self.weight == 0.0:
                self.phase, self.holding = Phase.IDLE, "released"
                self.executor.forget()
            fall = YIELD_SHARE * MAX_RAMP_PER_S if self.phase is Phase.YIELDING else 1.0 / self.config.release_s
            self.weight = max(0.0, self.weight - self._dt_s * fall)

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
        self.weight = 0.0 if self.shared else 1.0
        self.phase = Phase.ENGAGING if self.shared else Phase.ACTIVE
        self.gate.start(q, self.weight, self.stiffness)
        self.executor.forget()
        self.executor.rest_at(q)
        self.holding = self.phase.value
