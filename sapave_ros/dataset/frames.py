"""An episode on the grid of steps: which picture each frame has, and what was done in the step after it.

Pictures and all that was true at their exposure (depth, intrinsics, the camera's pose, measured joints) are those of
the exposure nearest to a frame's time, joined as inference joins them live (`core/observation.py`). Actions are
increments over the step that begins at the frame's time: of positions *commanded* after the gate, whoever asked for
them, the policy or a person at the joystick, for both go down the same road, and chunks are relative to what was
commanded. Joints that nobody here might command all the while (the robot's own controller had the arms, or a person's
hands) have the increments of their *measured* positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sapave_ros import g1
from sapave_ros.core.observation import FUTURE_TOLERANCE_S
from sapave_ros.core.resample import grid, interpolate, nearest
from sapave_ros.dataset.episodes import Episode, Reason, UnfitError, commander
from sapave_ros.dataset.parameters import EpisodeParameters
from sapave_ros.dataset.streams import Streams
from sapave_ros.offline.recording import GROUPS, Motion, Recording
from sapave_ros.types import Floats

EDGE_S = 1.0
"""Streams may begin so much later than an episode, and end so much earlier [s]; the episode is shortened to them."""

LAG_S = 0.3
"""Messages of one clock may come so much later after their stamps than those of another [s], at best: more is no way
that messages take, but clocks that disagree."""

COMMANDED, MEASURED = "commanded", "measured"


@dataclass(frozen=True)
class Frames:
    """What is known of an episode before its pictures are read.

    times_s: (n,) a step apart. exposures_s: (n,) stamps of their pictures. actions: (n, 28) [rad] in `g1.POLICY` order,
    over the step from each time on. tasks: (n) what was asked for. sources: by group, what the actions are increments
    of: commanded or measured positions.
    """

    times_s: Floats
    exposures_s: Floats
    actions: Floats
    tasks: tuple[str, ...]
    sources: dict[str, str]


def frames(episode: Episode, recording: Recording, streams: Streams, use: EpisodeParameters) -> Frames:
    """The frames of an episode; raises UnfitError where it cannot be learned from."""
    _check_clocks(episode, streams)
    start_s, end_s = episode.start_s, episode.end_s
    motions: dict[str, Motion] = {}
    sources: dict[str, str] = {}
    for group in GROUPS:
        sources[group] = MEASURED if commander(recording, start_s, end_s, group != "head") == "nobody" else COMMANDED
        found = (recording.commands if sources[group] == COMMANDED else streams.measured).get(group)
        for name, motion in ((f"{sources[group]} {group}", found), (f"measured {group}", streams.measured.get(group))):
            if motion is None:
                raise UnfitError(Reason.GAP, f"{name}: not in the bag")
            start_s, end_s = _shortened(start_s, end_s, motion.times_s, name, episode)
        assert found is not None
        motions[group] = found
    pictures = {name: t[(t >= start_s) & (t <= end_s)] for name, t in streams.pictures.items()}
    exposures_s = Streams(pictures).exposures_s
    if len(exposures_s) == 0:
        missing = [name for name, t in pictures.items() if len(t) == 0] or ["whole picture"]
        raise UnfitError(Reason.PICTURE, f"no {', '.join(missing)} in it")
    edges_s = grid(exposures_s[0], end_s, use.step_s).clip(max=end_s)
    number = len(edges_s) - 1
    if number < use.min_frames:
        raise UnfitError(Reason.SHORT, f"{max(number, 0)} frames; expected at least {use.min_frames}")
    stamps_s = _nearest(exposures_s, pictures, edges_s[:-1], use)
    positions = np.empty((number + 1, len(g1.POLICY)))
    for group, motion in motions.items():
        columns = [g1.POLICY.names.index(name) for name in motion.names]
        positions[:, columns] = _known(motion, edges_s, use, f"{sources[group]} {group}")
        _known(streams.measured[group], stamps_s, use, f"measured {group}")
    tasks = tuple(next(text for _, to_s, text in episode.asked if t < to_s) for t in edges_s[:-1])
    return Frames(edges_s[:-1], stamps_s, np.diff(positions, axis=0), tasks, sources)


def _check_clocks(episode: Episode, streams: Streams) -> None:
    for from_s, to_s, name in streams.twice:
        if from_s < episode.end_s and to_s > episode.start_s:
            raise UnfitError(Reason.CLOCK, f"the clock of the {name} was set back by {to_s - from_s:.2f} s")
    least = {name: lags.least(episode.start_s, episode.end_s) for name, lags in streams.lags.items()}
    for name, lag_s in least.items():
        if lag_s is None:
            raise UnfitError(Reason.GAP, f"nothing of the {name} is stamped within the episode")
        if not -FUTURE_TOLERANCE_S <= lag_s <= LAG_S:
            raise UnfitError(
                Reason.CLOCK,
                f"the {name} came {lag_s:.3f} s after their stamps; expected {-FUTURE_TOLERANCE_S:g} to {LAG_S:g} s",
            )


def _shortened(start_s: float, end_s: float, times_s: Floats, name: str, episode: Episode) -> tuple[float, float]:
    """The span in which a stream has samples at both ends; raises UnfitError where that cuts more than `EDGE_S` off."""
    within = times_s[(times_s >= start_s) & (times_s <= end_s)]
    if len(within) == 0:
        raise UnfitError(Reason.GAP, f"{name}: nothing within the episode")
    if within[0] - episode.start_s > EDGE_S:
        raise UnfitError(Reason.GAP, f"{name}: begin {within[0] - episode.start_s:.2f} s after its start")
    if episode.end_s - within[-1] > EDGE_S:
        raise UnfitError(Reason.GAP, f"{name}: end {episode.end_s - within[-1]:.2f} s before its end")
    return float(within[0]), float(within[-1])


def _nearest(exposures_s: Floats, pictures: Mapping[str, Floats], times_s: Floats, use: EpisodeParameters) -> Floats:
    """The exposure (n,) nearest to each time (n,); raises UnfitError where one is too far, or is that of two times."""
    stamps_s = exposures_s[nearest(exposures_s, times_s)]
    apart_s = np.abs(stamps_s - times_s)
    worst = int(apart_s.argmax())
    if apart_s[worst] > use.max_apart_s:
        near = {name: float(np.abs(t - times_s[worst]).min()) <= use.max_apart_s for name, t in pictures.items()}
        missing = [name for name, is_near in near.items() if not is_near]
        lost = 0 < len(missing) < len(pictures)
        raise UnfitError(
            Reason.PICTURE if lost else Reason.APART,
            f"the nearest picture{f' with {missing[0]}' if lost else ''} is {apart_s[worst]:.3f} s away from "
            f"{times_s[worst] - times_s[0]:.2f} s after its start; expected at most {use.max_apart_s:g} s",
        )
    if (np.diff(stamps_s) <= 0).any():
        raise UnfitError(Reason.APART, f"fewer pictures than frames; expected one at least every {use.step_s:g} s")
    return stamps_s


def _known(motion: Motion, at_s: Floats, use: EpisodeParameters, name: str) -> Floats:
    q = interpolate(motion.times_s, motion.positions, at_s, use.max_gap_s)
    unknown = ~np.isfinite(q).all(axis=1)
    if unknown.any():
        where = at_s[unknown.argmax()]
        after = np.searchsorted(motion.times_s, where).clip(1, len(motion.times_s) - 1)
        gap_s = motion.times_s[after] - motion.times_s[after - 1]
        raise UnfitError(
            Reason.GAP,
            f"{name}: {gap_s:.3f} s between samples, {where - at_s[0]:.2f} s after its start; "
            f"expected at most {use.max_gap_s:g} s",
        )
    return q
