"""What is watched as entities of Rerun. Every call says for which time [s of the epoch] it counts.

torso/robot, torso/ghost   bodies, by kind: as measured, as commanded      torso/standing  legs: nobody measures them
torso/camera/image         the picture, in the camera's frustum            torso/cloud     depth at its exposure
torso/path/NAME, torso/gaze                                                joints/GROUP/measured, commanded  [rad]
state/permit, state/banner, log                                            latency/GROUP/STAGE  [ms]
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import rerun as rr

from sapave_ros import g1
from sapave_ros.bag import jpeg
from sapave_ros.core import urdf
from sapave_ros.core.kinematics import CAMERA, TORSO, Kinematics
from sapave_ros.core.supervisor import State
from sapave_ros.core.urdf import Shape
from sapave_ros.monitor.banner import NO_PERMIT, Banner, Level, level_of
from sapave_ros.monitor.eyes import FRUSTUM_DEPTH_M, Cloud, Lens
from sapave_ros.monitor.latency import STAGES, Budget
from sapave_ros.monitor.quaternion import quaternion_xyzw
from sapave_ros.monitor.scene import PATHS, View
from sapave_ros.types import Floats

TIMELINE = "time"

PLOTS: dict[str, g1.JointGroup] = {
    "head": g1.HEAD,
    "left_arm": g1.LEFT_ARM,
    "right_arm": g1.RIGHT_ARM,
    "left_hand": g1.LEFT_HAND,
    "right_hand": g1.RIGHT_HAND,
}

_GHOST = (64, 140, 255, 90)
_STANDING = (70, 72, 78, 255)
_ORANGE = (255, 140, 40)
_PATH_COLOURS = dict(zip(PATHS, ((90, 200, 255), (255, 110, 200), _ORANGE)))
_PATH_M, _POINT_M = 0.004, 0.006
_LEVELS = {Level.GOOD: (60, 170, 80, 255), Level.WAITING: (200, 160, 40, 255), Level.BAD: (210, 60, 50, 255)}
_LOG = {Level.GOOD: "INFO", Level.WAITING: "WARN", Level.BAD: "ERROR"}
_ENTITY = {"box": "boxes", "cylinder": "cylinders", "sphere": "spheres"}


class Screen:
    """Writes to one recording of Rerun. kinematics: of the robot that is drawn."""

    def __init__(self, recording: rr.RecordingStream, kinematics: Kinematics) -> None:
        self._recording = recording
        known = kinematics.links_in_frame(TORSO, dict.fromkeys(g1.POLICY.names, 0.0))
        moved = set(known) - set(kinematics.links_in_frame(TORSO, {}))
        bodies = urdf.read_shapes(g1.model_path(), "visual")
        self._bodies = [b for b in bodies if b.link in known]
        self._ghost = [b for b in urdf.read_shapes(g1.model_path(), "collision") if b.link in moved]
        self._shown: set[str] = set()  # what has to be taken away when it is no longer so
        self._said = ("", "", "")
        self._lens: tuple[bytes, int, int] | None = None
        standing = kinematics.links_in_frame(TORSO, {}, default=0.0)
        legs = [b for b in bodies if b.link not in known]
        for kind, archetype in _drawn(legs, standing, _STANDING).items():
            recording.log(f"torso/standing/{kind}", archetype, static=True)
        recording.log("torso", rr.ViewCoordinates.FLU, static=True)
        if hasattr(rr, "StateConfiguration"):  # not in 0.39, which takes colours of its own
            states = [*State.__members__, NO_PERMIT]
            colours = [_LEVELS[level_of(state)] for state in states]
            recording.log("state/permit", rr.StateConfiguration(values=states, colors=colours), static=True)
        for name, group in PLOTS.items():
            n = len(group)
            for what, width, light in (("measured", 2.0, 0.0), ("commanded", 1.0, 0.55)):
                lines = rr.SeriesLines(
                    names=[f"{joint.removesuffix('_joint')} {what}" for joint in group.names],
                    colors=[_hue(i / n, light) for i in range(n)],
                    widths=[width] * n,
                )
                recording.log(f"joints/{name}/{what}", lines, static=True)

    def show(self, view: View, lens: Lens | None) -> None:
        """All of a view."""
        self._at(view.now_s)
        self._draw("torso/robot", self._bodies, view.links, None)
        self._draw("torso/ghost", self._ghost, view.ghost, _GHOST)
        if lens is not None:
            self._frame(lens)
        if CAMERA in view.links:
            camera = view.links[CAMERA]
            transform = rr.Transform3D(translation=camera[:3, 3], mat3x3=camera[:3, :3])
            self._recording.log("torso/camera", transform)
        gaze = None if view.gaze is None else np.vstack([view.links[CAMERA][:3, 3], view.gaze])
        self._line("torso/gaze", gaze, _ORANGE, _PATH_M / 2)
        for name in PATHS:
            path = view.paths.get(name)
            self._line(
                f"torso/path/{name}", None if path is None else path.points_in_torso, _PATH_COLOURS[name], _PATH_M
            )
        self._say(view.banner)

    def picture(self, rgb: np.ndarray, stamp_s: float) -> None:
        """The picture (H, W, 3) of an exposure."""
        self._at(stamp_s)
        self._recording.log("torso/camera/image", rr.EncodedImage(contents=jpeg.encode(rgb), media_type="image/jpeg"))

    def cloud(self, cloud: Cloud) -> None:
        """Depth as points, where the camera was when it was taken."""
        self._at(cloud.stamp_s)
        points = rr.Points3D(cloud.points_in_torso, colors=cloud.colours, radii=_POINT_M)
        self._recording.log("torso/cloud", points)

    def joints(self, what: str, names: Sequence[str], positions: Sequence[float], stamp_s: float) -> None:
        """Joints of one message. what: `measured` or `commanded`. Groups that it does not have in full are left out."""
        self._at(stamp_s)
        found = dict(zip(names, positions))
        for name, group in PLOTS.items():
            if all(joint in found for joint in group.names):
                self._recording.log(f"joints/{name}/{what}", rr.Scalars([found[joint] for joint in group.names]))

    def latency(self, budgets: Mapping[str, Budget], now_s: float) -> None:
        """Where the time goes."""
        self._at(now_s)
        for name, budget in budgets.items():
            for stage in STAGES:
                if stage in budget.stages_s:
                    self._recording.log(f"latency/{name}/{stage}", rr.Scalars(budget.stages_s[stage] * 1e3))
            self._recording.log(f"latency/{name}/whole", rr.Scalars(budget.whole_s * 1e3))

    def note(self, text: str, level: str, now_s: float) -> None:
        """A line of the log. level: `INFO`, `WARN` or `ERROR`."""
        self._at(now_s)
        self._recording.log("log", rr.TextLog(text, level=level))

    def close(self) -> None:
        """Waits until everything has been taken."""
        self._recording.flush()

    def _at(self, time_s: float) -> None:
        self._recording.set_time(TIMELINE, timestamp=time_s)

    def _frame(self, lens: Lens) -> None:
        """The camera's frustum, where it is another than before."""
        said = (lens.intrinsics.tobytes(), lens.width, lens.height)
        if said == self._lens:
            return
        self._lens = said
        pinhole = rr.Pinhole(
            image_from_camera=lens.intrinsics,
            resolution=[lens.width, lens.height],
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=FRUSTUM_DEPTH_M,
        )
        self._recording.log("torso/camera", pinhole)

    def _say(self, banner: Banner) -> None:
        """State and words, where they have changed."""
        text = "\n\n".join([f"# {banner.state}", banner.reason, *banner.lines()[1:]])
        state, told, before = banner.state, banner.instruction, self._said
        if text == before[2]:
            return
        self._said = (state, told, text)
        self._recording.log("state/banner", rr.TextDocument(text, media_type=rr.MediaType.MARKDOWN))
        if state != before[0]:
            self._recording.log("state/permit", rr.StateChange(state=state))
            self._recording.log("log", rr.TextLog(banner.lines()[0], level=_LOG[banner.level]))
        if told != before[1]:
            self._recording.log("log", rr.TextLog(banner.lines()[1], level="INFO"))

    def _draw(
        self, entity: str, bodies: Sequence[Shape], links: Mapping[str, Floats], colour: tuple[int, ...] | None
    ) -> None:
        there = _drawn([b for b in bodies if b.link in links], links, colour)
        for kind in _ENTITY.values():
            self._log_or_clear(f"{entity}/{kind}", there.get(kind))

    def _line(self, entity: str, points: Floats | None, colour: tuple[int, ...], radius_m: float) -> None:
        self._log_or_clear(
            entity, None if points is None else rr.LineStrips3D([points], colors=[colour], radii=[radius_m])
        )

    def _log_or_clear(self, entity: str, archetype: rr.AsComponents | None) -> None:
        if archetype is not None:
            self._shown.add(entity)
            self._recording.log(entity, archetype)
        elif entity in self._shown:
            self._shown.discard(entity)
            self._recording.log(entity, rr.Clear(recursive=False))


