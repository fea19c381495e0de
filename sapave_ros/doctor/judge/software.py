"""What has to be installed, and the parameters that the nodes would read."""

from __future__ import annotations

from dataclasses import dataclass, field

from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings

REINSTALL = "install the package anew: pip install -e . (or colcon build), then source it"
PYTHON = ((3, 10), (3, 13))
PACKAGES = {
    "rclpy": "source /opt/ros/jazzy/setup.bash, or pip install '.[ros]'",
    "numpy": "pip install 'numpy>=1.24'",
    "yaml": "pip install pyyaml",
    "onnxruntime": "pip install onnxruntime (onnxruntime-gpu where there is a GPU)",
    "ruckig": "pip install ruckig",
    "dynamixel_sdk": "pip install dynamixel-sdk",
    "cv2": "pip install opencv-python-headless",
}
"""What every start needs, by import name."""
ON_ROBOT = {
    "pyrealsense2": "pip install pyrealsense2 && sudo apt install libusb-1.0-0 (on a Jetson: build librealsense)"
}
IN_SIM = {"mujoco": "pip install '.[sim]'"}


def needed(settings: Settings) -> dict[str, str]:
    """Import name to what installs it."""
    return PACKAGES | (IN_SIM if settings.sim else ON_ROBOT)


@dataclass(frozen=True)
class SoftwareFacts:
    """python: version of this interpreter. packages: import name to version. broken: import name to why it fails."""

    python: tuple[int, ...]
    executable: str
    packages: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def python(settings: Settings, facts: SoftwareFacts) -> Outcome:
    version = ".".join(map(str, facts.python))
    if not PYTHON[0] <= tuple(facts.python[:2]) <= PYTHON[1]:
        return wrong(f"{version}; expected 3.10 to 3.13", "make clean && make PYTHON=python3.11 dev")
    return ok(f"{version} ({facts.executable})")


def packages(settings: Settings, facts: SoftwareFacts) -> Outcome:
    """All of `needed` import; what is missing first."""
    mends = needed(settings)
    if facts.broken:
        found = joined(f"{name}: {why}" for name, why in facts.broken.items())
        return wrong(found, "; ".join(mends[name] for name in facts.broken))
    return ok(joined((f"{name} {version}" for name, version in facts.packages.items()), len(mends)))


@dataclass(frozen=True)
class GraphicsFacts:
    """backend: MUJOCO_GL. trouble: why no picture was rendered, empty else."""

    backend: str
    trouble: str = ""


def graphics(settings: Settings, facts: GraphicsFacts) -> Outcome:
    """The simulated camera can render."""
    if facts.trouble:
        return wrong(
            f"MUJOCO_GL={facts.backend}: {facts.trouble}",
            "sudo apt install libegl1 libgl1 libgl1-mesa-dri, and export MUJOCO_GL=egl",
        )
    return ok(f"MUJOCO_GL={facts.backend} renders")


@dataclass(frozen=True)
class ShareFacts:
    """files: name to where it is, empty where it is missing. trouble: name to why it cannot be read."""

    files: dict[str, str]
    trouble: dict[str, str] = field(default_factory=dict)


def share(settings: Settings, facts: ShareFacts) -> Outcome:
    """The package's data files are there and can be read."""
    missing = [name for name, path in facts.files.items() if not path]
    if missing or facts.trouble:
        bad = [f"{name} is missing" for name in missing] + [f"{name}: {why}" for name, why in facts.trouble.items()]
        return wrong(joined(bad), REINSTALL)
    return ok(joined(facts.files))


@dataclass(frozen=True)
class ParameterFacts:
    """What the nodes would read.

    nodes: node to parameter to value. refused: node to why it would not start. unknown: what no node declares.
    overridden: what a file says and the start of the graph overrules. missing: why the nodes cannot be asked.
    """

    nodes: dict[str, dict] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    overridden: list[str] = field(default_factory=list)
    missing: str = ""


def parameters(settings: Settings, facts: ParameterFacts) -> Outcome:
    """Every node accepts its parameters, and every name in the file is one."""
    file = settings.params_file or "config/sapave.yaml"
    if facts.missing:
        return wrong(f"the nodes cannot be asked: {facts.missing}", PACKAGES["rclpy"])
    if facts.refused:
        node, why = next(iter(facts.refused.items()))
        if why.startswith("module"):
            return wrong(f"{node}: {why}", REINSTALL)
        return wrong(
            joined(f"{n}: {w}" for n, w in facts.refused.items()), f"correct {why.split(':')[0]} of {node} in {file}"
        )
    if facts.unknown:
        return wrong(
            f"{joined(facts.unknown)}: no node declares that, and ROS ignores it without a word",
            f"correct it in {file}",
        )
    if facts.overridden:
        return warning(
            f"{joined(facts.overridden)}: the start of the graph overrules it",
            f"take it out of {file}; options of sapave up decide it: sapave up --help",
        )
    return ok(f"{len(facts.nodes)} nodes accept theirs ({file})")


def unread(what: str) -> Outcome:
    """For checks that need parameters that could not be read."""
    return skipped(f"{what} is unknown", "mend 'parameters' above")
