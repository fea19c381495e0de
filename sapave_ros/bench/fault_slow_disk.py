"""`sapave record` on a disk that hangs from SIGUSR1 to SIGUSR2: `python -m sapave_ros.bench.fault_slow_disk`.

A disk that hangs cannot be had without a kernel that is told to hang, so it is the writer that waits, where the
recorder's own thread would wait for the disk.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from sapave_ros import record
from sapave_ros.bag.writer import BagWriter

_takes = threading.Event()


class SlowWriter(BagWriter):
    """A bag on such a disk."""

    def write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        _takes.wait()
        super().write(topic, stamp_ns, data)

    def flush(self) -> None:
        _takes.wait()
        super().flush()


def main() -> int:
    _takes.set()
    signal.signal(signal.SIGUSR1, lambda *_: _takes.clear())
    signal.signal(signal.SIGUSR2, lambda *_: _takes.set())
    parser = argparse.ArgumentParser(prog="fault_slow_disk", description="Records onto a disk that can hang.")
    record.add_arguments(parser)
    return record.run(parser.parse_args(), SlowWriter)


if __name__ == "__main__":
    sys.exit(main())
