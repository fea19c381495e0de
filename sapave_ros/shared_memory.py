"""What killed processes leave in the shared memory of Fast DDS, and its removal.

A process that ends by SIGKILL leaves its ports behind, some with their mutex locked. Ports are numbered over all
domains, so programs that are started later inherit them, and some never hear of each other: the graph stays in
STARTING.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

FOLDER = Path("/dev/shm")
SETTLED_S = 5.0
"""Younger files may be about to be mapped by whoever makes them [s]."""


def clear_left_behind(folder: Path = FOLDER) -> list[str]:
    """Removes what no living process uses; returns the names. What cannot be told, or is not ours, stays.

    A file is in use where its owner holds the lock beside it (`_el`, across containers too), or where a process that
    can be seen here has it mapped or open.
    """
    now_s, used, removed = time.time(), _in_use(folder), []
    for path in sorted(folder.glob("*fastrtps_*")):
        base = path.name.removeprefix("sem.").removesuffix("_mutex").removesuffix("_el").removesuffix("_sl")
        family = {f"{base}{end}" for end in ("", "_el", "_sl")} | {f"sem.{base}_mutex"}
        if family & used or any(_locked(folder / f"{base}{end}") for end in ("_el", "_sl")):
            continue
        try:
            if path.stat().st_uid == os.getuid() and now_s - path.stat().st_ctime > SETTLED_S:
                path.unlink()
                removed.append(path.name)
        except FileNotFoundError:
            continue
    return removed


def _locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _in_use(folder: Path) -> set[str]:
    """Names of files of that folder that a process has mapped or open."""
    names: set[str] = set()
    start = f"{folder}/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            maps = (process / "maps").read_text(errors="replace")
            names |= {line.rpartition(start)[2].split(" (deleted)")[0] for line in maps.splitlines() if start in line}
            for link in (process / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith(start):
                    names.add(target.removeprefix(start))
        except OSError:  # it has ended, or is somebody else's
            continue
    return names
