"""`sapave dataset from-bags BAG... --output DIR`: recordings of the robot as a data set in LeRobot's format v3.0.

The same bags and options give the same bytes. What is out of sync or damaged is left out, and said with its reason.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sapave_ros.cli import json_argument
from sapave_ros.dataset.parameters import EpisodeParameters

if TYPE_CHECKING:  # they need libraries which `--help` does without
    from sapave_ros.dataset.writer import DatasetWriter

_OPTIONS = {f"--{f.name.removesuffix('_s').replace('_', '-')}": f for f in fields(EpisodeParameters)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave dataset`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    bags = actions.add_parser("from-bags", help="write a data set from recordings", description=__doc__)
    bags.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="folder of a bag, or an MCAP file")
    bags.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the data set, not there yet")
    bags.add_argument(
        "--repo-id", metavar="NAME", help="its name, OWNER/NAME on a hub (default: local/ and DIR's name)"
    )
    for option, f in _OPTIONS.items():
        kind, unit = (int, "N") if isinstance(f.default, int) else (float, f.metadata["unit"].upper())
        text = f"{f.metadata['doc']} (default: {f.default:g})"
        bags.add_argument(option, type=kind, default=f.default, metavar=unit, dest=f.name, help=text)
    json_argument(bags)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 where no episode is fit to be in a data set, and none is written.

    ValueError, OSError where something is not as it should be; nothing is written then either.
    """
    from tqdm import tqdm

    from sapave_ros.core.kinematics import Kinematics
    from sapave_ros.dataset.convert import Converter, notes, summary
    from sapave_ros.dataset.writer import DatasetWriter

    use = EpisodeParameters(**{f.name: getattr(args, f.name) for f in _OPTIONS.values()})
    repo_id = named(args.repo_id, args.output)
    for bag in args.bags:
        if not bag.exists():
            raise ValueError(f"BAG {bag}: is not there; expected the folder of a bag, or an MCAP file")
        if sum(bag.samefile(other) for other in args.bags if other.exists()) > 1:
            raise ValueError(f"BAG {bag}: is given twice; expected every bag once")
    rows: list[dict[str, Any]] = []
    with DatasetWriter(args.output, use.fps) as writer, tqdm(unit="frame", dynamic_ncols=True) as bar:
        converter = Converter(writer, use, Kinematics.from_urdf(), bar.update)
        for bag in args.bags:
            rows.append(converter.take(bag))
            say(rows[-1], bar.write)
        if writer.episodes:
            writer.publish(notes(repo_id, use, rows))
    result = summary(rows) | {"output": str(args.output), "repo_id": repo_id, "fps": use.fps, "bags": rows}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return conclude(result, writer)


def named(repo_id: str | None, output: Path) -> str:
    """The data set's name. Raises ValueError where a hub would not take it."""
    name = f"local/{output.resolve().name}" if repo_id is None else repo_id
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) or "--" in name or ".." in name:
        raise ValueError(f"--repo-id {name!r}; expected OWNER/NAME of letters, digits, '-', '_' and '.'")
    return name


def say(bag: Mapping[str, Any], write: Any = print) -> None:
    """One bag, in lines."""
    write(f"{bag['bag']}: {sum(row['kept'] for row in bag['episodes'])} of {len(bag['episodes'])} episodes")
    for line in bag["damage"]:
        write(f"  damaged: {line}")
    for row in bag["episodes"]:
        what = (
            f"{row['end_s'] - row['start_s']:.1f} s, {', '.join(row['instructions'])!r}: " if "start_s" in row else ""
        )
        how = f"{row['frames']} frames, {row['outcome']}" if row["kept"] else f"{row['reason']}: {row['detail']}"
        write(f"  {'kept' if row['kept'] else 'left out'}: {what}{how}")


def conclude(result: Mapping[str, Any], writer: DatasetWriter) -> int:
    """What it came to, in lines; the exit code."""
    for reason, count in result["left_out"].items():
        print(f"left out: {count}: {reason}")
    if not result["kept"]:
        print("no episode is fit to be in a data set; nothing was written")
        return 1
    print(
        f"written: {result['output']}: {result['kept']} episodes, {result['frames']} frames at {result['fps']} Hz "
        f"({result['frames'] / result['fps']:.0f} s); LeRobotDataset({result['repo_id']!r}, root={result['output']!r})"
    )
    return 0
