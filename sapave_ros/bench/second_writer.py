"""A program that commands the arms or the hands beside ours: `python -m sapave_ros.bench.second_writer TOPIC ...`.

It wants no harm: arms are to stay where the robot measures them, hands as open as they are. What it shows is whether
the graph hears it at all. On SIGTERM it gives up the arms in half a second, as a program should.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.drivers import unitree_cdr, unitree_sdk

TOPICS = ("rt/arm_sdk", "rt/inspire/cmd")
PERIOD_S = 0.02
RELEASE_S = 0.5
_KP, _KD = 40.0, 1.5
_MOTORS = np.array([j.motor for j in g1.ARMS.joints])


def _arm_frame(state: unitree_cdr.LowStateFrame, weight: float) -> bytes:
    """The arms where they are, with that weight."""
    frame: Any = unitree_cdr.LowCmdFrame()
    frame.header[:] = 0, state.header[1]
    n = g1.NUM_MOTORS
    frame.motor_mode = np.arange(unitree_cdr.NUM_SLOTS) < n
    frame.motors[:n, unitree_cdr.Q] = state.motors[:n, unitree_cdr.Q]
    frame.motors[_MOTORS, unitree_cdr.KP], frame.motors[_MOTORS, unitree_cdr.KD] = _KP, _KD
    frame.motors[g1.ARM_SDK_WEIGHT_INDEX, unitree_cdr.Q] = weight
    return bytes(frame.seal())


class _Arms:
    def __init__(self) -> None:
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_

        self._state = unitree_sdk.Subscriber("rt/lowstate", LowState_)
        self._out = unitree_sdk.Publisher("rt/arm_sdk", LowCmd_)
        self._frame = unitree_cdr.LowStateFrame()

    def write(self, weight: float) -> None:
        self._state.wait(1.0)
        data = self._state.take()
        if data is not None:
            self._frame.load(data)
            self._out.write(_arm_frame(self._frame, weight))


class _Hands:
    def __init__(self) -> None:
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_, MotorStates_

        self._state = unitree_sdk.Subscriber("rt/inspire/state", MotorStates_)
        self._out = unitree_sdk.Publisher("rt/inspire/cmd", MotorCmds_)

    def write(self, weight: float) -> None:
        self._state.wait(1.0)
        data = self._state.take()
        if data is not None and weight > 0.0:
            entries = unitree_cdr.motor_cmds(len(g1.HANDS))
            entries["q"] = unitree_cdr.decode_motor_states(data)["q"]
            self._out.write(unitree_cdr.encode_sequence(entries))


def main() -> int:
    """Writes until SIGTERM."""
    parser = argparse.ArgumentParser(prog="second_writer", description="Commands the robot beside the graph.")
    parser.add_argument("topic", choices=TOPICS)
    parser.add_argument("--dds-domain", type=int, required=True)
    options = parser.parse_args()
    go, stop = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: go.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    unitree_sdk.open_domain(options.dds_domain, unitree_sdk.LOOPBACK)
    writer = _Arms() if options.topic == "rt/arm_sdk" else _Hands()
    print(f"second_writer: {graph.READY}", flush=True)
    while not go.wait(0.002) and not stop.is_set():
        pass
    while not stop.wait(PERIOD_S):
        writer.write(1.0)
    begin_s = time.monotonic()
    while (left := 1.0 - (time.monotonic() - begin_s) / RELEASE_S) > 0.0:
        writer.write(left)
        time.sleep(PERIOD_S)
    for _ in range(10):
        writer.write(0.0)
        time.sleep(PERIOD_S)
    os._exit(0)  # cyclonedds may hang while the interpreter shuts down


if __name__ == "__main__":
    sys.exit(main())
