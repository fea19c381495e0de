"""Facts about the robot, from a process under the SDK's interpreter that never meets ROS."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sapave_ros import drivers
from sapave_ros.doctor import sdk_process
from sapave_ros.doctor.judge.robot import RobotFacts
from sapave_ros.doctor.probe.processes import command_line, simulated_robot
from sapave_ros.doctor.settings import Settings
from sapave_ros.drivers.unitree import clean_environment

LISTEN_S = 2.0
TIMEOUT_S = 30.0


def robot(settings: Settings) -> RobotFacts:
    arm = settings.nodes["arm"]
    config = {
        "domain": settings.dds_domain,
        "interface": arm["dds_interface"],
        "listen_s": LISTEN_S,
        "services": not settings.sim,
    }
    interpreter = arm["sdk_python"] or sys.executable
    heard: dict[str, Any] = {"expected": not settings.sim or simulated_robot(settings.dds_domain)}
    if settings.sim:
        heard["sim_cyclonedds"] = _own_cyclonedds()
    environment = clean_environment(dict(os.environ)) | {"PYTHONPATH": str(Path(drivers.__file__).parent)}
    command = [interpreter, str(Path(sdk_process.__file__).resolve()), json.dumps(config)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        said, end = done.stdout, f"the SDK process ended with status {done.returncode}"
        errors = done.stderr
    except subprocess.TimeoutExpired as error:
        said, errors = _text(error.stdout), _text(error.stderr)
        end = f"the SDK process did not end within {TIMEOUT_S:g} s"
    except OSError as error:
        said, errors, end = "", "", f"sdk_python {interpreter!r}: {error}"
    answers = [line[len(sdk_process.ANSWER) :] for line in said.splitlines() if line.startswith(sdk_process.ANSWER)]
    heard.update(json.loads(answers[-1]) if answers else {})
    if not heard.pop("complete", False):
        last = errors.strip().splitlines()[-1:]
        heard["trouble"] = ": ".join([heard.get("trouble") or end, *last])
    heard["ours"] = [
        w[2]
        for w in heard.get("writers") or []
        if w[1] == os.uname().nodename and "sapave_ros/drivers/unitree_" in command_line(w[2])
    ]
    known = {f.name for f in dataclasses.fields(RobotFacts)}
    return RobotFacts(**{k: v for k, v in heard.items() if k in known})


def _own_cyclonedds() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cyclonedds")
    except PackageNotFoundError:
        return ""


def _text(data: str | bytes | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
