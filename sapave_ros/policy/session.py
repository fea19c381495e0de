"""A policy over time: which noise, how the next chunk continues the last one, what was seen, and what may go out.

The inference node and the lockstep benchmark both run this, so that what is scored is what is deployed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from sapave_ros.parameters import parameter
from sapave_ros.policy.gaze_memory import GazeMemory
from sapave_ros.policy.manifest import Manifest
from sapave_ros.policy.onnx_policy import PolicyOutput, PreviousChunk, prefix_weights, resample
from sapave_ros.policy.output import bounded, finite
from sapave_ros.types import ActionChunk, Observation


class Policy(Protocol):
    """What `OnnxPolicy` offers and the baselines of the benchmark imitate."""

    manifest: Manifest

    def infer(
        self, observation: Observation, noise: int | None = None, previous: dict[str, PreviousChunk] | None = None
    ) -> PolicyOutput: ...


NO_NOISE = -1
"""Chunks that start from no noise are nearer to what is right than those that start from some: one and the same model
looked right in 76.8 % of 405 cases of `sapave bench perception` without, in 73.3 % with that of seed 0."""


@dataclass(frozen=True)
class SessionParameters:
    """How chunks follow each other."""

    chunking: str = parameter(
        "plain", choices=("plain", "rtc"), doc="plain: every chunk anew; rtc: real-time chunking, continue what runs"
    )
    rtc_horizon_steps: int = parameter(
        8, unit="steps", low=1, high=64, doc="first step of a chunk that real-time chunking leaves free"
    )
    noise_seed: int = parameter(
        NO_NOISE,
        low=NO_NOISE,
        high=2**31 - 1,
        doc="of the noise that every chunk starts from, the same for all; -1: none, the middle of all noise",
    )
    gaze_memory: bool = parameter(
        True, doc="turn the head to where over time most was seen of what was asked for; needs intrinsics and pose"
    )


class PolicySession:
    """Runs a policy picture after picture under one instruction.

    clipped: chunks so far that overshot what was seen in training, and were clipped to it. remembered: head chunks so
    far that were the gaze memory's and not the policy's own.
    """

    def __init__(self, policy: Policy, parameters: SessionParameters) -> None:
        self.clipped = self.remembered = 0
        self._policy = policy
        self._parameters = parameters
        self._previous: dict[str, ActionChunk] = {}
        self._memory = GazeMemory() if parameters.gaze_memory else None
        # The first inferences of a process are slow and say nothing about the next ones.
        self._delays_s: deque[float] = deque(maxlen=10)

    def reset(self) -> None:
        """Forget the running chunk and what was seen: a new instruction continues nothing."""
        self._previous.clear()
        if self._memory is not None:
            self._memory.reset()

    def delivered(self, delay_s: float) -> None:
        """Tell how long after its exposure the last chunk was sent [s]."""
        self._delays_s.append(delay_s)

    def infer(self, observation: Observation) -> PolicyOutput:
        """One inference, checked and clipped; see `OnnxPolicy.infer`. After an OutputError nothing is continued."""
        continuation, self._previous = self._continuation(observation.stamp_s), {}
        seed = self._parameters.noise_seed
        output = self._policy.infer(observation, None if seed == NO_NOISE else seed, continuation)
        finite("grounding", output.grounding)
        head, other = self._checked("head", output.head), self._checked("other", output.other)
        if self._memory is not None and head is not None:
            own, head = head, self._memory.chunk(observation, output.grounding, head)
            self.remembered += head is not own
            head = bounded("head", head, self._policy.manifest.bound_rad("head"))
        output = replace(output, head=head, other=other)
        self._previous = {
            head: chunk for head, chunk in (("head", output.head), ("other", output.other)) if chunk is not None
        }
        return output

    def _checked(self, head: str, chunk: ActionChunk | None) -> ActionChunk | None:
        if chunk is None:
            return None
        inside = bounded(head, chunk, self._policy.manifest.bound_rad(head))
        self.clipped += inside is not chunk
        return inside

    def _continuation(self, stamp_s: float) -> dict[str, PreviousChunk] | None:
        if self._parameters.chunking == "plain":
            return None
        manifest = self._policy.manifest
        # At least one step is under way by the time a chunk arrives.
        delay_steps = math.ceil(max(self._delays_s, default=manifest.dt_s) / manifest.dt_s)
        continuation = {}
        for head, chunk in self._previous.items():
            increments, known = resample(chunk, stamp_s, manifest.chunk_steps, manifest.dt_s)
            weights = prefix_weights(known, delay_steps, self._parameters.rtc_horizon_steps)
            continuation[head] = PreviousChunk(increments, weights)
        return continuation
