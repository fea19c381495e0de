"""The MuJoCo model: the robot from its URDF, and slots that any scene can be put into.

Compiling takes a hundred times longer than loading a scene, so it is done once. A scene then only moves,
recolours, shows or hides what is there: boxes for furniture, each kind of object in each of its sizes, two lights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.sim.mechanisms import Mechanism, anatomy
from sapave_ros.sim.objects import KINDS, VARIANTS, Part, Shape, revolve, shape
from sapave_ros.sim.scene import MAX_BLOCKS, TEXTURES, Item, Scene

TIMESTEP_S = 0.002
PELVIS_HEIGHT_M = 0.793
"""Standing height: initial height of the pelvis in Unitree's own MuJoCo model of the G1."""

CAMERA = "head_camera"
OBSERVER = "observer"
FOV_VERTICAL_RAD = 2 * math.atan(240 / 424 * math.tan(math.radians(69.0) / 2))
"""Of the colour camera: 69 degrees horizontally (D435i data sheet) at 424x240 with square pixels."""
OBSERVER_FOV_VERTICAL_RAD = math.radians(48.0)

# Groups of geoms: what a camera sees, and what it does not.
GROUP_SHOWN = 1
GROUP_COLLISION = 0
GROUP_TARGET = 2
GROUP_HIDDEN = 5

# Rotor inertia seen through the gear [kg m^2], friction [N m] and damping [N m s/rad]: Unitree's MuJoCo model.
_ARMATURE, _FRICTION, _WRIST_FRICTION, _DAMPING = g1.ARM_ROTOR_INERTIA_KG_M2, 0.2, 0.1, 0.05
# XL330-M288: 0.52 N m at stall and 10.8 rad/s without load (ROBOTIS e-Manual). Stiffness and damping of the
# position loop give a lag of about 40 ms behind a steady motion, the friction holds the head without torque.
NECK_STALL_NM = 0.52
NECK_KP, NECK_KD = 6.0, 0.24
_NECK_ARMATURE, _NECK_DAMPING, _NECK_FRICTION = 0.002, 0.01, 0.04
# Inspire hand: 60 ms from command to motion, full stroke in 0.2 to 0.3 s (measured by users of the RH56).
_HAND_LAG_S, _HAND_KP, _HAND_KD, _HAND_FORCE_NM = 0.06, 2.0, 0.1, 1.0
_FINGER_ARMATURE, _FINGER_DAMPING = 2e-4, 0.005
# What hands move: as heavy as if it filled this share of the cylinder around it with water; rubber on glazed things.
_LOOSE_DENSITY, _LOOSE_KG = 300.0, (0.03, 0.6)
_LOOSE_FRICTION, _FRICTION_HARDNESS = (0.9, 0.005, 0.0001), 10.0
# What moves of a mechanism: plywood, and what keeps a light part on its spring steady.
_MOVING_DENSITY, _MOVING_ARMATURE = 600.0, {True: 0.05, False: 0.001}
_TEXTURE_PIXELS = 128


@dataclass(frozen=True)
class Fixture:
    """Where a mechanism is in the model. joint: its id. body: of what moves. handle: geom ids."""

    mechanism: Mechanism
    joint: int
    body: int
    handle: tuple[int, ...]


