"""Fruit, vegetables and what comes from the baker."""

from __future__ import annotations

import math

import numpy as np

from sapave_ros.sim.parts import ALONG_X, Builder, Part, about, ball, chain, disc, egg, lathe, rod, sized
from sapave_ros.sim.shapes.materials import CHERRY, CREAM, CRUST, LEAF, STEM


def _apple() -> list[Part]:
    outline = ((0, 0.008), (0.018, 0), (0.037, 0.018), (0.043, 0.045), (0.036, 0.070), (0.018, 0.080), (0, 0.068))
    leaf = egg((0.017, 0.008, 0.003), (0.018, 0, 0.092), about("y", -0.3), LEAF)
    return [lathe(outline), rod(0.003, (0, 0, 0.068), (0.004, 0, 0.094), STEM), leaf]


def _banana() -> list[Part]:
    angles = np.linspace(-1.0, 1.0, 6)
    points = [(0.105 * math.sin(a), 0.105 * (1 - math.cos(a)), 0.019) for a in angles]
    return [
        *chain(0.018, points[1:-1]),
        *(rod(0.013, points[i], points[j]) for i, j in ((0, 1), (-1, -2))),
        rod(0.007, points[-1], (points[-1][0] + 0.012, points[-1][1] + 0.024, 0.019), STEM),
    ]


def _lemon() -> list[Part]:
    return [
        egg((0.043, 0.032, 0.032), (0, 0, 0.032)),
        egg((0.014, 0.012, 0.012), (0.042, 0, 0.032)),
        egg((0.010, 0.008, 0.008), (-0.043, 0, 0.032), colour=LEAF),
    ]


def _pear() -> list[Part]:
    outline = (
        (0, 0), (0.022, 0.0), (0.040, 0.02), (0.043, 0.04), (0.034, 0.068), (0.021, 0.09), (0.016, 0.108), (0, 0.116),
    )  # fmt: skip
    return [lathe(outline), rod(0.003, (0, 0, 0.113), (0.006, 0, 0.138), STEM)]


def _carrot() -> list[Part]:
    outline = ((0, 0), (0.003, 0.0), (0.014, 0.08), (0.023, 0.165), (0.016, 0.18), (0, 0.182))
    leaves = [rod(0.006, (0.178, 0, 0.024), (0.235, 0.032 * s, 0.024 + 0.012 * (s == 0)), LEAF) for s in (-1, 0, 1)]
    return [lathe(outline, (0, 0, 0.024), about("y", math.pi / 2)), *leaves]


def _melon() -> list[Part]:
    stripes = [
        disc(0.0915 * math.sqrt(1 - ((abs(x) - 0.006) / 0.115) ** 2), 0.007, (x, 0, 0.09), ALONG_X, (0.13, 0.25, 0.10))
        for x in (-0.066, -0.024, 0.024, 0.066)
    ]
    return [egg((0.115, 0.090, 0.090), (0, 0, 0.09)), *stripes, rod(0.005, (0.112, 0, 0.09), (0.128, 0, 0.10), STEM)]


def _pineapple() -> list[Part]:
    leaves = [
        rod(0.008, (0, 0, 0.15), (0.048 * math.cos(a), 0.048 * math.sin(a), 0.225), LEAF)
        for a in np.linspace(0, 2 * math.pi, 5, endpoint=False)
    ]
    rings = [disc(r, 0.003, (0, 0, z), colour=STEM) for r, z in ((0.0585, 0.055), (0.0585, 0.105))]
    return [egg((0.060, 0.060, 0.082), (0, 0, 0.080)), *rings, *leaves, rod(0.010, (0, 0, 0.15), (0, 0, 0.25), LEAF)]


def _bread() -> list[Part]:
    cuts = [rod(0.005, (x - 0.016, -0.035, 0.083), (x + 0.016, 0.035, 0.083), CREAM) for x in (-0.055, 0.0, 0.055)]
    return [egg((0.120, 0.060, 0.046), (0, 0, 0.044)), *cuts]


def _cake() -> list[Part]:
    cherries = [
        ball(0.012, (0.062 * math.cos(a), 0.062 * math.sin(a), 0.100), CHERRY)
        for a in np.linspace(0, 2 * math.pi, 5)[:4]
    ]
    return [
        disc(0.110, 0.003, (0, 0, 0.003), colour=(0.9, 0.9, 0.9)),
        disc(0.088, 0.040, (0, 0, 0.046), colour=CRUST),
        disc(0.090, 0.010, (0, 0, 0.084)),
        disc(0.089, 0.006, (0, 0, 0.046)),
        *cherries,
    ]


def _doughnut() -> list[Part]:
    angles = np.linspace(-math.pi / 2, 1.5 * math.pi, 13)
    dough = [(0.038 + 0.024 * math.cos(a), 0.022 + 0.022 * math.sin(a)) for a in angles]
    icing = [(0.038 + 0.0255 * math.cos(a), 0.023 + 0.0235 * math.sin(a)) for a in np.linspace(0.35, math.pi - 0.2, 8)]
    return [lathe(dough, colour=CRUST), lathe((*icing, icing[0]))]


def _mushroom() -> list[Part]:
    cap = ((0, 0.048), (0.035, 0.050), (0.055, 0.058), (0.050, 0.082), (0.030, 0.102), (0, 0.110))
    stalk = ((0, 0), (0.022, 0), (0.017, 0.03), (0.019, 0.052), (0, 0.052))
    dots = [ball(0.008, p, CREAM) for p in ((0.034, 0, 0.094), (-0.016, 0.030, 0.094), (-0.016, -0.030, 0.094))]
    return [lathe(stalk, colour=CREAM), lathe(cap), *dots]


def _pizza() -> list[Part]:
    toppings = [
        disc(0.020, 0.003, (r * math.cos(a), r * math.sin(a), 0.018), colour=CHERRY)
        for r, a in ((0.06, 0.3), (0.07, 1.6), (0.06, 2.9), (0.075, 4.1), (0.065, 5.3), (0.0, 0.0))
    ]
    return [disc(0.125, 0.008, (0, 0, 0.008), colour=CRUST), disc(0.110, 0.001, (0, 0, 0.0165)), *toppings]


def _cupcake() -> list[Part]:
    icing = ((0, 0.045), (0.044, 0.045), (0.044, 0.06), (0.028, 0.072), (0.030, 0.08), (0.010, 0.098), (0, 0.1))
    return [
        lathe(((0, 0), (0.026, 0), (0.038, 0.048), (0, 0.048)), colour=CRUST),
        lathe(icing),
        ball(0.010, (0, 0, 0.104), CHERRY),
    ]


BUILDERS: dict[str, Builder] = {
    "apple": sized(_apple),
    "banana": sized(_banana),
    "lemon": sized(_lemon),
    "pear": sized(_pear),
    "carrot": sized(_carrot),
    "melon": sized(_melon),
    "pineapple": sized(_pineapple),
    "bread": sized(_bread),
    "cake": sized(_cake),
    "doughnut": sized(_doughnut),
    "mushroom": sized(_mushroom),
    "pizza": sized(_pizza),
    "cupcake": sized(_cupcake),
}
