"""The neck's servo bus."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sapave_ros import g1
from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings

VOLTS = {"XL330": (3.7, 6.0), "XC330": (3.7, 6.0), "XL430": (9.0, 14.8), "XM430": (10.0, 14.8)}
"""Supply that the data sheets recommend, with a little slack [V]."""
WARM_C = 60.0
OUTSIDE_RAD = 0.1
"""Play beyond the limits that does no harm, as `drivers/dynamixel` allows at engagement."""


@dataclass(frozen=True)
class NeckFacts:
    """exists, readable, group: of the port. users: pid to command line of who has it open. trouble: the driver's
    words, empty where both servos answered. models, temperature_c, voltage_v, errors, tripped, torque: by servo.
    positions: [rad] yaw, pitch. latency_ms: of an FTDI adapter with the port open, -1 = no such adapter. sim_running.
    """

    exists: bool
    readable: bool = False
    group: str = ""
    found: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    ids: list[int] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    temperature_c: list[float] = field(default_factory=list)
    voltage_v: list[float] = field(default_factory=list)
    errors: list[list[str]] = field(default_factory=list)
    tripped: list[bool] = field(default_factory=list)
    torque: list[bool] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    latency_ms: int = -1
    sim_running: bool = True


def _blocked(settings: Settings, facts: NeckFacts) -> Outcome | None:
    """Why the bus was not looked at, None if it was."""
    if not facts.exists and settings.sim and not facts.sim_running:
        return skipped("no simulated robot runs with this run directory", f"{settings.start}, then again")
    if not facts.exists or not facts.readable:
        return skipped("the port cannot be opened", "mend 'servo port' above")
    if facts.users:
        return skipped("somebody else has the bus", "look at 'servo port' above")
    if facts.trouble:
        return skipped("the servos did not answer", "mend 'servos' above")
    return None


def port(settings: Settings, facts: NeckFacts) -> Outcome:
    """It is there, may be opened, and is free."""
    name = settings.nodes["head"]["port"]
    if not facts.exists:
        if settings.sim and not facts.sim_running:
            return skipped("no simulated robot runs with this run directory", f"{settings.start}, then again")
        return wrong(
            f"{name} does not exist; there are {joined(facts.found) or 'no serial ports'}",
            "plug in the adapter of the servo bus, and write its /dev/serial/by-id/... into port of node head",
        )
    if not facts.readable:
        group = facts.group or "dialout"
        return wrong(f"{name}: no permission (group {group})", f"sudo usermod -aG {group} $USER, then log in again")
    others = {pid: line for pid, line in facts.users.items() if "sapave_ros.nodes.head" not in line}
    if others:
        who = joined(f"process {pid} ({line[:60]})" for pid, line in others.items())
        return wrong(f"{name} is in use by {who}", f"kill {' '.join(others)}")
    if facts.users:
        return skipped(f"{name} is in the hands of the running head node ({joined(facts.users)})", "Ctrl-C the graph")
    return ok(f"{name} is free")


def servos(settings: Settings, facts: NeckFacts) -> Outcome:
    """Both answer, are of a known model and well."""
    if facts.exists and facts.readable and not facts.users and facts.trouble:
        return wrong(facts.trouble, "check power, cable, ids and baud_rate of the servos (parameters of node head)")
    if (blocked := _blocked(settings, facts)) is not None:
        return blocked
    rows = list(zip(facts.ids, facts.models, facts.voltage_v, facts.temperature_c, facts.errors, strict=True))
    found = joined(f"{i}: {m}, {v:.1f} V, {t:.0f} C" for i, m, v, t, _ in rows)
    failed = [f"servo {i}: {joined(errors)}" for i, _, _, _, errors in rows if errors]
    if failed:
        return wrong(f"hardware error: {joined(failed)}", "take the cause away, then power-cycle the servos")
    for servo, model, volts, _, _ in rows:
        low, high = VOLTS.get(model.split("-")[0], (0.0, 100.0))
        if not low <= volts <= high:
            return wrong(f"{found}; servo {servo} expects {low:g} to {high:g} V", "correct the supply of the servos")
    if max(facts.temperature_c) >= WARM_C:
        return warning(
            f"{found}; expected less than {WARM_C:.0f} C", "let the servos cool, and look for what blocks them"
        )
    tripped = [i for i, t in zip(facts.ids, facts.tripped, strict=True) if t]
    more = f"; bus watchdog of {joined(tripped)} tripped, which the start of the graph clears" if tripped else ""
    return ok(found + more)


def position(settings: Settings, facts: NeckFacts) -> Outcome:
    """The head is within its limits."""
    if (blocked := _blocked(settings, facts)) is not None:
        return blocked
    head = settings.nodes["head"]
    q = np.array(facts.positions)
    outside = np.maximum(np.array(head["lower_rad"]) - q, q - np.array(head["upper_rad"]))
    found = joined(f"{name.split('_')[1]} {x:+.2f} rad" for name, x in zip(g1.HEAD.names, q, strict=True))
    if not outside.max() <= OUTSIDE_RAD:
        return wrong(
            f"{found}; expected {head['lower_rad']} to {head['upper_rad']}",
            "turn the head to the middle by hand; if it is there, correct zero_ticks and directions of node head",
        )
    return ok(found + (", held" if all(facts.torque) else ", limp"))


def latency(settings: Settings, facts: NeckFacts) -> Outcome:
    """An FTDI adapter passes bytes on at once."""
    if (blocked := _blocked(settings, facts)) is not None:
        return blocked
    name = settings.nodes["head"]["port"]
    if facts.latency_ms < 0:
        return ok(f"{name} is no FTDI adapter")
    if facts.latency_ms != 1:
        return warning(
            f"latency_timer {facts.latency_ms} ms; expected 1",
            f"echo 1 | sudo tee /sys/bus/usb-serial/devices/$(basename $(realpath {name}))/latency_timer",
        )
    return ok("latency_timer 1 ms")
