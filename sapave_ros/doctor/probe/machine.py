"""Facts about the computer, from the kernel itself."""

from __future__ import annotations

import ctypes
import glob
import os
import struct
import threading
import time
from collections import Counter
from pathlib import Path

from sapave_ros import scheduling
from sapave_ros.doctor.judge.machine import MachineFacts
from sapave_ros.doctor.settings import Settings

_TIME_SERVICES = ("chronyd", "ntpd", "systemd-timesync", "ptp4l", "phc2sys")
_STA_UNSYNC = 0x40
_MB = 1e6


def _adjtimex() -> tuple[bool, float]:
    """Whether the kernel's clock is synchronised, and the largest error that it may have [s]. Changes nothing."""
    timex = ctypes.create_string_buffer(256)  # struct timex with modes = 0: read only
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    _, _, max_error_us, _, status = struct.unpack_from("@qqqqi", timex, 8)
    return state >= 0 and not status & _STA_UNSYNC, max_error_us * 1e-6


def _services() -> list[str]:
    names = set()
    for file in glob.glob("/proc/[0-9]*/comm"):
        try:
            names.add(Path(file).read_text().strip())
        except OSError:
            continue
    return sorted(s for s in _TIME_SERVICES if any(n.startswith(s[:15]) for n in names))


def _governors() -> dict[str, int]:
    files = glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return dict(Counter(Path(f).read_text().strip() for f in files))


def _realtime() -> str:
    """What a thread of ours is granted. The thread ends with it."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(scheduling.realtime()))
    thread.start()
    thread.join()
    return said[0]


def _free_mb(folder: str) -> tuple[float, float]:
    try:
        s = os.statvfs(folder)
    except OSError:
        return 0.0, 0.0
    return s.f_bavail * s.f_frsize / _MB, s.f_blocks * s.f_frsize / _MB


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _mapped() -> set[str]:
    """Names in /dev/shm that visible processes map or hold open."""
    names: set[str] = set()
    for maps in glob.glob("/proc/[0-9]*/maps"):
        try:
            lines = Path(maps).read_text().splitlines()
        except OSError:
            continue
        names.update(line.rpartition("/")[2].removesuffix(" (deleted)") for line in lines if "/dev/shm/" in line)
    return names


def _leftovers() -> list[str]:
    """Our own segments of Fast DDS that nobody maps. Other users' cannot be judged from here."""
    mapped, found = _mapped(), []
    for path in glob.glob("/dev/shm/fastrtps_*"):
        name = os.path.basename(path)
        try:
            ours = os.stat(path).st_uid == os.getuid()
        except OSError:
            continue
        if ours and "port" not in name and not name.endswith("_el") and name not in mapped:
            found.append(name)
    return sorted(found)


def machine(settings: Settings) -> MachineFacts:
    synchronised, max_error_s = _adjtimex()
    folder = _existing(Path(settings.run_dir).absolute())
    shm_mb, shm_total_mb = _free_mb("/dev/shm")
    leftovers = _leftovers()
    sizes = [os.stat(f"/dev/shm/{n}").st_size for n in leftovers if os.path.exists(f"/dev/shm/{n}")]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return MachineFacts(
        now_s=time.time(),
        synchronised=synchronised,
        max_error_s=max_error_s,
        time_services=_services(),
        governors=_governors(),
        realtime=_realtime(),
        cores=len(os.sched_getaffinity(0)),
        load=os.getloadavg()[0],
        memory_mb=int(memory.split()[1]) * 1024 / _MB,
        log_folder=str(folder),
        disk_mb=_free_mb(str(folder))[0],
        disk_writable=os.access(folder, os.W_OK),
        shm_mb=shm_mb,
        shm_total_mb=shm_total_mb,
        leftovers=leftovers,
        leftovers_mb=sum(sizes) / _MB,
    )
