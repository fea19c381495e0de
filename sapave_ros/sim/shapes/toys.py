"""Things to play and to train with."""

from __future__ import annotations

import math

from sapave_ros.sim.parts import ALONG_X, ALONG_Y, Builder, Part, about, ball, box, disc, egg, lathe, rod, sized, tube
from sapave_ros.sim.shapes.materials import BRASS, CREAM, DARK, DARK_WOOD, GLASS, GLOW, IRON, RUBBER, STEEL, WOOD


def _wheels(radius: float, x: float, y: float, half: float = 0.008) -> list[Part]:
    return [disc(radius, half, (a * x, b * y, radius), ALONG_Y, RUBBER) for a in (-1, 1) for b in (-1, 1)]


def _teddy_bear() -> list[Part]:
    limbs = [egg((0.020, 0.020, 0.038), (-0.022, s * 0.052, 0.085), about("x", s * 0.8)) for s in (-1, 1)]
    legs = [egg((0.042, 0.024, 0.024), (-0.045, s * 0.036, 0.024), about("z", -s * 0.3)) for s in (-1, 1)]
    ears = [ball(0.018, (0.0, s * 0.038, 0.193)) for s in (-1, 1)]
    return [
        egg((0.045, 0.050, 0.060), (0, 0, 0.065)),
        ball(0.046, (0, 0, 0.155)),
        *limbs,
        *legs,
        *ears,
        egg((0.018, 0.022, 0.018), (-0.040, 0, 0.147), colour=CREAM),
        ball(0.007, (-0.058, 0, 0.150), DARK),
    ]


def _toy_car() -> list[Part]:
    return [
        box((0.085, 0.040, 0.020), (0, 0, 0.037)),
        box((0.045, 0.035, 0.019), (0.008, 0, 0.074)),
        box((0.0455, 0.030, 0.012), (0.008, 0, 0.075), colour=GLASS),
        *_wheels(0.022, 0.052, 0.040),
    ]


def _toy_train() -> list[Part]:
    return [
        box((0.095, 0.038, 0.012), (0, 0, 0.035), colour=DARK),
        tube(0.032, (-0.085, 0, 0.075), (0.03, 0, 0.075)),
        box((0.034, 0.038, 0.048), (0.058, 0, 0.095)),
        box((0.042, 0.044, 0.006), (0.058, 0, 0.148), colour=DARK),
        lathe(((0, 0), (0.011, 0), (0.019, 0.045), (0, 0.045)), (-0.060, 0, 0.10), colour=BRASS),
        *_wheels(0.024, 0.058, 0.040),
    ]


def _toy_house() -> list[Part]:
    roof = [box((0.062, 0.062, 0.004), (s * 0.038, 0, 0.128), about("y", s * 0.72), DARK_WOOD) for s in (-1, 1)]
    gable = box((0.044, 0.0515, 0.044), (0, 0, 0.092), about("y", math.pi / 4))
    return [
        box((0.070, 0.052, 0.050), (0, 0, 0.050)),
        gable,
        *roof,
        box((0.001, 0.015, 0.026), (-0.0705, 0.022, 0.026), colour=DARK_WOOD),
        box((0.001, 0.014, 0.014), (-0.0705, -0.022, 0.058), colour=GLASS),
    ]


def _toy_robot() -> list[Part]:
    eyes = [ball(0.009, (-0.033, s * 0.017, 0.168), GLOW) for s in (-1, 1)]
    return [
        box((0.030, 0.044, 0.042), (0, 0, 0.092)),
        box((0.032, 0.034, 0.026), (0, 0, 0.163), colour=STEEL),
        *(box((0.016, 0.012, 0.040), (0, s * 0.058, 0.090), colour=STEEL) for s in (-1, 1)),
        *(box((0.026, 0.017, 0.025), (-0.004, s * 0.023, 0.025), colour=IRON) for s in (-1, 1)),
        *eyes,
        rod(0.003, (0, 0, 0.19), (0, 0, 0.215), DARK),
    ]


def _rubber_duck() -> list[Part]:
    return [
        egg((0.058, 0.042, 0.036), (0, 0, 0.036)),
        egg((0.022, 0.018, 0.016), (0.056, 0, 0.055), about("y", -0.6)),
        ball(0.032, (-0.030, 0, 0.088)),
        egg((0.017, 0.017, 0.006), (-0.064, 0, 0.084), colour=(0.95, 0.45, 0.05)),
        *(ball(0.006, (-0.052, s * 0.018, 0.100), DARK) for s in (-1, 1)),
    ]


