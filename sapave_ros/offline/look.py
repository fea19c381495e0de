"""How well the head looked at what was written down for it: the angle between gaze and target, over time.

The gaze is the optical axis of the colour camera, from the measured joints of the head. Whether something stood before
the target nobody knows here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.core.resample import interpolate
from sapave_ros.offline.recording import Motion
from sapave_ros.offline.targets import Target
from sapave_ros.types import Floats

ON_TARGET_RAD = LookCriterion().max_angle_rad
"""Nearer than this is on target, as on the benchmark [rad]."""

GRID_S = 0.05
"""Of the angle over time [s]."""

MAX_GAP_S = 0.3
"""Between two measurements that are further apart nobody knows where the head was [s]: as old as joints may be."""

CameraPose = Callable[[Floats], Floats]
"""Positions (2,) [rad] of the head to the pose (4, 4) of the optical frame in the torso."""


def angle_rad(camera_in_torso: Floats, place_in_torso: Floats, is_point: bool) -> float:
    """Between the optical axis of a camera (4, 4) and a point [m] or a direction (3,); 0 where the point is in it."""
    direction = place_in_torso - camera_in_torso[:3, 3] if is_point else place_in_torso
    along = camera_in_torso[:3, :3].T @ direction  # (3,), z is the optical axis
    return float(np.arctan2(np.hypot(along[0], along[1]), along[2]))


def angles_rad(target: Target, times_s: Floats, head: Floats, camera_pose: CameraPose) -> Floats:
    """At each time (n,) with the head there (n, 2) [rad]; NaN where nobody knows where the head was.

    A target in the frame of the camera is where it was seen at the first of these times.
    """
    if target.frame == "camera":
        if not np.isfinite(head[0]).all():
            return np.full(len(times_s), np.nan)
        pose = camera_pose(head[0])
        place = pose[:3, :3] @ target.place + (pose[:3, 3] if target.is_point else 0.0)
    else:
        place = target.place
    known = np.isfinite(head).all(axis=1)
    found = np.full(len(times_s), np.nan)
    found[known] = [angle_rad(camera_pose(q), place, target.is_point) for q in head[known]]
    return found


def figures(targets: Sequence[Target], begin_s: float, head: Motion, camera_pose: CameraPose) -> dict[str, Any]:
    """Of each target and of all of them, as JSON holds it. begin_s: of the bag's first message, ROS time [s]."""
    rows = [_one(target, begin_s, head, camera_pose) for target in targets]
    times = [row["time_to_target_s"] for row in rows if row["time_to_target_s"] is not None]
    shares = [row["share_on_target"] for row in rows if row["share_on_target"] is not None]
    return {
        "on_target_deg": float(np.rad2deg(ON_TARGET_RAD)),
        "reached": len(times),
        "of": len(rows),
        "median_time_to_target_s": float(np.median(times)) if times else None,
        "share_on_target": float(np.mean(shares)) if shares else None,
        "targets": rows,
    }


def _one(target: Target, begin_s: float, head: Motion, camera_pose: CameraPose) -> dict[str, Any]:
    after_s = np.append(np.arange(0.0, target.to_s - target.from_s, GRID_S), target.to_s - target.from_s)  # (n,)
    times_s = begin_s + target.from_s + after_s
    positions = interpolate(head.times_s, head.positions, times_s, MAX_GAP_S)
    angles = angles_rad(target, times_s, positions, camera_pose)
    known, on_target = np.isfinite(angles), angles <= ON_TARGET_RAD
    return {
        "from_s": target.from_s,
        "to_s": target.to_s,
        "time_to_target_s": float(after_s[on_target][0]) if on_target.any() else None,
        "share_on_target": float(on_target[known].mean()) if known.any() else None,
        "share_known": float(known.mean()),
        "angle_deg": {name: _degrees(angles[known], at) for name, at in (("first", 0), ("last", -1))}
        | {"least": float(np.rad2deg(angles[known].min())) if known.any() else None},
        "over_time": {
            "after_s": [round(float(t), 3) for t in after_s],
            "angle_deg": [round(float(np.rad2deg(a)), 2) if np.isfinite(a) else None for a in angles],
        },
    }


def _degrees(angles: Floats, at: int) -> float | None:
    return float(np.rad2deg(angles[at])) if len(angles) else None
