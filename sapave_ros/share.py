"""Where the package's data files are: models, configuration, launch files."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def share_path(name: str) -> Path:
    """A data file such as `models/g1/g1.urdf`: of the source tree, else of where the package was installed.

    Raises FileNotFoundError naming the places looked at.
    """
    roots = [Path(__file__).resolve().parents[1], Path(sys.prefix) / "share/sapave_ros"]
    # A colcon workspace or a ROS installation: the prefixes that its setup file exports.
    roots += [Path(p) / "share/sapave_ros" for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p]
    for root in roots:
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} not found in {', '.join(map(str, roots))}")
