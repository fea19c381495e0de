"""What a network is trained on, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Field(str, Enum):
    """Arrays of a data set. The first six are per picture (n), the others per pair (p)."""

    RGB = "rgb"  # (n, h, w, 3) uint8
    DEPTH = "depth_m"  # (n, h / 2, w / 2) float16
    INTRINSICS = "intrinsics"  # (n, 3, 3) float32, of the reduced picture
    POSE = "camera_in_torso"  # (n, 4, 4) float32
    JOINTS = "joint_positions"  # (n, 28) float32
    SCENE = "scene"  # (n,) int64, number of the room
    IMAGE = "image"  # (p,) int64, row of the picture
    TEXT = "text"  # (p,) str
    CHUNK = "chunk"  # (p, k, 2) float32 [rad], what the head should do
    COVERAGE = "coverage"  # (p, h / 16, w / 16) uint8, share of each patch that the named thing covers, of 255


@dataclass(frozen=True)
class Things:
    """What each picture shows, of up to m things.

    kind, colour, size: (n, m) int64, number of the class, -1 for unknown and for none. captions: (n, m) str, a
    description each, empty for none. foremost: (n, h / 16, w / 16) uint8, the thing that shows most in each patch, 255
    for none. share: of the patch that it covers, of 255.
    """

    kind: NDArray
    colour: NDArray
    size: NDArray
    captions: NDArray
    foremost: NDArray
    share: NDArray

    def coverage(self, pictures: NDArray) -> NDArray:
        """Share of each patch that each thing covers as the foremost, (P, m, h / 16, w / 16) float32 in 0..1."""
        number = np.arange(self.kind.shape[1])[:, None, None]
        own = self.foremost[pictures, None] == number
        return own * (self.share[pictures, None] / np.float32(255))


class Dataset(dict[Field, NDArray]):
    """Arrays by `Field`; texts as a list; and what is known of the things and of directions, if anything."""

    @property
    def texts(self) -> list[str]:
        return [str(t) for t in self[Field.TEXT]]

    @property
    def things(self) -> Things | None:
        return None

    @property
    def directions(self) -> NDArray | None:
        """Which of `language.DIRECTIONS` each pair is told (p,) int64, -1 for none; None where that is not known."""
        return None
