"""Who looks: the exported model, and what it is measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.policy import gaze
from sapave_ros.policy.manifest import Manifest
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.sim.targets import Target
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats, Observation

STEPS, DT_S = 16, 0.1
"""Chunks of the baselines, as the shipped model's."""

SWEEP_SPEED_RAD_S = 0.34
"""Slow enough that a target whose middle the view crosses stays within 10 degrees of the axis for a second."""

SWEEP_ROWS_RAD = (0.35, 0.75, 0.0)
"""Pitch of the rows, most likely first: table top, near edge and floor, shelf."""

RANDOM_SPEED_RAD_S = 0.6


def _head(observation: Observation) -> Floats:
    return observation.joint_positions[: len(g1.HEAD)]


def _chunk(observation: Observation, increments: Floats) -> ActionChunk:
    return ActionChunk(observation.stamp_s, DT_S, g1.HEAD.names, increments)


class Model:
    """The exported model, as the inference node runs it. Raises ManifestError (a ValueError) on a model that
    does not fit, ValueError where it was not trained to move the head.

    grounding: (h, w) 0..1, where it saw what it was told when it last looked.
    """

    sees = True
    grounding: NDArray[np.float32] | None = None

    def __init__(self, path: Path, parameters: SessionParameters | None = None) -> None:
        self._policy = OnnxPolicy(path)
        self._session = PolicySession(self._policy, parameters or SessionParameters())
        if "head" not in self._policy.manifest.trained_heads:
            raise ValueError(f"model: {path} has no trained head for the neck")

    @property
    def manifest(self) -> Manifest:
        """What it was made for."""
        return self._policy.manifest

    def start(self, world: World, target: Target) -> None:
        self._session.reset()
        self.grounding = None

    def look(self, observation: Observation) -> ActionChunk | None:
        output = self._session.infer(observation)
        self.grounding = output.grounding
        return output.head


class Still:
    """Never moves: succeeds where the target is centred from the start."""

    sees = False

    def start(self, world: World, target: Target) -> None:
        pass

    def look(self, observation: Observation) -> ActionChunk | None:
        return None


class Random:
    """Wanders: a new direction every second, mirrored at the limits."""

    sees = False

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def start(self, world: World, target: Target) -> None:
        scene = world.scene
        self._random = np.random.default_rng([self._seed, 0 if scene is None else scene.seed])
        self._turn_s = -np.inf
        self._velocity = np.zeros(2)

    def look(self, observation: Observation) -> ActionChunk | None:
        if observation.stamp_s >= self._turn_s:
            angle = self._random.uniform(0, 2 * np.pi)
            self._velocity = RANDOM_SPEED_RAD_S * np.array([np.cos(angle), np.sin(angle)])
            self._turn_s = observation.stamp_s + 1.0
        head = _head(observation)
        outwards = ((head > g1.HEAD.upper - 0.1) & (self._velocity > 0)) | (
            (head < g1.HEAD.lower + 0.1) & (self._velocity < 0)
        )
        self._velocity = np.where(outwards, -self._velocity, self._velocity)
        return _chunk(observation, gaze.chunk(head, lambda _: self._velocity, STEPS, DT_S))


class Sweep:
    """A fixed scan, row by row from side to side, whatever it sees."""

    sees = False

    def start(self, world: World, target: Target) -> None:
        edge = g1.HEAD.upper[0] - 0.02
        self._corners = [np.array([side * edge, row]) for row in SWEEP_ROWS_RAD for side in (1, -1)]
        self._corners[2:4] = self._corners[3:1:-1]  # the second row runs back

    def look(self, observation: Observation) -> ActionChunk | None:
        head = _head(observation)
        while len(self._corners) > 1 and np.linalg.norm(self._corners[0] - head) < 0.05:
            self._corners.pop(0)
        away = self._corners[0] - head
        distance = float(np.linalg.norm(away))
        velocity = away / max(distance, 1e-6) * min(SWEEP_SPEED_RAD_S, distance / DT_S)
        return _chunk(observation, gaze.chunk(head, lambda _: velocity, STEPS, DT_S))


class Oracle:
    """Knows where the target is: how fast the road itself allows."""

    sees = False

    def start(self, world: World, target: Target) -> None:
        self._goal = target.goal(world)

    def look(self, observation: Observation) -> ActionChunk | None:
        return _chunk(observation, gaze.look_chunk(_head(observation), self._goal, STEPS, DT_S))
