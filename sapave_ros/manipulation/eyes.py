"""What a policy is given in lockstep: the head camera's picture, joined to joints and geometry as on the robot."""

from __future__ import annotations

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.world import World
from sapave_ros.types import Floats, Observation


class Eyes:
    """The observation builder of the inference node, fed by hand."""

    def __init__(self, kinematics: Kinematics) -> None:
        self._kinematics = kinematics

    def observe(self, world: World, stamp_s: float, positions: Floats, instruction: str) -> Observation:
        """Of the present state. positions: measured (28,) [rad] in `g1.POLICY` order."""
        rgb, depth_mm = world.render()
        # A new one each time: of the joints it has the present positions alone, which are those at the exposure.
        builder, head = ObservationBuilder(self._kinematics.camera_in_torso), len(g1.HEAD)
        builder.joints.add(g1.HEAD.names, stamp_s, positions[:head])
        builder.joints.add(g1.OTHER.names, stamp_s, positions[head:])
        builder.add_depth(stamp_s, depth_mm)
        builder.add_intrinsics(stamp_s, HEAD_CAMERA.intrinsics)
        builder.add_color(stamp_s, rgb)
        observation = builder.take(stamp_s, instruction)
        if isinstance(observation, str):
            raise RuntimeError(f"no observation in lockstep: {observation}")
        return observation
