"""What the simulated motors did after a fault: pure functions of the simulator's own records (see `sim.motors`).

Speeds come from the physics and have no noise of sensors; what is below `MOTION_RAD_S` is settling, not motion. Arms
whose stiffness is taken away sag, and arms that are handed back are moved by the robot's own controller. Neither is
motion of ours, so where arms are given away the end of *commanded* motion is taken from the frames on the wire.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1
from sapave_ros.sim.motors import Motors
from sapave_ros.types import Floats

MOTION_RAD_S = 0.05
"""A joint that is faster moves [rad/s]: a tenth of the speed that it has here. Below it is 2 mrad of settling on the
spring that a motor's position loop is."""

ARRIVED_RAD = 1e-3
"""A target this close to where it stays has arrived [rad]."""

STANDSTILL_S = 0.1
"""A simulator that wrote no tick for longer [s] stood still, and the robot's time with it."""

JOINTS = g1.HEAD + g1.ARMS
"""Columns of all that is measured here, (16)."""

MECHANICAL_RAD_S = np.array([10.8] * len(g1.HEAD) + [37.0, 37.0, 37.0, 37.0, 37.0, 22.0, 22.0] * 2)
"""What the motors can do (XL330-M288; Unitree's description of the G1), (16,)."""

BEFORE_S = 1.0
_WEIGHT_WINDOW_S = 0.05


@dataclass(frozen=True)
class Wire:
    """Frames of `rt/arm_sdk` as they pass, N rows. time_s: monotonic [s], (N,); weight (N,); target (N, 14) [rad]."""

    time_s: Floats
    weight: Floats
    target: Floats


@dataclass(frozen=True)
class Extreme:
    """The largest of something. value: in its unit. share: of its limit, above 1 beyond it. joint: which."""

    value: float
    share: float
    joint: str


@dataclass(frozen=True)
class Measured:
    """What followed a fault; times [s] after it, in the robot's time.

    speed_at_fault: of the fastest joint of head and of arms [rad/s]. last_motion_s: last time that any joint moved, of
    head and arms; 0 for none. commanded_until_s: when the arms' targets on the wire came to rest, None without a frame.
    top_speed [rad/s], top_step [rad per tick]: afterwards. weight_end, stiffness_end: in force at the end, stiffness as
    share of the table's. weight_least: lowest. released_s: since when the weight is 0 for good, None if never.
    limp_s: when the arms' stiffness under our weight fell below a tenth, None if it did not. weight_fall_per_s: the
    steepest. moves_at_end: whether something moves in the last tenth of a second. pause_s: the longest time in which
    head or arms stood. late_s: by how much the simulator was late at worst, from `BEFORE_S` before the fault on.
    """

    speed_at_fault: tuple[float, float]
    last_motion_s: float
    head_last_motion_s: float
    arms_last_motion_s: float
    commanded_until_s: float | None
    top_speed: Extreme
    top_step: Extreme
    weight_end: float
    weight_least: float
    stiffness_end: float
    released_s: float | None
    limp_s: float | None
    weight_fall_per_s: float
    moves_at_end: bool
    pause_s: float
    late_s: float


def positions(motors: Motors) -> Floats:
    """Of head and arms [rad], (N, 16)."""
    return np.hstack([motors.head, motors.arms])


def speeds(motors: Motors) -> Floats:
    """Of head and arms, without sign [rad/s], (N, 16)."""
    return np.abs(np.hstack([motors.head_velocity, motors.arms_velocity]))


def robot_time_s(time_s: Floats, from_s: float) -> Floats:
    """The times of the ticks (N,) [s], from `from_s` on without those in which the simulator stood still."""
    gaps = np.diff(time_s, prepend=time_s[:1])
    stood = np.where((gaps > STANDSTILL_S) & (time_s >= from_s), gaps, 0.0)
    return np.asarray(time_s - np.cumsum(stood))


def last_motion_s(time_s: Floats, speed: Floats, from_s: float) -> float:
    """How long after `from_s` the last tick lies in which a column of `speed` (N, k) was motion; 0 for none [s]."""
    moving = (speed > MOTION_RAD_S).any(axis=1) & (time_s >= from_s)
    return float(time_s[moving][-1] - from_s) if moving.any() else 0.0


def at_rest_after_s(time_s: Floats, target: Floats, from_s: float) -> float | None:
    """How long after `from_s` the targets (N, k) [rad] were last away from where they stay [s]; None without any."""
    if not (time_s >= from_s).any():
        return None
    away = (np.abs(target - target[-1]) > ARRIVED_RAD).any(axis=1) & (time_s >= from_s)
    return float(time_s[away][-1] - from_s) if away.any() else 0.0


def for_good_s(time_s: Floats, true: np.ndarray, from_s: float) -> float | None:
    """How long after `from_s` it became true (N,) and stayed so [s]; None if it is not true at the end."""
    if not len(true) or not true[-1]:
        return None
    false = np.flatnonzero(~true)
    begin_s = float(time_s[0] if not len(false) else time_s[false[-1] + 1])
    return max(0.0, begin_s - from_s)


