"""Arms and hands as one group: what the body and hand states say, and what gravity and inertia ask for."""

from __future__ import annotations

import math

import numpy as np

from sapave_ros import g1
from sapave_ros.core.body_health import BodyHealth
from sapave_ros.core.clearance import Clearance
from sapave_ros.core.controller import ControllerConfig, JointController, Phase
from sapave_ros.core.faults import Fault
from sapave_ros.core.kinematics import Kinematics, gravity_in_pelvis
from sapave_ros.graph import ARM_LOOP_HZ
from sapave_ros.types import ArmSetpoint, BodyState, Floats, JointState, Permit

HANDS_EXTRA_AGE_S = 0.15
"""Hands report at up to 100 Hz over a serial bus: they may be this much older than the body."""

SLOWLY_EVERY = 4
"""Ticks between two looks at what changes slowly: 62 Hz. Gravity changes by less than 0.3 N m in between at full
speed, inertia by less than a tenth; whether this is a body that may be taken is looked at in every tick until it is
taken."""

HANDS_EVERY = 3
"""Ticks between two hand commands: 83 Hz; the hands' own service runs at 100."""

_MOTORS = np.array([j.motor for j in g1.ARMS.joints])
_KP, _KD = g1.ARMS.column("kp"), g1.ARMS.column("kd")
_N = len(g1.ARMS)


def measured_joints(body: BodyState | None, hands: JointState | None) -> JointState | None:
    """The 26 joints of `g1.OTHER`, as old as the older of the two; None while either is missing."""
    if body is None or hands is None:
        return None
    return JointState(
        min(body.received_s, hands.received_s + HANDS_EXTRA_AGE_S),
        np.concatenate([body.positions[_MOTORS], hands.positions]),
        np.concatenate([body.velocities[_MOTORS], hands.velocities]),
    )


def body_fault(body: BodyState) -> str:
    """Why this is not a body that the arm controller may move, or nothing."""
    if body.mode_machine not in g1.MODE_MACHINES_29_DOF:
        known = sorted(g1.MODE_MACHINES_29_DOF)
        return f"mode_machine = {body.mode_machine}: expected one of {known}, a G1 with 7-DoF arms"
    absent = [g1.ARMS.names[i] for i in np.flatnonzero(body.motor_mode[_MOTORS] == 0)]
    if absent:
        return f"motors of {', '.join(absent)} report mode 0: expected all arm motors enabled"
    unknown = [g1.MOTOR_NAMES[i] for i in np.flatnonzero(~np.isfinite(body.positions))]
    if unknown:  # legs and waist too: the frame to the robot carries them
        return f"positions of {', '.join(unknown)} are not finite: expected an angle of every joint"
    return ""


class ArmController:
    """`JointController` of the 26 joints, with gains and feed-forward for the 14 body motors.

    The feed-forward is what gravity and the commanded acceleration ask for. Without the latter an arm lags behind every
    change of speed by the spring that its position loop is, and swings for a quarter of a second after it has stopped.

    policy_rate, shadow: as in `JointController`.

    controller: the road itself. fault: why this body is not moved, or empty. findings: what is wrong with it.
    measured: the 26 joints of the last tick.
    """

    def __init__(
        self,
        config: ControllerConfig,
        kinematics: Kinematics,
        dt_s: float = 1.0 / ARM_LOOP_HZ,
        policy_rate: Floats | None = None,
        shadow: bool = False,
    ) -> None:
        self.controller = JointController(
            g1.OTHER,
            dt_s,
            config,
            shared=True,
            policy_rate=policy_rate,
            shadow=shadow,
            clearance=Clearance.from_urdf(),
        )
        self.fault = ""
        self.findings: dict[Fault, str] = {}
        self._health = BodyHealth()
        self._shadow = shadow
        self.measured: JointState | None = None
        self._kinematics = kinematics
        self._torques = np.zeros(len(g1.OTHER))
        self._inertia = np.zeros((len(g1.OTHER), len(g1.OTHER)))
        self._tick = 0

    def tick(
        self,
        now_s: float,
        monotonic_s: float,
        body: BodyState | None,
        hands: JointState | None,
        permit: Permit | None,
    ) -> ArmSetpoint | None:
        """The setpoint of this tick, or None where nothing is to be sent; times as in `JointController.tick`."""
        slowly = self._tick % SLOWLY_EVERY == 0
        if body is not None and (slowly or self.controller.phase in (Phase.IDLE, Phase.ENGAGING)):
            self.fault = body_fault(body)
        if body is not None and slowly:
            self._weigh(body)
            self.findings = self._judged(body, monotonic_s)
            if Fault.FALLING in self.findings:
                self.controller.give_up()
        self.measured = measured_joints(body, hands)
        usable = self.measured if not self.fault else None
        command = self.controller.tick(now_s, monotonic_s, usable, permit, self._torques, self._inertia)
        self._tick += 1
        if command is None:
            return None
        return ArmSetpoint(
            command.positions[:_N],
            command.velocities[:_N],
            command.torques[:_N],
            _KP * command.stiffness,
            _KD,
            command.weight,
            command.positions[_N:] if self._tick % HANDS_EVERY == 0 else None,
        )

    def _judged(self, body: BodyState, monotonic_s: float) -> dict[Fault, str]:
        """What is wrong with the body; in shadow its arms are somebody else's, and follow nobody."""
        controller = self.controller
        command = None if controller.phase is Phase.IDLE else controller.gate.previous
        commanded = None if command is None or self._shadow else command.positions[:_N]
        findings = self._health.judge(body, commanded, controller.weight, monotonic_s)
        if self.fault and Fault.MOTOR_LOST not in findings:
            findings[Fault.BODY_UNKNOWN] = self.fault
        return findings

    def _weigh(self, body: BodyState) -> None:
        """What holds and what accelerates the commanded pose; as it was where the body's state makes no sense."""
        norm = math.sqrt(float(body.imu_quaternion @ body.imu_quaternion))
        if not (np.isfinite(body.positions).all() and abs(norm - 1.0) < 0.01):
            return
        q = body.positions.copy()
        previous = self.controller.gate.previous
        if previous is not None:  # of the command, not the measurement: no loop through the sensors
            q[_MOTORS] = previous.positions[:_N]
        self._torques[:_N] = self._kinematics.gravity_torques(q, gravity_in_pelvis(body.imu_quaternion))
        self._inertia[:_N, :_N] = self._kinematics.arm_inertia(q)
