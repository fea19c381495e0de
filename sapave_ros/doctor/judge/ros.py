"""ROS on this machine: distribution, domain, delivery, and who is there already."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sapave_ros import graph
from sapave_ros.core.controller import CLOCK_JUMP_S
from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings
from sapave_ros.plan import MAX_DOMAIN

RMW = "rmw_fastrtps_cpp"
DISTROS = ("humble", "jazzy")
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
FREE_DOMAIN = 42


@dataclass(frozen=True)
class EnvironmentFacts:
    """Of the shell that asks: variables (empty where not set) and kernel limits for UDP [bytes].

    profile: fastdds_pictures.xml of the package. receive_bytes, send_bytes: buffers that it asks for.
    """

    distro: str = ""
    from_wheels: bool = False
    rmw: str = ""
    profiles: str = ""
    discovery: str = ""
    localhost_only: str = ""
    profile: str = ""
    receive_bytes: int = 0
    send_bytes: int = 0
    rmem_max: int = 0
    wmem_max: int = 0


@dataclass(frozen=True)
class GraphFacts:
    """What a ROS node saw that was started as the graph's are.

    trouble: why there was none, empty else. nodes: names in this domain, ours excepted. strangers: `NODE publishes
    TOPIC`, where the table knows no such publisher. segment_bytes: its largest shared-memory segment of Fast DDS,
    profile_bytes: what the profile asks for. clock_s: ROS time less the system's [s], drift_s: how far ROS time
    went ahead of the monotonic clock meanwhile [s]. claims: by field, who holds it of this run's; empty = free.
    """

    trouble: str = ""
    nodes: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    segment_bytes: int = 0
    profile_bytes: int = 0
    clock_s: float = 0.0
    drift_s: float = 0.0
    claims: dict[str, str] = field(default_factory=dict)


def distro(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    if facts.from_wheels and not facts.distro:
        return ok("wheels of Jazzy, no ROS installation sourced")
    if facts.distro not in DISTROS:
        return warning(f"ROS_DISTRO={facts.distro!r}; tried with {joined(DISTROS)}", "source /opt/ros/jazzy/setup.bash")
    return ok(facts.distro)


def domains(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    """ROS and the Unitree side each have a domain of their own."""
    mend = f"export ROS_DOMAIN_ID={FREE_DOMAIN}"
    text = settings.ros_domain
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        return wrong(f"ROS_DOMAIN_ID={text!r}; expected 0..{MAX_DOMAIN}", mend)
    if int(text) == settings.dds_domain:
        return wrong(f"ROS_DOMAIN_ID is {text}, which is the DDS domain of the Unitree side too", mend)
    return ok(f"ROS {text}, Unitree {settings.dds_domain}")


def middleware(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    """This shell speaks what the graph speaks."""
    if facts.rmw and facts.rmw != RMW:
        return warning(f"RMW_IMPLEMENTATION={facts.rmw} here, {RMW} in the graph", f"export RMW_IMPLEMENTATION={RMW}")
    return ok(f"{RMW}{' ' if facts.rmw else ' (set by sapave up and the launch files)'}".strip())


def discovery(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    """This shell finds the graph, and on a robot other machines may too."""
    value = facts.discovery or "SUBNET"
    if value not in RANGES:
        return wrong(
            f"ROS_AUTOMATIC_DISCOVERY_RANGE={value!r}; expected one of {joined(RANGES)}",
            "unset ROS_AUTOMATIC_DISCOVERY_RANGE",
        )
    if value == "OFF":
        return wrong(
            "ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: nodes do not find each other", "unset ROS_AUTOMATIC_DISCOVERY_RANGE"
        )
    if settings.sim:
        return ok("the graph stays on this machine, by its Fast DDS profile")
    if facts.localhost_only == "1":
        return warning("ROS_LOCALHOST_ONLY=1 is of older ROS and hides the graph", "unset ROS_LOCALHOST_ONLY")
    who = "this machine only" if value == "LOCALHOST" else "every machine of this network in the same domain"
    return ok(f"{value}: {who}")


def buffers(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    """The kernel grants the UDP buffers that the Fast DDS profile asks for."""
    found = f"net.core.rmem_max {facts.rmem_max}, wmem_max {facts.wmem_max} bytes"
    short = [
        f"net.core.{name}={wanted}"
        for name, there, wanted in (
            ("rmem_max", facts.rmem_max, facts.receive_bytes),
            ("wmem_max", facts.wmem_max, facts.send_bytes),
        )
        if there < wanted
    ]
    if short:
        return warning(
            f"{found}; the profile asks for {facts.receive_bytes} and {facts.send_bytes}, for pictures",
            f"sudo sysctl -w {' '.join(short)}; put the same lines into /etc/sysctl.d/60-ros.conf",
        )
    return ok(found)


def profile(settings: Settings, facts: GraphFacts) -> Outcome:
    """Fast DDS really reads the package's profile: its segment is as large as that says."""
    if facts.trouble:
        return wrong(
            f"no ROS node can be started: {facts.trouble}", "mend 'domains' and 'packages' above; else reinstall ROS"
        )
    found = f"shared-memory segment of {facts.segment_bytes / 2**20:.1f} MB"
    if facts.segment_bytes < facts.profile_bytes:
        return wrong(
            f"{found}; config/fastdds_pictures.xml asks for {facts.profile_bytes / 2**20:.0f} MB: pictures get lost",
            "df -h /dev/shm; unset FASTDDS_DEFAULT_PROFILES_FILE FASTDDS_BUILTIN_TRANSPORTS",
        )
    return ok(f"{found}, as config/fastdds_pictures.xml asks")


