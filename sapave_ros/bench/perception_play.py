"""Plays the cases of semantic active perception: scored, with requests exchanged, told nothing, with other cameras.

One process has one world of rooms, a robot to move and every policy; many processes share out the tasks. What comes
back depends on the task alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sapave_ros import g1
from sapave_ros.bench import lookers
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bench.lockstep import Episode, Eyes, HeadLoop, Looker, LoopTiming, Picture
from sapave_ros.bench.perception_cases import Case, CaseMaker, NoSuchCase, Pair
from sapave_ros.core.observation import ObservationParameters
from sapave_ros.crew import Alone, Processes
from sapave_ros.learning.pairs.camera import NOMINAL, PICTURE_SIZE, Device
from sapave_ros.policy.session import SessionParameters
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.targets import HeadPose, Target
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

BASELINES: dict[str, type[Looker]] = {
    "still": lookers.Still,
    "sweep": lookers.Sweep,
    "random": lookers.Random,
    "oracle": lookers.Oracle,
}

QUIET = LookCriterion(max_angle_rad=math.radians(3.0), min_visible_fraction=0.0, time_limit_s=0.0, hold_s=3.0)
"""Told nothing, the head stays: never farther than this from where it was."""

ANGLES_RAD = tuple(math.radians(a) for a in (3.0, 5.0, 7.5, 10.0, 12.5, 15.0))
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Thresholds that success is plotted over."""


_DEGREES = (-8.0, -4.0, 4.0, 8.0)

LEVELS: dict[str, dict[float, Device]] = {
    "pitch [deg]": {a: Device(tilt_rad=(math.radians(a), 0.0, 0.0)) for a in _DEGREES},
    "roll [deg]": {a: Device(tilt_rad=(0.0, 0.0, math.radians(a))) for a in _DEGREES},
    "height [cm]": {h: Device(offset_m=(0.0, -h / 100, 0.0)) for h in (-10.0, 10.0)},
    "focal length": {f: Device(focal=f) for f in (0.8, 1.25)},
}
"""How the camera is changed, one thing at a time: tilted upwards and to the right, raised, with a longer lens."""

KNOWLEDGE = {
    "full": ObservationParameters(),
    "none": ObservationParameters(use_depth=False, use_intrinsics=False, use_extrinsics=False),
    "depth": ObservationParameters(use_intrinsics=False, use_extrinsics=False),
    "kt": ObservationParameters(use_depth=False),
    "all": ObservationParameters(),
}
"""What the model is told of depth, intrinsics and the camera's pose, all of them as they truly are."""

PARTS = tuple(name for name in KNOWLEDGE if name != "full")
"""Without gaze memory, which needs intrinsics and pose itself: what the model makes of each part alone."""

_CANDIDATES = 12  # cases among which is one that any camera can play


@dataclass(frozen=True)
class Settings:
    """What every process needs. models: name to ONNX file. baselines: of `BASELINES`. thresholds: whether episodes go
    on until they are decided by every threshold of the plots. parts: of `PARTS`; the first of the models is also scored
    when it is told no more than that. perturbed: models that see through changed cameras as well, none for all. memory:
    whether models have a gaze memory.
    """

    models: dict[str, Path]
    baselines: tuple[str, ...]
    chunking: str = "plain"
    timing: LoopTiming = field(default_factory=LoopTiming)
    thresholds: bool = False
    parts: tuple[str, ...] = ()
    perturbed: tuple[str, ...] = ()
    memory: bool = True

    @property
    def told(self) -> dict[str, tuple[str, str]]:
        """Policies that are told in part: name to model and part."""
        return {f"{model}-{part}": (model, part) for model in list(self.models)[:1] for part in self.parts}

    @property
    def policies(self) -> tuple[str, ...]:
        return (*self.models, *self.told, *self.baselines)

    @property
    def beyond(self) -> tuple[LookCriterion, ...]:
        """Criteria by which to decide as well."""
        if not self.thresholds:
            return ()
        nominal = LookCriterion()
        return tuple(replace(nominal, max_angle_rad=a, min_visible_fraction=f) for a in ANGLES_RAD for f in FRACTIONS)


@dataclass(frozen=True)
class Result:
    """One case played by one policy; see `lockstep.Episode`. views: (m, 3) time [s], angle [rad] and how much shows,
    NaN where that was not asked.
    """

    policy: str
    case: Case
    success: bool
    first_s: float | None
    reached_s: float | None
    angle_deg: float
    refused: int
    views: Floats = field(repr=False)


@dataclass(frozen=True)
class Swapped:
    """A pair played by one policy. success: of each request. nearer: whether it ended nearer to what was asked for than
    to what the other request asks for.
    """

    policy: str
    pair: Pair
    success: tuple[bool, bool]
    nearer: tuple[bool, bool]