def longest_s(time_s: Floats, true: np.ndarray) -> float:
    """For how long it was true (N,) without a break at most [s]; 0 where it never was."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(int))).reshape(-1, 2)
    begins, ends = edges[:, 0], np.minimum(edges[:, 1], len(true) - 1)
    return float((time_s[ends] - time_s[begins]).max()) if len(edges) else 0.0


def top_speed(speed: Floats, free: Collection[str] = ()) -> Extreme:
    """The speed (N, 16) that comes closest to its joint's limit, or exceeds it most. free: see `limits`."""
    return _extreme(speed, limits(free))


def top_step(sequence: np.ndarray, position: Floats, tick_s: float, free: Collection[str] = ()) -> Extreme:
    """The step from tick to tick of `position` (N, 16) that comes closest to what its joint's speed limit allows.

    Where ticks are missing in `sequence` (N,), the step is taken as made in equal parts. free: see `limits`.
    """
    if len(position) < 2:
        return Extreme(0.0, 0.0, "")
    return _extreme(np.abs(np.diff(position, axis=0)) / np.diff(sequence)[:, None], limits(free) * tick_s)


def weight_fall_per_s(time_s: Floats, weight: Floats) -> float:
    """How steeply the weight (N,) falls, over a few frames [1/s]."""
    if not len(time_s):
        return 0.0
    before = np.searchsorted(time_s, time_s - _WEIGHT_WINDOW_S)
    fall = weight[before] - weight
    return float(max(0.0, (fall / _WEIGHT_WINDOW_S).max()))


def limits(free: Collection[str] = ()) -> Floats:
    """Highest speeds of head and arms [rad/s], (16,).

    Those of the robot's table for joints that we drive. free: joints that somebody else drives, or nobody: for them it
    is what their motors can do.
    """
    return np.where(np.isin(JOINTS.names, list(free)), MECHANICAL_RAD_S, JOINTS.column("velocity"))


def measure(motors: Motors, wire: Wire, fault_s: float, tick_s: float, free: Collection[str] = ()) -> Measured:
    """All of it. motors, wire: from before the fault until the end. fault_s: monotonic [s]. tick_s: of the physics.
    free: see `limits`.

    Raises ValueError where the simulator recorded nothing before the fault.
    """
    before = motors.time_s < fault_s
    if not before.any():
        raise ValueError(f"{len(motors)} ticks, none before the fault at {fault_s:.3f} s; expected motion before it")
    time_s, speed = robot_time_s(motors.time_s, fault_s), speeds(motors)
    last = int(np.flatnonzero(before)[-1])
    after = slice(last, None)
    stiffness = (motors.arms_kp / g1.ARMS.column("kp")).max(axis=1)
    limp = (stiffness < 0.1) & (motors.weight > 0.0) & ~before
    heads = len(g1.HEAD)
    return Measured(
        speed_at_fault=(float(speed[last, :heads].max()), float(speed[last, heads:].max())),
        last_motion_s=last_motion_s(time_s, speed, fault_s),
        head_last_motion_s=last_motion_s(time_s, speed[:, :heads], fault_s),
        arms_last_motion_s=last_motion_s(time_s, speed[:, heads:], fault_s),
        commanded_until_s=at_rest_after_s(wire.time_s, wire.target, fault_s) if len(wire.time_s) else None,
        top_speed=top_speed(speed[after], free),
        top_step=top_step(motors.sequence[after], positions(motors)[after], tick_s, free),
        weight_end=float(motors.weight[-1]),
        weight_least=float(motors.weight[after].min()),
        stiffness_end=float(stiffness[-1]),
        released_s=for_good_s(time_s, motors.weight == 0.0, fault_s),
        limp_s=float(time_s[limp][0] - fault_s) if limp.any() else None,
        weight_fall_per_s=weight_fall_per_s(time_s[after], motors.weight[after]),
        pause_s=max(
            longest_s(time_s[after], group[after].max(axis=1) < MOTION_RAD_S)
            for group in (speed[:, :heads], speed[:, heads:])
        ),
        moves_at_end=bool((speed[time_s > time_s[-1] - 0.1] > MOTION_RAD_S).any()),
        late_s=float(motors.late_s[motors.time_s > fault_s - BEFORE_S].max()),
    )


@dataclass(frozen=True)
class Said:
    """A permit as the watchdog sent it. sent_s: monotonic [s]."""

    sent_s: float
    sequence: int
    state: str
    reason: str


def of_one_watchdog(permits: Sequence[Said]) -> list[Said]:
    """Without the permits of anybody else: those whose number goes on from the one before, or is the first of a new one
    after a silence."""
    kept: list[Said] = []
    for permit in permits:
        goes_on = not kept or 0 < permit.sequence - kept[-1].sequence <= _LOST
        anew = bool(kept) and permit.sent_s - kept[-1].sent_s > SILENT_S
        if goes_on or anew:
            kept.append(permit)
    return kept


_LOST = 100
SILENT_S = 0.3
"""A watchdog that says nothing for this long [s] has gone, or stands still."""


def changed(permits: Sequence[Said], fault_s: float) -> Said | None:
    """The first permit after the fault in another state than before it."""
    before = next((p for p in reversed(permits) if p.sent_s < fault_s), None)
    return next((p for p in permits if p.sent_s >= fault_s and (before is None or p.state != before.state)), None)


def _extreme(values: Floats, highest: Floats) -> Extreme:
    if not len(values):
        return Extreme(0.0, 0.0, "")
    share = values / highest
    row, column = np.unravel_index(int(np.argmax(share)), share.shape)
    return Extreme(float(values[row, column]), float(share[row, column]), JOINTS.names[column])
