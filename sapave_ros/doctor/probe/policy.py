"""Facts about the model: what inference would load, and how long it takes on this machine's CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.doctor.judge.policy import CPU, PolicyFacts
from sapave_ros.doctor.settings import Settings
from sapave_ros.policy.manifest import ManifestError
from sapave_ros.policy.onnx_policy import OnnxPolicy
from sapave_ros.share import share_path
from sapave_ros.types import Observation

REPEATS = 8
"""The fastest counts: other probes run beside this one."""


def gpu() -> str:
    """What says that this machine has an NVIDIA GPU, empty without one."""
    for file in ("/proc/driver/nvidia/version", "/etc/nv_tegra_release"):
        if Path(file).exists():
            return Path(file).read_text().splitlines()[0].strip()[:60]
    return "/dev/nvidia0" if Path("/dev/nvidia0").exists() else ""


def policy(settings: Settings) -> PolicyFacts:
    asked = settings.nodes["inference"]
    there: dict[str, Any] = {"providers": list(onnxruntime.get_available_providers()), "gpu": gpu()}
    try:
        path = Path(asked["model"] or share_path("models/sapave_nano.onnx"))
        policy = OnnxPolicy(path, (CPU,), asked["threads"])
        m = policy.manifest
        height, width = m.image_size
        observation = Observation(
            stamp_s=0.0,
            instruction="look at the red mug",
            rgb=np.full((height, width, 3), 128, np.uint8),
            joint_positions=np.zeros(len(g1.POLICY)),
            depth_m=np.ones((height, width), np.float32),
            intrinsics=np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float64),
            camera_in_torso=Kinematics.from_urdf().camera_in_torso(np.zeros(len(g1.HEAD))),
        )
        times_s = []
        for _ in range(REPEATS):
            start_s = time.perf_counter()
            policy.infer(observation)
            times_s.append(time.perf_counter() - start_s)
    except (ManifestError, ValueError, OSError) as error:
        return PolicyFacts(trouble=str(error), **there)
    return PolicyFacts(
        path=str(path),
        bytes=path.stat().st_size,
        name=m.name,
        sha256=m.weights_sha256,
        trained=list(m.trained_heads),
        first_s=times_s[0],
        again_s=min(times_s[1:]),
        dt_s=m.dt_s,
        steps=m.chunk_steps,
        **there,
    )
