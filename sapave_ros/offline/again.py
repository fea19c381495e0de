"""A policy asked again what it was asked on the robot: the same observations, the same session, chunk by chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from sapave_ros import graph
from sapave_ros.bag import document
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.offline.recording import Recording
from sapave_ros.parameters import check
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.policy.output import OutputError
from sapave_ros.policy.session import PolicySession, SessionParameters
from sapave_ros.types import ActionChunk

PERIOD_S = graph.exposure_period_s(graph.INFERENCE_HZ)
"""Between two exposures that are asked about, at least [s]."""

TOPIC = {"head": graph.HEAD_INCREMENTS, "other": graph.ARM_INCREMENTS}
"""On which topic a head's chunks go out."""


@dataclass
class Answers:
    """What a policy says to the exposures of a bag.

    chunks: by head of the policy, in the order of their stamps. missing: stamps [s] for which the bag has no complete
    observation, and why. refused: answers that must not go out, and why. unknown_words: of the instructions. model_s:
    time that the model itself took [s]. model_sha256: of the model's file. parameters: how chunks followed each other.
    """

    chunks: dict[str, list[ActionChunk]] = field(default_factory=dict)
    missing: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)
    unknown_words: set[str] = field(default_factory=set)
    observed: int = 0
    model_s: float = 0.0
    model_sha256: str = ""
    parameters: SessionParameters = field(default_factory=SessionParameters)


def wanted(recording: Recording) -> list[tuple[float, str]]:
    """Exposures that the policy answered on the robot, with the instruction that it answered; of a recording without
    a policy, as many as it would have."""
    sent = {s.chunk.stamp_s: s.received_s for topic in TOPIC.values() for s in recording.chunks.get(topic, ())}
    if sent:
        return [(stamp_s, recording.instruction_at(received_s)) for stamp_s, received_s in sorted(sent.items())]
    return recording.exposures(PERIOD_S)


def parameters(recording: Recording, sha256: str, chunking: str | None = None) -> SessionParameters:
    """How chunks followed each other on the robot, as far as the bag tells; the noise that they started from, where
    the model of that sha256 is the robot's. chunking: another way instead.

    Raises ParameterError (a ValueError) where the bag tells what cannot be.
    """
    told = document.parameters_of(recording.bag.attachments, "inference")
    own = document.model_sha256(recording.bag.attachments) == sha256
    names = {f.name for f in fields(SessionParameters) if own or f.name != "noise_seed"}
    known = {name: value for name, value in told.items() if name in names}
    if told:
        known.setdefault("gaze_memory", False)  # recorded before there was one
    found = SessionParameters(**known | ({"chunking": chunking} if chunking else {}))
    check(found)
    return found


def ask(
    recording: Recording,
    model: Path,
    kinematics: Kinematics,
    chunking: str | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Answers:
    """Asks for every exposure of `wanted`. chunking: see `parameters`.

    Raises ManifestError (a ValueError) on a model that does not fit, BagError where the bag has no pictures,
    ParameterError as `parameters`.
    """
    policy = OnnxPolicy(model)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    use = parameters(recording, sha256, chunking)
    session = PolicySession(policy, use)
    answers = Answers(model_sha256=sha256, parameters=use)
    before = ""
    exposures = wanted(recording)
    instructions = dict(exposures)
    for stamp_s, found in recording.observations(ObservationBuilder(kinematics.camera_in_torso), exposures):
        progress()
        if isinstance(found, str):
            answers.missing.append((stamp_s, found))
            continue
        if instructions[stamp_s] != before:
            before = instructions[stamp_s]
            session.reset()
        answers.observed += 1
        try:
            output = session.infer(found)
        except OutputError as error:
            answers.refused.append((stamp_s, str(error)))
            continue
        answers.unknown_words.update(output.unknown_words)
        answers.model_s += output.timings.model_s
        for head, chunk in (("head", output.head), ("other", output.other)):
            if chunk is not None:
                answers.chunks.setdefault(head, []).append(chunk)
    return answers


def identical(recording: Recording, answers: Answers) -> dict[str, tuple[int, int, float]]:
    """By head: chunks that are bit for bit those of the robot, of how many that both have, and the largest difference
    of an increment [rad]."""
    found = {}
    for head, topic in TOPIC.items():
        sent = {s.chunk.stamp_s: s.chunk for s in recording.chunks.get(topic, ())}
        both = [(sent[c.stamp_s], c) for c in answers.chunks.get(head, ()) if c.stamp_s in sent]
        alike = [(a, b) for a, b in both if a.increments.shape == b.increments.shape and a.joint_names == b.joint_names]
        if both:
            same = sum(bool(np.array_equal(a.increments, b.increments)) for a, b in alike)
            difference = max((float(np.abs(a.increments - b.increments).max()) for a, b in alike), default=float("inf"))
            found[head] = (same, len(both), difference)
    return found
