"""A hand's velocity to velocities of its seven joints: differential inverse kinematics on Pinocchio.

Damped least squares (Nakamura and Hanafusa 1986): where the arm runs out of ways to move a hand, it slows down instead
of turning joints fast. A joint near the end of its range is led to a stop there, and the others do without it. What
freedom seven joints leave in six directions turns the elbow towards a comfortable pose, only while the hand moves.

Hands are told apart by `left` and `right`. Poses are (4, 4), twists (6,): linear [m/s], then angular [rad/s], both in
torso_link, of the point between the knuckles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import g1
from sapave_ros.core.kinematics import TORSO
from sapave_ros.types import Floats

SIDES = {"left": g1.LEFT_ARM, "right": g1.RIGHT_ARM}
KNUCKLE = {"left": "L_middle_proximal", "right": "R_middle_proximal"}

RADIAN_M = 0.15
"""A radian of turning weighs as much as this way [m]: about the length from wrist to knuckles."""
_WEIGHTS = np.array([1.0, 1.0, 1.0, RADIAN_M, RADIAN_M, RADIAN_M])

SLOW_BELOW = 0.03
"""Singular value of the Jacobian (turning weighted) below which its direction is damped; the smallest of the pose
`g1.ARMS_HOME` is 0.043."""
DAMPING = 0.03
"""Damping of a direction in which the hand cannot be moved at all, in the same units."""

STOPPING_S = 0.4
"""A joint approaches the end of its range no faster than would take it there in this time [s]."""

ELBOW_GAIN_PER_S = 0.8
"""How fast the elbow goes to its comfortable pose [1/s], at full speed of the hand."""

KEEP_GAIN_PER_S = 2.0
"""How fast a hand that strays from what it keeps is brought back [1/s]."""
KEEP_FASTEST = 0.05
"""The fastest that it is brought back [m/s], turning weighted."""

SHARPNESS = 4
"""The cosine between where a hand is asked to go and where it would go, to this power, is its share of speed: at the
end of an arm's reach it stands, rather than slide along it."""


class NoPinocchio(ImportError):
    """Pinocchio is not installed."""


@dataclass(frozen=True)
class _Arm:
    model: Any
    data: Any
    frame: int
    base_in_torso: Floats  # (4, 4)
    lower: Floats
    upper: Floats
    fastest: Floats
    comfortable: Floats


