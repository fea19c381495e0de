"""The movement that is right: the one that brings what was asked for best into view.

Best is, in this order: most of it visible, nearest to the middle of the picture, least to turn. Nearly always that is
the pose that centres it; poses around that are tried only where furniture or the edge of the picture leave something
to gain. What does not show in the present picture is searched for, as is what no pose reveals: where it is, nobody
who sees that picture can know.

How much shows is measured by segmentation in a small picture that the thing just fills, drawn from where the
camera would be; so it says how much of the whole thing shows, and costs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.pairs.camera import GRID, NOMINAL, PICTURE_SIZE, SUPERSAMPLING, Device, Eye, View, view_towards
from sapave_ros.sim.objects import shape
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.rooms import Landmark
from sapave_ros.sim.scene import Block, Scene
from sapave_ros.sim.stage import GROUP_SHOWN, GROUP_TARGET
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

STEPS, DT_S = 16, 0.1
"""Of a chunk, as of the shipped model."""

REVEALED = 0.2
"""A pose reveals a thing where so much of it shows."""

ENOUGH = 0.9
"""Where so much shows, no better pose is looked for."""

SHOWN_PIXELS, HIDDEN_PIXELS = 50, 12
"""From so many visible pixels of 424 x 240 on a thing counts as in the picture, up to so many as not; see `view`."""

IN_VIEW = 0.85
"""A thing of which so much shows counts as in view; the rest of it may be its own far side's edge pixels."""

_ASIDE_RAD = 0.18
_GAIN, _NEAR_RAD = 0.1, 0.02  # differences that do not count
_PROBE_PIXELS = 48
_PLACES = np.stack(np.meshgrid(*[(-0.7, 0.0, 0.7)] * 3), -1).reshape(-1, 3)  # of an inside, in half sizes
_ALL_SEEN = 0.5  # share of them that shows where one looks right into something
_TINY_M = 0.02
_FULL_PIXELS = HEAD_CAMERA.width * HEAD_CAMERA.height


class Visibility(str, Enum):
    """How what was asked for shows in the present picture. ABSENT: the room has no such thing. NONE: a direction."""

    IN_VIEW = "in view"
    PARTLY = "partly occluded"
    HIDDEN = "hidden"
    OUT = "out of view"
    ABSENT = "absent"
    NONE = "none"


@dataclass(frozen=True, eq=False)
class Thing:
    """What can be looked at; one object for each thing of a room. centre (3,) [m]. geoms: what it consists of; none
    for the inside of something, which is `places` (n, 3) [m] in it."""

    name: str
    centre: tuple[float, float, float]
    radius_m: float
    geoms: tuple[int, ...]
    places: Floats | None = None

    @property
    def middle(self) -> Floats:
        return np.array(self.centre)


@dataclass(frozen=True)
class Glimpse:
    """A head pose (2,) [rad], how much of a thing shows from there (0..1), and how far off the axis its centre is."""

    head: Floats
    fraction: float
    angle_rad: float


@dataclass(frozen=True)
class Sight:
    """How a thing shows in the present picture. pixels: of 424 x 240. fraction: of all of it, 0..1."""

    pixels: float
    fraction: float
    angle_rad: float
    visibility: Visibility | None
    """None where too little shows to tell what is right: nobody is asked for it."""

    @property
    def shown(self) -> bool:
        return self.pixels >= SHOWN_PIXELS


@dataclass
class Look:
    """The present view: where the head is, what the camera sees, and which geom each (finer) pixel belongs to."""

    head: Floats
    view: View
    geoms: NDArray[np.int32]
    angles_sr: Floats = field(repr=False)  # of each geom, the last for none
    pixels: Floats = field(repr=False)  # likewise, of 424 x 240


