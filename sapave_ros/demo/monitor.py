"""Watches a running graph for the demo: what the operator's side can see, and the simulator's truth beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.bench.criteria import LookCriterion, LookScore
from sapave_ros.demo.film import Moment, Recording
from sapave_ros.drivers.frame_ring import FrameRingReader
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator
from sapave_ros.sim.truth import TruthReader
from sapave_ros.types import Floats

FILM_PERIOD_S = 0.1
LONGEST_S = 12.0
LEAD_S = 0.2
"""How much of the time before the instruction is kept [s]."""


class Monitor:
    """Subscribes beside an operator and records. `begin` starts the clock of the recording.

    observer: whether the simulator renders a third-person view.
    """

    def __init__(self, operator: Operator, run_dir: Path, recording: Recording, observer: bool = True) -> None:
        self.recording = recording
        self.score = LookScore(LookCriterion())
        self.chunks = 0
        self.inference: dict[str, str] = {}
        self._operator = operator
        self._began_s: float | None = None
        self._commanded: Floats | None = None
        self._seen = 0.0
        self._truth = TruthReader(run_dir / "truth")
        self._head_ring = FrameRingReader(run_dir / "camera")
        self._observer_ring = FrameRingReader(run_dir / "observer") if observer else None
        self._sequences = {"truth": 0, "head": 0, "observer": 0}
        self._last_view_s = {"head": -np.inf, "observer": -np.inf}
        for topic, callback in (
            (graph.HEAD_COMMAND, self._on_command),
            (graph.HEAD_INCREMENTS, self._on_increments),
            (graph.GROUNDING, self._on_grounding),
            (graph.DIAGNOSTICS, self._on_diagnostics),
        ):
            ros.subscribe(operator, graph.stream(topic), callback)

    @property
    def visible_at_best(self) -> float:
        """As `TruthReader.visible_at_best`."""
        return self._truth.visible_at_best

    @property
    def success(self) -> bool:
        """Whether what was asked for has been done."""
        return self.score.success

    @property
    def limit_s(self) -> float:
        """Time that there is for it [s]."""
        return self.score.criterion.time_limit_s

    @property
    def longest_s(self) -> float:
        """Time after which nobody looks any more [s]."""
        return LONGEST_S

    def begin(self) -> None:
        """The instruction has been given now."""
        self._began_s = ros.now_s(self._operator)

    @property
    def elapsed_s(self) -> float:
        """Time since the instruction [s], 0 before."""
        return 0.0 if self._began_s is None else ros.now_s(self._operator) - self._began_s

    def poll(self) -> bool:
        """Takes what the simulator has written; returns whether the episode is decided."""
        self._view("head", self._head_ring, self.recording.head_views)
        if self._observer_ring is not None:
            self._view("observer", self._observer_ring, self.recording.observer_views)
        decided = False
        for sequence, truth in self._truth.all_after(self._sequences["truth"]):
            self._sequences["truth"] = sequence
            if self._began_s is None or truth.stamp_s < self._began_s - LEAD_S:
                continue
            time_s = truth.stamp_s - self._began_s
            known = self._truth.target is not None
            self.recording.moments.append(
                Moment(
                    time_s,
                    self._operator.state,
                    truth.head,
                    self._commanded,
                    truth.angle_rad if known else None,
                    truth.visible_fraction if known else None,
                    self._seen,
                )
            )
            if known and time_s >= 0:
                decided = self.score.update(time_s, truth.angle_rad, truth.visible_fraction)
        return decided

    def _view(self, name: str, ring: FrameRingReader, views: list[tuple[float, Any]]) -> None:
        found = ring.latest_after(self._sequences[name])
        if found is None or self._began_s is None:
            return
        self._sequences[name], frame = found
        if frame.stamp_s >= self._last_view_s[name] + FILM_PERIOD_S * 0.9:
            self._last_view_s[name] = frame.stamp_s
            views.append((frame.stamp_s - self._began_s, frame.rgb))

    def _on_command(self, msg: Any) -> None:
        positions = dict(zip(msg.name, msg.position, strict=True))
        self._commanded = np.array([positions[name] for name in g1.HEAD.names])

    def _on_increments(self, msg: Any) -> None:
        self.chunks += 1

    def _on_grounding(self, msg: Any) -> None:
        heat = ros.image_array(msg)
        self._seen = float(heat.max()) / 255
        if self._began_s is not None:
            self.recording.heat.append((ros.stamp_s(msg.header.stamp) - self._began_s, heat.copy()))

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            if status.name == "sapave/inference":
                self.inference = {v.key: v.value for v in status.values}
