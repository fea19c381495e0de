"""Where chunks will take the joints, read as the controllers read them.

The same executor as theirs adds the increments to what was commanded at the chunk's stamp. It does not fade the gap to
a new chunk, and neither limiter nor gate come after it: this is what was asked for. What became of it is the command.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sapave_ros.core.chunk import ChunkExecutor, ChunkRefusal
from sapave_ros.g1 import JointGroup
from sapave_ros.types import ActionChunk, Floats, Mode, Source

COMMAND_GAP_S = 0.3
"""Commands that stop for longer [s] begin anew: what was commanded before says nothing about what comes."""


class Intention:
    """Of one joint group. All times are ROS time [s].

    shadow: whether nobody carries out the commands; a chunk then begins where the joints are (`core/controller.py`).
    """

    def __init__(self, group: JointGroup) -> None:
        self.group = group
        self.shadow = False
        self._executor = ChunkExecutor(group.names, group.column("velocity"), blend_s=0.0)
        self._steps: list[tuple[float, float, int]] = []  # stamp, dt, number of steps of what was accepted
        self._last_s = -np.inf
        self._allowed: tuple[Mode, Source] = (Mode.HOLD, Source.POLICY)

    def permit(self, mode: Mode, source: Source) -> None:
        """Who may move the joints from now on. Whoever could before: their chunks end here."""
        if (mode, source) != self._allowed:
            self._allowed = mode, source
            self._drop()

    def command(self, stamp_s: float, positions: Floats) -> None:
        """positions: (n,) [rad] from which a chunk of that time counts: as commanded, in shadow as measured."""
        if stamp_s == self._last_s:
            return
        if abs(stamp_s - self._last_s) > COMMAND_GAP_S:
            self._executor.forget()
            self._steps.clear()
        self._last_s = stamp_s
        self._executor.record(stamp_s, positions)
        self._executor.rest_at(positions)

    def chunk(self, chunk: ActionChunk, source: Source, now_s: float) -> ChunkRefusal | str | None:
        """A chunk of somebody; returns why it will not be followed, or None."""
        mode, whose = self._allowed
        if mode is not Mode.MOVE:
            return f"nothing may move: {mode.value}"
        if source is not whose:
            return f"chunk of {source.value}: {whose.value} has these joints"
        refusal = self._executor.accept(chunk, now_s)
        if refusal is None:
            self._steps = [s for s in self._steps if s[0] + s[1] * s[2] > now_s]
            self._steps.append((chunk.stamp_s, chunk.dt_s, len(chunk.increments)))
        return refusal

    def path(self, now_s: float) -> tuple[Floats, Floats] | None:
        """Times (m,) [s] and positions (m, n) [rad] from now to where the chunks end, at the ends of their steps.

        None where no chunk is left to follow.
        """
        if not self._steps or self._executor.reference(now_s) is None or self._executor.exhausted(now_s):
            return None
        ends = np.concatenate([stamp_s + dt_s * np.arange(1, n + 1) for stamp_s, dt_s, n in self._steps])
        times = np.concatenate([[now_s], np.unique(ends[ends > now_s])])
        return times, np.array([self._executor.sample(t)[0] for t in times])

    def _drop(self) -> None:
        self._steps.clear()
        self._executor.flush()


def ordered(group: JointGroup, names: Sequence[str], positions: Sequence[float]) -> Floats | None:
    """Positions (n,) [rad] in the group's order; None where one of its joints is missing or not finite."""
    found = dict(zip(names, positions))
    ours = np.array([found.get(name, np.nan) for name in group.names])
    return ours if np.isfinite(ours).all() else None
