"""Who does the tasks besides the expert: the exported model as the inference node runs it, and nobody."""

from __future__ import annotations

import time
from dataclasses import replace

from sapave_ros.core.kinematics import Kinematics
from sapave_ros.manipulation.eyes import Eyes
from sapave_ros.manipulation.lockstep import Chunks
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.sim.world import World
from sapave_ros.types import Floats


class Still:
    """Does nothing."""

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        return Chunks()


class Model:
    """The exported model under one instruction. moves_head: whether its chunks for the head are followed. seeing_s:
    what of this machine's time went into pictures [s]. ValueError on a model with an untrained head for the arms.
    """

    def __init__(
        self,
        policy: OnnxPolicy,
        instruction: str,
        kinematics: Kinematics,
        parameters: SessionParameters,
        moves_head: bool = True,
    ) -> None:
        if "other" not in policy.manifest.trained_heads:
            raise ValueError(f"model {policy.manifest.name}: has no trained head for arms and hands")
        self._session, self._instruction, self._eyes = PolicySession(policy, parameters), instruction, Eyes(kinematics)
        self._moves_head = moves_head
        self.seeing_s = 0.0

    def act(self, world: World, stamp_s: float, positions: Floats) -> Chunks:
        """As `lockstep.Actor`."""
        began_s = time.perf_counter()
        observation = self._eyes.observe(world, stamp_s, positions, self._instruction)
        self.seeing_s += time.perf_counter() - began_s
        output = self._session.infer(observation)
        chunks = Chunks(output.head, output.other)
        return chunks if self._moves_head else replace(chunks, head=None)
