"""Facts about ROS: the shell's variables, and what a node sees that is started as the graph's are."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from xml.etree import ElementTree

from sapave_ros import graph
from sapave_ros.claims import ClaimedError, claim
from sapave_ros.doctor.judge.ros import EnvironmentFacts, GraphFacts
from sapave_ros.doctor.settings import Settings
from sapave_ros.parameters import ParameterError
from sapave_ros.plan import Options
from sapave_ros.plan import environment as environment_of_graph
from sapave_ros.share import share_path

LISTEN_S = (1.5, 4.0)
"""At least and at most; in between, until nobody new has been heard of for `QUIET_S` [s]."""
QUIET_S = 0.7
NAME = "sapave_doctor"
OPERATOR = "operator"
"""The node of `sapave move` and its like: a person, who may send a chunk."""


def _asked(tag: str) -> int:
    """Largest value of that element in the package's Fast DDS profile, 0 without one."""
    found = ElementTree.parse(share_path("config/fastdds_pictures.xml")).iter()
    return max((int(e.text or 0) for e in found if e.tag.rpartition("}")[2] == tag), default=0)


def _kernel(name: str) -> int:
    try:
        return int(Path(f"/proc/sys/net/core/{name}").read_text())
    except OSError:
        return 0


def environment(settings: Settings) -> EnvironmentFacts:
    import importlib.util

    spec = importlib.util.find_spec("rclpy")
    return EnvironmentFacts(
        distro=os.environ.get("ROS_DISTRO", ""),
        from_wheels=spec is not None and "site-packages" in (spec.origin or ""),
        rmw=os.environ.get("RMW_IMPLEMENTATION", ""),
        profiles=os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", ""),
        discovery=os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", ""),
        localhost_only=os.environ.get("ROS_LOCALHOST_ONLY", ""),
        profile=str(share_path("config/fastdds_pictures.xml")),
        receive_bytes=_asked("receiveBufferSize"),
        send_bytes=_asked("sendBufferSize"),
        rmem_max=_kernel("rmem_max"),
        wmem_max=_kernel("wmem_max"),
    )


def _claims(settings: Settings) -> dict[str, str]:
    """Who holds what a run would need. Asks by taking it, and lets go at once."""
    held = {}
    wanted = (
        ("ros_domain", int(settings.ros_domain)),
        ("dds_domain", settings.dds_domain),
        ("run_dir", Path(settings.run_dir).resolve()),
    )
    for field, value in wanted:
        try:
            claim(field, value, patience_s=0.0).close()
            held[field] = ""
        except ClaimedError as error:
            who = re.search(r"\((.*)\)", str(error))
            held[field] = who.group(1) if who else "another run"
    return held


def _largest_segment() -> int:
    """Bytes of the largest shared-memory segment of Fast DDS that this process maps."""
    sizes = [0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/dev/shm/fastrtps_" in line:
            start, end = line.split(maxsplit=1)[0].split("-")
            sizes.append(int(end, 16) - int(start, 16))
    return max(sizes)


def nodes(settings: Settings) -> GraphFacts:
    try:
        options = Options(settings.sim, int(settings.ros_domain), settings.dds_domain, Path(settings.run_dir))
    except (ParameterError, ValueError) as error:
        return GraphFacts(trouble=str(error))
    os.environ.update(environment_of_graph(options, "camera"))  # as those have it who carry pictures
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node(NAME, start_parameter_services=False, enable_rosout=False)
    except Exception as error:  # rclpy's own kinds of errors are not importable where it is broken
        return GraphFacts(trouble=f"{type(error).__name__}: {error}")
    node.get_clock().now()  # the first call is a slow one
    start_s, start_ros_s = time.monotonic(), node.get_clock().now().nanoseconds * 1e-9
    names: list[str] = []
    heard_s = start_s
    while (now_s := time.monotonic()) - start_s < LISTEN_S[1]:
        if now_s - start_s > LISTEN_S[0] and now_s - heard_s > QUIET_S:
            break
        there = node.get_node_names()
        if len(there) != len(names):
            names, heard_s = there, now_s
        time.sleep(0.1)
    end_s, clock_s, system_s = time.monotonic(), node.get_clock().now().nanoseconds * 1e-9, time.time()
    facts = GraphFacts(
        nodes=[name for name in names if name != NAME and not name.startswith("_ros2cli")],
        strangers=[
            f"{info.node_name} publishes {stream.topic}"
            for stream in graph.STREAMS
            if "*" not in stream.publishers
            for info in node.get_publishers_info_by_topic(stream.topic)
            if info.node_name not in (*stream.publishers, OPERATOR)
        ],
        segment_bytes=_largest_segment(),
        profile_bytes=_asked("segment_size"),
        clock_s=clock_s - system_s,
        drift_s=(clock_s - start_ros_s) - (end_s - start_s),
        claims=_claims(settings),
    )
    node.destroy_node()
    rclpy.try_shutdown()
    return facts
