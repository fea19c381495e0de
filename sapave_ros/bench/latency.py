"""`sapave bench latency`: the real processes under simulation; rates, latencies, arm-loop period, CPU.

Exposure is the stamp of the picture. Everything is measured while the head is looking for one thing after another.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psutil

from sapave_ros import graph
from sapave_ros.bench import tick
from sapave_ros.bringup import Bringup, install_stop_handler
from sapave_ros.cli import json_argument
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError, session
from sapave_ros.plan import Options

INSTRUCTIONS = ("look at the red mug", "find the blue ball", "where is the green bottle?", "look at the yellow box")
CHANGE_EVERY_S = 4.0
WARM_UP_S = 3.0

ARM_WITHIN_S = 30.0
"""So long arming is tried again while what held the robot up is not over [s]."""

GOAL_ROAD_MS = 15.0
GOAL_ARM_PERIOD_P99_MS = 4.0 + 2.0
GOAL_TICK_RATIO = 3.0


class Meter:
    """Counts what flows, and keeps the latest numbers that the nodes report."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.counts: dict[str, int] = defaultdict(int)
        self.exposure_to_increments_ms: list[float] = []
        self.reported: dict[str, dict[str, str]] = {}
        for stream in graph.STREAMS:
            # Pictures are left out: a second reader of them would load the machine that is measured.
            if stream.rate_hz and stream.topic not in (graph.COLOR, graph.DEPTH, graph.GROUNDING):
                ros.subscribe(operator, stream, self._counter(stream.topic))

    def _counter(self, topic: str) -> Any:
        def count(msg: Any) -> None:
            # Two controllers publish joint states; each is a stream of its own.
            key = f"{topic} ({'head' if len(msg.name) == 2 else 'arms'})" if topic == graph.JOINT_STATES else topic
            self.counts[key] += 1
            if topic == graph.HEAD_INCREMENTS:
                delay_s = ros.now_s(self._operator) - ros.stamp_s(msg.header.stamp)
                self.exposure_to_increments_ms.append(delay_s * 1e3)
            elif topic == graph.DIAGNOSTICS:
                for status in msg.status:
                    self.reported[status.name] = {v.key: v.value for v in status.values}

        return count

    def start(self) -> None:
        """Forget what came before."""
        self.counts.clear()
        self.exposure_to_increments_ms.clear()


def cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    """CPU time of each process by name, its children apart as `name/child` [s]."""
    seconds = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        seconds[name] = sum(process.cpu_times()[:2])
        for child in process.children(recursive=True):
            seconds[f"{name}/sdk"] = sum(child.cpu_times()[:2])
    return seconds


def look_around(operator: Operator, bringup: Bringup, stop: Event, duration_s: float) -> list[str]:
    """Tells the policy to look at one thing after another for so long [s]; returns why the watchdog held it up.

    What holds it up passes, or the measurement is none: arming is tried again for a while. Raises BringupError where a
    process has ended, KeyboardInterrupt where somebody wants to stop, OperatorError where it stays held up.
    """
    holds, begin_s = [], time.monotonic()
    for i in range(int(np.ceil(duration_s / CHANGE_EVERY_S))):
        operator.say(INSTRUCTIONS[i % len(INSTRUCTIONS)])
        left_s = duration_s - (time.monotonic() - begin_s)
        operator.wait(stop.is_set, min(CHANGE_EVERY_S, max(left_s, 0.0)))
        bringup.check()
        if operator.state != "ACTIVE" and not stop.is_set():
            holds.append(f"{operator.state}: {operator.reason}")
            _arm_again(operator, bringup, stop)
        if stop.is_set():
            raise KeyboardInterrupt
    return holds


def _arm_again(operator: Operator, bringup: Bringup, stop: Event) -> None:
    """While a fault is not over, arming is refused; some go on by themselves."""
    end_s = time.monotonic() + ARM_WITHIN_S
    while operator.state != "ACTIVE" and not stop.is_set():
        try:
            operator.arm()
            return
        except OperatorError:
            bringup.check()
            if time.monotonic() > end_s:
                raise
        operator.wait(stop.is_set, 1.0)


