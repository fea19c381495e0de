"""How much of a thing of a room the head camera sees, now or from another pose, and from where it is seen best.

How much shows is measured by segmentation in a small picture that the thing just fills, drawn from where the
camera would be; so it says how much of the whole thing shows, and costs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.sim.mechanisms import BAR_HALF_M, handle_centre
from sapave_ros.sim.objects import shape
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.rooms import Landmark
from sapave_ros.sim.scene import Block, Scene
from sapave_ros.sim.stage import GROUP_SHOWN, GROUP_TARGET
from sapave_ros.sim.view import FreeRenderer, View, view_towards
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

REVEALED = 0.2
"""A pose reveals a thing where so much of it shows."""

ENOUGH = 0.9
"""Where so much shows, no better pose is looked for."""

PROBE_PIXELS = 48
"""Side of the small picture."""

_ASIDE_RAD = 0.18
_GAIN, _NEAR_RAD = 0.1, 0.02  # differences that do not count
_PLACES = np.stack(np.meshgrid(*[(-0.7, 0.0, 0.7)] * 3), -1).reshape(-1, 3)  # of an inside, in half sizes
_ALL_SEEN = 0.5  # share of them that shows where one looks right into something
_TINY_M = 0.02
_PICTURE = HEAD_CAMERA.intrinsics, HEAD_CAMERA.size


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


class Sights:
    """Sees what is in a world's scene. Head poses are (2,) [rad] in `g1.HEAD` order; nothing here needs the dynamics.

    Goes by where the torso is when it is asked. Another scene, and another way to see it, need `forget`.
    """

    def __init__(self, world: World, renderer: FreeRenderer, scale: float = 1.0) -> None:
        """scale: of all things in the world, about the middle of their base."""
        self.world = world
        self._renderer, self._scale = renderer, scale
        self._shown = np.zeros(mujoco.mjNGROUP, np.uint8)
        self._shown[GROUP_SHOWN] = 1
        self._head_body = world.model.body("head_pitch_link").id
        self._hit = np.zeros(1, np.int32)
        self._glimpses: dict[Thing, list[Glimpse]] = {}
        self._whole_sr: dict[Thing, float] = {}
        self._things: dict[tuple[str, int], Thing] = {}

    def forget(self, things: bool = True) -> None:
        """What was measured is asked anew, of other things or of the same."""
        self._glimpses.clear()
        self._whole_sr.clear()
        if things:
            self._things.clear()

    # -- things ----------------------------------------------------------------------------------

    def item(self, index: int) -> Thing:
        """An item of the scene, or behind those a mechanism's handle, as it stands at the start."""
        beyond = index - len(self._scene.items)
        if ("item", index) not in self._things and beyond >= 0:
            fixture = self.world.stage.fixtures[beyond]
            at = handle_centre(fixture.mechanism, fixture.mechanism.start)
            self._things["item", index] = Thing(fixture.mechanism.name, at, BAR_HALF_M, fixture.handle)
        elif ("item", index) not in self._things:
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
        """Pose (4, 4) of the camera in the world with the head at a pose."""
        return self.world.camera_pose(head)

    def angle_rad(self, thing: Thing, head: Floats) -> float:
        """Between the optical axis and its centre [rad]."""
        pose = self.camera(head)
        x, y, z = pose[:3, :3].T @ (thing.middle - pose[:3, 3])
        return math.atan2(math.hypot(x, y), z)

    def in_view(self, thing: Thing, head: Floats) -> bool:
        """Whether its centre falls into the picture."""
        view = View(self.camera(head), *_PICTURE)
        return bool(view.contains((thing.middle - view.pose[:3, 3])[None])[0])

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
        view = View(pose, *_PICTURE)
        x, y, z = pose[:3, :3].T @ (thing.middle - pose[:3, 3])
        angle = math.atan2(math.hypot(x, y), z)
        if not thing.geoms:
            return Glimpse(head, self._inside(thing, view), angle)
        probe = view_towards(pose[:3, 3], thing.middle, thing.radius_m, PROBE_PIXELS)
        whole = self._whole(thing, probe)
        if whole <= 0:
            return Glimpse(head, 0.0, angle)
        mask = member(self._renderer.geoms_of(self.world.data, probe), thing.geoms, self.world.model.ngeom)
        rays = probe.rays()[mask]
        seen = float(probe.solid_angles()[mask][view.contains(rays)].sum())
        return Glimpse(head, min(seen / whole, 1.0), angle)

    def best(self, thing: Thing, head: Floats) -> Glimpse:
        """The pose that brings a thing best into view, from a head pose: most of it visible, then nearest to the middle
        of the picture, then least to turn."""
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

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _scene(self) -> Scene:
        if self.world.scene is None:
            raise RuntimeError("no scene: call load() of the world first")
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
                alone = self._renderer.geoms_of(self.world.data, probe, target_alone=True)
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


def member(geoms: NDArray[np.int32], of: tuple[int, ...], count: int) -> NDArray[np.bool_]:
    """Which pixels are of those geoms; count: of all geoms of the model."""
    table = np.zeros(count + 1, bool)
    table[list(of)] = True
    return table[geoms]
