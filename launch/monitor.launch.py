"""ros2 launch sapave_ros monitor.launch.py transforms:=false"""

from sapave_ros.launching_monitor import launch_monitor


def generate_launch_description():
    """What the robot does, was told and will do, in rviz; it only listens."""
    return launch_monitor()
