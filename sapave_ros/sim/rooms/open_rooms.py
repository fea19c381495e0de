"""Rooms of shelves, and rooms whose floor is full."""

from __future__ import annotations

from itertools import pairwise

from sapave_ros.sim.rooms.draft import Draft, Frame, facing
from sapave_ros.sim.rooms.furniture import boards, chair, open_box, screen, stool, table
from sapave_ros.sim.rooms.room import Template


def _heights(draft: Draft, first: float, count: int, step: tuple[float, float]) -> list[float]:
    heights = [first]
    for _ in range(count - 1):
        heights.append(heights[-1] + draft.between(*step))
    return heights


def shelf(draft: Draft) -> None:
    """A shelf on one side, a table before the robot."""
    side = draft.side()
    frame = facing(draft.between(1.45, 1.75), side * draft.between(0.35, 0.62), draft.between(-0.2, 0.2))
    heights = _heights(draft, draft.between(0.2, 0.36), int(draft.random.integers(3, 5)), (0.30, 0.40))
    boards(draft, frame, draft.between(0.15, 0.19), draft.between(0.34, 0.48), heights, "shelf", draft.chance(0.5))
    place = Frame(draft.between(0.78, 0.85), -side * draft.between(0.25, 0.45), draft.between(-0.1, 0.1))
    table(draft, place, 0.26, 0.36, draft.between(0.55, 0.72))
    draft.floor((1.3, 2.1), (-0.3, 0.3), 0.35)


def two_shelves(draft: Draft) -> None:
    """A rack to the left and one to the right."""
    for side, name in ((1, "left rack"), (-1, "right rack")):
        frame = facing(draft.between(1.5, 1.8), side * draft.between(0.42, 0.58), draft.between(-0.25, 0.25))
        heights = _heights(draft, draft.between(0.15, 0.36), 3, (0.32, 0.44))
        boards(
            draft, frame, draft.between(0.15, 0.18), draft.between(0.28, 0.36), heights, name, draft.chance(0.4), True
        )
    open_box(
        draft, facing(draft.between(1.35, 1.6), draft.between(-0.08, 0.08)), 0.16, 0.17, draft.between(0.2, 0.4), "bin"
    )


def bookcase(draft: Draft) -> None:
    """A wide bookcase with a back and an upright in the middle, a chair before it."""
    side = draft.side()
    frame = facing(draft.between(1.7, 1.95), side * draft.between(0.0, 0.25), draft.between(-0.1, 0.1))
    heights = _heights(draft, 0.1, 5, (0.30, 0.34))
    half = draft.between(0.55, 0.7)
    first = len(draft.spots)
    boards(draft, frame, 0.16, half, heights, "bookcase", True)
    paint = draft.paint()
    for low, high in pairwise(heights):
        draft.block(frame, (0, 0, (low + high) / 2 - 0.012), (0.155, 0.010, (high - low) / 2 - 0.012), paint)
    draft.shares(first, 0.8)
    chair(draft, facing(draft.between(1.0, 1.2), -side * draft.between(0.35, 0.6), draft.between(2.6, 3.6)))
    draft.floor((0.75, 1.3), (-0.4, 0.4), 0.3)


def shop_rack(draft: Draft) -> None:
    """Rows one behind the other: a low rack, and a high one behind it."""
    yaw = draft.between(-0.15, 0.15)
    back = facing(draft.between(1.95, 2.1), yaw)
    boards(draft, back, 0.17, draft.between(0.7, 0.85), _heights(draft, 0.5, 3, (0.36, 0.42)), "back rack", True, True)
    front = facing(draft.between(1.15, 1.3), yaw + draft.between(-0.2, 0.2), draft.between(-0.1, 0.1))
    boards(
        draft, front, 0.16, draft.between(0.40, 0.52), _heights(draft, 0.2, 2, (0.30, 0.36)), "front rack", False, True
    )
    behind = front.moved(0.34, 0)
    draft.spot(behind.surface(0, 0, 0, 0.14, 0.4), "front rack", "behind", 0.9)
    beside = facing(draft.between(1.3, 1.5), yaw + draft.side() * draft.between(0.64, 0.74))
    open_box(draft, beside, 0.15, 0.16, draft.between(0.2, 0.34), "bin")


