"""What touches a thing, as the physics has it now."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from sapave_ros.manipulation.settings import Placing
from sapave_ros.sim.world import World

THUMB, FINGERS, HAND, REST = "thumb", "fingers", "hand", "rest of the robot"


class Contacts:
    """Of the thing of a setting, in a world with its scene."""

    def __init__(self, world: World, setting: Placing) -> None:
        self._world = world
        self._thing = world.stage.objects[setting.item.kind, setting.item.variant][0]
        self._tray = world.stage.blocks[setting.tray_block]
        self._furniture = frozenset(world.stage.blocks)
        self._parts = {i: _part(world.model.body(i).name) for i in range(1, world.model.nbody)}

    def forces_n(self) -> dict[str, float]:
        """What presses on it: by part of the robot (`THUMB`, `FINGERS`, ...), the sum of the normal forces [N]."""
        model, data, force = self._world.model, self._world.data, np.zeros(6)
        pressed = dict.fromkeys((THUMB, FINGERS, HAND, REST), 0.0)
        for contact, geom in self._partners():
            if geom in self._furniture:
                continue
            part = self._parts.get(int(model.geom_bodyid[geom]))
            if part is not None:
                mujoco.mj_contactForce(model, data, contact, force)
                pressed[part] += float(force[0])
        return pressed

    def on_tray(self) -> bool:
        """Whether it touches the tray."""
        return any(geom == self._tray for _, geom in self._partners())

    def on_furniture(self) -> bool:
        """Whether it touches anything that does not move."""
        return any(geom in self._furniture for _, geom in self._partners())

    def _partners(self) -> Iterator[tuple[int, int]]:
        """Number of each contact, and the geom that is not its own."""
        model, data = self._world.model, self._world.data
        for contact in range(data.ncon):
            geoms = data.contact.geom[contact]
            own = model.geom_bodyid[geoms] == self._thing
            if own.any():
                yield contact, int(geoms[0] if own[1] else geoms[1])


def _part(body: str) -> str | None:
    """Of the robot, by its links in the URDF; None of what is none of it."""
    if body.startswith(("L_", "R_")):
        return HAND if "hand" in body else THUMB if "thumb" in body else FINGERS
    return REST if body.endswith("_link") or body == "pelvis" else None
