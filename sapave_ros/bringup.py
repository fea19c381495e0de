"""Starts the graph without `launch_ros`, watches over it, stops it in order and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sapave_ros.claims import ClaimedError, claim_run
from sapave_ros.graph import READY
from sapave_ros.orphans import die_with
from sapave_ros.plan import Options, Start, environment, plan
from sapave_ros.shared_memory import clear_left_behind

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0  # the arms' release takes 2 s; the rest is slack for a busy machine


class BringupError(RuntimeError):
    """The graph could not be started, or lost a process. The message names it and quotes its last lines."""


@dataclass
class _Running:
    start: Start
    process: subprocess.Popen[str]
    ready: threading.Event
    tail: deque[str]
    reader: threading.Thread


class Bringup:
    """The processes of one graph.

    echo: called with (process name, line) for every line that a process prints; no more once it raises OSError
    (nobody reads any longer). As a context manager it stops what it started.
    """

    def __init__(self, options: Options, echo: Callable[[str, str], None] = lambda name, line: None) -> None:
        self.options = options
        self._echo = echo
        self._running: list[_Running] = []
        self._claims: list[socket.socket] = []

    def __enter__(self) -> Bringup:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {r.start.name: r.process.pid for r in self._running}

    def start(self, stop: threading.Event | None = None) -> None:
        """Starts everything in order and waits until every process is ready.

        stop: ends the waiting early. Raises BringupError; what was started by then is stopped again.
        """
        self._claim()
        clear_left_behind()
        try:
            for item in plan(self.options):
                running = self._spawn(item, os.environ | environment(self.options, item.name))
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
        if self._running:
            self._say("bringup", "stopping: arms go back to the robot's own controller ...")
        for running in reversed(self._running):
            self._end(running)
        self._running.clear()
        for held in self._claims:
            held.close()
        self._claims.clear()

    def _say(self, name: str, line: str) -> None:
        try:
            self._echo(name, line)
        except OSError:  # whoever read it is gone; the logs go on, and so must the stopping
            self._echo = lambda name, line: None

    def _claim(self) -> None:
        options = self.options
        try:
            self._claims = claim_run(options.ros_domain, options.dds_domain, options.run_dir)
        except ClaimedError as error:
            raise BringupError(str(error)) from None
        options.run_dir.mkdir(parents=True, exist_ok=True)

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
            preexec_fn=partial(die_with, os.getpid()),
            # Inherited, so that what is claimed stays claimed until the last process has ended.
            pass_fds=[held.fileno() for held in self._claims],
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
                    self._say(item.name, line)

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
        # Not SIGINT: to a process that still imports its modules it is an exception out of nowhere.
        for number, patience_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, 2.0)):
            if process.poll() is None:
                process.send_signal(number)
                try:
                    process.wait(patience_s)
                except subprocess.TimeoutExpired:
                    self._say(running.start.name, f"does not stop on {number.name}")
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


def remove_stop_handler() -> None:
    """Nothing is left to be stopped in order: SIGINT and SIGTERM end the process again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def up(options: Options) -> int:
    """`sapave up`: the graph in the foreground until Ctrl-C or until a process dies."""
    stop = install_stop_handler()
    try:
        with Bringup(options, echo=lambda name, line: print(f"{name:>10} | {line}", flush=True)) as bringup:
            bringup.start(stop)
            print(f"up: {', '.join(f'{name} ({pid})' for name, pid in bringup.pids.items())}", flush=True)
            print("'sapave arm' gives permission, 'sapave say TEXT' tells what to do; Ctrl-C stops.", flush=True)
            while not stop.wait(0.1):
                bringup.check()
    except BringupError as error:
        if stop.is_set():
            return 0
        print(f"sapave: error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
