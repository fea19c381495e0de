"""No process outlives the one that started it, however that one ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded here: a child between fork and exec must not load anything


def die_with(parent: int) -> None:
    """In the child, also before exec: SIGTERM when the parent (pid) dies, even by SIGKILL."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def die_with_pool() -> None:
    """In a worker of `multiprocessing`, when it begins."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
