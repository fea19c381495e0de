"""What is watched as launch actions, for `ros2 launch`: the monitor, the robot's transforms, rviz."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sapave_ros import graph
from sapave_ros.share import share_path
from sapave_ros.transport import RECORD, own_transport

_ARGUMENTS = {
    "rviz": ("true", "false: without rviz, where nobody looks at a screen"),
    "transforms": ("true", "false where robot.launch.py or sim.launch.py publishes them: twice is once too often"),
}


def launch_monitor() -> LaunchDescription:
    """The node beside the graph, robot_state_publisher for rviz' robot model, and rviz with its configuration."""
    actions: list[LaunchDescriptionEntity] = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in _ARGUMENTS.items()
    ]
    # No shared memory with the camera: who looks on must not hold it up.
    actions += [SetEnvironmentVariable(name, value) for name, value in own_transport(RECORD).items()]
    actions += [
        Node(package="sapave_ros", executable="monitor_node", name=graph.MONITOR, output="screen"),
        Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[{"robot_description": share_path("models/g1/g1.urdf").read_text()}],
            condition=IfCondition(LaunchConfiguration("transforms")),
        ),
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(share_path("config/monitor.rviz"))],
            condition=IfCondition(LaunchConfiguration("rviz")),
        ),
    ]
    return LaunchDescription(actions)
