"""How much room a pose of the arms leaves: to the robot itself, and to the border of the space that hands may use.

The body is that of `shapes`. What is reported is the room beyond the margin that a command has to leave, so that zero
is the limit everywhere and one rule serves all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sapave_ros import g1
from sapave_ros.core import shapes, urdf
from sapave_ros.types import Floats

NO_CLOSER_M = 1e-9
"""Rounding, which does not count as coming closer: 1 mm with the commands of an hour."""

APPROACH_S = 0.2
"""Parts approach each other at most with the speed that uses up their room in this time: 0.3 m/s at 80 mm apart, 0.15
at 50 mm, none at 20 mm. To slow down like this takes a joint at full speed half of its acceleration."""

GLANCES = np.array((0.2, 0.6, 1.0))
"""Shares of `APPROACH_S` at which one looks ahead: the way a hand takes is bent."""

_SIDES = ("left", "right")
_CHAIN = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
_THUMB = "thumb_proximal_yaw"
_BORDERS = ("back", "right", "lower", "front", "left", "upper")


@dataclass(frozen=True)
class Watched:
    """text: what is kept apart. sides: of the arms that change it. margin_m: how far [m].

    border: whether it is one of a hand's space.
    """

    text: str
    sides: tuple[str, ...]
    margin_m: float
    border: bool = False


def _sides(pair: tuple[str, str]) -> tuple[str, ...]:
    return tuple(side for side in _SIDES if any(part in shapes.ARMS and part.startswith(side) for part in pair))


WATCHED: tuple[Watched, ...] = (
    *(Watched(" and ".join(pair), _sides(pair), shapes.stop_margin(pair)) for pair in shapes.PAIRS),
    *(Watched(f"{side} hand and its {border} border", (side,), 0.0, True) for side in _SIDES for border in _BORDERS),
)
"""In the order in which `Clearance.room` reports."""


class Clearance:
    """The model for a group of joints that holds both arms and both thumbs.

    names: (n,) joints of a position, in order. workspace: lower and upper corner, (3,) [m] each, of the left hand's box
    in torso_link, see `g1.WORKSPACE_LOWER_M`.
    """

    def __init__(
        self,
        names: Sequence[str],
        joints: Sequence[urdf.Joint],
        workspace: tuple[Sequence[float], Sequence[float]] = (g1.WORKSPACE_LOWER_M, g1.WORKSPACE_UPPER_M),
    ) -> None:
        """joints: of the whole robot, as read from its URDF.

        ValueError if the group lacks a joint, or if the workspace is larger than the robot's table says.
        """
        self._lower, self._upper = _workspace(*workspace)
        chains = [[f"{s}_{part}_joint" for part in _CHAIN] + [f"{s[0].upper()}_{_THUMB}_joint"] for s in _SIDES]
        missing = [name for chain in chains for name in chain if name not in names]
        if missing:
            raise ValueError(f"names lacks {missing}: expected a group with both arms and both thumbs")
        self._columns = np.array([[list(names).index(name) for name in chain] for chain in chains])  # (2, 8)
        self._moves = np.zeros((len(WATCHED), len(names)), dtype=bool)  # which joints change what
        for row, watched in zip(self._moves, WATCHED, strict=True):
            row[self._columns[[_SIDES.index(side) for side in watched.sides]]] = True

        by_name = {j.name: j for j in joints}
        by_child = {j.child: j for j in joints}
        # The thumb hangs on the wrist by a fixed mount, which is folded in.
        folded = [
            [by_name[n] if by_name[n].moves and n != chain[-1] else _mounted(by_name[n], by_child) for n in chain]
            for chain in chains
        ]
        self._constant, self._sine, self._cosine = (
            np.array([[getattr(joint, term) for joint in arm] for arm in folded])
            for term in ("constant", "sine", "cosine")
        )  # (2, 8, 4, 4) each

        beads = len(shapes.BEADS) // 2
        self._carrier = np.array([chains[0].index(bead.joint) for bead in shapes.BEADS[:beads]])  # (b,)
        centres = np.array([bead.centre for bead in shapes.BEADS]).reshape(2, beads, 3)
        self._centres = np.concatenate([centres, np.ones((2, beads, 1))], axis=-1)[..., None]  # (2, b, 4, 1)
        self._block_centres = np.array([block.centre for block in shapes.BLOCKS]).T[:, None, None, :]
        self._block_halves = np.array([block.half for block in shapes.BLOCKS]).T[:, None, None, :]
        self._gather, self._starts, self._radii = _distances_of_pairs()
        self._margins = np.array([watched.margin_m for watched in WATCHED if not watched.border])
        self._hand = np.array([i for i, bead in enumerate(shapes.BEADS[:beads]) if bead.part == "left hand"])
        self._reach = self._reaches(len(names))
        self._seen, self._seen_room = np.zeros(len(names)), 0.0  # a pose, and the least room there

    @classmethod
    def from_urdf(cls, names: Sequence[str] = g1.OTHER.names, path: Path | None = None) -> Clearance:
        """The model of the robot in `models/g1/g1.urdf`, or in another description of it."""
        return cls(names, urdf.read(path or g1.model_path())[0])

    def room(self, positions: Floats) -> Floats:
        """Room (k, c) [m] of poses (k, n) [rad], in the order of `WATCHED`; negative where a margin is not kept."""
        k = len(positions)
        beads = self._beads(positions)  # (3, k, 2, b)
        outside = np.abs(beads.reshape(3, k, -1, 1) - self._block_centres) - self._block_halves  # (3, k, 2 b, blocks)
        within = np.minimum(np.maximum(np.maximum(outside[0], outside[1]), outside[2]), 0.0)
        to_blocks = _norm(np.maximum(outside, 0.0, out=outside)) + within
        between = _norm(beads[:, :, 0, :, None] - beads[:, :, 1, None, :])  # (k, b, b)
        upper_arm, hand = beads[..., : shapes.FOREARM], beads[..., shapes.HAND :]
        folded = _norm(upper_arm[..., :, None] - hand[..., None, :])  # (k, 2, upper arm, hand)
        distances = np.concatenate([d.reshape(k, -1) for d in (to_blocks, between, folded)], axis=1)
        gaps = distances.take(self._gather, axis=1) - self._radii
        apart = np.minimum.reduceat(gaps, self._starts, axis=1) - self._margins

        hands = beads[..., self._hand]  # (3, k, 2, beads of a hand)
        lower, upper = hands.min(axis=-1) - self._lower[:, None], self._upper[:, None] - hands.max(axis=-1)
        borders = np.concatenate([lower, upper]).transpose(1, 2, 0).reshape(k, -1)
        return np.concatenate([apart, borders], axis=1)

    def closer(self, start: Floats, path: Floats) -> tuple[Watched, float] | None:
        """What a path of poses (k, n) does not keep clear of, and the least room [m] it has there; None if nothing.

        start: (n,) the pose before. What has no room there already, the path may not come closer to, nor to what it has
        come away from on its way.
        """
        if self._known_room(path) > 0.0:
            return None
        room = self.room(np.concatenate([start[None], path]))
        self._seen, self._seen_room = start.copy(), float(room[0].min())
        # Each pose against the best of those before: a stop beyond a turning point would give room up that was won.
        kept = np.minimum(np.maximum.accumulate(room[:-1], axis=0) - NO_CLOSER_M, 0.0)
        lacking = (room[1:] - kept).min(axis=0)
        worst = int(np.argmin(lacking))
        return (WATCHED[worst], float(room[1:, worst].min())) if not lacking[worst] >= 0.0 else None

    def share(self, position: Floats, velocity: Floats) -> Floats:
        """The share (n,) of a velocity (n,) [rad/s] that the room at a pose (n,) leaves; 1 where nothing is near."""
        if self._known_room(position[None]) >= APPROACH_S * float(np.abs(velocity) @ self._reach):
            return np.ones(len(position))
        times = np.concatenate([[0.0], GLANCES])[:, None] * APPROACH_S
        room = self.room(position + times * velocity)
        # What is used up in APPROACH_S, at the speed of the beginning and further on.
        used = ((room[0] - room[1:]) / GLANCES[:, None]).max(axis=0)
        allowed = np.maximum(room[0], 0.0) / np.maximum(used, NO_CLOSER_M)
        allowed[used <= NO_CLOSER_M] = 1.0
        return np.where(self._moves, np.minimum(allowed, 1.0)[:, None], 1.0).min(axis=0)

    def _known_room(self, poses: Floats) -> float:
        """What is certain of the least room [m] at poses (k, n), without looking.

        Conservative advancement: no bead moves further than its joints turn times its distance from them.
        """
        return self._seen_room - float((np.abs(poses - self._seen) @ self._reach).max())

    def _reaches(self, n: int) -> Floats:
        """How far (n,) [m/rad] each joint can move any bead at most: all of the chain beyond it stretched out."""
        lengths = np.linalg.norm(self._constant[..., :3, 3], axis=-1)  # (2, 8) from joint to joint
        extents = np.linalg.norm(self._centres[..., :3, 0], axis=-1)  # (2, b)
        reach = np.zeros(n)
        for side, columns in enumerate(self._columns):
            for i, column in enumerate(columns):
                beyond = [
                    float(lengths[side, i + 1 : carrier + 1].sum() + extent)
                    for carrier, extent in zip(self._carrier, extents[side], strict=True)
                    if carrier >= i
                ]
                reach[column] = max(beyond, default=0.0)
        return reach

    def _beads(self, positions: Floats) -> Floats:
        """Where the beads are in torso_link, (3, k, 2, b)."""
        angle = positions[:, self._columns][..., None, None]
        links = self._constant + np.sin(angle) * self._sine + np.cos(angle) * self._cosine  # (k, 2, 8, 4, 4)
        for i in range(1, links.shape[2]):
            links[:, :, i] = links[:, :, i - 1] @ links[:, :, i]
        in_torso = links[:, :, self._carrier, :3] @ self._centres  # (k, 2, b, 3, 1)
        return np.ascontiguousarray(np.moveaxis(in_torso[..., 0], -1, 0))


def _norm(vectors: Floats) -> Floats:
    """Lengths (...) of vectors (3, ...)."""
    return np.sqrt(vectors[0] ** 2 + vectors[1] ** 2 + vectors[2] ** 2)


def _mounted(joint: urdf.Joint, by_child: dict[str, urdf.Joint]) -> urdf.Joint:
    """The joint with the fixed one above it folded in."""
    return joint.between(by_child[joint.parent].constant, np.eye(4))


def _workspace(lower: Sequence[float], upper: Sequence[float]) -> tuple[Floats, Floats]:
    """Corners (3, 2) [m] of the boxes of both hands. ValueError if larger than the table's, or empty."""
    low, high = np.array(lower, dtype=np.float64), np.array(upper, dtype=np.float64)
    table = g1.WORKSPACE_LOWER_M, g1.WORKSPACE_UPPER_M
    if not (low.shape == high.shape == (3,) and np.all(low >= table[0]) and np.all(high <= table[1])):
        raise ValueError(f"workspace = {lower} to {upper} m: expected a box within {table[0]} to {table[1]}")
    if not np.all(low < high):
        raise ValueError(f"workspace = {lower} to {upper} m: expected the lower corner first")
    mirror = np.array([1.0, -1.0, 1.0])
    other = np.sort([low * mirror, high * mirror], axis=0)
    return np.array([low, other[0]]).T, np.array([high, other[1]]).T


