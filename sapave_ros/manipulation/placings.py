"""Tasks in which a thing is put somewhere: what stands where, and what is asked.

A setting is the same for the same seed and condition, on every machine. The conditions of a seed differ in where the
head looks at the start, and in what hides the thing. All of it is drawn for the left hand, which comes from the left,
and mirrored for the right: what a thing is to be put into, onto or beside stands on its inner side.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sapave_ros.manipulation.draft import REACH_X_M, REACH_Y_M, THINGS, Draft, Spot
from sapave_ros.manipulation.settings import CONDITIONS, Goal, Handing, Placing
from sapave_ros.sim.objects import VARIANTS, shape
from sapave_ros.sim.placement import EYE
from sapave_ros.sim.scene import Item, Scene, furniture_paint

TRAY_HALF_M, TRAY_M = 0.075, 0.012
_APART_M = 0.02

WALL_M = 0.05
"""Of an open box: how high. A hand that holds something passes over it and lets go above it."""
_PANEL_M = 0.008

BESIDE_M = (0.02, 0.12)
"""Room between two things of which one stands beside the other."""
BESIDE_ALONG_M = 0.06
"""How much nearer or farther than the other it may stand."""
NEIGHBOURS = tuple((k, v) for k in ("can", "bottle", "glass", "skittle", "mug", "jar", "vase") for v in (0, 1))

BASES = tuple((k, v) for k in ("box", "book", "drum") for v in range(len(VARIANTS)) if shape(k, v).height < 0.10)
"""(kind, variant) with a flat top, not so high that the arm meets what hangs over the table."""
SLIM = tuple((k, v) for k, v in THINGS if shape(k, v).radius < 0.045)
"""(kind, variant) of what is moved: all but the largest glass, which turns between thumb and fingers."""
LOW = tuple((k, v) for k, v in SLIM if shape(k, v).height < 0.15)
"""(kind, variant) of what is put on top of them, or stands on a shelf: higher up the hands have less room."""
_EDGE_M = 0.02

SHELF_M = (0.10, 0.15)
"""How high it is above the table."""

MIDDLE_M = (0.36, 0.0)
"""x and y where both hands reach."""

_BEYOND_X_M = (0.58, 0.66)
"""Where things stand that nobody asks for, where furniture is before them."""


def onto_the_tray(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """All of its base on a tray that lies beside it. Raises ValueError on an unknown condition, as all do."""
    draft = Draft(seed, 0x7A4, condition)
    kind, variant, colour = draft.thing()
    radius = shape(kind, variant).radius
    thing_at, tray_at = _two_places(draft, TRAY_HALF_M + radius + _APART_M)
    goal = _tray(draft, tray_at, radius)
    thing = draft.item(kind, variant, colour, thing_at)
    return _placing("onto the tray", draft, thing, draft.scene(thing), goal, f"put the {thing.name} on the tray")


def into_the_box(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """Between the walls of an open box, on its floor; it need not stand there."""
    draft = Draft(seed, 0xB0C, condition)
    kind, variant, colour = draft.thing(SLIM)
    half = (draft.uniform(0.085, 0.10), draft.uniform(0.08, 0.095))
    box_at = draft.spot((0.34, 0.39), (0.0, 0.06))
    goal = _box(draft, box_at, half)
    y = box_at[1] + half[1] + shape(kind, variant).radius + 0.05
    thing = draft.item(kind, variant, colour, draft.spot(REACH_X_M, (y, y + 0.05)))
    scene = draft.scene(thing, without=("box", "crate", "treasure chest"), elsewhere=0.0, beyond=_BEYOND_X_M)
    return _placing("into the box", draft, thing, scene, goal, f"put the {thing.name} into the box")


def beside(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """On that side of another thing on which the hand is, as the robot sees it, `BESIDE_M` from it."""
    draft = Draft(seed, 0xBE5, condition)
    kind, variant, colour = draft.thing(SLIM)
    free = [(k, v) for k, v in NEIGHBOURS if (k, v) != (kind, variant)]
    other_kind, other_variant, other_colour = draft.thing(free)
    while (other_kind, other_colour) == (kind, colour):
        other_kind, other_variant, other_colour = draft.thing(free)
    other_at = draft.spot((0.34, 0.40), (-0.02, 0.03))
    other = draft.item(other_kind, other_variant, other_colour, other_at)
    apart_m = shape(kind, variant).radius + shape(other_kind, other_variant).radius + sum(BESIDE_M) / 2
    sight = math.atan2(other_at[1], other_at[0] - EYE[0])
    place = (-apart_m * math.sin(sight), apart_m * math.cos(sight))
    goal = Goal(
        (place[0], draft.sign * place[1], 0.0),
        (BESIDE_ALONG_M, (BESIDE_M[1] - BESIDE_M[0]) / 2),
        bearer=draft.table,
        of=other.name,
        yaw_rad=draft.sign * sight,
    )
    y = other_at[1] + place[1] + (BESIDE_M[1] - BESIDE_M[0]) / 2 + 0.03
    thing = draft.item(kind, variant, colour, draft.spot(REACH_X_M, (y, y + 0.04)))
    instruction = f"put the {thing.name} to the {draft.side} of the {other.name}"
    return _placing("beside", draft, thing, draft.scene(thing, (other,), elsewhere=0.0), goal, instruction)


def stacked(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """Upright on another thing that has a flat top, with the middle of its base well within the edge."""
    draft = Draft(seed, 0x57A, condition)
    kind, variant, colour = draft.thing(LOW)
    base_kind, base_variant, base_colour = draft.thing(BASES)
    body = shape(base_kind, base_variant)
    base = draft.item(base_kind, base_variant, base_colour, draft.spot((0.34, 0.38), (0.0, 0.04)))
    base = replace(base, yaw_rad=round(draft.uniform(-0.15, 0.15), 4))
    half_x, half_y = _top(base)
    goal = Goal((0.0, 0.0, body.height), (half_x - _EDGE_M, half_y - _EDGE_M), of=base.name, yaw_rad=base.yaw_rad)
    y = abs(base.position[1]) + half_y + 0.15 * half_x + shape(kind, variant).radius + 0.05
    thing = draft.item(kind, variant, colour, draft.spot(REACH_X_M, (y, y + 0.04)))
    scene = draft.scene(thing, (base,), elsewhere=0.0, beyond=_BEYOND_X_M)
    return _placing("stacked", draft, thing, scene, goal, f"put the {thing.name} on the {base.name}")


def from_the_shelf(seed: int, condition: str = CONDITIONS[0]) -> Placing:
    """From a low shelf onto a tray on the table before it."""
    draft = Draft(seed, 0x5E1, condition)
    kind, variant, colour = draft.thing(LOW)
    radius = shape(kind, variant).radius
    thing_at = draft.spot((0.34, 0.38), (0.02, 0.08))
    shelf_m, edge_m = draft.uniform(*SHELF_M), thing_at[1] + radius + draft.uniform(0.015, 0.03)
    _shelf(draft, shelf_m, edge_m)
    y = edge_m + TRAY_HALF_M
    goal = _tray(draft, draft.spot(REACH_X_M, (y + 0.02, y + 0.06)), radius)
    thing = draft.item(kind, variant, colour, thing_at, draft.height + shelf_m)
    scene = draft.scene(thing, elsewhere=0.0, beyond=_BEYOND_X_M)
    return _placing(
        "from the shelf", draft, thing, scene, goal, f"take the {thing.name} from the shelf and put it on the tray"
    )


def hand_to_hand(seed: int, condition: str = CONDITIONS[0]) -> Handing:
    """Onto a tray on the other side, where the hand on the thing's own side does not reach."""
    draft = Draft(seed, 0x2AD, condition)
    kind, variant, colour = draft.thing(SLIM)
    radius = shape(kind, variant).radius
    far_x, far_y = draft.spot(REACH_X_M, (0.16, 0.25))
    goal = _tray(draft, (far_x, -far_y), radius)
    thing = draft.item(kind, variant, colour, draft.spot(REACH_X_M, (0.13, 0.25)))
    via = Goal((MIDDLE_M[0], draft.sign * MIDDLE_M[1], draft.height), (0.04, 0.04), bearer=draft.table)
    side = "right" if draft.side == "left" else "left"
    return Handing(
        task="hand to hand",
        seed=seed,
        condition=condition,
        scene=draft.scene(thing, elsewhere=0.0),
        target=thing.name,
        side=draft.side,
        instruction=f"put the {thing.name} on the tray on the {side}",
        goal=goal,
        via=via,
    )


