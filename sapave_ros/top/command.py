"""`sapave top`: look at the running graph until Ctrl-C. It listens, and says nothing."""

from __future__ import annotations

import argparse
import json
import sys

from sapave_ros.bringup import install_stop_handler
from sapave_ros.cli import json_argument
from sapave_ros.plan import ros_domain_of_environment
from sapave_ros.top.screen import figures, lines

LISTEN_S = 3.0
"""Before the first table that stays: /diagnostics comes once a second."""

FIND_S = 8.0
"""By then everybody is found [s] who is there. Where the first announcements are lost, as on a very busy computer, DDS
announces itself again after 3 s (Fast DDS, `leaseDuration_announcementperiod`)."""

_CLEAR, _HOME, _END_OF_LINE, _BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave top`."""
    parser.add_argument(
        "--once",
        action="store_true",
        help=f"look for everybody, {FIND_S:g} s at most, listen for {LISTEN_S:g} s, print once and end",
    )
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="S", help="between two looks (default: %(default)s)"
    )
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1: nothing of the graph was heard (with --once)."""
    if not args.every > 0:
        raise ValueError(f"--every {args.every}; expected more than 0 s")
    from sapave_ros.nodes.operator import session
    from sapave_ros.top.ears import Ears

    stop = install_stop_handler()
    live = sys.stdout.isatty() and not args.once
    with session() as operator:
        ears = Ears(operator, ros_domain_of_environment())
        if live:
            print(_CLEAR, end="")
        if args.once:
            operator.wait(lambda: stop.is_set() or not ears.silent(), FIND_S)
        ears.picture()  # CPU counts from here
        operator.wait(stop.is_set, LISTEN_S if args.once else min(args.every, LISTEN_S))
        while True:
            picture = ears.picture()
            text = lines(picture, sys.stdout.isatty())
            if live:
                print(_HOME + "".join(f"{line}{_END_OF_LINE}\n" for line in text) + _BELOW, end="", flush=True)
            else:
                print("\n".join(text), flush=True)
            if args.json:
                args.json.write_text(json.dumps(figures(picture), indent=1))
            if args.once:
                return 0 if picture.there else 1
            if stop.is_set() or operator.wait(stop.is_set, args.every):
                return 0
