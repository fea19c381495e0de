"""`sapave record`: the graph's streams into a bag, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from sapave_ros import graph
from sapave_ros.bag.parameters import WriterParameters
from sapave_ros.graph import Stream
from sapave_ros.names import known
from sapave_ros.transport import RECORD, own_transport

if TYPE_CHECKING:  # it needs the library mcap, which `--help` does without
    from sapave_ros.bag.episodes import Episodes
    from sapave_ros.bag.recorder import Tally
    from sapave_ros.bag.writer import BagWriter

FOLDER = Path("out/bags")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave record`."""
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"the bag (default: {FOLDER}/sapave_DATE-TIME)")
    for f in fields(WriterParameters):
        option, help = f"--{f.name.replace('_', '-')}", f"{f.metadata['doc']} (default: {f.default:g})"
        parser.add_argument(option, type=float, default=f.default, metavar=f.metadata["unit"].upper(), help=help)
    parser.add_argument("--compress", action="store_true", help="colour as JPEG, on its topic + /compressed")
    parser.add_argument(
        "--episodes", action="store_true", help="a bag for every episode, begun and ended by `sapave episode`"
    )
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="of the graph's streams (default: all)")


def chosen(topics: list[str] | None) -> list[Stream]:
    """The streams of those topics, all where none are given. Raises ValueError on one that the table does not have."""
    for topic in topics or ():
        known("--topics", topic, [s.topic for s in graph.STREAMS])
    return [s for s in graph.STREAMS if not topics or s.topic in topics]


def ros2_bag_command(output: str, split_mb: float, split_s: float, distro: str | None = None) -> list[str]:
    """`ros2 bag record` of all streams of the table.

    output: the bag, empty for a name of its choice. distro: ROS' release, that of this shell by default.
    """
    command = ["ros2", "bag", "record", "--storage", "mcap"]
    command += ["--max-bag-size", str(int(split_mb * 1e6)), "--max-bag-duration", str(int(split_s))]
    command += ["--output", output] if output else []
    # Humble knows only topics without an option before them, which its successors have given up.
    plain = (distro or os.environ.get("ROS_DISTRO", "")) in ("humble", "iron")
    return [*command, *([] if plain else ["--topics"]), *(s.topic for s in graph.STREAMS)]


def own_command(output: str, split_mb: float, split_s: float) -> list[str]:
    """`sapave record` with colour as JPEG, which `ros2 bag record` does not do to single streams."""
    command = [sys.executable, "-m", "sapave_ros.cli", "record", "--compress"]
    command += ["--split-mb", f"{split_mb:g}", "--split-s", f"{split_s:g}"]
    return command + (["--output", output] if output else [])


def run(args: argparse.Namespace, writer: type[BagWriter] | None = None) -> int:
    """Exit code 0: ended by Ctrl-C; 1: ended by itself, such as on a full disk; 2: could not begin.

    writer: what writes, `BagWriter` unless given.
    """
    from sapave_ros.bag import document
    from sapave_ros.bag.episodes import Episodes
    from sapave_ros.bag.recorder import Recorder
    from sapave_ros.bag.writer import BagWriter

    parameters = WriterParameters(**{f.name: getattr(args, f.name) for f in fields(WriterParameters)})
    streams = chosen(args.topics)
    # No shared memory with the camera: a recorder that hangs must not hold it up.
    os.environ |= own_transport(RECORD)

    from sapave_ros.nodes import ros
    from sapave_ros.nodes.record import RecordNode, bag_topics, conversions

    folder = args.output or FOLDER / time.strftime("sapave_%Y_%m_%d-%H_%M_%S")
    topics, software = bag_topics(streams, args.compress), document.software()
    convert = conversions(streams, args.compress)

    def make(bag: Path) -> Recorder:
        sink = (writer or BagWriter)(bag, topics, parameters, software)
        return Recorder(sink, [s.topic for s in streams], convert)

    if args.episodes:
        kept = [s.topic for s in streams if s.qos is graph.Qos.LATCHED]
        return _record_episodes(Episodes(folder, make, kept), streams, folder)
    recorder = make(folder)
    try:
        recorder.start()
        recorder.attach(lambda: [document.robot(time.time_ns())])
        print(f"recording {len(streams)} streams to {folder}; Ctrl-C ends it", flush=True)
        code = ros.run("record", lambda: RecordNode(recorder, streams), argv=[])
    finally:
        recorder.stop()
    print(table(recorder.tallies))
    if recorder.trouble:
        print(f"not all is in the bag: {recorder.trouble}")
    print(f"written: {folder}", flush=True)
    if recorder.failure and not code:
        print(f"sapave: error: {recorder.failure}", file=sys.stderr, flush=True)
        code = 1
    return code


def _record_episodes(episodes: Episodes, streams: list[Stream], folder: Path) -> int:
    from sapave_ros.bag import document
    from sapave_ros.nodes import ros
    from sapave_ros.nodes.record import RecordNode

    episodes.attach(lambda: [document.robot(time.time_ns())])
    print(f"{len(streams)} streams, a bag in {folder} for every episode (sapave episode start)", flush=True)
    code = ros.run("record", lambda: RecordNode(episodes, streams), argv=[])
    done, said = episodes.end("")
    if done:
        print(said)
    return code


def table(tallies: Mapping[str, Tally]) -> str:
    """A line for every topic: messages, rate, dropped."""
    width = max(map(len, tallies), default=0)
    lines = [f"{'topic':{width}}  {'messages':>9}  {'rate':>9}  {'dropped':>8}"]
    for topic, t in tallies.items():
        rate = f"{t.rate_hz:.1f} Hz" if t.rate_hz else "–"
        lines.append(f"{topic:{width}}  {t.written:>9}  {rate:>9}  {t.dropped:>8}")
    return "\n".join(lines)
