"""The tables agree with themselves, with the code and with README."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

import pytest

from sapave_ros import graph, tables
from sapave_ros.plan import Options, environment, plan
from sapave_ros.transport import RECORD, transport

ROOT = Path(__file__).resolve().parents[1]
NAMES = {p.name for p in graph.PROCESSES}


def imports(path: Path) -> set[str]:
    """Top-level names that a module imports, and the packages of this project that it imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {m if m.startswith("sapave_ros") else m.split(".")[0] for m in found}


@pytest.mark.parametrize("stream", graph.STREAMS, ids=lambda s: s.topic)
def test_streams_connect_known_processes_with_known_types(stream):
    assert set(stream.publishers) <= NAMES | {"*"}
    assert set(stream.subscribers) <= NAMES | {"*"}
    package, message = stream.type.split("/")
    assert hasattr(importlib.import_module(f"{package}.msg"), message)
    if stream.rate_hz and stream.stale_after_s:
        assert stream.stale_after_s > 2 / stream.rate_hz, "a bound below two periods fires on jitter"


def test_names_are_unique():
    assert len({s.topic for s in graph.STREAMS}) == len(graph.STREAMS)
    assert len(NAMES) == len(graph.PROCESSES)
    assert {s.server for s in graph.SERVICES} <= NAMES | {graph.RECORDER}


def test_one_writer_per_actuator():
    """Commands after the gate have one publisher each: the controller that owns the actuator."""
    assert graph.stream(graph.HEAD_COMMAND).publishers == ("head",)
    assert graph.stream(graph.ARM_COMMAND).publishers == ("arm",)
    assert graph.stream(graph.PERMIT).publishers == ("watchdog",)


def test_lookups_list_what_there_is():
    with pytest.raises(KeyError, match="watchdog"):
        graph.process("balance")
    with pytest.raises(KeyError, match="/sapave/permit"):
        graph.stream("/nothing")


@pytest.mark.parametrize("process", graph.PROCESSES, ids=lambda p: p.name)
def test_every_process_has_a_module_with_a_main(process):
    assert callable(importlib.import_module(process.module).main)


FORBIDDEN = {
    "core": {"rclpy", "mujoco", "cyclonedds", "unitree_sdk2py", "dynamixel_sdk", "pyrealsense2", "onnxruntime", "torch",
             "sapave_ros.nodes", "sapave_ros.drivers", "sapave_ros.sim", "sapave_ros.learning"},
    "policy": {"rclpy", "mujoco", "torch", "sapave_ros.nodes", "sapave_ros.sim", "sapave_ros.learning"},
    "drivers": {"rclpy", "mujoco", "torch", "sapave_ros.nodes", "sapave_ros.sim", "sapave_ros.learning"},
    "nodes": {"mujoco", "torch", "unitree_sdk2py", "dynamixel_sdk", "pyrealsense2",
              "sapave_ros.sim", "sapave_ros.learning"},
    "bag": {"rclpy", "mujoco", "torch", "sapave_ros.nodes", "sapave_ros.drivers", "sapave_ros.sim",
            "sapave_ros.learning"},
    "sim": {"rclpy", "torch", "onnxruntime", "sapave_ros.nodes", "sapave_ros.learning", "sapave_ros.core"},
}  # fmt: skip


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_layers_import_downwards_only(folder):
    for path in (ROOT / "sapave_ros" / folder).glob("*.py"):
        for name in imports(path):
            for forbidden in FORBIDDEN[folder]:
                assert name != forbidden and not name.startswith(forbidden + "."), f"{path.name} imports {name}"


def test_sim_has_one_extra_process_and_the_same_nodes():
    sim = plan(Options(sim=True, ros_domain=5, dds_domain=6))
    robot = plan(Options(sim=False, ros_domain=5, dds_domain=0))
    assert [s.name for s in sim if s.name != "sim"] == [s.name for s in robot]
    assert sim[0].name == "sim"


def test_readme_tables_are_those_of_the_code():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == tables.render(readme), "run `sapave tables`"
    for name in tables.TABLES:
        assert f"<!-- table: {name} -->" in readme


@pytest.mark.parametrize("sim", [True, False])
@pytest.mark.parametrize("caller", ["", "SUBNET", "LOCALHOST"])
def test_who_moves_joints_or_watches_shares_no_memory(sim, caller, monkeypatch):
    """A process that is stopped or killed can hold up whoever shares memory with it."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", caller)
    carriers = {p.name for p in graph.PROCESSES if graph.process_has_pictures(p.name)}
    assert carriers == {"camera", "inference"}
    for p in graph.PROCESSES:
        env = environment(Options(sim=sim, ros_domain=3), p.name)
        profile = Path(env["FASTRTPS_DEFAULT_PROFILES_FILE"]).read_text()
        assert ("<type>SHM</type>" in profile) == (p.name in carriers)
        stays_here = sim or caller == "LOCALHOST"
        assert ("<interfaceWhiteList>" in profile) == stays_here
        # That range adds shared memory to any profile.
        assert (os.environ | env)["ROS_AUTOMATIC_DISCOVERY_RANGE"] == ("SYSTEM_DEFAULT" if stays_here else caller)


@pytest.mark.parametrize("caller", ["", "SUBNET", "LOCALHOST"])
def test_who_records_shares_no_memory_either(caller):
    """A recorder waits for a disk; the camera and the policy shall not wait for the recorder."""
    env = transport(RECORD, {"ROS_AUTOMATIC_DISCOVERY_RANGE": caller})
    profile = Path(env["FASTRTPS_DEFAULT_PROFILES_FILE"]).read_text()
    assert "<type>SHM</type>" not in profile
    assert "<useBuiltinTransports>false</useBuiltinTransports>" in profile
    assert env.get("ROS_AUTOMATIC_DISCOVERY_RANGE", caller) != "LOCALHOST"
