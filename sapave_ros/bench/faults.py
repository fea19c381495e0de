"""`sapave bench faults`: breaks the running system, one fault after the other, and measures what the motors do.

The whole graph as real processes under simulation. For each row of `fault_table` head and arms are brought into motion,
one thing is broken, and the simulated motors tell at 500 Hz when the motion ended, how fast it ever was and what became
of the arms; the watchdog's permits tell the state. `fault_judge` compares that with the row.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sapave_ros.bench.fault_judge import Seen, ends_s, problems
from sapave_ros.bench.fault_report import markdown
from sapave_ros.bench.fault_rows import Arms, Row
from sapave_ros.bench.fault_table import ROWS
from sapave_ros.cli import json_argument

SEED = 3
COLUMNS = {
    "fault": -32, "expected": -11, "reached": -8, "because of": -18, "seen": 5, "within": 6, "ended": 6, "stop": 5,
    "within ": 8, "joints": 6, "speed": 5, "step": 5, "arms": -10, "weight": 6, "late": 4,
}  # fmt: skip
"""Titles and widths of the printed table, negative = to the left."""

LEGEND = """\
Times in ms. seen: until the state changed, or the permits had grown too old; ended: until the motion asked about ended
(of arms that are given away, the commanded one); stop: from the one to the other; within: what is allowed, for the end
to notice the fault and then to stop. joints: last motion of any joint, those included that sag or are moved by the
robot's own controller. speed, step: largest of a joint afterwards, as share of its limit, step from tick to tick, 2 ms.
late: by how much the simulator itself was late at worst."""


def choose(names: list[str] | None) -> tuple[Row, ...]:
    """The rows whose name contains one of these, all without any. ValueError on one that fits none."""
    if not names:
        return ROWS
    for name in names:
        if not any(name.lower() in row.name.lower() for row in ROWS):
            raise ValueError(f"--rows {name!r}: no row has that in its name; see --list")
    return tuple(row for row in ROWS if any(name.lower() in row.name.lower() for name in names))


def arms_text(row: Row, seen: Seen) -> str:
    """What became of the arms, in a word or two."""
    m = seen.measured
    if m is None:
        return "–"
    if m.released_s is not None:
        return f"0 at {m.released_s:.1f} s"
    return "held" if m.weight_least == 1.0 and row.arms is not Arms.THEIRS else "theirs"


def _laid_out(cells: list[str]) -> str:
    return " ".join(f"{c:<{-w}}" if w < 0 else f"{c:>{w}}" for c, w in zip(cells, COLUMNS.values(), strict=True))


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.0f}"


def line(row: Row, seen: Seen) -> str:
    """One row of the printed table."""
    wrong, m = problems(row, seen), seen.measured
    if m is None:
        return f"{row.name:32} FAIL: {wrong[0]}"
    ended_s = ends_s(row, m) if row.ends else None
    cells = [
        row.name,
        "/".join(row.states),
        seen.reached[0],
        seen.reached[1].partition(":")[0][:18],
        _ms(seen.seen_s),
        _ms(row.noticed_s if row.seen_s is None else row.seen_s),
        _ms(ended_s),
        _ms(None if ended_s is None or seen.seen_s is None else ended_s - seen.seen_s),
        f"{_ms(row.noticed_s)}+{_ms(row.stop_s)}" if row.ends else "–",
        _ms(m.last_motion_s),
        f"{m.top_speed.share:.2f}",
        f"{m.top_step.share:.2f}",
        arms_text(row, seen),
        f"{m.weight_end:.2f}",
        _ms(m.late_s),
    ]
    return f"{_laid_out(cells)}  {'PASS' if not wrong else 'FAIL: ' + '; '.join(wrong)}"


def as_json(row: Row, seen: Seen) -> dict[str, Any]:
    """Everything that was seen of one row; times in seconds after the fault."""
    m = seen.measured
    return {
        "name": row.name,
        "expected": {
            "states": row.states,
            "faults": [f.name for f in row.faults],
            "seen_within_s": row.noticed_s if row.seen_s is None else row.seen_s,
            "noticed_within_s": row.noticed_s,
            "stopped_within_s": row.noticed_s + row.stop_s if row.ends else None,
            "arms": row.arms.value,
            "released_within_s": row.released_s or None,
            "goes_on_by_itself": row.goes_on,
        },
        "reached": {"state": seen.reached[0], "reason": seen.reached[1]},
        "seen_after_s": seen.seen_s,
        "ended_after_s": None if m is None or not row.ends else ends_s(row, m),
        "stopped_after_seen_s": None if m is None or not row.ends else ends_s(row, m) - (seen.seen_s or 0.0),
        "state_once_gone": seen.after,
        "moved_once_gone": dict(seen.moved_after),
        "reported": sorted(seen.told),
        "motors": None if m is None else asdict(m),
        "recovery": seen.recovery,
        "problems": problems(row, seen),
        "passed": not problems(row, seen),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench faults`."""
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only rows with this in their name")
    parser.add_argument("--list", action="store_true", help="name the rows and do nothing")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="try every row so often")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="one picture a row: speeds and authority over time")
    parser.add_argument("--table", type=Path, metavar="F", help="also write a Markdown table to this file")
    parser.add_argument("--ros-domain", type=int, default=63)
    parser.add_argument("--dds-domain", type=int, default=64)
    parser.add_argument("--run-dir", type=Path, default=Path(), help="where sockets, rings and logs are kept")
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Tries, prints and judges. Exit code 1 if a row fails."""
    if args.repeat < 1:
        raise ValueError(f"--repeat {args.repeat}; expected at least 1")
    rows = choose(args.rows)
    if args.list:
        for row in rows:
            print(f"{row.name:34} {'/'.join(row.states):13} {', '.join(f.name for f in row.faults)}")
        return 0
    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    begin_s = time.monotonic()
    report = try_all(rows * args.repeat, args)
    failed = [r["name"] for r in report if not r["passed"]]
    print(LEGEND)
    print(
        f"{len(report) - len(failed)} of {len(report)} rows passed in {(time.monotonic() - begin_s) / 60:.1f} minutes"
    )
    if args.json:
        args.json.write_text(json.dumps({"rows": report, "failed": failed}, indent=1))
    if args.table:
        args.table.write_text(markdown(report))
    return 1 if failed else 0


def try_all(rows: tuple[Row, ...], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Tries each row in turn and prints it; what was seen, as in `as_json`."""
    from sapave_ros.bench.fault_rig import Rig
    from sapave_ros.bench.fault_run import Runner
    from sapave_ros.bringup import install_stop_handler
    from sapave_ros.nodes.operator import session
    from sapave_ros.plan import Options

    options = Options(
        sim=True,
        ros_domain=args.ros_domain,
        dds_domain=args.dds_domain,
        run_dir=args.run_dir,
        sim_arguments=("--seed", str(SEED), "--faults"),
    )
    options.run_dir.mkdir(parents=True, exist_ok=True)
    stop = install_stop_handler()
    report = []
    print(f"{_laid_out(list(COLUMNS))}  verdict", flush=True)
    with session() as operator:
        runner = Runner(Rig(options, operator, stop), lambda text: print(f"  {text}", flush=True))
        try:
            for row in rows:
                seen, records = runner.run(row)
                print(line(row, seen), flush=True)
                report.append(as_json(row, seen))
                if args.plots and records is not None:
                    from sapave_ros.bench.fault_plots import save

                    save(args.plots, row, seen, *records)
        finally:
            runner.close()
    return report
