"""Where the head may find itself when it is asked to look somewhere."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sapave_ros.policy import gaze
from sapave_ros.sim.scene import Scene
from sapave_ros.types import Floats


class Centring(Protocol):
    """Whoever knows the head pose (2,) [rad] that centres an item."""

    def goal(self, name: str) -> Floats: ...


def head_pose(random: np.random.Generator, teacher: Centring, scene: Scene) -> Floats:
    """Somewhere the head may find itself: anywhere, on the search, at a thing, or with a thing at the edge."""
    what = random.choice(["anywhere", "search", "at", "edge"], p=[0.25, 0.3, 0.25, 0.2])
    low, high = np.array([-0.86, -0.33]), np.array([0.86, 1.25])
    if what == "search" or not scene.items:
        angle = random.uniform(0, 2 * np.pi)
        circuit = np.array([np.cos(angle), np.sin(angle)]) * gaze.SEARCH_RADII_RAD
        return gaze.SEARCH_CENTRE_RAD + circuit * random.normal(1.0, 0.08)
    if what == "anywhere":
        return random.uniform(low, high)
    goal = teacher.goal(scene.names[random.integers(len(scene.names))])
    if what == "at":
        return np.clip(goal + random.normal(0, random.choice([0.01, 0.05, 0.15]), 2), low, high)
    angle = random.uniform(0, 2 * np.pi)
    edge = np.array([0.60 * np.cos(angle), 0.37 * np.sin(angle)]) / max(abs(np.cos(angle)), abs(np.sin(angle)))
    return np.clip(goal + edge * random.uniform(0.8, 1.05), low, high)
