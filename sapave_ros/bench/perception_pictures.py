"""What one policy saw in some cases of semantic active perception: its first picture and its last, drawn into.

Cases are taken by a rule, failures like successes, and played once more for it: scoring carries no pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sapave_ros import g1
from sapave_ros.bench import lookers
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.judge import Judge
from sapave_ros.bench.lockstep import Looker
from sapave_ros.bench.perception_cases import VISIBILITIES
from sapave_ros.bench.perception_play import Player, Result, Settings
from sapave_ros.learning.language import KINDS_OF_INSTRUCTION
from sapave_ros.sim.targets import AnyOf, HeadPose, Target
from sapave_ros.sim.world import World
from sapave_ros.types import ActionChunk, Floats, Observation

RULE = (
    "By kind of instruction, the case with the lowest number that ended so; in turn of those whose target is "
    f"{', '.join(v.value for v in VISIBILITIES)} at the start, or of all where there is none of these."
)
"""How `choose` chooses, for people."""

Picture = NDArray[np.uint8]

_TARGET, _HEAT, _INK, _SHADE = (255, 80, 255), (40, 140, 255), (235, 235, 235), (90, 90, 90)  # BGR


@dataclass(frozen=True)
class Shot:
    """A scored case, played once more. start, end: of its first look and its last, (192, 320, 3) BGR. looks: how many.

    end_s: time of the last [s]. agrees: whether it ended as it was scored; on a GPU inference need not repeat exactly.
    """

    result: Result
    start: Picture = field(repr=False)
    end: Picture = field(repr=False)
    looks: int
    end_s: float
    agrees: bool


def choose(results: Sequence[Result], splits: Sequence[str], policy: str) -> list[Result]:
    """For each split the successes and then the failures that are shown, see `RULE`."""
    chosen = []
    for split in splits:
        own = sorted((r for r in results if r.policy == policy and r.case.split == split), key=lambda r: r.case.number)
        for success in (True, False):
            for i, kind in enumerate(KINDS_OF_INSTRUCTION):
                fit = [r for r in own if r.case.kind == kind and r.success == success]
                wanted = [r for r in fit if r.case.visibility == VISIBILITIES[i % len(VISIBILITIES)].value]
                chosen += (wanted or fit)[:1]
    return chosen


def shoot(settings: Settings, chosen: Sequence[Result], bar: bool = True) -> list[Shot]:
    """Plays results of one policy once more, in this process, and draws what it saw."""
    policies = {r.policy for r in chosen}
    player = Player(
        replace(
            settings,
            models={n: p for n, p in settings.models.items() if n in policies},
            baselines=tuple(b for b in settings.baselines if b in policies),
        )
    )
    try:
        return [shot(player, r) for r in tqdm(chosen, unit="picture", dynamic_ncols=True, disable=not bar)]
    finally:
        player.close()


def shot(player: Player, result: Result) -> Shot:
    """One of them. The player has its policy."""
    watched: list[Watched] = []

    def watch(looker: Looker) -> Watched:
        watched.append(Watched(looker))
        return watched[-1]

    episode, target = player.again(result, watch)
    moments = watched[0].moments
    judge = player.cases.judge(result.case.split)
    start, end = (draw(judge, target, m) for m in (moments[0], moments[-1]))
    return Shot(result, start, end, len(moments), moments[-1].time_s, episode.success == result.success)


@dataclass(frozen=True)
class Moment:
    """One look. time_s: since the first [s]. qpos: of the world then. grounding: (h, w) 0..1, where the policy saw what
    it was told; None where it does not say."""

    time_s: float
    qpos: Floats = field(repr=False)
    grounding: NDArray[np.float32] | None = field(repr=False)


class Watched:
    """A policy, and the moments at which it looked."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker
        self.moments: list[Moment] = []

    @property
    def sees(self) -> bool:
        return self._looker.sees

    def start(self, world: World, target: Target) -> None:
        self.moments.clear()
        self._world = world
        self._looker.start(world, target)

    def look(self, observation: Observation) -> ActionChunk | None:
        if not self.moments:
            self._start_s = observation.stamp_s
        chunk = self._looker.look(observation)
        grounding = self._looker.grounding if isinstance(self._looker, lookers.Model) else None
        self.moments.append(Moment(observation.stamp_s - self._start_s, self._world.data.qpos.copy(), grounding))
        return chunk


def draw(judge: Judge, target: Target, moment: Moment) -> Picture:
    """What the camera saw, (192, 320, 3) BGR: grounding in orange with a frame around its largest patch, the target
    outlined, and a ring about the optical axis within which its centre counts. The judge's world has its room."""
    world = judge.world
    world.mirror(moment.qpos)
    look = judge.look(world.positions(g1.HEAD))
    picture = np.ascontiguousarray(judge.eye.rgbd_of(world.data, look.view)[0][..., ::-1])
    if moment.grounding is not None:
        picture = heated(picture, moment.grounding)
    k = look.view.intrinsics
    radius = math.tan(LookCriterion().max_angle_rad) * np.diag(k)[:2]
    for colour, width in ((_SHADE, 2), (_INK, 1)):  # to be seen on a white wall too
        cv2.ellipse(picture, _pixel(k[:2, 2]), _pixel(radius), 0, 0, 360, colour, width, cv2.LINE_AA)
    if isinstance(target, AnyOf):
        for thing in target.things:
            outline(picture, judge.mask(look, thing))
    if isinstance(target, HeadPose):
        here, there = (judge.camera_in_torso(head) for head in (look.head, target.pose))
        axis = k @ here[:3, :3].T @ there[:3, 2]
        if axis[2] > 0.1:  # in front, and not nearly beside
            cv2.drawMarker(picture, _pixel(axis[:2] / axis[2]), _TARGET, cv2.MARKER_TILTED_CROSS, 12, 2, cv2.LINE_AA)
    return picture


def heated(picture: Picture, grounding: NDArray[np.floating]) -> Picture:
    """A picture (H, W, 3) with a map (h, w) of 0..1 over it."""
    height, width = picture.shape[:2]
    rows, columns = grounding.shape
    share = cv2.resize(grounding.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    share = 0.5 * np.clip(share, 0, 1)[..., None]
    hot = np.rint(picture * (1 - share) + np.array(_HEAT, np.float32) * share).astype(np.uint8)
    row, column = divmod(int(grounding.argmax()), columns)
    corners = [((column + c) * width // columns, (row + r) * height // rows) for c, r in ((0, 0), (1, 1))]
    cv2.rectangle(hot, corners[0], (corners[1][0] - 1, corners[1][1] - 1), _HEAT, 1)
    return hot


def outline(picture: Picture, mask: NDArray[np.bool_]) -> None:
    """Draws a line around a mask (H, W) into a picture (H, W, 3): what it is around stays as it is."""
    around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > mask
    picture[around] = _TARGET


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
