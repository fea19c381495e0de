"""The Unitree G1 as one table: joints, limits, gains, units of the hands.

Angles are rad, positive as in the URDF (`models/g1/g1.urdf`). `lower` and `upper` are the mechanical
range from Unitree's `g1_29dof_rev_1_0` description (limits of the waist, arms and DFX hands) and of
the G1-Comp head (neck). Velocity, acceleration and jerk are *our* limits: a fraction of what the motors
can do (up to 37 rad/s), low enough for a person to stay beside the robot. Configuration may tighten
them and never loosen them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sapave_ros.share import share_path

NUM_MOTORS = 29
"""Body motors in LowState_/LowCmd_ order, legs and waist included."""

ARM_SDK_WEIGHT_INDEX = 29
"""`motor_cmd[29].q` on `rt/arm_sdk` is the weight of our command, 0 (the robot's own) to 1 (ours)."""

MODE_MACHINES_29_DOF = frozenset({0, 5, 6, 11, 12, 13, 14, 15, 16})
"""`mode_machine` values of robots with 7-DoF arms; 0 is a simulator (unitree_ros g1_description README)."""

POSITION_MARGIN_RAD = 0.01
"""Commands stay this far inside the mechanical range: no command ever presses on a hard stop."""

ARM_ROTOR_INERTIA_KG_M2 = 0.01
"""Inertia of a rotor of the arms seen through its gear: `armature` of Unitree's MuJoCo model of the G1."""

SELF_MARGIN_M = 0.02
"""Room that a command leaves between an arm and the rest of the robot: what a joint lags and sags, and soft covers."""

SHOULDER_MARGIN_M = 0.004
"""The same between an upper arm and the torso that it hangs from: at zero they are 9 mm apart, by the model."""

WORKSPACE_LOWER_M = (-0.15, -0.30, -0.45)
WORKSPACE_UPPER_M = (0.60, 0.65, 0.60)
"""Where the left hand may be, in torso_link (x forward, y left, z up from the waist): wrist and knuckles of the fingers
stay in this box; the right hand's is its mirror image. Not behind the back, where no camera looks; not above the head
(0.52), from where a load would fall on it; across the middle by half a forearm."""


@dataclass(frozen=True)
class Joint:
    """One actuated joint.

    name: URDF joint name. lower, upper: mechanical range [rad]. velocity [rad/s], acceleration [rad/s^2],
    jerk [rad/s^3]: limits of every command. max_tracking_error: distance from command to measurement
    [rad] beyond which the joint counts as blocked. kp [N m/rad], kd [N m s/rad]: gains sent to body
    motors. effort: what the motor can give [N m], the bound of a feed-forward torque. motor: index in
    LowCmd_.motor_cmd, None where another bus drives the joint.
    """

    name: str
    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float
    max_tracking_error: float
    kp: float = 0.0
    kd: float = 0.0
    effort: float = 0.0
    motor: int | None = None


@dataclass(frozen=True)
class JointGroup:
    """An ordered set of joints with their limits as arrays, so that formulas read as formulas."""

    joints: tuple[Joint, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(j.name for j in self.joints)

    def __len__(self) -> int:
        return len(self.joints)

    def __add__(self, other: JointGroup) -> JointGroup:
        return JointGroup(self.joints + other.joints)

    def column(self, field: str) -> NDArray[np.float64]:
        """One float column of the table, (n,)."""
        return np.array([getattr(j, field) for j in self.joints], dtype=np.float64)

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lowest position that may be commanded [rad], (n,): mechanical limit plus margin."""
        return self.column("lower") + POSITION_MARGIN_RAD

    @property
    def upper(self) -> NDArray[np.float64]:
        """Highest position that may be commanded [rad], (n,): mechanical limit minus margin."""
        return self.column("upper") - POSITION_MARGIN_RAD


def _head(name: str, lower: float, upper: float) -> Joint:
    # XL330-M288: 10.8 rad/s without load. 1.5 rad/s keeps a 30 Hz picture within 3 degrees a frame. From there the
    # command stands within 0.1 s; the servo follows 0.04 s later.
    return Joint(name, lower, upper, velocity=1.5, acceleration=20.0, jerk=800.0, max_tracking_error=0.35)


HEAD = JointGroup(
    (
        _head("head_yaw_joint", -0.8727, 0.8727),
        _head("head_pitch_joint", -0.3491, 1.4835),  # positive looks down; the servo service stops at 85 deg
    )
)

_WEAK = {"wrist_pitch", "wrist_yaw"}  # the 4010 motors; all others of the arm are 5020
_MIRRORED = {"shoulder_roll", "shoulder_yaw", "wrist_roll", "wrist_yaw"}

# suffix: (lower, upper of the left arm, kp, kd). Gains as in Unitree's xr_teleoperate: 80/3, wrists 40/1.5.
_ARM = {
    "shoulder_pitch": (-3.0892, 2.6704, 80.0, 3.0),
    "shoulder_roll": (-1.5882, 2.2515, 80.0, 3.0),
    "shoulder_yaw": (-2.618, 2.618, 80.0, 3.0),
    "elbow": (-1.0472, 2.0944, 80.0, 3.0),
    "wrist_roll": (-1.972222054, 1.972222054, 40.0, 1.5),
    "wrist_pitch": (-1.614429558, 1.614429558, 40.0, 1.5),
    "wrist_yaw": (-1.614429558, 1.614429558, 40.0, 1.5),
}

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")

MOTOR_NAMES: tuple[str, ...] = (
    *(f"{side}_{part}_joint" for side in ("left", "right") for part in _LEG),
    *(f"waist_{part}_joint" for part in ("yaw", "roll", "pitch")),
    *(f"{side}_{part}_joint" for side in ("left", "right") for part in _ARM),
)
"""URDF joint names of the body motors in LowState_/LowCmd_ order, (29)."""


ARM_MIRROR = np.array([-1.0 if part in _MIRRORED else 1.0 for part in _ARM])
"""Signs (7,) that take the positions of one arm to its mirror image on the other."""


def _arm(side: str, first_motor: int) -> JointGroup:
    joints = []
    for i, (part, (lower, upper, kp, kd)) in enumerate(_ARM.items()):
        if side == "right" and part in _MIRRORED:
            lower, upper = -upper, -lower
        joints.append(
            Joint(
                f"{side}_{part}_joint",
                lower,
                upper,
                velocity=1.5,
                acceleration=15.0,
                jerk=300.0,
                max_tracking_error=0.35,
                kp=kp,
                kd=kd,
                effort=5.0 if part in _WEAK else 25.0,
                motor=first_motor + i,
            )
        )
    return JointGroup(tuple(joints))


# part: (lower, upper). The DFX hand accepts less of the thumb than its description allows.
_HAND = {
    "thumb_proximal_yaw": (-0.1, 1.3),
    "thumb_proximal_pitch": (0.0, 0.5),
    "index_proximal": (0.0, 1.7),
    "middle_proximal": (0.0, 1.7),
    "ring_proximal": (0.0, 1.7),
    "pinky_proximal": (0.0, 1.7),
}


def _hand(side: str) -> JointGroup:
    return JointGroup(
        tuple(
            # A finger that closes on an object stays short of its command by design, so the tracking
            # bound is the whole range.
            Joint(f"{side[0].upper()}_{part}_joint", lower, upper, 1.5, 15.0, 300.0, max_tracking_error=upper - lower)
            for part, (lower, upper) in _HAND.items()
        )
    )


LEFT_ARM = _arm("left", 15)
RIGHT_ARM = _arm("right", 22)
LEFT_HAND = _hand("left")
RIGHT_HAND = _hand("right")

ARMS = LEFT_ARM + RIGHT_ARM  # (14)
HANDS = LEFT_HAND + RIGHT_HAND  # (12)
OTHER = ARMS + HANDS
"""What the policy's second head moves: 26 joints, the arms then the hands."""
POLICY = HEAD + OTHER
"""Proprioception order of the policy: 28 joints."""

HEAD_HOME = dict.fromkeys(HEAD.names, 0.0)
"""Straight ahead [rad]."""


def _arms_pose(shoulder_roll: float, elbow: float) -> dict[str, float]:
    pose = dict.fromkeys(ARMS.names, 0.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose[f"{side}_shoulder_roll_joint"] = sign * shoulder_roll
        pose[f"{side}_elbow_joint"] = elbow
    return pose


ARMS_HOME = _arms_pose(shoulder_roll=0.15, elbow=-0.15)
"""Upper arms down, forearms forward and a little up [rad]; hands stay as they are: they may hold something."""

ARMS_REST = {
    **_arms_pose(shoulder_roll=0.25, elbow=1.2),
    **{j.name: j.lower + POSITION_MARGIN_RAD for j in HANDS.joints},
}
"""Arms hanging, clear of the thighs, hands open [rad]."""

# Inspire DFX entry order on rt/inspire/{cmd,state}: right hand 0-5, left hand 6-11, each pinky, ring,
# middle, index, thumb bend, thumb rotation; 1 = open, 0 = closed (xr_teleoperate robot_hand_inspire.py).
_INSPIRE_PARTS = (
    "pinky_proximal",
    "ring_proximal",
    "middle_proximal",
    "index_proximal",
    "thumb_proximal_pitch",
    "thumb_proximal_yaw",
)
INSPIRE_ORDER: tuple[str, ...] = tuple(f"{side}_{part}_joint" for side in "RL" for part in _INSPIRE_PARTS)
_INSPIRE_INDEX = np.array([HANDS.names.index(n) for n in INSPIRE_ORDER])
_HAND_OPEN = HANDS.column("lower")
_HAND_CLOSED = HANDS.column("upper")


def inspire_from_rad(q_hands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hand positions [rad], (12,) in `HANDS` order, to Inspire units (12,) in `INSPIRE_ORDER`, clipped to 0..1."""
    opening = (_HAND_CLOSED - q_hands) / (_HAND_CLOSED - _HAND_OPEN)
    return np.clip(opening, 0.0, 1.0)[_INSPIRE_INDEX]


def rad_from_inspire(opening: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inspire units (12,) in `INSPIRE_ORDER` to hand positions [rad], (12,) in `HANDS` order."""
    q = np.empty(len(HANDS))
    q[_INSPIRE_INDEX] = opening
    return _HAND_CLOSED - q * (_HAND_CLOSED - _HAND_OPEN)


def model_path(name: str = "g1/g1.urdf") -> Path:
    """A file of `models/`; FileNotFoundError names the places looked at."""
    return share_path(f"models/{name}")
