"""The graph as launch actions, for `ros2 launch`. The launch files differ by one word."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node

from sapave_ros.claims import claim_run
from sapave_ros.graph import READY
from sapave_ros.plan import Options, environment, plan
from sapave_ros.share import share_path
from sapave_ros.sim.live import DEFAULT_ROOM
from sapave_ros.transport import DISCOVERY, LOCALHOST_ONLY, PROFILE

_ARGUMENTS = {
    "mode": ("live", "live, or shadow: everything is computed and published, and nothing is sent to the robot"),
    "joy": ("false", "true starts ROS' own joy_node, for a joystick on this computer"),
    "params_file": ("", "YAML with parameters of the nodes, read after the package's own"),
    "dds_domain": ("{dds_domain}", "domain id of the Unitree side: 0 on a robot, 1 in simulation"),
    "run_dir": ("", "where sockets, rings and logs of this run are kept"),
    "sim_arguments": ("--room {room}", "for the simulated robot, such as '--room tabletop --seed 3'"),
}

_HELD: list[socket.socket] = []
"""What this launch has claimed, for as long as it lives."""


def launch_graph(sim: bool) -> LaunchDescription:
    """All processes of the table, with or without the simulated robot, plus robot_state_publisher."""
    defaults = {"dds_domain": int(sim), "room": shlex.quote(DEFAULT_ROOM)}
    arguments = [
        DeclareLaunchArgument(name, default_value=default.format(**defaults), description=text)
        for name, (default, text) in _ARGUMENTS.items()
        if sim or name != "sim_arguments"
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions, args=[sim])])


def _missing(env: dict[str, str]) -> dict[str, str]:
    """What of it the user has not set: RMW and profile may be a site's own choice. Who finds the graph goes with the
    profile."""
    ours = PROFILE not in os.environ
    return {n: v for n, v in env.items() if (ours if n in (DISCOVERY, LOCALHOST_ONLY) else n not in os.environ)}


def _actions(context: LaunchContext, sim: bool) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    options = Options(
        sim=sim,
        mode=given["mode"],
        dds_domain=int(given["dds_domain"]),
        run_dir=Path(given["run_dir"]),
        params_file=Path(given["params_file"]) if given["params_file"] else None,
        sim_arguments=shlex.split(given.get("sim_arguments", "")),
    )
    _HELD.extend(claim_run(options.ros_domain, options.dds_domain, options.run_dir))
    options.run_dir.mkdir(parents=True, exist_ok=True)
    actions: list[LaunchDescriptionEntity] = [
        SetEnvironmentVariable(name, value) for name, value in _missing(environment(options)).items()
    ]
    files = [str(share_path("config/sapave.yaml"))] + ([str(options.params_file)] if options.params_file else [])
    nodes: list[LaunchDescriptionEntity] = []
    robot: ExecuteProcess | None = None
    robot_name = ""
    for start in plan(options):
        if start.ros:
            typed = {name: yaml.safe_load(value) for name, value in start.parameters.items()}
            parameters = [*files, *([typed] if typed else [])]
            nodes.append(
                Node(
                    package="sapave_ros",
                    executable=start.script,
                    name=start.name,
                    parameters=parameters,
                    output="screen",
                    additional_env=_missing(environment(options, start.name)),
                )
            )
        else:
            # Asked later, the action calls itself sim-1.
            robot, robot_name = ExecuteProcess(cmd=list(start.argv), name=start.name, output="screen"), start.name
    description = share_path("models/g1/g1.urdf").read_text()
    nodes.append(
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[{"robot_description": description}],
        )
    )
    if yaml.safe_load(given["joy"]):
        nodes.append(Node(package="joy", executable="joy_node", output="screen"))
    if robot is None:
        return [*actions, *nodes]
    # The robot must be there before those who talk to it.
    return [
        *actions,
        RegisterEventHandler(OnProcessIO(target_action=robot, on_stdout=when_ready(f"{robot_name}: {READY}", nodes))),
        robot,
    ]


def when_ready(line: str, nodes: list[LaunchDescriptionEntity]) -> Callable[[ProcessIO], list[LaunchDescriptionEntity]]:
    """Answers a process' output: the nodes, once, when it says that line."""
    waiting = list(nodes)

    def on_stdout(event: ProcessIO) -> list[LaunchDescriptionEntity]:
        if line not in event.text.decode(errors="replace"):
            return []
        start, waiting[:] = list(waiting), []
        return start

    return on_stdout
