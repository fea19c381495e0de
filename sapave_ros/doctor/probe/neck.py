"""Facts about the servo bus. Pings and reads; writes to no servo."""

from __future__ import annotations

import glob
import grp
import os
from pathlib import Path
from typing import Any

from dynamixel_sdk import PacketHandler

from sapave_ros.doctor.judge.neck import NeckFacts
from sapave_ros.doctor.probe.processes import command_line, simulated_robot
from sapave_ros.doctor.settings import Settings, build
from sapave_ros.drivers.dynamixel import MODELS, DynamixelNeck, NeckParameters, ServoBusError
from sapave_ros.drivers.dynamixel_port import SerialBus


def users_of(device: str) -> dict[str, str]:
    """pid to command line of the processes that have it open and that may be seen; the simulated robot is not one."""
    target, found = os.path.realpath(device), {}
    for folder in glob.glob("/proc/[0-9]*/fd"):
        pid = folder.split("/")[2]
        if int(pid) == os.getpid():
            continue
        try:
            if any(os.readlink(f"{folder}/{fd}") == target for fd in os.listdir(folder)):
                found[pid] = command_line(pid)
        except OSError:  # another user's, or gone by now
            continue
    return {pid: line for pid, line in found.items() if "sapave_ros.sim" not in line and "sapave_sim" not in line}


def _latency_ms(port: str) -> int:
    file = Path("/sys/bus/usb-serial/devices") / Path(os.path.realpath(port)).name / "latency_timer"
    try:
        return int(file.read_text())
    except OSError:
        return -1


def _models(parameters: NeckParameters) -> list[str]:
    """Names of the servos' models, in order of ids; numbers where they are unknown."""
    bus, packets, models = (
        SerialBus(parameters.port, parameters.baud_rate, parameters.response_timeout_s),
        PacketHandler(2.0),
        [],
    )
    try:
        for servo_id in parameters.ids:
            with bus.transaction() as port:
                number, _, _ = packets.ping(port, servo_id)
            models.append(MODELS.get(number, f"model {number}"))
    finally:
        bus.close()
    return models


def neck(settings: Settings) -> NeckFacts:
    parameters = build(NeckParameters, settings.nodes["head"])
    port = parameters.port
    if not os.path.exists(port):
        there = sorted(glob.glob("/dev/serial/by-id/*") or glob.glob("/dev/ttyUSB*") + glob.glob("/dev/ttyACM*"))
        return NeckFacts(False, found=there, sim_running=simulated_robot(settings.dds_domain))
    readable, gid = os.access(port, os.R_OK | os.W_OK), os.stat(port).st_gid
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    seen: dict[str, Any] = {"exists": True, "readable": readable, "group": group, "users": users_of(port)}
    if not readable or seen["users"]:
        return NeckFacts(**seen)
    try:
        with DynamixelNeck(parameters) as bus:
            health, state = bus.health(), bus.read()
            latency_ms = _latency_ms(port)
        models = _models(parameters)
    except ServoBusError as error:
        return NeckFacts(**seen, trouble=str(error))
    return NeckFacts(
        **seen,
        ids=[h.servo_id for h in health],
        models=models,
        temperature_c=[h.temperature_c for h in health],
        voltage_v=[h.voltage_v for h in health],
        errors=[list(h.hardware_errors) for h in health],
        tripped=[h.watchdog_tripped for h in health],
        torque=[h.torque for h in health],
        positions=state.positions.tolist(),
        latency_ms=latency_ms,
    )
