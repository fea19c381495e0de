"""The robot behind Unitree's DDS: is it there, is it the right one, is it well?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sapave_ros import g1, graph
from sapave_ros.core import body_health
from sapave_ros.core.controller import OUTSIDE_RANGE_RAD
from sapave_ros.core.gate import STATE_STALE_AFTER_S
from sapave_ros.doctor.finding import Outcome, Verdict, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings
from sapave_ros.drivers.unitree_sdk import UnitreeError, check_cyclonedds
from sapave_ros.drivers.unitree_stream import Body, Table

INSTALL_SDK = (
    "python3.10 -m pip install cyclonedds==0.10.2 git+https://github.com/unitreerobotics/unitree_sdk2_python, "
    "and sdk_python: python3.10 for node arm"
)
REGULAR = "remote: L2+B (damp), L2+Up (get ready), R1+X (regular mode)"
"""Boot sequence of the motion service, as on Unitree's remote."""

LEANING_RAD = 0.3
"""Further than a robot leans that stands or hangs well [rad]."""
FULL_V = 58.0
"""More than 13 full lithium cells give [V]."""
CLOCK_TOLERANCE = 0.05


@dataclass(frozen=True)
class RobotFacts:
    """What `sdk_process` heard. Lists of motors: (29,) in LowState_ order.

    trouble: why it heard nothing, empty else. expected: whether a simulated robot runs in this domain (in simulation).
    strange: about messages that are no LowState_. largest_gap_s: between frames. tick_ms: how far the robot's clock
    went in span_s. hands: Inspire units in their order, the last message. switcher, fsm: [error code, answer] of the
    motion switcher and of the motion service, empty where they were not asked. writers: [topic, host, pid, process].
    """

    trouble: str = ""
    expected: bool = True
    python: str = ""
    executable: str = ""
    cyclonedds: str = ""
    frames: int = 0
    crc_errors: int = 0
    strange: str = ""
    span_s: float = 0.0
    largest_gap_s: float = 0.0
    tick_ms: int = 0
    mode_pr: int = 0
    mode_machine: int = 0
    motor_mode: list[int] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    quaternion: list[float] = field(default_factory=list)
    casing_c: list[int] = field(default_factory=list)
    winding_c: list[int] = field(default_factory=list)
    motor_error: list[int] = field(default_factory=list)
    voltage: list[float] = field(default_factory=list)
    hand_frames: int = 0
    hands: list[float] = field(default_factory=list)
    switcher: list = field(default_factory=list)
    fsm: list = field(default_factory=list)
    writers: list[list[str]] | None = None
    writers_trouble: str = ""
    sim_cyclonedds: str = ""
    ours: list[str] = field(default_factory=list)


def sdk(settings: Settings, facts: RobotFacts) -> Outcome:
    """The SDK loads, and its DDS may go on that interface."""
    interface = settings.nodes["arm"]["dds_interface"]
    if not facts.cyclonedds:
        return wrong(facts.trouble or "the SDK does not load", "make dev" if settings.sim else INSTALL_SDK)
    found = f"unitree_sdk2py with cyclonedds {facts.cyclonedds} in Python {facts.python} ({facts.executable})"
    try:
        check_cyclonedds(facts.cyclonedds, interface)
    except UnitreeError as error:
        return wrong(f"{error}; found in {facts.executable}", INSTALL_SDK)
    if facts.sim_cyclonedds and _series(facts.sim_cyclonedds) != _series(facts.cyclonedds):
        return wrong(
            f"{found}, but the simulated robot speaks {facts.sim_cyclonedds}: the two crash each other",
            "leave sdk_python of node arm empty in simulation",
        )
    return ok(found)


def _series(version: str) -> str:
    return version.partition(".")[0]


def nothing_heard(settings: Settings, facts: RobotFacts) -> Outcome | None:
    """Why there is nothing to judge about the robot's state, None where there is."""
    if facts.frames:
        return None
    if settings.sim and not facts.expected:
        return skipped(f"no simulated robot runs in DDS domain {settings.dds_domain}", f"{settings.start}, then again")
    return skipped("no state of the robot was heard", "mend 'robot state' above")


def state(settings: Settings, facts: RobotFacts) -> Outcome:
    """LowState_ arrives, intact and often enough."""
    where = f"rt/lowstate, DDS domain {settings.dds_domain} on {settings.nodes['arm']['dds_interface']}"
    if sdk(settings, facts).verdict is Verdict.WRONG:
        return skipped("without a fitting SDK nobody hears the robot", "mend 'Unitree SDK' above")
    if facts.trouble:
        return wrong(facts.trouble, _reach(settings))
    if not facts.frames:
        if facts.crc_errors:
            return wrong(
                f"{where}: {facts.crc_errors} frames, and the frame check (CRC) of all is wrong",
                "use a robot or simulator that sends the CRC; Unitree's Python simulator does not",
            )
        if facts.strange:
            return wrong(f"{where}: {facts.strange}", "update the SDK: the robot's firmware has another LowState_")
        if settings.sim and not facts.expected:
            return skipped(
                f"no simulated robot runs in DDS domain {settings.dds_domain}", f"{settings.start}, then again"
            )
        return wrong(f"{where}: nothing in 2 s", _reach(settings))
    rate_hz = (facts.frames - 1) / facts.span_s if facts.span_s > 0 else 0.0
    found = f"{where}: {rate_hz:.0f} Hz, largest gap {facts.largest_gap_s * 1e3:.0f} ms, {facts.crc_errors} CRC errors"
    if rate_hz < 2 / STATE_STALE_AFTER_S:
        return wrong(f"{found}; expected 500 Hz", _reach(settings))
    if rate_hz < graph.ARM_LOOP_HZ or facts.largest_gap_s > STATE_STALE_AFTER_S or facts.crc_errors:
        mend = (
            "stop other programs on this machine" if settings.sim else "use a cable of its own to the robot, no Wi-Fi"
        )
        return warning(f"{found}; expected 500 Hz, no gap above {STATE_STALE_AFTER_S * 1e3:.0f} ms, no errors", mend)
    return ok(found)


