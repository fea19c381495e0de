"""Stand-ins for `launch`, which only a ROS installation has: what it is told can be looked at, and nothing is done."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from types import SimpleNamespace

import pytest

_MODULES = (
    "launch", "launch.actions", "launch.conditions", "launch.event_handlers", "launch.events", "launch.events.process",
    "launch.launch_description_entity", "launch.substitutions", "launch_ros", "launch_ros.actions",
)  # fmt: skip
_OURS = ("launching", "launching_monitor", "launching_replay")


def _action(kind: str) -> Callable[..., SimpleNamespace]:
    return lambda *args, **named: SimpleNamespace(**{"kind": kind, "args": args} | named)


def launching(monkeypatch: pytest.MonkeyPatch, name: str) -> types.ModuleType:
    """A module of the package that describes a launch, by that name. Each action is a namespace of its `kind`, its
    `args` and what it was given by name."""
    for module in _MODULES:
        stand_in = types.ModuleType(module)
        stand_in.__getattr__ = lambda kind: (
            lambda *args, **named: SimpleNamespace(**{"kind": kind, "args": args} | named)
        )
        monkeypatch.setitem(sys.modules, module, stand_in)
    for ours in _OURS:
        monkeypatch.delitem(sys.modules, f"sapave_ros.{ours}", raising=False)
    module = importlib.import_module(f"sapave_ros.{name}")
    for ours in _OURS:  # what was made of stand-ins is nobody else's
        monkeypatch.delitem(sys.modules, f"sapave_ros.{ours}", raising=False)
    return module
