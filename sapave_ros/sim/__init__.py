"""The stand-in robot: a MuJoCo world that speaks what the real G1 speaks."""

import os

# Without a screen MuJoCo renders through EGL; it reads this once, when it is imported.
os.environ.setdefault("MUJOCO_GL", "egl")
