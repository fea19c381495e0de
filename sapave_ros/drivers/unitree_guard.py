"""The guard: a second SDK process that does nothing until the first one dies with the arms in its hands.

What a G1 does when `rt/arm_sdk` stops at some weight is documented nowhere. So the stream never stops: the guard has
everything loaded and has joined the robot's domain, without a publisher or a subscriber on any of its topics. A pipe
whose other end only the first process holds tells it of the end of that process, however that came. Then it goes on
from the last frame, holds it, hands the arms back and ends. It has a session of its own, and asks nothing of the arm
node: both may be killed at once. Whoever stands still is killed by it too, as a stopped process holds the arms as well.

Two never write at once: to write takes the claim on the shared memory, which the kernel gives back only when the last
thread of its holder has ended.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from types import SimpleNamespace

import numpy as np

if __package__:
    from sapave_ros.drivers import (
        unitree_cdr,
        unitree_process,
        unitree_sdk,
        unitree_shared,
        unitree_state,
        unitree_stream,
    )
else:  # started by path under the SDK's interpreter, where this folder is the import path
    import unitree_cdr  # type: ignore[no-redef]
    import unitree_process  # type: ignore[no-redef]
    import unitree_sdk  # type: ignore[no-redef]
    import unitree_shared  # type: ignore[no-redef]
    import unitree_state  # type: ignore[no-redef]
    import unitree_stream  # type: ignore[no-redef]

log = logging.getLogger("unitree_guard")

LOOK_S = 0.25
STUCK_LOOKS = 4
"""After so many looks without a beat, a process that has the arms stands still for good. Looks are counted, not time:
a machine that was suspended slept for both."""
FRESH_S = 0.1
"""An older state does not tell where the arms are now."""
ASK_S = 0.5


class Stall:
    """Whether a process that has the arms stands still."""

    def __init__(self) -> None:
        self._beat, self._looks = -1, 0

    def look(self, beat: int, weight: float) -> bool:
        """One look at its beat and weight."""
        self._looks = self._looks + 1 if beat == self._beat and weight > 0.0 else 0
        self._beat = beat
        return self._looks >= STUCK_LOOKS


class Guard:
    """Everything that a takeover needs, ready but for the publisher."""

    def __init__(self, config: dict) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends with the one that it guards
        self._board = unitree_shared.Board(config["board"])
        self._life = config["life"]
        self._table = unitree_process.table_of(config)
        unitree_sdk.open_domain(config["domain"], config["interface"])
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_

        self._state_type = LowState_
        self._arms = unitree_sdk.LatePublisher(config["domain"], "rt/arm_sdk", LowCmd_)

    def wait(self) -> None:
        """Return when the guarded process has ended. One that stands still is ended."""
        stall, status = Stall(), self._board.status
        while not select.select([self._life], [], [], LOOK_S)[0]:
            if stall.look(int(status["beat"]), float(status["weight"])):
                log.error("the SDK process (pid %d) stands still with the arms: it is ended", status["pid"])
                os.kill(int(status["pid"]), signal.SIGKILL)

    def take_over(self) -> unitree_process.Process | None:
        """The process that hands the arms back, None where there is nothing to hand back."""
        board = self._board
        board.claim(wait=True)
        last, weight = board.frame.read(), float(board.status["weight"])
        if last is None or weight == 0.0:
            return None
        stream = unitree_stream.ArmStream(self._table)
        stream.body = self._body()
        stream.resume(last[1], weight)
        self._arms.open()
        board.status["pid"], board.status["rescued_s"] = os.getpid(), time.monotonic()
        log.error("the SDK process has died with the arms (weight %.2f): they are held and handed back", weight)
        return unitree_process.Process(board, stream, self._arms, None, SimpleNamespace(error=None), [])

    def _body(self) -> unitree_stream.Body:
        """The robot now, or, where it says nothing, as it was last known."""
        frame = unitree_cdr.LowStateFrame()
        known = self._board.body.read()
        assert known is not None, "arms are taken only after a state"
        frame.load(known[1][8:])
        if time.monotonic() - float(np.frombuffer(known[1], np.float64, 1)[0]) > FRESH_S:
            asked_s, reader = time.monotonic(), unitree_sdk.Subscriber("rt/lowstate", self._state_type)
            asked = unitree_cdr.LowStateFrame()
            while time.monotonic() - asked_s < ASK_S:
                reader.wait(ASK_S / 10)
                data = reader.take()
                if data is not None:
                    asked.load(data)
                    if asked.intact:
                        frame = asked
                        break
        return unitree_state.body_of(frame)


def main() -> None:
    """`unitree_guard.py CONFIG`."""
    guard = unitree_process.start(Guard)
    guard.wait()
    process = guard.take_over()
    if process is None:
        os._exit(0)
    unitree_process.end(process)


if __name__ == "__main__":
    main()
