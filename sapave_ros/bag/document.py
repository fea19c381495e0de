"""What makes a bag a document: which software, which parameters, which model, which robot. Attached to every file."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sapave_ros import __version__
from sapave_ros.bag.writer import Attachment
from sapave_ros.policy import manifest
from sapave_ros.share import share_path

ROBOT = "g1.urdf"
MODEL = "model.json"
PARAMETERS = "parameters/{node}.yaml"

_URDF = "models/g1/g1.urdf"


def software() -> dict[str, str]:
    """Version, commit and surroundings, as text."""
    return {
        "version": __version__,
        "commit": commit(Path(__file__).resolve().parents[2]),
        "ros_distro": os.environ.get("ROS_DISTRO", "unknown"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
    }


def commit(root: Path) -> str:
    """Git's name of what is in that folder, with `-dirty` where it was changed since; `unknown` outside of git."""
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def model_sha256(attachments: Mapping[str, bytes]) -> str:
    """Of the model that inference had; empty where the bag does not know."""
    try:
        return str(json.loads(attachments[MODEL]).get("sha256", ""))
    except (KeyError, ValueError, AttributeError):
        return ""


def parameters_of(attachments: Mapping[str, bytes], node: str) -> dict[str, Any]:
    """What `parameters` wrote down of a node; empty where the bag does not know."""
    try:
        return dict(yaml.safe_load(attachments[PARAMETERS.format(node=node)])[node]["ros__parameters"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}


def robot(stamp_ns: int) -> Attachment:
    """The robot's description, the one that robot_state_publisher is given."""
    return Attachment(ROBOT, "application/xml", share_path(_URDF).read_bytes(), stamp_ns)


def parameters(node: str, values: Mapping[str, Any], stamp_ns: int) -> Attachment:
    """All parameters of a node, in the form that `--params-file` takes."""
    text = yaml.safe_dump({node: {"ros__parameters": dict(values)}}, sort_keys=True)
    return Attachment(PARAMETERS.format(node=node), "application/yaml", text.encode(), stamp_ns)


def model(path: str, stamp_ns: int) -> Attachment:
    """Path, sha256 and manifest of the model. path: as the inference node has it; empty, the one of the package.

    A file that cannot be read here (inference runs on another computer, say) is named with the reason.
    """
    found: dict[str, Any] = {"path": path or manifest.SHIPPED}
    try:
        file = Path(path) if path else share_path(manifest.SHIPPED)
        found["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        found["manifest"] = json.loads(manifest.read(file).to_json())
    except (OSError, ValueError) as error:
        found["trouble"] = str(error)
    return Attachment(MODEL, "application/json", json.dumps(found, indent=1).encode(), stamp_ns)
