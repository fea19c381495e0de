"""Bags to a data set, episode by episode; of each what became of it, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sapave_ros.bag import document
from sapave_ros.bag.reader import BagError
from sapave_ros.core.kinematics import Kinematics
from sapave_ros.core.observation import ObservationBuilder, ObservationParameters
from sapave_ros.dataset.episodes import Episode, Reason, UnfitError, commander, episodes
from sapave_ros.dataset.features import frame
from sapave_ros.dataset.frames import Frames, frames
from sapave_ros.dataset.parameters import EpisodeParameters
from sapave_ros.dataset.streams import Streams
from sapave_ros.dataset.writer import DatasetWriter
from sapave_ros.offline.recording import Recording
from sapave_ros.types import Observation

Row = dict[str, Any]
"""What became of an episode: kept, reason and detail where it was not, and what is known of it."""


@dataclass(frozen=True)
class _Planned:
    """An episode that can be written as far as all but its pictures tell."""

    episode: Episode
    frames: Frames
    row: Row
    about: dict[str, Any]


@dataclass
class Converter:
    """Takes bag after bag. progress: is called with every frame that was read."""

    writer: DatasetWriter
    use: EpisodeParameters
    kinematics: Kinematics
    progress: Callable[[], object] = lambda: None

    def take(self, path: Path) -> Row:
        """Adds the episodes of a bag to the data set; says what became of each. Raises OSError where the disk is full.

        A bag that cannot be used is said, and is no exception.
        """
        name = "/".join(path.resolve().parts[-2:])
        try:
            recording = Recording.read(path)
            streams = Streams.read(recording.bag)
        except BagError as error:
            return {"bag": name, "damage": [], "episodes": [_rejected(UnfitError(Reason.BAG, str(error)))]}
        rows: list[Row] = []
        planned: list[_Planned] = []
        for found in episodes(recording):
            if isinstance(found, UnfitError):
                rows.append(_rejected(found))
                continue
            row = _known(found)
            rows.append(row)
            try:
                plan = frames(found, recording, streams, self.use)
            except UnfitError as error:
                row |= _rejected(error)
                continue
            planned.append(_Planned(found, plan, row, _about(name, found, plan, recording)))
        self._write(recording, planned)
        return {"bag": name, "damage": recording.damage, "malformed": recording.malformed, "episodes": rows}

    def _write(self, recording: Recording, planned: list[_Planned]) -> None:
        if not planned:
            return
        planned = sorted(planned, key=lambda p: p.episode.start_s)
        wanted = [(s, task) for p in planned for s, task in zip(p.frames.exposures_s.tolist(), p.frames.tasks)]
        builder = ObservationBuilder(
            self.kinematics.camera_in_torso, ObservationParameters(max_joint_gap_s=self.use.max_gap_s)
        )
        observed = recording.observations(builder, wanted)
        for p in planned:
            own = islice(observed, len(p.frames.times_s))
            try:
                self._add(p, own)
            except UnfitError as error:
                self.writer.discard()
                p.row.update(_rejected(error))
                for _ in own:  # what follows is the next episode's
                    self.progress()
                continue
            self.writer.save(p.about)
            p.row.update(kept=True, frames=len(p.frames.times_s))

    def _add(self, p: _Planned, observed: Iterator[tuple[float, Observation | str]]) -> None:
        for i, (stamp_s, found) in enumerate(observed):
            self.progress()
            time_s = float(p.frames.times_s[i])
            where = f"{time_s - p.frames.times_s[0]:.2f} s after its start"
            if isinstance(found, str):
                raise UnfitError(Reason.PICTURE, f"{found}, {where}")
            if found.depth_m is None or not found.depth_m.any():
                raise UnfitError(Reason.PICTURE, f"no depth in any pixel, {where}")
            if found.intrinsics is None or not found.intrinsics[[0, 1], [0, 1]].min() > 0:
                raise UnfitError(Reason.PICTURE, f"camera_info: k has no focal length, {where}")
            try:
                self.writer.add(frame(found, p.frames.actions[i], stamp_s - time_s))
            except ValueError as error:
                raise UnfitError(Reason.SIZE, str(error)) from None


def summary(bags: list[Row]) -> dict[str, Any]:
    """Episodes kept and left out, the latter by reason, and frames and seconds kept."""
    rows = [row for bag in bags for row in bag["episodes"]]
    kept = [row for row in rows if row["kept"]]
    left_out: dict[str, int] = {}
    for row in rows:
        if not row["kept"]:
            left_out[row["reason"]] = left_out.get(row["reason"], 0) + 1
    return {"kept": len(kept), "left_out": left_out, "frames": sum(row["frames"] for row in kept)}


def notes(repo_id: str, use: EpisodeParameters, bags: list[Row]) -> dict[str, Any]:
    """What meta/sapave.json says: of what, how, and what was left out."""
    return {"repo_id": repo_id, "parameters": asdict(use), "summary": summary(bags), "bags": bags}


def _known(episode: Episode) -> Row:
    return {
        "start_s": episode.start_s,
        "end_s": episode.end_s,
        "instructions": list(dict.fromkeys(text for _, _, text in episode.asked)),
        "outcome": episode.outcome,
        "kept": False,
    }


def _rejected(error: UnfitError) -> Row:
    return {"kept": False, "reason": error.reason.value, "detail": str(error)}


def _about(bag: str, episode: Episode, plan: Frames, recording: Recording) -> dict[str, Any]:
    """Columns of our own in meta/episodes."""
    start_s, end_s = episode.start_s, episode.end_s
    return {
        "sapave/outcome": episode.outcome,
        "sapave/bag": bag,
        "sapave/start_s": float(plan.times_s[0]),
        "sapave/end_s": float(2 * plan.times_s[-1] - plan.times_s[-2]) if len(plan.times_s) > 1 else end_s,
        "sapave/commander_head": commander(recording, start_s, end_s, arms=False),
        "sapave/commander_arms": commander(recording, start_s, end_s, arms=True),
        **{f"sapave/actions_{group}": source for group, source in plan.sources.items()},
        "sapave/model_sha256": document.model_sha256(recording.bag.attachments),
    }
