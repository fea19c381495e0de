"""What a frame holds, by the names and in the terms of LeRobot's format v3.0.

Depth is a 16-bit PNG in an `image` feature. It is in mm as the camera gave it, and comes back to the last of them: the
format's own depth videos quantise to 12 bits, and an array of numbers is read as Python lists, and ten times as large.
`is_depth_map` and `depth_unit` are what LeRobot knows a depth map by; it gives (1, H, W) float32 in mm (versions before
0.6 wrap values of more than 32.767 m, where no camera of this robot sees).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.types import Floats, Observation

COLOR = "observation.images.head"
DEPTH = "observation.depth"
INTRINSICS = "observation.intrinsics"
CAMERA_IN_TORSO = "observation.camera_in_torso"
STATE = "observation.state"
ACTION = "action"
OFFSET = "exposure_offset"

EXPERT_CHUNK = "expert.chunk"
EXPERT_POINTS = "expert.points_in_torso"
"""Of demonstrations in simulation alone: what an expert would do in this state in the next 16 steps, (16, 28) [rad];
and where what is to be moved is, and where it is to be, (2, 3) [m]."""

INDICES = ("frame_index", "episode_index", "index", "task_index")
"""Whole numbers that every frame carries, beside `timestamp`."""


@dataclass(frozen=True)
class Frame:
    """One row. rgb: (H, W, 3) uint8. depth_mm: (H, W) uint16. vectors: by feature, float32."""

    rgb: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]
    vectors: dict[str, NDArray[np.float32]]
    task: str


def frame(observation: Observation, action: Floats, offset_s: float) -> Frame:
    """observation: complete. action: (28,) [rad]. offset_s: exposure less the frame's time [s]."""
    assert observation.depth_m is not None
    assert observation.intrinsics is not None
    assert observation.camera_in_torso is not None
    vectors = {
        INTRINSICS: observation.intrinsics.ravel(),
        CAMERA_IN_TORSO: observation.camera_in_torso.ravel(),
        STATE: observation.joint_positions,
        ACTION: action,
        OFFSET: np.array([offset_s]),
    }
    depth_mm = np.rint(observation.depth_m.astype(np.float64) * 1e3).astype(np.uint16)  # (H, W), exactly what it was
    return Frame(
        observation.rgb, depth_mm, {k: v.astype(np.float32) for k, v in vectors.items()}, observation.instruction
    )


def features(
    height: int, width: int, fps: int, video: dict[str, Any], extra: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """`features` of info.json. video: what is told about the video's encoding. extra: further vectors, with their
    length."""
    axes = ["height", "width", "channels"]
    depth = {"dtype": "image", "shape": [height, width, 1], "names": axes}
    joints = list(g1.POLICY.names)
    return {
        COLOR: {"dtype": "video", "shape": [height, width, 3], "names": axes, "info": video},
        DEPTH: depth | {"info": {"is_depth_map": True, "depth_unit": "mm"}},
        INTRINSICS: _vector([f"k{row}{column}" for row in range(3) for column in range(3)]),
        CAMERA_IN_TORSO: _vector([f"t{row}{column}" for row in range(4) for column in range(4)]),
        STATE: _vector(joints),
        ACTION: _vector(joints),
        OFFSET: _vector(["seconds"]),
        **{name: _vector([str(i) for i in range(length)]) for name, length in extra.items()},
        "timestamp": _vector(None),
        **{name: {"dtype": "int64", "shape": [1], "names": None} for name in INDICES},
    }


def _vector(names: list[str] | None) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names) if names else 1], "names": names}