def _distances_of_pairs() -> tuple[np.ndarray, np.ndarray, Floats]:
    """Which of the distances in `Clearance.room` make up the pairs: their indices, where each pair starts among them,
    and the two radii [m] that they include."""
    blocks, arm = len(shapes.BLOCKS), len(shapes.BEADS) // 2
    across, own = len(shapes.BEADS) * blocks, len(shapes.BEADS) * blocks + arm * arm
    hand = arm - shapes.HAND
    gather: list[int] = []
    starts: list[int] = []
    radii: list[float] = []
    for first, second in shapes.PAIRS:
        starts.append(len(gather))
        for i, bead in enumerate(shapes.BEADS):
            if bead.part != first:
                continue
            for j, block in enumerate(shapes.BLOCKS):
                if block.part == second:
                    gather.append(i * blocks + j)
                    radii.append(bead.radius + block.radius)
            for j, other in enumerate(shapes.BEADS):
                if other.part != second:
                    continue
                side, finger, upper = i // arm, i % arm - shapes.HAND, j % arm
                same = own + (side * shapes.FOREARM + upper) * hand + finger
                gather.append(same if side == j // arm else across + i * arm + j - arm)
                radii.append(bead.radius + other.radius)
    return np.array(gather), np.array(starts), np.array(radii)
