"""The robot's body as the clearance model sees it: beads on the moving arms, rounded boxes for all that stands.

A capsule is written as a row of beads close enough to cover it, so that every distance is one between points.
Lengths are m. The sizes follow the collision shapes of `models/g1/g1.urdf`, and a test holds them against those.

Where the model says more room than there is: fingers count as open, with the thumb turned as commanded; half-closed
fingers stand out by up to 30 mm on the side of the palm. Where it says less: the head is all that camera and mount
sweep, a thigh all from a straight leg to a hip bent by 0.4 rad, a thumb all from open to bent; elsewhere beads stand
out by up to 12 mm. Waist and legs are not followed: the waist is taken as held upright, the legs as standing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sapave_ros import g1

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Bead:
    """A ball of an arm. part: what a message calls it. link: the joint of the chain that carries it."""

    part: str
    joint: str
    centre: Point  # in the joint's child link
    radius: float


@dataclass(frozen=True)
class Block:
    """A box along the axes of torso_link, rounded: all points within `radius` of it. Zero sides make it a ball."""

    part: str
    centre: Point
    half: Point
    radius: float


def _row(part: str, joint: str, start: Point, end: Point, radii: tuple[float, ...]) -> tuple[Bead, ...]:
    n = len(radii) - 1
    centres = [tuple(a + (b - a) * i / n for a, b in zip(start, end, strict=True)) for i in range(n + 1)]
    return tuple(Bead(part, joint, (x, y, z), r) for (x, y, z), r in zip(centres, radii, strict=True))


_LEFT_ARM = (
    *_row("upper arm", "shoulder_roll", (0.0, 0.0057, -0.0125), (0.0, 0.0043, -0.0875), (0.0365,) * 4),
    *_row("upper arm", "shoulder_yaw", (0.0013, 0.0, -0.0070), (0.0067, 0.0, -0.0730), (0.0385,) * 3),
    *_row("forearm", "elbow", (0.017, 0.0007, -0.0058), (0.083, 0.0017, -0.0092), (0.0370,) * 3),
    *_row("forearm", "elbow", (0.112, 0.0019, -0.010), (0.138, 0.0019, -0.010), (0.0345, 0.0360)),
    *_row("hand", "wrist_yaw", (0.0, 0.0, 0.0), (0.037, 0.0, 0.0), (0.0370, 0.0360)),
    *_row("hand", "wrist_yaw", (0.076, 0.0, 0.0195), (0.228, 0.0, 0.0195), (0.0345,) * 5),
    *_row("hand", "wrist_yaw", (0.076, 0.0, -0.0195), (0.228, 0.0, -0.0195), (0.0345,) * 5),
)
# From open to bent, wherever it is turned to.
_LEFT_THUMB, _RIGHT_THUMB = (
    tuple(Bead("thumb", "thumb_proximal_yaw", centre, 0.033) for centre in centres)
    for centres in (
        ((0.031, 0.005, 0.007), (0.028, 0.004, 0.054), (0.068, 0.013, 0.053)),
        ((-0.030, 0.009, 0.007), (-0.028, 0.005, 0.055), (-0.069, 0.017, 0.054)),
    )
)


def _of_side(side: str, bead: Bead) -> Bead:
    finger = bead.joint.startswith("thumb")
    x, y, z = bead.centre
    return replace(
        bead,
        part=f"{side} {bead.part}",
        joint=f"{side[0].upper() if finger else side}_{bead.joint}_joint",
        centre=(x, -y, z) if side == "right" and not finger else bead.centre,
    )


BEADS: tuple[Bead, ...] = (
    *(_of_side("left", b) for b in _LEFT_ARM + _LEFT_THUMB),
    *(_of_side("right", b) for b in _LEFT_ARM + _RIGHT_THUMB),
)
"""Both arms, the left one first, alike in order: upper arm, forearm, hand, thumb."""

FOREARM = sum(b.part == "left upper arm" for b in BEADS)
HAND = FOREARM + sum(b.part == "left forearm" for b in BEADS)
"""Where these begin among the beads of an arm."""

ARMS = frozenset(b.part for b in BEADS)
"""All parts of arms."""


def _both_sides(part: str, centre: Point, half: Point, radius: float) -> tuple[Block, Block]:
    x, y, z = centre
    return Block(f"left {part}", centre, half, radius), Block(f"right {part}", (x, -y, z), half, radius)


BLOCKS: tuple[Block, ...] = (
    Block("torso", (0.006, 0.0, 0.20), (0.0675, 0.10, 0.10), 0.0),
    Block("waist", (0.0, 0.0, 0.05), (0.0, 0.0, 0.05), 0.055),
    Block("head", (0.004, 0.0, 0.36), (0.0, 0.0, 0.06), 0.045),  # the neck
    Block("head", (-0.016, 0.0, 0.459), (0.0, 0.0, 0.0), 0.052),
    Block("head", (0.062, 0.0, 0.473), (0.045, 0.073, 0.015), 0.030),  # the camera, wherever it looks
    Block("pelvis", (0.004, 0.0, -0.124), (0.0, 0.0, 0.0), 0.070),
    *_both_sides("thigh", (0.004, 0.122, -0.172), (0.027, 0.030, 0.027), 0.0135),  # the hip
    *_both_sides("thigh", (0.058, 0.1165, -0.205), (0.035, 0.0, 0.05), 0.046),
    *_both_sides("thigh", (0.075, 0.1165, -0.38), (0.065, 0.0, 0.08), 0.046),
    *_both_sides("shoulder", (0.004, 0.141, 0.251), (0.024, 0.031, 0.027), 0.014),
)

# Which part of an arm may meet what: all but neighbours, which a joint joins, and what is out of its reach.
_STANDING = {
    "upper arm": ("torso", "waist", "head"),
    "forearm": ("torso", "waist", "head", "pelvis", "left thigh", "right thigh", "other shoulder"),
    "hand": ("torso", "waist", "head", "pelvis", "left thigh", "right thigh", "other shoulder", "own shoulder"),
    "thumb": ("torso", "waist", "head", "pelvis", "left thigh", "right thigh", "other shoulder", "own shoulder"),
}
_OWN_ARM = (("hand", "upper arm"), ("thumb", "upper arm"))


def _pairs() -> tuple[tuple[str, str], ...]:
    pairs = []
    for own, other in (("left", "right"), ("right", "left")):
        for part, obstacles in _STANDING.items():
            for obstacle in obstacles:
                pairs.append((f"{own} {part}", obstacle.replace("own", own).replace("other", other)))
        pairs += [(f"{own} {a}", f"{own} {b}") for a, b in _OWN_ARM]
    pairs += [(f"left {a}", f"right {b}") for a in _STANDING for b in _STANDING]
    return tuple(pairs)


PAIRS: tuple[tuple[str, str], ...] = _pairs()
"""What is kept apart. A first part is always of an arm."""


def stop_margin(pair: tuple[str, str]) -> float:
    """The room [m] that a command leaves between two parts."""
    near = pair[0].endswith("upper arm") and pair[1] == "torso"
    return g1.SHOULDER_MARGIN_M if near else g1.SELF_MARGIN_M
