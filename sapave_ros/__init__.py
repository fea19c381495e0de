"""SaPaVe on a Unitree G1: a policy that decides where to look and what to do, as ROS 2 nodes.

Start reading at `graph.py`.
"""

import os

# Without a screen MuJoCo renders through EGL; it reads this once, when it is first imported.
os.environ.setdefault("MUJOCO_GL", "egl")

__version__ = "0.1.0"
