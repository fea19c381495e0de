"""Rerun's server and page as a process of its own, on this computer alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from sapave_ros.orphans import die_with

HOST = "127.0.0.1"
READY_S = 30.0
STOP_S = 5.0


class ViewerError(RuntimeError):
    """The page cannot be served. The message says why."""


class Viewer:
    """port: of the page; the one above it is that of the data. memory_mb: of the server; the oldest is dropped.

    Raises ViewerError where a port is taken, or the server does not come up.
    """

    def __init__(self, port: int, memory_mb: int) -> None:
        import rerun_cli

        if not 1024 <= port < 65535:
            raise ValueError(f"port: {port}; expected 1024..65534")
        if memory_mb < 16:
            raise ValueError(f"memory: {memory_mb} MB; expected at least 16")
        for number in (port, port + 1):
            _free(number)
        self._ports = port, port + 1
        self.address = f"rerun+http://{HOST}:{port + 1}/proxy"
        self.page = f"http://{HOST}:{port}/?url={quote(self.address, safe='')}"
        self._folder = tempfile.TemporaryDirectory(prefix="sapave-watch-")
        command = [
            str(Path(str(rerun_cli.__file__)).with_name("rerun")), "--serve-web", "--bind", HOST,
            "--web-viewer-port", str(port), "--port", str(port + 1), "--server-memory-limit", f"{memory_mb}MB",
        ]  # fmt: skip
        parent, log = os.getpid(), Path(self._folder.name, "log")
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                env=os.environ | _quiet(Path(self._folder.name)),
                start_new_session=True,  # Ctrl-C is for us, who end it
                preexec_fn=lambda: die_with(parent),
            )
        self._log = log
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def failure(self) -> str | None:
        """Why nothing is served any more."""
        code = self._process.poll()
        if code is None:
            return None
        return f"Rerun's server has ended with {code}: {self._log.read_text(errors='replace').strip()[-400:]}"

    def close(self) -> None:
        """Ends the server."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _wait(self) -> None:
        deadline_s = time.monotonic() + READY_S
        for port in self._ports:
            while True:
                if why := self.failure():
                    raise ViewerError(why)
                with socket.socket() as probe:
                    if probe.connect_ex((HOST, port)) == 0:
                        break
                if time.monotonic() > deadline_s:
                    raise ViewerError(f"port {port}: Rerun's server does not answer within {READY_S:g} s")
                time.sleep(0.05)


def _free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ViewerError(f"port {port} is in use; expected two free ones, one above the other: --port N") from None


def _quiet(folder: Path) -> dict[str, str]:
    """An environment in which the server tells nobody of its use, whatever the user has agreed to elsewhere."""
    settings = folder / "rerun"
    settings.mkdir()
    (settings / "analytics.json").write_text(json.dumps({"analytics_enabled": False}))
    return {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
