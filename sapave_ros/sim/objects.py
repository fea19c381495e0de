"""Household objects of the stand-in world: ten kinds told apart by shape, eight colours told apart by name.

An object stands on its base: the origin of its frame is the centre of the base, z up. Parts are MuJoCo
primitives or surfaces of revolution. Each kind is built in `VARIANTS` sizes.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Colour = tuple[float, float, float]

VARIANTS: tuple[float, ...] = (0.85, 1.0, 1.18)
"""Scale of each size in which a kind exists; a scene uses a (kind, variant) once at most."""

_NO_TURN = (1.0, 0.0, 0.0, 0.0)
_ALONG_X = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)  # a cylinder's z axis turned to x
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
    quaternion: tuple[float, float, float, float] = _NO_TURN
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


def _shell(outer: Sequence[tuple[float, float]], thickness: float) -> Part:
    """An open vessel: the outer profile from the middle of the base to the rim, and an inner wall back down."""
    inner = [(max(r - thickness, 0.0), max(z, thickness)) for r, z in reversed(outer)]
    return Part("revolved", profile=(*outer, *inner))


def _ring(x: float, z: float, radius: float, thickness: float) -> tuple[Part, ...]:
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


def _mug(s: float) -> Shape:
    r, h = 0.045 * s, 0.105 * s
    body = _shell([(0, 0), (r, 0), (r, h)], 0.006 * s)
    coffee = Part("cylinder", (r - 0.006 * s, 0.001), (0, 0, 0.75 * h), colour=(0.16, 0.09, 0.05))
    return Shape((body, coffee, *_ring(r - 0.004 * s, h / 2, 0.034 * s, 0.008 * s)), r + 0.034 * s, h)


def _bottle(s: float) -> Shape:
    r, h = 0.036 * s, 0.235 * s
    profile = (
        (0, 0),
        (r, 0),
        (r, 0.6 * h),
        (0.8 * r, 0.68 * h),
        (0.38 * r, 0.78 * h),
        (0.36 * r, 0.92 * h),
        (0, 0.92 * h),
    )
    label = Part("cylinder", (r * 1.02, 0.1 * h), (0, 0, 0.34 * h), colour=(0.93, 0.92, 0.86))
    cap = Part("cylinder", (0.42 * r, 0.04 * h), (0, 0, 0.96 * h), colour=(0.25, 0.25, 0.27))
    return Shape((Part("revolved", profile=profile), label, cap), r, h)


def _bowl(s: float) -> Shape:
    r, h = 0.085 * s, 0.07 * s
    arc = [(r * math.sin(a), h * (1 - math.cos(a))) for a in np.linspace(0.35, math.pi / 2, 7)]
    return Shape((_shell([(0, 0), (0.35 * r, 0), *arc], 0.006 * s),), r, h)


def _box(s: float) -> Shape:
    half = (0.075 * s, 0.055 * s, 0.055 * s)
    tape = Part("box", (half[0] * 1.005, 0.011 * s, half[2] * 1.01), (0, 0, half[2]), colour=(0.80, 0.72, 0.55))
    return Shape((Part("box", half, (0, 0, half[2])), tape), math.hypot(half[0], half[1]), 2 * half[2])


def _ball(s: float) -> Shape:
    r = 0.06 * s
    return Shape((Part("sphere", (r,), (0, 0, r)),), r, 2 * r)


def _can(s: float) -> Shape:
    r, h = 0.034 * s, 0.122 * s
    metal = (0.72, 0.73, 0.75)
    return Shape(
        (
            Part("cylinder", (r, 0.43 * h), (0, 0, h / 2)),
            Part("revolved", profile=((0, 0), (0.8 * r, 0), (r, 0.08 * h), (0, 0.08 * h)), colour=metal),
            Part("revolved", profile=((0, 0.92 * h), (r, 0.92 * h), (0.82 * r, h), (0, h)), colour=metal),
        ),
        r,
        h,
    )


def _book(s: float) -> Shape:
    x, y, z = 0.075 * s, 0.105 * s, 0.022 * s
    cover = 0.004 * s
    return Shape(
        (
            Part("box", (x, y, cover), (0, 0, cover)),
            Part("box", (x, y, cover), (0, 0, 2 * z - cover)),
            Part("box", (cover, y, z), (-x + cover, 0, z)),
            Part("box", (x * 0.94, y * 0.96, z - cover), (0, 0, z), colour=(0.94, 0.92, 0.85)),
        ),
        math.hypot(x, y),
        2 * z,
    )


def _teapot(s: float) -> Shape:
    r, h = 0.07 * s, 0.13 * s
    body = (
        (0, 0),
        (0.55 * r, 0),
        (0.93 * r, 0.22 * h),
        (r, 0.4 * h),
        (0.88 * r, 0.6 * h),
        (0.55 * r, 0.78 * h),
        (0, 0.82 * h),
    )
    tilt = 0.75
    spout = Part(
        "capsule", (0.013 * s, 0.035 * s), (-1.2 * r, 0, 0.55 * h), (math.cos(-tilt / 2), 0, math.sin(-tilt / 2), 0)
    )
    knob = Part("sphere", (0.016 * s,), (0, 0, 0.88 * h))
    return Shape(
        (Part("revolved", profile=body), spout, knob, *_ring(0.85 * r, 0.45 * h, 0.04 * s, 0.009 * s)), 1.6 * r, h
    )


def _pan(s: float) -> Shape:
    r, h = 0.085 * s, 0.045 * s
    handle = Part("capsule", (0.011 * s, 0.07 * s), (r + 0.07 * s, 0, 0.8 * h), _ALONG_X, colour=(0.10, 0.10, 0.11))
    return Shape((_shell([(0, 0), (0.85 * r, 0), (r, h)], 0.006 * s), handle), r + 0.07 * s, h)


def _vase(s: float) -> Shape:
    r, h = 0.055 * s, 0.22 * s
    outline = ((0, 0), (0.55, 0), (0.9, 0.2), (1.0, 0.36), (0.85, 0.55), (0.45, 0.76), (0.42, 0.84), (0.68, 1.0))
    return Shape((_shell([(a * r, b * h) for a, b in outline], 0.006 * s),), r, h)


_BUILDERS: dict[str, Callable[[float], Shape]] = {
    "mug": _mug,
    "bottle": _bottle,
    "bowl": _bowl,
    "box": _box,
    "ball": _ball,
    "can": _can,
    "book": _book,
    "teapot": _teapot,
    "pan": _pan,
    "vase": _vase,
}

KINDS: tuple[str, ...] = tuple(_BUILDERS)
"""Every kind of object there is."""

# Hue [0..1], saturation, value; and how far each may stray. Kept apart so that a name stays unambiguous.
_HSV: dict[str, tuple[Colour, Colour]] = {
    "red": ((0.0, 0.90, 0.78), (0.013, 0.08, 0.12)),
    "orange": ((0.072, 0.92, 0.95), (0.012, 0.06, 0.05)),
    "yellow": ((0.150, 0.88, 0.95), (0.012, 0.10, 0.05)),
    "green": ((0.360, 0.78, 0.58), (0.040, 0.15, 0.15)),
    "blue": ((0.605, 0.85, 0.75), (0.025, 0.12, 0.18)),
    "purple": ((0.780, 0.65, 0.60), (0.020, 0.12, 0.12)),
    "white": ((0.100, 0.02, 0.96), (0.050, 0.02, 0.04)),
    "black": ((0.600, 0.10, 0.07), (0.200, 0.10, 0.04)),
}

COLOURS: tuple[str, ...] = tuple(_HSV)
"""Every colour name there is."""


def shape(kind: str, variant: int) -> Shape:
    """The shape of one kind in one size. Raises ValueError naming the kinds or the number of variants."""
    if kind not in _BUILDERS:
        raise ValueError(f"kind: no object {kind!r}; there are {', '.join(KINDS)}")
    if not 0 <= variant < len(VARIANTS):
        raise ValueError(f"variant: {variant} of {kind!r}, expected 0 to {len(VARIANTS) - 1}")
    return _BUILDERS[kind](VARIANTS[variant])


def random_colour(name: str, random: np.random.Generator) -> Colour:
    """A shade (r, g, b in 0..1) that a person would call by that colour name."""
    if name not in _HSV:
        raise ValueError(f"colour: no colour {name!r}; there are {', '.join(COLOURS)}")
    centre, spread = _HSV[name]
    h, s, v = np.array(centre) + np.array(spread) * random.uniform(-1.0, 1.0, 3)
    r, g, b = colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))
    return (round(float(r), 4), round(float(g), 4), round(float(b), 4))


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
