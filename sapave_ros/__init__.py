"""SaPaVe on a Unitree G1: a policy that decides where to look and what to do, as ROS 2 nodes.

Start reading at `graph.py`.
"""

__version__ = "0.1.0"