def cluttered_floor(draft: Draft) -> None:
    """Things all over the floor, low blocks and panels between them."""
    draft.floor((0.65, 2.3), (-1.2, 1.2), 2.5)
    for i, name in enumerate(("left panel", "right panel")):
        side = 1 - 2 * i
        place = facing(draft.between(1.2, 1.6), side * draft.between(0.22, 0.55), draft.between(-0.4, 0.4))
        screen(draft, place, draft.between(0.18, 0.3), 0.0, draft.between(0.22, 0.42), name, 0.6)
    step = facing(draft.between(1.8, 2.2), draft.between(-0.25, 0.25), draft.between(-0.4, 0.4))
    height = draft.between(0.12, 0.25)
    block = draft.block(step, (0, 0, height / 2), (0.2, 0.3, height / 2), draft.paint())
    draft.name("step", (block,))
    draft.spot(step.surface(0, 0, height, 0.2, 0.3), "step", "on", 0.6)


def open_boxes(draft: Draft) -> None:
    """Three boxes without lids on the floor, things in and behind them."""
    yaws = [draft.between(0.42, 0.66), draft.between(-0.1, 0.1), -draft.between(0.42, 0.66)]
    for yaw, name in zip(yaws, ("left bin", "middle bin", "right bin")):
        place = facing(draft.between(1.05, 1.6), yaw, draft.between(-0.35, 0.35))
        open_box(draft, place, draft.between(0.16, 0.22), draft.between(0.18, 0.26), draft.between(0.16, 0.40), name)
    draft.floor((0.65, 2.2), (-1.0, 1.0), 0.7)


def two_rooms(draft: Draft) -> None:
    """A wall with a doorway, a table in the room behind it and a stool in front."""
    x, gap, middle = draft.between(1.35, 1.55), draft.between(0.42, 0.52), draft.between(-0.12, 0.12)
    paint = draft.metal()
    frame = Frame(x, middle, draft.between(-0.06, 0.06))
    posts = [draft.block(frame, (0, s * (gap + 0.62), 1.25), (0.04, 0.62, 1.25), paint) for s in (-1, 1)]
    lintel = draft.block(frame, (0, 0, 2.3), (0.04, gap, 0.2), paint)
    draft.name("doorway", (*posts, lintel), centre=frame.point(0, 0, 1.1))
    draft.name("left wall", (posts[1],), "part", frame.point(0, gap + 0.3, 1.1))
    draft.name("right wall", (posts[0],), "part", frame.point(0, -gap - 0.3, 1.1))
    far = Frame(x + draft.between(0.75, 0.9), middle + draft.between(-0.1, 0.1), draft.between(-0.2, 0.2))
    table(draft, far, 0.24, 0.42, draft.between(0.6, 0.75), "far table")
    for s, name in ((1, "left wall"), (-1, "right wall")):
        draft.spot(frame.surface(0.28, s * (gap + 0.12), 0, 0.16, 0.2), name, "behind", 0.7)
    draft.spot(frame.surface(0.25, 0, 0, 0.2, gap), "doorway", "behind", 0.7)
    side = draft.side()
    stool(draft, facing(draft.between(0.95, 1.1), side * draft.between(0.45, 0.7)), 0.19, draft.between(0.4, 0.6))
    table(draft, facing(draft.between(1.0, 1.08), -side * draft.between(0.55, 0.7)), 0.16, 0.22, 0.6, "near table")


TEMPLATES = (
    Template("shelf", shelf),
    Template("two shelves", two_shelves),
    Template("bookcase", bookcase, held_out=True),
    Template("shop rack", shop_rack),
    Template("cluttered floor", cluttered_floor),
    Template("open boxes", open_boxes),
    Template("two rooms", two_rooms, held_out=True),
)
