"""Rooms around a table."""

from __future__ import annotations

import math

from sapave_ros.sim.rooms.draft import Draft, Frame, facing
from sapave_ros.sim.rooms.furniture import boards, chair, drawers, open_box, screen, stool, table
from sapave_ros.sim.rooms.room import Template


def _front_table(draft: Draft, name: str = "table", offset: float = 0.15) -> tuple[Frame, float, float]:
    """A table before the robot: its frame, half width and height."""
    front, half_u, half_v = draft.between(0.42, 0.50), draft.between(0.26, 0.38), draft.between(0.45, 0.75)
    height = draft.between(0.62, 0.76)
    frame = Frame(front + half_u, draft.between(-offset, offset), 0.0)
    table(draft, frame, half_u, half_v, height, name)
    return frame, half_v, height


def tabletop(draft: Draft) -> None:
    """A table with something to hide behind on it, a chair beside."""
    frame, half_v, height = _front_table(draft)
    v = draft.between(-0.5, 0.5) * half_v
    upright = frame.moved(draft.between(-0.05, 0.10), v, draft.between(-0.4, 0.4))
    screen(draft, upright, draft.between(0.10, 0.16), height, height + draft.between(0.16, 0.26), "panel")
    side = draft.side()
    chair(draft, facing(draft.between(1.25, 1.5), side * draft.between(0.62, 0.78), draft.between(-0.6, 0.6)))
    draft.floor((1.55, 2.2), (-0.9, 0.9), 0.35)


def corner_table(draft: Draft) -> None:
    """A table in a corner of the room, turned, a shelf on the wall above it."""
    side = draft.side()
    frame = facing(draft.between(1.05, 1.25), side * draft.between(0.25, 0.45), side * draft.between(0.0, 0.3))
    half_u, half_v, height = draft.between(0.28, 0.36), draft.between(0.45, 0.60), draft.between(0.62, 0.78)
    table(draft, frame, half_u, half_v, height)
    wall = frame.moved(half_u + 0.03, 0)
    paint = draft.paint()
    panels = [draft.block(wall, (0.0, 0.3 * side, 1.1), (0.02, half_v + 0.6, 1.1), paint)]
    panels.append(draft.block(frame.moved(0, side * (half_v + 0.03)), (0, 0, 1.1), (half_u + 0.1, 0.02, 1.1), paint))
    draft.name("corner", panels, centre=frame.point(half_u, side * half_v, 1.1))
    z = height + draft.between(0.38, 0.5)
    board = draft.block(frame, (half_u - 0.10, 0, z - 0.012), (0.10, 0.7 * half_v, 0.012), draft.paint())
    draft.name("shelf", (board,))
    draft.spot(frame.surface(half_u - 0.10, 0, z, 0.10, 0.7 * half_v), "shelf", "on", 0.8)
    open_box(draft, frame.moved(-0.02, -side * 0.5 * half_v), 0.13, 0.15, draft.between(0.12, 0.2), "bin", height)
    stool(draft, facing(draft.between(1.15, 1.4), -side * draft.between(0.45, 0.72)), 0.18, draft.between(0.4, 0.55))


def two_tables(draft: Draft) -> None:
    """One table to the left, another to the right, of different height, and a bin between."""
    heights = [draft.between(0.50, 0.60), draft.between(0.68, 0.80)]
    if draft.chance(0.5):
        heights.reverse()
    for side, height, name in ((1, heights[0], "left table"), (-1, heights[1], "right table")):
        frame = facing(draft.between(1.1, 1.35), side * draft.between(0.46, 0.58), draft.between(-0.2, 0.2))
        half_u, half_v = draft.between(0.24, 0.32), draft.between(0.30, 0.42)
        table(draft, frame, half_u, half_v, height, name, 0.12)
    middle = facing(draft.between(1.9, 2.1), draft.between(-0.08, 0.08))
    open_box(draft, middle, 0.16, 0.2, draft.between(0.2, 0.35), "bin")