def measure(duration_s: float, seed: int, options: Options) -> dict[str, Any]:
    """Runs the graph for duration_s [s] and returns all figures. Raises BringupError or OperatorError."""
    stop = install_stop_handler()
    bringup = Bringup(options)
    bringup.start(stop)
    try:
        with session() as operator:
            meter = Meter(operator)
            operator.arm()
            operator.say(INSTRUCTIONS[0])
            operator.wait(stop.is_set, WARM_UP_S)
            meter.start()
            cpu, begin_s = cpu_seconds(bringup.pids), time.monotonic()
            holds = look_around(operator, bringup, stop, duration_s)
            elapsed_s = time.monotonic() - begin_s
            shares = {
                name: (seconds - cpu.get(name, 0.0)) / elapsed_s for name, seconds in cpu_seconds(bringup.pids).items()
            }
            rates = {topic: count / elapsed_s for topic, count in sorted(meter.counts.items())}
            return _report(meter, rates, shares, elapsed_s) | {"holds": holds}
    finally:
        bringup.stop()


def _number(values: dict[str, str], key: str) -> float | None:
    return float(values[key]) if key in values else None


def _report(meter: Meter, rates: dict[str, float], shares: dict[str, float], elapsed_s: float) -> dict[str, Any]:
    inference = meter.reported.get("sapave/inference", {})
    head, arm = meter.reported.get("sapave/head", {}), meter.reported.get("sapave/arm", {})
    delays = np.array(meter.exposure_to_increments_ms)
    model_ms = _number(inference, "model_ms")
    total_ms = float(np.median(delays)) if len(delays) else None
    return {
        "duration_s": elapsed_s,
        "rates_hz": rates,
        "exposure_to_increments_ms": {
            "median": total_ms,
            "p99": float(np.percentile(delays, 99)) if len(delays) else None,
        },
        "model_ms": {"median": model_ms},
        "road_without_model_ms": {"median": None if total_ms is None or model_ms is None else total_ms - model_ms},
        "exposure_to_servo_ms": {
            "median": _number(head, "exposure_to_write_median_ms"),
            "p99": _number(head, "exposure_to_write_p99_ms"),
        },
        "arm_period_ms": {
            "median": _number(arm, "frame_period_median_ms"),
            "p99": _number(arm, "frame_period_p99_ms"),
            "worst": _number(arm, "frame_period_worst_ms"),
        },
        "cpu_share": shares,
        "reported": meter.reported,
    }


def _show(report: dict[str, Any]) -> None:
    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f} ms"

    declared = {s.topic: s.rate_hz for s in graph.STREAMS}
    print(f"rates over {report['duration_s']:.0f} s (declared)")
    for topic, rate in report["rates_hz"].items():
        print(f"  {topic:36} {rate:7.1f} Hz  ({declared[topic.split(' ')[0]]:g})")
    print("latency                        median       p99")
    for key, name in (
        ("exposure_to_increments_ms", "exposure → increments"),
        ("model_ms", "  of it the model"),
        ("road_without_model_ms", "  of it the road"),
        ("exposure_to_servo_ms", "exposure → servo command"),
    ):
        print(f"  {name:26} {ms(report[key]['median']):>9} {ms(report[key].get('p99')):>9}")
    print(f"  goal: road ≤ {GOAL_ROAD_MS:g} ms")
    period = report["arm_period_ms"]
    print(f"arm loop period: median {ms(period['median'])}, p99 {ms(period['p99'])}, worst {ms(period['worst'])}")
    print(f"  goal: p99 ≤ {GOAL_ARM_PERIOD_P99_MS:g} ms")
    for hold in report["holds"]:
        print(f"held up by the watchdog (another load on this machine?): {hold}")
    print("CPU, share of one core")
    for name, share in sorted(report["cpu_share"].items(), key=lambda item: -item[1]):
        print(f"  {name:12} {share:6.1%}")
    print(f"  {'sum':12} {sum(report['cpu_share'].values()):6.1%}")
    print("one 250 Hz tick: state decoded, command encoded, checked and sent")
    tick.show(report["tick"])
    print(f"  goal: at least {GOAL_TICK_RATIO:g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench latency`."""
    parser.add_argument("--duration", type=float, default=60.0, help="of the measurement [s]")
    parser.add_argument("--seed", type=int, default=1, help="scene of the simulated robot")
    parser.add_argument("--ros-domain", type=int, default=61)
    parser.add_argument("--dds-domain", type=int, default=62)
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Exit code 0: it measures, it does not judge."""
    import os

    options = Options(
        sim=True,
        ros_domain=args.ros_domain,
        dds_domain=args.dds_domain,
        sim_arguments=("--seed", str(args.seed)),
    )
    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    report = measure(args.duration, args.seed, options)
    report["tick"] = tick.measure(2000)
    _show(report)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1))
    return 0
