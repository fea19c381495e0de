"""Starts the graph without `launch_ros`, watches over it, stops it in order and leaves nothing behind."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sapave_ros.graph import READY
from sapave_ros.plan import Options, Start, environment, plan

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0  # the arms' release takes 2 s; the rest is slack for a busy machine
_PR_SET_PDEATHSIG = 1


class BringupError(RuntimeError):
    """The graph could not be started, or lost a process. The message names it and quotes its last lines."""


def _die_with_parent() -> None:
    """In the child before exec: SIGTERM when the parent dies, so that even SIGKILL of it leaves no orphan."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class _Running:
    start: Start
    process: subprocess.Popen[str]
    ready: threading.Event
    tail: deque[str]
    reader: threading.Thread


class Bringup:
    """The processes of one graph.

    echo: called with (process name, line) for every line that a process prints.
    """

    def __init__(self, options: Options, echo: Callable[[str, str], None] = lambda name, line: None) -> None:
        self.options = options
        self._echo = echo
        self._running: list[_Running] = []
        self._lock: IO[str] | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {r.start.name: r.process.pid for r in self._running}

    def start(self, stop: threading.Event | None = None) -> None:
        """Starts everything in order and waits until every process is ready.

        stop: ends the waiting early. Raises BringupError; what was started by then is stopped again.
        """
        self._claim()
        env = os.environ | environment(self.options)
        try:
            for item in plan(self.options):
                running = self._spawn(item, env)
                self._running.append(running)
                if not item.ros:  # the robot must be there before those who talk to it
                    self._wait_ready(running, stop)
            for running in self._running:
                self._wait_ready(running, stop)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raises BringupError if a process has died."""
        for running in self._running:
            if running.process.poll() is not None:
                running.reader.join(1.0)
                raise BringupError(self._obituary(running))

    def stop(self) -> None:
        """Stops all in reverse order, each given time to leave its device in order. Safe to call twice."""
        for running in reversed(self._running):
            self._end(running)
        self._running.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _claim(self) -> None:
        directory = self.options.run_dir
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = open(directory / "lock", "w")  # noqa: SIM115 held until stop
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise BringupError(
                f"ros_domain: {self.options.ros_domain} is in use by another run of sapave ({directory}); "
                "stop it or give another ROS_DOMAIN_ID"
            ) from None

    def _spawn(self, item: Start, env: dict[str, str]) -> _Running:
        process = subprocess.Popen(
            item.argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Its own session: Ctrl-C in the terminal reaches bringup alone, which stops the rest in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        ready = threading.Event()
        tail: deque[str] = deque(maxlen=15)
        log = (self.options.run_dir / f"{item.name}.log").open("w")

        def read() -> None:
            assert process.stdout is not None
            with log:
                for line in process.stdout:
                    line = line.rstrip("\n")
                    print(line, file=log, flush=True)
                    if line == f"{item.name}: {READY}":
                        ready.set()
                        continue
                    tail.append(line)
                    self._echo(item.name, line)

        reader = threading.Thread(target=read, name=f"read-{item.name}", daemon=True)
        reader.start()
        return _Running(item, process, ready, tail, reader)

    def _wait_ready(self, running: _Running, stop: threading.Event | None) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not running.ready.wait(0.05):
            self.check()
            if stop is not None and stop.is_set():
                raise BringupError("stopped while starting")
            if time.monotonic() > deadline_s:
                raise BringupError(
                    f"{running.start.name}: not ready after {READY_TIMEOUT_S:g} s\n{self._last_lines(running)}"
                )

    def _end(self, running: _Running) -> None:
        process = running.process
        for number, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            if process.poll() is None:
                process.send_signal(number)
                try:
                    process.wait(patience_s)
                except subprocess.TimeoutExpired:
                    self._echo(running.start.name, f"does not stop on {number.name}")
        running.reader.join(1.0)

    def _obituary(self, running: _Running) -> str:
        code = running.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return f"{running.start.name} {how}\n{self._last_lines(running)}"

    def _last_lines(self, running: _Running) -> str:
        lines = "\n".join(f"  {running.start.name} | {line}" for line in running.tail)
        return f"{lines or '  (it printed nothing)'}\n  log: {self.log_path(running.start.name)}"

    def log_path(self, name: str) -> Path:
        """Where that process' output is kept."""
        return self.options.run_dir / f"{name}.log"


def install_stop_handler() -> threading.Event:
    """An event that SIGINT and SIGTERM set, in place of an exception out of nowhere."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def up(options: Options) -> int:
    """`sapave up`: the graph in the foreground until Ctrl-C or until a process dies."""
    stop = install_stop_handler()
    bringup = Bringup(options, echo=lambda name, line: print(f"{name:>10} | {line}", flush=True))
    try:
        bringup.start(stop)
        print(f"up: {', '.join(f'{name} ({pid})' for name, pid in bringup.pids.items())}", flush=True)
        print("'sapave arm' gives permission, 'sapave say TEXT' tells what to do; Ctrl-C stops.", flush=True)
        while not stop.wait(0.1):
            bringup.check()
        return 0
    except BringupError as error:
        if stop.is_set():
            return 0
        print(f"sapave: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        bringup.stop()
