"""What its chunks tell about a policy: too late, stuck, idle, chattering."""

from __future__ import annotations

from sapave_ros.core.faults import Fault
from sapave_ros.types import ActionChunk

LATE_SHARE = 0.5
"""A chunk that arrives when more than this share of it is past is late."""

LATE_IN_A_ROW = 3


class PolicyHealth:
    """Fed with every chunk of the policy."""

    def __init__(self) -> None:
        self._late: dict[str, int] = {}
        self._text = ""

    def instructed(self, instruction: str, now_s: float) -> None:
        """A new instruction, empty = nothing to do; judgement starts anew. now_s: monotonic [s]."""
        self._late.clear()

    def chunk(self, group: str, chunk: ActionChunk, now_s: float, ros_s: float) -> None:
        """A chunk for `group` came in at monotonic time `now_s`, ROS time `ros_s` [s]."""
        past = (ros_s - chunk.stamp_s) / max(chunk.end_s - chunk.stamp_s, 1e-6)
        self._late[group] = self._late.get(group, 0) + 1 if past > LATE_SHARE else 0
        self._text = f"{100 * past:.0f} % of the last one was past, at most {100 * LATE_SHARE:.0f} %"

    def findings(self, now_s: float) -> dict[Fault, str]:
        """What is wrong with it at monotonic time `now_s`."""
        if max(self._late.values(), default=0) >= LATE_IN_A_ROW:
            return {Fault.CHUNKS_LATE: self._text}
        return {}
