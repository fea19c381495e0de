"""Stationery, and what has a plug or a battery."""

from __future__ import annotations

import math
from itertools import pairwise

from sapave_ros.sim.parts import ALONG_X, Builder, Part, about, arc, ball, box, disc, lathe, rod, sized, tube
from sapave_ros.sim.shapes.materials import (
    BRASS,
    CREAM,
    DARK,
    GLASS,
    GLOW,
    IRON,
    LEAF,
    PAPER,
    SCREEN,
    STEEL,
    WOOD,
)


def _pencil() -> list[Part]:
    tip = ((0, 0), (0.011, 0), (0.003, 0.026), (0, 0.026))
    return [
        tube(0.011, (-0.09, 0, 0.011), (0.07, 0, 0.011)),
        lathe(tip, (0.07, 0, 0.011), ALONG_X, WOOD),
        rod(0.0035, (0.092, 0, 0.011), (0.100, 0, 0.011), DARK),
        tube(0.0115, (-0.103, 0, 0.0115), (-0.09, 0, 0.0115), STEEL),
        rod(0.010, (-0.112, 0, 0.011), (-0.103, 0, 0.011), (0.88, 0.55, 0.55)),
    ]


def _scissors() -> list[Part]:
    parts: list[Part] = [disc(0.009, 0.009, (0.02, 0, 0.009), colour=IRON)]
    for s in (-1, 1):
        parts.append(box((0.062, 0.008, 0.003), (0.075, s * 0.014, 0.008 + 0.003 * s), about("z", s * 0.20), STEEL))
        parts.append(rod(0.006, (0.02, 0, 0.008), (-0.04, -s * 0.020, 0.008), STEEL))
        ring = [(0.030 * math.cos(a), 0.022 * math.sin(a)) for a in (0.0, math.pi / 3, 2 * math.pi / 3)]
        outline = [*ring, *((-x, -y) for x, y in ring), ring[0]]
        for (x0, y0), (x1, y1) in pairwise(outline):
            cx, cy = -0.068, -s * 0.032
            parts.append(rod(0.0065, (cx + x0, cy + y0, 0.008), (cx + x1, cy + y1, 0.008)))
    return parts


def _stapler() -> list[Part]:
    return [
        box((0.085, 0.021, 0.009), (0, 0, 0.009), colour=DARK),
        box((0.083, 0.019, 0.012), (-0.002, 0, 0.052), about("y", 0.16)),
        box((0.072, 0.012, 0.006), (-0.004, 0, 0.036), about("y", 0.13), STEEL),
        box((0.016, 0.020, 0.020), (0.066, 0, 0.028)),
    ]


def _calculator() -> list[Part]:
    keys = [box((0.013, 0.050, 0.003), (x, 0, 0.021), colour=CREAM) for x in (-0.068, -0.036, -0.004)]
    gaps = [box((0.062, 0.0022, 0.0035), (-0.035, y, 0.0212)) for y in (-0.026, 0.0, 0.026)]
    return [
        box((0.095, 0.058, 0.009), (0, 0, 0.010)),
        box((0.024, 0.048, 0.002), (0.056, 0, 0.019), colour=(0.60, 0.68, 0.56)),
        *keys,
        *gaps,
    ]


def _globe() -> list[Part]:
    land = [
        ball(r, p, LEAF)
        for r, p in ((0.045, (-0.034, 0.02, 0.165)), (0.038, (0.03, -0.03, 0.125)), (0.040, (0.014, 0.040, 0.14)))
    ]
    return [
        lathe(((0, 0), (0.062, 0), (0.058, 0.012), (0.010, 0.022), (0.010, 0.05), (0, 0.05)), colour=WOOD),
        ball(0.076, (0, 0, 0.145)),
        *land,
        *arc(0.005, 0.086, (0, 0, 0.145), -1.5, 1.2, 4, BRASS),
    ]


def _phone() -> list[Part]:
    return [
        box((0.082, 0.041, 0.006), (0, 0, 0.006)),
        box((0.074, 0.037, 0.001), (0, 0, 0.0122), colour=SCREEN),
        disc(0.005, 0.0012, (-0.078, 0, 0.012), colour=STEEL),
    ]


