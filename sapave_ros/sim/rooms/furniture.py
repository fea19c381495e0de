"""Pieces of furniture: each adds its blocks, their names and the places where things stand to a draft.

`frame` is the middle of the piece on the floor; u goes away from its front, v to the left of who faces it [m].
"""

from __future__ import annotations

from sapave_ros.sim.rooms.draft import Draft, Frame, Paint

_BOARD = 0.012
_HANDLE = 0.011


def table(
    draft: Draft, frame: Frame, half_u: float, half_v: float, height: float, name: str = "table", under: float = 0.3
) -> list[int]:
    """A board on four legs. under: share of the place below it."""
    paint = draft.paint()
    top = 0.016
    blocks = [draft.block(frame, (0, 0, height - top), (half_u, half_v, top), paint)]
    for a in (-1, 1):
        for b in (-1, 1):
            at = (a * (half_u - 0.04), b * (half_v - 0.04), height / 2 - top)
            blocks.append(draft.block(frame, at, (0.024, 0.024, height / 2 - top), paint))
    draft.name(name, blocks, centre=frame.point(0, 0, height - top))
    draft.spot(frame.surface(0, 0, height, half_u, half_v), name)
    if under:
        draft.spot(frame.surface(0, 0, 0, half_u - 0.06, half_v - 0.06, height - 0.06), name, "under", under)
    return blocks


def stool(draft: Draft, frame: Frame, half: float, height: float, name: str = "stool") -> None:
    """A seat on one foot."""
    paint = draft.paint()
    blocks = [
        draft.block(frame, (0, 0, height - 0.02), (half, half, 0.02), paint),
        draft.block(frame, (0, 0, (height - 0.04) / 2), (half * 0.45, half * 0.45, (height - 0.04) / 2), paint),
    ]
    draft.name(name, blocks, centre=frame.point(0, 0, height - 0.02))
    draft.spot(frame.surface(0, 0, height, half, half), name)


def boards(
    draft: Draft,
    frame: Frame,
    half_u: float,
    half_v: float,
    heights: list[float],
    name: str,
    back: bool = False,
    several: bool = False,
) -> None:
    """Boards between two sides, open to the front; the last height is the top.

    back: closed behind. several: there are others in the room, so the boards are called after this one.
    """
    paint = draft.paint()
    blocks = []
    names = board_names(len(heights))
    for i, z in enumerate(heights):
        blocks.append(draft.block(frame, (0, 0, z - _BOARD), (half_u, half_v, _BOARD), paint))
        board = f"{names[i]} of the {name}" if several else names[i]
        clearance = heights[i + 1] - z - 2 * _BOARD - 0.01 if i + 1 < len(heights) else 1.0
        draft.name(board, (blocks[-1],), "part", frame.point(0, 0, z))
        inner = half_v - 2 * _BOARD
        draft.spot(frame.surface(0, 0, z, half_u, inner, clearance), board, share=0.9)
    for s in (-1, 1):
        half = (half_u, _BOARD, heights[-1] / 2)
        blocks.append(draft.block(frame, (0, s * (half_v - _BOARD), heights[-1] / 2), half, paint))
    if back:
        half = (0.006, half_v, heights[-1] / 2)
        blocks.append(draft.block(frame, (half_u + 0.006, 0, heights[-1] / 2), half, paint))
    draft.name(name, blocks)


def board_names(count: int) -> list[str]:
    """What people call boards, from the lowest."""
    if count == 1:
        return ["board"]
    middle = {2: [], 3: ["middle shelf"], 4: ["second shelf", "third shelf"]}.get(
        count, ["second shelf", "middle shelf", "fourth shelf"]
    )
    return ["bottom shelf", *middle, "top shelf"]


