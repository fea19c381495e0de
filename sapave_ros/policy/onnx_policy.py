"""The exported model on ONNX Runtime: an observation in, one action chunk per trained head out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.policy import manifest as contract
from sapave_ros.policy.manifest import Manifest, ManifestError
from sapave_ros.policy.output import finite
from sapave_ros.policy.preprocess import Preprocessor
from sapave_ros.types import ActionChunk, Floats, Observation

PREFERENCE = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
"""Fastest first; `auto` takes those that this machine has."""


@dataclass(frozen=True)
class PreviousChunk:
    """What to continue (real-time chunking), per head, on the time grid of the chunk to come.

    increments: (k, n) [rad], see `resample`. weights: (k,) 1 = keep, 0 = free.
    """

    increments: Floats
    weights: Floats


@dataclass(frozen=True)
class Timings:
    """Seconds spent on one inference."""

    preprocess_s: float
    model_s: float


@dataclass(frozen=True)
class PolicyOutput:
    """head, other: None where the model's head is untrained: an untrained head never moves a joint.

    grounding: (h, w) float32 in 0..1, where in the picture the policy sees what it was told.
    unknown_words: words of the instruction that the model has never seen.
    """

    head: ActionChunk | None
    other: ActionChunk | None
    grounding: NDArray[np.float32]
    unknown_words: tuple[str, ...]
    timings: Timings


def resample(chunk: ActionChunk, stamp_s: float, steps: int, dt_s: float) -> tuple[Floats, NDArray[np.bool_]]:
    """The increments of a chunk on another time grid, by linear interpolation of their running sum.

    Returns increments (steps, n) [rad] of the steps that begin at stamp_s, and known (steps,): whether the
    chunk says anything about the whole step. Where it does not, the increments are those of a robot
    that stands still before the chunk and after it.
    """
    grid = stamp_s + dt_s * np.arange(steps + 1)
    knots = chunk.stamp_s + chunk.dt_s * np.arange(len(chunk.increments) + 1)
    travelled = np.vstack([np.zeros(chunk.increments.shape[1]), np.cumsum(chunk.increments, axis=0)])  # (k + 1, n)
    positions = np.column_stack([np.interp(grid, knots, column) for column in travelled.T])
    tolerance_s = 1e-6  # stamps are sums of floats
    known = (grid[:-1] >= knots[0] - tolerance_s) & (grid[1:] <= knots[-1] + tolerance_s)
    return np.diff(positions, axis=0), known


def prefix_weights(known: NDArray[np.bool_], delay_steps: int, horizon_steps: int) -> Floats:
    """Weights (k,) of real-time chunking: 1 for the steps that run while the model thinks, fading to 0.

    delay_steps: steps executed before the new chunk can arrive. horizon_steps: first step that is free.
    Black et al. 2025, "Real-Time Execution of Action Chunking Flow Policies": u falls linearly from 1 to 0
    over the steps between and w = u (e^u - 1) / (e - 1). Steps that are not known weigh 0.
    """
    i = np.arange(len(known))
    span = max(horizon_steps - delay_steps, 0) + 1
    u = np.clip((delay_steps - 1 - i) / span + 1, 0, 1)
    w = np.clip(u * np.expm1(u) / (np.e - 1), 0, 1)
    return np.where(known & ((i < delay_steps) | (i < horizon_steps)), w, 0.0)


class OnnxPolicy:
    """An ONNX file with its manifest, checked before anything runs.

    providers: "auto", or names of ONNX Runtime providers. threads: intra-op threads.
    Raises ManifestError on a file that is missing, broken or made for something else.
    """

    def __init__(self, path: str | Path, providers: str | tuple[str, ...] = "auto", threads: int = 1):
        path = Path(path)
        if not path.is_file():
            raise ManifestError(f"model: {path} is not there, expected an ONNX file")
        available = onnxruntime.get_available_providers()
        wanted = tuple(p for p in PREFERENCE if p in available) if providers == "auto" else tuple(providers)
        for provider in wanted:
            if provider not in available:
                raise ManifestError(f"providers: {provider} is not available, expected of {', '.join(available)}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads of ONNX Runtime spin by default and would eat the core of a control loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=list(wanted))
        except Exception as e:  # ONNX Runtime raises a family of unrelated types
            raise ManifestError(f"model: {path} cannot be read as ONNX ({str(e).splitlines()[0]:.200})") from e
        text = self._session.get_modelmeta().custom_metadata_map.get(contract.KEY)
        if text is None:
            raise ManifestError(f"model: {path} carries no manifest, expected {contract.KEY!r} in its metadata")
        self.manifest = Manifest.from_json(text)
        self._inputs = {i.name: tuple(i.shape) for i in self._session.get_inputs()}
        contract.check(self.manifest, self._inputs, {o.name: o.shape for o in self._session.get_outputs()})
        contract.check_weights(self.manifest, path)
        self._preprocess = Preprocessor(self.manifest)
        self._outputs = list(self.manifest.outputs)

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, first choice first."""
        return tuple(self._session.get_providers())

    @property
    def tokenizer(self):
        return self._preprocess.tokenizer

    def warm_up(self) -> None:
        """One run on a black picture: the first on a GPU compiles kernels, for longer than an answer may take."""
        height, width = self.manifest.image_size
        picture = np.zeros((height, width, 3), np.uint8)
        self.infer(Observation(0.0, "", picture, np.zeros(len(g1.POLICY))))

    def infer(
        self,
        observation: Observation,
        noise: int | Mapping[str, NDArray] | None = None,
        previous: Mapping[str, PreviousChunk] | None = None,
    ) -> PolicyOutput:
        """One inference.

        noise: that the flow starts from: none, which is the middle of all there is; a seed; or arrays (k, n) by head.
        The same noise gives the same chunk. previous: by head, what to continue. Raises ValueError on a malformed
        observation, and OutputError if the model answers with a number that is not finite.
        """
        start_s = time.perf_counter()
        feeds = self._preprocess(observation)
        m = self.manifest
        noise_of = noise if isinstance(noise, Mapping) else _draw(noise, m)
        for head, joints in contract.HEADS.items():
            before = (previous or {}).get(head)
            shape = (1, m.chunk_steps, len(joints))
            feeds[f"noise_{head}"] = np.asarray(noise_of[head], np.float32).reshape(shape)
            feeds[f"previous_{head}"] = np.zeros(shape, np.float32)
            feeds[f"weight_{head}"] = np.zeros(shape[:2], np.float32)
            if before is not None:
                feeds[f"previous_{head}"] = np.asarray(before.increments, np.float32).reshape(shape)
                feeds[f"weight_{head}"] = np.asarray(before.weights, np.float32).reshape(shape[:2])
        prepared_s = time.perf_counter()
        out = dict(zip(self._outputs, self._session.run(self._outputs, feeds)))
        done_s = time.perf_counter()
        for name, value in out.items():
            finite(name, value)
        return PolicyOutput(
            head=self._chunk("head", out["head"], observation.stamp_s),
            other=self._chunk("other", out["other"], observation.stamp_s),
            grounding=out["grounding"][0],
            unknown_words=tuple(self.tokenizer.unknown_words(observation.instruction)),
            timings=Timings(prepared_s - start_s, done_s - prepared_s),
        )

    def _chunk(self, head: str, increments: NDArray, stamp_s: float) -> ActionChunk | None:
        if head not in self.manifest.trained_heads:
            return None
        names = getattr(self.manifest, f"{head}_joints")
        return ActionChunk(stamp_s, self.manifest.dt_s, names, increments[0].astype(np.float64))


def _draw(seed: int | None, m: Manifest) -> dict[str, NDArray]:
    shapes = {head: (m.chunk_steps, len(joints)) for head, joints in contract.HEADS.items()}
    if seed is None:
        return {head: np.zeros(shape) for head, shape in shapes.items()}
    rng = np.random.default_rng(int(seed))
    return {head: rng.standard_normal(shape) for head, shape in shapes.items()}
