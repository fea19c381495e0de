"""`sapave doctor`: what is in order and what is not, and how to mend it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from sapave_ros.cli import json_argument
from sapave_ros.doctor import report, runner
from sapave_ros.doctor.checks import FIRST, PROBES
from sapave_ros.doctor.finding import exit_code
from sapave_ros.doctor.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave doctor`."""
    parser.add_argument("--sim", action="store_true", help="for a start with the simulated robot")
    parser.add_argument("--interface", default="", help="network interface to the robot (default: as node arm has it)")
    parser.add_argument("--params-file", type=Path, help="YAML with parameters of the nodes, as for sapave up")
    parser.add_argument("--dds-domain", type=int, help="Unitree DDS domain (default: 0 on a robot, 1 in simulation)")
    parser.add_argument("--run-dir", type=Path, help="where the run keeps its sockets, rings and logs")
    parser.add_argument("--probe", choices=sorted(PROBES), help="show what one probe sees, and nothing else")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """0 all in order, warnings allowed; 1 something is wrong. Raises ParameterError (2) on wrong usage."""
    settings = Settings(
        sim=args.sim,
        dds_domain=args.dds_domain if args.dds_domain is not None else (1 if args.sim else 0),
        run_dir=str(args.run_dir.absolute()) if args.run_dir else "",
        interface=args.interface,
        params_file=str(args.params_file.absolute()) if args.params_file else "",
    )
    if args.json is not None:
        args.json.touch()  # a place that cannot be written is wrong usage, and is said before the work
    if args.probe:
        return _one(args.probe, settings)
    start_s = time.monotonic()
    settings, facts = runner.collect(settings)
    findings = runner.judge(settings, facts)
    seconds = time.monotonic() - start_s
    print(report.text(findings, colour=sys.stdout.isatty()))
    print(f"\n{report.summary(findings, seconds)}")
    if args.json is not None:
        args.json.write_text(json.dumps(report.data(settings, findings, seconds), indent=1) + "\n")
    return exit_code(findings)


def _one(name: str, settings: Settings) -> int:
    """Runs one probe in the open: its facts and all that it prints."""
    first = runner.probe(FIRST, settings)
    if name != FIRST and not isinstance(first, runner.Failure):
        settings = settings.with_parameters(first.nodes)
    command = [sys.executable, "-m", "sapave_ros.doctor.child", name]
    return int(subprocess.run(command, input=settings.to_json(), text=True, check=False).returncode != 0)