@dataclass(frozen=True)
class Untold:
    """One start pose with the empty instruction. stayed: as `QUIET` asks. farthest_deg: from it, until decided."""

    policy: str
    case: Case
    stayed: bool
    farthest_deg: float


@dataclass(frozen=True)
class Perturbed:
    """One case seen through a camera that is changed. level: of `LEVELS`; 0 of "nothing" as drawn."""

    policy: str
    case: Case
    change: str
    level: float
    knowledge: str
    success: bool


@dataclass(frozen=True)
class Task:
    """what: "score", "swap", "empty" or "perturb". number: of the case or pair of the split."""

    what: str
    split: str
    number: int


@dataclass(frozen=True)
class Unplayable:
    """A task whose case could not be made: no policy played it, and it counts for none and against none."""

    task: Task
    why: str


Row = Result | Swapped | Untold | Perturbed | Unplayable


class Player:
    """Worlds and policies of one process, made once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.cases = CaseMaker()
        self._body = World(kinds=(), blocks=1)
        parameters = SessionParameters(chunking=settings.chunking, gaze_memory=settings.memory)
        alone = replace(parameters, gaze_memory=False)
        self._models: dict[str, Looker] = {n: lookers.Model(p, parameters) for n, p in settings.models.items()}
        self._told = {model: lookers.Model(settings.models[model], alone) for model, _ in settings.told.values()}
        self._baselines: dict[str, Looker] = {n: BASELINES[n]() for n in settings.baselines}

    def close(self) -> None:
        self.cases.close()
        self._body.close()

    def do(self, task: Task) -> list[Row]:
        """What came of it, or that its case could not be made. Raises ValueError as `CaseMaker.case`."""
        make = {"score": self.score, "swap": self.swap, "empty": self.empty, "perturb": self.perturb}[task.what]
        try:
            return list(make(task.split, task.number))
        except NoSuchCase as error:
            return [Unplayable(task, str(error))]

    def score(self, split: str, number: int) -> Iterator[Row]:
        """A case, played by every policy."""
        case = self.cases.case(split, number)
        target = self._load(case)
        world = self.cases.judge(split).world
        for policy in self._settings.policies:
            looker, told = self._policy(policy)
            e = self._run(world, looker, case.text, target, LookCriterion(), None, told, self._settings.beyond)
            views = e.trace[:, [0, 3, 4]]
            angle_deg = math.degrees(e.angle_rad)
            yield Result(policy, case, e.success, e.first_s, e.reached_s, angle_deg, e.refused, views)

    def swap(self, split: str, number: int) -> Iterator[Row]:
        """Both requests of a pair, one after the other from the same start."""
        pair = self.cases.pair(split, number)
        room = self.cases.load(pair.first)
        self._stand(pair.first)
        both = [(case, self.cases.target(case, room)) for case in (pair.first, pair.second)]
        world = self.cases.judge(split).world
        for policy, looker in (self._models | self._reference("oracle")).items():
            success, nearer = [], []
            for (case, target), (_, other) in ((both[0], both[1]), (both[1], both[0])):
                success.append(self._run(world, looker, case.text, target, LookCriterion()).success)
                nearer.append(target.angle_rad(world) < other.angle_rad(world))
            yield Swapped(policy, pair, (success[0], success[1]), (nearer[0], nearer[1]))

    def empty(self, split: str, number: int) -> Iterator[Row]:
        """The start of a case without a word."""
        case = self.cases.case(split, number)
        self._load(case)
        world = self.cases.judge(split).world
        here = HeadPose("where it is", np.array(case.head))
        for policy, looker in (self._models | self._reference("still")).items():
            e = self._run(world, looker, "", here, QUIET)
            yield Untold(policy, case, e.success, math.degrees(e.trace[:, 3].max()))

    def perturb(self, split: str, number: int) -> Iterator[Row]:
        """A case that can be played through every changed camera, through each of them."""
        judge = self.cases.judge(split)
        world = judge.world
        levels = [("nothing", 0.0, NOMINAL)]
        levels += [(change, level, device) for change, of in LEVELS.items() for level, device in of.items()]
        case = self._for_any_camera(split, number, [device for _, _, device in levels])
        room = self.cases.load(case)
        self._stand(case)
        models = {name: self._models[name] for name in self._settings.perturbed or self._models}

        def take() -> Picture:
            view = judge.view(world.positions(g1.HEAD))
            return *judge.eye.rgbd_of(world.data, view), judge.device.intrinsics(PICTURE_SIZE)

        for change, level, device in levels:
            world.reset()
            judge.mount(device)
            target = self.cases.target(case, room)
            for knowledge in ("full", "none"):
                parameters = KNOWLEDGE[knowledge]
                eyes = Eyes(take, judge.camera_in_torso)
                reference = self._reference("oracle") if knowledge == "full" else {}
                for policy, looker in (models | reference).items():
                    success = self._run(world, looker, case.text, target, LookCriterion(), eyes, parameters).success
                    yield Perturbed(policy, case, change, level, knowledge, success)

    def again(self, result: Result, watch: Callable[[Looker], Looker]) -> tuple[Episode, Target]:
        """A scored case once more, by its policy as `watch` has it; ends as soon as it is decided."""
        target = self._load(result.case)
        looker, told = self._policy(result.policy)
        world = self.cases.judge(result.case.split).world
        return self._run(world, watch(looker), result.case.text, target, LookCriterion(), None, told), target

    # -- inside ----------------------------------------------------------------------------------

    def _policy(self, name: str) -> tuple[Looker, ObservationParameters]:
        if name in self._settings.told:
            model, part = self._settings.told[name]
            return self._told[model], KNOWLEDGE[part]
        return (self._models | self._baselines)[name], KNOWLEDGE["full"]

    def _for_any_camera(self, split: str, number: int, devices: Sequence[Device]) -> Case:
        for candidate in range(number * _CANDIDATES, (number + 1) * _CANDIDATES):
            try:
                case = self.cases.case(split, candidate)
            except NoSuchCase:
                continue
            if case.direction is not None:
                continue
            room = self.cases.load(case)
            if all(self._fits(case, room, device) for device in devices):
                return case
        raise NoSuchCase(
            f"{split} {number}: none of {_CANDIDATES} cases from {number * _CANDIDATES} on suits every camera"
        )

    def _fits(self, case: Case, room: Room, device: Device) -> bool:
        self.cases.judge(case.split).mount(device)
        return self.cases.fits(case, room)

    @staticmethod
    def _reference(name: str) -> dict[str, Looker]:
        return {name: BASELINES[name]()}

    def _load(self, case: Case) -> Target:
        room = self.cases.load(case)
        self._stand(case)
        return self.cases.target(case, room)

    def _stand(self, case: Case) -> None:
        """The robot as in the room that is loaded, alone: what it stands in costs seven times itself in every step."""
        scene = self.cases.judge(case.split).world.scene
        assert scene is not None
        self._body.load(replace(scene, blocks=(), items=(), head=case.head))

    def _run(
        self,
        world: World,
        looker: Looker,
        text: str,
        target: Target,
        criterion: LookCriterion,
        eyes: Eyes | None = None,
        told: ObservationParameters | None = None,
        beyond: Sequence[LookCriterion] = (),
    ) -> Episode:
        world.reset()
        self._body.reset()
        loop = HeadLoop(world, self.cases.kinematics, self._settings.timing, self._body, eyes, told)
        return loop.run(looker, text, target, criterion, beyond=beyond)


# -- many processes ------------------------------------------------------------------------------

_player: Player


def _begin(settings: Settings) -> None:
    global _player
    _player = Player(settings)


def _do(task: Task) -> list[Row]:
    return _player.do(task)


def play(
    settings: Settings,
    tasks: Sequence[Task],
    workers: int,
    bar: bool = True,
    known: Mapping[Task, list[Row]] | None = None,
    keep: Callable[[Task, list[Row]], None] | None = None,
) -> list[Row]:
    """Everything of all tasks, in their order. Raises as `Player.do`, RuntimeError where a process was killed.

    known: what came of tasks before, which are not played again. keep: is told of every task that is, as it ends.
    """
    of = {task: known[task] for task in tasks if task in known} if known else {}
    missing = [task for task in tasks if task not in of]
    workers = min(workers, len(missing))
    # As they end: what is done is not to wait for a case that is searched for in hundreds of rooms.
    work = Processes(workers, _begin, settings)(_do, missing) if workers > 1 else _alone(settings, missing)
    with (
        contextlib.closing(work),
        tqdm(
            total=len(tasks), initial=len(of), unit="case", smoothing=0.05, dynamic_ncols=True, disable=not bar
        ) as progress,
    ):
        for task, rows in work:
            if keep is not None:
                keep(task, rows)
            of[task] = rows
            progress.update()
    return [row for task in tasks for row in of[task]]


Done = tuple[Task, list[Row]]


def _alone(settings: Settings, tasks: Sequence[Task]) -> Generator[Done, None, None]:
    if not tasks:
        return
    player = Player(settings)
    try:
        yield from Alone()(player.do, tasks)
    finally:
        player.close()
