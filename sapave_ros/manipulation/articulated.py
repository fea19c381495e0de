"""Settings with something to work: a button, a knob on a rail, a lever, a drawer, a door; on the table, in reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sapave_ros.manipulation.draft import Draft, Spot
from sapave_ros.manipulation.settings import CONDITIONS, Setting
from sapave_ros.sim.mechanisms import BUTTON_M, LEVER_RAD, SLIDE_M, Mechanism, handle_centre, handle_pose
from sapave_ros.sim.objects import COLOURS, random_colour
from sapave_ros.sim.parts import Vector
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

PRESSED_M = 0.75 * BUTTON_M
AT_END_M = 0.015
"""A knob counts as slid so close to the end of its rail."""
TURNED_RAD = math.radians(60.0)
DRAWER_OPEN_M, DRAWER_SHUT_M = 0.08, 0.01
DOOR_OPEN_RAD, DOOR_SHUT_RAD = math.radians(50.0), math.radians(5.0)
"""From where on, or up to where, each counts as turned, open, shut."""

_BEYOND_X_M = (0.58, 0.66)
"""Where things stand that nobody asks for."""


@dataclass(frozen=True)
class Working(Setting):
    """The joint of a mechanism is to be moved. enough: the state from which on it counts as done; wanted: beyond it,
    where a hand brings it [m or rad].
    """

    enough: float
    wanted: float

    @property
    def mechanism(self) -> Mechanism:
        return next(m for m in self.scene.mechanisms if m.name == self.target)

    @property
    def direction(self) -> float:
        """In which the joint is to move, 1 or -1."""
        return math.copysign(1.0, self.wanted - self.mechanism.start)

    def left(self, world: World) -> float:
        """How much is still missing [m or rad]; negative beyond enough."""
        return self.direction * (self.enough - world.joint_state(self.target))

    def points(self, world: World) -> Floats:
        """Where the handle is now, and where it is to be, (2, 3) [m] in the world."""
        return np.stack([world.pose(self.target)[:3, 3], handle_pose(self.mechanism, self.wanted)[:3, 3]])


@dataclass(frozen=True)
class _Asked:
    """What a kind of task puts on the table, on the left side, and what it asks for. others: mechanisms besides.
    elsewhere, beyond: where other things stand, as `Draft.scene` has it.
    """

    mechanism: Mechanism
    enough: float
    wanted: float
    instruction: str
    others: tuple[Mechanism, ...] = ()
    elsewhere: float = 0.3
    beyond: Spot = _BEYOND_X_M


def press(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A button to press, and another to leave alone."""
    return _setting("press", 0xB77, seed, condition, _button)


