"""A room in the making: blocks, their names, and places where things can stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from sapave_ros.sim.parts import Colour, Vector
from sapave_ros.sim.placement import EYE, Surface
from sapave_ros.sim.rooms.room import Landmark
from sapave_ros.sim.scene import Block, furniture_paint, muted

Paint = tuple[Colour, str]


@dataclass(frozen=True)
class Spot:
    """A surface and what a person calls the place. share: how often it is tried, in relation to the others."""

    surface: Surface
    place: str
    preposition: str = "on"
    share: float = 1.0


@dataclass(frozen=True)
class Frame:
    """Where a piece of furniture stands: u away from its front, v to the left of who faces the front, [m]."""

    x: float
    y: float
    yaw: float = 0.0

    def point(self, u: float, v: float, z: float) -> Vector:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return (self.x + c * u - s * v, self.y + s * u + c * v, z)

    def moved(self, u: float, v: float, turn: float = 0.0) -> Frame:
        x, y, _ = self.point(u, v, 0.0)
        return Frame(x, y, self.yaw + turn)

    def surface(self, u: float, v: float, z: float, half_u: float, half_v: float, clearance: float = 1.0) -> Surface:
        x, y, _ = self.point(u, v, z)
        return Surface(x, y, z, self.yaw, half_u, half_v, clearance)


def facing(distance: float, yaw: float, turn: float = 0.0) -> Frame:
    """In that direction and at that distance of the robot's eyes, with its front to them."""
    return Frame(EYE[0] + distance * math.cos(yaw), EYE[1] + distance * math.sin(yaw), yaw + turn)


@dataclass
class Draft:
    """What a template fills."""

    random: np.random.Generator
    blocks: list[Block] = field(default_factory=list)
    landmarks: list[Landmark] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def side(self) -> float:
        """Left (1) or right (-1)."""
        return 1.0 if self.chance(0.5) else -1.0

    def paint(self) -> Paint:
        return furniture_paint(self.random)

    def metal(self) -> Paint:
        return muted(self.random, 0.15, 0.8), "plain"

    def block(self, frame: Frame, at: Vector, half: Vector, paint: Paint, turn: float = 0.0) -> int:
        """A block, its middle at (u, v, z) of the frame. Returns its index."""
        self.blocks.append(Block(frame.point(*at), half, frame.yaw + turn, *paint))
        return len(self.blocks) - 1

    def name(self, name: str, blocks: Iterable[int], sort: str = "furniture", centre: Vector | None = None) -> None:
        """Gives blocks a name. centre: the middle of the box around their middles unless given."""
        blocks = tuple(blocks)
        if centre is None:
            points = np.array([self.blocks[i].centre for i in blocks])
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            centre = (float(middle[0]), float(middle[1]), float(middle[2]))
        self.landmarks.append(Landmark(name, sort, centre, blocks if sort != "inside" else ()))

    def inside(self, of: str, centre: Vector) -> None:
        self.name(f"inside of the {of}", (), "inside", centre)

    def spot(self, surface: Surface, place: str, preposition: str = "on", share: float = 1.0) -> None:
        self.spots.append(Spot(surface, place, preposition, share))

    def floor(self, x: tuple[float, float], y: tuple[float, float], share: float = 1.0) -> None:
        """A piece of the floor to put things on."""
        middle = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2)
        self.spot(Surface(*middle, 0.0, 0.0, (x[1] - x[0]) / 2, (y[1] - y[0]) / 2), "", "on", share)

    def shares(self, first: int, factor: float) -> None:
        """Scales the shares of the spots from that one on."""
        self.spots[first:] = [replace(s, share=s.share * factor) for s in self.spots[first:]]
