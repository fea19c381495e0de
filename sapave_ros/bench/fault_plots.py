"""A picture of one row of the fault bench: how fast head and arms moved, and whose the arms were, over time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sapave_ros import g1
from sapave_ros.bench.fault_judge import Seen
from sapave_ros.bench.fault_measure import BEFORE_S, MOTION_RAD_S, Wire, limits, speeds
from sapave_ros.bench.fault_rows import Row
from sapave_ros.sim.motors import Motors


def save(directory: Path, row: Row, seen: Seen, motors: Motors, wire: Wire) -> Path:
    """Writes NAME.png, times relative to the fault, from `BEFORE_S` before it on."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{re.sub('[^a-z0-9]+', '_', row.name.lower()).strip('_')}.png"
    shown = motors[motors.time_s > seen.fault_s - BEFORE_S]
    time_s, speed = shown.time_s - seen.fault_s, speeds(shown)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=(3, 1))
    heads = len(g1.HEAD)
    for i, name in enumerate(g1.HEAD.names):
        upper.plot(time_s, speed[:, i], label=name)
    upper.plot(time_s, speed[:, heads:].max(axis=1), label="fastest joint of the arms", color="black", linewidth=0.8)
    upper.axhline(float(limits().min()), color="red", linewidth=0.8, label="limit")
    upper.axhline(MOTION_RAD_S, color="grey", linewidth=0.6, linestyle=":", label="motion")
    lower.plot(time_s, shown.weight, label="weight of arm_sdk")
    stiffness = (shown.arms_kp / g1.ARMS.column("kp")).max(axis=1)
    lower.plot(time_s, stiffness, label="stiffness in force", linestyle="--")
    sent = wire.time_s > seen.fault_s - BEFORE_S
    frames_s = wire.time_s[sent] - seen.fault_s
    lower.plot(frames_s, np.zeros(len(frames_s)), ".", markersize=1, label="frames on the wire")
    for axis in (upper, lower):
        axis.axvline(0.0, color="red")
        if seen.seen_s is not None:
            axis.axvline(seen.seen_s, color="orange", linestyle="--")
        axis.legend(loc="upper right", fontsize=7)
    upper.set_ylabel("rad/s")
    lower.set_xlabel("s after the fault (red); orange: the state changed")
    upper.set_title(f"{row.name}: {seen.reached[0]}, {seen.reached[1][:80]}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