def _drawn(
    bodies: Sequence[Shape], links: Mapping[str, Floats], colour: tuple[int, ...] | None
) -> dict[str, rr.AsComponents]:
    """Bodies by kind, in their own colours where none is given."""
    found: dict[str, rr.AsComponents] = {}
    for kind, entity in _ENTITY.items():
        ours = [b for b in bodies if b.kind == kind]
        if not ours:
            continue
        poses = [links[b.link] @ b.shape_in_link for b in ours]
        centers = np.array([pose[:3, 3] for pose in poses])
        quaternions = np.array([quaternion_xyzw(pose[:3, :3]) for pose in poses])
        sizes = np.array([b.size for b in ours])
        colours = np.array([colour or tuple(round(255 * c) for c in b.rgba) for b in ours], np.uint8)
        if kind == "box":
            found[entity] = rr.Boxes3D(
                half_sizes=sizes / 2, centers=centers, quaternions=quaternions, colors=colours, fill_mode="solid"
            )
        elif kind == "cylinder":
            found[entity] = rr.Cylinders3D(
                lengths=sizes[:, 2],
                radii=sizes[:, 0] / 2,
                centers=centers,
                quaternions=quaternions,
                colors=colours,
                fill_mode="solid",
            )
        else:
            found[entity] = rr.Ellipsoids3D(half_sizes=sizes / 2, centers=centers, colors=colours, fill_mode="solid")
    return found


def _hue(turn: float, light: float) -> tuple[int, int, int]:
    """The colour of a joint's lines: one hue for both, the command's lighter. turn, light: 0..1."""
    colour = colorsys.hsv_to_rgb(turn, 0.75, 0.95)
    r, g, b = (round(255 * (c + light * (1.0 - c))) for c in colour)
    return r, g, b
