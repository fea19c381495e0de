"""Settings with something to work: a button, a knob on a rail, a lever, a drawer, a door; on the table, in reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sapave_ros import g1
from sapave_ros.manipulation.settings import CONDITIONS, READY, Setting, head_at_start, table
from sapave_ros.sim.mechanisms import BUTTON_TRAVEL_M, LEVER_RAD, SLIDE_M, Mechanism, handle_pose
from sapave_ros.sim.objects import COLOURS, random_colour
from sapave_ros.sim.scene import Block, Scene, light, walls
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

PRESSED_M = 0.75 * BUTTON_TRAVEL_M
AT_END_M = 0.015
"""A knob counts as slid so close to the end of its rail."""
TURNED_RAD = math.radians(60.0)
DRAWER_OPEN_M, DRAWER_SHUT_M = 0.08, 0.01
DOOR_OPEN_RAD, DOOR_SHUT_RAD = math.radians(50.0), math.radians(5.0)
"""From where on, or up to where, each counts as turned, open, shut."""


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
class _Draft:
    """What a kind of task puts on the table, for the left hand: at x and y [m] and turned so. others: besides."""

    mechanism: Mechanism
    enough: float
    wanted: float
    instruction: str
    others: tuple[Mechanism, ...] = ()


Draw = Callable[[np.random.Generator, float, float], _Draft]
"""A random state, the height of the table [m] and the sign of the side to what is on it, of the left side."""


def press(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A button to press, and another to leave alone."""
    return _setting("press", seed, condition, _button)


