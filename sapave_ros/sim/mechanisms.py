"""What hands work: buttons, knobs on rails, drawers, doors and levers, each with one joint.

A mechanism stands on its base: the origin of its frame is the centre of the base, x away from who works it, y to
the left, z up. Its handle is where a hand acts; the handle's frame moves and turns with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from sapave_ros.sim.parts import Colour, Part, Vector, box, disc, rod, rotation
from sapave_ros.types import Floats

BAR_RADIUS_M, BAR_HALF_M, BAR_OFF_M = 0.007, 0.058, 0.055
"""Handles of drawers and doors: upright bars, so long that four fingers go between what holds them, whose middle stands
so far before the front that curled fingers go behind."""

KNOB_RADIUS_M, KNOB_HEIGHT_M = 0.014, 0.08
"""Posts that are pushed aside, and how high they stand."""

BUTTON_M, DRAWER_M, DOOR_RAD = 0.016, 0.15, 1.6
"""How far they move from zero."""
SLIDE_M, LEVER_RAD = 0.09, 0.85
"""How far they move to either side."""
LEVER_M = 0.10
"""From a lever's axis to its knob."""

_WALL_M = 0.007
_HOUSING: Colour = (0.82, 0.82, 0.80)
_METAL: Colour = (0.25, 0.26, 0.28)


@dataclass(frozen=True)
class Mechanism:
    """One of them. kind: of `KINDS`. position: centre of its base [m]. half_size: of its housing, in its own frame [m].
    start: where its joint stands at the start [m or rad]. mirrored: a door with its hinge on the right.
    """

    kind: str
    colour: str
    rgb: Colour
    position: Vector
    yaw_rad: float
    half_size: Vector
    start: float = 0.0
    mirrored: bool = False

    @property
    def name(self) -> str:
        """How a person calls it: "red button"."""
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True)
class Joint:
    """How the moving part moves: along, or about, the axis. anchor: a point on the axis of a turning one [m]. lower,
    upper: its stops [m or rad]; friction [N or N m], damping [N s/m or N m s/rad], stiffness [N/m] of a spring that
    presses with preload [N] towards zero.
    """

    slides: bool
    axis: Vector
    lower: float
    upper: float
    friction: float
    damping: float
    anchor: Vector = (0.0, 0.0, 0.0)
    stiffness: float = 0.0
    preload: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """What a mechanism is made of, in its frame, at joint zero. handle: parts of the moving one that a hand acts on;
    at: the middle of where it does [m].
    """

    fixed: tuple[Part, ...]
    moving: tuple[Part, ...]
    handle: tuple[Part, ...]
    at: Vector
    joint: Joint


def anatomy(mechanism: Mechanism) -> Anatomy:
    """Of that mechanism. Raises ValueError that lists the kinds."""
    return _anatomy(mechanism.kind, mechanism.half_size, mechanism.mirrored)


@cache
def _anatomy(kind: str, half_size: Vector, mirrored: bool) -> Anatomy:
    if kind not in _BUILDERS:
        raise ValueError(f"kind: no mechanism {kind!r}; there are {', '.join(KINDS)}")
    return _BUILDERS[kind](half_size, mirrored)


def handle_pose(mechanism: Mechanism, state: float) -> Floats:
    """Where the handle is in the world (4, 4) with the joint at that state [m or rad]."""
    own = anatomy(mechanism)
    joint = own.joint
    moved, at = np.eye(4), np.array(own.at)
    if joint.slides:
        moved[:3, 3] = at + state * np.array(joint.axis)
    else:
        moved[:3, :3] = _about_z(state * joint.axis[2])
        moved[:3, 3] = np.array(joint.anchor) + moved[:3, :3] @ (at - np.array(joint.anchor))
    base = np.eye(4)
    base[:3, :3], base[:3, 3] = _about_z(mechanism.yaw_rad), mechanism.position
    return base @ moved


def handle_centre(mechanism: Mechanism, state: float) -> Vector:
    """Where a hand acts on it, in the world [m]."""
    x, y, z = (float(v) for v in handle_pose(mechanism, state)[:3, 3])
    return (x, y, z)


def handle_points(mechanism: Mechanism, state: float, apart_m: float = 0.015) -> list[Vector]:
    """Points of the handle in the world [m], about so far apart: on the axes of its parts, and as far beside those as
    they are thick."""
    own, pose = anatomy(mechanism), handle_pose(mechanism, state)
    points = []
    for part in own.handle:
        radius, half = part.size
        axes = rotation(part.quaternion)
        for t in np.linspace(-half, half, 1 + math.ceil(2 * half / apart_m)):
            for side in (np.zeros(3), *(s * 0.8 * radius * axes[:, i] for s in (-1, 1) for i in (0, 1))):
                local = np.array(part.position) + t * axes[:, 2] + side - np.array(own.at)
                x, y, z = (float(v) for v in pose[:3, 3] + pose[:3, :3] @ local)
                points.append((x, y, z))
    return points


def _about_z(angle: float) -> Floats:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


# -- the kinds -----------------------------------------------------------------------------------