def slide(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A knob to slide along its rail."""
    return _setting("slide", 0x51D, seed, condition, _knob)


def turn(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A lever to turn."""
    return _setting("turn", 0x7E4, seed, condition, _lever)


def open_drawer(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A drawer to pull."""
    return _setting("open the drawer", 0xD4A, seed, condition, _shut_drawer)


def close_drawer(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A drawer to push in."""
    return _setting("close the drawer", 0xD4C, seed, condition, _open_drawer)


def open_door(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A door to pull open."""
    return _setting("open the door", 0xD00, seed, condition, _shut_door)


def close_door(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A door to push shut."""
    return _setting("close the door", 0xD0C, seed, condition, _open_door)


def _setting(task: str, tag: int, seed: int, condition: str, draw: Callable[[Draft], _Asked]) -> Working:
    """The same for the same seed and condition, on every machine. The conditions of a seed differ in nothing but where
    the head looks at the start, or in what hangs before the handle. Raises ValueError on an unknown condition."""
    draft = Draft(seed, tag, condition)
    asked = draw(draft)
    mechanisms = [_on_side(mechanism, draft.sign) for mechanism in (asked.mechanism, *asked.others)]
    scene = draft.scene_with(mechanisms, elsewhere=asked.elsewhere, beyond=asked.beyond)
    name = mechanisms[0].name
    return Working(task, seed, condition, scene, name, draft.side, asked.instruction, asked.enough, asked.wanted)


def _on_side(of: Mechanism, sign: float) -> Mechanism:
    """Where it stands for the hand of that side."""
    x, y, z = of.position
    return replace(of, position=(x, sign * y, z), yaw_rad=sign * of.yaw_rad, mirrored=sign < 0)


def _mechanism(
    draft: Draft, kind: str, at: Spot, yaw: float, half_size: Vector, start: float = 0.0, but: str = ""
) -> Mechanism:
    """On the table, in a colour of its own, other than `but`."""
    colour = str(draft.random.choice([name for name in COLOURS if name != but]))
    x, y, z, a, b, c = (round(v, 4) for v in (*at, draft.height, *half_size))
    rgb = random_colour(colour, draft.random)
    return Mechanism(kind, colour, rgb, (x, y, z), round(yaw, 4), (a, b, c), round(start, 4))


def _to_left(draft: Draft) -> tuple[float, str]:
    """Whether to the left or to the right: 1 or -1, and the word."""
    return (1.0, "left") if draft.random.random() < 0.5 else (-1.0, "right")


# -- what each task puts on the table --------------------------------------------------------------


def _button(draft: Draft) -> _Asked:
    def button(at: Spot, but: str = "") -> Mechanism:
        width = draft.uniform(0.035, 0.05)
        half_size = (width, width, draft.uniform(0.02, 0.045))
        return _mechanism(draft, "button", at, draft.uniform(-0.5, 0.5), half_size, but=but)

    asked = button(draft.spot((0.33, 0.42), (0.08, 0.24)))
    other = button(draft.spot((0.36, 0.44), (-0.24, -0.08)), asked.colour)
    return _Asked(asked, PRESSED_M, BUTTON_M, f"press the {asked.name}", (other,), elsewhere=0.0)


def _knob(draft: Draft) -> _Asked:
    at = draft.spot((0.36, 0.44), (0.12, 0.18))
    to_left, word = _to_left(draft)
    start = -to_left * draft.uniform(0.3, 0.9) * SLIDE_M
    half_size = (draft.uniform(0.025, 0.04), SLIDE_M + 0.03, draft.uniform(0.015, 0.035))
    knob = _mechanism(draft, "knob", at, draft.uniform(-0.15, 0.15), half_size, start)
    end = to_left * SLIDE_M
    return _Asked(knob, end - to_left * AT_END_M, end, f"slide the {knob.name} to the {word}")


def _lever(draft: Draft) -> _Asked:
    at = draft.spot((0.44, 0.50), (0.12, 0.20))
    to_left, word = _to_left(draft)
    start = -to_left * draft.uniform(0.6, 0.95) * LEVER_RAD
    lever = _mechanism(draft, "lever", at, draft.uniform(-0.15, 0.15), (0.03, 0.03, draft.uniform(0.02, 0.04)), start)
    enough = lever.start + to_left * TURNED_RAD
    return _Asked(lever, enough, to_left * LEVER_RAD, f"turn the {lever.name} to the {word}")


def _shut_drawer(draft: Draft) -> _Asked:
    drawer = _cabinet(draft, "drawer", (0.38, 0.43), 0.0)
    return _Asked(drawer, DRAWER_OPEN_M, DRAWER_OPEN_M + 0.02, f"open the {drawer.name}", elsewhere=1.0)


def _open_drawer(draft: Draft) -> _Asked:
    drawer = _cabinet(draft, "drawer", (0.40, 0.44), draft.uniform(0.06, 0.12))
    return _Asked(drawer, DRAWER_SHUT_M, 0.0, f"close the {drawer.name}", elsewhere=1.0)


def _shut_door(draft: Draft) -> _Asked:
    door = _cabinet(draft, "door", (0.38, 0.43), 0.0)
    return _Asked(door, DOOR_OPEN_RAD, DOOR_OPEN_RAD + 0.2, f"open the {door.name}", elsewhere=1.0)


def _open_door(draft: Draft) -> _Asked:
    door = _cabinet(draft, "door", (0.41, 0.45), draft.uniform(0.5, 0.9))
    return _Asked(door, DOOR_SHUT_RAD, 0.0, f"close the {door.name}", elsewhere=1.0)


def _cabinet(draft: Draft, kind: str, handle_x_m: Spot, start: float) -> Mechanism:
    """Whose handle, shut, is in reach of the left hand, and which is turned as that likes to stand there."""
    x, y = draft.spot(handle_x_m, (0.08, 0.17))
    yaw = -0.33 + 3.0 * (y - 0.08) + draft.uniform(-0.08, 0.08)
    half_size = (draft.uniform(0.08, 0.10), draft.uniform(0.10, 0.13), draft.uniform(0.085, 0.105))
    made = _mechanism(draft, kind, (0.0, 0.0), yaw, half_size, start)
    at = handle_centre(made, 0.0)
    return replace(made, position=(round(x - at[0], 4), round(y - at[1], 4), made.position[2]))
