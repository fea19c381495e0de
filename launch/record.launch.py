"""ros2 launch sapave_ros record.launch.py output:=my_bag"""

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable

from sapave_ros.record import own_command, ros2_bag_command
from sapave_ros.transport import RECORD, own_transport


def generate_launch_description():
    """`ros2 bag record` of the streams of the table, as MCAP; `sapave record` with colour compressed."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("output", default_value="", description="the bag; empty: one with the date"),
            DeclareLaunchArgument("split_mb", default_value="4000", description="a file ends when it is larger [MB]"),
            DeclareLaunchArgument("split_s", default_value="600", description="a file ends when it is longer [s]"),
            DeclareLaunchArgument(
                "compress", default_value="false", description="true: colour as JPEG, by sapave record"
            ),
            OpaqueFunction(function=_record),
        ]
    )


def _record(context):
    given = context.launch_configurations
    make = own_command if yaml.safe_load(given["compress"]) else ros2_bag_command
    command = make(given["output"], float(given["split_mb"]), float(given["split_s"]))
    return [
        *(SetEnvironmentVariable(name, value) for name, value in own_transport(RECORD).items()),
        ExecuteProcess(cmd=command, name="record", output="screen"),
    ]