def slide(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A knob to slide along its rail."""
    return _setting("slide", seed, condition, _knob)


def turn(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A lever to turn."""
    return _setting("turn", seed, condition, _lever)


def open_drawer(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A drawer to pull."""
    return _setting("open the drawer", seed, condition, _shut_drawer)


def close_drawer(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A drawer to push in."""
    return _setting("close the drawer", seed, condition, _open_drawer)


def open_door(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A door to pull open."""
    return _setting("open the door", seed, condition, _shut_door)


def close_door(seed: int, condition: str = CONDITIONS[0]) -> Working:
    """A door to push shut."""
    return _setting("close the door", seed, condition, _open_door)


def _setting(task: str, seed: int, condition: str, draw: Draw) -> Working:
    """The same for the same task, seed and condition, on every machine. The conditions of a seed differ in nothing but
    where the head looks at the start. Raises ValueError on an unknown condition."""
    if condition not in CONDITIONS:
        raise ValueError(f"condition {condition!r}; expected one of {', '.join(CONDITIONS)}")
    random = np.random.default_rng([seed, 0xA27, *task.encode()])
    blocks: list[Block] = []
    walls(random, blocks)
    height = table(random, blocks)
    side = ("left", "right")[int(random.integers(2))]
    sign = 1.0 if side == "left" else -1.0
    draft = draw(random, height, sign)
    mechanism = _on_side(draft.mechanism, sign)
    scene = Scene(
        seed=seed,
        blocks=tuple(blocks),
        items=(),
        lights=tuple(light(random) for _ in range(2)),
        ambient=float(random.uniform(0.30, 0.50)),
        head=(0.0, 0.0),
        arms=tuple(READY[name] for name in g1.ARMS.names),
        hands=tuple(float(v) for v in g1.HANDS.lower),
        mechanisms=(mechanism, *(_on_side(other, sign) for other in draft.others)),
    )
    x, y, z = (float(v) for v in handle_pose(mechanism, mechanism.start)[:3, 3])
    scene = replace(scene, head=head_at_start(random, (x, y, z), condition))
    return Working(task, seed, condition, scene, mechanism.name, side, draft.instruction, draft.enough, draft.wanted)


def _on_side(of: Mechanism, sign: float) -> Mechanism:
    """Where it stands for the hand of that side."""
    x, y, z = of.position
    return replace(of, position=(x, sign * y, z), yaw_rad=sign * of.yaw_rad, mirrored=sign < 0)


def _mechanism(
    random: np.random.Generator,
    kind: str,
    at: tuple[float, float, float],
    yaw: float,
    half_size: tuple[float, float, float],
    start: float = 0.0,
    but: str = "",
) -> Mechanism:
    """In a colour of its own, other than `but`."""
    colour = str(random.choice([name for name in COLOURS if name != but]))
    x, y, z, a, b, c = (round(float(v), 4) for v in (*at, *half_size))
    return Mechanism(kind, colour, random_colour(colour, random), (x, y, z), round(yaw, 4), (a, b, c), start)


# -- what each task puts on the table --------------------------------------------------------------


def _button(random: np.random.Generator, height: float, sign: float) -> _Draft:
    def box() -> tuple[float, float, float]:
        width = random.uniform(0.035, 0.05)
        return width, width, random.uniform(0.02, 0.045)

    at = (random.uniform(0.33, 0.42), random.uniform(0.08, 0.24), height)
    button = _mechanism(random, "button", at, random.uniform(-0.5, 0.5), box())
    there = (random.uniform(0.36, 0.44), random.uniform(-0.24, -0.08), height)
    other = _mechanism(random, "button", there, random.uniform(-0.5, 0.5), box(), but=button.colour)
    return _Draft(button, PRESSED_M, BUTTON_TRAVEL_M, f"press the {button.name}", (other,))


def _knob(random: np.random.Generator, height: float, sign: float) -> _Draft:
    at = (random.uniform(0.36, 0.44), random.uniform(0.12, 0.18), height)
    to_left = 1.0 if random.random() < 0.5 else -1.0
    start = -to_left * round(float(random.uniform(0.3, 0.9)) * SLIDE_M, 4)
    half_size = (random.uniform(0.025, 0.04), SLIDE_M + 0.03, random.uniform(0.015, 0.035))
    knob = _mechanism(random, "knob", at, random.uniform(-0.15, 0.15), half_size, start)
    end = to_left * SLIDE_M
    word = "left" if to_left > 0 else "right"
    return _Draft(knob, end - to_left * AT_END_M, end, f"slide the {knob.name} to the {word}")


def _lever(random: np.random.Generator, height: float, sign: float) -> _Draft:
    at = (random.uniform(0.44, 0.50), random.uniform(0.12, 0.20), height)
    to_left = 1.0 if random.random() < 0.5 else -1.0
    start = -to_left * round(float(random.uniform(0.6, 0.95)) * LEVER_RAD, 4)
    half_size = (0.03, 0.03, random.uniform(0.02, 0.04))
    lever = _mechanism(random, "lever", at, random.uniform(-0.15, 0.15), half_size, start)
    enough = start + to_left * TURNED_RAD
    word = "left" if to_left > 0 else "right"
    return _Draft(lever, enough, to_left * LEVER_RAD, f"turn the {lever.name} to the {word}")


def _shut_drawer(random: np.random.Generator, height: float, sign: float) -> _Draft:
    drawer = _cabinet(random, "drawer", height, (0.38, 0.43), 0.0)
    return _Draft(drawer, DRAWER_OPEN_M, DRAWER_OPEN_M + 0.02, f"open the {drawer.name}")


def _open_drawer(random: np.random.Generator, height: float, sign: float) -> _Draft:
    drawer = _cabinet(random, "drawer", height, (0.40, 0.44), float(random.uniform(0.06, 0.12)))
    return _Draft(drawer, DRAWER_SHUT_M, 0.0, f"close the {drawer.name}")


def _shut_door(random: np.random.Generator, height: float, sign: float) -> _Draft:
    door = _cabinet(random, "door", height, (0.38, 0.43), 0.0)
    return _Draft(door, DOOR_OPEN_RAD, DOOR_OPEN_RAD + 0.2, f"open the {door.name}")


def _open_door(random: np.random.Generator, height: float, sign: float) -> _Draft:
    door = _cabinet(random, "door", height, (0.41, 0.45), float(random.uniform(0.5, 0.9)))
    return _Draft(door, DOOR_SHUT_RAD, 0.0, f"close the {door.name}")


def _cabinet(
    random: np.random.Generator, kind: str, height: float, handle_x: tuple[float, float], start: float
) -> Mechanism:
    """Whose handle, shut, is in reach of the left hand, and which is turned as that likes to stand there."""
    x, y = random.uniform(*handle_x), random.uniform(0.08, 0.17)
    yaw = -0.33 + 3.0 * (y - 0.08) + random.uniform(-0.08, 0.08)
    half_size = (random.uniform(0.08, 0.10), random.uniform(0.10, 0.13), random.uniform(0.085, 0.105))
    made = _mechanism(random, kind, (0.0, 0.0, height), yaw, half_size, round(start, 4))
    handle = handle_pose(made, 0.0)[:2, 3]
    return replace(made, position=(round(float(x - handle[0]), 4), round(float(y - handle[1]), 4), made.position[2]))