def desk(draft: Draft) -> None:
    """A desk with drawers under it, a shelf on it and a chair."""
    front, half_u, half_v = draft.between(0.52, 0.60), draft.between(0.28, 0.34), draft.between(0.62, 0.78)
    height = draft.between(0.68, 0.76)
    frame = Frame(front + half_u, draft.between(-0.1, 0.1), draft.between(-0.06, 0.06))
    side = draft.side()
    paint = draft.paint()
    top = draft.block(frame, (0, 0, height - 0.016), (half_u, half_v, 0.016), paint)
    leg = draft.block(
        frame, (0, -side * (half_v - 0.03), height / 2 - 0.016), (half_u - 0.02, 0.02, height / 2 - 0.016), paint
    )
    draft.name("desk", (top, leg), centre=frame.point(0, 0, height - 0.016))
    draft.spot(frame.surface(-0.08, 0, height, half_u - 0.08, half_v), "desk", "on", 1.4)
    draft.spot(frame.surface(0, -side * 0.2, 0, half_u - 0.05, 0.3, height - 0.1), "desk", "under", 0.45)
    case = frame.moved(0.03, side * (half_v - 0.20))
    out = [draft.between(0.12, 0.24) if draft.chance(0.4) else 0.0 for _ in range(2)]
    drawers(draft, case, half_u - 0.06, 0.17, 0.05, height - 0.034, out, "drawer unit", top=False)
    rack = frame.moved(half_u - 0.11, -side * draft.between(0.0, 0.25))
    space, width = draft.between(0.24, 0.32), draft.between(0.28, 0.42)
    z = height + space + 0.02
    board = draft.block(rack, (0, 0, z - 0.010), (0.11, width, 0.010), paint)
    ends = [draft.block(rack, (0, s * width, height + space / 2), (0.11, 0.01, space / 2), paint) for s in (-1, 1)]
    draft.name("shelf", (board, *ends), centre=rack.point(0, 0, z))
    draft.spot(rack.surface(0, 0, z, 0.11, width - 0.02), "shelf", "on", 0.8)
    draft.spot(rack.surface(0, 0, height, 0.10, width - 0.03, space - 0.02), "shelf", "under", 0.5)
    chair(draft, facing(draft.between(1.65, 1.9), -side * draft.between(0.55, 0.72), draft.between(-0.5, 0.5)))


def workbench(draft: Draft) -> None:
    """A heavy bench with a board of hooks behind it, a rack beside it and a bin on it."""
    front, half_u, half_v = draft.between(0.48, 0.58), draft.between(0.28, 0.36), draft.between(0.6, 0.8)
    height = draft.between(0.70, 0.82)
    frame = Frame(front + half_u, draft.between(-0.12, 0.12), draft.between(-0.08, 0.08))
    paint = draft.paint()
    blocks = [draft.block(frame, (0, 0, height - 0.03), (half_u, half_v, 0.03), paint)]
    blocks += [
        draft.block(frame, (0, s * (half_v - 0.06), height / 2 - 0.03), (half_u - 0.04, 0.04, height / 2 - 0.03), paint)
        for s in (-1, 1)
    ]
    lower = draft.block(frame, (0, 0, 0.18), (half_u - 0.04, half_v - 0.1, 0.014), paint)
    draft.name("workbench", (*blocks, lower), centre=frame.point(0, 0, height - 0.03))
    draft.name("lower board", (lower,), "part")
    draft.spot(frame.surface(-0.04, 0, height, half_u - 0.04, half_v), "workbench", "on", 1.6)
    draft.spot(frame.surface(0, 0, 0.194, half_u - 0.06, half_v - 0.12, height - 0.3), "lower board", "on", 0.25)
    screen(draft, frame.moved(half_u + 0.02, 0), half_v, height, height + draft.between(0.3, 0.5), "back board", 0)
    side = draft.side()
    open_box(draft, frame.moved(0.08, side * 0.6 * half_v, draft.between(-0.2, 0.2)), 0.12, 0.16, 0.14, "bin", height)
    heights = [0.25, 0.25 + draft.between(0.32, 0.4)]
    heights.append(heights[1] + draft.between(0.34, 0.42))
    rack = facing(draft.between(1.7, 1.85), -side * draft.between(0.66, 0.76))
    boards(draft, rack, 0.16, 0.30, heights, "rack")