def _skittle() -> list[Part]:
    outline = (
        (0, 0), (0.026, 0), (0.040, 0.06), (0.041, 0.09), (0.022, 0.155), (0.018, 0.175), (0.026, 0.205),
        (0.018, 0.235), (0, 0.242),
    )  # fmt: skip
    stripes = [disc(0.0235, 0.005, (0, 0, z), colour=CREAM) for z in (0.154, 0.170)]
    return [lathe(outline), *stripes]


def _stacking_rings() -> list[Part]:
    sizes = ((0.060, 0.015), (0.050, 0.045), (0.040, 0.075), (0.030, 0.105))
    rings = []
    for i, (r, z) in enumerate(sizes):
        a = 0.0155
        outline = ((0, z - a), (r - a, z - a), (r, z - a / 2), (r, z + a / 2), (r - a, z + a), (0, z + a))
        rings.append(lathe(outline, colour=None if i % 2 == 0 else CREAM))
    return [*rings, ball(0.019, (0, 0, 0.135))]


def _toy_plane() -> list[Part]:
    return [
        rod(0.021, (-0.09, 0, 0.045), (0.085, 0, 0.050)),
        box((0.028, 0.135, 0.004), (-0.020, 0, 0.045)),
        box((0.016, 0.050, 0.003), (0.092, 0, 0.055)),
        box((0.016, 0.003, 0.026), (0.096, 0, 0.082)),
        egg((0.028, 0.015, 0.016), (-0.045, 0, 0.064), colour=GLASS),
        box((0.002, 0.006, 0.042), (-0.116, 0, 0.045), colour=DARK),
        *(disc(0.014, 0.004, (-0.045, s * 0.03, 0.014), ALONG_Y, RUBBER) for s in (-1, 1)),
    ]


def _drum() -> list[Part]:
    sticks = [rod(0.006, (-0.09, s * 0.03, 0.128), (0.07, s * 0.055, 0.128), WOOD) for s in (-1, 1)]
    return [
        disc(0.085, 0.052, (0, 0, 0.057)),
        *(disc(0.089, 0.007, (0, 0, z), colour=CREAM) for z in (0.007, 0.107)),
        *sticks,
    ]


def _dumbbell() -> list[Part]:
    return [
        tube(0.012, (-0.07, 0, 0.045), (0.07, 0, 0.045), STEEL),
        *(disc(0.045, 0.017, (s * 0.072, 0, 0.045), ALONG_X) for s in (-1, 1)),
        *(disc(0.033, 0.014, (s * 0.102, 0, 0.045), ALONG_X) for s in (-1, 1)),
    ]


def _racket() -> list[Part]:
    return [
        disc(0.078, 0.009, (0.06, 0, 0.013)),
        disc(0.074, 0.0095, (0.06, 0, 0.013), colour=WOOD),
        disc(0.0765, 0.003, (0.06, 0, 0.0205)),
        rod(0.013, (-0.03, 0, 0.013), (-0.115, 0, 0.013), WOOD),
    ]


def _dice() -> list[Part]:
    d = 0.0405
    pips = [ball(0.0095, (x, y, 2 * d - 0.004), CREAM) for x, y in ((0, 0), (-0.02, -0.02), (0.02, 0.02))]
    front = [ball(0.0095, (-d + 0.004, y, d + z), CREAM) for y, z in ((-0.018, -0.018), (0.018, 0.018))]
    return [box((d, d, d), (0, 0, d)), *pips, *front, ball(0.0095, (0, -d + 0.004, d), CREAM)]


BUILDERS: dict[str, Builder] = {
    "teddy bear": sized(_teddy_bear),
    "toy car": sized(_toy_car),
    "toy train": sized(_toy_train),
    "toy house": sized(_toy_house),
    "toy robot": sized(_toy_robot),
    "rubber duck": sized(_rubber_duck),
    "skittle": sized(_skittle),
    "stacking rings": sized(_stacking_rings),
    "toy plane": sized(_toy_plane),
    "drum": sized(_drum),
    "dumbbell": sized(_dumbbell),
    "racket": sized(_racket),
    "dice": sized(_dice),
}
