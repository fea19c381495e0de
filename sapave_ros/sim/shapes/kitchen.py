"""Things that one cooks and eats with."""

from __future__ import annotations

import math

from sapave_ros.sim.parts import Builder, Part, about, arc, ball, box, chain, disc, egg, lathe, rod, sized, tube
from sapave_ros.sim.shapes.materials import DARK, IRON, STEEL, WOOD


def _knife() -> list[Part]:
    tip = box((0.030, 0.016, 0.003), (0.150, -0.004, 0.012), about("z", 0.35), STEEL)
    return [
        box((0.085, 0.021, 0.003), (0.075, 0, 0.012), colour=STEEL),
        tip,
        box((0.062, 0.014, 0.011), (-0.065, 0, 0.012)),
        *(ball(0.005, (x, 0, 0.021), STEEL) for x in (-0.09, -0.04)),
    ]


def _fork() -> list[Part]:
    return [
        rod(0.008, (-0.12, 0, 0.008), (-0.01, 0, 0.010)),
        rod(0.005, (-0.01, 0, 0.010), (0.045, 0, 0.014), STEEL),
        box((0.010, 0.020, 0.004), (0.052, 0, 0.014), colour=STEEL),
        *(rod(0.0035, (0.058, y, 0.014), (0.115, y, 0.018), STEEL) for y in (-0.017, -0.006, 0.006, 0.017)),
    ]


def _spoon() -> list[Part]:
    return [
        rod(0.008, (-0.12, 0, 0.008), (-0.01, 0, 0.010)),
        rod(0.005, (-0.01, 0, 0.010), (0.055, 0, 0.014), STEEL),
        egg((0.037, 0.026, 0.009), (0.085, 0, 0.012), colour=STEEL),
    ]


def _rolling_pin() -> list[Part]:
    return [
        tube(0.030, (0, -0.13, 0.03), (0, 0.13, 0.03)),
        *(rod(0.011, (0, s * 0.13, 0.03), (0, s * 0.19, 0.03), WOOD) for s in (-1, 1)),
    ]


def _whisk() -> list[Part]:
    ring = [(0.02, 0.0), (0.07, 0.032), (0.115, 0.034), (0.145, 0.0)]
    wires: list[Part] = []
    for turn in (0.0, 2 * math.pi / 3, 4 * math.pi / 3):
        c, s = math.cos(turn), math.sin(turn)
        wires += chain(0.0035, [(x, r * c, 0.036 + r * s) for x, r in ring], STEEL)
    return [rod(0.013, (-0.11, 0, 0.036), (0.015, 0, 0.036)), *wires]


def _grater() -> list[Part]:
    ridges = [disc(0.0625 - 0.105 * z, 0.004, (0, 0, z), colour=IRON) for z in (0.04, 0.075, 0.11, 0.145)]
    return [
        lathe(((0, 0), (0.062, 0), (0.042, 0.19), (0, 0.19)), colour=STEEL),
        disc(0.065, 0.007, (0, 0, 0.007)),
        *ridges,
        *arc(0.009, 0.035, (0, 0, 0.19), 0.0, math.pi, 3),
    ]


def _pepper_mill() -> list[Part]:
    outline = ((0, 0), (0.032, 0), (0.033, 0.03), (0.020, 0.09), (0.028, 0.145), (0.024, 0.155), (0, 0.155))
    head = ((0, 0.155), (0.030, 0.157), (0.032, 0.185), (0.018, 0.205), (0, 0.207))
    return [
        lathe(outline),
        lathe(head),
        disc(0.022, 0.003, (0, 0, 0.156), colour=STEEL),
        ball(0.010, (0, 0, 0.214), STEEL),
    ]


def _toaster() -> list[Part]:
    slots = [box((0.105, 0.013, 0.001), (0, y, 0.1855), colour=DARK) for y in (-0.035, 0.035)]
    return [
        box((0.140, 0.082, 0.078), (0, 0, 0.092)),
        box((0.125, 0.072, 0.0925), (0, 0, 0.0925), colour=STEEL),
        box((0.132, 0.074, 0.008), (0, 0, 0.008), colour=IRON),
        *slots,
        box((0.012, 0.018, 0.007), (0.150, 0, 0.125), colour=DARK),
        disc(0.012, 0.006, (0.145, 0, 0.06), about("y", math.pi / 2), DARK),
    ]


BUILDERS: dict[str, Builder] = {
    "knife": sized(_knife),
    "fork": sized(_fork),
    "spoon": sized(_spoon),
    "rolling pin": sized(_rolling_pin),
    "whisk": sized(_whisk),
    "grater": sized(_grater),
    "pepper mill": sized(_pepper_mill),
    "toaster": sized(_toaster),
}
