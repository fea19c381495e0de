"""A person at a joystick says when an episode begins, and how it went. Nothing here knows of any motion.

The recorder hears the joystick by itself, with the same map as teleop, in which these buttons have no other use.
"""

from __future__ import annotations

from collections.abc import Sequence

from sapave_ros import graph
from sapave_ros.core.pads import Pad

AGAIN_AFTER_S = 0.3
"""A button pressed again sooner than this [s] bounced: nobody begins and ends an episode in that time."""

JOY_STALE_AFTER_S = graph.stream(graph.JOY).stale_after_s or 0.0

_ENDS = {
    "success": graph.EPISODE_SUCCESS_SERVICE,
    "failure": graph.EPISODE_FAILURE_SERVICE,
    "discard": graph.EPISODE_DISCARD_SERVICE,
}


class EpisodeButtons:
    """The buttons of one joystick. Times are monotonic [s]."""

    def __init__(self) -> None:
        self._pad: Pad | None = None
        self._pressed: frozenset[str] = frozenset()
        self._heard_s = self._asked_s = self._stamp_s = -1e9

    def hear(
        self, pad: Pad, axes: Sequence[float], buttons: Sequence[int], now_s: float, stamp_s: float, recording: bool
    ) -> str | None:
        """One message of the joystick; returns the service of `graph` that is asked for with it, if any.

        stamp_s: of its header [s], 0 where it has none; a message heard twice counts once. recording: whether an
        episode is being recorded. A button counts that goes down alone; what is down when a joystick comes, or comes
        back, has not been pressed for us.
        """
        quiet_s = now_s - self._heard_s
        if stamp_s and stamp_s <= self._stamp_s and quiet_s <= JOY_STALE_AFTER_S:
            return None
        if stamp_s > self._stamp_s:  # a recorder that was busy hears late what was pressed in time
            quiet_s = stamp_s - self._stamp_s
        gone = pad is not self._pad or quiet_s > JOY_STALE_AFTER_S
        before, pressed = self._pressed, pad.asked(axes, buttons)
        self._pad, self._pressed, self._heard_s, self._stamp_s = pad, pressed, now_s, stamp_s
        new = pressed - before
        if gone or len(new) != 1 or now_s - self._asked_s < AGAIN_AFTER_S:
            return None
        (button,) = new
        if button == "discard" and pad.held("deadman", axes, buttons):
            return None
        self._asked_s = now_s
        if button == "episode":
            return graph.EPISODE_STOP_SERVICE if recording else graph.EPISODE_START_SERVICE
        return _ENDS[button]
