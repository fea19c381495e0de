"""Whatever ends a process, ends those that it started."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

POOL = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from sapave_ros.orphans import die_with_pool
if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), die_with_pool)
    for _ in range(2):
        pool.submit(time.sleep, 60.0)
    print("begun", flush=True)
    time.sleep(60.0)
"""


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_workers_end_with_whoever_started_them(tmp_path, end):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        children: list[psutil.Process] = []
        while len(children) < 3:  # two workers and what tracks their resources
            children = psutil.Process(process.pid).children()
            time.sleep(0.05)
        time.sleep(1.0)  # until they have begun to work
        getattr(process, end)()
        process.wait()
    _, alive = psutil.wait_procs(children, 20.0)
    assert not alive
