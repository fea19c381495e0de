"""The stream of arm_sdk frames as a state machine: what goes to the robot when setpoints come, stop or end.

Pure: time is an argument, frames are bytes. It runs in the SDK process, below every controller, so that
arms are held and handed back even when all that commanded them has died. Python 3.8, numpy only.

    nothing ──setpoint──► following ◄──setpoint── holding
                              │  20 ms without a setpoint ─►
                              └── release, or parent gone ──► releasing ──weight 0──► done
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

if __package__:
    from sapave_ros.drivers.unitree_cdr import KD, KP, LowCmdFrame, Q
else:  # started by path under the SDK's interpreter, where this folder is the import path
    from unitree_cdr import KD, KP, LowCmdFrame, Q  # type: ignore[no-redef]

PERIOD_S = 0.004
HOLD_AFTER_S = 0.020
"""Five missed setpoints: late enough to ride out a busy machine, early enough that nothing moves 0.03 rad on."""
MAX_SPEED_RAD_S = 2.0
"""No setpoint within the limits of the arms moves faster. Whatever does is the gap after this process or the pipe to
it stood still, and is closed at this speed instead of in one frame."""
SETTLE_S = 0.5
"""Hold before an unasked release, so that the arms stand still when the robot gets them back."""
RELEASE_S = 2.0
STRAY_RAD = 0.1
"""Arms further than this from the last frame have left it while nobody wrote: they are taken up where they are."""
FINAL_FRAMES = 10
"""Frames with weight 0 at the end of a release; the stream never ends on another weight."""

NUM_MOTORS = 29
WEIGHT_INDEX = 29
WAIST = slice(12, 15)
WAIST_KP, WAIST_KD = 200.0, 5.0
"""Gains of the waist [N m/rad, N m s/rad]; used with arm_sdk on a real G1 by phanthymotus."""


class Body(NamedTuple):
    """What the stream has to know of the robot. positions [rad], motor_mode: (29,)."""

    mode_machine: int
    motor_mode: np.ndarray
    positions: np.ndarray


class Table(NamedTuple):
    """The arms: motor indices and mechanical range [rad] of each, and the accepted `mode_machine` values."""

    motors: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    mode_machines: frozenset

    def body_refusal(self, body: Body | None) -> str | None:
        """Why this robot must not be commanded, None if it may be."""
        if body is None:
            return "no LowState received yet: expected rt/lowstate on this DDS domain and interface"
        if body.mode_machine not in self.mode_machines:
            known = ", ".join(str(m) for m in sorted(self.mode_machines))
            return f"mode_machine {body.mode_machine}: expected a G1 with 29 joints ({known})"
        absent = [int(m) for m in self.motors if body.motor_mode[m] == 0]
        if absent:
            return f"motor_mode 0 of motors {absent}: expected all 14 arm motors (a 23-joint G1 lacks 20, 21, 27, 28)"
        nonsense = np.flatnonzero(~np.isfinite(body.positions))
        if len(nonsense):
            return f"measured position[{nonsense[0]}] is {body.positions[nonsense[0]]}: expected a finite angle"
        return None

    def setpoint_refusal(self, arm: np.ndarray, weight: float) -> str | None:
        """Why a setpoint must not be sent, None if it may be. arm: (5, 14), rows q, dq, tau, kp, kd."""
        if not np.isfinite(arm).all():
            row, joint = np.argwhere(~np.isfinite(arm))[0]
            return f"{('q', 'dq', 'tau', 'kp', 'kd')[row]}[{joint}] is {arm[row, joint]}: expected a finite number"
        if not 0.0 <= weight <= 1.0:
            return f"weight {weight}: expected 0 to 1"
        outside = np.flatnonzero((arm[Q] < self.lower) | (arm[Q] > self.upper))
        if len(outside):
            j = outside[0]
            return f"q[{j}] is {arm[Q, j]:.4f} rad: expected {self.lower[j]:.4f} to {self.upper[j]:.4f}"
        if (arm[KP:] < 0.0).any():
            return "kp, kd: expected no negative gain"
        return None


def takes(weight_before: float, weight: float) -> bool:
    """Whether a setpoint takes something of the robot; else it only goes on or gives back what we have.

    A robot that must not be commanded (a motor has dropped out, say) is not taken, but always given back: refusing
    that too would hold the arms stiff against everyone who wants them released.
    """
    return weight_before == 0.0 or weight > weight_before


class ArmStream:
    """Turns setpoints into frames for `rt/arm_sdk`. `done` once a release is complete."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.body: Body | None = None
        self.holding = False
        self.done = False
        self._frame = LowCmdFrame()
        self._arm: np.ndarray | None = None  # last accepted setpoint, (5, 14)
        self._weight = 0.0
        self._waist = np.zeros(3)
        self._measured = np.zeros(NUM_MOTORS)  # newest finite positions, from the first setpoint on
        self._setpoint_s = 0.0
        self._reach_s = 0.0  # how long the arms may move at full speed by now; at most HOLD_AFTER_S
        self._sent_s = 0.0
        self._release_from_s: float | None = None
        self._release_s = RELEASE_S
        self._release_weight = 0.0
        self._final_frames = 0

    @property
    def weight(self) -> float:
        """Of the last frame."""
        return self._weight

    def setpoint(self, arm: np.ndarray, weight: float, now_s: float) -> bytes | str:
        """The frame to send at once, or, as text, why the setpoint is refused and the last one goes on.

        arm: (5, 14), rows q [rad], dq [rad/s], tau [N m], kp, kd.
        """
        if self._release_from_s is not None:
            return "release in progress"
        refusal = self.table.setpoint_refusal(arm, weight)
        if refusal is None and takes(self._weight, weight):
            refusal = self.table.body_refusal(self.body)
        if refusal is not None:
            return refusal
        assert self.body is not None
        if self._weight == 0.0:  # not engaged: the waist is where the robot put it
            self._waist = self.body.positions[WAIST].copy()
        self._arm, self._weight = self._within_reach(arm, now_s), float(weight)
        self._setpoint_s = now_s
        self.holding = False
        return self._encode(self._arm, self._weight, now_s)

    def _within_reach(self, arm: np.ndarray, now_s: float) -> np.ndarray:
        """The setpoint, as far on the way to it as the arms may have come since the last one; (5, 14)."""
        arm = arm.copy()
        if self._arm is None or self._weight == 0.0:  # the arms are not ours yet: nothing moves
            self._reach_s = HOLD_AFTER_S
            return arm
        self._reach_s = min(self._reach_s + now_s - self._setpoint_s, HOLD_AFTER_S)
        reach = MAX_SPEED_RAD_S * self._reach_s
        before = self._arm[Q]
        arm[Q] = np.clip(arm[Q], before - reach, before + reach)
        self._reach_s -= float(np.abs(arm[Q] - before).max()) / MAX_SPEED_RAD_S
        return arm

    def resume(self, data: bytes, weight: float) -> None:
        """Stand where another process sent its last frame, with that frame's gains: it is gone.

        data: that frame in wire form. weight: at most what the robot got. Needs `body`. Where the arms have left the
        frame, they are held where they are.
        """
        assert self.body is not None
        self._frame.load(data)
        motors = self._frame.motors.astype(np.float64)
        arm = motors[self.table.motors].T.copy()
        measured = self.body.positions[self.table.motors]
        if (np.abs(measured - arm[Q]) > STRAY_RAD).any():
            arm[Q] = np.clip(np.where(np.isfinite(measured), measured, arm[Q]), self.table.lower, self.table.upper)
        self._arm, self._weight = arm, weight
        self._waist = motors[WAIST, Q]

    def release(self, now_s: float, release_s: float = RELEASE_S, settle_s: float = 0.0) -> None:
        """Hand the arms back: hold for settle_s [s], then let the weight fall to 0 over release_s [s]. Irrevocable."""
        if self._release_from_s is None:
            self._release_from_s = now_s + settle_s
            self._release_s = release_s
            self._release_weight = self._weight
            self.done = self._weight == 0.0

    def due_in(self, now_s: float) -> float | None:
        """Seconds until `repeat` has something to send, None if nothing is to be sent without a setpoint."""
        if self.done or self._arm is None or (self._weight == 0.0 and self._release_from_s is None):
            return None
        repeating = self.holding or self._release_from_s is not None
        due_s = self._sent_s + PERIOD_S if repeating else self._setpoint_s + HOLD_AFTER_S
        return max(0.0, due_s - now_s)

    def repeat(self, now_s: float) -> bytes:
        """The last pose again, standing still: as a hold, or with the weight of a release. Only when due."""
        assert self._arm is not None, "repeat() is due only after a setpoint"
        self.holding = True
        standing = self._arm.copy()
        standing[1] = 0.0  # velocity
        if self._release_from_s is not None and now_s >= self._release_from_s:
            share = 1.0 - (now_s - self._release_from_s) / self._release_s if self._release_s > 0.0 else 0.0
            self._weight = max(0.0, self._release_weight * share)
            if self._weight == 0.0:
                self._final_frames += 1
                self.done = self._final_frames >= FINAL_FRAMES
        return self._encode(standing, self._weight, now_s)

    def _encode(self, arm: np.ndarray, weight: float, now_s: float) -> bytes:
        """Arms as commanded; the waist held where it was when we engaged; the legs without gains.

        The robot's controller blends joints 12 to 28 with the weight. Zero gains there would let the waist go limp
        as the weight rises, and a moving target would steer it, so it gets a fixed target and its stiffness. Joints
        0 to 11 are not read from this topic; they carry their measured position and no gains, in case they ever are.
        """
        assert self.body is not None
        frame, motors = self._frame, self._frame.motors
        mode = np.zeros(len(motors), dtype=np.uint8)
        mode[self.table.motors] = 1
        mode[WAIST] = self.body.motor_mode[WAIST] != 0
        frame.motor_mode = mode
        frame.header[:] = 0, self.body.mode_machine
        motors[:NUM_MOTORS] = 0.0
        self._measured = np.where(np.isfinite(self.body.positions), self.body.positions, self._measured)
        motors[:NUM_MOTORS, Q] = self._measured
        motors[WAIST, Q] = self._waist
        motors[WAIST, KP] = WAIST_KP * mode[WAIST]
        motors[WAIST, KD] = WAIST_KD * mode[WAIST]
        motors[self.table.motors] = arm.T
        motors[WEIGHT_INDEX, Q] = weight
        self._sent_s = now_s
        return frame.seal()
