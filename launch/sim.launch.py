"""ros2 launch sapave_ros sim.launch.py"""

from sapave_ros.launching import launch_graph


def generate_launch_description():
    """The graph with the simulated G1."""
    return launch_graph(sim=True)
