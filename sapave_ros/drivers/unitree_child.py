"""A process beside ours that speaks with the robot: started under the SDK's interpreter, in a clean environment."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from sapave_ros.drivers import unitree_process
from sapave_ros.drivers.unitree_sdk import UnitreeError


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment without ROS: its libddsc would be loaded in place of the SDK's and crash it."""
    prefixes = [
        p
        for name in ("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "CMAKE_PREFIX_PATH")
        for p in environment.get(name, "").split(os.pathsep)
        if p
    ]
    prefixes.append("/opt/ros")
    own = ("PYTHONSAFEPATH", "ROS_", "AMENT_", "COLCON_", "RMW_", "CYCLONEDDS_", "FASTRTPS_", "FASTDDS_")
    cleaned = {k: v for k, v in environment.items() if not k.startswith(own)}
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "PATH"):
        if name in cleaned:
            parts = [p for p in cleaned[name].split(os.pathsep) if p and not p.startswith(tuple(prefixes))]
            cleaned[name] = os.pathsep.join(parts)
    return cleaned


class Child:
    """One such process, running `module` as a program. Raises UnitreeError where the interpreter does not start.

    orders: whether it reads its standard input, `pipe`. name: for messages.
    """

    def __init__(
        self, name: str, module: ModuleType, python: str, config: object, descriptors: Sequence[int], orders: bool
    ) -> None:
        self._name, self._python = name, python
        try:
            self._process = subprocess.Popen(
                [python, str(Path(str(module.__file__)).resolve()), json.dumps(config)],
                stdin=subprocess.PIPE if orders else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=tuple(descriptors),
                env=clean_environment(dict(os.environ)),
                start_new_session=True,  # Ctrl-C is for the node; the arms are handed back by its word or its end
            )
        except OSError as error:
            raise UnitreeError(f"sdk_python {python!r}: expected a Python interpreter ({error})") from error
        if orders:
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def write(self, data: bytes) -> None:
        """To its standard input, whole or not at all: BlockingIOError, BrokenPipeError. At most PIPE_BUF bytes."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), data)

    def wait_until_ready(self, end_s: float) -> None:
        """Until it says so; UnitreeError with its own words if it does not, or not by end_s [monotonic s]."""
        assert self._process.stdout is not None
        descriptor, text = self._process.stdout.fileno(), b""
        answer = unitree_process.ANSWER.encode()
        while True:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            data = os.read(descriptor, 4096) if ready else b""
            text += data
            for line in text.split(b"\n")[:-1]:
                if line.startswith(answer):
                    said = line[len(answer) :].decode(errors="replace")
                    if said == "ready":
                        self._process.stdout.close()
                        return
                    raise UnitreeError(said)
            if not data:
                problem = "gave no answer in time" if not ready else "ended while starting"
                said = text.decode(errors="replace").strip()
                raise UnitreeError(f"{self._name} ({self._python}) {problem}{': ' if said else ''}{said}")

    def abandon(self) -> None:
        """End it on the spot: it has sent nothing yet."""
        self._process.kill()
        self._process.wait()
        self.close_pipes()

    def close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def wait(self, timeout_s: float) -> int:
        """Its exit status; UnitreeError if it goes on for longer. It is left alone then."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise UnitreeError(f"{self._name} (pid {self.pid}) did not finish handing the arms back") from error
