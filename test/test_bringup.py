"""Starting, watching and stopping the graph, with small stand-ins for its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from sapave_ros import bringup as module
from sapave_ros.bringup import Bringup, BringupError
from sapave_ros.claims import ClaimedError, claim
from sapave_ros.plan import Options, Start

PATIENCE_S = 30.0

# name, diary, and in words of its own what it does differently
STAND_IN = """
import os, signal, sys, time
name, diary, ways = sys.argv[1], sys.argv[2], sys.argv[3:]
def write(word):
    with open(diary, "a") as f:
        f.write(f"{word} {name} {os.getpid()}\\n")
def stop(number, _):
    if "slow" in ways:
        time.sleep(1.0)
    write("stopped")
    os._exit(0)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN if "deaf" in ways else stop)
write("started")
if "dies" in ways:
    sys.exit("no such device")
if "mute" not in ways:
    print(f"{name}: ready", flush=True)
while True:
    if "talks" in ways:
        print("x" * 1000, flush=True)
    time.sleep(0.002)
"""


def stand_ins(diary: Path, **ways: str) -> tuple[Start, ...]:
    """One Start for each name; `sim` is the robot, which must be ready before the others start."""
    return tuple(
        Start(name, name, name != "sim", (sys.executable, "-c", STAND_IN, name, str(diary), *words.split()), {})
        for name, words in ways.items()
    )


def entries(diary: Path, word: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in diary.read_text().splitlines()] if diary.exists() else []
    return [(name, int(pid)) for what, name, pid in lines if what == word]


def until(done, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone(diary: Path) -> bool:
    """Whether every process that has started has ended."""
    return not any(alive(pid) for _, pid in entries(diary, "started"))


@pytest.fixture
def diary(tmp_path) -> Path:
    return tmp_path / "diary"


@pytest.fixture
def options(ros_domain, dds_domain, tmp_path) -> Options:
    return Options(sim=True, ros_domain=ros_domain, dds_domain=dds_domain, run_dir=tmp_path / "run")


@pytest.fixture
def graph_of(monkeypatch, diary):
    def use(**ways: str) -> None:
        monkeypatch.setattr(module, "plan", lambda _: stand_ins(diary, **ways))

    return use


@pytest.fixture
def run_up(options, diary):
    """`sapave up` on stand-ins, as a process of its own."""
    processes = []

    def start(**ways: str) -> subprocess.Popen[str]:
        code = f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from pathlib import Path
            from sapave_ros import bringup
            from sapave_ros.plan import Options
            from test_bringup import stand_ins
            bringup.plan = lambda _: stand_ins(Path({str(diary)!r}), **{ways!r})
            sys.exit(bringup.up(Options(sim=True, ros_domain={options.ros_domain}, dds_domain={options.dds_domain},
                                        run_dir=Path({str(options.run_dir)!r}))))
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_robot_first_and_everything_back_in_reverse(options, diary, graph_of):
    graph_of(sim="", head="", arm="")
    with Bringup(options) as running:
        running.start()
        assert list(running.pids) == ["sim", "head", "arm"]
        assert entries(diary, "started")[0][0] == "sim"
        running.check()
    assert [name for name, _ in entries(diary, "stopped")] == ["arm", "head", "sim"]
    assert gone(diary)


def test_a_process_that_cannot_start_is_named_with_what_it_said(options, diary, graph_of):
    graph_of(sim="", head="dies")
    with pytest.raises(BringupError, match=r"head exited with code 1\n.*no such device\n.*head\.log"):
        Bringup(options).start()
    assert gone(diary)


def test_one_that_is_never_ready_is_named(options, diary, graph_of, monkeypatch):
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.3)
    graph_of(sim="mute")
    with pytest.raises(BringupError, match="sim: not ready"):
        Bringup(options).start()
    assert gone(diary)


def test_the_deaf_are_killed(options, diary, graph_of, monkeypatch):
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
    graph_of(sim="deaf")
    said: list[str] = []
    with Bringup(options, echo=lambda name, line: said.append(f"{name} {line}")) as running:
        running.start()
    assert gone(diary)
    assert "sim does not stop on SIGTERM" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_stops_everything_in_order(run_up, diary, number, times):
    process = run_up(sim="", head="slow")
    assert process.stdout is not None
    while "Ctrl-C stops" not in process.stdout.readline():
        pass
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert [name for name, _ in entries(diary, "stopped")] == ["head", "sim"]
    assert gone(diary)


@pytest.mark.parametrize("stuck", ["sim", "head"])
def test_a_signal_while_starting_stops_what_there_is(run_up, diary, stuck):
    process = run_up(**{"sim": "", "head": "", stuck: "mute"})
    until(lambda: stuck in dict(entries(diary, "started")), stuck)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert gone(diary)


def test_killed_outright_it_leaves_no_process_and_the_next_start_waits_for_them(run_up, options, diary, graph_of):
    process = run_up(sim="", head="slow")
    assert process.stdout is not None
    while "Ctrl-C stops" not in process.stdout.readline():
        pass
    before = entries(diary, "started")
    process.kill()
    process.wait()
    graph_of(sim="")
    with Bringup(options) as running:
        running.start()
        assert not any(alive(pid) for _, pid in before)
        assert {name for name, _ in entries(diary, "stopped")} == {"head", "sim"}


def test_a_reader_who_leaves_stops_nothing_but_the_reading(options, diary, graph_of):
    """`sapave up | head`: the processes must not block on output that nobody takes."""
    graph_of(sim="talks")
    read, write = os.pipe()
    os.close(read)

    def echo(name: str, line: str) -> None:
        os.write(write, line.encode())

    with Bringup(options, echo=echo) as running:
        running.start()
        log = running.log_path("sim")
        until(lambda: log.stat().st_size > 200_000, "more than a pipe holds")
        running.check()
    os.close(write)
    assert gone(diary)


@pytest.mark.parametrize("field", ["ros_domain", "dds_domain", "run_dir"])
def test_what_another_run_uses_is_refused_by_name(options, graph_of, field, tmp_path):
    graph_of(sim="")
    other = {"ros_domain": 33, "dds_domain": 34, "run_dir": tmp_path / "other", field: getattr(options, field)}
    with Bringup(options) as running:
        running.start()
        with pytest.raises(BringupError, match=rf"{field}: .* in use by another run .*process {os.getpid()}\)"):
            Bringup(Options(sim=True, **other)).start()
        running.check()
    with Bringup(Options(sim=True, **other)) as again:  # nothing of the refused start stays claimed
        again.start()


def test_a_claim_ends_with_its_socket():
    name = f"test of process {os.getpid()}"
    held = claim("field", name)
    with pytest.raises(ClaimedError, match=f"field: {name}"):
        claim("field", name)
    held.close()
    claim("field", name).close()


def test_stop_while_starting_by_another_thread(options, diary, graph_of):
    graph_of(sim="mute")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(BringupError, match="stopped while starting"):
        Bringup(options).start(stop)
    assert gone(diary)