class HandIk:
    """Both arms. velocity_share: how much of the joints' velocity limit a hand may use."""

    def __init__(self, velocity_share: float = 0.6, path: Path | None = None) -> None:
        """path: of the URDF, default `models/g1/g1.urdf`. Raises NoPinocchio where that is missing."""
        try:
            import pinocchio
        except ImportError as error:
            raise NoPinocchio(
                f"{error}: hands are moved by Pinocchio: apt install ros-$ROS_DISTRO-pinocchio, or pip install pin"
            ) from None
        self._pin = pinocchio
        whole = pinocchio.buildModelFromUrdf(str(path or g1.model_path()))
        self._arms = {side: self._arm(whole, side, velocity_share) for side in SIDES}

    def _arm(self, whole: Any, side: str, velocity_share: float) -> _Arm:
        """The seven joints of one arm; whatever else moves stands at zero, which does not matter in the torso."""
        pin, group = self._pin, SIDES[side]
        kept = {whole.getJointId(name) for name in group.names}
        model = pin.buildReducedModel(whole, [i for i in range(1, whole.njoints) if i not in kept], pin.neutral(whole))
        if tuple(model.names)[1:] != group.names or not model.existFrame(KNUCKLE[side]):
            raise ValueError(f"the model has the joints {list(model.names)[1:]}; expected {list(group.names)}")
        data = model.createData()
        pin.framesForwardKinematics(model, data, np.zeros(model.nq))
        base_in_torso = np.linalg.inv(data.oMf[model.getFrameId(TORSO)].homogeneous)
        return _Arm(
            model,
            data,
            model.getFrameId(KNUCKLE[side]),
            base_in_torso,
            group.lower,
            group.upper,
            velocity_share * group.column("velocity"),
            np.array([g1.ARMS_HOME[name] for name in group.names]),
        )

    def hand_in_torso(self, side: str, positions: Floats) -> Floats:
        """Pose (4, 4) of the hand at the arm's positions (7,) [rad]."""
        arm = self._arms[side]
        self._pin.framesForwardKinematics(arm.model, arm.data, positions)
        return arm.base_in_torso @ arm.data.oMf[arm.frame].homogeneous

    def jacobian(self, side: str, positions: Floats) -> Floats:
        """(6, 7): twist of the hand in torso_link per joint velocity."""
        arm, pin = self._arms[side], self._pin
        jacobian = pin.computeFrameJacobian(arm.model, arm.data, positions, arm.frame, pin.LOCAL_WORLD_ALIGNED)
        turn = arm.base_in_torso[:3, :3]
        return np.vstack([turn @ jacobian[:3], turn @ jacobian[3:]])

    def joint_velocities(
        self, side: str, positions: Floats, velocity: Floats, along: bool, kept: Floats, eagerness: float = 1.0
    ) -> Floats:
        """Joint velocities (7,) [rad/s] that move the hand from `positions` (7,) [rad].

        along: it moves with `velocity` (3,) [m/s] and keeps how it is turned in the pose `kept`, (4, 4); else it turns
        with `velocity` (3,) [rad/s] and keeps where it is. eagerness: how much of its full speed the hand has, 0 to 1;
        the elbow is as fast. Never faster than the share of the limits, never towards an end of the range faster than
        it can stop there, and slower the less the hand would go where it is asked to. Raises ValueError unless finite.
        """
        if not (np.isfinite(positions).all() and np.isfinite(velocity).all()):
            raise ValueError(f"positions {positions}, velocity {velocity}: expected finite values")
        arm = self._arms[side]
        asked = slice(0, 3) if along else slice(3, 6)
        twist = self._back_to(side, positions, kept, along)
        twist[asked] = velocity
        task, wanted = _WEIGHTS[:, None] * self.jacobian(side, positions), _WEIGHTS * twist
        elbow = ELBOW_GAIN_PER_S * eagerness * (arm.comfortable - positions)
        solution = _within(
            task,
            wanted,
            elbow,
            np.minimum(0.0, (arm.lower - positions) / STOPPING_S),
            np.maximum(0.0, (arm.upper - positions) / STOPPING_S),
        )
        got = task[asked] @ solution
        lengths = float(np.linalg.norm(got) * np.linalg.norm(wanted[asked]))
        aligned = max(0.0, float(got @ wanted[asked]) / lengths) if lengths > 1e-12 else 1.0
        # All joints alike, so that the hand keeps its direction.
        return solution * aligned**SHARPNESS / max(1.0, float((np.abs(solution) / arm.fastest).max()))

    def _back_to(self, side: str, positions: Floats, kept: Floats, along: bool) -> Floats:
        """Twist (6,) that brings the hand back to what it keeps of the pose `kept`."""
        now, twist = self.hand_in_torso(side, positions), np.zeros(6)
        if along:
            twist[3:] = self._pin.log3(kept[:3, :3] @ now[:3, :3].T)
        else:
            twist[:3] = kept[:3, 3] - now[:3, 3]
        return twist * min(KEEP_GAIN_PER_S, KEEP_FASTEST / max(float(np.linalg.norm(_WEIGHTS * twist)), 1e-9))


def _within(task: Floats, wanted: Floats, rest: Floats, low: Floats, high: Floats) -> Floats:
    """As `_damped`, with each joint's velocity from `low` to `high`: what one cannot do, the others make up for."""
    fixed = np.zeros(len(rest), dtype=bool)
    velocity = np.zeros(len(rest))
    for _ in range(len(rest)):
        free = ~fixed
        velocity[free] = _damped(task[:, free], wanted - task[:, fixed] @ velocity[fixed], rest[free])
        over = np.where(free, np.maximum(velocity - high, low - velocity), 0.0)
        worst = int(np.argmax(over))
        if over[worst] <= 0.0:
            break
        velocity[worst] = min(max(velocity[worst], low[worst]), high[worst])
        fixed[worst] = True
    return np.clip(velocity, low, high)


def _damped(task: Floats, wanted: Floats, rest: Floats) -> Floats:
    """Damped least squares of task @ v = wanted, and of what is free then, towards `rest`. task: (6, k).

    Each direction is damped by itself (Maciejewski and Klein 1988): the others stay exact.
    """
    u, s, vt = np.linalg.svd(task, full_matrices=False)
    damping2 = DAMPING**2 * np.maximum(0.0, 1.0 - (s / SLOW_BELOW) ** 2)
    inverse = s / (s**2 + damping2)
    solution = vt.T @ (inverse * (u.T @ wanted))
    return solution + rest - vt.T @ ((inverse * s) * (vt @ rest))
