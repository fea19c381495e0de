"""The stand-in robot's body: one physics tick between what its buses ask and what they are told."""

from __future__ import annotations

import math
from typing import Protocol

import mujoco
import numpy as np

from sapave_ros import g1
from sapave_ros.sim.mechanics import OWN_KD, OWN_KP
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.unitree_face import ArmCommand, MotorCommand, blend
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

HAND_STATE_EVERY = 5
"""Ticks per hand state: 100 Hz, as Unitree's hand service."""

_ARMS = slice(15, 29)
_GYROSCOPE = np.zeros(3)
_ACCELEROMETER = np.array([0.0, 0.0, 9.81])  # the pelvis does not move


class Limbs(Protocol):
    """The Unitree side, as `unitree_face.UnitreeFace`."""

    @property
    def arm(self) -> ArmCommand | None: ...
    @property
    def hands(self) -> Floats | None: ...
    def poll(self, now_s: float) -> None: ...
    def publish(
        self,
        tick_ms: int,
        positions: Floats,
        velocities: Floats,
        torques: Floats,
        imu_quaternion: Floats,
        gyroscope: Floats,
        accelerometer: Floats,
    ) -> None: ...
    def publish_hands(self, q: Floats) -> None: ...


class Neck(Protocol):
    """The servo side, as `servo_bus.ServoBus`."""

    def goal_rad(self) -> Floats | None: ...
    def set_present(self, position_rad: Floats, velocity_rad_s: Floats) -> None: ...


class Body:
    """Runs the world. Belongs to one thread.

    weight: of arm_sdk, in force now, 0 to 1. arms_kp: stiffness in force in the arms' motors [N m/rad], (14,).
    """

    def __init__(self, world: World, limbs: Limbs, neck: Neck, state_every: int = 1) -> None:
        self._world, self._limbs, self._neck = world, limbs, neck
        zero = np.zeros(g1.NUM_MOTORS)
        self._own = MotorCommand(world.motor_positions, zero, zero, OWN_KP, OWN_KD)
        self._arm: ArmCommand | None = None
        self._hands: Floats | None = None
        self._ticks, self._state_every = 0, state_every
        self.weight = 0.0
        self.arms_kp = OWN_KP[_ARMS].copy()
        self.heal()

    @property
    def time_s(self) -> float:
        """Simulated time [s]."""
        return self._ticks * TIMESTEP_S

    def tick(self, now_s: float) -> None:
        """One step of `stage.TIMESTEP_S`: commands in, physics, state out. now_s: any steady clock [s]."""
        world, limbs, neck = self._world, self._limbs, self._neck
        limbs.poll(now_s)
        if limbs.arm is not None and limbs.arm is not self._arm:
            self._arm = limbs.arm
            self._command_motors()
        if limbs.hands is not None and limbs.hands is not self._hands:
            self._hands = limbs.hands
            world.set_hand_targets(self._hands)
        world.set_neck_target(neck.goal_rad())
        world.step()
        self._ticks += 1
        neck.set_present(world.positions(g1.HEAD), world.velocities(g1.HEAD))
        if self._ticks % self._state_every == 0:
            limbs.publish(
                round(self.time_s * 1000),
                world.motor_positions,
                world.motor_velocities,
                world.motor_torques,
                self._imu_quaternion,
                _GYROSCOPE,
                self._accelerometer,
            )
        if self._ticks % HAND_STATE_EVERY == 0:
            limbs.publish_hands(world.positions(g1.HANDS))

    def heal(self) -> None:
        """Ends all faults."""
        self._lost: set[int] = set()
        self._dropped = False
        self.tilt(0.0, "pitch")
        self._command_motors()

    def lose(self, motor: int) -> None:
        """Fault: that body motor, by its number, gives no torque."""
        self._lost.add(motor)
        self._command_motors()

    def drop_arms(self) -> None:
        """Fault: the robot's own controller ignores arm_sdk and only damps the arms."""
        self._dropped = True
        self._command_motors()

    def tilt(self, rad: float, axis: str) -> None:
        """Fault: the IMU reports the pelvis turned about its axis `roll` (x) or `pitch` (y), at rest."""
        about = ("roll", "pitch").index(axis)
        tilt = np.array([math.cos(rad / 2), 0.0, 0.0, 0.0])
        tilt[1 + about] = math.sin(rad / 2)
        up = np.zeros(9)
        mujoco.mju_quat2Mat(up, tilt)
        self._imu_quaternion = np.zeros(4)
        mujoco.mju_mulQuat(self._imu_quaternion, self._world.imu_quaternion, tilt)
        self._accelerometer = up.reshape(3, 3).T @ _ACCELEROMETER

    def _command_motors(self) -> None:
        weight = 0.0 if self._arm is None or self._dropped else self._arm.weight
        mixed = self._own if self._arm is None else blend(self._own, self._arm, weight)
        q, dq, tau, kp, kd = (np.array(v) for v in (mixed.q, mixed.dq, mixed.tau, mixed.kp, mixed.kd))
        if self._dropped:
            dq[_ARMS] = tau[_ARMS] = kp[_ARMS] = 0.0
        for motor in self._lost:
            tau[motor] = kp[motor] = kd[motor] = 0.0
        self._world.set_motor_targets(q, dq, tau, kp, kd)
        self.weight, self.arms_kp = weight, kp[_ARMS]
