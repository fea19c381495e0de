"""Things that hold a drink, a meal or water."""

from __future__ import annotations

import math

from sapave_ros.sim.parts import Builder, Part, about, arc, ball, box, disc, lathe, rod, shell, sized, tube
from sapave_ros.sim.shapes.materials import COFFEE, CREAM, DARK, GLASS, PLASTIC, STEEL


def _plate() -> list[Part]:
    return [
        shell([(0, 0), (0.065, 0), (0.085, 0.014), (0.125, 0.022)], 0.006),
        disc(0.062, 0.0008, (0, 0, 0.007), colour=CREAM),
    ]


def _glass() -> list[Part]:
    return [shell([(0, 0), (0.031, 0), (0.041, 0.14)], 0.004), disc(0.034, 0.001, (0, 0, 0.095), colour=GLASS)]


def _wine_glass() -> list[Part]:
    bowl = [(0.006, 0.10), (0.034, 0.125), (0.046, 0.16), (0.045, 0.19), (0.037, 0.225)]
    inside = [(r - 0.004, z + 0.003) for r, z in reversed(bowl[1:])]
    profile = ((0, 0), (0.040, 0), (0.038, 0.005), (0.007, 0.014), (0.006, 0.05), *bowl, *inside, (0, 0.12))
    return [lathe(profile)]


def _jug() -> list[Part]:
    outline = [(0, 0), (0.055, 0), (0.072, 0.06), (0.064, 0.13), (0.045, 0.18), (0.056, 0.23)]
    lip = box((0.020, 0.017, 0.004), (-0.062, 0, 0.226), about("y", 0.5))
    return [shell(outline, 0.006), lip, *arc(0.009, 0.062, (0.046, 0, 0.125), -1.35, 1.35, 4)]


def _thermos() -> list[Part]:
    return [
        disc(0.042, 0.10, (0, 0, 0.10)),
        disc(0.043, 0.008, (0, 0, 0.008), colour=DARK),
        disc(0.036, 0.012, (0, 0, 0.212), colour=DARK),
        disc(0.040, 0.035, (0, 0, 0.255), colour=STEEL),
    ]


def _jar() -> list[Part]:
    glass = ((0, 0), (0.052, 0), (0.056, 0.01), (0.056, 0.095), (0.044, 0.115), (0, 0.115))
    return [
        lathe(glass, colour=GLASS),
        disc(0.0575, 0.026, (0, 0, 0.052)),
        disc(0.050, 0.012, (0, 0, 0.126)),
    ]


def _kettle() -> list[Part]:
    body = ((0, 0), (0.088, 0), (0.094, 0.02), (0.078, 0.08), (0.050, 0.115), (0, 0.125))
    return [
        lathe(body),
        rod(0.014, (-0.075, 0, 0.06), (-0.125, 0, 0.115)),
        ball(0.014, (0, 0, 0.135), DARK),
        *arc(0.009, 0.082, (0, 0, 0.105), 0.15, math.pi - 0.15, 5, DARK),
    ]


def _teacup() -> list[Part]:
    cup = shell([(0, 0.012), (0.026, 0.012), (0.044, 0.04), (0.050, 0.072)], 0.004)
    return [
        shell([(0, 0), (0.045, 0), (0.080, 0.016)], 0.004),
        cup,
        disc(0.043, 0.001, (0, 0, 0.058), colour=COFFEE),
        *arc(0.005, 0.019, (0.046, 0, 0.045), -1.4, 1.4, 4),
    ]


def _bucket() -> list[Part]:
    return [
        shell([(0, 0), (0.095, 0), (0.125, 0.19)], 0.006),
        disc(0.100, 0.001, (0, 0, 0.03), colour=DARK),
        *arc(0.005, 0.124, (0, 0, 0.18), 0.0, math.pi, 6, STEEL),
    ]


def _watering_can() -> list[Part]:
    return [
        shell([(0, 0), (0.075, 0), (0.070, 0.15)], 0.006),
        rod(0.013, (-0.060, 0, 0.045), (-0.170, 0, 0.185)),
        lathe(((0, 0), (0.012, 0), (0.034, 0.035), (0, 0.035)), (-0.165, 0, 0.178), about("y", -0.67)),
        *arc(0.009, 0.075, (0.05, 0, 0.105), -1.1, 1.9, 5),
    ]


def _pot() -> list[Part]:
    return [
        disc(0.110, 0.065, (0, 0, 0.065)),
        lathe(((0, 0), (0.114, 0), (0.110, 0.012), (0.05, 0.03), (0, 0.032)), (0, 0, 0.13), colour=STEEL),
        ball(0.017, (0, 0, 0.172), DARK),
        box((0.025, 0.035, 0.007), (0.125, 0, 0.10), colour=DARK),
        box((0.025, 0.035, 0.007), (-0.125, 0, 0.10), colour=DARK),
    ]


def _spray_bottle() -> list[Part]:
    body = ((0, 0), (0.042, 0), (0.044, 0.02), (0.042, 0.11), (0.020, 0.165), (0.016, 0.19), (0, 0.19))
    return [
        lathe(body),
        disc(0.022, 0.014, (0, 0, 0.20), colour=PLASTIC),
        box((0.045, 0.014, 0.016), (-0.022, 0, 0.228), colour=PLASTIC),
        tube(0.009, (-0.066, 0, 0.232), (-0.085, 0, 0.232), DARK),
        box((0.006, 0.009, 0.026), (-0.042, 0, 0.192), about("y", -0.35), DARK),
    ]


BUILDERS: dict[str, Builder] = {
    "plate": sized(_plate),
    "glass": sized(_glass),
    "wine glass": sized(_wine_glass),
    "jug": sized(_jug),
    "thermos": sized(_thermos),
    "jar": sized(_jar),
    "kettle": sized(_kettle),
    "teacup": sized(_teacup),
    "bucket": sized(_bucket),
    "watering can": sized(_watering_can),
    "pot": sized(_pot),
    "spray bottle": sized(_spray_bottle),
}
