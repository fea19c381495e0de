"""The simulator as a teacher: what the head camera sees at a pose, and where each thing really is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.policy.preprocess import reduce_depth, reduce_rgb, scale_intrinsics
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.world import World
from sapave_ros.types import Floats, Observation

SHOWN_PIXELS = 50
"""From so many visible pixels of 424 x 240 on a thing counts as in view: about 3 x 3 of the reduced picture."""

HIDDEN_PIXELS = 12
"""Up to so many it counts as out of view; in between nobody is asked."""


@dataclass(frozen=True)
class Target:
    """One item in the present view. index: in `scene.items`. goal: head pose (2,) [rad] that centres it."""

    name: str
    index: int
    pixels: int
    goal: Floats

    @property
    def shown(self) -> bool:
        return self.pixels >= SHOWN_PIXELS

    @property
    def hidden(self) -> bool:
        return self.pixels <= HIDDEN_PIXELS


class Teacher:
    """A world whose head is put wherever it is wanted, without dynamics."""

    def __init__(self, world: World | None = None):
        self.world = world or World()
        self._items = np.empty((0, 0), np.int16)  # (H, W) of the last `targets`

    @property
    def scene(self) -> Scene:
        assert self.world.scene is not None
        return self.world.scene

    @property
    def head(self) -> Floats:
        return self.world.positions(g1.HEAD)

    def load(self, scene: Scene) -> None:
        self.world.load(scene)

    def move_head(self, head: Floats) -> None:
        """Puts the head at a pose (2,) [rad] at once, inside the range of the joints."""
        self.world.set_positions(g1.HEAD, np.clip(head, g1.HEAD.lower, g1.HEAD.upper))

    def goal(self, name: str) -> Floats:
        """Head pose (2,) [rad] that centres an item."""
        return self.world.head_pose_towards(name)

    def observe(self, instruction: str, stamp_s: float = 0.0) -> Observation:
        """The present view as the robot would see it."""
        rgb, depth_mm = self.world.render()
        return Observation(
            stamp_s=stamp_s,
            instruction=instruction,
            rgb=rgb,
            joint_positions=self.world.positions(g1.POLICY),
            depth_m=(depth_mm / 1000).astype(np.float32),
            intrinsics=HEAD_CAMERA.intrinsics,
            camera_in_torso=self.world.camera_in_torso,
        )

    def picture(self, size: tuple[int, int], depth_size: tuple[int, int]) -> dict[str, NDArray]:
        """The present view as it is stored, by name of `data.Field`. Sizes: (height, width) of colour and depth."""
        o = self.observe("")
        assert o.depth_m is not None
        assert o.intrinsics is not None
        assert o.camera_in_torso is not None
        return {
            "rgb": reduce_rgb(o.rgb, size),
            "depth_m": reduce_depth(o.depth_m, depth_size).astype(np.float16),
            "intrinsics": scale_intrinsics(o.intrinsics, (o.rgb.shape[0], o.rgb.shape[1]), size).astype(np.float32),
            "camera_in_torso": o.camera_in_torso.astype(np.float32),
            "joint_positions": o.joint_positions.astype(np.float32),
            "scene": np.array(self.scene.seed, dtype=np.int64),
        }

    def targets(self) -> list[Target]:
        """Every item of the scene, with how much of it shows in the present view."""
        self._items = self.world.segmentation()
        pixels = np.bincount(self._items[self._items >= 0].ravel(), minlength=len(self.scene.items))
        return [Target(name, i, int(pixels[i]), self.goal(name)) for i, name in enumerate(self.scene.names)]

    def coverage(self, target: Target, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Share of each patch that the target covers, of 255, (h, w); of the view of the last `targets`."""
        mask = (self._items == target.index).astype(np.float32)
        share = cv2.resize(mask, (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
        return np.ceil(255 * share).astype(np.uint8)