def _button(half: Vector, mirrored: bool) -> Anatomy:
    """On top of its box, pressed down against a spring."""
    x, y, z = half
    radius, height = 0.65 * min(x, y), BUTTON_M + 0.012
    cap = disc(radius, height / 2 + 0.004, (0.0, 0.0, 2 * z + height / 2 - 0.004))
    joint = Joint(True, (0.0, 0.0, -1.0), 0.0, BUTTON_M, 0.2, 4.0, stiffness=150.0, preload=3.0)
    return Anatomy((box(half, (0.0, 0.0, z), colour=_HOUSING),), (), (cap,), (0.0, 0.0, 2 * z + height), joint)


def _knob(half: Vector, mirrored: bool) -> Anatomy:
    """An upright post that slides to the left and to the right on its rail: positive to the left."""
    z = half[2]
    slit = box((0.005, SLIDE_M + 0.01, 0.001), (0.0, 0.0, 2 * z), colour=_METAL)
    post = disc(KNOB_RADIUS_M, KNOB_HEIGHT_M / 2, (0.0, 0.0, 2 * z + 0.002 + KNOB_HEIGHT_M / 2))
    joint = Joint(True, (0.0, 1.0, 0.0), -SLIDE_M, SLIDE_M, 1.0, 3.0)
    return Anatomy((box(half, (0.0, 0.0, z), colour=_HOUSING), slit), (), (post,), post.position, joint)


def _lever(half: Vector, mirrored: bool) -> Anatomy:
    """An arm on top of a pillar that points at who turns it, with an upright knob: positive to the left."""
    z = half[2]
    top = 2 * z + 0.012
    arm = box((LEVER_M / 2, 0.011, 0.008), (-LEVER_M / 2, 0.0, top), colour=_METAL)
    hub = disc(0.022, 0.012, (0.0, 0.0, top), colour=_METAL)
    post = disc(KNOB_RADIUS_M, KNOB_HEIGHT_M / 2, (-LEVER_M, 0.0, top + KNOB_HEIGHT_M / 2))
    joint = Joint(False, (0.0, 0.0, -1.0), -LEVER_RAD, LEVER_RAD, 0.08, 0.1)
    return Anatomy((box(half, (0.0, 0.0, z), colour=_HOUSING),), (arm, hub), (post,), post.position, joint)


def _drawer(half: Vector, mirrored: bool) -> Anatomy:
    """In a cabinet, pulled towards the front."""
    x, y, z = half
    inside, bottom = (x - 0.012, y - _WALL_M - 0.003), 2 * _WALL_M + 0.006
    height = z - 2 * _WALL_M
    moving = [
        box((_WALL_M, y, z), (-x - _WALL_M, 0.0, z)),
        box((inside[0], inside[1], 0.003), (0.0, 0.0, bottom), colour=_HOUSING),
        box((0.003, inside[1], 0.6 * height), (inside[0], 0.0, bottom + 0.6 * height), colour=_HOUSING),
        *(
            box((inside[0], 0.003, 0.6 * height), (0.0, s * inside[1], bottom + 0.6 * height), colour=_HOUSING)
            for s in (-1, 1)
        ),
    ]
    handle, at = _bar(-x - 2 * _WALL_M, 0.0, z)
    joint = Joint(True, (-1.0, 0.0, 0.0), 0.0, DRAWER_M, 1.5, 5.0)
    return Anatomy(_cabinet(half), tuple(moving), handle, at, joint)


def _door(half: Vector, mirrored: bool) -> Anatomy:
    """Of a cabinet, hinged on the left, pulled towards the front."""
    x, y, z = half
    side = -1.0 if mirrored else 1.0
    handle, at = _bar(-x - 2 * _WALL_M, -side * (y - 0.025), z)
    panel = box((_WALL_M, y, z), (-x - _WALL_M, 0.0, z))
    hinge = (-x - _WALL_M, side * (y - 0.004), 0.0)
    joint = Joint(False, (0.0, 0.0, -side), 0.0, DOOR_RAD, 0.15, 0.15, anchor=hinge)
    board = box((x - 0.01, y - 0.005, 0.004), (0.0, 0.0, z), colour=_HOUSING)
    return Anatomy((*_cabinet(half), board), (panel,), handle, at, joint)


def _cabinet(half: Vector) -> tuple[Part, ...]:
    """A box that is open in front."""
    x, y, z = half
    w = _WALL_M
    return (
        box((x, y, w), (0.0, 0.0, w), colour=_HOUSING),
        box((x, y, w), (0.0, 0.0, 2 * z - w), colour=_HOUSING),
        box((w, y, z), (x - w, 0.0, z), colour=_HOUSING),
        *(box((x, w, z), (0.0, s * (y - w), z), colour=_HOUSING) for s in (-1, 1)),
    )


def _bar(front: float, y: float, z: float) -> tuple[tuple[Part, ...], Vector]:
    """An upright handle before a front, and its middle."""
    x = front - BAR_OFF_M
    low, high = z - BAR_HALF_M, z + BAR_HALF_M
    legs = (rod(BAR_RADIUS_M, (x, y, end), (front, y, end), _METAL) for end in (low, high))
    return (rod(BAR_RADIUS_M, (x, y, low), (x, y, high), _METAL), *legs), (x, y, z)


_BUILDERS: dict[str, Callable[[Vector, bool], Anatomy]] = {
    "button": _button,
    "knob": _knob,
    "lever": _lever,
    "drawer": _drawer,
    "door": _door,
}

KINDS: tuple[str, ...] = tuple(_BUILDERS)
