"""Household objects of the stand-in world: kinds told apart by shape, eight colours told apart by name.

`KINDS` are the ten of `scene.random_scene`; the others of the catalogue are in `shapes`. Each kind is built in
`VARIANTS` sizes.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from functools import cache

import numpy as np

from sapave_ros.sim.parts import ALONG_X, Colour, Part, Shape, Vector, revolve, ring, shell
from sapave_ros.sim.shapes import BUILDERS

__all__ = [
    "BASIC",
    "COLOURS",
    "KINDS",
    "VARIANTS",
    "Colour",
    "Part",
    "Shape",
    "Vector",
    "random_colour",
    "revolve",
    "shape",
]

VARIANTS: tuple[float, ...] = (0.85, 1.0, 1.18)
"""Scale of each size in which a kind exists; a scene uses a (kind, variant) once at most."""


def _mug(s: float) -> Shape:
    r, h = 0.045 * s, 0.105 * s
    body = shell([(0, 0), (r, 0), (r, h)], 0.006 * s)
    coffee = Part("cylinder", (r - 0.006 * s, 0.001), (0, 0, 0.75 * h), colour=(0.16, 0.09, 0.05))
    return Shape((body, coffee, *ring(r - 0.004 * s, h / 2, 0.034 * s, 0.008 * s)), r + 0.034 * s, h)


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
    return Shape((shell([(0, 0), (0.35 * r, 0), *arc], 0.006 * s),), r, h)


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
        (Part("revolved", profile=body), spout, knob, *ring(0.85 * r, 0.45 * h, 0.04 * s, 0.009 * s)), 1.6 * r, h
    )


def _pan(s: float) -> Shape:
    r, h = 0.085 * s, 0.045 * s
    handle = Part("capsule", (0.011 * s, 0.07 * s), (r + 0.07 * s, 0, 0.8 * h), ALONG_X, colour=(0.10, 0.10, 0.11))
    return Shape((shell([(0, 0), (0.85 * r, 0), (r, h)], 0.006 * s), handle), r + 0.07 * s, h)


def _vase(s: float) -> Shape:
    r, h = 0.055 * s, 0.22 * s
    outline = ((0, 0), (0.55, 0), (0.9, 0.2), (1.0, 0.36), (0.85, 0.55), (0.45, 0.76), (0.42, 0.84), (0.68, 1.0))
    return Shape((shell([(a * r, b * h) for a, b in outline], 0.006 * s),), r, h)


BASIC: dict[str, Callable[[float], Shape]] = {
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

KINDS: tuple[str, ...] = tuple(BASIC)
"""The kinds of `scene.random_scene`, and those compiled unless others are asked for."""

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


@cache
def shape(kind: str, variant: int) -> Shape:
    """The shape of one kind in one size. Raises ValueError naming the kinds or the number of variants."""
    build = BASIC.get(kind) or BUILDERS.get(kind)
    if build is None:
        raise ValueError(f"kind: no object {kind!r}; there are {', '.join((*BASIC, *BUILDERS))}")
    if not 0 <= variant < len(VARIANTS):
        raise ValueError(f"variant: {variant} of {kind!r}, expected 0 to {len(VARIANTS) - 1}")
    return build(VARIANTS[variant])


def random_colour(name: str, random: np.random.Generator) -> Colour:
    """A shade (r, g, b in 0..1) that a person would call by that colour name."""
    if name not in _HSV:
        raise ValueError(f"colour: no colour {name!r}; there are {', '.join(COLOURS)}")
    centre, spread = _HSV[name]
    h, s, v = np.array(centre) + np.array(spread) * random.uniform(-1.0, 1.0, 3)
    r, g, b = colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))
    return (round(float(r), 4), round(float(g), 4), round(float(b), 4))
