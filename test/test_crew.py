"""Work shared out: whoever does it, every task has its own result, and none is lost or done twice."""

from __future__ import annotations

import os
import signal

import pytest
from fake_ray import FakeRay

from sapave_ros.crew import Alone, Processes, RayCluster, crew

_begun = 0


def double(task):
    return 2 * task


def begin(of):
    global _begun
    _begun = of


def begun(task):
    return _begun


def kill(task):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(task):
    raise ValueError(f"task {task}")


def crews():
    return [Alone(), Processes(2), RayCluster("here", FakeRay())]


@pytest.mark.parametrize("workers", crews(), ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("tasks", [[], [5], [3, 1, 4, 1, 5]])
def test_every_task_has_its_result(workers, tasks):
    assert sorted(workers(double, tasks)) == sorted((t, 2 * t) for t in tasks)


@pytest.mark.parametrize("workers", crews(), ids=lambda c: type(c).__name__)
def test_what_goes_wrong_reaches_who_asked(workers):
    with pytest.raises(ValueError, match="task 7"):
        list(workers(refuse, [7, 7]))


def test_processes_begin_with_what_they_are_told():
    assert list(Processes(1, begin, 9)(begun, [0])) == [(0, 9)]


def test_a_worker_that_is_killed_is_said():
    with pytest.raises(RuntimeError, match="killed"):
        list(Processes(1)(kill, [1]))


def test_a_cluster_is_left_in_order_whatever_happens():
    ray = FakeRay()
    work = RayCluster("head:1", ray)(double, [1, 2])
    next(work)
    work.close()
    assert ray.calls == ["head:1", "down"]


def test_options_choose():
    assert crew(1) == Alone()
    assert crew(3) == Processes(3)
    assert crew(3, "head:1") == RayCluster("head:1")
    assert [c.shares_files for c in crews()] == [True, True, False]
