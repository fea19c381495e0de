"""ros2 launch sapave_ros robot.launch.py params_file:=my_robot.yaml"""

from sapave_ros.launching import launch_graph


def generate_launch_description():
    """The graph on a real G1."""
    return launch_graph(sim=False)
