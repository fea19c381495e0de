"""What `ros2 launch` is told of the graph, by stand-ins for it: not what it does."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from launch_stand_ins import launching

from sapave_ros import graph
from sapave_ros.parameters import ParameterError
from sapave_ros.transport import DISCOVERY, LOCALHOST_ONLY, PROFILE

NODES = [p.name for p in graph.PROCESSES if p.ros]


@pytest.fixture
def module(monkeypatch) -> ModuleType:
    for name in ("RMW_IMPLEMENTATION", PROFILE, DISCOVERY, LOCALHOST_ONLY, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    module = launching(monkeypatch, "launching")
    monkeypatch.setattr(module, "claim_run", lambda *_: [])
    return module


def actions(module: ModuleType, run_dir: Path, sim: bool, **given: str) -> list[Any]:
    """What is done after the arguments, which are as they are by default but for those that are given."""
    *arguments, act = module.launch_graph(sim).args[0]
    values = {a.args[0]: a.default_value for a in arguments} | {"run_dir": str(run_dir)}
    assert set(given) <= set(values)
    return act.function(SimpleNamespace(launch_configurations=values | given), *act.args)


def of_kind(all_of: list[Any], kind: str) -> list[Any]:
    return [a for a in all_of if a.kind == kind]


def environment(all_of: list[Any]) -> dict[str, str]:
    return dict(a.args for a in of_kind(all_of, "SetEnvironmentVariable"))


def test_on_a_robot_there_are_all_nodes_and_no_simulator(module, tmp_path):
    told = actions(module, tmp_path, sim=False, mode="shadow", dds_domain="3")
    nodes = {n.name: n for n in of_kind(told, "Node") if n.package == "sapave_ros"}
    assert list(nodes) == NODES and not of_kind(told, "ExecuteProcess")
    assert nodes["arm"].parameters[-1]["dds_domain"] == 3, "a number, not a string"
    assert nodes["arm"].parameters[-1]["mode"] == nodes["head"].parameters[-1]["mode"] == "shadow"
    assert all(n.parameters[0].endswith("config/sapave.yaml") for n in nodes.values())
    assert [n.executable for n in of_kind(told, "Node") if n.package != "sapave_ros"] == ["robot_state_publisher"]


def test_a_domain_that_is_both_is_refused(module, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    with pytest.raises(ParameterError, match="also the ROS domain"):
        actions(module, tmp_path, sim=False)


def test_a_persons_parameters_are_read_after_the_packages_own_and_before_those_of_the_run(module, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("{}")
    told = actions(module, tmp_path, sim=False, params_file=str(mine), joy="true")
    (arm,) = [n for n in of_kind(told, "Node") if getattr(n, "name", "") == "arm"]
    own, persons, runs = arm.parameters
    assert persons == str(mine) and own != persons and "dds_domain" in runs
    assert "joy_node" in [n.executable for n in of_kind(told, "Node")]
    with pytest.raises(ParameterError, match="params_file"):
        actions(module, tmp_path, sim=False, params_file=str(tmp_path / "none.yaml"))


def test_in_simulation_nobody_starts_before_the_robot_is_there(module, tmp_path):
    told = actions(module, tmp_path, sim=True, sim_arguments="--room tabletop --seed 3")
    assert not of_kind(told, "Node")
    (robot,), (handler,) = of_kind(told, "ExecuteProcess"), of_kind(told, "RegisterEventHandler")
    assert robot.cmd[-4:] == ["--room", "tabletop", "--seed", "3"]
    assert told.index(handler) < told.index(robot), "or what it says first is not heard"
    (event,) = handler.args
    assert event.target_action is robot
    assert event.on_stdout(SimpleNamespace(text=b"loading\n")) == []
    started = event.on_stdout(SimpleNamespace(text=f"{robot.name}: {graph.READY}\n".encode()))
    assert [n.name for n in started if n.package == "sapave_ros"] == NODES
    assert event.on_stdout(SimpleNamespace(text=f"{robot.name}: {graph.READY}\n".encode())) == [], "once"


def test_what_the_user_has_set_stays(module, tmp_path, monkeypatch):
    ours = environment(actions(module, tmp_path, sim=True))
    assert ours["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp" and ours[PROFILE].endswith(".xml")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    assert environment(actions(module, tmp_path, sim=True)) == {
        n: v for n, v in ours.items() if n != "RMW_IMPLEMENTATION"
    }


def test_who_finds_the_graph_goes_with_the_profile(module, tmp_path, monkeypatch):
    """The range of the environment would give shared memory to all, whatever our profile says; beside a profile of the
    user's own it is the user's."""
    monkeypatch.setenv(DISCOVERY, "LOCALHOST")
    monkeypatch.setenv(LOCALHOST_ONLY, "1")
    told = actions(module, tmp_path, sim=False)
    assert environment(told)[DISCOVERY] == "SYSTEM_DEFAULT" and environment(told)[LOCALHOST_ONLY] == "0"
    assert "_local" in environment(told)[PROFILE]
    pictures = {n.name: n.additional_env[PROFILE] for n in of_kind(told, "Node") if hasattr(n, "additional_env")}
    assert {name for name, profile in pictures.items() if profile.endswith("_pictures.xml")} == {"camera", "inference"}
    monkeypatch.setenv(PROFILE, "site.xml")
    told = actions(module, tmp_path, sim=False)
    theirs = [environment(told), *(n.additional_env for n in of_kind(told, "Node") if hasattr(n, "additional_env"))]
    assert not any({PROFILE, DISCOVERY, LOCALHOST_ONLY} & set(env) for env in theirs)
