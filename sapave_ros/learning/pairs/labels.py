"""The movement that is right: the one that brings what was asked for best into view.

Best is, in this order: most of it visible, nearest to the middle of the picture, least to turn. Nearly always that is
the pose that centres it; poses around that are tried only where furniture or the edge of the picture leave something
to gain. What does not show in the present picture is searched for, as is what no pose reveals: where it is, nobody
who sees that picture can know.
How much shows from where is measured by `sim.sights`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.learning.pairs.camera import GRID, NOMINAL, PATCH, PICTURE_SIZE, Device, Eye
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.sights import PROBE_PIXELS, REVEALED, Sights, Thing, member
from sapave_ros.sim.view import View, view_towards
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

STEPS, DT_S = 16, 0.1
"""Of a chunk, as of the shipped model."""

SHOWN_PIXELS, HIDDEN_PIXELS = 50, 12

NO_ITEM = 255
"""Of a patch that no item is in."""
"""From so many visible pixels of 424 x 240 on a thing counts as in the picture, up to so many as not; see `view`."""

IN_VIEW = 0.85
"""A thing of which so much shows counts as in view; the rest of it may be its own far side's edge pixels."""

_FULL_PIXELS = HEAD_CAMERA.width * HEAD_CAMERA.height


class Visibility(str, Enum):
    """How what was asked for shows in the present picture. ABSENT: the room has no such thing. NONE: a direction."""

    IN_VIEW = "in view"
    PARTLY = "partly occluded"
    HIDDEN = "hidden"
    OUT = "out of view"
    ABSENT = "absent"
    NONE = "none"


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
    """The present view: where the head is, what the camera sees, and which geom each pixel belongs to."""

    head: Floats
    view: View
    geoms: NDArray[np.int32]
    angles_sr: Floats = field(repr=False)  # of each geom, the last for none
    pixels: Floats = field(repr=False)  # likewise, of 424 x 240


class Guide(Sights):
    """Knows the room, and where the camera is as the kinematics have it, with the torso where the scene has it."""

    def __init__(self, world: World, scale: float = 1.0) -> None:
        """world: one that nothing was drawn of yet. scale: of all things in it, about the middle of their base."""
        if scale != 1.0:
            _rescale(world, scale)
        self.eye = Eye(world.model)
        super().__init__(world, self.eye, scale)
        self._kinematics = Kinematics.from_urdf()
        self._torso = world.model.body("torso_link").id
        self.device = NOMINAL
        self._torso_pose = np.eye(4)

    def load(self, scene: Scene, device: Device = NOMINAL) -> None:
        """Puts a scene and a camera in place of the present ones."""
        self.world.load(scene)
        self.device = device
        self.forget()
        data = self.world.data
        self._torso_pose = np.eye(4)
        self._torso_pose[:3, :3] = data.xmat[self._torso].reshape(3, 3)
        self._torso_pose[:3, 3] = data.xpos[self._torso]

    def close(self) -> None:
        self.eye.close()
        self.world.close()

    # -- poses -----------------------------------------------------------------------------------

    def camera(self, head: Floats) -> Floats:
        """Pose (4, 4) in the world of the camera as the kinematics have it."""
        return self._torso_pose @ self._kinematics.camera_in_torso(head)

    def camera_in_torso(self, head: Floats) -> Floats:
        return self._kinematics.camera_in_torso(head)

    def goal(self, name: str) -> Floats:
        """Head pose that centres an item of that name. Raises KeyError that lists the names."""
        return self.centring(self.world.centre(name))

    # -- the present view ------------------------------------------------------------------------

    def look(self, head: Floats) -> Look:
        """Puts the head at a pose, inside the range of the joints, and sees which geom is where."""
        self.world.set_positions(g1.HEAD, np.clip(head, g1.HEAD.lower, g1.HEAD.upper))
        head = self.world.positions(g1.HEAD)
        view = View(self.device.pose(self.camera(head)), self.device.intrinsics(PICTURE_SIZE), PICTURE_SIZE)
        geoms = self.eye.geoms_of(self.world.data, view)
        flat = geoms.ravel() % (self.world.model.ngeom + 1)  # -1 to the last
        size = self.world.model.ngeom + 1
        angles = np.bincount(flat, weights=view.solid_angles().ravel(), minlength=size).astype(np.float64)
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
                probe = view_towards(pose[:3, 3], thing.middle, thing.radius_m, PROBE_PIXELS)
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

    def items(self, look: Look) -> NDArray[np.int64]:
        """Of every pixel of the present view (h, w), the index of its item in the scene, -1 for none."""
        scene = self.world.scene
        assert scene is not None
        table = np.full(self.world.model.ngeom + 1, -1)  # the last for none
        for i in range(len(scene.items)):
            table[list(self.item(i).geoms)] = i
        return np.asarray(table[look.geoms])

    def mask(self, look: Look, thing: Thing) -> NDArray[np.bool_]:
        """The pixels of the present view that are the thing's; of an inside, those around its middle."""
        if thing.geoms:
            return member(look.geoms, thing.geoms, self.world.model.ngeom)
        towards = thing.middle - look.view.pose[:3, 3]
        rays = look.view.rays()
        cosine = rays @ (towards / np.linalg.norm(towards)) / np.linalg.norm(rays, axis=-1)
        return cosine > math.cos(math.atan2(thing.radius_m, float(np.linalg.norm(towards))))


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


def foremost(items: NDArray[np.integer], count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Which item shows most in each patch, `NO_ITEM` for none, and the share of the patch that it covers, of 255.

    items: of every pixel of a picture, its item, -1 for none. count: of items, at most 254. Both results are `GRID`.
    """
    h, w = GRID
    patches = items.reshape(h, PATCH, w, PATCH).transpose(0, 2, 1, 3).reshape(h * w, PATCH * PATCH)
    numbers = np.arange(h * w)[:, None] * (count + 1) + np.where(patches < 0, count, patches)
    pixels = np.bincount(numbers.ravel(), minlength=h * w * (count + 1)).reshape(h * w, count + 1)[:, :count]
    if not count:
        return np.full(GRID, NO_ITEM, np.uint8), np.zeros(GRID, np.uint8)
    most = pixels.max(axis=1)
    which = np.where(most > 0, pixels.argmax(axis=1), NO_ITEM)
    return which.reshape(GRID).astype(np.uint8), np.ceil(255 * most / PATCH**2).reshape(GRID).astype(np.uint8)


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last column and row (u0, v0, u1, v1) of a mask [px]; -1 where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return (-1, -1, -1, -1)
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
