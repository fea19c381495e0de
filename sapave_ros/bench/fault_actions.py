"""What is done to the running graph: each action breaks one thing and, where that can be, mends it again.

`begin` returns when the fault set in [s, monotonic]. `end` takes it back as far as it can be taken back without a new
start of the graph; `final` says that it cannot.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from sapave_ros import graph
from sapave_ros.bench import fault_motion, fault_wire
from sapave_ros.bench.fault_rig import Rig, RigError
from sapave_ros.plan import plan

_STOP_HEARD_S = 30.0
"""A command line needs seconds to start on a busy machine."""


class Action(Protocol):
    """See the module."""

    @property
    def final(self) -> bool: ...

    def begin(self, rig: Rig) -> float: ...

    def end(self, rig: Rig) -> None: ...


@dataclass(frozen=True)
class Kill:
    """SIGKILL of a process, by its name in `graph.PROCESSES`, or of `fault_graph.SDK` or `GUARD`."""

    process: str
    final: ClassVar[bool] = True

    def begin(self, rig: Rig) -> float:
        return rig.signal(rig.pids[self.process], signal.SIGKILL)

    def end(self, rig: Rig) -> None:
        pass


@dataclass(frozen=True)
class Stop:
    """SIGSTOP of a process; it goes on at the end, or after for_s [s]. final: it does not live on."""

    process: str
    for_s: float | None = None
    final: bool = False

    def begin(self, rig: Rig) -> float:
        pid = rig.pids[self.process]
        begun_s = rig.signal(pid, signal.SIGSTOP)
        if self.for_s is not None:
            rig.spin(self.for_s)
            rig.signal(pid, signal.SIGCONT)
        return begun_s

    def end(self, rig: Rig) -> None:
        if self.process in rig.pids:
            rig.signal(rig.pids[self.process], signal.SIGCONT)


@dataclass(frozen=True)
class Inject:
    """A fault of `sim.faults.FAULTS` with its arguments."""

    fault: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        return rig.faults.inject(self.fault, **self.arguments)

    def end(self, rig: Rig) -> None:
        rig.faults.clear()


@dataclass(frozen=True)
class Chunks:
    """The policy sends `fault_motion.BROKEN[kind]` in place of what it sent so far."""

    kind: str
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        rig.player.make = fault_motion.BROKEN[self.kind]
        return time.monotonic()

    def end(self, rig: Rig) -> None:
        rig.player.make = fault_motion.well


@dataclass(frozen=True)
class StopByTopic:
    """The emergency stop, from this process."""

    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        rig.operator.stop_now()
        return begun_s

    def end(self, rig: Rig) -> None:
        rig.operator.release_stop()


@dataclass(frozen=True)
class StopByCommand:
    """`sapave stop`. The fault sets in when the watchdog takes it: before, a command line takes seconds to start."""

    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        command = subprocess.Popen([sys.executable, "-m", "sapave_ros.cli", "stop"], stdout=subprocess.DEVNULL)

        def heard() -> float | None:
            return next((p.sent_s for p in rig.permits if p.sent_s > begun_s and p.state == "ESTOP"), None)

        rig.until(lambda: heard() is not None or command.poll() is not None, "`sapave stop`", _STOP_HEARD_S)
        if command.wait(_STOP_HEARD_S) != 0:
            raise RigError(f"`sapave stop` ended with status {command.returncode}")
        rig.until(lambda: heard() is not None, "what `sapave stop` has asked for")
        return heard() or begun_s

    def end(self, rig: Rig) -> None:
        rig.operator.release_stop()


@dataclass(frozen=True)
class Disarm:
    """A person disarms."""

    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        rig.operator.call(graph.DISARM_SERVICE)
        return begun_s

    def end(self, rig: Rig) -> None:
        pass


@dataclass(frozen=True)
class Joy:
    """What the person does with the joystick, or what becomes of it: a method of `fault_joystick.Joystick`."""

    what: str
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        getattr(rig.joystick, self.what)()
        return begun_s

    def end(self, rig: Rig) -> None:
        rig.joystick.let_go()


@dataclass(frozen=True)
class Recorder:
    """What becomes of the recorder, or of its disk: a method of `fault_recorder.Recording`. mend: the one after it."""

    what: str
    mend: str = ""
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        getattr(rig.recording, self.what)()
        return begun_s

    def end(self, rig: Rig) -> None:
        if self.mend:
            getattr(rig.recording, self.mend)()


@dataclass(frozen=True)
class SecondWriter:
    """Another program writes to the robot: `sapave_ros.bench.second_writer`."""

    topic: str
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        argv = [sys.executable, "-m", "sapave_ros.bench.second_writer", self.topic]
        process = fault_wire.peer([*argv, "--dds-domain", str(rig.options.dds_domain)])
        rig.later(lambda: fault_wire.end(process))
        rig.until_under_way()  # its start took a while
        return rig.signal(process.pid, signal.SIGUSR1)

    def end(self, rig: Rig) -> None:
        rig.tidy()


@dataclass(frozen=True)
class SecondWatchdog:
    """Another watchdog in the same ROS domain, which sends permits of its own."""

    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s, counted = time.monotonic(), rig.permits[-1].sequence
        process = rig.spawn(next(start.argv for start in plan(rig.options) if start.name == "watchdog"))
        rig.later(lambda: _end(process))

        def first() -> float | None:
            """When it began to send; this process heard of it some permits later."""
            heard = next((p for p in rig.permits if p.sent_s > begun_s and p.sequence < counted), None)
            return None if heard is None else heard.sent_s - (heard.sequence - 1) / graph.PERMIT_HZ

        rig.until(lambda: first() is not None, "the first permit of the second watchdog")
        return first() or begun_s

    def end(self, rig: Rig) -> None:
        rig.tidy()


@dataclass(frozen=True)
class RestartWatchdog:
    """The watchdog is killed, and another one starts while the arms are held."""

    final: ClassVar[bool] = True

    def begin(self, rig: Rig) -> float:
        killed_s = rig.signal(rig.pids["watchdog"], signal.SIGKILL)
        process = rig.spawn(next(start.argv for start in plan(rig.options) if start.name == "watchdog"))
        rig.later(lambda: _end(process))
        return killed_s

    def end(self, rig: Rig) -> None:
        rig.tidy()


@dataclass(frozen=True)
class Starve:
    """Programs that compute without pause, as many as `programs`, for `for_s` [s]."""

    programs: int
    for_s: float
    final: ClassVar[bool] = False

    def begin(self, rig: Rig) -> float:
        begun_s = time.monotonic()
        for _ in range(self.programs):
            process = rig.spawn((sys.executable, "-c", "while True: pass"))
            rig.later(lambda process=process: _end(process))  # type: ignore[misc]
        rig.spin(self.for_s)
        rig.tidy()
        return begun_s

    def end(self, rig: Rig) -> None:
        pass


@dataclass(frozen=True)
class SignalCommand:
    """A signal to `sapave up`, which the graph was started with."""

    number: signal.Signals
    final: ClassVar[bool] = True

    def begin(self, rig: Rig) -> float:
        return rig.signal(rig.pids["up"], self.number)

    def end(self, rig: Rig) -> None:
        pass


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