@dataclass(frozen=True)
class Stage:
    """The compiled model and where in it the slots are.

    blocks: geom ids of the slots for furniture. objects: (kind, variant) to (body id, geom ids). fixed_rgb: geom id to
    the colour of a part that does not take the object's. loose: (kind, variant) of what can be moved. fixtures: of the
    mechanisms, which cannot be exchanged.
    """

    model: mujoco.MjModel
    blocks: tuple[int, ...]
    objects: dict[tuple[str, int], tuple[int, tuple[int, ...]]]
    fixed_rgb: dict[int, tuple[float, float, float]]
    loose: frozenset[tuple[str, int]] = frozenset()
    fixtures: tuple[Fixture, ...] = ()

    def load(self, scene: Scene) -> None:
        """Puts a scene into the slots. Raises ValueError where it has more blocks than there are slots, or where other
        items can be moved, or other mechanisms are there, than it was compiled for."""
        m = self.model
        if len(scene.blocks) > len(self.blocks):
            raise ValueError(f"scene.blocks: {len(scene.blocks)}, at most {len(self.blocks)}")
        for i, g in enumerate(self.blocks):
            if i >= len(scene.blocks):
                _show(m, (g,), False)
                continue
            block = scene.blocks[i]
            body = m.geom_bodyid[g]
            m.body_pos[body], m.body_quat[body] = block.centre, _about_z(block.yaw_rad)
            _resize_box(m, g, np.array(block.half_size))
            m.geom_rgba[g] = (*block.rgb, 1.0)
            m.geom_matid[g] = m.material(block.texture).id
            _show(m, (g,), True)
        used = {(item.kind, item.variant): item for item in scene.items}
        if len(used) != len(scene.items):
            raise ValueError("scene.items: a kind is there twice in one size")
        if self.loose != {key for key, item in used.items() if item.loose}:
            raise ValueError(f"scene.items: others are loose than the {len(self.loose)} that were compiled so")
        if scene.mechanisms != tuple(fixture.mechanism for fixture in self.fixtures):
            raise ValueError(f"scene.mechanisms: others than the {len(self.fixtures)} that were compiled")
        missing = sorted({kind for kind, _ in used.keys() - self.objects.keys()})
        if missing:
            raise ValueError(f"scene.items: {', '.join(missing)} not among the kinds that were compiled")
        for key, (body, geoms) in self.objects.items():
            _show(m, geoms, key in used, key in self.loose)
            if key in used:
                item = used[key]
                m.body_pos[body], m.body_quat[body] = item.position, _about_z(item.yaw_rad)
                if item.loose:  # where `mj_resetData` puts it
                    address = m.jnt_qposadr[m.body_jntadr[body]]
                    m.qpos0[address : address + 7] = (*item.position, *_about_z(item.yaw_rad))
                for g in geoms:
                    m.geom_rgba[g] = (*self.fixed_rgb.get(g, item.rgb), 1.0)
        for i in range(m.nlight):
            on = i < len(scene.lights)
            m.light_active[i] = on
            if on:
                direction = np.array(scene.lights[i].direction)
                m.light_dir[i] = direction / np.linalg.norm(direction)
                m.light_diffuse[i] = scene.lights[i].strength
        m.vis.headlight.ambient[:] = scene.ambient

    def centre(self, item: Item) -> NDArray[np.float64]:
        """The object's centre in the world (3,) [m]."""
        return np.array(item.position) + np.array(shape(item.kind, item.variant).centre)