def cupboard(
    draft: Draft,
    frame: Frame,
    half_u: float,
    half_v: float,
    low: float,
    high: float,
    angles: tuple[float, ...],
    name: str,
    levels: int = 2,
    top: bool = True,
    doors: tuple[str, ...] = ("left door", "right door"),
) -> None:
    """A case with a door hinged at its side, or two, opened by so many radians; levels: places one above the other.

    top: whether things may stand on it. doors: what they are called.
    """
    paint, doors_paint, handle_paint = draft.paint(), draft.paint(), draft.metal()
    t, middle, half = _BOARD, (low + high) / 2, (high - low) / 2
    blocks = [
        draft.block(frame, (half_u - 0.006, 0, middle), (0.006, half_v, half), paint),
        *(draft.block(frame, (0, s * (half_v - t), middle), (half_u, t, half), paint) for s in (-1, 1)),
        *(draft.block(frame, (0, 0, z), (half_u, half_v, t), paint) for z in (low + t, high - t)),
    ]
    step = (high - low - 2 * t) / levels
    for i in range(1, levels):
        at = (0.01, 0, low + t + i * step)
        blocks.append(draft.block(frame, at, (half_u - 0.02, half_v - 2 * t, 0.008), paint))
    open_share = 0.9 if max(angles) > 1.0 else 0.55 if max(angles) > 0.3 else 0.4
    for i in range(levels):
        z = low + 2 * t if i == 0 else low + t + i * step + 0.008
        clearance = (low + t + (i + 1) * step) - z - 0.02
        surface = frame.surface(0.01, 0, z, half_u - 0.03, half_v - 2 * t - 0.005, clearance)
        draft.spot(surface, name, "in", open_share / levels * 1.6)
    if top:
        draft.spot(frame.surface(0, 0, high, half_u, half_v), name, "on", 0.7)
    width = 2 * half_v / len(angles)
    sides = (1, -1) if len(angles) == 2 else (draft.side(),)
    parts: list[tuple[str, tuple[int, ...]]] = []
    for label, side, angle in zip(doors, sides, angles, strict=True):
        hinge = frame.moved(-half_u - 0.010, side * half_v)
        turn = -side * angle
        leaf = Frame(hinge.x, hinge.y, hinge.yaw + turn)
        door = draft.block(leaf, (0, -side * width / 2, middle), (0.009, width / 2 - 0.004, half - 0.004), doors_paint)
        grip = draft.block(leaf, (-0.026, -side * (width - 0.045), middle), (0.016, _HANDLE, 0.055), handle_paint)
        parts += [(label, (door,)), (f"handle of the {label}", (grip,))]
        blocks += [door, grip]
    draft.name(name, blocks, centre=frame.point(0, 0, middle))
    for label, part in parts:
        draft.name(label, part, "part")
    draft.inside(name, frame.point(0, 0, middle))


def drawers(
    draft: Draft,
    frame: Frame,
    half_u: float,
    half_v: float,
    low: float,
    high: float,
    out: list[float],
    name: str,
    top: bool = True,
) -> None:
    """A chest whose drawers are drawn out that far [m], from the lowest; what is drawn out less than 5 cm is shut."""
    paint, front_paint, handle_paint = draft.paint(), draft.paint(), draft.metal()
    t, middle, half = _BOARD, (low + high) / 2, (high - low) / 2
    blocks = [
        draft.block(frame, (half_u - 0.006, 0, middle), (0.006, half_v, half), paint),
        *(draft.block(frame, (0, s * (half_v - t), middle), (half_u, t, half), paint) for s in (-1, 1)),
        *(draft.block(frame, (0, 0, z), (half_u, half_v, t), paint) for z in (low + t, high - t)),
    ]
    step = (high - low - 4 * t) / len(out)
    parts: list[tuple[str, tuple[int, ...]]] = []
    insides = []
    for i, drawn in enumerate(out):
        z0 = low + 2 * t + i * step
        label = _drawer_names(len(out))[i]
        u = -half_u - 0.010 - drawn
        z = z0 + step / 2
        front = draft.block(frame, (u, 0, z), (0.009, half_v - 0.004, step / 2 - 0.004), front_paint)
        grip = draft.block(frame, (u - 0.024, 0, z), (0.016, 0.055, _HANDLE), handle_paint)
        blocks += [front, grip]
        body: list[int] = [front]
        if drawn >= 0.05:
            depth = min(drawn + 0.10, 2 * half_u)  # a part of the drawer stays in the chest
            at_u = u + 0.009 + depth / 2
            body.append(draft.block(frame, (at_u, 0, z0 + 0.010), (depth / 2, half_v - 3 * t, 0.006), paint))
            rim = 0.32 * step
            for s in (-1, 1):
                at = (at_u, s * (half_v - 2.6 * t), z0 + 0.004 + rim)
                body.append(draft.block(frame, at, (depth / 2, 0.006, rim), paint))
            blocks += body[1:]
            covered = i + 1 < len(out) and out[i + 1] > 0.05
            space = step - 0.03 if covered else 0.30
            surface = frame.surface(u + 0.009 + drawn / 2, 0, z0 + 0.016, drawn / 2 - 0.006, half_v - 3.4 * t, space)
            draft.spot(surface, label, "in", 0.9)
        parts += [(label, tuple(body)), (f"handle of the {label}", (grip,))]
        insides.append((label, frame.point(u + max(drawn, 0.05) / 2, 0, z)))
    if top:
        draft.spot(frame.surface(0, 0, high, half_u, half_v), name, "on", 1.2)
    draft.name(name, blocks, centre=frame.point(0, 0, middle))
    for label, part in parts:
        draft.name(label, part, "part", draft.blocks[part[0]].centre)
    for label, centre in insides:
        draft.inside(label, centre)


