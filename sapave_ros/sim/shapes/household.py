"""What stands and lies about in a home: containers, plants, clothes, things to clean with."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from sapave_ros.sim.parts import (
    ALONG_X,
    ALONG_Y,
    Builder,
    Part,
    about,
    arc,
    ball,
    box,
    chain,
    disc,
    egg,
    lathe,
    rod,
    shell,
    sized,
    tube,
)
from sapave_ros.sim.shapes.materials import (
    BRASS,
    CARDBOARD,
    DARK,
    DARK_WOOD,
    GLOW,
    IRON,
    LEAF,
    PAPER,
    PLASTIC,
    SOIL,
    STEEL,
    WOOD,
)


def _crate() -> list[Part]:
    x, y, z = 0.12, 0.085, 0.055
    slats = [box((x, 0.005, 0.015), (0, s * y, h)) for s in (-1, 1) for h in (0.03, 0.085)]
    ends = [box((0.006, y, z), (s * x, 0, z)) for s in (-1, 1)]
    return [box((x, y, 0.006), (0, 0, 0.006)), *slats, *ends]


def _basket() -> list[Part]:
    return [
        shell([(0, 0), (0.080, 0), (0.105, 0.09)], 0.008),
        *(disc(r, 0.006, (0, 0, z), colour=DARK_WOOD) for r, z in ((0.086, 0.015),)),
        *arc(0.008, 0.102, (0, 0, 0.085), 0.0, math.pi, 6, WOOD),
    ]


def _milk_carton() -> list[Part]:
    roof = [box((0.0365, 0.040, 0.0015), (s * 0.0185, 0, 0.196), about("y", s * 0.78), PAPER) for s in (-1, 1)]
    return [
        box((0.040, 0.040, 0.085), (0, 0, 0.085)),
        box((0.0405, 0.0405, 0.022), (0, 0, 0.075), colour=PAPER),
        *roof,
        box((0.026, 0.038, 0.026), (0, 0, 0.1715), about("y", math.pi / 4)),
        box((0.003, 0.040, 0.014), (0, 0, 0.228), colour=PAPER),
    ]


def _toolbox() -> list[Part]:
    return [
        box((0.095, 0.160, 0.055), (0, 0, 0.055)),
        box((0.098, 0.163, 0.014), (0, 0, 0.122), colour=IRON),
        rod(0.011, (0, -0.075, 0.172), (0, 0.075, 0.172), DARK),
        *(rod(0.009, (0, s * 0.075, 0.172), (0, s * 0.075, 0.134), DARK) for s in (-1, 1)),
        *(box((0.004, 0.016, 0.020), (-0.098, s * 0.09, 0.105), colour=STEEL) for s in (-1, 1)),
    ]


def _chest() -> list[Part]:
    bands = [disc(0.0725, 0.010, (0, s * 0.075, 0.085), ALONG_Y, BRASS) for s in (-1, 1)]
    return [
        box((0.072, 0.110, 0.045), (0, 0, 0.045)),
        disc(0.071, 0.110, (0, 0, 0.085), ALONG_Y),
        *bands,
        box((0.006, 0.018, 0.020), (-0.074, 0, 0.082), colour=BRASS),
        *(box((0.0735, 0.010, 0.044), (0, s * 0.075, 0.045), colour=BRASS) for s in (-1, 1)),
    ]


def _suitcase() -> list[Part]:
    return [
        box((0.055, 0.180, 0.125), (0, 0, 0.130)),
        *(box((0.057, 0.010, 0.127), (0, s * 0.105, 0.130), colour=DARK_WOOD) for s in (-1, 1)),
        rod(0.010, (0, -0.05, 0.292), (0, 0.05, 0.292), DARK),
        *(rod(0.008, (0, s * 0.05, 0.292), (0, s * 0.05, 0.25), DARK) for s in (-1, 1)),
    ]


def _candle() -> list[Part]:
    return [
        replace(shell([(0, 0), (0.055, 0), (0.068, 0.016)], 0.005), colour=BRASS),
        disc(0.023, 0.065, (0, 0, 0.070)),
        rod(0.002, (0, 0, 0.135), (0, 0, 0.145), DARK),
        egg((0.008, 0.008, 0.018), (0, 0, 0.158), colour=GLOW),
    ]


def _cactus() -> list[Part]:
    return [
        lathe(((0, 0), (0.038, 0), (0.052, 0.062), (0, 0.062))),
        disc(0.047, 0.001, (0, 0, 0.063), colour=SOIL),
        rod(0.024, (0, 0, 0.06), (0, 0, 0.175), LEAF),
        *(rod(0.012, (0, 0, z), (0, s * 0.045, z + 0.010), LEAF) for s, z in ((-1, 0.10), (1, 0.125))),
        *(rod(0.012, (0, s * 0.045, z), (0, s * 0.045, z + 0.04), LEAF) for s, z in ((-1, 0.11), (1, 0.135))),
        ball(0.010, (0, 0, 0.202), (0.85, 0.25, 0.45)),
    ]


def _plant() -> list[Part]:
    leaves = []
    for i, a in enumerate(np.linspace(0, 2 * math.pi, 6, endpoint=False)):
        lean, reach = 0.5 + 0.35 * (i % 2), 0.075
        x, y = 0.055 * math.cos(a), 0.055 * math.sin(a)
        tilt = about("z", a)
        half = lean / 2
        c, s = math.cos(half), math.sin(half)
        w, _, _, z = tilt
        leaves.append(egg((0.020, 0.006, reach), (x, y, 0.150), (w * c, -z * s, w * s, z * c), LEAF))
    return [
        lathe(((0, 0), (0.045, 0), (0.062, 0.082), (0, 0.082))),
        disc(0.057, 0.001, (0, 0, 0.083), colour=SOIL),
        *leaves,
    ]


def _hourglass() -> list[Part]:
    sand = (0.86, 0.74, 0.50)
    posts = [
        rod(0.005, (0.040 * math.cos(a), 0.040 * math.sin(a), 0.01), (0.040 * math.cos(a), 0.040 * math.sin(a), 0.17))
        for a in (0.5, 2.6, 4.7)
    ]
    return [
        *(disc(0.052, 0.008, (0, 0, z)) for z in (0.008, 0.172)),
        lathe(((0, 0.016), (0.034, 0.016), (0.030, 0.05), (0.005, 0.09), (0, 0.09)), colour=sand),
        lathe(((0, 0.09), (0.005, 0.09), (0.030, 0.13), (0.034, 0.164), (0, 0.164)), colour=PLASTIC),
        *posts,
    ]


def _iron() -> list[Part]:
    return [
        egg((0.115, 0.052, 0.040), (0, 0, 0.030)),
        box((0.075, 0.050, 0.006), (0.030, 0, 0.006), colour=STEEL),
        box((0.036, 0.036, 0.006), (-0.045, 0, 0.006), about("z", math.pi / 4), STEEL),
        rod(0.014, (-0.050, 0, 0.118), (0.065, 0, 0.112), DARK),
        rod(0.012, (-0.050, 0, 0.118), (-0.055, 0, 0.055)),
        rod(0.012, (0.065, 0, 0.112), (0.080, 0, 0.050)),
    ]


def _hairbrush() -> list[Part]:
    return [
        rod(0.012, (-0.115, 0, 0.028), (-0.01, 0, 0.028)),
        egg((0.062, 0.036, 0.015), (0.055, 0, 0.030)),
        box((0.044, 0.024, 0.012), (0.055, 0, 0.012), colour=DARK),
    ]


def _umbrella() -> list[Part]:
    cloth = ((0, 0), (0.008, 0), (0.026, 0.05), (0.034, 0.27), (0.012, 0.275), (0, 0.28))
    crook = [(0.195, 0.0, 0.034), (0.225, 0.012, 0.034), (0.225, 0.045, 0.034), (0.20, 0.055, 0.034)]
    return [
        lathe(cloth, (-0.14, 0, 0.034), ALONG_X),
        tube(0.005, (0.13, 0, 0.034), (0.20, 0, 0.034), STEEL),
        *chain(0.010, crook, DARK_WOOD),
        rod(0.004, (-0.14, 0, 0.034), (-0.17, 0, 0.034), STEEL),
    ]


def _picture_frame() -> list[Part]:
    tilt = about("y", 0.22)
    return [
        box((0.008, 0.075, 0.100), (0, 0, 0.100), tilt),
        box((0.002, 0.060, 0.082), (-0.0080, 0, 0.100), tilt, (0.55, 0.72, 0.85)),
        egg((0.003, 0.050, 0.035), (-0.0155, 0, 0.072), tilt, LEAF),
        ball(0.012, (0.0015, 0.028, 0.145), GLOW),
        rod(0.006, (0.012, 0, 0.13), (0.070, 0, 0.006), IRON),
    ]


def _toilet_roll() -> list[Part]:
    outline = ((0.018, 0.0), (0.055, 0.0), (0.055, 0.10), (0.018, 0.10), (0.018, 0.0))
    return [lathe(outline), disc(0.0185, 0.0495, (0, 0, 0.05), colour=CARDBOARD)]


def _hat() -> list[Part]:
    crown = ((0, 0), (0.135, 0.0), (0.137, 0.008), (0.080, 0.014), (0.074, 0.075), (0.058, 0.100), (0, 0.098))
    return [lathe(crown), disc(0.0805, 0.010, (0, 0, 0.026), colour=DARK_WOOD)]


def _shoe() -> list[Part]:
    return [
        box((0.105, 0.036, 0.008), (0.0, 0, 0.008), colour=PAPER),
        disc(0.036, 0.008, (-0.105, 0, 0.008), colour=PAPER),
        egg((0.075, 0.036, 0.038), (-0.070, 0, 0.022)),
        egg((0.052, 0.034, 0.058), (0.055, 0, 0.040)),
        disc(0.029, 0.012, (0.052, 0, 0.085), colour=DARK),
        *(rod(0.004, (x, -0.018, z), (x, 0.018, z), PAPER) for x, z in ((-0.045, 0.062), (-0.020, 0.066))),
    ]


def _trophy() -> list[Part]:
    cup = (
        (0.0, 0.045),
        (0.022, 0.045),
        (0.010, 0.075),
        (0.012, 0.09),
        (0.045, 0.115),
        (0.058, 0.19),
        (0.052, 0.19),
        (0.038, 0.12),
        (0, 0.105),
    )
    return [
        box((0.040, 0.040, 0.022), (0, 0, 0.022), colour=DARK),
        lathe(cup),
        *arc(0.006, 0.028, (0.052, 0, 0.155), -1.5, 1.5, 3),
        *arc(0.006, 0.028, (-0.052, 0, 0.155), math.pi - 1.5, math.pi + 1.5, 3),
    ]


def _fan() -> list[Part]:
    blades = [
        egg((0.004, 0.018, 0.040), (-0.034, 0.032 * math.sin(a), 0.185 + 0.032 * math.cos(a)), about("x", -a))
        for a in (0.0, 2.1, 4.2)
    ]
    ring = [(0.085 * math.sin(a), 0.185 + 0.085 * math.cos(a)) for a in np.linspace(0, 2 * math.pi, 9)]
    cage = [rod(0.006, (-0.034, y0, z0), (-0.034, y1, z1), STEEL) for (y0, z0), (y1, z1) in pairwise(ring)]
    return [
        disc(0.065, 0.010, (0, 0, 0.010)),
        rod(0.010, (0, 0, 0.02), (0, 0, 0.17), STEEL),
        tube(0.026, (0.030, 0, 0.185), (-0.028, 0, 0.185), IRON),
        *blades,
        *cage,
    ]


BUILDERS: dict[str, Builder] = {
    "crate": sized(_crate),
    "basket": sized(_basket),
    "milk carton": sized(_milk_carton),
    "toolbox": sized(_toolbox),
    "treasure chest": sized(_chest),
    "suitcase": sized(_suitcase),
    "candle": sized(_candle),
    "cactus": sized(_cactus),
    "plant": sized(_plant),
    "hourglass": sized(_hourglass),
    "iron": sized(_iron),
    "hairbrush": sized(_hairbrush),
    "umbrella": sized(_umbrella),
    "picture frame": sized(_picture_frame),
    "toilet roll": sized(_toilet_roll),
    "hat": sized(_hat),
    "shoe": sized(_shoe),
    "trophy": sized(_trophy),
    "fan": sized(_fan),
}
