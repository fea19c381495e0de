"""A bag as launch actions, for `ros2 launch`, by rosbag2's own player and under the names of `sapave replay`.

By `sapave replay` itself where rosbag2's player cannot: pictures that were compressed, a start in the middle.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessIO
from launch.launch_description_entity import LaunchDescriptionEntity

from sapave_ros import graph
from sapave_ros.bag import metadata
from sapave_ros.bag.player import PlayParameters
from sapave_ros.bag.replayed import ALONE, ROSBAG2_NODE, beyond_rosbag2, rosbag2_command
from sapave_ros.launching import when_ready
from sapave_ros.record import chosen
from sapave_ros.share import share_path
from sapave_ros.transport import PROFILE

_ARGUMENTS = {
    "bag": (None, "folder of the bag"),
    "rate": ("1.0", "how much faster than it was recorded"),
    "start": ("0.0", "begin so many seconds after the first message"),
    "loop": ("false", "true begins anew at the end"),
    "paused": ("false", "true waits to be resumed"),
    "topics": ("", "as recorded, separated by spaces (default: all of the graph)"),
}


def launch_replay() -> LaunchDescription:
    """`ros2 bag play` under the names of `sapave replay`, for as long as nobody of the graph is there."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in _ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])


def _actions(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    use = PlayParameters(
        rate=float(given["rate"]),
        start_s=float(given["start"]),
        loop=bool(yaml.safe_load(given["loop"])),
        paused=bool(yaml.safe_load(given["paused"])),
    )
    bag, topics = Path(given["bag"]), given["topics"].split()
    pictures = str(share_path("config/fastdds_pictures.xml"))
    surroundings = [
        *([] if PROFILE in os.environ else [SetEnvironmentVariable(PROFILE, pictures)]),
        SetEnvironmentVariable("PYTHONUNBUFFERED", "1"),
    ]
    ended = Shutdown(reason="the bag has ended")
    counts = metadata.counts(bag)
    if why := beyond_rosbag2(counts, use.start_s):
        command = [sys.executable, "-m", "sapave_ros.cli", "replay", str(bag), "--rate", f"{use.rate:g}"]
        command += ["--start", f"{use.start_s:g}"] + ["--loop"] * use.loop + ["--paused"] * use.paused
        command += ["--topics", *topics] if topics else []
        own = ExecuteProcess(cmd=command, name="player", output="screen", on_exit=ended)
        return [*surroundings, LogInfo(msg=f"sapave replay plays, not ros2 bag play: {why}"), own]
    wanted = chosen(topics)
    streams = [s for s in wanted if counts.get(s.topic, 0) or s.topic != graph.FOLLOWED]
    command = rosbag2_command(bag, streams, use.rate, use.start_s, use.loop, use.paused)
    player = ExecuteProcess(cmd=command, name="player", output="screen", on_exit=ended)
    # It looks before the player starts and all the while: rosbag2 itself plays beside anybody.
    guard = ExecuteProcess(
        cmd=[sys.executable, "-m", "sapave_ros.nodes.alone", "--besides", ROSBAG2_NODE, *(s.topic for s in streams)],
        name="alone",
        output="screen",
        on_exit=Shutdown(reason="a bag is replayed beside no robot"),
    )
    return [
        *surroundings,
        RegisterEventHandler(OnProcessIO(target_action=guard, on_stdout=when_ready(f"alone: {ALONE}", [player]))),
        guard,
    ]
