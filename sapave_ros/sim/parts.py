"""What objects are made of: MuJoCo primitives and surfaces of revolution, and the means to put them together.

An object stands on its base: the origin of its frame is the centre of the base, z up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Colour = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

NO_TURN: Quaternion = (1.0, 0.0, 0.0, 0.0)
ALONG_X: Quaternion = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)
"""A cylinder's z axis turned to x."""

ALONG_Y: Quaternion = (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0)
"""A cylinder's z axis turned to y."""

_SEGMENTS = 28


@dataclass(frozen=True)
class Part:
    """One geom of an object.

    shape: box, sphere, cylinder, capsule, ellipsoid (size as MuJoCo's geom size [m]) or revolved.
    position [m] and quaternion (w, x, y, z) in the object's frame. colour: fixed (r, g, b) in 0..1, or
    None where the part takes the object's colour. profile: (radius, z) points [m] of a revolved
    surface, going around the cross-section counter-clockwise seen with z up and radius to the right.
    """

    shape: str
    size: tuple[float, ...] = ()
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = NO_TURN
    colour: Colour | None = None
    profile: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Shape:
    """An object's parts and the cylinder around it: radius [m] of its footprint, height [m]."""

    parts: tuple[Part, ...]
    radius: float
    height: float

    @property
    def centre(self) -> Vector:
        """The point that counts as the object's centre, in its frame [m]: half way up."""
        return (0.0, 0.0, self.height / 2.0)


def shell(outer: Sequence[tuple[float, float]], thickness: float) -> Part:
    """An open vessel: the outer profile from the middle of the base to the rim, and an inner wall back down."""
    inner = [(max(r - thickness, 0.0), max(z, thickness)) for r, z in reversed(outer)]
    return Part("revolved", profile=(*outer, *inner))


def ring(x: float, z: float, radius: float, thickness: float) -> tuple[Part, ...]:
    """A handle: half a ring of capsules in the xz plane, open towards -x, its middle at (x, z)."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, 6)
    points = [(x + radius * math.cos(a), z + radius * math.sin(a)) for a in angles]
    parts = []
    for (x0, z0), (x1, z1) in pairwise(points):
        tilt = math.atan2(x1 - x0, z1 - z0)
        half = math.hypot(x1 - x0, z1 - z0) / 2
        turn = (math.cos(tilt / 2), 0.0, math.sin(tilt / 2), 0.0)
        parts.append(Part("capsule", (thickness, half), ((x0 + x1) / 2, 0.0, (z0 + z1) / 2), turn))
    return tuple(parts)


def revolve(profile: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Turns a cross-section around z.

    profile: (radius, z) points [m]. Returns vertices (v, 3) and triangles (f, 3), normals outwards;
    points on the axis become one vertex each, and no triangle is degenerate. Every ring is doubled
    where the profile bends sharply, so that smooth shading does not round the edges off.
    """
    vertices: list[Vector] = []
    faces: list[tuple[int, int, int]] = []
    angles = np.linspace(0.0, 2 * math.pi, _SEGMENTS, endpoint=False)

    def ring(radius: float, z: float) -> list[int]:
        first = len(vertices)
        if radius <= 1e-9:
            vertices.append((0.0, 0.0, z))
            return [first] * _SEGMENTS
        vertices.extend((radius * math.cos(a), radius * math.sin(a), z) for a in angles)
        return list(range(first, first + _SEGMENTS))

    previous: tuple[float, list[int]] | None = None  # direction of the last band, its upper ring
    for (r0, z0), (r1, z1) in pairwise(profile):
        if max(r0, r1) <= 1e-9 or (abs(r0 - r1) < 1e-9 and abs(z0 - z1) < 1e-9):
            continue
        direction = math.atan2(z1 - z0, r1 - r0)
        smooth = previous is not None and abs(math.remainder(direction - previous[0], 2 * math.pi)) < 0.7
        low = previous[1] if smooth and previous is not None else ring(r0, z0)
        high = ring(r1, z1)
        for i in range(_SEGMENTS):
            j = (i + 1) % _SEGMENTS
            if low[i] != low[j]:
                faces.append((low[i], low[j], high[i]))
            if high[i] != high[j]:
                faces.append((low[j], high[j], high[i]))
        previous = direction, high
    return np.array(vertices), np.array(faces, dtype=np.int32)


# -- building with parts -----------------------------------------------------------------------------

Builder = Callable[[float], Shape]


def box(half: Vector, at: Vector = (0.0, 0.0, 0.0), turn: Quaternion = NO_TURN, colour: Colour | None = None) -> Part:
    """A block of those half sizes [m]; `at` is its middle."""
    return Part("box", half, at, turn, colour)


def ball(radius: float, at: Vector = (0.0, 0.0, 0.0), colour: Colour | None = None) -> Part:
    return Part("sphere", (radius,), at, NO_TURN, colour)


def egg(half: Vector, at: Vector = (0.0, 0.0, 0.0), turn: Quaternion = NO_TURN, colour: Colour | None = None) -> Part:
    return Part("ellipsoid", half, at, turn, colour)


def disc(
    radius: float, half: float, at: Vector = (0.0, 0.0, 0.0), turn: Quaternion = NO_TURN, colour: Colour | None = None
) -> Part:
    """A cylinder along z, of that radius and half height [m]; `at` is its middle."""
    return Part("cylinder", (radius, half), at, turn, colour)