class Guide:
    """Knows the room. Head poses are (2,) [rad] in `g1.HEAD` order; nothing here needs the dynamics."""

    def __init__(self, world: World, scale: float = 1.0) -> None:
        """world: one that nothing was drawn of yet. scale: of all things in it, about the middle of their base."""
        self.world = world
        self._scale = scale
        if scale != 1.0:
            _rescale(world, scale)
        self.eye = Eye(world.model)
        self._kinematics = Kinematics.from_urdf()
        self._torso = world.model.body("torso_link").id
        self._shown = np.zeros(mujoco.mjNGROUP, np.uint8)
        self._shown[GROUP_SHOWN] = 1
        self._head_body = world.model.body("head_pitch_link").id
        self._hit = np.zeros(1, np.int32)
        self.device = NOMINAL
        self._glimpses: dict[Thing, list[Glimpse]] = {}
        self._whole_sr: dict[Thing, float] = {}
        self._things: dict[tuple[str, int], Thing] = {}
        self._torso_pose = np.eye(4)

    def load(self, scene: Scene, device: Device = NOMINAL) -> None:
        """Puts a scene and a camera in place of the present ones."""
        self.world.load(scene)
        self.device = device
        self._glimpses.clear()
        self._whole_sr.clear()
        self._things.clear()
        data = self.world.data
        self._torso_pose = np.eye(4)
        self._torso_pose[:3, :3] = data.xmat[self._torso].reshape(3, 3)
        self._torso_pose[:3, 3] = data.xpos[self._torso]

    def close(self) -> None:
        self.eye.close()
        self.world.close()

    # -- things ----------------------------------------------------------------------------------

    def item(self, index: int) -> Thing:
        """An item of the scene."""
        if ("item", index) not in self._things:
            item = self._scene.items[index]
            body = shape(item.kind, item.variant)
            base = np.array(item.position)
            x, y, z = base + self._scale * (self.world.stage.centre(item) - base)
            geoms = tuple(self.world.stage.objects[item.kind, item.variant][1])
            radius = self._scale * math.hypot(body.radius, body.height / 2)
            self._things["item", index] = Thing(item.name, (float(x), float(y), float(z)), radius, geoms)
        return self._things["item", index]

    def landmark(self, landmarks: Sequence[Landmark], index: int) -> Thing:
        """A fixed thing of the room: it consists of blocks of the scene, or it is the inside of what does."""
        if ("landmark", index) not in self._things:
            mark = landmarks[index]
            x, y, z = (float(c) for c in mark.centre)
            middle = np.array((x, y, z))
            if mark.blocks:
                blocks = [self._scene.blocks[b] for b in mark.blocks]
                radius = max(math.dist(b.centre, middle) + float(np.linalg.norm(b.half_size)) for b in blocks)
                geoms = tuple(self.world.stage.blocks[b] for b in mark.blocks)
                self._things["landmark", index] = Thing(mark.name, (x, y, z), radius, geoms)
            else:
                around = next((m.blocks for m in landmarks if m.blocks and mark.name == f"inside of the {m.name}"), ())
                places = self._places(middle, [self._scene.blocks[b] for b in around])
                radius = float(np.linalg.norm(places - middle, axis=1).max())
                self._things["landmark", index] = Thing(mark.name, (x, y, z), radius, (), places)
        return self._things["landmark", index]

    # -- poses -----------------------------------------------------------------------------------

    def camera(self, head: Floats) -> Floats:
        """Pose (4, 4) in the world of the camera as the kinematics have it."""
        return self._torso_pose @ self._kinematics.camera_in_torso(head)

    def camera_in_torso(self, head: Floats) -> Floats:
        return self._kinematics.camera_in_torso(head)

    def goal(self, name: str) -> Floats:
        """Head pose that centres an item of that name. Raises KeyError that lists the names."""
        return self.centring(self.world.centre(name))

    def centring(self, point: Floats) -> Floats:
        """Head pose that brings a point (3,) closest to the optical axis within the limits.

        The same as `World.head_pose_towards`, for any point and without moving the world.
        """
        lower, upper = g1.HEAD.lower, g1.HEAD.upper
        offset = point - self.camera(np.zeros(2))[:3, 3]
        q = np.array([math.atan2(offset[1], offset[0]), math.atan2(-offset[2], math.hypot(offset[0], offset[1]))])
        q = np.clip(q, lower, upper)
        step = 1e-4
        for _ in range(6):
            miss = self._miss(q, point)
            columns = [(self._miss(q + step * e, point) - miss) / step for e in np.eye(2)]
            change = np.linalg.solve(np.column_stack(columns), miss)
            q = np.clip(q - np.clip(change, -0.5, 0.5), lower, upper)
            if np.abs(change).max() < 1e-5:
                break
        return q

    def glimpse(self, thing: Thing, head: Floats) -> Glimpse:
        """How much of a thing the head camera would see from a pose."""
        pose = self.camera(head)
        view = View(pose, NOMINAL.intrinsics(PICTURE_SIZE), PICTURE_SIZE)
        x, y, z = pose[:3, :3].T @ (thing.middle - pose[:3, 3])
        angle = math.atan2(math.hypot(x, y), z)
        if not thing.geoms:
            return Glimpse(head, self._inside(thing, view), angle)
        probe = view_towards(pose[:3, 3], thing.middle, thing.radius_m, _PROBE_PIXELS)
        whole = self._whole(thing, probe)
        if whole <= 0:
            return Glimpse(head, 0.0, angle)
        mask = _member(self.eye.geoms_of(self.world.data, probe), thing.geoms, self.world.model.ngeom)
        rays = probe.rays()[mask]
        seen = float(probe.solid_angles()[mask][view.contains(rays)].sum())
        return Glimpse(head, min(seen / whole, 1.0), angle)

    def best(self, thing: Thing, head: Floats) -> Glimpse:
        """The pose that brings a thing best into view, from a head pose; see the module."""
        if thing not in self._glimpses:
            centred = self.glimpse(thing, self.centring(thing.middle))
            self._glimpses[thing] = [centred]
            if centred.fraction < ENOUGH:
                self._glimpses[thing] += self._around(thing, centred)
        glimpses = self._glimpses[thing]
        most = max(g.fraction for g in glimpses)
        good = [g for g in glimpses if g.fraction >= most - _GAIN]
        nearest = min(g.angle_rad for g in good)
        good = [g for g in good if g.angle_rad <= nearest + _NEAR_RAD]
        return min(good, key=lambda g: float(np.linalg.norm(g.head - head)))

    # -- the present view ------------------------------------------------------------------------

    def look(self, head: Floats) -> Look:
        """Puts the head at a pose, inside the range of the joints, and sees which geom is where."""
        self.world.set_positions(g1.HEAD, np.clip(head, g1.HEAD.lower, g1.HEAD.upper))
        head = self.world.positions(g1.HEAD)
        view = View(self.device.pose(self.camera(head)), self.device.intrinsics(PICTURE_SIZE), PICTURE_SIZE)
        fine = self.eye.finer(view, SUPERSAMPLING)
        geoms = self.eye.geoms_of(self.world.data, fine)
        flat = geoms.ravel() % (self.world.model.ngeom + 1)  # -1 to the last
        size = self.world.model.ngeom + 1
        angles = np.bincount(flat, weights=fine.solid_angles().ravel(), minlength=size).astype(np.float64)
        pixels = np.bincount(flat, minlength=size).astype(np.float64) * (_FULL_PIXELS / geoms.size)
        return Look(head, view, geoms, angles, pixels)

    def sight(self, look: Look, thing: Thing) -> Sight:
        """How a thing shows in the present view."""
        pose = look.view.pose
        direction = thing.middle - pose[:3, 3]
        x, y, z = pose[:3, :3].T @ direction
        angle = math.atan2(math.hypot(x, y), z)
        inside = bool(look.view.contains(direction[None])[0])
        if thing.geoms:
            geoms = list(thing.geoms)
            pixels = float(look.pixels[geoms].sum())
            fraction = 0.0
            if pixels > 0:
                probe = view_towards(pose[:3, 3], thing.middle, thing.radius_m, _PROBE_PIXELS)
                fraction = min(float(look.angles_sr[geoms].sum()) / max(self._whole(thing, probe), 1e-9), 1.0)
        else:
            fraction = self._inside(thing, look.view)
            pixels = SHOWN_PIXELS * fraction / REVEALED
        if pixels >= SHOWN_PIXELS:
            visibility = Visibility.IN_VIEW if fraction >= IN_VIEW else Visibility.PARTLY
        elif pixels > HIDDEN_PIXELS:
            return Sight(pixels, fraction, angle, None)
        else:
            visibility = Visibility.HIDDEN if inside else Visibility.OUT
        return Sight(pixels, fraction, angle, visibility)

    def mask(self, look: Look, thing: Thing) -> NDArray[np.bool_]:
        """The (finer) pixels of the present view that are the thing's; of an inside, those around its middle."""
        if thing.geoms:
            return _member(look.geoms, thing.geoms, self.world.model.ngeom)
        fine = self.eye.finer(look.view, SUPERSAMPLING)
        towards = thing.middle - fine.pose[:3, 3]
        rays = fine.rays()
        cosine = rays @ (towards / np.linalg.norm(towards)) / np.linalg.norm(rays, axis=-1)
        return cosine > math.cos(math.atan2(thing.radius_m, float(np.linalg.norm(towards))))

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _scene(self) -> Scene:
        assert self.world.scene is not None
        return self.world.scene

    def _miss(self, q: Floats, point: Floats) -> Floats:
        pose = self.camera(q)
        x, y, z = pose[:3, :3].T @ (point - pose[:3, 3])
        return np.array([x, y]) / max(z, 0.05)

    @staticmethod
    def _places(middle: Floats, walls: Sequence[Block]) -> Floats:
        """Places (n, 3) all over an inside, given the blocks around it; just its middle where they do not surround it.

        Doors that stand open are turned, and do not count.
        """
        walls = [b for b in walls if b.yaw_rad == walls[0].yaw_rad]
        if walls:
            c, s = math.cos(walls[0].yaw_rad), math.sin(walls[0].yaw_rad)
            turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
            centres = np.array([b.centre for b in walls]) @ turn
            halves = np.array([b.half_size for b in walls])
            low, high = (centres - halves).min(0), (centres + halves).max(0)
            if ((middle @ turn > low) & (middle @ turn < high)).all():
                return ((low + high) / 2 + _PLACES * (high - low) / 2) @ turn.T
        return middle + _TINY_M * _PLACES

    def _around(self, thing: Thing, centred: Glimpse) -> list[Glimpse]:
        """Poses to the four sides; and where one of them shows more, what is near that one."""

        def there(angle: float, radius_rad: float) -> list[Glimpse]:
            q = centred.head + radius_rad * np.array([math.cos(angle), math.sin(angle)])
            within = (q >= g1.HEAD.lower).all() and (q <= g1.HEAD.upper).all()
            return [self.glimpse(thing, q)] if within else []

        sides = [(g, a) for a in (0.0, math.pi / 2, math.pi, -math.pi / 2) for g in there(a, _ASIDE_RAD)]
        found = [g for g, _ in sides]
        if sides:
            most, angle = max(sides, key=lambda side: side[0].fraction)
            if most.fraction > centred.fraction + _GAIN / 2:
                for turn, radius in ((0.0, 0.5), (0.0, 1.5), (math.pi / 4, 1.0), (-math.pi / 4, 1.0)):
                    found += there(angle + turn, radius * _ASIDE_RAD)
        return found

    def _whole(self, thing: Thing, probe: View) -> float:
        """Solid angle of the thing alone [sr]. The eye moves by centimetres only, so one pose's serves all."""
        if thing not in self._whole_sr:
            groups = self.world.model.geom_group
            groups[list(thing.geoms)] = GROUP_TARGET
            try:
                alone = self.eye.geoms_of(self.world.data, probe, target_alone=True)
            finally:
                groups[list(thing.geoms)] = GROUP_SHOWN
            self._whole_sr[thing] = float(probe.solid_angles()[alone >= 0].sum())
        return self._whole_sr[thing]

    def _inside(self, thing: Thing, view: View) -> float:
        """How much of an inside shows: places that nothing stands before and that the picture contains, of those that
        show at best."""
        assert thing.places is not None
        rays = thing.places - view.pose[:3, 3]
        seen = 0
        for ray, contained in zip(rays, view.contains(rays), strict=True):
            if not contained:
                continue
            distance = float(np.linalg.norm(ray))
            hit = mujoco.mj_ray(
                self.world.model, self.world.data, view.pose[:3, 3], ray / distance, self._shown, 1, self._head_body,
                self._hit,
            )  # fmt: skip
            seen += hit < 0 or hit >= distance
        return min(seen / len(rays) / _ALL_SEEN, 1.0)


