"""Rooms with doors and drawers."""

from __future__ import annotations

from sapave_ros.sim.rooms.draft import Draft, Frame, facing
from sapave_ros.sim.rooms.furniture import cupboard, drawers, frame_of_window, open_box, stool, table
from sapave_ros.sim.rooms.room import Template


def _angle(draft: Draft) -> float:
    """Of a door: closed, ajar, half or wide open [rad]."""
    ranges = ((0.0, 0.03), (0.15, 0.4), (0.6, 1.1), (1.4, 2.0))
    low, high = ranges[int(draft.random.choice(4, p=[0.3, 0.15, 0.25, 0.3]))]
    return draft.between(low, high)


def _drawn(draft: Draft, count: int, most: float) -> list[float]:
    """How far each drawer is drawn out, from the lowest: a lower one as far as an upper, or all shut but one."""
    out = [0.0] * count
    for i in draft.random.permutation(count)[: int(draft.random.integers(1, 3))]:
        out[i] = draft.between(0.45, 1.0) * most
    return out


def cabinet(draft: Draft) -> None:
    """A cabinet with two hinged doors, a stool and a table before it."""
    side = draft.side()
    yaw = side * draft.between(0.0, 0.35)
    frame = facing(draft.between(1.6, 1.8), yaw, draft.between(-0.15, 0.15))
    low = draft.between(0.05, 0.3)
    high = low + draft.between(0.75, 0.95)
    cupboard(draft, frame, 0.17, draft.between(0.36, 0.46), low, high, (_angle(draft), _angle(draft)), "cabinet", 2)
    if low > 0.1:
        draft.block(frame, (0.02, 0, low / 2), (0.13, 0.3, low / 2), draft.paint())
    place = facing(draft.between(1.0, 1.15), -side * draft.between(0.60, 0.78))
    stool(draft, place, draft.between(0.17, 0.22), draft.between(0.35, 0.6))
    table(draft, facing(1.75, yaw - side * draft.between(0.72, 0.8)), 0.22, 0.3, draft.between(0.6, 0.75), "side table")
    draft.floor((0.8, 1.15), (-0.35, 0.35), 0.35)


def chest_of_drawers(draft: Draft) -> None:
    """A chest of drawers, one or two drawn out with things in them."""
    side = draft.side()
    frame = facing(draft.between(1.3, 1.5), side * draft.between(0.0, 0.3), draft.between(-0.15, 0.15))
    count = int(draft.random.integers(3, 5))
    high = draft.between(0.72, 0.88)
    drawers(draft, frame, 0.21, draft.between(0.34, 0.44), 0.04, high, _drawn(draft, count, 0.26), "chest of drawers")
    place = facing(draft.between(1.2, 1.5), -side * draft.between(0.55, 0.75), draft.between(-0.3, 0.3))
    open_box(draft, place, 0.18, 0.2, draft.between(0.22, 0.4), "bin")
    stool(draft, facing(draft.between(1.35, 1.6), side * draft.between(0.70, 0.80)), 0.18, draft.between(0.35, 0.6))


def sideboard(draft: Draft) -> None:
    """A long low sideboard: drawers in the middle, a door on each side."""
    frame = facing(draft.between(1.5, 1.7), draft.between(-0.1, 0.1), draft.between(-0.08, 0.08))
    high, half = draft.between(0.60, 0.74), draft.between(0.30, 0.36)
    drawers(draft, frame, 0.19, half, 0.08, high, _drawn(draft, 2, 0.22), "sideboard")
    for side, name, door in ((1, "left cupboard", "left door"), (-1, "right cupboard", "right door")):
        place = frame.moved(0.0, side * (half + 0.27))
        cupboard(draft, place, 0.19, 0.26, 0.08, high, (_angle(draft),), name, 2, doors=(door,))
    draft.floor((0.75, 1.1), (-0.5, 0.5), 0.45)


def kitchen_counter(draft: Draft) -> None:
    """A counter with drawers and a wall cupboard above it."""
    frame = facing(draft.between(1.15, 1.3), draft.between(-0.12, 0.12), draft.between(-0.06, 0.06))
    half_v, high = draft.between(0.75, 0.95), draft.between(0.78, 0.88)
    side = draft.side()
    paint = draft.paint()
    top = draft.block(frame, (-0.01, 0, high - 0.016), (0.29, half_v, 0.016), draft.paint())
    body = draft.block(
        frame, (0.03, -side * 0.34, (high - 0.032) / 2), (0.24, half_v - 0.34, (high - 0.032) / 2), paint
    )
    draft.name("counter", (top, body), centre=frame.point(0, 0, high - 0.016))
    draft.spot(frame.surface(-0.02, 0, high, 0.27, half_v), "counter", "on", 1.8)
    case = frame.moved(0.03, side * (half_v - 0.34))
    drawers(draft, case, 0.24, 0.33, 0.06, high - 0.033, _drawn(draft, 3, 0.2), "drawer unit", top=False)
    draft.block(frame, (0.31, 0, 1.2), (0.012, half_v + 0.3, 1.2), draft.paint())
    above = frame.moved(0.14, draft.between(-0.25, 0.25))
    low = high + draft.between(0.42, 0.5)
    angles = (_angle(draft), _angle(draft))
    cupboard(
        draft,
        above,
        0.15,
        draft.between(0.38, 0.5),
        low,
        low + draft.between(0.38, 0.46),
        angles,
        "wall cupboard",
        1,
        False,
    )
    stool(draft, facing(draft.between(1.0, 1.1), -side * draft.between(0.72, 0.8)), 0.16, draft.between(0.3, 0.5))


