"""The stand-in world: a G1 with fixed pelvis in a room, its motors, its eyes, and the truth about what it looks at.

Loading another scene costs under a millisecond. Not thread-safe: a second thread takes a second world (`mirror`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.g1 import JointGroup
from sapave_ros.sim.rendering import HEAD_CAMERA, Camera, Renderer
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.stage import CAMERA, GROUP_SHOWN, GROUP_TARGET, NECK_KD, NECK_KP, TIMESTEP_S, build
from sapave_ros.types import Floats

OWN_KP = np.array([300.0] * 12 + [300.0] * 3 + list(g1.ARMS.column("kp")))
OWN_KD = np.array([6.0] * 12 + [6.0] * 3 + list(g1.ARMS.column("kd")))
"""Gains (29,) with which the robot holds itself while nobody else does [N m/rad, N m s/rad]."""


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


class World:
    """One robot in one room. Arrays are in the order of the named `g1` group; motors: `g1.MOTOR_NAMES`, (29,)."""

    def __init__(self, scene: Scene | None = None) -> None:
        self._stage = build()
        self.model = self._stage.model
        self.data = mujoco.MjData(self.model)
        self._scratch = mujoco.MjData(self.model)
        self._renderer: Renderer | None = None
        self._camera_id = self.model.camera(CAMERA).id
        self._motor_q, self._motor_v = self._addresses(g1.MOTOR_NAMES)
        self._motor_u = self._actuators(g1.MOTOR_NAMES)
        self._hand_u = self._actuators(g1.HANDS.names)
        self._hand_act = self.model.actuator_actadr[self._hand_u]
        self._neck_u = self._actuators(g1.HEAD.names)
        self._addresses_of: dict[tuple[str, ...], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        self._coupled = [
            (int(self.model.jnt_qposadr[a]), int(self.model.jnt_qposadr[b]), float(self.model.eq_data[i, 1]))
            for i in range(self.model.neq)
            for a, b in [(self.model.eq_obj1id[i], self.model.eq_obj2id[i])]
        ]
        self.scene: Scene | None = None
        self._item_of_geom = np.full(self.model.ngeom + 1, -1, np.int16)  # the last entry serves id -1
        self._centres: Floats = np.empty((0, 3))
        if scene is not None:
            self.load(scene)
        else:
            self.reset()

    # -- scene and state -------------------------------------------------------------------------

    def load(self, scene: Scene) -> None:
        """Puts that scene in place of the present one and the robot into its start pose, at rest, at time 0."""
        self._stage.load(scene)
        self.scene = scene
        self._item_of_geom[:] = -1
        centres = []
        for i, item in enumerate(scene.items):
            _, geoms = self._stage.objects[item.kind, item.variant]
            self._item_of_geom[list(geoms)] = i
            centres.append(self._stage.centre(item))
        self._centres = np.array(centres).reshape(-1, 3)
        self.reset()

    def reset(self) -> None:
        """The scene's start pose (all joints zero without a scene), at rest, at time 0."""
        mujoco.mj_resetData(self.model, self.data)
        if self.scene is not None:
            self.set_positions(g1.HEAD, np.array(self.scene.head))
            self.set_positions(g1.HANDS, np.array(self.scene.hands))
            self.set_positions(g1.ARMS, np.array(self.scene.arms))
        else:
            self.set_positions(g1.POLICY, np.zeros(len(g1.POLICY)))

    @property
    def time_s(self) -> float:
        """Simulated time since `load` or `reset` [s]."""
        return float(self.data.time)

    def step(self, n: int = 1) -> None:
        """Advances by n steps of `stage.TIMESTEP_S`."""
        mujoco.mj_step(self.model, self.data, n)

    def run(self, duration_s: float) -> None:
        """Advances by about that time: a whole number of steps."""
        self.step(round(duration_s / TIMESTEP_S))

    def positions(self, group: JointGroup) -> Floats:
        """Joint positions [rad], (n,)."""
        return self.data.qpos[self._group(group)[0]].copy()

    def velocities(self, group: JointGroup) -> Floats:
        """Joint velocities [rad/s], (n,)."""
        return self.data.qvel[self._group(group)[1]].copy()

    @property
    def motor_positions(self) -> Floats:
        """Body motors [rad], (29,)."""
        return self.data.qpos[self._motor_q].copy()

    @property
    def motor_velocities(self) -> Floats:
        """Body motors [rad/s], (29,)."""
        return self.data.qvel[self._motor_v].copy()

    @property
    def motor_torques(self) -> Floats:
        """Torque that each body motor gave in the last step [N m], (29,)."""
        return self.data.actuator_force[self._motor_u].copy()

    @property
    def imu_quaternion(self) -> Floats:
        """Orientation of the pelvis (w, x, y, z): upright, as the pelvis is fixed."""
        return self.data.xquat[self.model.body("pelvis").id].copy()

    def set_positions(self, group: JointGroup, q: Floats) -> None:
        """Puts joints there at once, at rest, and makes it their target; for start poses and lockstep.

        Raises ValueError on a wrong length or a value that is not finite.
        """
        q = _checked("q", q, len(group))
        qpos, qvel = self._group(group)
        self.data.qpos[qpos], self.data.qvel[qvel] = q, 0.0
        for driven, driver, ratio in self._coupled:
            self.data.qpos[driven] = ratio * self.data.qpos[driver]
        at_rest = np.zeros(g1.NUM_MOTORS)
        self.set_motor_targets(self.motor_positions, at_rest, at_rest, OWN_KP, OWN_KD)
        self.set_hand_targets(self.positions(g1.HANDS))
        self.data.act[self._hand_act] = self.data.ctrl[self._hand_u]  # the lag behind the target is over
        self.set_neck_target(self.positions(g1.HEAD))
        self._update_kinematics()

    def mirror(self, qpos: Floats) -> None:
        """Shows the state of another world with the same scene: its `data.qpos`. For rendering beside the physics."""
        self.data.qpos[:] = qpos
        self._update_kinematics()

    # -- motors ----------------------------------------------------------------------------------

    def set_motor_targets(self, q: Floats, dq: Floats, tau: Floats, kp: Floats, kd: Floats) -> None:
        """The law of the real motors, in force until the next call: tau + kp (q - q_now) + kd (dq - dq_now).

        All (29,) in motor order, clipped to each motor's effort. Raises ValueError on a wrong length or a
        value that is not finite.
        """
        q, dq, tau, kp, kd = (
            _checked(name, value, g1.NUM_MOTORS)
            for name, value in zip(("q", "dq", "tau", "kp", "kd"), (q, dq, tau, kp, kd), strict=True)
        )
        self.data.ctrl[self._motor_u] = tau + kp * q + kd * dq
        self.model.actuator_biasprm[self._motor_u, 1] = -kp
        self.model.actuator_biasprm[self._motor_u, 2] = -kd

    def set_hand_targets(self, q: Floats) -> None:
        """Position targets of the fingers [rad], (12,) in `g1.HANDS` order."""
        kp = -self.model.actuator_biasprm[self._hand_u, 1]
        self.data.ctrl[self._hand_u] = kp * _checked("q", q, len(g1.HANDS))

    def set_neck_target(self, q: Floats | None) -> None:
        """Position target of the neck servos [rad], (2,) in `g1.HEAD` order; None: torque off."""
        on = q is not None
        self.model.actuator_biasprm[self._neck_u, 1] = -NECK_KP if on else 0.0
        self.model.actuator_biasprm[self._neck_u, 2] = -NECK_KD if on else 0.0
        self.data.ctrl[self._neck_u] = 0.0 if q is None else NECK_KP * _checked("q", q, len(g1.HEAD))

    # -- eyes ------------------------------------------------------------------------------------

    def render(self, camera: Camera = HEAD_CAMERA) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Colour (H, W, 3) and depth (H, W) [mm], as `Renderer.rgbd`."""
        return self._eyes().rgbd(self.data, camera)

    def picture(self, camera: Camera = HEAD_CAMERA) -> NDArray[np.uint8]:
        """Colour alone (H, W, 3): a quarter cheaper than `render`."""
        return self._eyes().rgb(self.data, camera)

    def segmentation(self, camera: Camera = HEAD_CAMERA) -> NDArray[np.int16]:
        """Index into `scene.items` of every pixel (H, W), -1 where no object is."""
        return self._item_of_geom[self._eyes().geoms(self.data, camera)]

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

    def centre(self, name: str) -> Floats:
        """Centre of that object in the world (3,) [m]. Raises KeyError that lists the names."""
        return self._centres[self._scene().index(name)].copy()

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

        Newton's method on (x/z, y/z) of the centre in the camera, from the direction of the centre. Raises
        KeyError that lists the names.
        """
        centre = self.centre(name)
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

    def close(self) -> None:
        """Frees the graphics context, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # -- inside ----------------------------------------------------------------------------------

    def _eyes(self) -> Renderer:
        if self._renderer is None:
            self._renderer = Renderer(self.model)
        return self._renderer

    def _scene(self) -> Scene:
        if self.scene is None:
            raise RuntimeError("no scene: call load() first")
        return self.scene

    def _visible_fraction(self, name: str, camera: Camera) -> float:
        item = self._scene().items[self._scene().index(name)]
        geoms = list(self._stage.objects[item.kind, item.variant][1])
        self.model.geom_group[geoms] = GROUP_TARGET
        try:
            alone = np.isin(self._eyes().geoms(self.data, camera, target_alone=True), geoms).sum()
            if not alone:
                return 0.0
            visible = np.isin(self._eyes().geoms(self.data, camera), geoms).sum()
        finally:
            self.model.geom_group[geoms] = GROUP_SHOWN
        return float(visible / alone)

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

    def _update_kinematics(self) -> None:
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _group(self, group: JointGroup) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        names = group.names
        if names not in self._addresses_of:
            self._addresses_of[names] = self._addresses(names)
        return self._addresses_of[names]

    def _addresses(self, names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        joints = [self.model.joint(n).id for n in names]
        return self.model.jnt_qposadr[joints].astype(np.intp), self.model.jnt_dofadr[joints].astype(np.intp)

    def _actuators(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        return np.array([self.model.actuator(n).id for n in names], dtype=np.intp)


def _checked(name: str, values: Floats, n: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"{name}: shape {array.shape}, expected ({n},)")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {array}, expected finite values")
    return array
