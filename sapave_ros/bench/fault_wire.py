"""What passes on `rt/arm_sdk`, heard by a process of its own: `python -m sapave_ros.bench.fault_wire ...`.

It is no part of the graph and reads what any reader of that topic gets, so it tells what the arms were told whoever
told it. The frames appear as the ring `wire` in the run directory, which goes with the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.bench.fault_measure import Wire
from sapave_ros.drivers import unitree_cdr, unitree_sdk
from sapave_ros.drivers.shared_ring import RingReader, RingWriter
from sapave_ros.drivers.unitree_child import clean_environment

KIND, NAME = "arm_sdk frames", "wire"
_SLOTS = 8192
"""Half a minute at 250 Hz."""
_ROW = np.dtype([("time_s", "<f8"), ("weight", "<f8"), ("target", "<f8", (len(g1.ARMS),))])
_MOTORS = np.array([j.motor for j in g1.ARMS.joints])
_START_S = 20.0


class WireReader:
    """Reads the ring of the process; errors as `RingReader`."""

    def __init__(self, run_dir: Path) -> None:
        self._ring = RingReader(run_dir / NAME, KIND, lambda _: _ROW)

    def all(self) -> Wire:
        """Every frame that the ring still holds."""
        records = self._ring.array_after(0)[1]
        return Wire(records["time_s"].copy(), records["weight"].copy(), records["target"].copy())


class WireTap:
    """Runs that process. Raises RuntimeError where it does not start."""

    def __init__(self, run_dir: Path, dds_domain: int) -> None:
        argv = [sys.executable, "-m", __name__, "--run-dir", str(run_dir), "--dds-domain", str(dds_domain)]
        self._process = peer(argv)
        self.reader = WireReader(run_dir)

    def close(self) -> None:
        """Ends it."""
        end(self._process)


def peer(argv: list[str]) -> subprocess.Popen[str]:
    """Starts a process that speaks Unitree's DDS and waits until it says so. Raises RuntimeError with its words."""
    process = subprocess.Popen(
        argv, env=clean_environment(dict(os.environ)), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    watch = threading.Timer(_START_S, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().endswith(graph.READY):
                return process
    finally:
        watch.cancel()
    raise RuntimeError(f"{' '.join(argv)} ended with status {process.wait()} before it was ready")


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, and SIGKILL where that does not do."""
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Writes down every frame until SIGTERM."""
    parser = argparse.ArgumentParser(prog="fault_wire", description="Writes down what passes on rt/arm_sdk.")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--dds-domain", type=int, required=True)
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    unitree_sdk.open_domain(options.dds_domain, "lo")
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_

    heard = unitree_sdk.Subscriber("rt/arm_sdk", LowCmd_)
    ring = RingWriter(options.run_dir / NAME, KIND, _ROW, {}, _SLOTS)
    print(f"fault_wire: {graph.READY}", flush=True)
    frame: Any = unitree_cdr.LowCmdFrame()
    while not stop.is_set():
        heard.wait(0.1)
        data = heard.take()
        if data is not None:
            frame.load(data)
            weight = float(frame.motors[g1.ARM_SDK_WEIGHT_INDEX, unitree_cdr.Q])
            ring.write(time_s=time.monotonic(), weight=weight, target=frame.motors[_MOTORS, unitree_cdr.Q])
    ring.close()
    os._exit(0)  # cyclonedds may hang while the interpreter shuts down


if __name__ == "__main__":
    sys.exit(main())
