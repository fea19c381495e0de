"""How head and arms come into motion before something breaks: by whom they are moved. The graph is ACTIVE by then."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from itertools import count

from sapave_ros.bench.fault_recorder import Disk
from sapave_ros.bench.fault_rig import PATIENCE_S, Rig, RigError

IN_MOTION_S = 1.5
"""So long in motion before anything breaks [s]."""

TRIES = 3
"""Of a person who presses a button."""

AGAIN_S = 4.0
"""A look takes a second or two, and then rests: after this long there is something else to look at [s]."""


def by_chunks(rig: Rig) -> None:
    """Chunks from the bench, as a policy sends them; the real policy has nothing to do."""
    rig.player.begin(rig.head_at())
    rig.spin(IN_MOTION_S)
    rig.until_under_way()


def recorded(disk: Disk) -> Callable[[Rig], None]:
    """As `by_chunks`, with a recorder that has such a disk."""

    def start(rig: Rig) -> None:
        folders = (rig.options.run_dir.resolve() / f"recording_{i}" for i in count())
        recording = rig.recording = disk(rig, next(f for f in folders if not f.exists()))
        rig.later(recording.close)
        by_chunks(rig)

    return start


def in_place_of_the_policy(rig: Rig) -> None:
    """As `by_chunks`, and told to act: the real inference node stands still, and the bench reports for it."""
    rig.instruct()  # while the node can still hear it
    rig.player.reports = True
    rig.spin(0.2)
    pid = rig.pids["inference"]
    rig.signal(pid, signal.SIGSTOP)
    rig.later(lambda: _resume(rig, pid))
    rig.player.begin(rig.head_at())
    rig.spin(IN_MOTION_S)
    rig.until_under_way()


def by_the_policy(rig: Rig) -> None:
    """The real policy looks for one thing after another; the arms, for which it is not trained, go by chunks."""
    rig.player.begin(rig.head_at(), head=False)
    rig.spin(IN_MOTION_S)
    deadline_s = time.monotonic() + PATIENCE_S
    while not rig.under_way():
        if time.monotonic() > deadline_s:
            raise RigError("the policy does not turn the head, whatever it is told to look at")
        rig.instruct()
        rig.operator.wait(rig.under_way, AGAIN_S)
    rig.until_under_way()


def head_by_joystick(rig: Rig) -> None:
    """A person has the head, the policy's chunks move the arms."""
    rig.player.begin(rig.head_at(), head=False)
    _take(rig, "take_head")
    rig.joystick.swing(left=-1.0 if rig.head_at()[0] > 0.0 else 1.0, forward=-1.0)
    rig.spin(IN_MOTION_S)
    rig.until_under_way()


def arms_by_joystick(rig: Rig) -> None:
    """A person has the arms and moves the left hand, the policy's chunks move the head."""
    rig.player.begin(rig.head_at(), arms=False)
    _take(rig, "take_arms")
    rig.joystick.swing(up=1.0, left=1.0)
    rig.spin(IN_MOTION_S)
    rig.until_under_way()


def _take(rig: Rig, button: str) -> None:
    """The deadman, and then the button of a group. The joystick has to be seen at rest first."""
    joystick = rig.joystick
    joystick.let_go()
    rig.later(lambda: setattr(joystick, "alive", False))
    rig.spin(0.3)
    for _ in range(TRIES):
        joystick.pressed = {"deadman", "fast"}
        rig.spin(0.2)
        joystick.pressed = {"deadman", "fast", button}
        rig.spin(0.2)
        joystick.pressed = {"deadman", "fast"}
        if rig.operator.wait(lambda: rig.state == "TELEOP", 1.0):
            return
    raise RigError(f"{button}: not taken; last permit: {rig.permits[-1]}")


def _resume(rig: Rig, pid: int) -> None:
    if pid in rig.pids.values():
        rig.signal(pid, signal.SIGCONT)
