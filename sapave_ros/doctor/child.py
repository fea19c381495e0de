"""One probe in a process of its own: `python -m sapave_ros.doctor.child NAME`, settings as JSON on standard input.

A probe that hangs or crashes takes nobody with it. The facts are the last line of its standard output.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from typing import Any

from sapave_ros.doctor.checks import PROBES
from sapave_ros.doctor.settings import Settings

NICE = 5
"""Behind the graph, which may be running."""


def collect(name: str, settings: Settings) -> Any:
    """The facts of that probe."""
    module, _, function = PROBES[name].function.partition(":")
    return getattr(importlib.import_module(f"sapave_ros.doctor.probe.{module}"), function)(settings)


def main() -> None:
    os.nice(NICE)
    # Libraries print: what they say goes to stderr, and stdout is for the facts.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    facts = collect(sys.argv[1], Settings.from_json(sys.stdin.read()))
    print(json.dumps(dataclasses.asdict(facts)), file=out, flush=True)
    os._exit(0)  # rclpy and librealsense may hang while the interpreter shuts down


if __name__ == "__main__":
    main()
