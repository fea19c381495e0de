"""The model, and what this machine can run it on."""

from __future__ import annotations

from dataclasses import dataclass, field

from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class PolicyFacts:
    """path, bytes, name, sha256, trained, commit: of the model. trouble: why inference would refuse it, empty else.
    first_s, again_s: time of a test inference on the CPU [s]. dt_s, steps: of a chunk. providers: of ONNX Runtime.
    gpu: what says that there is one, empty without.
    """

    path: str = ""
    bytes: int = 0
    trouble: str = ""
    name: str = ""
    sha256: str = ""
    trained: list[str] = field(default_factory=list)
    first_s: float = 0.0
    again_s: float = 0.0
    dt_s: float = 0.0
    steps: int = 0
    providers: list[str] = field(default_factory=list)
    gpu: str = ""


def model(settings: Settings, facts: PolicyFacts) -> Outcome:
    """It is there, unchanged, made for this robot, and something in it is trained."""
    if facts.trouble:
        return wrong(facts.trouble, "git checkout models/, or name another file in model of node inference")
    found = f"{facts.path}: {facts.name}, {facts.bytes / 1e6:.1f} MB, sha256 {facts.sha256[:12]} as in its manifest"
    if not facts.trained:
        return wrong(f"{found}; no head of it is trained, so it moves nothing", "make train, or name a trained model")
    return ok(f"{found}; trained: {joined(facts.trained)}")


def inference(settings: Settings, facts: PolicyFacts) -> Outcome:
    """A test inference fits into the time that a chunk covers, at the rate asked for."""
    if facts.trouble:
        return skipped("there is no usable model", "mend 'model' above")
    period_s = 1.0 / settings.nodes["inference"]["rate_hz"]
    took = f"{facts.again_s * 1e3:.0f} ms on the CPU (first {facts.first_s * 1e3:.0f} ms)"
    found = f"{took}, one every {period_s * 1e3:.0f} ms"
    if facts.again_s > facts.dt_s * facts.steps:
        return wrong(f"{found}; a chunk lasts {facts.dt_s * facts.steps:.1f} s", "run on a GPU, or a smaller model")
    if facts.again_s > period_s and not facts.gpu:
        return warning(found, "stop other programs, set a lower rate_hz of node inference, or run on a GPU")
    return ok(found)


def providers(settings: Settings, facts: PolicyFacts) -> Outcome:
    """A GPU that is there is used; one that is asked for is there."""
    if not facts.providers:
        return skipped("ONNX Runtime cannot be asked", "mend 'packages' above")
    wanted = settings.nodes["inference"]["provider"]
    found = joined(p.removesuffix("ExecutionProvider") for p in facts.providers)
    if wanted != "auto" and wanted not in facts.providers:
        return wrong(
            f"{wanted} is asked for; there are {found}",
            "pip uninstall onnxruntime && pip install onnxruntime-gpu, or set provider of node inference to auto",
        )
    fast = [p for p in facts.providers if p.startswith(("Tensorrt", "CUDA"))]
    if facts.gpu and not fast:
        return warning(
            f"{found}, but there is a GPU ({facts.gpu})",
            "pip uninstall onnxruntime && pip install onnxruntime-gpu (on a Jetson: NVIDIA's wheel for its JetPack)",
        )
    if fast and not facts.gpu:
        return warning(f"{found}, but no GPU is seen", "look at its driver: nvidia-smi (on a Jetson: tegrastats)")
    return ok(f"{found}{f', {facts.gpu}' if facts.gpu else ', no GPU in this machine'}")
