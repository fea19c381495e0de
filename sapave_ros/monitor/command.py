"""`sapave monitor`: the node of that name, until Ctrl-C. It listens, and publishes what rviz shows."""

from __future__ import annotations

import argparse
import os

from sapave_ros.transport import RECORD, own_transport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave monitor`."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAMETER:=VALUE", help="such as cloud_points:=20000"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0: ended by Ctrl-C; 2: could not begin."""
    for item in args.set:
        if not item.partition(":=")[2]:
            raise ValueError(f"--set {item!r}; expected PARAMETER:=VALUE, such as cloud_points:=20000")
    # No shared memory with the camera: who looks on must not hold it up.
    os.environ |= own_transport(RECORD)
    from sapave_ros.nodes import ros
    from sapave_ros.nodes.monitor import MonitorNode

    return ros.run(
        "monitor", MonitorNode, ["monitor", "--ros-args", *(word for item in args.set for word in ("-p", item))]
    )
