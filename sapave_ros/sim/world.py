"""The stand-in world: a G1 with fixed pelvis in a room, its motors, its eyes, and the truth about what it looks at.

Loading another scene costs under a millisecond. Not thread-safe: a second thread takes a second world (`mirror`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.sim.mechanics import OWN_KD as OWN_KD
from sapave_ros.sim.mechanics import OWN_KP as OWN_KP
from sapave_ros.sim.mechanics import Mechanics
from sapave_ros.sim.mechanisms import Mechanism, handle_pose
from sapave_ros.sim.objects import KINDS, shape
from sapave_ros.sim.rendering import HEAD_CAMERA, Camera
from sapave_ros.sim.scene import MAX_BLOCKS, ROOM_BLOCKS, Scene
from sapave_ros.sim.stage import CAMERA, GROUP_SHOWN, GROUP_TARGET, Fixture
from sapave_ros.sim.view import FreeRenderer
from sapave_ros.types import Floats


@dataclass(frozen=True)
class LookTarget:
    """How the head camera sees one object.

    angle_rad: between the optical axis and the object's centre. centre_in_camera: (3,) [m], x right, y
    down, z forward. pixel: (2,) u, v of the centre, NaN behind the camera. in_view: the centre falls
    into the picture. visible_fraction: visible pixels over the pixels that the object alone would
    cover in the picture, 0 where that is none; None where it was not asked for.
    """

    name: str
    angle_rad: float
    centre_in_camera: Floats
    pixel: Floats
    in_view: bool
    visible_fraction: float | None = None


class World(Mechanics):
    """One robot in one room. Arrays are in the order of the named `g1` group; motors: `g1.MOTOR_NAMES`, (29,)."""

    def __init__(
        self,
        scene: Scene | None = None,
        kinds: Sequence[str] = KINDS,
        blocks: int | None = None,
        loose: Collection[tuple[str, int]] = (),
        mechanisms: Sequence[Mechanism] = (),
    ) -> None:
        """kinds: what can be in its scenes, of the catalogue. blocks: how many blocks a scene may have; None is
        what `random_scene` needs where only its kinds are there, else what a room of `sim.rooms` needs. loose: what can
        be moved, and mechanisms: what is there, in every scene that is loaded.
        """
        if blocks is None:
            blocks = MAX_BLOCKS if set(kinds) <= set(KINDS) else ROOM_BLOCKS
        super().__init__(kinds, blocks, loose, mechanisms)
        self._scratch = mujoco.MjData(self.model)
        self._renderer: FreeRenderer | None = None
        self._camera_id = self.model.camera(CAMERA).id
        self.scene: Scene | None = None
        self._item_of_geom = np.full(self.model.ngeom + 1, -1, np.int16)  # the last entry serves id -1
        self._block_of_geom = self._item_of_geom.copy()
        self._block_of_geom[list(self.stage.blocks)] = np.arange(len(self.stage.blocks))
        if scene is not None:
            self.load(scene)
        else:
            self.reset()

    @classmethod
    def of(cls, scene: Scene) -> World:
        """A world for that scene alone: it compiles nothing that is not in it, which makes steps and pictures cheap."""
        loose = frozenset((item.kind, item.variant) for item in scene.items if item.loose)
        kinds = tuple(dict.fromkeys(item.kind for item in scene.items))
        return cls(scene, kinds, len(scene.blocks), loose, scene.mechanisms)

    # -- scene and state -------------------------------------------------------------------------

    def load(self, scene: Scene) -> None:
        """Puts that scene in place of the present one and the robot into its start pose, at rest, at time 0."""
        self.stage.load(scene)
        self.scene = scene
        self._item_of_geom[:] = -1
        for i, item in enumerate(scene.items):
            _, geoms = self.stage.objects[item.kind, item.variant]
            self._item_of_geom[list(geoms)] = i
        for i, fixture in enumerate(self.stage.fixtures, len(scene.items)):
            self._item_of_geom[list(fixture.handle)] = i
        self.reset()

    def reset(self) -> None:
        """The scene's start pose (all joints zero without a scene), at rest, at time 0."""
        mujoco.mj_resetData(self.model, self.data)
        if self.scene is not None:
            for fixture in self.stage.fixtures:
                self.data.qpos[self.model.jnt_qposadr[fixture.joint]] = fixture.mechanism.start
            self.set_positions(g1.HEAD, np.array(self.scene.head))
            self.set_positions(g1.HANDS, np.array(self.scene.hands))
            self.set_positions(g1.ARMS, np.array(self.scene.arms))
        else:
            self.set_positions(g1.POLICY, np.zeros(len(g1.POLICY)))

    # -- eyes ------------------------------------------------------------------------------------

    @property
    def renderer(self) -> FreeRenderer:
        """What draws this world; opened when it is asked for first, closed with the world."""
        if self._renderer is None:
            self._renderer = FreeRenderer(self.model)
        return self._renderer

    def render(self, camera: Camera = HEAD_CAMERA) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Colour (H, W, 3) and depth (H, W) [mm], as `Renderer.rgbd`."""
        return self.renderer.rgbd(self.data, camera)

    def picture(self, camera: Camera = HEAD_CAMERA) -> NDArray[np.uint8]:
        """Colour alone (H, W, 3): a quarter cheaper than `render`."""
        return self.renderer.rgb(self.data, camera)

    def segmentation(self, camera: Camera = HEAD_CAMERA) -> NDArray[np.int16]:
        """Index into `scene.names` of every pixel (H, W), -1 where no object and no mechanism's handle is."""
        return self._item_of_geom[self.renderer.geoms(self.data, camera)]

    def segmentation_all(self, camera: Camera = HEAD_CAMERA) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Indices into `scene.names` and into `scene.blocks` of every pixel, (H, W) each, -1 where none is; in one
        pass."""
        geoms = self.renderer.geoms(self.data, camera)
        return self._item_of_geom[geoms], self._block_of_geom[geoms]

    @property
    def camera_in_torso(self) -> Floats:
        """Pose of the head camera's optical frame (x right, y down, z forward) in torso_link, (4, 4)."""
        d = self.data
        torso = self.model.body("torso_link").id
        rotation = d.xmat[torso].reshape(3, 3)
        pose = np.eye(4)
        pose[:3, :3] = rotation.T @ self._camera_rotation(d)
        pose[:3, 3] = rotation.T @ (d.cam_xpos[self._camera_id] - d.xpos[torso])
        return pose

    def camera_pose(self, head: Floats) -> Floats:
        """Pose of the same frame in the world (4, 4), with the head at a position (2,) [rad] and all else as it is."""
        scratch = self._scratch
        scratch.qpos[:] = self.data.qpos
        scratch.qpos[self._group(g1.HEAD)[0]] = head
        mujoco.mj_kinematics(self.model, scratch)
        mujoco.mj_camlight(self.model, scratch)
        pose = np.eye(4)
        pose[:3, :3] = self._camera_rotation(scratch)
        pose[:3, 3] = scratch.cam_xpos[self._camera_id]
        return pose

    def centre(self, name: str) -> Floats:
        """Centre of that object, or of that mechanism's handle, in the world (3,) [m]. Raises KeyError that lists the
        names."""
        if self._fixture(name) is not None:
            return self.pose(name)[:3, 3]
        item = self._scene().items[self._scene().index(name)]
        if not item.loose:
            return self.stage.centre(item)
        pose = self.pose(name)
        return pose[:3, 3] + pose[:3, :3] @ shape(item.kind, item.variant).centre

    def pose(self, name: str) -> Floats:
        """Where that object is, or that mechanism's handle, in the world, (4, 4). Raises KeyError that lists the
        names."""
        fixture = self._fixture(name)
        if fixture is not None:
            return handle_pose(fixture.mechanism, self.joint_state(name))
        item = self._scene().items[self._scene().index(name)]
        body, _ = self.stage.objects[item.kind, item.variant]
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.data.xmat[body].reshape(3, 3), self.data.xpos[body]
        return pose

    def free_joint(self, name: str) -> int | None:
        """Where in `data.qpos` the pose of that object begins; None where it cannot be moved, or is a mechanism. Raises
        KeyError that lists the names."""
        if self._fixture(name) is not None:
            return None
        item = self._scene().items[self._scene().index(name)]
        if not item.loose:
            return None
        body, _ = self.stage.objects[item.kind, item.variant]
        return int(self.model.jnt_qposadr[self.model.body_jntadr[body]])

    def joint_state(self, name: str) -> float:
        """Of that mechanism [m or rad]. Raises KeyError that lists the names."""
        return float(self.data.qpos[self.model.jnt_qposadr[self._joint(name)]])

    def set_joint_state(self, name: str, state: float) -> None:
        """Puts that mechanism there at once, at rest. Raises KeyError that lists the names."""
        joint = self._joint(name)
        self.data.qpos[self.model.jnt_qposadr[joint]] = state
        self.data.qvel[self.model.jnt_dofadr[joint]] = 0.0
        self._update_kinematics()

    def look_target(self, name: str, *, visibility: bool = True, camera: Camera = HEAD_CAMERA) -> LookTarget:
        """How the head camera sees that object now. Without visibility nothing is rendered.

        Raises KeyError that lists the names.
        """
        in_camera = self._in_camera(self.data, self.centre(name))
        x, y, z = in_camera
        k = camera.intrinsics
        pixel = np.array([k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]]) if z > 0 else np.full(2, np.nan)
        in_view = bool(z > 0 and -0.5 <= pixel[0] <= camera.width - 0.5 and -0.5 <= pixel[1] <= camera.height - 0.5)
        angle = math.atan2(math.hypot(x, y), z)
        fraction = self._visible_fraction(name, camera) if visibility else None
        return LookTarget(name, angle, in_camera, pixel, in_view, fraction)

    def head_pose_towards(self, name: str) -> Floats:
        """Head position (2,) [rad] that brings that object's centre closest to the optical axis, within the limits.

        Raises KeyError that lists the names.
        """
        return self.head_pose_towards_point(self.centre(name))

    def head_pose_towards_point(self, point: Floats) -> Floats:
        """Head position (2,) [rad] that brings a point of the world (3,) [m] closest to the optical axis, within the
        limits.

        Newton's method on (x/z, y/z) of the point in the camera, from the direction of the point.
        """
        centre = np.asarray(point, dtype=np.float64)
        scratch = self._scratch
        scratch.qpos[:] = self.data.qpos
        qpos = self._group(g1.HEAD)[0]
        lower, upper = g1.HEAD.lower, g1.HEAD.upper
        offset = centre - self.data.xpos[self.model.body("head_yaw_link").id]
        q = np.array([math.atan2(offset[1], offset[0]), math.atan2(-offset[2], math.hypot(offset[0], offset[1]))])
        q = np.clip(q, lower, upper)
        for _ in range(6):
            miss = self._miss(scratch, qpos, q, centre)
            step = 1e-4
            jacobian = np.column_stack(
                [(self._miss(scratch, qpos, q + step * e, centre) - miss) / step for e in np.eye(2)]
            )
            change = np.linalg.solve(jacobian, miss)
            q = np.clip(q - np.clip(change, -0.5, 0.5), lower, upper)
            if np.abs(change).max() < 1e-5:
                break
        return q

    def visible_when_centred(self, name: str, camera: Camera = HEAD_CAMERA) -> float:
        """The object's visible fraction from the head pose that centres it; the state stays as it is."""
        qpos = self._group(g1.HEAD)[0]
        before = self.data.qpos[qpos].copy()
        try:
            self.data.qpos[qpos] = self.head_pose_towards(name)
            self._update_kinematics()
            return self._visible_fraction(name, camera)
        finally:
            self.data.qpos[qpos] = before
            self._update_kinematics()

    def visible_fraction(
        self, item: int | None = None, blocks: Sequence[int] = (), camera: Camera = HEAD_CAMERA
    ) -> float:
        """Visible pixels of what has that index in `scene.names`, or of some blocks as one, over those that it alone
        would cover in the picture; 0 where that is none.
        """
        geoms = list(self._geoms(item)) if item is not None else [self.stage.blocks[i] for i in blocks]
        self.model.geom_group[geoms] = GROUP_TARGET
        try:
            alone = np.isin(self.renderer.geoms(self.data, camera, target_alone=True), geoms).sum()
            if not alone:
                return 0.0
            visible = np.isin(self.renderer.geoms(self.data, camera), geoms).sum()
        finally:
            self.model.geom_group[geoms] = GROUP_SHOWN
        return float(visible / alone)

    def close(self) -> None:
        """Frees the graphics context, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # -- inside ----------------------------------------------------------------------------------

    def _scene(self) -> Scene:
        if self.scene is None:
            raise RuntimeError("no scene: call load() first")
        return self.scene

    def _fixture(self, name: str) -> Fixture | None:
        """None of an item. Raises KeyError that lists the names."""
        index = self._scene().index(name) - len(self._scene().items)
        return self.stage.fixtures[index] if index >= 0 else None

    def _joint(self, name: str) -> int:
        fixture = self._fixture(name)
        if fixture is None:
            raise KeyError(f"{name!r} is no mechanism; there are {', '.join(m.name for m in self._scene().mechanisms)}")
        return fixture.joint

    def _geoms(self, index: int) -> tuple[int, ...]:
        items = self._scene().items
        if index >= len(items):
            return self.stage.fixtures[index - len(items)].handle
        return self.stage.objects[items[index].kind, items[index].variant][1]

    def _visible_fraction(self, name: str, camera: Camera) -> float:
        return self.visible_fraction(self._scene().index(name), camera=camera)

    def _miss(self, data: mujoco.MjData, qpos: NDArray[np.intp], q: Floats, centre: Floats) -> Floats:
        data.qpos[qpos] = q
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_camlight(self.model, data)
        x, y, z = self._in_camera(data, centre)
        return np.array([x, y]) / max(z, 0.05)

    def _in_camera(self, data: mujoco.MjData, point: Floats) -> Floats:
        return self._camera_rotation(data).T @ (point - data.cam_xpos[self._camera_id])

    def _camera_rotation(self, data: mujoco.MjData) -> Floats:
        """Axes of the optical frame in the world: MuJoCo's camera has y up and looks along -z."""
        return data.cam_xmat[self._camera_id].reshape(3, 3) * np.array([1.0, -1.0, -1.0])
