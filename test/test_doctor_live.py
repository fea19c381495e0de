"""`sapave doctor` as a person runs it: without a graph, and beside a running simulated robot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import serial

from sapave_ros import graph
from sapave_ros.doctor.checks import CHECKS

pytestmark = pytest.mark.e2e

OF_THIS_MACHINE = {"processor", "memory", "disk for logs", "shared memory", "UDP buffers", "inference"}
"""What other programs on the machine that runs the tests may make worse."""

WRITER = """
import sys, time
from sapave_ros.drivers import unitree_sdk
unitree_sdk.open_domain(int(sys.argv[1]), "lo")
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_
writers = [unitree_sdk.Publisher(topic, LowCmd_) for topic in ("rt/arm_sdk", "rt/user_lowcmd")]
print("there", flush=True)
time.sleep(120)
"""


def doctor(tmp_path, *more):
    """Exit code, what was printed, and the findings by name."""
    file = tmp_path / "doctor.json"
    done = subprocess.run(
        [sys.executable, "-m", "sapave_ros.cli", "doctor", "--sim", "--json", str(file), *more],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    data = json.loads(file.read_text())
    assert data["exit_code"] == done.returncode
    return done.returncode, done.stdout, {f["name"]: f for f in data["findings"]}


def wrong(found):
    """Name to what was found, of what is wrong."""
    return {n: f["found"] for n, f in found.items() if f["verdict"] == "wrong" and n not in OF_THIS_MACHINE}


def test_before_a_start_all_is_in_order_or_not_looked_at(ros_domain, dds_domain, tmp_path):
    _, printed, found = doctor(tmp_path, "--dds-domain", str(dds_domain), "--run-dir", str(tmp_path / "run"))
    assert list(found) == [c.name for c in CHECKS]
    assert wrong(found) == {}
    unseen = {name for name, f in found.items() if f["verdict"] == "not looked at"}
    assert unseen == {
        "robot state", "type", "robot clock", "upright", "motors", "motion service", "hands",
        "servo port", "servos", "head position", "latency timer", "camera",
    }  # fmt: skip
    assert all(f["mend"] for f in found.values() if f["verdict"] != "ok")
    assert max(map(len, printed.splitlines())) <= 100
    assert not (tmp_path / "run").exists()


def test_a_clash_of_domains_is_found(dds_domain, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(dds_domain))
    code, _, found = doctor(tmp_path, "--dds-domain", str(dds_domain), "--run-dir", str(tmp_path / "run"))
    assert code == 1
    assert {"domains", "Fast DDS profile"} <= set(wrong(found))
    assert "export ROS_DOMAIN_ID=" in found["domains"]["mend"]


def test_what_a_file_says_is_read_as_the_nodes_read_it(ros_domain, dds_domain, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("arm: {ros__parameters: {limit_scal: 0.5}}\nhead: {ros__parameters: {ids: [4, 5]}}\n")
    arguments = ("--dds-domain", str(dds_domain), "--run-dir", str(tmp_path / "run"), "--params-file", str(file))
    code, _, found = doctor(tmp_path, *arguments)
    assert code == 1
    assert "arm.limit_scal; did you mean limit_scale?" in found["parameters"]["found"]
    file.write_text("head: {ros__parameters: {ids: [4, 4]}}\n")
    code, _, found = doctor(tmp_path, *arguments)
    assert code == 1
    assert "parameter ids: [4, 4]" in found["parameters"]["found"]
    assert found["servos"]["verdict"] == "not looked at"


@pytest.fixture
def sim(tmp_path, dds_domain):
    process = subprocess.Popen(
        [sys.executable, "-m", graph.process("sim").module]
        + ["--run-dir", str(tmp_path / "run"), "--dds-domain", str(dds_domain)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "sim: ready\n"
    yield process, tmp_path / "run", dds_domain
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_beside_a_running_robot(sim, ros_domain, tmp_path):
    process, run_dir, domain = sim
    arguments = ("--dds-domain", str(domain), "--run-dir", str(run_dir))
    _, _, found = doctor(tmp_path, *arguments)
    assert wrong(found) == {}
    assert [n for n, f in found.items() if f["verdict"] == "not looked at"] == ["motion service"]
    assert "mode_machine 5" in found["type"]["found"]
    assert "XL330-M288" in found["servos"]["found"]
    assert "limp" in found["head position"]["found"]

    stranger = subprocess.Popen([sys.executable, "-c", WRITER, str(domain)], stdout=subprocess.PIPE, text=True)
    assert stranger.stdout is not None
    try:
        while stranger.stdout.readline() not in ("there\n", ""):
            pass
        with serial.Serial(str(run_dir / "neck")):
            code, _, found = doctor(tmp_path, *arguments)
    finally:
        stranger.kill()
        stranger.communicate()
    assert code == 1
    assert set(wrong(found)) == {"other writers", "servo port"}
    for topic in ("rt/arm_sdk", "rt/user_lowcmd"):
        assert topic in found["other writers"]["found"]
    assert f" {stranger.pid} on " in found["other writers"]["found"]
    assert found["servo port"]["mend"] == f"kill {os.getpid()}"

    # A robot that stands still says nothing; the doctor neither hangs nor calls it well.
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    _, _, found = doctor(tmp_path, *arguments)
    process.send_signal(signal.SIGCONT)
    assert {"robot state", "servos", "camera"} <= set(wrong(found))

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert "refused commands: none" in out
