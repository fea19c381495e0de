"""What touches a thing, as the physics has it now."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from sapave_ros.manipulation.settings import Goal, Placing
from sapave_ros.sim.world import World

THUMB, FINGERS, HAND, REST = "thumb", "fingers", "hand", "rest of the robot"


class Contacts:
    """Of the thing of a setting, in a world with its scene."""

    def __init__(self, world: World, setting: Placing, side: str = "") -> None:
        """side: of the robot, if only what its hand does is of interest."""
        self._world = world
        self._thing = world.stage.objects[setting.item.kind, setting.item.variant][0]
        self._bearer = _bearer(world, setting.goal)
        parts = {i: _part(world.model.body(i).name) for i in range(1, world.model.nbody)}
        self._robot = frozenset(i for i, (_, part) in parts.items() if part)
        self._parts = {i: part for i, (of, part) in parts.items() if part and (not side or of == side)}

    def forces_n(self) -> dict[str, float]:
        """What presses on it: by part of the robot (`THUMB`, `FINGERS`, ...), the sum of the normal forces [N]."""
        model, data, force = self._world.model, self._world.data, np.zeros(6)
        pressed = dict.fromkeys((THUMB, FINGERS, HAND, REST), 0.0)
        for contact, geom in self._partners():
            part = self._parts.get(int(model.geom_bodyid[geom]))
            if part is not None:
                mujoco.mj_contactForce(model, data, contact, force)
                pressed[part] += float(force[0])
        return pressed

    def at_goal(self) -> bool:
        """Whether it touches what it is to rest on."""
        return any(geom in self._bearer for _, geom in self._partners())

    def elsewhere(self) -> bool:
        """Whether it touches anything but the robot."""
        return any(int(self._world.model.geom_bodyid[geom]) not in self._robot for _, geom in self._partners())

    def _partners(self) -> Iterator[tuple[int, int]]:
        """Number of each contact, and the geom that is not its own."""
        model, data = self._world.model, self._world.data
        for contact in range(data.ncon):
            geoms = data.contact.geom[contact]
            own = model.geom_bodyid[geoms] == self._thing
            if own.any():
                yield contact, int(geoms[0] if own[1] else geoms[1])


def _bearer(world: World, goal: Goal) -> frozenset[int]:
    """Geoms that the thing is to rest on."""
    if goal.bearer is not None:
        return frozenset((world.stage.blocks[goal.bearer],))
    assert world.scene is not None
    item = world.scene.items[world.scene.index(goal.of)]
    return frozenset(world.stage.objects[item.kind, item.variant][1])


def _part(body: str) -> tuple[str, str]:
    """Of the robot, by its links in the URDF: side and part, both empty of what is none of it."""
    side = "left" if body.startswith(("L_", "left_")) else "right" if body.startswith(("R_", "right_")) else ""
    if body.startswith(("L_", "R_")):
        return side, HAND if "hand" in body else THUMB if "thumb" in body else FINGERS
    return side, REST if body.endswith("_link") or body == "pelvis" else ""
