"""What one 250 Hz tick of the arm driver costs, against the same tick written plainly with Unitree's SDK.

A tick: the newest LowState_ is taken and decoded, a LowCmd_ with 14 joints is encoded, checked and sent, over real
DDS on loopback. This is the work of the SDK process; the pipe from the arm node is not in it. Both ways run in turn in
one process, so that they meet the same machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from sapave_ros import g1
from sapave_ros.cli import json_argument
from sapave_ros.drivers import unitree_cdr, unitree_sdk, unitree_stream
from sapave_ros.types import Floats

DEFAULT_DOMAIN = 39


def _ours(targets: Floats) -> tuple[Callable[[], None], unitree_sdk.Publisher]:
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_

    subscriber = unitree_sdk.Subscriber("rt/ours/lowstate", LowState_)
    publisher = unitree_sdk.Publisher("rt/ours/arm_sdk", LowCmd_)
    state = unitree_cdr.LowStateFrame()
    table = unitree_stream.Table(
        np.array([j.motor for j in g1.ARMS.joints]),
        g1.ARMS.column("lower"),
        g1.ARMS.column("upper"),
        g1.MODE_MACHINES_29_DOF,
    )
    stream = unitree_stream.ArmStream(table)
    n = g1.NUM_MOTORS

    def tick() -> None:
        data = subscriber.take()
        assert data is not None, "the state was written just before"
        state.load(data)
        assert state.intact
        stream.body = unitree_stream.Body(
            int(state.header[1]), state.motor_mode[:n], state.motors[:n, 0].astype(np.float64)
        )
        frame = stream.setpoint(targets, 1.0, time.monotonic())
        assert isinstance(frame, bytes), frame
        publisher.write(frame)

    return tick, unitree_sdk.Publisher("rt/ours/lowstate", LowState_)


def _plain(targets: Floats, crc: Callable[[object], int]) -> tuple[Callable[[], None], unitree_sdk.Publisher]:
    """As in the SDK's examples: Read, fill the message object, Crc, Write. It checks no frame that it reads."""
    from unitree_sdk2py.core.channel import ChannelPublisher, ChannelSubscriber
    from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowCmd_
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_

    subscriber = ChannelSubscriber("rt/plain/lowstate", LowState_)
    subscriber.Init()
    publisher = ChannelPublisher("rt/plain/arm_sdk", LowCmd_)
    publisher.Init()
    message = unitree_hg_msg_dds__LowCmd_()
    motors = [int(j.motor or 0) for j in g1.ARMS.joints]

    def tick() -> None:
        state = subscriber.Read()
        message.mode_pr = 0
        message.mode_machine = state.mode_machine
        for j, motor in enumerate(motors):
            command = message.motor_cmd[motor]
            command.mode = 1
            command.q, command.dq, command.tau, command.kp, command.kd = (float(v) for v in targets[:, j])
        message.motor_cmd[g1.ARM_SDK_WEIGHT_INDEX].q = 1.0
        message.crc = crc(message)
        publisher.Write(message)

    return tick, unitree_sdk.Publisher("rt/plain/lowstate", LowState_)


def _sdk_crc() -> tuple[Callable[[object], int], str]:
    """The SDK's own frame check and which of its two forms this is: the wheel on PyPI lacks the shared library."""
    from unitree_sdk2py.utils.crc import CRC

    try:
        return CRC().Crc, "shared library"
    except OSError:
        with mock.patch("platform.system", return_value="any but Linux"):
            return CRC().Crc, "pure Python"


def _percentiles(times_s: Floats) -> dict[str, float]:
    us = times_s * 1e6
    return {"median_us": float(np.median(us)), "p99_us": float(np.percentile(us, 99)), "worst_us": float(us.max())}


def _measure_here(n: int, domain: int) -> dict[str, object]:
    unitree_sdk.open_domain(domain, unitree_sdk.LOOPBACK)
    targets = np.zeros((5, len(g1.ARMS)))
    targets[unitree_cdr.Q], targets[unitree_cdr.KP], targets[unitree_cdr.KD] = 0.2, 80.0, 3.0
    crc, crc_form = _sdk_crc()
    ways = {"ours": _ours(targets), "plain": _plain(targets, crc)}

    state = unitree_cdr.LowStateFrame()
    state.header[:] = 0, 5
    state.motor_mode = np.ones(unitree_cdr.NUM_SLOTS, np.uint8)
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    crc_s: list[float] = []
    from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowCmd_

    blank = unitree_hg_msg_dds__LowCmd_()
    for i in range(n + 10):  # the first ten warm up
        state.tick[0] = i
        wire = state.seal()
        for name, (tick, robot) in ways.items():
            robot.write(wire)
            start_s = time.perf_counter()
            tick()
            times_s[name].append(time.perf_counter() - start_s)
        start_s = time.perf_counter()
        crc(blank)
        crc_s.append(time.perf_counter() - start_s)
    ours, plain, check = (np.array(v[10:]) for v in (times_s["ours"], times_s["plain"], crc_s))
    return {
        "ticks": n,
        "ours": _percentiles(ours),
        "plain": _percentiles(plain),
        "ratio": float(np.median(plain) / np.median(ours)),
        "sdk_crc": crc_form,
        "sdk_crc_us": float(np.median(check) * 1e6),
        "ratio_without_sdk_crc": float(np.median(plain - check) / np.median(ours)),
    }


def _child(n: int, domain: int, answer: multiprocessing.connection.Connection) -> None:
    answer.send(_measure_here(n, domain))
    answer.close()
    os._exit(0)  # cyclonedds may hang while the interpreter shuts down


def measure(n: int = 1000, domain: int = DEFAULT_DOMAIN) -> dict[str, Any]:
    """Median, 99th percentile and worst time of a tick [us], ours and plain, over n ticks each.

    `ratio` is plain / ours; `ratio_without_sdk_crc` takes the time of the SDK's frame check off the plain side, as a
    lower bound for installations that have its shared library. Runs in a process of its own on DDS domain `domain`.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(n, domain, there))
    process.start()
    there.close()
    try:
        result: dict[str, Any] = here.recv()
    except EOFError as error:
        raise RuntimeError("the measuring process failed; its traceback is above") from error
    finally:
        process.join()
    return result


def show(result: dict[str, Any]) -> None:
    """Prints what `measure` found."""
    for way, name in (("ours", "raw frames"), ("plain", "plain SDK")):
        r = result[way]
        print(f"  {name:10} median {r['median_us']:7.0f} us, p99 {r['p99_us']:7.0f}, worst {r['worst_us']:7.0f}")
    print(f"  plain / ours: {result['ratio']:.1f} with the SDK's frame check in {result['sdk_crc']}")
    bound, check_us = result["ratio_without_sdk_crc"], result["sdk_crc_us"]
    print(f"  plain / ours: {bound:.1f} without the time of that check ({check_us:.0f} us)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave bench tick`."""
    parser.add_argument("--ticks", type=int, default=2000)
    parser.add_argument("--dds-domain", type=int, default=DEFAULT_DOMAIN)
    json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Exit code 0: it measures, it does not judge."""
    result = measure(args.ticks, args.dds_domain)
    print(f"one 250 Hz tick, {args.ticks} of each in turn")
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return 0