def build(
    kinds: Sequence[str] = KINDS,
    blocks: int = MAX_BLOCKS,
    loose: Collection[tuple[str, int]] = (),
    mechanisms: Sequence[Mechanism] = (),
) -> Stage:
    """Compiles the model. Takes a tenth of a second with ten kinds: do it once per process and thread.

    kinds: what can be in a scene, of the catalogue. blocks: how many blocks a scene may have. Both cost something
    in every step of the physics and in every picture, in use or not. loose: (kind, variant) of what can be moved.
    mechanisms: those of every scene.

    Raises ValueError on an unknown kind, RuntimeError where this MuJoCo does not read the URDF's mimic joints.
    """
    urdf = g1.model_path()
    spec = mujoco.MjSpec.from_file(str(urdf))
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 20
    _robot(spec)
    _surfaces(spec)
    for i in range(blocks):
        body = spec.worldbody.add_body(name=f"block_{i}")
        geom = body.add_geom(name=f"block_{i}", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.1, 0.1, 0.1))
        geom.contype, geom.conaffinity, geom.group = 2, 1, GROUP_HIDDEN
    fixed: dict[str, tuple[float, float, float]] = {}
    for kind in kinds:
        for variant in range(len(VARIANTS)):
            _object(spec, kind, variant, fixed, (kind, variant) in loose)
    for mechanism in mechanisms:
        _mechanism(spec, mechanism)
    if loose or mechanisms:
        # What fingers hold slips unless friction is as hard as contact (MuJoCo documentation, "impratio").
        spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, _FRICTION_HARDNESS
    model = spec.compile()
    coupled = urdf.read_text().count("<mimic")
    if model.neq != coupled:
        raise RuntimeError(f"MuJoCo {mujoco.__version__} read {model.neq} of {coupled} mimic joints of {urdf}")
    # On the compiled model: a joint's damping is one number in some versions of MjSpec and three in others.
    model.dof_damping[:] = _FINGER_DAMPING
    model.dof_damping[model.jnt_dofadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE, None] + np.arange(6)] = 0.0
    for name in g1.MOTOR_NAMES:
        model.dof_damping[model.joint(name).dofadr] = _DAMPING
    for name in g1.HEAD.names:
        model.dof_damping[model.joint(name).dofadr] = _NECK_DAMPING
    for mechanism in mechanisms:
        _spring(model, mechanism)
    _paint(model)
    objects = {}
    for kind in kinds:
        for variant in range(len(VARIANTS)):
            body = model.body(f"{kind}_{variant}").id
            first = int(model.body_geomadr[body])
            objects[kind, variant] = body, tuple(range(first, first + int(model.body_geomnum[body])))
    slots = tuple(model.geom(f"block_{i}").id for i in range(blocks))
    fixed_rgb = {model.geom(name).id: rgb for name, rgb in fixed.items()}
    fixtures = tuple(_fixture(model, mechanism) for mechanism in mechanisms)
    return Stage(model, slots, objects, fixed_rgb, frozenset(loose), fixtures)


def _robot(spec: mujoco.MjSpec) -> None:
    spec.body("pelvis").pos = (0.0, 0.0, PELVIS_HEIGHT_M)
    for geom in spec.geoms:
        shown = not geom.contype
        # The robot touches furniture and objects, not itself: shapes of neighbouring links overlap by nature.
        geom.group = GROUP_SHOWN if shown else GROUP_COLLISION
        geom.contype, geom.conaffinity = (0, 0) if shown else (1, 2)
    optical = spec.body("camera_color_optical_frame")
    optical.add_camera(
        name=CAMERA, quat=(0.0, 1.0, 0.0, 0.0), fovy=math.degrees(FOV_VERTICAL_RAD)
    )  # looks along -z, y up
    observer = spec.worldbody.add_camera(name=OBSERVER, fovy=math.degrees(OBSERVER_FOV_VERTICAL_RAD))
    observer.pos = (-0.85, -1.55, 1.95)
    observer.quat = _look(np.array(observer.pos), np.array((0.75, 0.05, 0.85)))
    efforts = {joint.name: float(joint.actfrcrange[1]) for joint in spec.joints}
    for joint in spec.joints:
        joint.armature, joint.frictionloss = _FINGER_ARMATURE, 0.0
    for name in g1.MOTOR_NAMES:
        joint = spec.joint(name)
        joint.armature = _ARMATURE
        joint.frictionloss = _WRIST_FRICTION if "wrist" in name else _FRICTION
        _servo(spec, name, 0.0, 0.0, efforts[name])
    for name in g1.HANDS.names:
        hand = _servo(spec, name, _HAND_KP, _HAND_KD, _HAND_FORCE_NM)
        hand.dyntype = mujoco.mjtDyn.mjDYN_FILTEREXACT
        hand.dynprm[0] = _HAND_LAG_S
    for name in g1.HEAD.names:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = _NECK_ARMATURE, _NECK_FRICTION
        # Dry friction is soft in MuJoCo and creeps; stiff enough, the head stays where it is without torque.
        joint.solimp_friction = [0.99, 0.9999, 0.001, 0.5, 2.0]
        _servo(spec, name, NECK_KP, NECK_KD, NECK_STALL_NM)


def _servo(spec: mujoco.MjSpec, name: str, kp: float, kd: float, force_nm: float) -> mujoco.MjsActuator:
    """force = ctrl - kp * q - kd * dq, so that ctrl = kp * target (+ feed-forward) is a PD law."""
    servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    servo.gainprm[0] = 1.0
    servo.biasprm[:3] = (0.0, -kp, -kd)
    servo.forcelimited, servo.forcerange = True, (-force_nm, force_nm)
    return servo


