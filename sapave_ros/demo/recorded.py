"""A recorder beside the demo, as a person would start one in a second terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sapave_ros.bringup import BringupError
from sapave_ros.orphans import die_with

BEGIN_WITHIN_S = 30.0
END_WITHIN_S = 20.0


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """`sapave record` to `folder` during what is inside.

    Its lines are printed. Raises BringupError where it does not begin, or does not end in order.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sapave_ros.cli", "record", "--output", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Ctrl-C in the terminal is for the demo, which then ends the recorder in order.
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),
    )
    began, last = threading.Event(), deque[str](maxlen=1)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip("\n"))
            print(f"    record | {last[-1]}", flush=True)
            if line.startswith("recording "):
                began.set()

    reader = threading.Thread(target=read, name="read-record", daemon=True)
    reader.start()
    try:
        if not _began(began, process, reader):
            raise BringupError(f"the recorder did not begin: {' '.join(last) or 'it said nothing'}")
        yield
    finally:
        code = _end(process)
        reader.join(1.0)
    if code:
        raise BringupError(f"the recorder ended with code {code}: {' '.join(last)}")


def _began(began: threading.Event, process: subprocess.Popen[str], reader: threading.Thread) -> bool:
    deadline_s = time.monotonic() + BEGIN_WITHIN_S
    while not began.wait(0.1):
        if process.poll() is not None:
            reader.join(1.0)  # its last words
            return False
        if time.monotonic() > deadline_s:
            return False
    return True


def _end(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
