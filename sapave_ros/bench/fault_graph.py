"""The processes of the graph on the bench: started, found, signalled, and ended whatever state they are in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from sapave_ros import graph
from sapave_ros.bringup import Bringup
from sapave_ros.plan import Options, environment

SDK, GUARD = "sdk", "guard"
"""Names, besides those of `graph.PROCESSES`, of the two processes in which the SDK lives."""

_CHILDREN = {SDK: "unitree_process.py", GUARD: "unitree_guard.py"}


class Graph:
    """One graph. by_command: started as a person does, with `sapave up`; else by `Bringup`, which outlives its nodes.

    stop: ends the start early. Raises BringupError where it does not start.
    """

    def __init__(self, options: Options, by_command: bool, stop: threading.Event) -> None:
        self.options = options
        self._left_memory: set[str] = set()
        self._own_memory = _fastdds_files(os.getpid())
        self._bringup: Bringup | None = None
        self._command: subprocess.Popen[bytes] | None = None
        if not by_command:
            self._bringup = Bringup(options)
            self._bringup.start(stop)
            return
        argv = [sys.executable, "-m", "sapave_ros.cli", "up", "--sim"]
        argv += ["--run-dir", str(options.run_dir), "--dds-domain", str(options.dds_domain)]
        with open(options.run_dir / "up.log", "wb") as log:
            self._command = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name: those of the table, the two of the SDK that live, and `up`."""
        pids: dict[str, int] = {}
        if self._bringup is not None:
            pids.update(self._bringup.pids)
        elif self._command is not None:
            pids["up"] = self._command.pid
            for child in _children(self._command.pid):
                pids.update({p.name: child.pid for p in graph.PROCESSES if p.module in _words(child)})
        if "arm" in pids:
            for child in _children(pids["arm"]):
                words = " ".join(_words(child))
                pids.update({name: child.pid for name, script in _CHILDREN.items() if script in words})
        return pids

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Sends it. What a killed process leaves in shared memory is cleared by `close`."""
        if number is signal.SIGKILL:
            self._left_memory |= _fastdds_files(pid)
        os.kill(pid, number)

    def spawn(self, argv: Sequence[str], log: str = "others.log") -> subprocess.Popen[bytes]:
        """Another process, in the environment of the graph's; its output goes into that file of the run directory."""
        with open(self.options.run_dir / log, "ab") as output:
            env = os.environ | environment(self.options)
            return subprocess.Popen(argv, env=env, stdout=output, stderr=output, start_new_session=True)

    def close(self) -> None:
        """Ends all of it."""
        for pid in self.pids.values():
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)  # a stopped process does not hear that it shall end
        if self._bringup is not None:
            self._bringup.stop()
        if self._command is not None:
            self._command.terminate()
            self._command.wait(30.0)
        for name in self._left_memory - self._own_memory:
            Path(name).unlink(missing_ok=True)
            Path(f"{name}_el").unlink(missing_ok=True)


def _children(pid: int) -> list[Any]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _words(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def _fastdds_files(pid: int) -> set[str]:
    """Shared memory with which this process hears the others of its ROS domain, and they it."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()
    return {line.split()[-1] for line in maps.splitlines() if "/dev/shm/fastrtps_" in line and "port" not in line}
