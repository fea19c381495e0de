"""What there is in a room, in words, and what in it an instruction means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sapave_ros.learning.language import head_pose
from sapave_ros.learning.language.interpreter import in_order, read
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.live import PLAIN, ROOMS, live_room
from sapave_ros.sim.objects import COLOURS, KINDS, shape
from sapave_ros.sim.placement import seen
from sapave_ros.sim.rooms import Room

_INSIDE = "inside of the "


@dataclass(frozen=True)
class Told:
    """A room as the live simulator makes it, and what an instruction means in it.

    aim: all that is right to look at; nothing where the text is not understood or nothing fits, and then why_not says
    which of the two.
    """

    instruction: str
    room: Room
    aim: Aim
    why_not: str = ""


def rooms_help() -> str:
    """For `--room`."""
    return f"what kind of room the robot stands in: {', '.join(ROOMS)}"


def told(name: str, seed: int, instruction: str | None) -> Told:
    """What comes of an instruction in the room of that name and number; None for one that asks for a thing in it.

    Raises ValueError on a name that is not among `sim.live.ROOMS`.
    """
    if name == PLAIN:
        text = "look at the red mug" if instruction is None else instruction
        named = named_object(text)
        aim = Aim((" ".join(named),)) if named else Aim()
        why_not = "" if named else "the instruction names no colour and kind of the simulated world"
        return Told(text, live_room(name, seed, aim), aim, why_not)
    room = live_room(name, seed)
    text = f"look at the {_in_sight(room)}" if instruction is None else instruction
    aim, why_not = meaning(text, room)
    return Told(text, live_room(name, seed, aim), aim, why_not)


def meaning(text: str, room: Room) -> tuple[Aim, str]:
    """What a text asks to look at in a room, or nothing and why. Where some things are meant for certain, those about
    which people might disagree are not right."""
    try:
        reading = read(text, room)
    except ValueError as error:
        return Aim(), f"the instruction is not understood ({error})"
    goals = in_order(reading.sure or reading.maybe)
    if not goals:
        return Aim(), "nothing in this room fits the instruction"
    way = next((goal.direction for goal in goals if goal.direction is not None), None)
    if way is not None:
        yaw, pitch = head_pose(way)
        return Aim((way,), (float(yaw), float(pitch))), ""
    items = [room.scene.names[goal.item] for goal in goals if goal.item is not None]
    marks = [room.landmarks[goal.landmark].name for goal in goals if goal.landmark is not None]
    return Aim((*items, *marks)), ""


def named_object(instruction: str) -> tuple[str, str] | None:
    """The (colour, kind) that an instruction names, as far as the plain room has such things."""
    words = re.findall("[a-z]+", instruction.lower())
    colour = next((w for w in words if w in COLOURS), None)
    kind = next((w for w in words if w in KINDS), None)
    return (colour, kind) if colour and kind else None


def where(room: Room, name: str) -> str:
    """A thing with its place: "red mug on the table"; just its name where nothing is known of that."""
    if name not in room.scene.names or room.template == PLAIN:
        return name
    i = room.scene.index(name)
    if i >= len(room.scene.items):  # a mechanism, which stands by itself
        return name
    return f"{name} {room.preposition[i]} the {room.place[i].removeprefix(_INSIDE) or 'floor'}"


def listing(room: Room) -> list[str]:
    """What there is in a room, in lines."""
    lines = [f"room {room.template} {room.scene.seed}: {', '.join(where(room, name) for name in room.scene.names)}"]
    marks = [m.name for m in room.landmarks if not m.name.startswith(_INSIDE)]
    return lines + ([f"  with {', '.join(marks)}"] if marks else [])


def _in_sight(room: Room) -> str:
    """An item that no furniture hides, the first of all where there is none."""
    furniture = [room.scene.blocks[b] for m in room.landmarks for b in m.blocks]
    for item in room.scene.items:
        if seen(item.position, shape(item.kind, item.variant), furniture):
            return item.name
    return room.scene.names[0]
