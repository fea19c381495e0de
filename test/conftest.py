"""Shared fixtures. Whoever starts ROS or DDS asks for a domain of its own, so that two runs never meet."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sapave_ros.shared_memory import clear_left_behind

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


def pytest_sessionstart() -> None:
    """Earlier tests kill processes; what these left in shared memory must not reach the next ones."""
    clear_left_behind()


def participants() -> int:
    """ROS participants of this process, told by the event threads of Fast DDS."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            count += (task / "comm").read_text().startswith("dds.ev.")
    return count


@pytest.fixture(autouse=True, scope="module")
def nobody_stays() -> Iterator[None]:
    """A participant that outlives its module says its latched instruction to the graphs of those behind it."""
    before = participants()
    yield
    assert participants() == before


def _claim(first: int, last: int) -> Iterator[int]:
    """A number that no other test process holds: an abstract UNIX socket is the lock, and dies with its owner."""
    for number in range(first, last + 1):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0sapave-test-domain-{number}")
        except OSError:
            lock.close()
            continue
        try:
            yield number
        finally:
            lock.close()
        return
    raise RuntimeError(f"all test domains {first}..{last} are taken")


@pytest.fixture(scope="module")
def module_ros_domain() -> Iterator[int]:
    """A ROS domain id for one module; the module's tests put it where it is needed."""
    yield from _claim(70, 85)


@pytest.fixture(scope="module")
def module_dds_domain() -> Iterator[int]:
    """A domain id of the Unitree side for one module."""
    yield from _claim(86, 101)


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain id for this test alone, set in the environment of all that it starts."""
    for number in _claim(70, 85):
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield number


@pytest.fixture
def dds_domain() -> Iterator[int]:
    """A domain id for the Unitree side of this test alone."""
    yield from _claim(86, 101)


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """`sapave bench perception` plays nothing: its rows are made up, see `perception_actor.Actor`."""
    from perception_actor import Actor

    from sapave_ros.bench import perception_play

    for name, value in (("played", []), ("lost", frozenset()), ("ends", None)):
        monkeypatch.setattr(Actor, name, value, raising=False)
    monkeypatch.setattr(perception_play, "Player", Actor)
    return Actor
