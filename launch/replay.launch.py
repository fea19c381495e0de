"""ros2 launch sapave_ros replay.launch.py bag:=out/bags/NAME"""

from sapave_ros.launching_replay import launch_replay


def generate_launch_description():
    """A bag in the place of camera, joints and person; nothing of it reaches an actuator."""
    return launch_replay()