def shell_profile(settings: Settings, facts: EnvironmentFacts) -> Outcome:
    """Tools started from this shell get pictures too."""
    if not facts.profiles:
        return ok("not set here; sapave up and the launch files set it")
    if facts.profiles != facts.profile:
        return warning(
            f"FASTRTPS_DEFAULT_PROFILES_FILE={facts.profiles}: tools of this shell read another one than the graph",
            f"export FASTRTPS_DEFAULT_PROFILES_FILE={facts.profile}",
        )
    return ok(facts.profiles)


def alone(settings: Settings, facts: GraphFacts) -> Outcome:
    """No second graph, and nobody else on the graph's topics."""
    if facts.trouble:
        return skipped("no ROS node could look", "mend 'Fast DDS profile' above")
    ours = {p.name for p in graph.PROCESSES if p.ros}
    counts = Counter(facts.nodes)
    twice = [name for name in sorted(ours) if counts[name] > 1]
    if twice:
        return wrong(
            f"there twice in ROS domain {settings.ros_domain}: {joined(twice)}",
            "end one of the two graphs with Ctrl-C, or export another ROS_DOMAIN_ID",
        )
    if facts.strangers:
        return wrong(
            joined(facts.strangers), f"stop those nodes, or: export ROS_DOMAIN_ID={_other(settings)} before the start"
        )
    holders = sorted(set(facts.claims.values()) - {""})
    there = sorted(ours & counts.keys())
    if holders or there:
        by = f", started by {joined(holders)}" if holders else ""
        return warning(
            f"a graph runs here: {joined(there) or 'no node seen yet'}{by}",
            f"nothing, if it is yours; for a second one: export ROS_DOMAIN_ID={_other(settings)}, another --dds-domain",
        )
    others = sorted(counts)
    return ok(f"ROS domain {settings.ros_domain} has no graph{f', but {joined(others)}' if others else ''}")


def _other(settings: Settings) -> int:
    return next(d for d in range(FREE_DOMAIN, MAX_DOMAIN) if str(d) != settings.ros_domain and d != settings.dds_domain)


def time(settings: Settings, facts: GraphFacts) -> Outcome:
    """ROS time is this machine's time, and goes on as the monotonic clock does."""
    if facts.trouble:
        return skipped("no ROS node could look", "mend 'Fast DDS profile' above")
    found = f"ROS time {facts.clock_s * 1e3:+.1f} ms off the system's, {facts.drift_s * 1e3:+.2f} ms off monotonic"
    if max(abs(facts.clock_s), abs(facts.drift_s)) > CLOCK_JUMP_S:
        return wrong(found, "stop what sets the clock (timedatectl; chronyc tracking), and nodes with use_sim_time")
    return ok(found)