def _reach(settings: Settings) -> str:
    if settings.sim:
        return "stop the simulated robot and start it again: " + settings.start
    return "power on the robot, plug in its cable, then: ping 192.168.123.161"


def kind(settings: Settings, facts: RobotFacts) -> Outcome:
    """A G1 with 29 joints whose arms the driver takes."""
    if (nothing := nothing_heard(settings, facts)) is not None:
        return nothing
    table = Table(
        np.array([j.motor for j in g1.ARMS.joints]),
        g1.ARMS.column("lower"),
        g1.ARMS.column("upper"),
        g1.MODE_MACHINES_29_DOF,
    )
    body = Body(facts.mode_machine, np.array(facts.motor_mode), np.array(facts.positions))
    refusal = table.body_refusal(body)
    if refusal is not None:
        return wrong(
            refusal, "use a G1 with 29 joints; if it is one, power it off and on and look at the motors' cables"
        )
    found = f"mode_machine {facts.mode_machine}, mode_pr {facts.mode_pr}, all 14 arm motors enabled"
    if facts.mode_machine == 0 and not settings.sim:
        return warning(f"{found}; 0 is a simulator", "stop the simulator that speaks on the robot's network")
    q = np.array(facts.positions)[table.motors]
    outside = np.maximum(table.lower - q, q - table.upper)
    if outside.max() > OUTSIDE_RANGE_RAD:
        i = int(outside.argmax())
        return wrong(
            f"{g1.ARMS.names[i]} is at {q[i]:.2f} rad; expected {table.lower[i]:.2f} to {table.upper[i]:.2f}",
            "calibrate the robot's joints (Unitree app), or hang the arms down and switch it on again",
        )
    return ok(found)


def clock(settings: Settings, facts: RobotFacts) -> Outcome:
    """The robot's own clock goes on at the speed of ours."""
    if (nothing := nothing_heard(settings, facts)) is not None:
        return nothing
    if facts.span_s <= 0:
        return wrong("one LowState_ alone: its tick says nothing", "look at 'robot state' above, then again")
    speed = facts.tick_ms * 1e-3 / facts.span_s
    found = f"tick went on {facts.tick_ms} ms in {facts.span_s * 1e3:.0f} ms"
    if facts.tick_ms == 0:
        return wrong(f"{found}: the robot repeats one state", "power the robot off and on")
    if abs(speed - 1.0) > CLOCK_TOLERANCE:
        mend = "stop other programs on this machine" if settings.sim else "look at the load of the robot's computer"
        return warning(f"{found}; expected the same", mend)
    return ok(found)


def upright(settings: Settings, facts: RobotFacts) -> Outcome:
    """The pelvis is upright, by its own IMU."""
    if (nothing := nothing_heard(settings, facts)) is not None:
        return nothing
    try:
        tilt = body_health.tilt_rad(np.array(facts.quaternion))
    except ValueError as error:
        return wrong(f"IMU: {error}", "power the robot off and on")
    found = f"tilt of the pelvis {math.degrees(tilt):.1f} deg"
    if not tilt <= body_health.MAX_TILT_RAD:
        return wrong(found, f"stand the robot up: {REGULAR}")
    if tilt > LEANING_RAD:
        return warning(found, "straighten the robot on its gantry")
    return ok(found)


def motors(settings: Settings, facts: RobotFacts) -> Outcome:
    """Errors, temperatures and voltage of all 29 motors."""
    if (nothing := nothing_heard(settings, facts)) is not None:
        return nothing
    bad = [
        f"{name}: {joined(error_names(bits))}"
        for name, bits in zip(g1.MOTOR_NAMES, facts.motor_error, strict=True)
        if bits
    ]
    if bad:
        return wrong(
            f"motor errors: {joined(bad)}", "power the robot off and on; if they stay, have the motors serviced"
        )
    temperatures = np.array([facts.casing_c, facts.winding_c]).T  # (29, 2)
    i, part = np.unravel_index(int((temperatures / np.array(body_health.HOT_C)).argmax()), temperatures.shape)
    reported = [v for v in facts.voltage if v > body_health.KNOWN_V]
    volts = f"{min(reported):.1f} to {max(reported):.1f} V" if reported else "no voltage reported"
    found = f"no errors, hottest {g1.MOTOR_NAMES[i]} ({('casing', 'winding')[part]} {temperatures[i, part]} C), {volts}"
    if (temperatures >= body_health.HOT_C).any():
        return wrong(found, "remote: L2+B (damp), and let the motors cool")
    if reported and min(reported) < body_health.EMPTY_V:
        return wrong(f"{found}; expected {body_health.EMPTY_V:g} V or more", "change the battery")
    if (temperatures >= body_health.WARM_C).any():
        return warning(found, "let the motors cool before the next run")
    if reported and max(reported) > FULL_V:
        return warning(f"{found}; expected {FULL_V:g} V or less", "look at the robot's supply")
    return ok(found)


def error_names(bits: int) -> list[str]:
    """Names of the bits of `motorstate`."""
    named = [name for bit, name in body_health.ERROR_BITS.items() if bits & bit]
    rest = bits & ~sum(body_health.ERROR_BITS)
    return named + ([f"0x{rest:x}"] if rest else [])
