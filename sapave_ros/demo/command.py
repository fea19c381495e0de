"""`sapave demo`: start the whole graph on the simulated robot, tell it something, show what happens."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from sapave_ros import graph
from sapave_ros.bench.criteria import LookCriterion
from sapave_ros.bringup import Bringup, BringupError, install_stop_handler, remove_stop_handler
from sapave_ros.cli import json_argument
from sapave_ros.demo.doing import TaskMonitor, setting, sim_arguments
from sapave_ros.demo.film import Recording, write_plot, write_video
from sapave_ros.demo.monitor import Monitor
from sapave_ros.demo.recorded import recorded
from sapave_ros.demo.told import Told, listing, rooms_help, told, where
from sapave_ros.manipulation.settings import CONDITIONS
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.nodes.operator import Operator, OperatorError, session
from sapave_ros.plan import Options
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.live import DEFAULT_ROOM
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.rooms import Room

LINGER_S = 1.0
ARM_WITHIN_S = 10.0
ARM_ATTEMPTS = 3
STEADY_S = 0.5
LINE_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave demo`."""
    parser.add_argument("--instruction", help="what to tell the robot (default: to look at a thing in the room)")
    parser.add_argument("--room", default=DEFAULT_ROOM, metavar="NAME", help=f"{rooms_help()} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="which room of that kind (default: %(default)s)")
    parser.add_argument("--task", metavar="NAME", help=f"something to do instead, at a table: {', '.join(TASKS)}")
    parser.add_argument(
        "--condition",
        default=CONDITIONS[-1],
        metavar="NAME",
        help=f"of the task: {', '.join(CONDITIONS)} (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="where video, plot and logs go")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="also record all streams into a bag, as `sapave record`"
    )
    parser.add_argument("--no-video", action="store_true", help="measure only; no third-person view, no video")
    parser.add_argument("--ros-domain", type=int, default=41)
    parser.add_argument("--dds-domain", type=int, default=42)
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0: found, or done, in time; 1: not; 2: could not run; 130: stopped by Ctrl-C."""
    doing = setting(args.task, args.condition, args.seed) if args.task else None
    if doing is not None:
        case = Told(args.instruction or doing.instruction, Room.bare(doing.scene), Aim((doing.target,)))
        arguments = sim_arguments(doing, args.out)
    else:
        case = told(args.room, args.seed, args.instruction)
        arguments = ["--room", args.room, "--seed", str(args.seed)]
        arguments += case.aim.arguments() or ["--target", ""]
    arguments += [] if args.no_video else ["--observer"]
    run_dir = args.out.resolve() / "run"
    options = Options(
        sim=True,
        ros_domain=args.ros_domain,
        dds_domain=args.dds_domain,
        run_dir=run_dir,
        sim_arguments=arguments,
    )
    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if args.record and args.record.exists():
        raise FileExistsError(f"--record {args.record}: is there already; expected a folder that is not")
    criterion = LookCriterion()
    recording = Recording(case.instruction, criterion.max_angle_rad, float(HEAD_CAMERA.intrinsics[0, 0]))

    _introduce(case)
    print("starting the simulated G1 and the graph ...", flush=True)
    stop = install_stop_handler()
    started_s = time.monotonic()
    monitor = None
    try:
        with Bringup(options, echo=lambda name, line: print(f"{name:>10} | {line}", flush=True)) as bringup:
            bringup.start(stop)
            print(f"up after {time.monotonic() - started_s:.1f} s: {', '.join(bringup.pids)}", flush=True)
            with recorded(args.record) if args.record else nullcontext(), session() as operator:
                if doing is None:
                    monitor = Monitor(operator, run_dir, recording, observer=not args.no_video)
                else:
                    monitor = TaskMonitor(operator, run_dir, recording, not args.no_video, doing, args.task)
                if monitor.visible_at_best < criterion.min_visible_fraction:
                    print(f"from where it stands at most {monitor.visible_at_best:.0%} of that can be seen: too little")
                _play(case.instruction, operator, monitor, bringup, stop)
    except (BringupError, OperatorError) as error:
        if not stop.is_set():
            print(f"sapave: error: {error}", file=sys.stderr)
            return 2
    if stop.is_set() or monitor is None:
        print("stopped by hand")
        return 130
    remove_stop_handler()
    return _finish(args, monitor, case)


def _introduce(case: Told) -> None:
    """The room, and what the instruction means in it."""
    print("\n".join(listing(case.room)))
    if case.why_not:
        print(f"{case.why_not}, so nobody judges what happens")
    elif case.aim.pose is not None:
        yaw, pitch = np.rad2deg(case.aim.pose)
        print(f"{case.instruction!r} means the head at yaw {yaw:+.0f}°, pitch {pitch:+.0f}°")
    else:
        print(f"{case.instruction!r} means {' or '.join(where(case.room, name) for name in case.aim.names)}")


def _play(instruction: str, operator: Operator, monitor: Monitor, bringup: Bringup, stop: threading.Event) -> None:
    """Gives permission and the instruction, and prints what happens until it is decided."""
    operator.say("")  # until the policy listens, the clock does not run
    if not _arm(operator, stop):
        return
    print(f'telling it: "{instruction}"', flush=True)
    monitor.begin()
    operator.say(instruction)
    next_line_s = 0.0
    decided_s: float | None = None
    state = "ACTIVE"
    held_s = None
    while not stop.is_set():
        operator.wait(stop.is_set, 0.02)
        bringup.check()
        decided = monitor.poll()
        elapsed_s = monitor.elapsed_s
        if operator.state != state:
            state = operator.state
            print(f"{'':6}   the watchdog says {state}: {operator.reason}", flush=True)
            held_s = elapsed_s if state != "ACTIVE" else None
        if elapsed_s >= next_line_s and monitor.recording.moments:
            next_line_s = elapsed_s - elapsed_s % LINE_EVERY_S + LINE_EVERY_S
            print(_line(monitor), flush=True)
        if decided and decided_s is None:
            decided_s = elapsed_s
        # A moment longer than the decision, so that the film does not end on it.
        ended_s = decided_s if decided_s is not None else held_s
        if elapsed_s > monitor.longest_s or (ended_s is not None and elapsed_s > ended_s + LINGER_S):
            break
    if held_s is not None and decided_s is None:
        monitor.recording.held = f"{state}: {operator.reason}"
    operator.say("")
    operator.call(graph.DISARM_SERVICE)


def _arm(operator: Operator, stop: threading.Event) -> bool:
    """Gives permission, again where a start on a busy machine lost it; whether it lasted for a moment."""
    operator.wait(lambda: stop.is_set() or operator.state not in ("unknown", "STARTING"), ARM_WITHIN_S)
    for attempt in range(1, ARM_ATTEMPTS + 1):
        if stop.is_set():
            return False
        try:
            operator.arm()
        except OperatorError as error:
            if attempt == ARM_ATTEMPTS:
                raise
            print(error, flush=True)
            operator.wait(stop.is_set, STEADY_S)
            continue
        operator.wait(lambda: stop.is_set() or operator.state == "ACTIVE", 2.0)
        if not operator.wait(lambda: stop.is_set() or operator.state != "ACTIVE", STEADY_S):
            return True
        print(f"permission lost: {operator.state}: {operator.reason}", flush=True)
    raise OperatorError(f"no lasting permission in {ARM_ATTEMPTS} attempts: {operator.state}: {operator.reason}")


def _line(monitor: Monitor) -> str:
    now = monitor.recording.moments[-1]
    yaw, pitch = np.rad2deg(now.head)
    if now.angle_rad is None:
        target = ""
    elif not now.visible:
        target = f"target {np.rad2deg(now.angle_rad):3.0f}° off, not to be seen"
    else:
        target = f"target {np.rad2deg(now.angle_rad):3.0f}° off, {now.visible:4.0%} visible"
    elapsed_s = max(monitor.elapsed_s, 1e-3)
    delay = monitor.inference.get("exposure_to_increments_ms")
    road = f"{monitor.chunks / elapsed_s:3.1f} chunks/s" + (f", {float(delay):.0f} ms from exposure" if delay else "")
    sees = f"policy sees it: {now.seen:4.0%}"
    return f"{now.time_s:5.1f} s  {now.state:8} head yaw {yaw:+4.0f}° pitch {pitch:+4.0f}°  {target:32} {sees}  {road}"


def _finish(args: argparse.Namespace, monitor: Monitor, case: Told) -> int:
    """Verdict, files, figures."""
    score, recording, target = monitor.score, monitor.recording, case.aim.name
    if not recording.moments:
        raise RuntimeError(f"the simulated robot showed nothing; see {args.out / 'run' / 'sim.log'}")
    success, limit_s = monitor.success, monitor.limit_s
    if target is None:
        recording.verdict = "not judged"
    elif isinstance(monitor, TaskMonitor):
        recording.verdict = monitor.verdict
    elif score.success:
        recording.verdict = f"found and held after {score.reached_s:.1f} s"
    elif recording.held:
        recording.verdict = "not found: the watchdog held the robot still"
        print(f"{recording.held} (on a machine that is busy with other things pictures and commands come late)")
    else:
        recording.verdict = f"not found within {limit_s:g} s"
    print(f"verdict: {recording.verdict}")
    args.out.mkdir(parents=True, exist_ok=True)
    files = [args.out / "demo.png"]
    write_plot(recording, files[0])
    if not args.no_video:
        files.append(args.out / "demo.mp4")
        write_video(recording, files[1])
    print(f"written: {', '.join(map(str, files))}; logs of every process in {args.out / 'run'}")
    if args.json:
        first, last = recording.moments[0], recording.moments[-1]
        figures: dict[str, Any] = {
            "instruction": case.instruction,
            "room": args.room,
            "seed": args.seed,
            "target": target,
            "success": success if target else None,
            "reached_s": score.reached_s,
            "start_angle_deg": None if first.angle_rad is None else float(np.rad2deg(first.angle_rad)),
            "final_angle_deg": None if last.angle_rad is None else float(np.rad2deg(last.angle_rad)),
            "chunks": monitor.chunks,
            "inference": monitor.inference,
        }
        if isinstance(monitor, TaskMonitor):
            figures |= {"task": args.task, "condition": args.condition, "at_s": monitor.progress.at_s}
        args.json.write_text(json.dumps(figures, indent=1))
    return 0 if target is None or success else 1
