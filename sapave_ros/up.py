"""`sapave up`: the graph in the foreground."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from sapave_ros.bringup import up
from sapave_ros.demo.told import listing, rooms_help
from sapave_ros.parameters import ParameterError
from sapave_ros.plan import MODES, Options
from sapave_ros.sim.live import DEFAULT_ROOM, live_room


def overrides(items: list[str]) -> dict[str, dict[str, str]]:
    """`NODE.PARAMETER:=VALUE` items as node to parameter to value. Raises ParameterError on any other form."""
    result: dict[str, dict[str, str]] = defaultdict(dict)
    for item in items:
        target, separator, value = item.partition(":=")
        node, dot, name = target.partition(".")
        if not (separator and dot and node and name):
            raise ParameterError(f"--set {item!r}; expected NODE.PARAMETER:=VALUE, such as inference.rate_hz:=5.0")
        result[node][name] = value
    return dict(result)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave up`."""
    parser.add_argument("--sim", action="store_true", help="with the simulated robot")
    parser.add_argument("--mode", default="live", choices=MODES, help="shadow: all is computed, nothing is sent")
    parser.add_argument("--dds-domain", type=int, help="Unitree DDS domain (default: 0 on a robot, 1 in simulation)")
    parser.add_argument("--run-dir", type=Path, default=Path(), help="where sockets, rings and logs are kept")
    parser.add_argument("--params-file", type=Path, help="YAML with parameters of the nodes")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.PARAMETER:=VALUE", help="one parameter")
    parser.add_argument("--room", default=DEFAULT_ROOM, metavar="NAME", help=f"{rooms_help()} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="which room of that kind (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Runs until Ctrl-C (exit code 0) or until a process dies (1)."""
    domain = args.dds_domain if args.dds_domain is not None else (1 if args.sim else 0)
    options = Options(
        sim=args.sim,
        mode=args.mode,
        dds_domain=domain,
        run_dir=args.run_dir,
        params_file=args.params_file,
        overrides=overrides(args.set),
        sim_arguments=("--room", args.room, "--seed", str(args.seed)),
    )
    if args.sim:
        print("\n".join(listing(live_room(args.room, args.seed))), flush=True)
    return up(options)
