"""A recorder beside the graph on the bench: its disk, what is done to both, and what its bag must then hold."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sapave_ros import graph
from sapave_ros.bench.fault_rig import Rig, RigError

LOST_S = 1.0
"""Whatever ends a recorder, what was heard until so long before is in the bag [s]."""

BEGUN_BYTES = 1_000_000
"""Pictures reach the bag: the recorder has begun to find others."""

FOUND_S = 3.0
"""So long after that it has found everybody [s]."""

ASKED = "asked"
"""File in a recorder's folder: its bag is asked for."""

_PIECE = 1_000_000

SMALL_DISK_MB = 300
"""A quarter of a minute of the simulated camera."""

_START_S, _END_S = 180.0, 40.0
"""A recorder gives a disk half a minute before it gives up; nothing is judged by these [s]."""

# As in anybody's terminal: with the transport that it chooses itself, not that of the graph's processes.
_PYTHON = ("env", "-u", "FASTRTPS_DEFAULT_PROFILES_FILE", sys.executable, "-m")
_RECORD, _SLOW_RECORD = "sapave_ros.cli record", "sapave_ros.bench.fault_slow_disk"


@dataclass(frozen=True)
class Ending:
    """How a recorder has to end. code: of its exit. says: stands in what it printed. whole: its bag was closed."""

    code: int
    says: str
    whole: bool


KILLED = Ending(-signal.SIGKILL, "", whole=False)
IN_ORDER = Ending(0, "written: ", whole=True)
FULL = Ending(1, os.strerror(errno.ENOSPC), whole=False)


@dataclass
class Recording:
    """One `sapave record` from its start until `close`. folder: its bag, once it has ended.

    broke_ns: when it, or its disk, was broken for good [ns of the epoch], None while it is not.
    """

    rig: Rig
    argv: tuple[str, ...]
    home: Path
    folder: Path
    seen_as: Path
    broke_ns: int | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        self._log.unlink(missing_ok=True)
        self.process = self.rig.spawn(self.argv, self._log.name)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        self._break()
        self.process.kill()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def hang_disk(self) -> None:
        self.process.send_signal(signal.SIGUSR1)

    def mend_disk(self) -> None:
        self.process.send_signal(signal.SIGUSR2)

    def fill_disk(self) -> None:
        """Leaves no byte of the small disk, which only its own mount namespace has.

        Piece by piece: all of it at once takes the processor from everybody for a tenth of a second, and that is none
        of the recorder's doing.
        """
        self._break()
        with (self._disk / "filler").open("wb") as filler:
            while free := (disk := os.statvfs(self._disk)).f_bavail * disk.f_frsize:
                with suppress(OSError):  # the recorder was quicker
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), min(free, _PIECE))
                time.sleep(0.003)

    def problems(self, ending: Ending) -> list[str]:
        """Ends it with Ctrl-C, unless it has ended; what is not as it has to be."""
        if self.broke_ns is None:
            self._break()
            self.process.send_signal(signal.SIGINT)
        self._asked.touch()
        if not self.rig.operator.wait(lambda: self.process.poll() is not None, _END_S):
            return [f"the recorder has not ended within {_END_S:g} s"]
        found = []
        if self.process.returncode != ending.code:
            found.append(f"the recorder ended with status {self.process.returncode}; expected {ending.code}")
        if ending.says not in self.said():
            found.append(f"the recorder does not say {ending.says!r}, but {self.said().splitlines()[-1:]}")
        assert self.broke_ns is not None
        return found + bag_problems(self.folder, ending.whole, self.broke_ns)

    def close(self) -> None:
        """Ends it however it stands, and removes its bag."""
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def said(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _begin(self) -> None:
        ready = f"{graph.RECORDER}: {graph.READY}"
        self.rig.until(lambda: ready in self.said() or self.process.poll() is not None, "the recorder", _START_S)
        self._look()
        self.rig.until(
            lambda: self._bytes() > BEGUN_BYTES or self.process.poll() is not None, "pictures in its bag", _START_S
        )
        self.rig.spin(FOUND_S)
        self._look()

    @property
    def _asked(self) -> Path:
        """Is there as soon as the bag is asked for."""
        return self.home / ASKED

    @property
    def _log(self) -> Path:
        return self.rig.options.run_dir / f"{self.home.name}.log"

    @property
    def _disk(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.seen_as.parent}")

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in (self._disk / self.seen_as.name).glob("*.mcap"))

    def _break(self) -> None:
        self.broke_ns = time.time_ns()

    def _look(self) -> None:
        if self.process.poll() is not None:
            raise RigError(f"the recorder ended with status {self.process.returncode}: {self.said().strip()}")


def bag_problems(folder: Path, whole: bool, until_ns: int) -> list[str]:
    """What is not as it has to be in a bag of a recorder that could record until until_ns [ns of the epoch].

    whole: whether it was closed in order.
    """
    from sapave_ros.bag.reader import Bag, BagError  # it needs the library mcap, which the other rows do without

    try:
        bag = Bag(folder)
        last_ns = max(m.stamp_ns for m in bag.messages([graph.PERMIT]))
    except BagError as error:
        return [f"the bag cannot be read: {error}"]
    found = []
    if whole and bag.damage:
        found.append(f"the bag is damaged: {'; '.join(bag.damage)}")
    if not whole and not bag.damage:
        found.append("the bag looks as if it had been closed in order")
    missing_s = (until_ns - last_ns) * 1e-9
    if missing_s > LOST_S:
        found.append(f"the bag ends {missing_s:.2f} s too early; expected {LOST_S:g} at most")
    return found


def _words(record: str, bag: Path) -> tuple[str, ...]:
    return (*_PYTHON, *record.split(), "--keep-free-mb", "0", "--output", str(bag))


def on_the_disk(rig: Rig, home: Path) -> Recording:
    """As everybody does it."""
    bag = home / "bag"
    return Recording(rig, _words(_RECORD, bag), home, bag, bag)


def on_a_slow_disk(rig: Rig, home: Path) -> Recording:
    """On a disk that can be told to hang (`fault_slow_disk`)."""
    bag = home / "bag"
    return Recording(rig, _words(_SLOW_RECORD, bag), home, bag, bag)


def on_a_small_disk(rig: Rig, home: Path) -> Recording:
    """On a disk of its own, in memory, mounted where nobody else sees it, so that it goes with the process.

    What is on it when the recorder ends is copied to where its bag is looked for, once it is: copying takes the
    processor from others, which is none of the recorder's doing.
    """
    bag, kept = home / "disk/bag", home / "kept"
    disk, asked = shlex.quote(str(bag.parent)), shlex.quote(str(home / ASKED))
    script = (
        f"mkdir {disk} && mount -t tmpfs -o size={SMALL_DISK_MB}m tmpfs {disk} || exit 1\n"
        f"{shlex.join(_words(_RECORD, bag))}\n"
        f"code=$?; until [ -e {asked} ]; do sleep 0.2; done\n"
        f"cp -r {shlex.quote(str(bag))} {shlex.quote(str(kept))}; exit $code"
    )
    own = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    return Recording(rig, (*own, "sh", "-c", script), home, kept, bag)


Disk = Callable[[Rig, Path], Recording]
"""Makes a recorder in a folder that is not there yet."""