def sink(draft: Draft) -> None:
    """A counter with a sink, a tap, a cupboard below and a ledge behind."""
    frame = facing(draft.between(1.05, 1.2), draft.between(-0.12, 0.12), draft.between(-0.06, 0.06))
    half_v, high = draft.between(0.72, 0.9), draft.between(0.76, 0.86)
    at, width, depth = draft.between(-0.3, 0.3), 0.24, 0.17
    paint, steel = draft.paint(), ((0.6, 0.61, 0.63), "plain")
    z, t = high - 0.016, 0.016
    rim = [
        draft.block(frame, (-0.24, 0, z), (0.05, half_v, t), paint),
        draft.block(frame, (0.235, 0, z), (0.055, half_v, t), paint),
        draft.block(frame, (-0.005, (half_v + at + width) / 2, z), (0.185, (half_v - at - width) / 2, t), paint),
        draft.block(frame, (-0.005, (-half_v + at - width) / 2, z), (0.185, (half_v + at - width) / 2, t), paint),
    ]
    basin = [draft.block(frame, (-0.005, at, high - 0.20), (0.185, width, 0.008), steel)]
    basin += [draft.block(frame, (-0.005, at + s * width, high - 0.11), (0.185, 0.006, 0.094), steel) for s in (-1, 1)]
    basin += [draft.block(frame, (-0.005 + s * 0.185, at, high - 0.11), (0.006, width, 0.094), steel) for s in (-1, 1)]
    tap = [
        draft.block(frame, (0.21, at, high + 0.11), (0.013, 0.013, 0.11), steel),
        draft.block(frame, (0.13, at, high + 0.22), (0.095, 0.013, 0.013), steel),
    ]
    below = frame.moved(0.03, at)
    cupboard(draft, below, 0.22, 0.30, 0.06, high - 0.215, (_angle(draft), _angle(draft)), "cupboard", 1, False)
    draft.name("counter", rim, centre=frame.point(0, 0, z))
    draft.name("sink", basin, centre=frame.point(-0.005, at, high - 0.12))
    draft.inside("sink", frame.point(-0.005, at, high - 0.19))
    draft.name("tap", tap, "part")
    draft.spot(frame.surface(-0.005, at, high - 0.192, depth, width - 0.012), "sink", "in", 0.9)
    for side in (-1, 1):
        edge = at + side * width
        middle, half = (edge + side * half_v) / 2, (half_v - side * edge) / 2
        draft.spot(frame.surface(0, middle, high, 0.27, half - 0.01), "counter", "on", 1.1)
    back = frame.moved(0.34, 0)
    draft.block(back, (0.06, 0, 1.2), (0.01, half_v + 0.4, 1.2), draft.paint())
    ledge = draft.block(back, (-0.01, 0, high + 0.13), (0.06, half_v, 0.13), draft.paint())
    draft.name("ledge", (ledge,))
    draft.spot(back.surface(-0.01, 0, high + 0.26, 0.06, half_v), "ledge", "on", 0.6)


def window_sill(draft: Draft) -> None:
    """A window with a sill, a cupboard under it and a side table."""
    frame = facing(draft.between(1.6, 1.9), draft.between(-0.2, 0.2), draft.between(-0.1, 0.1))
    half_v, high = draft.between(0.65, 0.85), draft.between(0.82, 0.98)
    wall = draft.paint()
    draft.block(frame, (0.30, 0, (high - 0.03) / 2), (0.06, half_v + 0.5, (high - 0.03) / 2), wall)
    frame_of_window(draft, frame.moved(0.33, 0), half_v, high, high + draft.between(0.6, 0.8))
    sill = draft.block(frame, (0.10, 0, high - 0.015), (0.16, half_v + 0.05, 0.015), draft.paint())
    draft.name("window sill", (sill,))
    draft.spot(frame.surface(0.09, 0, high, 0.14, half_v), "window sill", "on", 1.6)
    low_cupboard = frame.moved(0.04, draft.between(-0.2, 0.2))
    cupboard(draft, low_cupboard, 0.18, 0.38, 0.05, high - 0.12, (_angle(draft), _angle(draft)), "cupboard", 2, False)
    side = draft.side()
    place = Frame(draft.between(0.95, 1.1), side * draft.between(0.62, 0.8), draft.between(-0.3, 0.3))
    table(draft, place, 0.2, 0.24, draft.between(0.45, 0.62), "side table")
    open_box(draft, Frame(draft.between(1.0, 1.15), -side * draft.between(0.35, 0.55)), 0.15, 0.18, 0.25, "bin")


TEMPLATES = (
    Template("cabinet", cabinet),
    Template("chest of drawers", chest_of_drawers),
    Template("sideboard", sideboard),
    Template("kitchen counter", kitchen_counter),
    Template("sink", sink),
    Template("window sill", window_sill),
)
