"""One simulated episode in lockstep: the deployed core, picture for picture, with time as an argument.

Observation builder, policy session, chunk executor, limits and gate are those of the nodes; what is left out
are the wires. Inference takes `inference_delay_s`, as it does on a robot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats, JointState, Mode, Observation, Permit

EPOCH_S = 1_000_000_000.0
"""ROS time at which every episode begins [s]."""


class Looker(Protocol):
    """A policy as the episode sees it."""

    def start(self, world: World, target: str) -> None:
        """A new episode. Only the oracle looks at its arguments."""

    def look(self, observation: Observation) -> ActionChunk | None:
        """The head's chunk for an observation, or None to do nothing."""


@dataclass(frozen=True)
class LoopTiming:
    """inference_period_s, inference_delay_s (exposure to chunk): of the graph as measured [s]."""

    inference_period_s: float = 1 / graph.INFERENCE_HZ
    inference_delay_s: float = 0.06


@dataclass(frozen=True)
class Episode:
    """How one episode went. first_s: target first centred and unoccluded, reached_s: for good [s]; None if not.

    angle_rad: at the end. refused: chunks that the controller refused. trace: (m, 4) time [s], head yaw and
    pitch [rad], angle to the target [rad].
    """

    success: bool
    first_s: float | None
    reached_s: float | None
    angle_rad: float
    refused: int
    trace: Floats = field(repr=False)


class HeadLoop:
    """World, observation builder and head controller, stepped together."""

    def __init__(self, world: World, kinematics: Kinematics, timing: LoopTiming) -> None:
        self.world = world
        self._timing = timing
        self._dt_s = 1.0 / graph.HEAD_LOOP_HZ
        self._camera_in_torso = kinematics.camera_in_torso

    def run(
        self,
        looker: Looker,
        instruction: str,
        target: str,
        criterion: LookCriterion,
        on_tick: Callable[[float], None] | None = None,
    ) -> Episode:
        """Plays one episode from the world's present state. Lasts until it is decided."""
        world, timing = self.world, self._timing
        controller = JointController(g1.HEAD, self._dt_s, ControllerConfig(), shared=False)
        builder = ObservationBuilder(self._camera_in_torso)
        score = LookScore(criterion)
        first_s: float | None = None
        looker.start(world, target)
        pending: list[tuple[float, ActionChunk]] = []
        trace: list[tuple[float, ...]] = []
        frame = 0
        next_inference_s = 0.0
        angle, tick = np.inf, 0
        others = world.positions(g1.OTHER)

        while True:
            time_s = tick * self._dt_s
            now_s = EPOCH_S + time_s
            head = world.positions(g1.HEAD)
            builder.joints.add(g1.HEAD.names, now_s, head)
            builder.joints.add(g1.OTHER.names, now_s, others)
            if time_s >= frame / graph.CAMERA_HZ - 1e-9:
                frame += 1
                view = world.look_target(target, visibility=False)
                angle = view.angle_rad
                visible = 0.0
                if angle <= criterion.max_angle_rad:
                    visible = world.look_target(target).visible_fraction or 0.0
                if criterion.met(angle, visible) and first_s is None:
                    first_s = time_s
                trace.append((time_s, *head, angle))
                if score.update(time_s, angle, visible):
                    break
                if time_s >= next_inference_s - 1e-9:
                    next_inference_s += timing.inference_period_s
                    rgb, depth_mm = world.render()
                    builder.add_color(now_s, rgb)
                    builder.add_depth(now_s, depth_mm)
                    builder.add_intrinsics(now_s, HEAD_CAMERA.intrinsics)
                    observation = builder.take(now_s, instruction)
                    if isinstance(observation, str):
                        raise RuntimeError(f"no observation in lockstep: {observation}")
                    chunk = looker.look(observation)
                    if chunk is not None:
                        pending.append((time_s + timing.inference_delay_s, chunk))
            while pending and pending[0][0] <= time_s:
                controller.offer(pending.pop(0)[1], now_s)
            permit = Permit(time_s, tick, "ACTIVE", "lockstep", Mode.MOVE, Mode.HOLD, sent_s=time_s)
            measured = JointState(time_s, head, world.velocities(g1.HEAD))
            command = controller.tick(now_s, time_s, measured, permit)
            if command is not None:
                world.set_neck_target(command.positions)
            if on_tick is not None:
                on_tick(time_s)
            world.run(self._dt_s)
            tick += 1
        return Episode(
            score.success, first_s, score.reached_s, float(angle), sum(controller.refused.values()), np.array(trace)
        )
