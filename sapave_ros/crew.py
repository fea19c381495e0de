"""Work shared out: in this process, to processes of this machine, or past it with Ray.

A crew is called with a function and tasks, and gives each task with its result as it ends, in any order. Function,
tasks and results travel between processes, so they can be pickled.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sapave_ros.orphans import die_with_pool

Task = TypeVar("Task")
Result = TypeVar("Result")

ONE_CORE = {"LP_NUM_THREADS": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of who works on one core: software rendering and linear algebra would each start threads for all."""


class Crew(Protocol):
    """shares_files: whether those who work write and read the same files as who asked them to."""

    shares_files: bool

    def __call__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]: ...


def crew(workers: int, ray: str | None = None) -> Crew:
    """The crew of the options `--workers` and `--ray`."""
    return RayCluster(ray) if ray else Processes(workers) if workers > 1 else Alone()


@dataclass(frozen=True)
class Alone:
    """In this process, one after the other."""

    shares_files = True

    def __call__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        os.environ.update(ONE_CORE)
        for task in tasks:
            yield task, work(task)


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine. begin, of: a function that each calls first, and its argument.

    A process that is killed ends it all with a RuntimeError; they all end with whoever started them.
    """

    workers: int
    begin: Callable[[Any], object] | None = None
    of: Any = None

    shares_files = True

    def __call__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        os.environ.update(ONE_CORE)
        # spawn: a graphics context does not survive a fork.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(self.workers, context, _enter, (self.begin, self.of))
        try:
            futures = {executor.submit(work, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker was killed (out of memory?); what is whole is kept: try again with fewer --workers"
            ) from error
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _enter(begin: Callable[[Any], object] | None, of: Any) -> None:
    die_with_pool()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    if begin is not None:
        begin(of)


@dataclass(frozen=True)
class RayCluster:
    """All cores of a Ray cluster. address: as `ray.init` takes it; "local" starts one on this machine.

    ray: the module, or whatever has its init, remote, wait, get and shutdown. Raises ModuleNotFoundError where Ray is
    not installed.
    """

    address: str
    ray: Any = None

    shares_files = False

    def __call__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        ray: Any = self.ray or importlib.import_module("ray")  # only here: nobody else needs it
        ray.init(address=self.address, runtime_env={"env_vars": ONE_CORE}, log_to_driver=False)
        try:
            remote = ray.remote(work)
            waiting = {remote.remote(task): task for task in tasks}
            while waiting:
                for reference in ray.wait(list(waiting), num_returns=1)[0]:
                    yield waiting.pop(reference), ray.get(reference)
        finally:
            ray.shutdown()
