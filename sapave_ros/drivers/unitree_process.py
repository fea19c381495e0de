"""The SDK process: the only one that joins the robot's DDS domain, with nothing in it but numpy and the SDK.

ROS and Unitree's SDK bring two DDS libraries that crash each other in one process, and often need two Python versions.
So the arm driver starts this file under the SDK's interpreter, writes setpoints into its standard input and reads
states from shared memory. A setpoint is encoded, checked and sent the moment it arrives: there is no second clock to
beat against the parent's. What happens when setpoints stop is in `unitree_stream`, when this process is killed in
`unitree_guard`.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

if __package__:
    from sapave_ros.drivers import unitree_cdr, unitree_sdk, unitree_shared, unitree_state, unitree_stream
else:  # started by path under the SDK's interpreter, where this folder is the import path
    import unitree_cdr  # type: ignore[no-redef]
    import unitree_sdk  # type: ignore[no-redef]
    import unitree_shared  # type: ignore[no-redef]
    import unitree_state  # type: ignore[no-redef]
    import unitree_stream  # type: ignore[no-redef]

log = logging.getLogger("unitree_process")

ANSWER = "unitree-process: "
"""First of what this process says on stdout: `ready`, or why not."""
HAND_PERIOD_S = 0.01
IDLE_S = 0.1


def table_of(config: dict) -> unitree_stream.Table:
    """The table of the arms in a configuration by `unitree.UnitreeArms`."""
    return unitree_stream.Table(
        np.array(config["motors"]),
        np.array(config["lower"]),
        np.array(config["upper"]),
        frozenset(config["mode_machines"]),
    )


class Process:
    """Standard input to `rt/arm_sdk` and `rt/inspire/cmd`.

    arms, hands: publishers, or None in shadow: all is checked, counted and dropped. reader: has `error`. orders:
    the descriptor of the setpoints, none when nobody is there to send any.
    """

    def __init__(
        self,
        board: unitree_shared.Board,
        stream: unitree_stream.ArmStream,
        arms: Any,
        hands: Any,
        reader: Any,
        orders: list,
    ) -> None:
        self.stream = stream
        self._board, self._arms, self._hands, self._reader = board, arms, hands, reader
        self._orders, self._closed = orders, not orders
        self._sent_s, self._lateness_s = board.status["sent_s"], board.status["lateness_s"]
        self._frames = int(board.status["frames_sent"])  # a guard goes on counting
        self._lateness_max_s = float(board.status["lateness_max_s"])
        self._told_weight = float(board.status["weight"])
        self._hands_sent_s = 0.0
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
            self._board.status["beat"] += 1
            due_s = self.stream.due_in(time.monotonic())
            source = [] if self._closed or self._failure else self._orders
            ready, _, _ = select.select(source, [], [], IDLE_S if due_s is None else min(due_s, IDLE_S))
            if ready:
                try:
                    self._read_records()
                except Exception as error:  # whatever it is: the arms are not left in the middle of it
                    log.exception("setpoints cannot be followed any more, the arms are handed back")
                    self._failure = error
            self._failure = self._failure or self._reader.error
            now_s = time.monotonic()
            if self._closed or self._stop_signal or self._failure or os.getppid() != self._parent:
                self.stream.release(now_s, settle_s=unitree_stream.SETTLE_S)
            if self.stream.due_in(now_s) == 0.0:
                self._repeat(now_s)
        if self._failure is not None:
            log.error("arms handed back after %r", self._failure)
            return 1
        return 0

    def _read_records(self) -> None:
        data = os.read(self._orders[0], 1 << 16)
        self._closed = not data
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
        if (
            self._hands is not None
            and record["has_hands"]
            and now_s - self._hands_sent_s >= HAND_PERIOD_S
            and np.isfinite(opening).all()
        ):
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
        status, weight = self._board.status, self.stream.weight
        if self._arms is not None:
            self._board.frame.write(frame)
            if weight > self._told_weight:
                # A guard that finds this half done must not believe in less weight than the robot may have.
                status["weight"] = self._told_weight = weight
            try:
                self._arms.write(frame)
            except unitree_sdk.UnitreeError as error:  # the next may pass; without any, the arms would stay stiff
                self._say(str(error))
                return
            if weight < self._told_weight:
                status["weight"] = self._told_weight = weight
        now_s = time.monotonic()
        slot = self._frames % unitree_shared.RING
        lateness_s = 0.0 if written_s is None else now_s - written_s
        self._sent_s[slot] = now_s
        self._lateness_s[slot] = lateness_s
        if lateness_s > self._lateness_max_s:
            status["lateness_max_s"] = self._lateness_max_s = lateness_s
        self._frames += 1
        status["frames_dropped" if self._arms is None else "frames_sent"] = self._frames


def open_process(config: dict) -> Process:
    """Join the robot's domain. Raises UnitreeError. In shadow there is no publisher that anybody could discover."""
    board = unitree_shared.Board(config["board"])
    board.claim()
    os.set_inheritable(config["life"], False)
    board.status["pid"] = os.getpid()
    unitree_sdk.open_domain(config["domain"], config["interface"])
    from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_

    stream = unitree_stream.ArmStream(table_of(config))
    arms = hands = None
    if not config["shadow"]:
        arms = unitree_sdk.Publisher("rt/arm_sdk", LowCmd_)
        hands = unitree_sdk.Publisher("rt/inspire/cmd", MotorCmds_)
    reader = unitree_state.StateReader(config["domain"], board, stream)
    reader.start()
    return Process(board, stream, arms, hands, reader, [sys.stdin.fileno()])


def answer(text: str) -> None:
    """Tell the parent how the start went, then give stdout to the log: the SDK prints there."""
    print(ANSWER + text.replace("\n", " "), flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def start(opens: Callable[[dict], Any]) -> Any:
    """What `opens` makes of the configuration in argv, a JSON object as written by `unitree.UnitreeArms`.

    The parent is told how it went; where it failed, this process ends.
    """
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        opened = opens(json.loads(sys.argv[1]))
    except unitree_sdk.UnitreeError as error:
        answer(str(error))
        os._exit(2)
    except Exception as error:
        log.exception("could not start")
        answer(f"{type(error).__name__}: {error}")
        os._exit(2)
    answer("ready")
    gc.freeze()  # what is loaded stays; collections then look at little
    return opened


def end(process: Process) -> None:
    """Run until the arms are handed back, and end this Python process with the exit status."""
    status = process.run()
    time.sleep(0.05)  # the last frames are on their way
    sys.stderr.flush()
    os._exit(status)  # cyclonedds may hang while the interpreter shuts down


def main() -> None:
    """`unitree_process.py CONFIG`."""

    def opens(config: dict) -> Process:
        process = open_process(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, process.stop)
        return process

    end(start(opens))


if __name__ == "__main__":
    main()
