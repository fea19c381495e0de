"""Settings of ActiveManip-Bench for tests: of one side, and with a thing put somewhere."""

from __future__ import annotations

from typing import Any

import mujoco

from sapave_ros.manipulation.settings import CONDITIONS, Placing
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.sim.world import World


def of_side(task: str, side: str, condition: str = CONDITIONS[0]) -> Any:
    """The first setting of a task for that hand."""
    return next(s for s in (TASKS[task].setting(seed, condition) for seed in range(50)) if s.side == side)


def put(world: World, setting: Placing, position, turn=(1.0, 0.0, 0.0, 0.0)) -> None:
    """The thing there, at rest."""
    body, _ = world.stage.objects[setting.item.kind, setting.item.variant]
    joint = world.model.body_jntadr[body]
    q, v = world.model.jnt_qposadr[joint], world.model.jnt_dofadr[joint]
    world.data.qpos[q : q + 7] = (*position, *turn)
    world.data.qvel[v : v + 6] = 0.0
    mujoco.mj_forward(world.model, world.data)
