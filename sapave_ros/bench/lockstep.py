"""One simulated episode in lockstep: the deployed core, picture for picture, with time as an argument.

Observation builder, policy session, chunk executor, limits and gate are those of the nodes; what is left out
are the wires. Inference takes `inference_delay_s`, as it does on a robot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1, graph
from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.core.controller import ControllerConfig, JointController
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder, ObservationParameters
from sapave_ros.sim.mechanics import Mechanics
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.targets import Target
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats, JointState, Mode, Observation, Permit

EPOCH_S = 1_000_000_000.0
"""ROS time at which every episode begins [s]."""


class Looker(Protocol):
    """A policy as the episode sees it. sees: whether it looks at pictures; for one that does not, none are drawn."""

    @property
    def sees(self) -> bool: ...

    def start(self, world: World, target: Target) -> None:
        """A new episode. Only the oracle looks at its arguments."""

    def look(self, observation: Observation) -> ActionChunk | None:
        """The head's chunk for an observation, or None to do nothing."""


@dataclass(frozen=True)
class LoopTiming:
    """inference_period_s, inference_delay_s (exposure to chunk): of the graph as measured [s]."""

    inference_period_s: float = 1 / graph.INFERENCE_HZ
    inference_delay_s: float = 0.06


Picture = tuple[NDArray[np.uint8], NDArray[np.uint16], Floats]
"""Colour (H, W, 3), depth (H, W) [mm] with 0 for none, and intrinsics (3, 3)."""


@dataclass(frozen=True)
class Eyes:
    """What a policy is given to see. take: the present picture. camera_in_torso: head positions (2,) [rad] to what it
    is told of the camera's pose (4, 4).
    """

    take: Callable[[], Picture]
    camera_in_torso: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Episode:
    """How one episode went. first_s: target first centred and unoccluded, reached_s: for good [s]; None if not.

    angle_rad: when it was decided. refused: chunks that the controller refused. trace: (m, 5) time [s], head yaw and
    pitch [rad], angle to the target [rad], how much of it shows (NaN where that was not asked).
    """

    success: bool
    first_s: float | None
    reached_s: float | None
    angle_rad: float
    refused: int
    trace: Floats = field(repr=False)


class HeadLoop:
    """World, observation builder and head controller, stepped together."""

    def __init__(
        self,
        world: World,
        kinematics: Kinematics,
        timing: LoopTiming,
        body: Mechanics | None = None,
        eyes: Eyes | None = None,
        told: ObservationParameters | None = None,
    ) -> None:
        """body: where the motors are, by default the world itself. A large world costs more in every step than a robot
        alone, which has to be in the same state at the start. eyes: by default the head camera. told: which of depth,
        intrinsics and camera pose a policy is told, by default all.
        """
        self.world = world
        self._body = world if body is None else body
        self._timing = timing
        self._dt_s = 1.0 / graph.HEAD_LOOP_HZ
        self._eyes = eyes or Eyes(self._head_camera, kinematics.camera_in_torso)
        self._told = told or ObservationParameters()

    def run(
        self,
        looker: Looker,
        instruction: str,
        target: Target,
        criterion: LookCriterion,
        on_tick: Callable[[float], None] | None = None,
        beyond: Sequence[LookCriterion] = (),
    ) -> Episode:
        """Plays one episode from the world's present state. Lasts until it is decided.

        beyond: further criteria, until which have been decided too it goes on; only the trace tells of that.
        """
        world, body, timing = self.world, self._body, self._timing
        controller = JointController(g1.HEAD, self._dt_s, ControllerConfig(), shared=False)
        builder = ObservationBuilder(self._eyes.camera_in_torso, self._told if looker.sees else _BLIND)
        score, further = LookScore(criterion), [LookScore(c) for c in beyond]
        asked_rad = max(c.max_angle_rad for c in (criterion, *beyond))
        first_s: float | None = None
        looker.start(world, target)
        pending: list[tuple[float, ActionChunk]] = []
        trace: list[tuple[float, ...]] = []
        frame = 0
        next_inference_s = 0.0
        end_rad, decided, tick = np.inf, False, 0
        others = body.positions(g1.OTHER)

        while True:
            time_s = tick * self._dt_s
            now_s = EPOCH_S + time_s
            head = body.positions(g1.HEAD)
            builder.joints.add(g1.HEAD.names, now_s, head)
            builder.joints.add(g1.OTHER.names, now_s, others)
            if time_s >= frame / graph.CAMERA_HZ - 1e-9:
                frame += 1
                if body is not world:
                    world.mirror(body.data.qpos)
                angle = target.angle_rad(world)
                visible = target.visible(world) if angle <= asked_rad else np.nan
                shown = 0.0 if np.isnan(visible) else visible
                trace.append((time_s, *head, angle, visible))
                if not decided:
                    if criterion.met(angle, shown) and first_s is None:
                        first_s = time_s
                    decided, end_rad = score.update(time_s, angle, shown), angle
                if all([decided, *(s.update(time_s, angle, shown) for s in further)]):
                    break
                if time_s >= next_inference_s - 1e-9:
                    next_inference_s += timing.inference_period_s
                    chunk = looker.look(self._observation(builder, now_s, instruction, looker.sees))
                    if chunk is not None:
                        pending.append((time_s + timing.inference_delay_s, chunk))
            while pending and pending[0][0] <= time_s:
                controller.offer(pending.pop(0)[1], now_s)
            permit = Permit(time_s, tick, "ACTIVE", "lockstep", Mode.MOVE, Mode.HOLD, sent_s=time_s)
            measured = JointState(time_s, head, body.velocities(g1.HEAD))
            command = controller.tick(now_s, time_s, measured, permit)
            if command is not None:
                body.set_neck_target(command.positions)
            if on_tick is not None:
                on_tick(time_s)
            body.run(self._dt_s)
            tick += 1
        return Episode(
            score.success, first_s, score.reached_s, float(end_rad), sum(controller.refused.values()), np.array(trace)
        )

    def _observation(self, builder: ObservationBuilder, now_s: float, instruction: str, sees: bool) -> Observation:
        if sees:
            rgb, depth_mm, intrinsics = self._eyes.take()
            builder.add_depth(now_s, depth_mm)
            builder.add_intrinsics(now_s, intrinsics)
        else:
            rgb = _BLACK
        builder.add_color(now_s, rgb)
        observation = builder.take(now_s, instruction)
        if isinstance(observation, str):
            raise RuntimeError(f"no observation in lockstep: {observation}")
        return observation

    def _head_camera(self) -> Picture:
        rgb, depth_mm = self.world.render()
        return rgb, depth_mm, HEAD_CAMERA.intrinsics


_BLACK = np.zeros((1, 1, 3), np.uint8)
_BLIND = ObservationParameters(use_depth=False, use_intrinsics=False, use_extrinsics=False)
