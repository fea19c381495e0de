"""`sapave bench record`: what a recorder costs the running graph, and whether all that is published is in its bag.

The real processes under simulation, looking for one thing after another: for so many minutes without a recorder, then
as long with one. What is published is what another reader hears meanwhile, message by message; of pictures, which a
second reader would load the machine with, the stamps: intrinsics come with every picture, a chunk with every grounding.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from sapave_ros import graph
from sapave_ros.bench.latency import cpu_seconds, look_around
from sapave_ros.bringup import Bringup, install_stop_handler
from sapave_ros.cli import json_argument
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import Operator, OperatorError, session
from sapave_ros.nodes.record import MESSAGES_WAITING
from sapave_ros.plan import Options

SETTLE_S = 12.0
"""Until the recorder has found everybody; and the arm node speaks of its last ten seconds [s]."""

READY_WITHIN_S, END_WITHIN_S = 60.0, 60.0

EDGE_NS = 500_000_000
"""What one hears before the end of the measurement another may hear after it, by as much at most [ns]."""

TOLD_BY = {graph.COLOR: graph.CAMERA_INFO, graph.DEPTH: graph.CAMERA_INFO, graph.GROUNDING: graph.HEAD_INCREMENTS}
"""Pictures, and what comes with each of them, under the same stamp."""

Ids = dict[str, list[tuple[int, object]]]
"""By topic, when a message came [ns of the epoch] and what tells it from others."""


def identity(topic: str, data: bytes) -> object:
    """What tells a serialized message from others of its topic: of pictures the stamp, else all of it.

    On the way between processes DDS fills up with zeros to a multiple of four bytes, within one it does not.
    """
    return stamp_of(data) if topic in TOLD_BY else hash(data + bytes(-len(data) % 4))


def stamp_of(data: bytes) -> bytes:
    """The stamp of a serialized message that begins with a header, as its bytes."""
    return bytes(data[4:12])


def compared(heard: Ids, recorded: Ids, begin_ns: int, end_ns: int) -> dict[str, dict[str, int]]:
    """By topic: messages heard between two times [ns], how many came into the bag meanwhile, how many of the first are
    not among the second. A message that was recorded a moment before or after counts as there.
    """
    found = {}
    for topic, messages in heard.items():
        ours = _within(messages, begin_ns, end_ns)
        theirs = _within(recorded.get(topic, ()), begin_ns - EDGE_NS, end_ns + EDGE_NS)
        between = _within(recorded.get(topic, ()), begin_ns, end_ns)
        found[topic] = {
            "published": ours.total(),
            "in_bag": between.total(),
            "missing": (ours - theirs).total(),
        }
    return found


def _within(messages: Iterable[tuple[int, object]], begin_ns: int, end_ns: int) -> Counter[object]:
    return Counter(what for when_ns, what in messages if begin_ns <= when_ns < end_ns)


class Listener:
    """Hears every stream but pictures, raw, and what the arm node says of its loop. heard: see `Ids`."""

    def __init__(self, operator: Operator) -> None:
        self.heard: Ids = {stream.topic: [] for stream in graph.STREAMS}
        self.periods_ms: dict[str, list[float]] = {}
        for stream in graph.STREAMS:
            if stream.topic not in TOLD_BY:
                profile = copy(ros.qos(stream))
                profile.depth = MESSAGES_WAITING
                kind, hear = ros.message_type(stream), self._hearer(stream.topic)
                operator.create_subscription(kind, stream.topic, hear, profile, raw=True)
        ros.subscribe(operator, graph.stream(graph.DIAGNOSTICS), self._on_diagnostics)

    def forget(self) -> None:
        """What came before."""
        self.periods_ms.clear()
        for messages in self.heard.values():
            messages.clear()

    def arm_period_ms(self) -> dict[str, float | None]:
        """Median, p99 and worst of the arm loop's period [ms]: the medians of what it said each second, the worst of
        the worst. None where it said nothing."""
        found = {name: self.periods_ms.get(f"frame_period_{name}_ms", []) for name in ("median", "p99", "worst")}
        join: dict[str, Callable[[list[float]], Any]] = {"median": np.median, "p99": np.median, "worst": max}
        return {name: float(join[name](values)) if values else None for name, values in found.items()}

    def _hearer(self, topic: str) -> Callable[[bytes], None]:
        followers = [picture for picture, teller in TOLD_BY.items() if teller == topic]

        def hear(data: bytes) -> None:
            now_ns = time.time_ns()
            self.heard[topic].append((now_ns, identity(topic, data)))
            for picture in followers:
                self.heard[picture].append((now_ns, stamp_of(data)))

        return hear

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            if status.name == "sapave/arm":
                for value in status.values:
                    if value.key.startswith("frame_period_"):
                        self.periods_ms.setdefault(value.key, []).append(float(value.value))


class Recorder:
    """`sapave record` as a person starts it. Raises OperatorError where it does not."""

    def __init__(self, bag: Path, operator: Operator) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "FASTRTPS_DEFAULT_PROFILES_FILE"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sapave_ros.cli", "record", "--output", str(bag)],
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        ready = f"{graph.RECORDER}: {graph.READY}"
        if not operator.wait(lambda: ready in self.said() or self.process.poll() is not None, READY_WITHIN_S):
            self.process.kill()
        if self.process.poll() is not None or ready not in self.said():
            raise OperatorError(f"the recorder did not start: {self.said().strip() or 'it said nothing'}")

    def said(self) -> str:
        """All that it has printed."""
        self._log.seek(0)
        return self._log.read()

    def end(self) -> str:
        """Ctrl-C; returns what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self._log:
            return self.said()


