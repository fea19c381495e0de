"""Things out of a workshop. They lie, along x."""

from __future__ import annotations

import math

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
    sized,
    tube,
)
from sapave_ros.sim.shapes.materials import BRASS, DARK, GLOW, IRON, RUBBER, STEEL, WOOD


def _hammer() -> list[Part]:
    return [
        rod(0.013, (-0.15, 0, 0.018), (0.02, 0, 0.018)),
        tube(0.010, (0.02, 0, 0.018), (0.105, 0, 0.018), WOOD),
        box((0.019, 0.050, 0.018), (0.120, 0.0, 0.018), colour=IRON),
        tube(0.021, (0.120, 0.045, 0.021), (0.120, 0.070, 0.021), STEEL),
        box((0.012, 0.024, 0.012), (0.113, -0.066, 0.016), about("z", -0.35), IRON),
    ]


def _screwdriver() -> list[Part]:
    return [
        rod(0.019, (-0.12, 0, 0.02), (-0.04, 0, 0.02)),
        disc(0.014, 0.012, (-0.015, 0, 0.02), ALONG_X, DARK),
        tube(0.006, (-0.01, 0, 0.02), (0.115, 0, 0.02), STEEL),
        box((0.013, 0.009, 0.003), (0.122, 0, 0.02), colour=STEEL),
    ]


def _pliers() -> list[Part]:
    parts: list[Part] = [disc(0.019, 0.011, (0.03, 0, 0.014), colour=IRON)]
    for s in (-1, 1):
        parts += chain(0.011, [(0.015, s * 0.012, 0.014), (-0.05, s * 0.040, 0.014), (-0.135, s * 0.034, 0.014)])
        parts.append(box((0.036, 0.009, 0.010), (0.075, s * 0.011, 0.014), about("z", -s * 0.12), STEEL))
    return parts


def _wrench() -> list[Part]:
    jaws = [box((0.022, 0.010, 0.010), (0.145, s * 0.024, 0.012), about("z", s * 0.15), STEEL) for s in (-1, 1)]
    return [
        box((0.115, 0.014, 0.008), (0, 0, 0.012)),
        disc(0.030, 0.010, (0.112, 0, 0.012), colour=STEEL),
        *jaws,
        disc(0.027, 0.010, (-0.115, 0, 0.012), colour=STEEL),
        disc(0.014, 0.0105, (-0.115, 0, 0.012), colour=DARK),
    ]


def _saw() -> list[Part]:
    return [
        box((0.150, 0.030, 0.003), (0.07, 0.006, 0.014), about("z", -0.06), STEEL),
        box((0.018, 0.058, 0.013), (-0.085, 0, 0.014)),
        box((0.045, 0.015, 0.013), (-0.120, 0.045, 0.014), about("z", 0.25)),
        box((0.018, 0.050, 0.013), (-0.160, 0.002, 0.014), about("z", 0.15)),
        box((0.045, 0.014, 0.013), (-0.120, -0.046, 0.014), about("z", -0.05)),
    ]


def _tape_measure() -> list[Part]:
    return [
        disc(0.042, 0.020, (0, 0, 0.042), ALONG_Y),
        box((0.042, 0.020, 0.021), (0, 0, 0.021)),
        disc(0.026, 0.0212, (0, 0, 0.045), ALONG_Y, STEEL),
        box((0.045, 0.012, 0.0015), (-0.082, 0, 0.008), colour=(0.95, 0.86, 0.25)),
        box((0.002, 0.013, 0.009), (-0.127, 0, 0.009), colour=STEEL),
    ]


def _torch() -> list[Part]:
    head = ((0, 0), (0.020, 0), (0.036, 0.035), (0.036, 0.055), (0, 0.055))
    return [
        tube(0.020, (-0.11, 0, 0.036), (0.035, 0, 0.036)),
        lathe(head, (0.03, 0, 0.036), ALONG_X),
        disc(0.031, 0.002, (0.086, 0, 0.036), ALONG_X, GLOW),
        disc(0.021, 0.010, (-0.105, 0, 0.036), ALONG_X, DARK),
        box((0.014, 0.007, 0.005), (-0.01, 0, 0.057), colour=DARK),
    ]


def _drill() -> list[Part]:
    return [
        tube(0.034, (-0.085, 0, 0.175), (0.045, 0, 0.175)),
        lathe(((0, 0), (0.028, 0), (0.014, 0.045), (0, 0.045)), (0.045, 0, 0.175), ALONG_X, DARK),
        tube(0.005, (0.085, 0, 0.175), (0.165, 0, 0.175), STEEL),
        box((0.022, 0.019, 0.062), (-0.050, 0, 0.095), about("y", 0.15)),
        box((0.050, 0.034, 0.021), (-0.050, 0, 0.021), colour=RUBBER),
        box((0.007, 0.010, 0.015), (-0.020, 0, 0.128), colour=DARK),
    ]


def _paint_brush() -> list[Part]:
    return [
        rod(0.010, (-0.15, 0, 0.014), (-0.05, 0, 0.014)),
        box((0.040, 0.018, 0.009), (-0.02, 0, 0.014)),
        box((0.018, 0.034, 0.013), (0.03, 0, 0.014), colour=STEEL),
        box((0.034, 0.032, 0.011), (0.08, 0, 0.014), colour=(0.82, 0.70, 0.48)),
    ]


def _axe() -> list[Part]:
    return [
        rod(0.013, (-0.20, 0, 0.016), (0.13, 0, 0.016), WOOD),
        box((0.030, 0.038, 0.014), (0.105, 0.020, 0.016)),
        box((0.042, 0.020, 0.009), (0.105, 0.072, 0.016)),
        box((0.050, 0.008, 0.004), (0.105, 0.098, 0.016), colour=STEEL),
        box((0.022, 0.010, 0.014), (0.105, -0.026, 0.016), colour=IRON),
    ]


def _padlock() -> list[Part]:
    return [
        box((0.042, 0.019, 0.036), (0, 0, 0.036)),
        *arc(0.008, 0.026, (0, 0, 0.088), 0.0, math.pi, 4, STEEL),
        *(rod(0.008, (s * 0.026, 0, 0.068), (s * 0.026, 0, 0.088), STEEL) for s in (-1, 1)),
        disc(0.009, 0.0195, (0, 0, 0.036), ALONG_Y, DARK),
    ]


def _bell() -> list[Part]:
    dome = ((0, 0), (0.060, 0), (0.048, 0.03), (0.040, 0.07), (0.018, 0.092), (0, 0.095))
    return [
        lathe(dome, (0, 0, 0.012)),
        ball(0.016, (0, 0, 0.015), IRON),
        rod(0.013, (0, 0, 0.115), (0, 0, 0.185), WOOD),
        egg((0.016, 0.016, 0.010), (0, 0, 0.107), colour=BRASS),
    ]


BUILDERS: dict[str, Builder] = {
    "hammer": sized(_hammer),
    "screwdriver": sized(_screwdriver),
    "pliers": sized(_pliers),
    "wrench": sized(_wrench),
    "saw": sized(_saw),
    "tape measure": sized(_tape_measure),
    "torch": sized(_torch),
    "drill": sized(_drill),
    "paint brush": sized(_paint_brush),
    "axe": sized(_axe),
    "padlock": sized(_padlock),
    "bell": sized(_bell),
}
