"""Whatever ends a process, ends those that it started."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from sapave_ros.orphans import die_with_pool

def begin():
    die_with_pool()
    print(os.getpid(), flush=True)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), begin)
    for _ in range(2):
        pool.submit(time.sleep, 60.0)
    time.sleep(60.0)
"""


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_workers_end_with_whoever_started_them(tmp_path, end):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
        getattr(process, end)()
        process.wait()
    _, alive = psutil.wait_procs(workers, 20.0)
    assert not alive