def measure(minutes: float, folder: Path, options: Options) -> dict[str, Any]:
    """Runs the graph and returns all figures. folder: where the bag may be, which goes again.

    Raises BringupError, OperatorError.
    """
    stop = install_stop_handler()
    with Bringup(options) as bringup, session() as operator:
        bringup.start(stop)
        listener = Listener(operator)
        operator.arm()
        operator.wait(stop.is_set, SETTLE_S)
        report: dict[str, Any] = {"minutes": minutes, "without": _phase(operator, bringup, stop, listener, minutes)}
        bag = folder / time.strftime("bench_%Y_%m_%d-%H_%M_%S")
        try:
            recorder = Recorder(bag, operator)
            try:
                operator.wait(stop.is_set, SETTLE_S)
                pids = {graph.RECORDER: recorder.process.pid}
                report["with"] = _phase(operator, bringup, stop, listener, minutes, pids)
                operator.wait(stop.is_set, 2 * EDGE_NS * 1e-9)
            finally:
                said = recorder.end()
            report |= _of_bag(bag, listener.heard, report["with"]) | {"recorder_said": said.splitlines()}
        finally:
            shutil.rmtree(bag, ignore_errors=True)
    return report


def _phase(
    operator: Operator,
    bringup: Bringup,
    stop: Event,
    listener: Listener,
    minutes: float,
    others: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    pids = bringup.pids | dict(others or {})
    listener.forget()
    begin_ns, cpu, begin_s = time.time_ns(), cpu_seconds(pids), time.monotonic()
    holds = look_around(operator, bringup, stop, minutes * 60.0)
    elapsed_s = time.monotonic() - begin_s
    shares = {name: (s - cpu.get(name, 0.0)) / elapsed_s for name, s in cpu_seconds(pids).items()}
    return {
        "arm_period_ms": listener.arm_period_ms(),
        "cpu_share": shares,
        "holds": holds,
        "begin_ns": begin_ns,
        "end_ns": time.time_ns(),
    }


def _of_bag(folder: Path, heard: Ids, phase: Mapping[str, Any]) -> dict[str, Any]:
    from sapave_ros.bag.reader import Bag

    bag = Bag(folder)
    recorded: Ids = {}
    for message in bag.messages():
        recorded.setdefault(message.topic, []).append((message.stamp_ns, identity(message.topic, message.data)))
    times = [when_ns for messages in recorded.values() for when_ns, _ in messages]
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "damage": bag.damage,
        "bag_mb_per_minute": size / 1e6 / ((max(times) - min(times)) * 1e-9 / 60.0),
        "streams": compared(heard, recorded, phase["begin_ns"], phase["end_ns"]),
    }


def show(report: Mapping[str, Any]) -> None:
    """All of it, in lines."""

    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f} ms"

    print(f"{report['minutes']:g} minutes each   without    with a recorder")
    without, recorded = report["without"], report["with"]
    for name in ("median", "p99", "worst"):
        values = [ms(phase["arm_period_ms"][name]) for phase in (without, recorded)]
        print(f"arm loop, {name:10} {values[0]:>9}  {values[1]:>9}")
    sums = [
        sum(share for name, share in phase["cpu_share"].items() if name != graph.RECORDER)
        for phase in (without, recorded)
    ]
    print(f"CPU of the graph     {sums[0]:>9.1%}  {sums[1]:>9.1%}")
    print(f"CPU of the recorder  {'':>9}  {recorded['cpu_share'][graph.RECORDER]:>9.1%}")
    for name, phase in (("without", without), ("with", recorded)):
        for hold in phase["holds"]:
            print(f"held up by the watchdog {name} (another load on this machine?): {hold}")
    width = max(map(len, report["streams"]))
    print(f"{'topic':{width}}  {'published':>9}  {'in the bag':>10}  {'missing':>7}")
    for topic, of in report["streams"].items():
        print(f"{topic:{width}}  {of['published']:>9}  {of['in_bag']:>10}  {of['missing']:>7}")
    missing = sum(of["missing"] for of in report["streams"].values())
    print(f"bag: {report['bag_mb_per_minute']:.0f} MB a minute, {missing} messages missing")
    for line in report["damage"]:
        print(f"damaged: {line}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench record`."""
    parser.add_argument("--minutes", type=float, default=1.0, help="without a recorder, and then with one")
    parser.add_argument("--folder", type=Path, default=Path("out/bags"), metavar="DIR", help="where the bag may be")
    parser.add_argument("--seed", type=int, default=1, help="scene of the simulated robot")
    parser.add_argument("--ros-domain", type=int, default=65)
    parser.add_argument("--dds-domain", type=int, default=66)
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Exit code 0: it measures, it does not judge."""
    if not 0.0 < args.minutes <= 600.0:
        raise ValueError(f"--minutes {args.minutes:g}; expected more than 0, at most 600")
    options = Options(
        sim=True,
        ros_domain=args.ros_domain,
        dds_domain=args.dds_domain,
        sim_arguments=("--seed", str(args.seed)),
    )
    os.environ |= {"ROS_DOMAIN_ID": str(args.ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    report = measure(args.minutes, args.folder, options)
    show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0
