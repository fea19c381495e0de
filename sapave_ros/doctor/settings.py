"""What the graph would be started with: the command line, the environment and the parameters as the nodes read them."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from sapave_ros.parameters import ParameterError, check, expected
from sapave_ros.plan import MAX_DOMAIN, Options, default_run_dir, plan

OF_ROS = frozenset({"use_sim_time", "start_type_description_service"})
"""Parameters that every ROS node has."""


@dataclass(frozen=True)
class Settings:
    """The options of one examination. Travels to the probes as JSON.

    interface: as given on the command line, empty = from the parameters. params_file: of the user, empty = none.
    nodes: node to parameter to value, empty until the parameters have been read (see `with_parameters`).
    """

    sim: bool
    dds_domain: int
    ros_domain: str = field(default_factory=lambda: os.environ.get("ROS_DOMAIN_ID") or "0")
    run_dir: str = ""
    interface: str = ""
    params_file: str = ""
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.dds_domain <= MAX_DOMAIN:
            raise ParameterError(f"dds_domain: {self.dds_domain}; expected 0..{MAX_DOMAIN}")
        if self.sim and self.interface not in ("", "lo"):
            raise ParameterError(f"interface: {self.interface!r}; expected none with --sim, which is on lo alone")
        if self.params_file and not Path(self.params_file).is_file():
            raise ParameterError(f"params_file: {self.params_file} is not a file")
        if not self.run_dir:
            domain = int(self.ros_domain) if self.ros_domain.isdecimal() else 0
            object.__setattr__(self, "run_dir", str(default_run_dir(domain)))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    def with_parameters(self, nodes: Mapping[str, Mapping[str, Any]]) -> Settings:
        return dataclasses.replace(self, nodes=nodes)

    @property
    def start(self) -> str:
        """The command that starts the graph that was asked about."""
        if self.sim:
            return "sapave up --sim"
        return f"sapave up --params-file {self.params_file}" if self.params_file else "sapave up"

    @property
    def again(self) -> str:
        """The command of this examination."""
        more = [f"--interface {self.interface}"] if self.interface and not self.sim else []
        more += [f"--params-file {self.params_file}"] if self.params_file else []
        return " ".join(["sapave doctor", *(["--sim"] if self.sim else []), *more])

    def forced(self, node: str) -> dict[str, Any]:
        """What `sapave up` and the launch files tell that node, whatever stands in a file."""
        # Of the ROS domain nothing here depends; its own value may be the fault that is looked for.
        stand_in = (self.dds_domain + 1) % MAX_DOMAIN
        options = Options(self.sim, stand_in, self.dds_domain, Path(self.run_dir))
        told = {}
        for start in plan(options):
            if start.name == node:
                told = {name: yaml.safe_load(text) for name, text in start.parameters.items()}
        if node == "arm" and self.interface:
            told["dds_interface"] = self.interface
        return told


def of_file(text: str, node: str) -> dict[str, Any]:
    """Parameters of one node out of a ROS parameter file; nested names are joined with dots.

    Raises ParameterError where the file is not one.
    """
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"params_file: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise ParameterError(f"params_file: {type(data).__name__}; expected NODE: {{ros__parameters: {{...}}}}")
    found: dict[str, Any] = {}
    for key in ("/**", node, f"/{node}"):
        block = data.get(key) or {}
        if not isinstance(block, dict) or set(block) - {"ros__parameters"}:
            raise ParameterError(f"params_file: {key}: {block!r:.60}; expected one entry 'ros__parameters'")
        found.update(_flat(block.get("ros__parameters") or {}))
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat


def build(kind: type, values: Mapping[str, Any]) -> Any:
    """A parameter dataclass from values, converted and refused as by `nodes/ros.parameters`."""
    hints, taken = get_type_hints(kind), {}
    for spec in dataclasses.fields(kind):
        if spec.name not in values:
            if spec.default is MISSING and spec.default_factory is MISSING:
                raise ParameterError(f"parameter {spec.name}: not set; expected {expected(spec)}")
            continue
        value, wanted = values[spec.name], hints[spec.name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if wanted is float and number:
            value = float(value)
        elif wanted is str and number:
            value = str(value)
        elif wanted in (int, float, str, bool) and type(value) is not wanted:
            raise ParameterError(f"parameter {spec.name}: {value!r}; expected {expected(spec)}")
        taken[spec.name] = value
    result = kind(**taken)
    check(result)
    return result


def declared(module_name: str) -> tuple[type, ...]:
    """The parameter dataclasses that a node's module declares: X in its `parameters(self, X)`, base classes included.

    Read from the source, so that nothing is to be kept in step. Importing a node imports rclpy.
    """
    module = importlib.import_module(module_name)
    modules = {module_name: module}
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module_name:
            for base in kind.__mro__:
                if base.__module__.startswith("sapave_ros.nodes."):
                    modules[base.__module__] = importlib.import_module(base.__module__)
    kinds: dict[str, type] = {}
    for each in modules.values():
        for call in ast.walk(ast.parse(inspect.getsource(each))):
            if not isinstance(call, ast.Call) or len(call.args) != 2:
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            named = getattr(each, getattr(call.args[1], "id", ""), None)
            if name == "parameters" and isinstance(named, type) and dataclasses.is_dataclass(named):
                kinds[named.__name__] = named
    return tuple(kinds.values())


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def strange_nodes(text: str, nodes: Sequence[str]) -> list[str]:
    """Top entries of a parameter file that name none of the nodes, with what may have been meant."""
    data = yaml.safe_load(text) or {}
    keys = [str(k).lstrip("/") for k in data]
    return [f"{k}{suggestion(k, nodes)}" for k in keys if k not in (*nodes, "**", "robot_state_publisher")]
