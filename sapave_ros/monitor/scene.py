"""Everything that is watched, from whoever hears it: the newest of every stream, and what follows from it now.

ROS time (`now_s`, stamps) orders what happened; the monotonic clock (`monotonic_s`, `heard_s`) only tells ages. Of a
recording both are its time of recording.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1, graph
from sapave_ros.core.jog import COMMAND_STALE_AFTER_S
from sapave_ros.core.kinematics import CAMERA, TORSO, Kinematics
from sapave_ros.core.observation import JointHistory
from sapave_ros.monitor import eyes
from sapave_ros.monitor.banner import Banner, permit_now, silence
from sapave_ros.monitor.eyes import Cloud, Lens
from sapave_ros.monitor.intention import Intention, ordered
from sapave_ros.monitor.latency import Budget, Latency
from sapave_ros.types import ActionChunk, Floats, Permit, Source

GROUPS: dict[str, g1.JointGroup] = {"head": g1.HEAD, "arms": g1.OTHER}
"""Each moved by a controller of its own, which publishes its joints together."""

HANDS = {"left_hand": "L_middle_proximal", "right_hand": "R_middle_proximal"}
"""Which point of a hand draws its path: the one between the knuckles, as when it is moved by joystick."""

GAZE = "gaze"
PATHS = (*HANDS, GAZE)

DEPTH_HOLDS_S = 1.0
"""How far away it looks is known so long [s] after a depth picture."""

MAX_JOINT_GAP_S = 0.1
"""As the policy has it: where the camera was between two joint samples further apart [s] is not known."""

_KEPT_PICTURES = 8


@dataclass(frozen=True)
class Path:
    """times_s: (m,) ROS time, from now on. points_in_torso: (m, 3) [m]."""

    times_s: Floats
    points_in_torso: Floats


@dataclass(frozen=True)
class View:
    """What is shown at one time. What is not known is not there.

    links: pose (4, 4) in the torso of every link whose place is measured; ghost: the same as commanded, empty where
    nobody commands. frustum: (5, 3), see `eyes.frustum`. gaze: (3,) what it looks at. paths: by name of `PATHS`.
    """

    now_s: float
    links: Mapping[str, Floats]
    ghost: Mapping[str, Floats]
    frustum: Floats | None
    gaze: Floats | None
    paths: Mapping[str, Path]
    banner: Banner


@dataclass
class _Joints:
    """Newest positions of a group. heard_s: on the monotonic clock."""

    heard_s: float = -math.inf
    positions: Floats | None = None

    def age_s(self, monotonic_s: float) -> float:
        return monotonic_s - self.heard_s


@dataclass
class _Picture:
    depth_mm: NDArray[np.uint16] | None = None
    rgb: NDArray[np.uint8] | None = None


@dataclass
class Scene:
    """One robot and who moves it. Not for use by several threads."""

    kinematics: Kinematics = field(default_factory=Kinematics.from_urdf)

    def __post_init__(self) -> None:
        self.instruction = ""
        self.latency = {group: Latency() for group in GROUPS}
        self.measured = {group: _Joints() for group in GROUPS}
        self.commanded = {group: _Joints() for group in GROUPS}
        self._intentions = {name: Intention(group) for name, group in GROUPS.items()}
        self._history = JointHistory()
        self._permit: Permit | None = None
        self.lens: Lens | None = None
        self._lens_heard_s = -math.inf
        self._pictures: dict[float, _Picture] = {}
        self._depth: tuple[float, float | None] = (-math.inf, None)
        self._modes: dict[str, str] = {}

    # ---- what is heard ----

    def hear_permit(self, permit: Permit) -> None:
        """The watchdog's word."""
        self._permit = permit
        for name, intention in self._intentions.items():
            intention.permit(*permit.of(arms=name == "arms"))

    def hear_joints(self, names: Sequence[str], stamp_s: float, positions: Sequence[float], heard_s: float) -> None:
        """Measured joints of one controller. Raises ValueError on what is no sample."""
        self._history.add(names, stamp_s, np.asarray(positions, dtype=np.float64))
        for name, group in GROUPS.items():
            if (ours := ordered(group, names, positions)) is not None:
                self.measured[name] = _Joints(heard_s, ours)
                self.latency[name].motion(stamp_s, ours)
                if self._intentions[name].shadow:
                    self._intentions[name].command(stamp_s, ours)

    def hear_command(
        self, name: str, names: Sequence[str], stamp_s: float, positions: Sequence[float], heard_s: float
    ) -> None:
        """What the controller of a group of `GROUPS` commands."""
        if (ours := ordered(GROUPS[name], names, positions)) is not None:
            self.commanded[name] = _Joints(heard_s, ours)
            self.latency[name].command(stamp_s, ours)
            if not self._intentions[name].shadow:
                self._intentions[name].command(stamp_s, ours)

    def hear_chunk(self, name: str, chunk: ActionChunk, source: Source, now_s: float) -> None:
        """Increments for a group of `GROUPS`."""
        if self._intentions[name].chunk(chunk, source, now_s) is None and source is Source.POLICY:
            self.latency[name].chunk(chunk.stamp_s, now_s)

    def hear_camera(self, lens: Lens, stamp_s: float, now_s: float, heard_s: float) -> None:
        """A picture was taken."""
        self.lens, self._lens_heard_s = lens, heard_s
        for latency in self.latency.values():
            latency.picture(stamp_s, now_s)

    def hear_depth(self, stamp_s: float, depth_mm: NDArray[np.uint16]) -> None:
        """depth_mm: (H, W), 0 where there is none."""
        self._picture(stamp_s).depth_mm = depth_mm
        self._depth = stamp_s, eyes.middle_depth_m(depth_mm)

    def hear_color(self, stamp_s: float, rgb: NDArray[np.uint8]) -> None:
        """rgb: (H, W, 3)."""
        self._picture(stamp_s).rgb = rgb

    def hear_report(self, node: str, values: Mapping[str, str]) -> None:
        """What a node says of itself on /diagnostics."""
        mode = values.get("mode")
        name = {"sapave/head": "head", "sapave/arm": "arms"}.get(node)
        if name is not None and mode is not None:
            self._modes[name] = mode
            self._intentions[name].shadow = mode == "shadow"

    # ---- what is shown ----

    def view(self, now_s: float, monotonic_s: float) -> View:
        """All of it but the cloud, at ROS time now_s."""
        measured = self._positions(self.measured, monotonic_s, math.inf)
        commanded = self._positions(self.commanded, monotonic_s, COMMAND_STALE_AFTER_S)
        links = self.kinematics.links_in_frame(TORSO, measured)
        ghost = self.kinematics.links_in_frame(TORSO, commanded) if commanded else {}
        camera = links.get(CAMERA)
        depth_m = self._depth[1] if abs(now_s - self._depth[0]) <= DEPTH_HOLDS_S else None
        return View(
            now_s,
            links,
            ghost,
            eyes.frustum(self.lens, camera) if self.lens is not None and camera is not None else None,
            eyes.gaze(self.lens, camera, depth_m) if camera is not None else None,
            self._paths(now_s, depth_m) if self._may_be_believed(monotonic_s) else {},
            self._banner(monotonic_s),
        )

    def cloud(self, most: int) -> Cloud | str:
        """The newest depth picture whose camera pose is known, as at most that many points; or why there is none."""
        why = "no depth picture"
        for stamp_s, picture in sorted(self._pictures.items(), reverse=True):
            if picture.depth_mm is None:
                continue
            if self.lens is None:
                return "no camera info"
            head = self._history.at(g1.HEAD.names, stamp_s, MAX_JOINT_GAP_S)
            if isinstance(head, str):
                why = head
                continue
            camera = self.kinematics.camera_in_torso(head)
            return eyes.cloud(stamp_s, picture.depth_mm, self.lens, camera, picture.rgb, most)
        return why

    def budgets(self, now_s: float) -> dict[str, Budget]:
        """Of the groups whose chunks lead to commands, at ROS time now_s."""
        found = {name: latency.budget(now_s) for name, latency in self.latency.items()}
        return {name: budget for name, budget in found.items() if budget is not None}

    # ---- inside ----

    def _picture(self, stamp_s: float) -> _Picture:
        picture = self._pictures.setdefault(stamp_s, _Picture())
        while len(self._pictures) > _KEPT_PICTURES:
            self._pictures.pop(next(iter(self._pictures)))
        return picture

    @staticmethod
    def _positions(heard: Mapping[str, _Joints], monotonic_s: float, max_age_s: float) -> dict[str, float]:
        """By joint name [rad], of the groups heard no longer ago than max_age_s [s]."""
        found: dict[str, float] = {}
        for name, joints in heard.items():
            if joints.positions is not None and joints.age_s(monotonic_s) <= max_age_s:
                found.update(zip(GROUPS[name].names, joints.positions.tolist()))
        return found

    def _may_be_believed(self, monotonic_s: float) -> bool:
        return self._permit is not None and monotonic_s - self._permit.received_s <= graph.PERMIT_STALE_AFTER_S

    def _paths(self, now_s: float, depth_m: float | None) -> dict[str, Path]:
        found: dict[str, Path] = {}
        head = self._intentions["head"].path(now_s)
        if head is not None:
            cameras = [self.kinematics.camera_in_torso(q) for q in head[1]]
            found[GAZE] = Path(head[0], np.array([eyes.gaze(self.lens, c, depth_m) for c in cameras]))
        arms = self._intentions["arms"].path(now_s)
        if arms is not None:
            for name, link in HANDS.items():
                poses = [dict(zip(g1.OTHER.names, q.tolist())) for q in arms[1]]
                points = [self.kinematics.frame_in_frame(link, TORSO, pose)[:3, 3] for pose in poses]
                found[name] = Path(arms[0], np.array(points))
        return found

    def _banner(self, monotonic_s: float) -> Banner:
        permit = self._permit
        age_s = math.inf if permit is None else monotonic_s - permit.received_s
        state, reason = ("unknown", "") if permit is None else (permit.state, permit.reason)
        joints_bound_s = graph.stream(graph.JOINT_STATES).stale_after_s or math.inf
        camera_bound_s = graph.stream(graph.CAMERA_INFO).stale_after_s or math.inf
        ages = [(f"joints of the {name}", j.age_s(monotonic_s), joints_bound_s) for name, j in self.measured.items()]
        ages.append(("camera", monotonic_s - self._lens_heard_s, camera_bound_s))
        shadow = [name for name, mode in self._modes.items() if mode == "shadow"]
        remarks = [f"shadow: nothing is sent to the {' and the '.join(shadow)}"] if shadow else []
        return Banner(*permit_now(state, reason, age_s), self.instruction, (*remarks, *silence(ages)))
