"""Shared memory of Fast DDS: what nobody uses goes, what somebody holds stays."""

from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from sapave_ros import shared_memory
from sapave_ros.shared_memory import clear_left_behind


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    monkeypatch.setattr(shared_memory, "SETTLED_S", -1.0)


def port(folder, number: int) -> list[str]:
    names = [f"fastrtps_port{number}", f"fastrtps_port{number}_el", f"sem.fastrtps_port{number}_mutex"]
    for name in names:
        (folder / name).write_bytes(bytes(4096))
    return names


def test_what_nobody_uses_goes_and_nothing_else(tmp_path) -> None:
    names = port(tmp_path, 7001)
    (tmp_path / "somebody_elses").touch()
    assert sorted(clear_left_behind(tmp_path)) == sorted(names)
    assert os.listdir(tmp_path) == ["somebody_elses"]
    assert clear_left_behind(tmp_path) == []


def test_a_port_whose_owner_holds_its_lock_stays_whole(tmp_path) -> None:
    names = port(tmp_path, 7001)
    with (tmp_path / names[1]).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert clear_left_behind(tmp_path) == []
    assert sorted(clear_left_behind(tmp_path)) == sorted(names)


def test_a_port_that_somebody_has_mapped_stays_whole(tmp_path) -> None:
    names = port(tmp_path, 7001)
    with (tmp_path / names[2]).open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 4096)
    assert clear_left_behind(tmp_path) == []
    memory.close()
    assert sorted(clear_left_behind(tmp_path)) == sorted(names)


def test_what_has_just_been_made_stays(tmp_path, monkeypatch) -> None:
    port(tmp_path, 7001)
    monkeypatch.setattr(shared_memory, "SETTLED_S", 60.0)
    assert clear_left_behind(tmp_path) == []
