"""The SDK process: the only one that joins the robot's DDS domain, with nothing in it but numpy and the SDK.

ROS and Unitree's SDK bring two DDS libraries that crash each other in one process, and often need two Python versions.
So the arm driver starts this file under the SDK's interpreter, writes setpoints into its standard input and reads
states from shared memory. A setpoint is encoded, checked and sent the moment it arrives: there is no second clock to
beat against the parent's. What happens when setpoints stop is in `unitree_stream`.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import sys
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

log = logging.getLogger("unitree_process")

ANSWER = "unitree-process: "
"""First of what this process says on stdout: `ready`, or why not."""
HAND_PERIOD_S = 0.01
IDLE_S = 0.1


class StateReader(threading.Thread):
    """Copies what the robot says into shared memory, at the rate at which it comes."""

    def __init__(self, board: unitree_shared.Board, stream: unitree_stream.ArmStream) -> None:
        super().__init__(name="state", daemon=True)  # the process ends with os._exit, after the release
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorStates_
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowState_

        self._board, self._stream = board, stream
        self._body = unitree_sdk.Subscriber("rt/lowstate", LowState_)
        self._hands = unitree_sdk.Subscriber("rt/inspire/state", MotorStates_)
        self._frame = unitree_cdr.LowStateFrame()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while True:
                self._body.wait(IDLE_S)
                self._read_body()
                self._read_hands()
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
        n = unitree_stream.NUM_MOTORS
        self._stream.body = unitree_stream.Body(
            int(frame.header[1]), frame.motor_mode[:n], frame.motors[:n, 0].astype(np.float64)
        )
        self._board.body.write(np.float64(received_s).tobytes() + data)
        status["state_frames"] += 1

    def _read_hands(self) -> None:
        data = self._hands.take()
        if data is None:
            return
        entries = unitree_cdr.decode_motor_states(data)
        if len(entries) == unitree_shared.NUM_HAND:
            values = np.concatenate(([time.monotonic()], entries["q"], entries["dq"]))
            self._board.hands.write(values.astype(np.float64).tobytes())


class Process:
    """Standard input to `rt/arm_sdk` and `rt/inspire/cmd`."""

    def __init__(self, config: dict) -> None:
        unitree_sdk.open_domain(config["domain"], config["interface"])
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_

        self._board = unitree_shared.Board(config["board"])
        table = unitree_stream.Table(
            np.array(config["motors"]),
            np.array(config["lower"]),
            np.array(config["upper"]),
            frozenset(config["mode_machines"]),
        )
        self.stream = unitree_stream.ArmStream(table)
        self._arms = unitree_sdk.Publisher("rt/arm_sdk", LowCmd_)
        self._hands = unitree_sdk.Publisher("rt/inspire/cmd", MotorCmds_)
        self._hands_sent_s = 0.0
        self._reader = StateReader(self._board, self.stream)
        self._reader.start()
        self._parent = os.getppid()
        self._stop_signal = 0
        self._failure: Exception | None = None
        self._pending = b""
        self._last_said = ""

    def stop(self, number: int, _frame: object) -> None:
        """Signal handler: hold, then hand the arms back."""
        self._stop_signal = number

    def run(self) -> int:
        """Until the arms are handed back. Returns the exit status."""
        while not self.stream.done:
            due_s = self.stream.due_in(time.monotonic())
            source = [] if self._stdin_closed or self._failure else [sys.stdin.fileno()]
            ready, _, _ = select.select(source, [], [], IDLE_S if due_s is None else min(due_s, IDLE_S))
            if ready:
                try:
                    self._read_records()
                except Exception as error:  # whatever it is: the arms are not left in the middle of it
                    log.exception("setpoints cannot be followed any more, the arms are handed back")
                    self._failure = error
            self._failure = self._failure or self._reader.error
            now_s = time.monotonic()
            if self._stdin_closed or self._stop_signal or self._failure or os.getppid() != self._parent:
                self.stream.release(now_s, settle_s=unitree_stream.SETTLE_S)
            if self.stream.due_in(now_s) == 0.0:
                self._repeat(now_s)
        if self._failure is not None:
            log.error("arms handed back after %r", self._failure)
            return 1
        return 0

    _stdin_closed = False

    def _read_records(self) -> None:
        data = os.read(sys.stdin.fileno(), 1 << 16)
        self._stdin_closed = not data
        self._pending += data
        whole = len(self._pending) // unitree_shared.RECORD.itemsize
        if whole == 0:
            return
        records = np.frombuffer(self._pending, dtype=unitree_shared.RECORD, count=whole)
        self._pending = self._pending[whole * unitree_shared.RECORD.itemsize :]
        for record in records[records["kind"] == unitree_shared.RELEASE][:1]:
            self.stream.release(time.monotonic(), float(record["release_s"]))
            return
        self._follow(records[-1])  # older ones are overtaken

    def _follow(self, record: np.ndarray) -> None:
        status = self._board.status
        frame = self.stream.setpoint(record["arm"], float(record["weight"]), time.monotonic())
        if isinstance(frame, str):
            status["refused"] += 1
            self._say(f"setpoint refused: {frame}")
            return
        self._send(frame, float(record["sent_s"]))
        now_s = time.monotonic()
        opening = record["hands"]
        if record["has_hands"] and now_s - self._hands_sent_s >= HAND_PERIOD_S and np.isfinite(opening).all():
            entries = unitree_cdr.motor_cmds(unitree_shared.NUM_HAND)
            entries["q"] = np.clip(opening, 0.0, 1.0)
            self._hands.write(unitree_cdr.encode_sequence(entries))
            self._hands_sent_s = now_s
            status["hand_frames_sent"] += 1

    def _repeat(self, now_s: float) -> None:
        if not self.stream.holding:
            self._board.status["holds"] += 1
        self._send(self.stream.repeat(now_s), None)
        self._board.status["hold_frames"] += 1

    def _say(self, text: str) -> None:
        if text != self._last_said:
            log.error("%s", text)
            self._last_said = text

    def _send(self, frame: bytes, written_s: float | None) -> None:
        try:
            self._arms.write(frame)
        except unitree_sdk.UnitreeError as error:  # the next frame may pass; without any, the arms would stay stiff
            self._say(str(error))
            return
        now_s, status = time.monotonic(), self._board.status
        slot = int(status["frames_sent"]) % unitree_shared.RING
        lateness_s = 0.0 if written_s is None else now_s - written_s
        status["sent_s"][slot] = now_s
        status["lateness_s"][slot] = lateness_s
        status["lateness_max_s"] = max(float(status["lateness_max_s"]), lateness_s)
        status["weight"] = self.stream.weight
        status["frames_sent"] += 1


def _answer(text: str) -> None:
    """Tell the parent how the start went, then give stdout to the log: the SDK prints there."""
    print(ANSWER + text.replace("\n", " "), flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main() -> None:
    """`unitree_process.py CONFIG`, CONFIG a JSON object as written by `unitree.UnitreeArms`."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        process = Process(json.loads(sys.argv[1]))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, process.stop)
    except unitree_sdk.UnitreeError as error:
        _answer(str(error))
        os._exit(2)
    except Exception as error:
        log.exception("the SDK process could not start")
        _answer(f"{type(error).__name__}: {error}")
        os._exit(2)
    _answer("ready")
    gc.freeze()  # what is loaded stays; collections then look at little
    status = process.run()
    time.sleep(0.05)  # the last frames are on their way
    sys.stderr.flush()
    os._exit(status)  # cyclonedds may hang while the interpreter shuts down


if __name__ == "__main__":
    main()
