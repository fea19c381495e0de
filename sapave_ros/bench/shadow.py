"""`sapave bench shadow`: the whole graph in shadow mode, told to move, and what reached the actuators: nothing.

The policy looks for something and chunks for the arms come as in `bench faults`; commands are computed, gated and
published. What is counted is what the simulated robot received, in its own process: frames of arms and hands on the
Unitree topics, and instructions on the servo bus by kind. Beside it, the same for a graph that is live.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState

from sapave_ros import graph
from sapave_ros.bench.fault_rig import PATIENCE_S, Rig
from sapave_ros.cli import json_argument
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator
from sapave_ros.plan import MODES, Options

SEED = 3
FOR_S = 10.0
MOVED_RAD = 0.05
"""Commands that go this far mean motion."""


@dataclass(frozen=True)
class Count:
    """What came of `seconds` in one mode.

    commands: published on `/sapave/*/command`. commanded_rad, moved_rad: the longest way of a joint that was commanded,
    and that one went. arm_frames, hand_frames: on `rt/arm_sdk`, `rt/inspire/cmd`, accepted or not. servo_writes: on the
    servo bus, all that is neither ping nor read; servo_reads: those.
    """

    mode: str
    seconds: float
    commands: int
    commanded_rad: float
    moved_rad: float
    arm_frames: int
    hand_frames: int
    servo_writes: int
    servo_reads: int

    @property
    def sent(self) -> int:
        """Everything that could move something."""
        return self.arm_frames + self.hand_frames + self.servo_writes


class _Commands:
    """Listens to the commands: how many, and how far each joint was sent."""

    def __init__(self, operator: Operator) -> None:
        self.count = 0
        self._low: dict[str, float] = {}
        self._high: dict[str, float] = {}
        for topic in (graph.HEAD_COMMAND, graph.ARM_COMMAND):
            ros.subscribe(operator, graph.stream(topic), self._on_command)

    def _on_command(self, msg: JointState) -> None:
        self.count += 1
        for name, position in zip(msg.name, msg.position, strict=True):
            self._low[name] = min(position, self._low.get(name, position))
            self._high[name] = max(position, self._high.get(name, position))

    @property
    def farthest_rad(self) -> float:
        return max((self._high[name] - low for name, low in self._low.items()), default=0.0)


def count(options: Options, operator: Operator, rig: Rig, seconds: float) -> Count:
    """Runs the graph of these options, brings it into ACTIVE and tells it to move. RigError where it does not start."""
    rig.start()
    try:
        rig.arm(take=False)
        rig.instruct()
        commands = _Commands(operator)
        rig.player.begin(rig.head_at(), head=False)
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + seconds or (
            commands.farthest_rad < MOVED_RAD and time.monotonic() < begun_s + seconds + PATIENCE_S
        ):
            if rig.state != "ACTIVE":  # a busy machine made it hold
                rig.arm(take=False)
            rig.spin(1.0)
            rig.instruct()
        motors = rig.motors()
    finally:
        rig.stop()
    # From the start of the robot on: what was sent before anybody armed it counts as well.
    servo_all = motors.servo_writes[-1] + motors.servo_others[-1]
    refused = int(motors.refused_frames[-1])
    travelled = np.hstack([np.ptp(motors.head, axis=0), np.ptp(motors.arms, axis=0)])
    return Count(
        options.mode,
        time.monotonic() - begun_s,
        commands.count,
        commands.farthest_rad,
        float(travelled.max()),
        int(motors.arm_frames[-1]) + refused,
        int(motors.hand_frames[-1]),
        int(servo_all),
        int(motors.servo_pings[-1] + motors.servo_reads[-1]),
    )


def silent(shadow: Count) -> bool:
    """Whether a shadow sent nothing although it commanded motion."""
    return shadow.sent == 0 and shadow.commands > 0 and shadow.commanded_rad > MOVED_RAD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench shadow`."""
    parser.add_argument("--seconds", type=float, default=FOR_S, help="of each mode")
    parser.add_argument("--ros-domain", type=int, default=65)
    parser.add_argument("--dds-domain", type=int, default=66)
    parser.add_argument("--run-dir", type=Path, default=Path(), help="where sockets, rings and logs are kept")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Counts and prints. Exit code 1 if a shadow sent something, or commanded nothing."""
    if not args.seconds > 0.0:
        raise ValueError(f"--seconds {args.seconds}: expected above 0")
    from sapave_ros.bringup import install_stop_handler
    from sapave_ros.nodes.operator import session

    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    stop = install_stop_handler()
    counts: list[Count] = []
    for mode in reversed(MODES):
        options = Options(
            sim=True,
            mode=mode,
            ros_domain=args.ros_domain,
            dds_domain=args.dds_domain,
            run_dir=args.run_dir,
            sim_arguments=("--seed", str(SEED), "--faults"),
        )
        options.run_dir.mkdir(parents=True, exist_ok=True)
        with session() as operator:
            counts.append(count(options, operator, Rig(options, operator, stop), args.seconds))
    rows: list[dict[str, Any]] = [asdict(c) for c in counts]
    for name in rows[0]:
        print(f"{name:16}" + "".join(f"{_text(row[name]):>12}" for row in rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 0 if silent(counts[0]) else 1


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
