"""The computer: clock, processor, memory, disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from sapave_ros.doctor.finding import Outcome, joined, ok, warning, wrong
from sapave_ros.doctor.settings import Settings

OLDEST_S = 1_735_689_600.0
"""2025-01-01: a system clock before that has never been set [s since 1970]."""
CORES = 2
MEMORY_MB = (500, 1500)
DISK_MB = (100, 1000)
SHM_MB = (64, 256)
"""Too little, and little, of each [MB]; a node's segment alone is 32 MB."""


@dataclass(frozen=True)
class MachineFacts:
    """now_s: system time [s since 1970]. synchronised: by the kernel's word (adjtimex). max_error_s: its bound [s].
    time_services: programs found running that set the clock. governors: frequency governor to number of cores, empty
    where the machine has none. realtime: what `scheduling.realtime` achieved. load: of the last minute. memory_mb,
    disk_mb, shm_mb, shm_total_mb: free space. leftovers: Fast DDS segments that no visible process maps.
    """

    now_s: float
    synchronised: bool
    max_error_s: float
    time_services: list[str] = field(default_factory=list)
    governors: dict[str, int] = field(default_factory=dict)
    realtime: str = ""
    cores: int = 1
    load: float = 0.0
    memory_mb: float = 0.0
    log_folder: str = ""
    disk_mb: float = 0.0
    disk_writable: bool = True
    shm_mb: float = 0.0
    shm_total_mb: float = 0.0
    leftovers: list[str] = field(default_factory=list)
    leftovers_mb: float = 0.0


def clock(settings: Settings, facts: MachineFacts) -> Outcome:
    """It is set, and where other machines take part it is kept in step."""
    if facts.now_s < OLDEST_S:
        return wrong("the system clock has never been set", "sudo date -s '...', then: sudo timedatectl set-ntp true")
    if facts.synchronised:
        return ok(f"synchronised, within {facts.max_error_s * 1e3:.0f} ms ({joined(facts.time_services) or 'kernel'})")
    found = f"not synchronised ({joined(facts.time_services) or 'no NTP or PTP program'} runs)"
    if settings.sim:
        return ok(f"{found}; everything in simulation shares one clock")
    return warning(
        f"{found}: stamps of other machines do not compare", "sudo timedatectl set-ntp true, or sudo apt install chrony"
    )


def governor(settings: Settings, facts: MachineFacts) -> Outcome:
    if not facts.governors:
        return ok("no frequency scaling here")
    found = joined(f"{name} on {n} cores" for name, n in facts.governors.items())
    if set(facts.governors) != {"performance"}:
        return warning(
            f"{found}: the first ticks after a rest are late",
            "sudo cpupower frequency-set -g performance (Jetson: jetson_clocks)",
        )
    return ok(found)


def realtime(settings: Settings, facts: MachineFacts) -> Outcome:
    """Controllers may run before ordinary programs."""
    if not facts.realtime.startswith("SCHED_FIFO"):
        return warning(
            "no right to the real-time class: any busy program makes ticks late",
            'echo "$USER - rtprio 50" | sudo tee /etc/security/limits.d/50-rtprio.conf, then log in again',
        )
    return ok(f"{facts.realtime} is granted")


def load(settings: Settings, facts: MachineFacts) -> Outcome:
    found = f"{facts.cores} cores, load {facts.load:.1f}"
    if facts.cores < CORES:
        return wrong(f"{found}; expected {CORES} or more", "use a computer with more cores")
    if facts.load > facts.cores:
        return warning(found, "stop other programs on this machine: top")
    return ok(found)


def memory(settings: Settings, facts: MachineFacts) -> Outcome:
    return _space("memory", facts.memory_mb, MEMORY_MB, "stop other programs on this machine: top -o %MEM")


def disk(settings: Settings, facts: MachineFacts) -> Outcome:
    """There is room for logs in the run directory."""
    if not facts.disk_writable:
        return wrong(f"{facts.log_folder} cannot be written", "name another folder: sapave up --run-dir DIR")
    return _space(facts.log_folder, facts.disk_mb, DISK_MB, f"make room: du -xh {facts.log_folder} | sort -h | tail")


def shared_memory(settings: Settings, facts: MachineFacts) -> Outcome:
    """/dev/shm has room for the segments, and none is left of processes that were killed."""
    mend = "with no ROS program running: rm -f /dev/shm/fastrtps_* /dev/shm/sem.fastrtps_*"
    if facts.shm_total_mb < SHM_MB[1]:
        return wrong(
            f"/dev/shm has {facts.shm_total_mb:.0f} MB; expected {SHM_MB[1]} or more",
            "sudo mount -o remount,size=1G /dev/shm (docker run --shm-size=1g)",
        )
    outcome = _space("/dev/shm", facts.shm_mb, SHM_MB, mend)
    if facts.leftovers:
        text = f"{outcome.found}; {len(facts.leftovers)} left over of killed processes ({facts.leftovers_mb:.0f} MB)"
        return wrong(text, mend) if facts.shm_mb < SHM_MB[0] else warning(text, mend)
    return outcome


def _space(what: str, free_mb: float, bounds_mb: tuple[int, int], mend: str) -> Outcome:
    found = f"{what}: {free_mb / 1000:.1f} GB free" if free_mb >= 1000 else f"{what}: {free_mb:.0f} MB free"
    if free_mb < bounds_mb[0]:
        return wrong(f"{found}; expected {bounds_mb[0]} MB or more", mend)
    if free_mb < bounds_mb[1]:
        return warning(f"{found}; {bounds_mb[1]} MB would be comfortable", mend)
    return ok(found)
