"""The graph's processes on this machine, and what of the machine they take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import PurePath

import psutil

from sapave_ros import graph


@dataclass(frozen=True)
class Load:
    """cpu: share of one core since the last look. memory_mb: resident. Children are counted with their parent."""

    pid: int
    cpu: float
    memory_mb: float


class Loads:
    """CPU of the processes of one ROS domain. The first look has no CPU yet: a share is of the time between two."""

    def __init__(self, ros_domain: int) -> None:
        self._domain = ros_domain
        self._before: dict[int, tuple[float, float]] = {}

    def now(self) -> dict[str, Load]:
        """By the name of the process in `graph.PROCESSES`; only those that this user may look at."""
        now_s, found = time.monotonic(), {}
        before, self._before = self._before, {}
        for process in psutil.process_iter():
            try:
                name = self._name(process)
                if name is None:
                    continue
                family = [process, *process.children(recursive=True)]
                used_s = sum(sum(p.cpu_times()[:2]) for p in family)
                memory = sum(p.memory_info().rss for p in family)
            except psutil.Error:  # ended meanwhile, or another user's
                continue
            then_s, then_used_s = before.get(process.pid, (now_s, used_s))
            self._before[process.pid] = now_s, used_s
            cpu = max(0.0, used_s - then_used_s) / (now_s - then_s) if now_s > then_s else 0.0
            found[name] = Load(process.pid, cpu, memory / 1e6)
        return found

    def _name(self, process: psutil.Process) -> str | None:
        name = process_name(process.cmdline())
        if name is None or not graph.process(name).ros:
            return name  # the simulated robot is on no ROS domain
        domain = process.environ().get("ROS_DOMAIN_ID") or "0"
        return name if domain == str(self._domain) else None


def process_name(command: list[str]) -> str | None:
    """Which process of the graph a command line starts: `python -m MODULE`, or the console script of a launch file."""
    for p in graph.PROCESSES:
        if "-m" in command[:4] and command[command.index("-m") + 1 : command.index("-m") + 2] == [p.module]:
            return p.name
        if any(PurePath(word).name == p.script for word in command[:2]):
            return p.name
    return None
