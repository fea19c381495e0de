"""Contact sheets: every kind of object, and every template from the side and through the head camera, as pictures.

    python -m sapave_ros.sim.rooms.sheet FOLDER

writes `objects.png` and `rooms.png`: to see with one's own eyes what the data are made of.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.sim.catalogue import CATALOGUE
from sapave_ros.sim.objects import COLOURS, random_colour
from sapave_ros.sim.rendering import HEAD_CAMERA, OBSERVER_CAMERA
from sapave_ros.sim.rooms import TEMPLATES, make_room
from sapave_ros.sim.scene import Block, Item, Light, Scene
from sapave_ros.sim.world import World

Picture = NDArray[np.uint8]


def objects_sheet(world: World, columns: int = 10, size: tuple[int, int] = (160, 200)) -> Picture:
    """Every kind on a bare table, cut out of the head camera's picture and enlarged to (height, width)."""
    random = np.random.default_rng(0)
    cells = []
    for i, kind in enumerate(CATALOGUE.values()):
        colour = str(random.choice(kind.colours or COLOURS[:6]))
        item = Item(kind.name, colour, 1, random_colour(colour, random), (0.80, 0.0, 0.70), 0.5 - 0.35 * (i % 3))
        world.load(_stand(item))
        world.set_positions(g1.HEAD, world.head_pose_towards(item.name))
        rgb, mask = world.picture(), world.segmentation() == 0
        cells.append(_labelled(_cut(rgb, mask, size), f"{kind.name}{'*' if kind.held_out else ''}"))
    return tiles(cells, columns)


def rooms_sheet(world: World, seeds: Sequence[int] = (0,), templates: Sequence[str] = tuple(TEMPLATES)) -> Picture:
    """Every template: the spectator's picture, and three of the head camera, from left to right."""
    rows = []
    for template in templates:
        for seed in seeds:
            room = make_room(template, seed, list(CATALOGUE))
            world.load(room.scene)
            height = HEAD_CAMERA.height
            observer = cv2.resize(
                world.picture(OBSERVER_CAMERA), (height * OBSERVER_CAMERA.width // OBSERVER_CAMERA.height, height),
                interpolation=cv2.INTER_AREA,
            )  # fmt: skip
            views = [observer]
            for yaw in (0.55, 0.0, -0.55):
                world.set_positions(g1.HEAD, np.array([yaw, 0.5]))
                views.append(world.picture())
            rows.append(_labelled(np.hstack(views), f"{template} {seed}: {', '.join(room.scene.names)}"))
    return np.vstack(rows)


def tiles(cells: Sequence[Picture], columns: int) -> Picture:
    """Pictures of one size in rows."""
    blank = np.zeros_like(cells[0])
    filled = [*cells, *[blank] * (-len(cells) % columns)]
    return np.vstack([np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)])


def _stand(item: Item) -> Scene:
    table = Block((0.95, 0.0, 0.65), (0.45, 0.8, 0.05), 0.0, (0.55, 0.52, 0.5))
    wall = Block((2.5, 0.0, 1.0), (0.05, 4.0, 2.0), 0.0, (0.75, 0.78, 0.8))
    lights = (Light((0.5, 0.4, -1.0), (0.5, 0.5, 0.5)), Light((0.3, -0.7, -1.0), (0.3, 0.3, 0.3)))
    return Scene(
        0, (table, wall), (item,), lights, 0.4, (0.0, 0.5), (0.0,) * len(g1.ARMS), tuple(g1.HANDS.lower.tolist())
    )


def _cut(rgb: Picture, mask: NDArray[np.bool_], size: tuple[int, int]) -> Picture:
    """The part of the picture around the mask, or all of it where that is empty."""
    v, u = np.nonzero(mask)
    height, width = size
    if not len(v):
        return np.asarray(cv2.resize(rgb, (width, height)), np.uint8)
    half = max((np.ptp(v) / 2 + 6) / height, (np.ptp(u) / 2 + 6) / width)
    cv, cu = (v.min() + v.max()) / 2, (u.min() + u.max()) / 2
    scale = 1 / (2 * half)
    move = np.array([[scale, 0, width / 2 - scale * cu], [0, scale, height / 2 - scale * cv]])
    cut = cv2.warpAffine(np.ascontiguousarray(rgb), move, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(cut, np.uint8)


def _labelled(picture: Picture, text: str) -> Picture:
    strip = np.full((16, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def main(folder: Path) -> None:
    """Writes both sheets."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(kinds=tuple(CATALOGUE))
    for name, sheet in (("objects.png", objects_sheet(world)), ("rooms.png", rooms_sheet(world))):
        cv2.imwrite(str(folder / name), sheet[..., ::-1])
    world.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
