"""What the SDK process tells of itself and of what it heard, in words and numbers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from sapave_ros.drivers import unitree_shared
from sapave_ros.types import Floats

TOLD_FOR_S = 1.0
"""A second writer and a state that is none are told of for this long after their last frame."""


@dataclass(frozen=True)
class Statistics:
    """Counters of the SDK process since its start.

    frames_dropped: those of a shadow. holds: times that setpoints stopped coming while we had the arms; hold_frames:
    frames it sent by itself, releases included. refused: setpoints it did not send. state_frames: states with a new
    tick; state_repeats: frames with an old one; state_restarts: times that the tick ran backwards. state_hz,
    hand_state_hz: new states in the last second. foreign_frames: of others, by topic. send_times_s: monotonic times [s]
    of up to the last 4096 frames; lateness_s: from `send` to the DDS write of each [s], 0 for its own frames.
    """

    frames_sent: int
    frames_dropped: int
    hold_frames: int
    holds: int
    refused: int
    state_frames: int
    state_crc_errors: int
    state_repeats: int
    state_restarts: int
    hand_frames_sent: int
    state_hz: float
    hand_state_hz: float
    lateness_max_s: float
    foreign_frames: dict[str, int]
    send_times_s: Floats
    lateness_s: Floats

    @property
    def periods_s(self) -> Floats:
        """Times between frames [s], oldest first."""
        return np.diff(self.send_times_s)

    @classmethod
    def of(cls, status: np.void) -> Statistics:
        """From the shared memory, see `unitree_shared.STATUS`."""
        status = status.copy()
        sent, ring = int(status["frames_sent"] + status["frames_dropped"]), unitree_shared.RING
        order = np.arange(max(0, sent - ring), sent) % ring
        numbers = {field.name: status[field.name].item() for field in fields(cls) if field.type in ("int", "float")}
        return cls(
            **numbers,
            foreign_frames=dict(zip(unitree_shared.WATCHED, status["foreign_frames"].tolist(), strict=True)),
            send_times_s=status["sent_s"][order],
            lateness_s=status["lateness_s"][order],
        )


def state_fault(status: np.void, now_s: float) -> str:
    """What was wrong with the robot's states in the last second, empty if nothing. now_s: monotonic [s]."""
    for kind, said in (
        ("restarted_s", "the tick runs backwards; expected one robot that has not been restarted"),
        ("repeated_s", "states repeat the tick of the one before; expected a tick that advances"),
    ):
        last_s = float(status[kind])
        if last_s > 0.0 and now_s - last_s < TOLD_FOR_S:
            return f"rt/lowstate: {said}"
    return ""


def foreign_writer(status: np.void, now_s: float, ignored: Collection[str] = ()) -> str:
    """Who else wrote to the robot in the last second, as topic and age; empty if nobody. now_s: monotonic [s]."""
    for topic, last_s in zip(unitree_shared.WATCHED, status["foreign_s"].tolist(), strict=True):
        if topic not in ignored and last_s > 0.0 and now_s - last_s < TOLD_FOR_S:
            return f"{topic}: another program wrote {(now_s - last_s) * 1e3:.0f} ms ago; expected to be alone there"
    return ""
