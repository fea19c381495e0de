"""The same message, heard through several subscriptions, counts once."""

from __future__ import annotations

QUIET_S = 2.0
"""Between two hearings of one message passes less; what has not been heard for so long may be forgotten."""


class Once:
    """For one topic. A message is new when one subscription has heard it more often than any other has before."""

    def __init__(self) -> None:
        self._heard: dict[bytes, tuple[float, list[int]]] = {}

    def new(self, subscription: int, data: bytes, now_s: float) -> bool:
        """Whether the bytes that a subscription (0, 1, ...) has heard at now_s [s] are a message not yet counted."""
        self._forget(now_s)
        _, counts = self._heard.pop(data, (now_s, []))
        counts += [0] * (subscription + 1 - len(counts))
        most = max(counts)
        counts[subscription] += 1
        self._heard[data] = (now_s, counts)  # the newest is last, so that the oldest is found first
        return counts[subscription] > most

    def _forget(self, now_s: float) -> None:
        while self._heard:
            oldest = next(iter(self._heard))
            if now_s - self._heard[oldest][0] <= QUIET_S:
                return
            del self._heard[oldest]
