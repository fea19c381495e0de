"""What /proc tells about other processes."""

from __future__ import annotations

from pathlib import Path


def command_line(pid: str | int) -> str:
    """Of a process, empty where it is gone or nobody's business."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def simulated_robot(dds_domain: int) -> bool:
    """Whether a simulated robot runs in that domain: it holds an address of that name (`sim/unitree_face`)."""
    return f"@sapave-simulated-g1-{dds_domain}\n" in Path("/proc/net/unix").read_text()