def _laptop() -> list[Part]:
    screen = about("y", 0.30)
    return [
        box((0.105, 0.150, 0.009), (0, 0, 0.009)),
        box((0.050, 0.135, 0.001), (0.030, 0, 0.0185), colour=DARK),
        box((0.024, 0.040, 0.001), (-0.060, 0, 0.0185), colour=IRON),
        box((0.005, 0.150, 0.100), (0.135, 0, 0.112), screen),
        box((0.001, 0.140, 0.088), (0.1292, 0, 0.1155), screen, SCREEN),
    ]


def _remote_control() -> list[Part]:
    buttons = [disc(0.006, 0.002, (x, y, 0.021), colour=CREAM) for x in (-0.04, -0.01) for y in (-0.012, 0.012)]
    return [
        box((0.090, 0.026, 0.010), (0, 0, 0.010)),
        disc(0.017, 0.002, (0.030, 0, 0.020), colour=STEEL),
        *buttons,
        disc(0.006, 0.002, (0.072, 0.0, 0.021), colour=(0.8, 0.1, 0.1)),
    ]


def _camera() -> list[Part]:
    return [
        box((0.022, 0.062, 0.038), (0, 0, 0.038)),
        box((0.018, 0.020, 0.010), (0, 0, 0.084)),
        tube(0.032, (-0.02, 0, 0.038), (-0.058, 0, 0.038), DARK),
        disc(0.024, 0.002, (-0.058, 0, 0.038), ALONG_X, GLASS),
        disc(0.009, 0.006, (0, -0.045, 0.080), colour=STEEL),
        box((0.003, 0.012, 0.006), (-0.021, 0.042, 0.062), colour=GLOW),
    ]


def _headphones() -> list[Part]:
    return [
        *arc(0.009, 0.080, (0, 0, 0.095), 0.0, math.pi, 7),
        *(disc(0.040, 0.017, (s * 0.082, 0, 0.075), ALONG_X) for s in (-1, 1)),
        *(disc(0.034, 0.008, (s * 0.062, 0, 0.075), ALONG_X, DARK) for s in (-1, 1)),
    ]


def _lamp() -> list[Part]:
    shade = ((0.0, 0.0), (0.072, 0.0), (0.026, 0.085), (0, 0.085))
    return [
        disc(0.070, 0.010, (0, 0, 0.010), colour=IRON),
        *(
            rod(0.008, a, b, STEEL)
            for a, b in (((0.0, 0, 0.015), (0.06, 0, 0.15)), ((0.06, 0, 0.15), (-0.035, 0, 0.27)))
        ),
        lathe(shade, (-0.062, 0, 0.212), about("y", 0.45)),
        ball(0.026, (-0.064, 0, 0.211), GLOW),
    ]


def _alarm_clock() -> list[Part]:
    return [
        disc(0.058, 0.024, (0, 0, 0.070), ALONG_X),
        disc(0.050, 0.002, (-0.0245, 0, 0.070), ALONG_X, PAPER),
        rod(0.003, (-0.028, 0, 0.070), (-0.028, 0, 0.108), DARK),
        rod(0.004, (-0.028, 0, 0.070), (-0.028, -0.025, 0.060), DARK),
        *(lathe(((0, 0), (0.024, 0), (0, 0.022)), (0, s * 0.034, 0.122), about("x", -s * 0.5), STEEL) for s in (-1, 1)),
        *(rod(0.007, (0, s * 0.030, 0.025), (0, s * 0.042, 0.007), IRON) for s in (-1, 1)),
    ]


def _radio() -> list[Part]:
    return [
        box((0.032, 0.110, 0.062), (0, 0, 0.062)),
        disc(0.045, 0.002, (-0.033, 0.052, 0.062), ALONG_X, IRON),
        box((0.002, 0.040, 0.012), (-0.033, -0.052, 0.090), colour=CREAM),
        *(disc(0.014, 0.008, (-0.036, y, 0.045), ALONG_X, STEEL) for y in (-0.075, -0.030)),
        tube(0.003, (0.0, -0.098, 0.12), (0.0, -0.03, 0.245), STEEL),
    ]


BUILDERS: dict[str, Builder] = {
    "pencil": sized(_pencil),
    "scissors": sized(_scissors),
    "stapler": sized(_stapler),
    "calculator": sized(_calculator),
    "globe": sized(_globe),
    "phone": sized(_phone),
    "laptop": sized(_laptop),
    "remote control": sized(_remote_control),
    "camera": sized(_camera),
    "headphones": sized(_headphones),
    "lamp": sized(_lamp),
    "alarm clock": sized(_alarm_clock),
    "radio": sized(_radio),
}
