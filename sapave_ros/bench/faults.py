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
from sapave_ros.bench.fault_rows import Arms, Row
from sapave_ros.bench.fault_table import ROWS
from sapave_ros.cli import json_argument

SEED = 3
COLUMNS = (
    f"{'fault':34} {'expected':13} {'reached':8} {'because of':24} {'seen':>6} {'allowed':>7} {'ended':>6} "
    f"{'joints':>6} {'allowed':>8} {'speed':>5} {'step':>5}  {'arms':10} {'weight':>6}  verdict"
)
LEGEND = """\
seen: until the state changed, or the permits had grown too old [ms after the fault], and how long that may take
ended: last commanded motion [ms after the fault]; joints: last motion of any joint of head and arms, those that sag or
are moved by the robot's own controller included; allowed: to notice the fault and then to stop
speed, step: largest speed of a joint and step from tick to tick (2 ms) afterwards, as share of its limit"""


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


def line(row: Row, seen: Seen) -> str:
    """One row of the printed table."""
    wrong, m = problems(row, seen), seen.measured
    if m is None:
        return f"{row.name:34} FAIL: {wrong[0]}"
    expected = "/".join(row.states)
    cause = seen.reached[1].partition(":")[0][:24]
    when = "–" if seen.seen_s is None else f"{seen.seen_s * 1e3:.0f}"
    within_s = row.noticed_s if row.seen_s is None else row.seen_s
    ended = f"{ends_s(row, m) * 1e3:.0f}" if row.ends else "–"
    allowed = f"{row.noticed_s * 1e3:.0f}+{row.stop_s * 1e3:.0f}" if row.ends else "–"
    return (
        f"{row.name:34} {expected:13} {seen.reached[0]:8} {cause:24} {when:>6} {within_s * 1e3:>7.0f} {ended:>6} "
        f"{m.last_motion_s * 1e3:>6.0f} {allowed:>8} {m.top_speed.share:>5.2f} {m.top_step.share:>5.2f}  "
        f"{arms_text(row, seen):10} {m.weight_end:>6.2f}  {'PASS' if not wrong else 'FAIL: ' + '; '.join(wrong)}"
    )


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
    print(COLUMNS, flush=True)
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