def _drawer_names(count: int) -> list[str]:
    if count == 1:
        return ["drawer"]
    middle = {2: [], 3: ["middle drawer"]}.get(count, ["third drawer", "second drawer"])
    return ["bottom drawer", *middle, "top drawer"]


def open_box(
    draft: Draft, frame: Frame, half_u: float, half_v: float, height: float, name: str, z: float = 0.0
) -> None:
    """A box without a lid: things are in it, and behind it where it stands on the floor."""
    paint = draft.paint()
    blocks = [
        draft.block(frame, (0, 0, z + 0.006), (half_u, half_v, 0.006), paint),
        *(draft.block(frame, (s * half_u, 0, z + height / 2), (0.008, half_v, height / 2), paint) for s in (-1, 1)),
        *(draft.block(frame, (0, s * half_v, z + height / 2), (half_u, 0.008, height / 2), paint) for s in (-1, 1)),
    ]
    draft.name(name, blocks, centre=frame.point(0, 0, z + height / 2))
    draft.inside(name, frame.point(0, 0, z + 0.05))
    draft.spot(frame.surface(0, 0, z + 0.012, half_u - 0.012, half_v - 0.012), name, "in", 0.9)
    if z == 0.0:
        draft.spot(frame.surface(half_u + 0.16, 0, 0, 0.14, half_v), name, "behind", 0.7)


def screen(draft: Draft, frame: Frame, half_v: float, low: float, high: float, name: str, behind: float = 0.7) -> None:
    """An upright panel, and the place behind it."""
    paint: Paint = draft.paint()
    panel = draft.block(frame, (0, 0, (low + high) / 2), (0.012, half_v, (high - low) / 2), paint)
    draft.name(name, (panel,))
    if behind:
        draft.spot(frame.surface(0.16, 0, low, 0.13, half_v), name, "behind", behind)


def frame_of_window(draft: Draft, frame: Frame, half_v: float, low: float, high: float) -> None:
    """A window: a bright pane and a cross, before a wall."""
    paint, sky = draft.metal(), ((0.80, 0.90, 1.0), "plain")
    middle, half = (low + high) / 2, (high - low) / 2
    glass = draft.block(frame, (0, 0, middle), (0.004, half_v, half), sky)
    bars = [
        draft.block(frame, (-0.01, 0, middle), (0.012, 0.02, half), paint),
        draft.block(frame, (-0.01, 0, middle), (0.012, half_v, 0.02), paint),
        *(draft.block(frame, (-0.01, s * half_v, middle), (0.02, 0.025, half), paint) for s in (-1, 1)),
        *(draft.block(frame, (-0.01, 0, z), (0.02, half_v, 0.025), paint) for z in (low, high)),
    ]
    draft.name("window", (glass, *bars))


def chair(draft: Draft, frame: Frame, name: str = "chair") -> None:
    """A seat with a back; its back is at u > 0."""
    paint = draft.paint()
    h = draft.between(0.40, 0.46)
    blocks = [
        draft.block(frame, (0, 0, h - 0.015), (0.20, 0.20, 0.015), paint),
        draft.block(frame, (0.19, 0, h + 0.22), (0.012, 0.19, 0.22), paint),
        *(draft.block(frame, (a * 0.17, b * 0.17, h / 2 - 0.015), (0.018, 0.018, h / 2 - 0.015), paint)
          for a in (-1, 1) for b in (-1, 1)),
    ]  # fmt: skip
    draft.name(name, blocks, centre=frame.point(0, 0, h))
    draft.spot(frame.surface(-0.01, 0, h, 0.18, 0.19), name, "on", 0.6)
    draft.spot(frame.surface(0, 0, 0, 0.14, 0.14, h - 0.05), name, "under", 0.25)
