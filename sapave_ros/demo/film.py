"""What remains of a demo: a video (third-person view, head view, captions) and a plot of the head's motion."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros.types import Floats

FPS = 10
_WIDTH, _HEIGHT = 1088, 480
_OBSERVER = (640, 360)
_HEAD = (432, 244)
_INK, _FADED, _GOOD, _HEAT = (235, 235, 235), (150, 150, 150), (120, 220, 130), (255, 140, 40)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Moment:
    """The state of the run at one camera exposure; times are seconds since the instruction.

    head, commanded: yaw and pitch (2,) [rad]. angle_rad: optical axis to target, visible: its visible
    fraction; both None without a known target. seen: largest value of the policy's grounding, 0..1.
    """

    time_s: float
    state: str
    head: Floats
    commanded: Floats | None
    angle_rad: float | None
    visible: float | None
    seen: float


@dataclass
class Recording:
    """Everything that the film and the plot are made of. held: why the robot stood still at the end, if it did."""

    instruction: str
    max_angle_rad: float
    focal_px: float
    head_views: list[tuple[float, Picture]] = field(default_factory=list)
    observer_views: list[tuple[float, Picture]] = field(default_factory=list)
    heat: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    verdict: str = ""
    held: str = ""


def write_video(recording: Recording, path: Path) -> None:
    """An H.264 video of the recording. Raises ValueError if nothing was recorded."""
    import imageio.v2 as imageio

    if not recording.head_views or not recording.moments:
        raise ValueError("nothing was recorded; there is no video to write")
    start, stop = recording.moments[0].time_s, recording.moments[-1].time_s
    writer: Any
    with imageio.get_writer(path, fps=FPS, codec="libx264", macro_block_size=8, quality=7) as writer:
        for time_s in np.arange(start, stop, 1 / FPS):
            writer.append_data(_compose(recording, float(time_s)))
        for _ in range(FPS):  # the verdict stays long enough to be read
            writer.append_data(_compose(recording, stop, recording.verdict))


def _latest(series: list[tuple[float, Picture]], time_s: float) -> tuple[float, Picture]:
    """The last entry that begins at or before time_s, or the first."""
    return series[max(bisect_right(series, time_s, key=lambda item: item[0]) - 1, 0)]


def _compose(recording: Recording, time_s: float, verdict: str = "") -> Picture:
    canvas = np.full((_HEIGHT, _WIDTH, 3), 24, np.uint8)
    moments = recording.moments
    index = max(bisect_right(moments, time_s, key=lambda m: m.time_s) - 1, 0)
    now = moments[index]

    if recording.observer_views:
        canvas[8 : 8 + _OBSERVER[1], 4 : 4 + _OBSERVER[0]] = cv2.resize(
            _latest(recording.observer_views, time_s)[1], _OBSERVER, interpolation=cv2.INTER_AREA
        )
    canvas[8 : 8 + _HEAD[1], 650 : 650 + _HEAD[0]] = _head_view(recording, time_s)
    _text(canvas, "head camera", (654, 26), _FADED, 0.45)
    _text(canvas, f'"{recording.instruction}"', (16, 402), _INK, 0.7)
    yaw, pitch = np.rad2deg(now.head)
    line = f"{max(time_s, 0.0):4.1f} s   {now.state}   head yaw {yaw:+4.0f}, pitch {pitch:+4.0f} deg"
    _text(canvas, line, (16, 432), _INK, 0.5)
    if now.angle_rad is not None:
        good = now.angle_rad <= recording.max_angle_rad
        hidden = "" if now.visible is None else f", {now.visible:.0%} visible"
        _text(
            canvas,
            f"target {np.rad2deg(now.angle_rad):.0f} deg off the axis{hidden}",
            (16, 458),
            _GOOD if good else _INK,
            0.5,
        )
    if verdict:
        _text(canvas, verdict, (330, 458), _GOOD if verdict.startswith("found") else _HEAT, 0.55)
    _graph(canvas[262 : _HEIGHT - 8, 650:-6], recording, index)
    return canvas


def _head_view(recording: Recording, time_s: float) -> Picture:
    picture = cv2.resize(_latest(recording.head_views, time_s)[1], _HEAD, interpolation=cv2.INTER_LINEAR)
    scale = _HEAD[0] / recording.head_views[0][1].shape[1]
    if recording.heat and recording.heat[0][0] <= time_s:
        heat = cv2.resize(_latest(recording.heat, time_s)[1], _HEAD, interpolation=cv2.INTER_CUBIC)
        share = (heat.astype(np.float32) / 255 * 0.55)[..., None]
        picture = (picture * (1 - share) + np.array(_HEAT, np.float32) * share).astype(np.uint8)
    radius = round(np.tan(recording.max_angle_rad) * recording.focal_px * scale)
    cv2.circle(picture, (_HEAD[0] // 2, _HEAD[1] // 2), radius, _INK, 1, cv2.LINE_AA)
    return picture.astype(np.uint8)


def _graph(panel: Picture, recording: Recording, index: int) -> None:
    """Angle between optical axis and target over time, drawn up to now."""
    height, width = panel.shape[:2]
    panel[:] = 34
    _text(panel, "target off the optical axis [deg]", (8, 18), _FADED, 0.42)
    moments = recording.moments
    t0, t1 = moments[0].time_s, max(moments[-1].time_s, moments[0].time_s + 1.0)
    angles = [m.angle_rad for m in moments if m.angle_rad is not None]
    if not angles:
        return
    top = max(np.rad2deg(max(angles)) * 1.1, 20.0)

    def at(time_s: float, angle_rad: float) -> tuple[int, int]:
        x = 34 + (width - 44) * (time_s - t0) / (t1 - t0)
        return int(x), int(height - 14 - (height - 44) * np.rad2deg(angle_rad) / top)

    limit = at(t0, recording.max_angle_rad)[1]
    cv2.line(panel, (34, limit), (width - 10, limit), _GOOD, 1)
    _text(panel, f"{np.rad2deg(recording.max_angle_rad):.0f}", (8, limit + 4), _GOOD, 0.4)
    points = [at(m.time_s, m.angle_rad) for m in moments[: index + 1] if m.angle_rad is not None]
    if len(points) > 1:
        cv2.polylines(panel, [np.array(points, np.int32)], False, _INK, 2, cv2.LINE_AA)


def _text(picture: Picture, text: str, where: tuple[int, int], colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def write_plot(recording: Recording, path: Path) -> None:
    """Head yaw and pitch, commanded and measured, and the target's angle over time, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    moments = recording.moments
    times = np.array([m.time_s for m in moments])
    head = np.rad2deg(np.array([m.head for m in moments]))
    figure, (yaw, pitch, target) = pyplot.subplots(3, 1, sharex=True, figsize=(8, 7), layout="constrained")
    for axes, column, name in ((yaw, 0, "yaw (left +)"), (pitch, 1, "pitch (down +)")):
        axes.plot(times, head[:, column], label="measured")
        commanded = [(m.time_s, np.rad2deg(m.commanded[column])) for m in moments if m.commanded is not None]
        if commanded:
            axes.plot(*zip(*commanded, strict=True), "--", label="commanded")
        axes.set_ylabel(f"{name} [deg]")
        axes.legend(loc="upper right")
    known = [(m.time_s, np.rad2deg(m.angle_rad)) for m in moments if m.angle_rad is not None]
    if known:
        target.plot(*zip(*known, strict=True), color="black")
        target.axhline(np.rad2deg(recording.max_angle_rad), color="green", linewidth=1)
    target.set_ylabel("target off the\noptical axis [deg]")
    target.set_xlabel("time since the instruction [s]")
    figure.suptitle(f"“{recording.instruction}”: {recording.verdict}")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
