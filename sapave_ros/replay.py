"""`sapave replay`: a bag's streams as they came, with the time of the bag; nothing of it reaches an actuator."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from sapave_ros.share import share_path
from sapave_ros.transport import PROFILE

if TYPE_CHECKING:
    from sapave_ros.bag.player import Tally


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave replay`."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="its folder, or one MCAP file")
    parser.add_argument("--rate", type=float, default=1.0, help="how much faster than recorded (default: %(default)g)")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="begin so long after the first message")
    parser.add_argument("--duration", type=float, metavar="S", help="end so long after the beginning (default: all)")
    parser.add_argument("--loop", action="store_true", help="begin anew at the end")
    parser.add_argument("--paused", action="store_true", help="wait to be resumed: by space, or /replay/resume")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="as recorded (default: all of the graph)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: played, or ended by Ctrl-C; 1: somebody is there beside whom nothing is; 2: could not begin."""
    from sapave_ros.bag.player import Player, PlayParameters
    from sapave_ros.bag.reader import Bag
    from sapave_ros.bag.replayed import left_out, replayed_sources
    from sapave_ros.keys import Keys

    parameters = PlayParameters(args.rate, args.start, args.duration, args.loop, args.paused)
    # Pictures go the way on which the camera sends them. Everything else of the environment stays as it is for those
    # who listen: the replay must find whoever can hear them.
    os.environ.setdefault(PROFILE, str(share_path("config/fastdds_pictures.xml")))

    from sapave_ros.nodes import ros
    from sapave_ros.nodes.alone import claim_domain
    from sapave_ros.nodes.replay import HELP, ReplayNode, conversions, nothing_said, perishable

    if args.bag.exists():
        print(f"reading {args.bag} ...", flush=True)  # all of it, twice: seconds for gigabytes
    bag = Bag(args.bag)
    for line in bag.damage:
        print(f"damaged: {line}", file=sys.stderr)
    sources = replayed_sources(bag, args.topics)
    player = Player(
        bag,
        parameters,
        [s.recorded for s in sources],
        nothing_said(sources),
        perishable(sources),
        say=lambda text: print(f"time jumps: {text}", flush=True),
        convert=conversions(sources),
    )
    with closing(player), Keys(sys.stdin) as keys:
        for source in sources:
            print(f"{source.recorded} as {source.topic}")
        if (others := left_out(bag)) and not args.topics:
            print(f"not of the graph, not replayed: {', '.join(others)}")
        print(HELP if keys.there else "Ctrl-C ends it", flush=True)

        def make() -> ReplayNode:
            node = ReplayNode(player, sources, keys=keys.pressed, claim=claim_domain)
            node.start()
            return node

        code = ros.run("replay", make, argv=[])
    print(table({s.topic: player.tallies[s.recorded] for s in sources}), flush=True)
    if bag.damage:
        print(
            f"the bag is damaged; no more of it than can be read was played: {'; '.join(bag.damage)}", file=sys.stderr
        )
    return code


def table(tallies: Mapping[str, Tally]) -> str:
    """A line for every topic: messages, late, dropped; and all together."""
    from sapave_ros.bag.player import LATE_S, Tally

    names = [f.name for f in fields(Tally)]
    total = {name: sum(getattr(t, name) for t in tallies.values()) for name in names}
    width = max(map(len, [*tallies, "all"]))
    lines = [f"{'topic':{width}}  {'messages':>9}  {f'> {LATE_S:g} s late':>12}  {'dropped':>8}"]
    for topic, t in tallies.items():
        lines.append(f"{topic:{width}}  {t.sent:>9}  {t.late:>12}  {t.dropped:>8}")
    lines.append(f"{'all':{width}}  {total['sent']:>9}  {total['late']:>12}  {total['dropped']:>8}")
    return "\n".join(lines)
