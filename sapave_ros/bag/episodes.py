"""One bag for every episode: begun and ended by somebody who says how it went."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from sapave_ros.bag.recorder import Recorder, Tally
from sapave_ros.bag.writer import Attachment

VERDICT = "episode.json"

Answer = tuple[bool, str]
"""Whether it was done, and what is to be said about it."""


class Episodes:
    """Takes what a `Recorder` takes, and hands it to that of the episode which is being recorded, if any.

    folder: of the bags, `episode_0000` and so on; numbers that are taken are passed over. make: a recorder, not yet
    started, whose bag is the folder that it is given. kept: topics of which the last message holds until the next one
    (an instruction): every episode begins with it. clock_ns: the time [ns of the epoch].

    Ending an episode waits until its bag is closed.
    """

    def __init__(
        self,
        folder: Path,
        make: Callable[[Path], Recorder],
        kept: Collection[str],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.tallies: dict[str, Tally] = {}
        self._folder = folder
        self._make = make
        self._clock_ns = clock_ns
        self._last: dict[str, bytes | None] = dict.fromkeys(kept)
        self._attached: list[Callable[[], list[Attachment]]] = []
        self._recorder: Recorder | None = None
        self._bag = folder
        self._began_ns = 0

    @property
    def recording(self) -> bool:
        """Whether an episode is being recorded."""
        return self._recorder is not None

    @property
    def failure(self) -> str | None:
        """Why the episode that is being recorded has ended by itself."""
        return self._recorder.failure if self._recorder else None

    @property
    def trouble(self) -> str:
        """Why something of the episode that is being recorded is not in its bag."""
        return self._recorder.trouble if self._recorder else ""

    def put(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """As `Recorder.put`; between two episodes what is not kept goes nowhere."""
        if topic in self._last:
            self._last[topic] = data
        if self._recorder is not None:
            self._recorder.put(topic, stamp_ns, data)

    def attach(self, make: Callable[[], list[Attachment]]) -> None:
        """As `Recorder.attach`, for this episode and all later ones."""
        self._attached.append(make)
        if self._recorder is not None:
            self._recorder.attach(make)

    def start(self) -> Answer:
        """Begins an episode."""
        if self._recorder is not None:
            return False, f"{self._bag} is being recorded; end it first"
        numbers = (self._folder / f"episode_{i:04d}" for i in range(10_000))
        bag = next((b for b in numbers if not b.exists()), None)
        if bag is None:
            return False, f"{self._folder} has no number left for an episode"
        try:
            recorder = self._make(bag)
        except OSError as error:
            return False, str(error)
        self._bag, self._began_ns = bag, self._clock_ns()
        recorder.start()
        for make in self._attached:
            recorder.attach(make)
        for topic, data in self._last.items():
            if data is not None:
                recorder.put(topic, self._began_ns, data)
        self._recorder, self.tallies = recorder, recorder.tallies
        return True, f"recording {bag}"

    def end(self, verdict: str) -> Answer:
        """Ends the episode. verdict: success, failure, or empty where nobody judged."""
        if self._recorder is None:
            return False, "nothing is being recorded"
        recorder, self._recorder = self._recorder, None
        ended_ns = self._clock_ns()
        content = json.dumps({"verdict": verdict, "began_ns": self._began_ns, "ended_ns": ended_ns}).encode()
        recorder.attach(lambda: [Attachment(VERDICT, "application/json", content, ended_ns)])
        recorder.stop()
        if recorder.failure:
            return False, recorder.failure
        written = sum(t.written for t in recorder.tallies.values())
        dropped = sum(t.dropped for t in recorder.tallies.values())
        lost = f", {dropped} dropped: {recorder.trouble}" if dropped else ""
        return True, f"{self._bag}: {verdict or 'not judged'}, {written} messages{lost}"

    def discard(self) -> Answer:
        """Ends the episode and removes its bag, also where the disk did not take it."""
        if self._recorder is None:
            return False, "nothing is being recorded"
        self.end("")
        try:
            shutil.rmtree(self._bag)
        except OSError as error:
            return False, str(error)
        return True, f"{self._bag}: removed"