def _surfaces(spec: mujoco.MjSpec) -> None:
    n = _TEXTURE_PIXELS
    for name in TEXTURES:  # drawn by _paint after compiling
        spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, width=n, height=n
        )
        material = spec.add_material(name=name, texuniform=True, texrepeat=(1.5, 1.5), specular=0.15, shininess=0.2)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    spec.add_material(name="object", specular=0.4, shininess=0.5)
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.75, 0.80, 0.86), rgb2=(0.45, 0.48, 0.52), width=64, height=64,
    )  # fmt: skip
    for i in range(2):
        spec.worldbody.add_light(
            name=f"light_{i}", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False, specular=(0.2, 0.2, 0.2)
        )
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.0, 0.0, 0.0)
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 12.0
    # Without a graphics card each triangle and each sample counts; rounder shapes are not seen at this resolution.
    spec.visual.quality.offsamples = 0
    spec.visual.quality.numslices, spec.visual.quality.numstacks, spec.visual.quality.numquads = 20, 10, 2
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 640, 480
    spec.stat.extent, spec.stat.center = 1.0, (0.5, 0.0, 1.0)


def _paint(model: mujoco.MjModel) -> None:
    random = np.random.default_rng(0)
    n = _TEXTURE_PIXELS
    across, along = np.meshgrid(np.linspace(0, 1, n, endpoint=False), np.linspace(0, 1, n, endpoint=False))
    noise = random.normal(size=(n, n))
    streaks = np.repeat(random.normal(size=(n, 1)), n, axis=1) * 0.6 + noise * 0.15
    rings = np.sin(2 * math.pi * (6 * along + 0.15 * np.sin(2 * math.pi * across)))
    pictures = {
        "plain": np.ones((n, n)),
        "wood": 0.86 + 0.10 * np.tanh(streaks) + 0.04 * rings,
        "speckle": 0.88 + 0.10 * np.clip(noise, -1, 1),
        "tiles": np.where((across * 4 % 1 < 0.06) | (along * 4 % 1 < 0.06), 0.62, 0.97),
        "stripes": np.where(across * 6 % 1 < 0.5, 1.0, 0.86),
    }
    for name in TEXTURES:
        grey = (255 * np.clip(pictures[name], 0, 1)).astype(np.uint8)
        texture = model.tex(name)
        first, channels = int(texture.adr[0]), int(texture.nchannel[0])
        model.tex_data[first : first + channels * n * n] = np.repeat(grey.ravel(), channels)


_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "revolved": mujoco.mjtGeom.mjGEOM_MESH,
}


def _object(
    spec: mujoco.MjSpec, kind: str, variant: int, fixed: dict[str, tuple[float, float, float]], loose: bool
) -> None:
    name = f"{kind}_{variant}"
    body = spec.worldbody.add_body(name=name, pos=(0.0, 0.0, -5.0))
    if loose:
        _let_loose(body, shape(kind, variant))
    for i, part in enumerate(shape(kind, variant).parts):
        geom_name = f"{name}_{i}"
        geom = body.add_geom(name=geom_name, type=_TYPES[part.shape], pos=part.position, quat=part.quaternion)
        geom.material, geom.group = "object", GROUP_HIDDEN
        geom.contype, geom.conaffinity = 2, 3 if loose else 1
        if loose:
            geom.condim, geom.friction[:] = 4, _LOOSE_FRICTION
        if part.shape == "revolved":
            geom.meshname = _mesh(spec, geom_name, part)
        else:
            geom.size[: len(part.size)] = part.size
        if part.colour is not None:
            fixed[geom_name] = part.colour


