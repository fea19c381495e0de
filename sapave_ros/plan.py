"""From the table to command lines: what `sapave up` and the launch files start.

Both read `graph.PROCESSES` through `plan`, so that there is one graph however it is started.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sapave_ros import graph
from sapave_ros.parameters import ParameterError
from sapave_ros.share import share_path
from sapave_ros.transport import PICTURES, SMALL, transport

MODES = ("live", "shadow")

MAX_DOMAIN = 101
"""Highest DDS domain id whose ports stay below Linux' ephemeral range (ROS 2 documentation, "The ROS_DOMAIN_ID")."""


def ros_domain_of_environment() -> int:
    """ROS_DOMAIN_ID, 0 where it is not set. Raises ParameterError where it is not a number."""
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    try:
        return int(text)
    except ValueError:
        raise ParameterError(f"ROS_DOMAIN_ID: {text!r}; expected 0..{MAX_DOMAIN}") from None


@dataclass(frozen=True)
class Options:
    """One start of the graph.

    sim: with the simulated robot. mode: live, or shadow (all is computed, nothing is sent). run_dir: sockets,
    rings and logs of this run. dds_domain: domain id of the Unitree side; ros_domain: of the ROS side. overrides:
    node name to parameter to value. params_file: YAML of the user, read after the package's. sim_arguments: passed
    to the simulated robot as they are.
    """

    sim: bool
    ros_domain: int = field(default_factory=ros_domain_of_environment)
    dds_domain: int = 1
    run_dir: Path = Path()
    params_file: Path | None = None
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sim_arguments: Sequence[str] = ()
    mode: str = "live"

    def __post_init__(self) -> None:
        for name in ("ros_domain", "dds_domain"):
            value = getattr(self, name)
            if not 0 <= value <= MAX_DOMAIN:
                raise ParameterError(f"{name}: {value}; expected 0..{MAX_DOMAIN}")
        if self.mode not in MODES:
            raise ParameterError(f"mode: {self.mode!r}; expected one of {', '.join(MODES)}")
        if self.ros_domain == self.dds_domain:
            raise ParameterError(f"dds_domain: {self.dds_domain} is also the ROS domain; expected two different ones")
        if self.params_file is not None and not self.params_file.is_file():
            raise ParameterError(f"params_file: {self.params_file} is not a file")
        unknown = set(self.overrides) - {p.name for p in graph.PROCESSES if p.ros}
        if unknown:
            raise ParameterError(
                f"override of {', '.join(sorted(unknown))}; expected one of the nodes "
                f"{', '.join(p.name for p in graph.PROCESSES if p.ros)}"
            )
        if self.run_dir == Path():
            object.__setattr__(self, "run_dir", default_run_dir(self.ros_domain))


def default_run_dir(ros_domain: int) -> Path:
    """Where a run of that ROS domain keeps its sockets, rings and logs."""
    return Path(tempfile.gettempdir()) / f"sapave-{os.getuid()}-{ros_domain}"


@dataclass(frozen=True)
class Start:
    """One process to start. argv: complete command line. parameters: those that are not from a file."""

    name: str
    script: str
    ros: bool
    argv: tuple[str, ...]
    parameters: Mapping[str, str]


def environment(options: Options, name: str = "") -> dict[str, str]:
    """What the process of that name finds in its environment besides the caller's; without a name, any other."""
    kind = PICTURES if graph.process_has_pictures(name) else SMALL
    return {
        "ROS_DOMAIN_ID": str(options.ros_domain),
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        **transport(kind, os.environ, stays_here=options.sim),
        "PYTHONUNBUFFERED": "1",
        # One numeric thread a process: the libraries' default of one a core fights the control loops for them.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def plan(options: Options) -> tuple[Start, ...]:
    """The processes of the graph in starting order."""
    starts = []
    for process in graph.PROCESSES:
        if process.sim_only and not options.sim:
            continue
        if not process.ros:
            argv = [
                sys.executable, "-m", process.module,
                "--run-dir", str(options.run_dir), "--dds-domain", str(options.dds_domain),
                *options.sim_arguments,
            ]  # fmt: skip
            starts.append(Start(process.name, process.script, False, tuple(argv), {}))
            continue
        values = {"run_dir": options.run_dir, "dds_domain": options.dds_domain, "mode": options.mode}
        templates = {**process.parameters, **(process.sim_parameters if options.sim else {})}
        parameters = {k: v.format(**values) for k, v in templates.items()}
        parameters.update(options.overrides.get(process.name, {}))
        argv = [sys.executable, "-m", process.module, "--ros-args", "--log-level", "warn"]
        argv += ["--params-file", str(share_path("config/sapave.yaml"))]
        if options.params_file is not None:
            argv += ["--params-file", str(options.params_file)]
        for name, value in parameters.items():
            argv += ["-p", f"{name}:={value}"]
        starts.append(Start(process.name, process.script, True, tuple(argv), parameters))
    return tuple(starts)
