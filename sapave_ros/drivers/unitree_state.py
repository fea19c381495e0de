"""What the robot says, as the SDK process hears it: which states are new, how many come, and who else writes.

Python 3.8, numpy and the SDK only.
"""

from __future__ import annotations

import threading
import time

import numpy as np

if __package__:
    from sapave_ros.drivers import unitree_cdr, unitree_sdk, unitree_shared, unitree_stream
else:  # started by path under the SDK's interpreter, where this folder is the import path
    import unitree_cdr  # type: ignore[no-redef]
    import unitree_sdk  # type: ignore[no-redef]
    import unitree_shared  # type: ignore[no-redef]
    import unitree_stream  # type: ignore[no-redef]

WAIT_S = 0.1
WATCH_PERIOD_S = 0.02
RATE_PERIOD_S = 1.0

MAX_TICKS = 1 << 24
"""The largest step of the robot's tick [ms] that is an advance, 4.7 h; beyond, modulo 2^32, it ran backwards."""

RESTARTED_AFTER_S = 1.0
"""So long a tick that ran backwards has to go on from there, alone, before it is the robot's new time."""

OWN_SILENT_S = 1.0
"""The robot's own writer of rt/lowcmd is succeeded by another one after this silence, while the arms are not ours."""

NEW, REPEATED, BACKWARDS = "new", "repeated", "backwards"


class Ticks:
    """Tells new states from old ones by the robot's own counter, a uint32 that wraps.

    A process that hangs or replays its last state goes on sending frames; only the tick says that they are no news.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._last: int | None = None
        self._other: int | None = None  # newest tick of a time line that is not the robot's, so far
        self._other_since_s = 0.0

    def judge(self, tick: int, now_s: float) -> str:
        """NEW, REPEATED or BACKWARDS."""
        step = 1 if self._last is None else (tick - self._last) & 0xFFFFFFFF
        if 0 < step <= MAX_TICKS:
            self._last, self._other = tick, None
            return NEW
        if step == 0:
            return REPEATED
        if self._other is None:
            self.restarts += 1
        if self._other is None or not 0 < (tick - self._other) & 0xFFFFFFFF <= MAX_TICKS:
            self._other, self._other_since_s = tick, now_s
            return BACKWARDS
        self._other = tick
        if now_s - self._other_since_s < RESTARTED_AFTER_S:
            return BACKWARDS
        self._last, self._other = tick, None
        return NEW


class OwnWriter:
    """Which writer of rt/lowcmd is the robot itself.

    A Unitree motion service writes its motor commands there while it runs, so the first writer heard before we take
    the arms is taken for it. Any other is a second one. (G1: unitree_sdk2_python#43; Go2: unitree_legged_sdk#142.)
    """

    def __init__(self) -> None:
        self._writer: int | None = None
        self._heard_s = 0.0

    def is_foreign(self, writer: int, engaged: bool, now_s: float) -> bool:
        """Whether this frame's writer is a second one. engaged: whether we have the arms."""
        if not engaged and (self._writer is None or now_s - self._heard_s > OWN_SILENT_S):
            self._writer = writer
        if writer != self._writer:
            return True
        self._heard_s = now_s
        return False


class Watcher:
    """Counts what others write on the topics that are ours. Nothing of it is decoded."""

    def __init__(self, domain_id: int, status: np.void) -> None:
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_

        self._status = status
        self._own = OwnWriter()
        self._readers = [
            unitree_sdk.ForeignReader(domain_id, topic, MotorCmds_ if topic.startswith("rt/inspire") else LowCmd_)
            for topic in unitree_shared.WATCHED
        ]

    def poll(self, now_s: float) -> None:
        """Take what has come since the last call."""
        status, engaged = self._status, self._status["weight"] > 0.0
        for i, topic in enumerate(unitree_shared.WATCHED):
            reader = self._readers[i]
            status["foreign_publishers"][i] = reader.publishers
            writers = reader.take()
            if topic == "rt/lowcmd":
                writers = [w for w in writers if self._own.is_foreign(w, engaged, now_s)]
            if writers:
                status["foreign_frames"][i] += len(writers)
                status["foreign_s"][i] = now_s


class StateReader(threading.Thread):
    """Copies what the robot says into shared memory, at the rate at which it comes."""

    def __init__(self, domain_id: int, board: unitree_shared.Board, stream: unitree_stream.ArmStream) -> None:
        super().__init__(name="state", daemon=True)  # the process ends with os._exit, after the release
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorStates_
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowState_

        self._board, self._stream = board, stream
        self._body = unitree_sdk.Subscriber("rt/lowstate", LowState_)
        self._hands = unitree_sdk.Subscriber("rt/inspire/state", MotorStates_)
        self._watcher = Watcher(domain_id, board.status)
        self._frame = unitree_cdr.LowStateFrame()
        self._ticks = Ticks()
        self._watched_s = self._rated_s = time.monotonic()
        self._counted = [0, 0]  # states of body and hands since _rated_s
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while True:
                self._body.wait(WAIT_S)
                self._read_body()
                self._read_hands()
                now_s = time.monotonic()
                if now_s - self._watched_s >= WATCH_PERIOD_S:
                    self._watched_s = now_s
                    self._watcher.poll(now_s)
                if now_s - self._rated_s >= RATE_PERIOD_S:
                    self._rate(now_s)
        except Exception as error:
            self.error = error  # the main loop hands the arms back and reports it

    def _read_body(self) -> None:
        data = self._body.take()
        if data is None:
            return
        received_s, frame, status = time.monotonic(), self._frame, self._board.status
        frame.load(data)
        if not frame.intact:
            status["state_crc_errors"] += 1
            return
        verdict = self._ticks.judge(int(frame.tick[0]), received_s)
        if verdict is not NEW:
            if verdict is REPEATED:
                status["state_repeats"] += 1
                status["repeated_s"] = received_s
            else:
                status["state_restarts"] = self._ticks.restarts
                status["restarted_s"] = received_s
            return
        self._stream.body = body_of(frame)
        self._board.body.write(np.float64(received_s).tobytes() + data)
        status["state_frames"] += 1
        self._counted[0] += 1

    def _read_hands(self) -> None:
        data = self._hands.take()
        if data is None:
            return
        entries = unitree_cdr.decode_motor_states(data)
        if len(entries) == unitree_shared.NUM_HAND:
            values = np.concatenate(([time.monotonic()], entries["q"], entries["dq"]))
            self._board.hands.write(values.astype(np.float64).tobytes())
            self._counted[1] += 1

    def _rate(self, now_s: float) -> None:
        status, elapsed_s = self._board.status, now_s - self._rated_s
        status["state_hz"], status["hand_state_hz"] = (n / elapsed_s for n in self._counted)
        self._counted, self._rated_s = [0, 0], now_s


def body_of(frame: unitree_cdr.LowStateFrame) -> unitree_stream.Body:
    """What the stream has to know of a LowState_."""
    n = unitree_stream.NUM_MOTORS
    return unitree_stream.Body(int(frame.header[1]), frame.motor_mode[:n], frame.motors[:n, 0].astype(np.float64))