def lathe(
    profile: Sequence[tuple[float, float]],
    at: Vector = (0.0, 0.0, 0.0),
    turn: Quaternion = NO_TURN,
    colour: Colour | None = None,
) -> Part:
    """A surface of revolution about z."""
    return Part("revolved", (), at, turn, colour, tuple(profile))


def rod(radius: float, start: Vector, end: Vector, colour: Colour | None = None) -> Part:
    """A capsule from one point to another [m]."""
    return _between("capsule", radius, start, end, colour)


def tube(radius: float, start: Vector, end: Vector, colour: Colour | None = None) -> Part:
    """A cylinder from one point to another [m]."""
    return _between("cylinder", radius, start, end, colour)


def chain(radius: float, points: Sequence[Vector], colour: Colour | None = None) -> list[Part]:
    """Capsules along a line of points [m]."""
    return [rod(radius, a, b, colour) for a, b in pairwise(points)]


def arc(
    radius: float, size: float, centre: Vector, start: float, end: float, count: int = 3, colour: Colour | None = None
) -> list[Part]:
    """Capsules along an arc of radius `size` in the xz plane, from angle to angle [rad], 0 along x, a quarter up."""
    x, y, z = centre
    angles = np.linspace(start, end, count + 1)
    return chain(radius, [(x + size * math.cos(a), y, z + size * math.sin(a)) for a in angles], colour)


def about(axis: str, angle: float) -> Quaternion:
    """A turn [rad] about x, y or z."""
    s, c = math.sin(angle / 2), math.cos(angle / 2)
    return (c, s * (axis == "x"), s * (axis == "y"), s * (axis == "z"))


def turned(parts: Iterable[Part], turn: Quaternion) -> list[Part]:
    """The parts as one, turned about the origin."""
    matrix = rotation(turn)
    return [
        replace(p, position=_vector(matrix @ np.array(p.position)), quaternion=_product(turn, p.quaternion))
        for p in parts
    ]


def moved(parts: Iterable[Part], by: Vector) -> list[Part]:
    """The parts as one, moved [m]."""
    return [replace(p, position=_vector(np.add(p.position, by))) for p in parts]


def support(part: Part, direction: NDArray[np.float64]) -> float:
    """How far the part reaches in a direction (unit vector), from the origin of the object's frame [m]."""
    d = rotation(part.quaternion).T @ direction
    across = math.hypot(d[0], d[1])
    if part.shape == "box":
        reach = float(np.abs(d) @ np.array(part.size))
    elif part.shape == "sphere":
        reach = part.size[0]
    elif part.shape == "cylinder":
        reach = part.size[0] * across + part.size[1] * abs(d[2])
    elif part.shape == "capsule":
        reach = part.size[0] + part.size[1] * abs(d[2])
    elif part.shape == "ellipsoid":
        reach = float(np.linalg.norm(d * np.array(part.size)))
    else:
        reach = max(r * across + z * d[2] for r, z in part.profile)
    return float(direction @ np.array(part.position)) + float(reach)


def extent(parts: Iterable[Part]) -> tuple[Vector, Vector]:
    """Lowest and highest corner [m] of the box around the parts, along the axes."""
    parts = list(parts)
    axes = np.eye(3)
    low = _vector([-max(support(p, -a) for p in parts) for a in axes])
    return low, _vector([max(support(p, a) for p in parts) for a in axes])


def stand(parts: Iterable[Part], scale: float = 1.0) -> Shape:
    """An object of these parts: scaled, its lowest point at z = 0, the middle of its footprint in the origin."""
    scaled = [
        replace(
            p,
            size=tuple(scale * a for a in p.size),
            position=_vector(scale * np.array(p.position)),
            profile=tuple((scale * r, scale * z) for r, z in p.profile),
        )
        for p in parts
    ]
    low, high = extent(scaled)
    placed = moved(scaled, (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
    around = [np.array([math.cos(a), math.sin(a), 0.0]) for a in np.linspace(0, 2 * math.pi, 48, endpoint=False)]
    radius = max(support(p, d) for p in placed for d in around)
    return Shape(tuple(placed), radius, high[2] - low[2])


def sized(parts: Callable[[], list[Part]]) -> Builder:
    """From parts in their natural size [m] to a shape in any size."""
    return lambda scale: stand(parts(), scale)


def _between(kind: str, radius: float, start: Vector, end: Vector, colour: Colour | None) -> Part:
    along = np.subtract(end, start)
    length = float(np.linalg.norm(along))
    x, y, z = along / length
    # The shortest turn of z to the direction: half way between them.
    w = math.sqrt(max((1.0 + z) / 2.0, 0.0))
    turn = (w, -y / (2 * w), x / (2 * w), 0.0) if w > 1e-6 else (0.0, 1.0, 0.0, 0.0)
    return Part(kind, (radius, length / 2), _vector(np.add(start, end) / 2), turn, colour)


def rotation(q: Quaternion) -> NDArray[np.float64]:
    """Axes (3, 3) of what is turned so."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    w, x, y, z = a
    s, i, j, k = b
    return (
        w * s - x * i - y * j - z * k,
        w * i + x * s + y * k - z * j,
        w * j - x * k + y * s + z * i,
        w * k + x * j - y * i + z * s,
    )


def _vector(values: NDArray[np.float64] | Sequence[float]) -> Vector:
    x, y, z = (float(v) for v in values)
    return (x, y, z)
