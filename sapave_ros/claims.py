"""One run per domain and folder: what is claimed stays claimed until the last process that holds it has ended.

A claim is a listening socket in Linux' abstract namespace: it leaves no file, dies with its holders however they
die, and is seen by exactly those who share the loopback interface.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import time
from pathlib import Path

PATIENCE_S = 10.0
"""How long to wait for the processes of a run that was killed: they put their devices in order first."""


class ClaimedError(RuntimeError):
    """Somebody else has it. The message names it and, where that is known, the process."""


_OTHERS = {
    "ros_domain": "ROS_DOMAIN_ID; --ros-domain of `sapave demo`",
    "dds_domain": "--dds-domain; dds_domain:= of a launch file",
    "run_dir": "--run-dir; --out of `sapave demo`; run_dir:= of a launch file",
}


def claim_run(ros_domain: int, dds_domain: int, run_dir: Path) -> list[socket.socket]:
    """Everything that one run of the graph needs for itself. Raises ClaimedError that says what to change."""
    held: list[socket.socket] = []
    for field, value in (("ros_domain", ros_domain), ("dds_domain", dds_domain), ("run_dir", run_dir.resolve())):
        try:
            held.append(claim(field, value))
        except ClaimedError as error:
            for holder in held:
                holder.close()
            raise ClaimedError(f"{error}; stop that one or give another ({_OTHERS[field]})") from None
    return held


def claim(field: str, value: object, patience_s: float = PATIENCE_S) -> socket.socket:
    """Holds `value` of `field` for as long as the socket is open in this process or in one that inherited it.

    What is left of a run whose own process is gone gets `patience_s` to end. Raises ClaimedError.
    """
    address = f"\0sapave {field} {hashlib.sha256(str(value).encode()).hexdigest()[:16]}"
    deadline_s = time.monotonic() + patience_s
    while True:
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(address)
            holder.listen(64)
            return holder
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
        owner = _owner(address)
        if _alive(owner) or time.monotonic() > deadline_s:
            who = f"process {owner}" if owner else "a process that cannot be seen from here"
            raise ClaimedError(f"{field}: {value} is in use by another run of sapave ({who})")
        time.sleep(0.2)


def _owner(address: str) -> int:
    """Process id of who claimed it, 0 where that cannot be known."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(address)
            pid, _, _ = struct.unpack("3i", visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)
        except OSError:  # given up just now, or so often asked that nobody can be asked any more
            return 0


def _alive(pid: int) -> bool:
    return pid != 0 and os.path.exists(f"/proc/{pid}")
