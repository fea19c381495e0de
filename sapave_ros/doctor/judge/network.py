"""The network interface to the robot."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from sapave_ros.doctor.finding import Outcome, joined, ok, warning, wrong
from sapave_ros.doctor.settings import Settings

ROBOT_NETWORK = ipaddress.ip_network("192.168.123.0/24")
FREE_ADDRESS = "192.168.123.222/24"


@dataclass(frozen=True)
class NetworkFacts:
    """interfaces: all names. up, carrier, speed_mbit (0 = unknown), wireless, addresses: of the one in question.
    elsewhere: interface to address in the robot's network."""

    interfaces: list[str]
    up: bool = False
    carrier: bool = False
    speed_mbit: int = 0
    wireless: bool = False
    addresses: list[str] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)


def interface(settings: Settings, facts: NetworkFacts) -> Outcome:
    """It is there, up, wired, and on the robot's network."""
    name = settings.nodes["arm"]["dds_interface"]
    other = next((i for i in facts.elsewhere if i != name), "")
    take_other = f"dds_interface: {other} for node arm: that one has {facts.elsewhere.get(other)}"
    if name not in facts.interfaces:
        others = joined(i for i in facts.interfaces if i != "lo") or "lo alone"
        return wrong(
            f"no interface {name!r}; there are {others}",
            take_other if other else "sapave doctor --interface NAME; then write it into dds_interface of node arm",
        )
    if not facts.up:
        return wrong(f"{name} is down", f"sudo ip link set {name} up")
    if name == "lo":
        if settings.sim:
            return ok("lo is up; the simulated robot speaks nowhere else")
        mend = take_other if other else "write the interface to the robot into dds_interface of node arm"
        return wrong("lo leads to no robot", mend)
    if not facts.carrier:
        return wrong(f"{name} has no link", "plug in the cable to the robot, and power the robot on")
    there = joined(facts.addresses) or "no address"
    if not any(ipaddress.ip_address(a) in ROBOT_NETWORK for a in facts.addresses):
        return wrong(
            f"{name} has {there}; expected one in {ROBOT_NETWORK}",
            take_other if other else f"sudo ip addr add {FREE_ADDRESS} dev {name}",
        )
    speed = f", {facts.speed_mbit} Mbit/s" if facts.speed_mbit else ""
    if facts.wireless:
        return warning(f"{name} is wireless ({there}): 500 Hz of state need a cable", "plug a cable into the robot")
    if 0 < facts.speed_mbit < 100:
        return warning(f"{name}: {there}{speed}", "use a cable and a port of 100 Mbit/s or more")
    return ok(f"{name}: {there}{speed}")
