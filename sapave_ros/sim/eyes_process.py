"""The simulator's end of its camera process (`sim.eyes`)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from sapave_ros.graph import READY
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.rooms import Room

STOP_TIMEOUT_S = 5.0


class EyesError(RuntimeError):
    """The camera process ended by itself."""


class EyesProcess:
    """Starts the camera process. It is never started again: a camera that dies ends the simulated robot.

    ready: set after the first frame, and when it has ended. report: what it said last, of its frames.
    """

    def __init__(self, run_dir: Path, room: Room, aim: Aim, observer: bool, faults: bool) -> None:
        argv = [sys.executable, "-m", "sapave_ros.sim.eyes", "--run-dir", str(run_dir), "--parent", str(os.getpid())]
        argv += aim.arguments()
        argv += [f"--{name}" for name, on in (("observer", observer), ("faults", faults)) if on]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Sockets by which a run holds its domains and folder stay open until the last of its processes has ended.
            close_fds=False,
        )
        self.ready, self._ended = threading.Event(), threading.Event()
        self.report = "no frames"
        self._reader = threading.Thread(target=self._read, args=(room.to_json(),), name="eyes")
        self._reader.start()

    def check(self) -> None:
        """Raises EyesError where it has ended."""
        if self._ended.is_set():
            code = self._process.wait()
            raise EyesError(f"the camera process ended (exit code {code}); what it said is above")

    def close(self) -> None:
        """Ends it; safe to call twice."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self, room: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(room)
            for line in self._process.stdout:
                if line == f"eyes: {READY}\n":
                    self.ready.set()
                else:
                    self.report = line.strip()
        except BrokenPipeError:  # it ended before it had read the room
            pass
        finally:
            self._ended.set()
            self.ready.set()
