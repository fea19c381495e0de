"""Facts about what is installed and what the nodes would read."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from sapave_ros import graph
from sapave_ros.doctor import settings as of
from sapave_ros.doctor.judge.software import GraphicsFacts, ParameterFacts, ShareFacts, SoftwareFacts, needed
from sapave_ros.doctor.settings import Settings
from sapave_ros.parameters import ParameterError
from sapave_ros.share import share_path

SHARED = (
    "config/fastdds.xml",
    "config/fastdds_local.xml",
    "config/fastdds_local_pictures.xml",
    "config/fastdds_local_record.xml",
    "config/fastdds_pictures.xml",
    "config/fastdds_record.xml",
    "config/sapave.yaml",
    "models/g1/g1.urdf",
)


def software(settings: Settings) -> SoftwareFacts:
    packages, broken = {}, {}
    distributions = packages_distributions()
    for name in needed(settings):
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a broken binary raises anything
            broken[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        try:
            packages[name] = version(distributions[name][0])
        except (KeyError, PackageNotFoundError):
            packages[name] = str(getattr(module, "__version__", "of unknown version"))
    return SoftwareFacts(tuple(sys.version_info[:3]), sys.executable, packages, broken)


def graphics(settings: Settings) -> GraphicsFacts:
    backend = os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco

        context = mujoco.GLContext(16, 16)
        context.make_current()
        context.free()
    except Exception as error:
        return GraphicsFacts(backend, f"{type(error).__name__}: {error}")
    return GraphicsFacts(backend)


def share(settings: Settings) -> ShareFacts:
    files, trouble = {}, {}
    for name in SHARED:
        try:
            files[name] = str(share_path(name))
        except FileNotFoundError:
            files[name] = ""
    if files["models/g1/g1.urdf"]:
        from sapave_ros.core.kinematics import Kinematics

        try:
            Kinematics.from_urdf()
        except Exception as error:
            trouble["models/g1/g1.urdf"] = f"{type(error).__name__}: {error}"
    return ShareFacts(files, trouble)


def parameters(settings: Settings) -> ParameterFacts:
    """Imports the nodes; what does not import leaves the rest to be judged."""
    nodes: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    unknown: list[str] = []
    overridden: list[str] = []
    texts = [share_path("config/sapave.yaml").read_text()]
    if settings.params_file:
        texts.append(Path(settings.params_file).read_text())
    names = [p.name for p in graph.PROCESSES if p.ros]
    for process in graph.PROCESSES:
        if not process.ros:
            continue
        try:
            kinds = of.declared(process.module)
        except ImportError as error:
            if (error.name or "").split(".")[0] != "sapave_ros":
                return ParameterFacts(missing=str(error))
            refused[process.name] = f"module: {error}"
            continue
        try:
            in_files: dict[str, Any] = {}
            for text in texts:
                in_files.update(of.of_file(text, process.name))
            forced = settings.forced(process.name)
            values = in_files | forced
            nodes[process.name] = {}
            for kind in kinds:
                nodes[process.name].update(dataclasses.asdict(of.build(kind, values)))
        except ParameterError as error:
            refused[process.name] = str(error)
            continue
        known = {*nodes[process.name], *of.OF_ROS}
        unknown += [
            f"{process.name}.{name}{of.suggestion(name, known)}"
            for name in in_files
            if name not in known and not name.startswith("qos_overrides")
        ]
        overridden += [
            f"{process.name}.{name}: {in_files[name]!r} (will be {forced[name]!r})"
            for name in forced
            if name in in_files and in_files[name] != forced[name]
        ]
    if not refused:
        unknown += [f"node {name}" for text in texts for name in of.strange_nodes(text, names)]
    return ParameterFacts(nodes, refused, unknown, overridden)
