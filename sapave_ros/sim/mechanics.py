"""The robot's mechanics: joints, motors and servos of a G1 whose pelvis is fixed, in MuJoCo."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.g1 import JointGroup
from sapave_ros.sim.mechanisms import Mechanism
from sapave_ros.sim.objects import KINDS
from sapave_ros.sim.scene import MAX_BLOCKS
from sapave_ros.sim.stage import NECK_KD, NECK_KP, TIMESTEP_S, build
from sapave_ros.types import Floats

OWN_KP = np.array([300.0] * 12 + [300.0] * 3 + list(g1.ARMS.column("kp")))
OWN_KD = np.array([6.0] * 12 + [6.0] * 3 + list(g1.ARMS.column("kd")))
"""Gains (29,) with which the robot holds itself while nobody else does [N m/rad, N m s/rad]."""


class Mechanics:
    """A robot in an empty stage. Arrays are in the order of the named `g1` group; motors: `g1.MOTOR_NAMES`, (29,)."""

    def __init__(
        self,
        kinds: Sequence[str] = KINDS,
        blocks: int = MAX_BLOCKS,
        loose: Collection[tuple[str, int]] = (),
        mechanisms: Sequence[Mechanism] = (),
    ) -> None:
        """kinds, blocks, loose, mechanisms: as `stage.build`."""
        self.stage = build(kinds, blocks, loose, mechanisms)
        self.model = self.stage.model
        self.data = mujoco.MjData(self.model)
        self._motor_q, self._motor_v = self._addresses(g1.MOTOR_NAMES)
        self._motor_u = self._actuators(g1.MOTOR_NAMES)
        self._hand_u = self._actuators(g1.HANDS.names)
        self._hand_act = self.model.actuator_actadr[self._hand_u]
        self._neck_u = self._actuators(g1.HEAD.names)
        self._pelvis = self.model.body("pelvis").id
        self._addresses_of: dict[tuple[str, ...], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        self._coupled = [
            (int(self.model.jnt_qposadr[a]), int(self.model.jnt_qposadr[b]), float(self.model.eq_data[i, 1]))
            for i in range(self.model.neq)
            for a, b in [(self.model.eq_obj1id[i], self.model.eq_obj2id[i])]
        ]

    @property
    def time_s(self) -> float:
        """Simulated time since `load` or `reset` [s]."""
        return float(self.data.time)

    def step(self, n: int = 1) -> None:
        """Advances by n steps of `stage.TIMESTEP_S`."""
        mujoco.mj_step(self.model, self.data, n)

    def run(self, duration_s: float) -> None:
        """Advances by about that time: a whole number of steps."""
        self.step(round(duration_s / TIMESTEP_S))

    def positions(self, group: JointGroup) -> Floats:
        """Joint positions [rad], (n,)."""
        return self.data.qpos[self._group(group)[0]].copy()

    def velocities(self, group: JointGroup) -> Floats:
        """Joint velocities [rad/s], (n,)."""
        return self.data.qvel[self._group(group)[1]].copy()

    @property
    def motor_positions(self) -> Floats:
        """Body motors [rad], (29,)."""
        return self.data.qpos[self._motor_q].copy()

    @property
    def motor_velocities(self) -> Floats:
        """Body motors [rad/s], (29,)."""
        return self.data.qvel[self._motor_v].copy()

    @property
    def motor_torques(self) -> Floats:
        """Torque that each body motor gave in the last step [N m], (29,)."""
        return self.data.actuator_force[self._motor_u].copy()

    @property
    def imu_quaternion(self) -> Floats:
        """Orientation of the pelvis (w, x, y, z): upright, as the pelvis is fixed."""
        return self.data.xquat[self._pelvis].copy()

    def set_positions(self, group: JointGroup, q: Floats) -> None:
        """Puts joints there at once, at rest, and makes it their target; for start poses and lockstep.

        Raises ValueError on a wrong length or a value that is not finite.
        """
        q = _checked("q", q, len(group))
        qpos, qvel = self._group(group)
        self.data.qpos[qpos], self.data.qvel[qvel] = q, 0.0
        for driven, driver, ratio in self._coupled:
            self.data.qpos[driven] = ratio * self.data.qpos[driver]
        at_rest = np.zeros(g1.NUM_MOTORS)
        self.set_motor_targets(self.motor_positions, at_rest, at_rest, OWN_KP, OWN_KD)
        self.set_hand_targets(self.positions(g1.HANDS))
        self.data.act[self._hand_act] = self.data.ctrl[self._hand_u]  # the lag behind the target is over
        self.set_neck_target(self.positions(g1.HEAD))
        self._update_kinematics()

    def mirror(self, qpos: Floats) -> None:
        """Shows the state of another world with the same scene: its `data.qpos`. For rendering beside the physics."""
        self.data.qpos[:] = qpos
        self._update_kinematics()

    # -- motors ----------------------------------------------------------------------------------

    def set_motor_targets(self, q: Floats, dq: Floats, tau: Floats, kp: Floats, kd: Floats) -> None:
        """The law of the real motors, in force until the next call: tau + kp (q - q_now) + kd (dq - dq_now).

        All (29,) in motor order, clipped to each motor's effort. Raises ValueError on a wrong length or a
        value that is not finite.
        """
        q, dq, tau, kp, kd = (
            _checked(name, value, g1.NUM_MOTORS)
            for name, value in zip(("q", "dq", "tau", "kp", "kd"), (q, dq, tau, kp, kd), strict=True)
        )
        self.data.ctrl[self._motor_u] = tau + kp * q + kd * dq
        self.model.actuator_biasprm[self._motor_u, 1] = -kp
        self.model.actuator_biasprm[self._motor_u, 2] = -kd

    def set_hand_targets(self, q: Floats) -> None:
        """Position targets of the fingers [rad], (12,) in `g1.HANDS` order."""
        kp = -self.model.actuator_biasprm[self._hand_u, 1]
        self.data.ctrl[self._hand_u] = kp * _checked("q", q, len(g1.HANDS))

    def set_neck_target(self, q: Floats | None) -> None:
        """Position target of the neck servos [rad], (2,) in `g1.HEAD` order; None: torque off."""
        on = q is not None
        self.model.actuator_biasprm[self._neck_u, 1] = -NECK_KP if on else 0.0
        self.model.actuator_biasprm[self._neck_u, 2] = -NECK_KD if on else 0.0
        self.data.ctrl[self._neck_u] = 0.0 if q is None else NECK_KP * _checked("q", q, len(g1.HEAD))

    def _update_kinematics(self) -> None:
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _group(self, group: JointGroup) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        names = group.names
        if names not in self._addresses_of:
            self._addresses_of[names] = self._addresses(names)
        return self._addresses_of[names]

    def _addresses(self, names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        joints = [self.model.joint(n).id for n in names]
        return self.model.jnt_qposadr[joints].astype(np.intp), self.model.jnt_dofadr[joints].astype(np.intp)

    def _actuators(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        return np.array([self.model.actuator(n).id for n in names], dtype=np.intp)


def _checked(name: str, values: Floats, n: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"{name}: shape {array.shape}, expected ({n},)")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {array}, expected finite values")
    return array