def _mechanism(spec: mujoco.MjSpec, mechanism: Mechanism) -> None:
    own, joint = anatomy(mechanism), anatomy(mechanism).joint
    base = spec.worldbody.add_body(pos=mechanism.position, quat=_about_z(mechanism.yaw_rad))
    moving = base.add_body(name=mechanism.name)
    kind = mujoco.mjtJoint.mjJNT_SLIDE if joint.slides else mujoco.mjtJoint.mjJNT_HINGE
    added = moving.add_joint(name=mechanism.name, type=kind, axis=joint.axis, pos=joint.anchor)
    added.limited, added.range = mujoco.mjtLimited.mjLIMITED_TRUE, (joint.lower, joint.upper)
    added.frictionloss, added.armature = joint.friction, _MOVING_ARMATURE[joint.slides]
    for body, parts, named in ((base, own.fixed, ""), (moving, own.moving, ""), (moving, own.handle, mechanism.name)):
        for i, part in enumerate(parts):
            geom = body.add_geom(type=_TYPES[part.shape], pos=part.position, quat=part.quaternion)
            geom.size[: len(part.size)] = part.size
            if named:
                geom.name = f"{named} {i}"
            geom.rgba = (*(part.colour or mechanism.rgb), 1.0)
            geom.material, geom.group, geom.density = "object", GROUP_SHOWN, _MOVING_DENSITY
            # What moves meets the robot and loose things, not its own housing.
            geom.contype, geom.conaffinity, geom.condim, geom.friction[:] = 2, 1, 4, _LOOSE_FRICTION


def _spring(model: mujoco.MjModel, mechanism: Mechanism) -> None:
    own, joint = anatomy(mechanism).joint, model.joint(mechanism.name)
    model.dof_damping[joint.dofadr], model.jnt_stiffness[joint.id] = own.damping, own.stiffness
    if own.stiffness:
        model.qpos_spring[joint.qposadr] = -own.preload / own.stiffness


def _fixture(model: mujoco.MjModel, mechanism: Mechanism) -> Fixture:
    name = mechanism.name
    handle = tuple(model.geom(f"{name} {i}").id for i in range(len(anatomy(mechanism).handle)))
    return Fixture(mechanism, model.joint(name).id, model.body(name).id, handle)


def _let_loose(body: mujoco.MjsBody, of: Shape) -> None:
    """Mass and inertia of a full cylinder around the thing."""
    r, h = of.radius, of.height
    mass = min(max(_LOOSE_DENSITY * math.pi * r**2 * h, _LOOSE_KG[0]), _LOOSE_KG[1])
    across = mass * (3 * r**2 + h**2) / 12
    body.add_freejoint()
    body.mass, body.ipos, body.inertia = mass, of.centre, (across, across, mass * r**2 / 2)
    body.explicitinertial = True


def _mesh(spec: mujoco.MjSpec, name: str, part: Part) -> str:
    vertices, faces = revolve(part.profile)
    mesh = spec.add_mesh(name=name, uservert=vertices.ravel().tolist(), userface=faces.ravel().tolist())
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    return name


def _show(model: mujoco.MjModel, geoms: tuple[int, ...], shown: bool, loose: bool = False) -> None:
    """What is loose meets furniture and other things as well as the robot."""
    for g in geoms:
        model.geom_group[g] = GROUP_SHOWN if shown else GROUP_HIDDEN
        model.geom_contype[g], model.geom_conaffinity[g] = (2, 3 if loose else 1) if shown else (0, 0)


def _resize_box(model: mujoco.MjModel, geom: int, half_size: NDArray[np.float64]) -> None:
    """Size, and what MuJoCo derives from it when compiling: bounding radius and bounding boxes."""
    model.geom_size[geom] = half_size
    model.geom_rbound[geom] = np.linalg.norm(half_size)
    model.geom_aabb[geom] = (0.0, 0.0, 0.0, *half_size)
    body = model.geom_bodyid[geom]
    model.bvh_aabb[model.body_bvhadr[body]] = (0.0, 0.0, 0.0, *half_size)


def _about_z(yaw_rad: float) -> tuple[float, float, float, float]:
    return (math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2))


def _look(eye: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternion of a MuJoCo camera at `eye` that looks at `at` with z up."""
    back = (eye - at) / np.linalg.norm(eye - at)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([right, np.cross(back, right), back]).ravel())
    return quaternion
