"""In which room the live simulated robot stands, and where its head is turned at the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sapave_ros.names import known
from sapave_ros.sim.aim import NOTHING, Aim
from sapave_ros.sim.objects import COLOURS, KINDS
from sapave_ros.sim.placement import direction_from_eye
from sapave_ros.sim.rooms import TEMPLATES, Room, make_room
from sapave_ros.sim.scene import FARTHEST_YAW_RAD, OUT_OF_VIEW_YAW_RAD, Scene, demo_scene

PLAIN = "plain"
"""The room of `scene.random_scene`: a table, a shelf and a stool with things of ten kinds."""

DEFAULT_ROOM = "tabletop"
"""Where `sapave demo` and `sapave up --sim` put the robot: of `ROOMS`, one that the shipped policy has learned."""

ROOMS: tuple[str, ...] = (PLAIN, *TEMPLATES)

_TURNS = 64


def live_room(name: str, seed: int, aim: Aim = NOTHING) -> Room:
    """A room of `ROOMS` with that number, in which the head does not see at the start what it is to look at.

    Raises ValueError on an unknown room, and where it has nothing of a name of the aim.
    """
    known("room", name, ROOMS)
    if name == PLAIN:
        return Room.bare(_plain(seed, aim), PLAIN)
    room = make_room(name, seed)
    aim.check(room)
    return replace(room, scene=replace(room.scene, head=_away(room, aim, seed)))


def _plain(seed: int, aim: Aim) -> Scene:
    if not aim.names:
        return demo_scene(seed)
    colour, _, kind = " or ".join(aim.names).partition(" ")
    if colour not in COLOURS or kind not in KINDS:
        raise ValueError(
            f"target: {aim.name!r}, expected a colour ({', '.join(COLOURS)}) and a kind ({', '.join(KINDS)})"
        )
    return demo_scene(seed, (colour, kind))


def _away(room: Room, aim: Aim, seed: int) -> tuple[float, float]:
    """A head pose from which none of what is aimed at is in view, or all of it is far to a side; the room's own for no
    aim."""
    scene = room.scene
    centres = {m.name: m.centre for m in room.landmarks} | {i.name: i.position for i in scene.items}
    yaws = [direction_from_eye(centres[name])[0] for name in aim.names] if aim.pose is None else [aim.pose[0]]
    if not yaws:
        yaw, pitch = scene.head
        return yaw, pitch
    random = np.random.default_rng([seed, 0xD4])
    turns = random.uniform(-FARTHEST_YAW_RAD, FARTHEST_YAW_RAD, _TURNS)
    nearest = np.abs(turns[:, None] - np.array(yaws)).min(axis=1)
    out = np.flatnonzero(nearest > OUT_OF_VIEW_YAW_RAD)
    best = out[0] if len(out) else nearest.argmax()
    return float(turns[best]), float(random.uniform(0.1, 0.6))
