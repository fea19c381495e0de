"""Who gets the processor first: control before pictures and inference.

A controller whose loop waits for a neural network is late. Control processes ask for the real-time class
(SCHED_FIFO, as ros2_control does), which needs root or an `rtprio` limit; without it they stay as they are. Heavy
threads lower their own priority, which needs no right at all.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

PRIORITY = 20
"""Of the real-time class, 1..99: above all ordinary work, below the kernel's own threads (50)."""

ROBOT_PRIORITY = 10
"""The simulated robot's: what is hardware elsewhere does not wait for programs, but does not displace controllers."""

_AUTOGROUP = Path("/proc/self/autogroup")

_AHEAD_NICE = -5
"""Three times the share of ordinary work."""

_BACKGROUND_NICE = 3
"""Half the share of ordinary work: behind the control loops, and still alive beside somebody else's busy program."""


def realtime(priority: int = PRIORITY) -> str:
    """Moves this thread, and the threads and processes it starts from now on, into the real-time class.

    Returns what is in force, for diagnostics.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return "normal (no right to SCHED_FIFO: give the user an rtprio limit)"
    return f"SCHED_FIFO {priority}"


def ahead() -> None:
    """Ordinary work for the calling thread and those that it starts, before other such where there is a right to it:
    for the simulated camera, which in the real-time class would starve the kernel's own work for the servo bus."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _AHEAD_NICE)
    if os.getsid(0) in (os.getpid(), os.getppid()):  # a session of our own, not the terminal of a person
        # Linux shares the processor out among sessions first (autogroup): niceness only tells those in one apart.
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(_AHEAD_NICE))


def background() -> None:
    """Takes the calling thread back to ordinary work, behind the other threads of that."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICE)
