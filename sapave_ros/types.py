"""What travels between the parts, in plain Python and numpy.

Times: `stamp_s` is ROS time [s] (exposure of a picture, the moment of a command); `received_s` is this
machine's monotonic clock [s] and only ever serves to tell an age. The two are never mixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CameraFrame:
    """One exposure of the head camera.

    stamp_s: exposure time [s], ROS time. rgb: (H, W, 3) uint8. depth_mm: (H, W) uint16 aligned to the
    colour image, 0 where there is no depth. intrinsics: (3, 3), pixels.
    """

    stamp_s: float
    rgb: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]
    intrinsics: Floats


@dataclass(frozen=True)
class Observation:
    """All that the policy sees of one exposure.

    rgb: (H, W, 3) uint8. depth_m: (H, W) float32 [m], 0 = no depth. intrinsics: (3, 3) pixels.
    camera_in_torso: (4, 4) pose of the optical frame (x right, y down, z forward) in torso_link at
    exposure. Depth, intrinsics and pose may each be None: the policy takes any subset.
    joint_positions: (28,) [rad] in `g1.POLICY` order, interpolated to the exposure.
    """

    stamp_s: float
    instruction: str
    rgb: NDArray[np.uint8]
    joint_positions: Floats
    depth_m: NDArray[np.float32] | None = None
    intrinsics: Floats | None = None
    camera_in_torso: Floats | None = None


@dataclass(frozen=True)
class ActionChunk:
    """k steps of joint increments predicted from one exposure.

    increments: (k, n) [rad]; row i is the motion during step i, which ends (i + 1) * dt_s after
    stamp_s. The target at time t is the position commanded at stamp_s plus the increments up to t, so
    late arrival skips what is past and never replays it.
    """

    stamp_s: float
    dt_s: float
    joint_names: tuple[str, ...]
    increments: Floats

    @property
    def end_s(self) -> float:
        """Time at which the last step ends [s], ROS time."""
        return self.stamp_s + self.dt_s * len(self.increments)


class Mode(Enum):
    """What the watchdog allows a controller to do. Anything unknown or too old counts as HOLD."""

    RELEASE = "release"  # arms: the robot's own controller has them (ramp the weight to 0); head: hold still
    HOLD = "hold"  # decelerate, then freeze the last commanded pose; who has no control takes none
    MOVE = "move"  # take control from the measured pose, then follow chunks
    DAMP = "damp"  # arms: ramp stiffness down, keep damping, then release; head: hold still


class Source(Enum):
    """Whose chunks a controller follows."""

    POLICY = "policy"
    TELEOP = "teleop"


@dataclass(frozen=True)
class Permit:
    """The watchdog's word to the controllers. mode_*: see `Mode`. source_*: whose chunks count, see `Source`.

    sent_s: the watchdog's monotonic clock, which is the controllers' own: they run on one computer.
    """

    received_s: float
    sequence: int
    state: str
    reason: str
    mode_head: Mode
    mode_arms: Mode
    source_head: Source = Source.POLICY
    source_arms: Source = Source.POLICY
    sent_s: float = math.nan

    def of(self, arms: bool) -> tuple[Mode, Source]:
        """What the controller of the arms, or that of the head, may do and whom it follows."""
        return (self.mode_arms, self.source_arms) if arms else (self.mode_head, self.source_head)


class Grip(Enum):
    """What a person at the joystick does with a group of joints."""

    NONE = "none"  # the policy has it
    HOLD = "hold"  # taken, the deadman is released: it stands
    MOVE = "move"  # taken, the deadman is held: it follows the joystick


@dataclass(frozen=True)
class Takeover:
    """What the teleop node says of the person. head, arms: see `Grip`. stop: the joystick's stop button is down."""

    received_s: float
    head: Grip = Grip.NONE
    arms: Grip = Grip.NONE
    stop: bool = False


@dataclass(frozen=True)
class JointState:
    """Measured joints of one actuator bus. positions [rad], velocities [rad/s]: (n,) in the group's order."""

    received_s: float
    positions: Floats
    velocities: Floats


@dataclass(frozen=True)
class BodyState:
    """One LowState_ of the G1, decoded.

    tick_ms: the robot's own counter. positions [rad], velocities [rad/s], torques [N m]: (29,) in motor
    order. motor_mode: (29,) 1 = enabled, 0 = absent. motor_error: (29,) bit field. temperature: (29, 2)
    casing and winding [deg C]. imu_quaternion: (w, x, y, z) of the pelvis. remote: the 40 bytes of the
    Unitree remote. voltage: (29,) at each motor [V]; gyroscope: (3,) of the pelvis [rad/s]; NaN where not known.
    received_s: when a state with a new tick arrived; a robot that repeats itself grows old.
    """

    received_s: float
    tick_ms: int
    mode_machine: int
    mode_pr: int
    positions: Floats
    velocities: Floats
    torques: Floats
    motor_mode: NDArray[np.uint8]
    motor_error: NDArray[np.uint32]
    temperature: NDArray[np.int16]
    imu_quaternion: Floats
    remote: bytes
    voltage: Floats = field(default_factory=lambda: np.full(29, np.nan))
    gyroscope: Floats = field(default_factory=lambda: np.full(3, np.nan))


@dataclass(frozen=True)
class ArmSetpoint:
    """What the arm driver sends in one tick, after the gate.

    positions [rad], velocities [rad/s], torques [N m] (feed-forward), kp, kd: (14,) in `g1.ARMS` order.
    weight: 0 (the robot's own controller) to 1 (ours). hands: (12,) [rad] in `g1.HANDS` order, or None
    for no hand command in this tick.
    """

    positions: Floats
    velocities: Floats
    torques: Floats
    kp: Floats
    kd: Floats
    weight: float
    hands: Floats | None = None