def bedside(draft: Draft) -> None:
    """A bed with a bedside table, whose drawer may be open, and something under the bed."""
    side = draft.side()
    bed = facing(draft.between(1.75, 1.9), side * draft.between(0.28, 0.38), -side * draft.between(0.0, 0.25))
    half_u, half_v, height = 0.55, draft.between(0.40, 0.5), draft.between(0.36, 0.46)
    paint = draft.paint()
    cloth, white = (draft.metal()[0], "stripes"), ((0.9, 0.9, 0.88), "plain")
    leg = (0.03, 0.03, height / 2 - 0.09)
    blocks = [
        draft.block(bed, (0, 0, height - 0.09), (half_u, half_v, 0.09), cloth),
        draft.block(bed, (half_u + 0.02, 0, height / 2 + 0.2), (0.02, half_v, height / 2 + 0.2), paint),
        *(draft.block(bed, (-half_u + 0.05, s * (half_v - 0.05), leg[2]), leg, paint) for s in (-1, 1)),
    ]
    pillow = draft.block(bed, (half_u - 0.16, 0, height + 0.045), (0.13, 0.6 * half_v, 0.045), white)
    draft.name("bed", blocks, centre=bed.point(0, 0, height))
    draft.name("pillow", (pillow,), "part")
    draft.spot(bed.surface(-0.16, 0, height, half_u - 0.22, half_v), "bed", "on", 1.2)
    draft.spot(bed.surface(half_u - 0.16, 0, height + 0.09, 0.12, 0.55 * half_v), "pillow", "on", 0.25)
    draft.spot(bed.surface(-half_u + 0.22, 0, 0, 0.18, half_v - 0.1, height - 0.2), "bed", "under", 0.5)
    night = facing(draft.between(1.35, 1.55), -side * draft.between(0.30, 0.50), draft.between(-0.2, 0.2))
    out = [draft.between(0.0, 0.04) if draft.chance(0.4) else draft.between(0.12, 0.22) for _ in range(2)]
    drawers(draft, night, 0.20, draft.between(0.20, 0.26), 0.06, draft.between(0.46, 0.6), out, "bedside table")
    draft.floor((0.75, 1.3), (-0.7, 0.7), 0.4)


def stools(draft: Draft) -> None:
    """Three stools of different heights, things on and behind them."""
    yaws = [draft.between(0.42, 0.66), draft.between(-0.1, 0.1), -draft.between(0.42, 0.66)]
    names = ["left stool", "middle stool", "right stool"]
    low = draft.between(0.34, 0.42)
    heights = [low, low + draft.between(0.10, 0.16), low + draft.between(0.22, 0.34)]
    order = draft.random.permutation(3)
    for yaw, name, i in zip(yaws, names, order):
        half = draft.between(0.19, 0.26)
        frame = facing(draft.between(1.1, 1.5), yaw, draft.between(-math.pi / 4, math.pi / 4))
        stool(draft, frame, half, heights[i], name)
        back = facing(math.hypot(frame.x - 0.08, frame.y) + half + 0.24, yaw)
        draft.spot(back.surface(0, 0, 0, 0.14, 0.2), name, "behind", 0.7)
    draft.floor((0.7, 1.0), (-0.5, 0.5), 0.4)


TEMPLATES = (
    Template("tabletop", tabletop),
    Template("corner table", corner_table),
    Template("two tables", two_tables),
    Template("desk", desk),
    Template("workbench", workbench, held_out=True),
    Template("bedside", bedside, held_out=True),
    Template("stools", stools),
)
