"""The whole robot in lockstep: both controllers with limits, gate and feed-forward, tick for tick, time as an argument.

As `bench.lockstep` has it for the head alone; what is left out are the wires. The body is the stand-in robot's own: it
blends what it is sent with what it does by itself, as long as the arms are being taken over too.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.bench.lockstep import EPOCH_S, LoopTiming
from sapave_ros.core.arm import ArmController
from sapave_ros.core.controller import ControllerConfig, JointController, Phase
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.drivers.unitree_stream import WAIST, WAIST_KD, WAIST_KP
from sapave_ros.sim.body import HAND_STATE_EVERY, Body
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.unitree_face import ArmCommand
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, ArmSetpoint, BodyState, Floats, JointState, Mode, Permit

TICK_S = 1.0 / graph.ARM_LOOP_HZ
_HEAD_EVERY_S = 1.0 / graph.HEAD_LOOP_HZ
_HANDS_EVERY_S = HAND_STATE_EVERY * TIMESTEP_S
_STEPS = round(TICK_S / TIMESTEP_S)
_ARM_MOTORS = np.array([j.motor for j in g1.ARMS.joints])
_ENABLED = np.ones(g1.NUM_MOTORS, np.uint8)
_NO_ERROR = np.zeros(g1.NUM_MOTORS, np.uint32)
_COOL = np.full((g1.NUM_MOTORS, 2), 30, np.int16)


@dataclass(frozen=True)
class Chunks:
    """What is to be done: by the head, and by arms and hands; None to do nothing new."""

    head: ActionChunk | None = None
    other: ActionChunk | None = None


class Actor(Protocol):
    """Who moves the robot."""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """Chunks for the measured positions (28,) [rad] in `g1.POLICY` order at ROS time stamp_s. Only an expert looks
        at the world."""


class _Wires:
    """The buses of the stand-in robot without wires: `sim.body.Limbs` and `sim.body.Neck` in one."""

    def __init__(self, waist: Floats) -> None:
        """waist: where it is held (3,) [rad]."""
        self._waist = waist
        self.arm: ArmCommand | None = None
        self.hands: Floats | None = None
        self.goal: Floats | None = None
        self.body_state: BodyState | None = None
        self.hand_state: JointState | None = None
        self.now_s = 0.0

    def poll(self, now_s: float) -> None:
        self.now_s = now_s

    def publish(
        self,
        tick_ms: int,
        positions: Floats,
        velocities: Floats,
        torques: Floats,
        imu_quaternion: Floats,
        gyroscope: Floats,
        accelerometer: Floats,
    ) -> None:
        self.body_state = BodyState(
            received_s=self.now_s,
            tick_ms=tick_ms,
            mode_machine=0,
            mode_pr=0,
            positions=positions,
            velocities=velocities,
            torques=torques,
            motor_mode=_ENABLED,
            motor_error=_NO_ERROR,
            temperature=_COOL,
            imu_quaternion=imu_quaternion,
            remote=b"\0" * 40,
            gyroscope=gyroscope,
        )

    def publish_hands(self, q: Floats) -> None:
        before = q if self.hand_state is None else self.hand_state.positions
        self.hand_state = JointState(self.now_s, q, (q - before) / _HANDS_EVERY_S)

    def goal_rad(self) -> Floats | None:
        return self.goal

    def set_present(self, position_rad: Floats, velocity_rad_s: Floats) -> None:
        pass

    def send(self, setpoint: ArmSetpoint, now_s: float) -> None:
        """What the arm driver sends, as the robot reads it."""
        columns = {
            "q": setpoint.positions,
            "dq": setpoint.velocities,
            "tau": setpoint.torques,
            "kp": setpoint.kp,
            "kd": setpoint.kd,
        }
        whole = {}
        for name, values in columns.items():
            whole[name] = np.zeros(g1.NUM_MOTORS)
            whole[name][_ARM_MOTORS] = values
        whole["q"][WAIST], whole["kp"][WAIST], whole["kd"][WAIST] = self._waist, WAIST_KP, WAIST_KD
        self.arm = ArmCommand(**whole, weight=setpoint.weight, received_s=now_s)
        if setpoint.hands is not None:
            self.hands = setpoint.hands


class RobotLoop:
    """The stand-in robot with both of its controllers. time_s: since control was taken [s]. refused: chunks that the
    controllers refused. spent_s: what of this machine's time went into the actor, the controllers and the physics [s].
    """

    def __init__(self, world: World, kinematics: Kinematics, timing: LoopTiming | None = None) -> None:
        self.world, self._timing = world, timing or LoopTiming()
        self._wires = _Wires(world.motor_positions[WAIST])
        self._body = Body(world, self._wires, self._wires, state_every=_STEPS)
        self._head = JointController(g1.HEAD, _HEAD_EVERY_S, ControllerConfig(), shared=False)
        self._arms = ArmController(ControllerConfig(), kinematics)
        self._now_s, self._ticks = 0.0, 0
        self._next_head_s = 0.0
        self.spent_s = dict.fromkeys(("actor", "control", "physics"), 0.0)
        self._commanded: deque[Floats] = deque(maxlen=4)
        self._jerk2, self._jerks = 0.0, 0
        self._wires.goal = world.positions(g1.HEAD)
        while self._arms.controller.phase is not Phase.ACTIVE or self._head.phase is not Phase.ACTIVE:
            self._tick()
            if self._arms.fault or self._now_s > 10.0:
                raise RuntimeError(f"no control in lockstep: {self._arms.fault or self._arms.controller.holding}")
        self._start_s = self._now_s

    @property
    def time_s(self) -> float:
        return self._now_s - self._start_s

    @property
    def refused(self) -> int:
        return sum(self._arms.controller.refused.values()) + sum(self._head.refused.values())

    @property
    def jerk_rad_s3(self) -> float:
        """Root mean square over arm joints and time, of the commanded positions."""
        return math.sqrt(self._jerk2 / max(self._jerks, 1))

    @property
    def last_refusal(self) -> str:
        """The newest reason of controllers or gate, empty where there was none."""
        refusal = self._arms.controller.last_refusal or self._head.last_refusal
        return refusal.text if refusal is not None else self._arms.controller.last_verdict_detail

    def run(self, actor: Actor, done: Callable[[float], bool]) -> None:
        """Until `done`, which is asked at every picture with the time since control was taken [s]."""
        pending: list[tuple[float, Chunks]] = []
        pictures, next_inference_s = 0, 0.0
        while True:
            if self.time_s >= pictures / graph.CAMERA_HZ - 1e-9:
                pictures += 1
                if done(self.time_s):
                    return
                if self.time_s >= next_inference_s - 1e-9:
                    next_inference_s += self._timing.inference_period_s
                    began_s = time.perf_counter()
                    chunks = actor.act(self.world, EPOCH_S + self._now_s, self.world.positions(g1.POLICY))
                    self.spent_s["actor"] += time.perf_counter() - began_s
                    pending.append((self.time_s + self._timing.inference_delay_s, chunks))
            while pending and pending[0][0] <= self.time_s:
                chunks = pending.pop(0)[1]
                if chunks.head is not None:
                    self._head.offer(chunks.head, EPOCH_S + self._now_s)
                if chunks.other is not None:
                    self._arms.controller.offer(chunks.other, EPOCH_S + self._now_s)
            self._tick()

    def _tick(self) -> None:
        now_s, world, wires = self._now_s, self.world, self._wires
        began_s = time.perf_counter()
        ros_s = EPOCH_S + now_s
        permit = Permit(now_s, self._ticks, "ACTIVE", "lockstep", Mode.MOVE, Mode.MOVE, sent_s=now_s)
        if now_s >= self._next_head_s - 1e-9:
            self._next_head_s += _HEAD_EVERY_S
            measured = JointState(now_s, world.positions(g1.HEAD), world.velocities(g1.HEAD))
            command = self._head.tick(ros_s, now_s, measured, permit)
            if command is not None:
                wires.goal = command.positions
        setpoint = self._arms.tick(ros_s, now_s, wires.body_state, wires.hand_state, permit)
        if setpoint is not None:
            wires.send(setpoint, now_s)
            self._add_jerk(setpoint.positions)
        controlled_s = time.perf_counter()
        for step in range(_STEPS):
            self._body.tick(now_s + step * TIMESTEP_S)
        self.spent_s["control"] += controlled_s - began_s
        self.spent_s["physics"] += time.perf_counter() - controlled_s
        self._ticks += 1
        self._now_s = self._ticks * TICK_S

    def _add_jerk(self, positions: Floats) -> None:
        self._commanded.append(positions.copy())
        if len(self._commanded) == self._commanded.maxlen:
            jerk = np.diff(np.array(self._commanded), 3, axis=0) / TICK_S**3
            self._jerk2 += float((jerk**2).sum())
            self._jerks += jerk.size