def _rescale(world: World, scale: float) -> None:
    """All things of a compiled world in another size; what MuJoCo derives from sizes when it compiles goes with it."""
    m = world.model
    geoms = [g for _, own in world.stage.objects.values() for g in own]
    for values in (m.geom_pos, m.geom_size, m.geom_rbound, m.geom_aabb):
        values[geoms] *= scale
    for mesh in {int(m.geom_dataid[g]) for g in geoms if m.geom_type[g] == mujoco.mjtGeom.mjGEOM_MESH}:
        first, tree = int(m.mesh_vertadr[mesh]), int(m.mesh_bvhadr[mesh])
        m.mesh_vert[first : first + int(m.mesh_vertnum[mesh])] *= scale
        m.bvh_aabb[tree : tree + int(m.mesh_bvhnum[mesh])] *= scale


def coverage(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Share of each patch that a mask covers, of 255, `GRID`; nothing that shows becomes 0."""
    share = cv2.resize(mask.astype(np.float32), (GRID[1], GRID[0]), interpolation=cv2.INTER_AREA)
    return np.ceil(255 * share).astype(np.uint8)


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last column and row (u0, v0, u1, v1) of a (finer) mask in stored pixels; -1 where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return (-1, -1, -1, -1)
    n = SUPERSAMPLING
    return (int(columns[0]) // n, int(rows[0]) // n, int(columns[-1]) // n, int(rows[-1]) // n)


def _member(geoms: NDArray[np.int32], of: tuple[int, ...], count: int) -> NDArray[np.bool_]:
    table = np.zeros(count + 1, bool)
    table[list(of)] = True
    return table[geoms]