def _placing(task: str, draft: Draft, thing: Item, scene: Scene, goal: Goal, instruction: str) -> Placing:
    return Placing(task, draft.seed, draft.condition, scene, thing.name, draft.side, instruction, goal)


def _tray(draft: Draft, at: Spot, base_radius_m: float) -> Goal:
    """On a tray that lies there on the table."""
    half = (TRAY_HALF_M, TRAY_HALF_M, TRAY_M / 2)
    block = draft.block((*at, draft.height), half, draft.rgb())
    within = TRAY_HALF_M - base_radius_m
    return Goal((at[0], draft.sign * at[1], draft.height + TRAY_M), (within, within), bearer=block)


def _two_places(draft: Draft, apart_m: float) -> tuple[Spot, Spot]:
    """Of thing and tray, apart by so much along x or along y."""
    while True:
        (x, y), (tray_x, tray_y) = (draft.spot(REACH_X_M, REACH_Y_M) for _ in range(2))
        if max(abs(x - tray_x), abs(y - tray_y)) > apart_m:
            return (x, y), (tray_x, tray_y)


def _box(draft: Draft, at: Spot, half: tuple[float, float]) -> Goal:
    """In a box with a floor and four walls. half: of its inside, along x and y [m]."""
    (x, y), z, rgb, panel = at, draft.height, draft.rgb(), _PANEL_M / 2
    floor = draft.block((x, y, z), (half[0] + _PANEL_M, half[1] + _PANEL_M, panel), rgb)
    for sign in (-1, 1):
        draft.block((x + sign * (half[0] + panel), y, z), (panel, half[1] + _PANEL_M, WALL_M / 2), rgb)
        draft.block((x, y + sign * (half[1] + panel), z), (half[0], panel, WALL_M / 2), rgb)
    rim = WALL_M - _PANEL_M
    return Goal((x, draft.sign * y, z + _PANEL_M), half, bearer=floor, rim_m=rim, upright=False)


def _top(base: Item) -> tuple[float, float]:
    """Half of its flat top along x and y [m]; of a round one, of the square within."""
    part = shape(base.kind, base.variant).parts[0]
    if part.shape == "cylinder":
        return part.size[0] / math.sqrt(2), part.size[0] / math.sqrt(2)
    return part.size[0], part.size[1]


def _shelf(draft: Draft, height_m: float, edge_m: float) -> None:
    """A board above the table on two panels, open to the side where it ends, at y = edge_m on the left."""
    inner_m, (half_x, thick) = -0.14, (0.07, 0.012)
    rgb, texture = furniture_paint(draft.random)
    x, y = 0.36, (edge_m + inner_m) / 2
    draft.block((x, y, draft.height + height_m - thick), (half_x, (edge_m - inner_m) / 2, thick / 2), rgb, texture)
    for end in (inner_m + thick / 2, edge_m - thick / 2):
        draft.block((x, end, draft.height), (half_x, thick / 2, (height_m - thick) / 2), rgb, texture)
