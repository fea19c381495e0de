"""`sapave data`: makes triples of picture, instruction and head movement, and the card that says what they are like."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sapave_ros.crew import crew
from sapave_ros.learning.pairs import card, make, store
from sapave_ros.learning.pairs.generate import TRIPLES_PER_SHARD
from sapave_ros.learning.pairs.source import Rooms
from sapave_ros.learning.pairs.splits import SEEDS, SPLITS
from sapave_ros.learning.pairs.store import ShardName

OUTPUT = Path("out/data/pairs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--triples", type=int, default=200_000, help=f"at least so many, in shards of {TRIPLES_PER_SHARD}"
    )
    parser.add_argument("--split", choices=list(SPLITS), default="train")
    parser.add_argument("--seed", type=int, default=0, help=f"0 to {SEEDS - 1}")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the shards (default: %(default)s)")
    parser.add_argument("--shards", type=int, nargs=2, metavar=("FROM", "TO"), help="these alone, to share the work")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--ray", metavar="ADDRESS", help='use this Ray cluster instead; "local" starts one here')
    parser.add_argument("--check", action="store_true", help="hold every byte of what is there against its checksums")
    parser.add_argument("--card", action="store_true", help="only write the card of what is there")


def run(args: argparse.Namespace) -> int:
    """Exit code 0. ValueError for what makes no sense, ShardError naming what is damaged, OSError for a full disk."""
    folder = args.output
    if args.triples < 1 or args.workers < 1:
        raise ValueError(f"--triples {args.triples}, --workers {args.workers}; expected at least 1 of each")
    SPLITS[args.split].room_seed(args.seed, 0, 0)
    if args.check or args.card:
        names = store.find([folder], args.split)
        for name in names if args.check else ():
            store.check(name)
        if args.check:
            print(f"{len(names)} shards of {args.split} are whole, hash {store.data_hash(names)}")
    else:
        first, last = args.shards or (0, -(-args.triples // TRIPLES_PER_SHARD))
        if not 0 <= first < last:
            raise ValueError(f"--shards {first} {last}: expected FROM < TO")
        wanted = [ShardName(folder, args.split, args.seed, i) for i in range(first, last)]
        done = make.make(wanted, Rooms, crew(args.workers, args.ray))
        if args.shards:  # a part of the work: the card is for the whole
            return 0
        print(f"{len(done)} shards made, {len(wanted) - len(done)} were there")
    if not args.check:
        print(card.write(folder, args.split))
    return 0
