"""The process `sim` from outside: ready, alive on all its faces, gone without a trace; clear words when it cannot."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from sapave_ros import g1
from sapave_ros.drivers.dynamixel import DynamixelNeck, NeckParameters
from sapave_ros.drivers.frame_ring import FrameRingReader
from sapave_ros.sim.faults import SOCKETS, FaultClient, FaultError
from sapave_ros.sim.motors import MotorReader
from sapave_ros.sim.rendering import HEAD_CAMERA
from sapave_ros.sim.scene import demo_scene
from sapave_ros.sim.truth import TruthReader

pytestmark = pytest.mark.e2e

# What a driver does, in a process of its own because a process can join one DDS domain only: hears the state, holds
# the arms where they are but for the left elbow, and tells what came of it.
DRIVER = """
import json, sys, time
import numpy as np
from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr, unitree_sdk
unitree_sdk.load()
unitree_sdk.open_domain(int(sys.argv[1]), "lo")
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_
states, commands = unitree_sdk.Subscriber("rt/lowstate", LowState_), unitree_sdk.Publisher("rt/arm_sdk", LowCmd_)
state, frame = unitree_cdr.LowStateFrame(), unitree_cdr.LowCmdFrame()
elbow = g1.MOTOR_NAMES.index("left_elbow_joint")
first = start = heard = None
end = time.monotonic() + 15
while time.monotonic() < end:
    data = states.take()
    if data is None:
        time.sleep(0.001)
        continue
    state.load(data)
    assert state.intact
    q = state.motors[:29, 0].copy()
    if first is None:
        first, start, heard = q, time.monotonic(), 0
        frame.header[:] = 0, state.header[1]
        frame.motors[:29, 0], frame.motors[:29, 3], frame.motors[:29, 4] = q, 300.0, 10.0
        frame.motors[elbow, 0] -= 0.3
        frame.motors[g1.ARM_SDK_WEIGHT_INDEX, 0] = 1.0
    heard += 1
    commands.write(frame.seal())
    if time.monotonic() - start > 2.5:
        break
else:
    sys.exit("no state")
print(json.dumps({"moved": float(q[elbow] - first[elbow]), "heard": heard, "mode_machine": int(state.header[1])}))
"""


def start(run_dir, domain, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "sapave_ros.sim.main", "--run-dir", str(run_dir), "--dds-domain", str(domain), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process, number=signal.SIGINT):
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.fixture
def sim(tmp_path, dds_domain):
    process = start(tmp_path / "run", dds_domain, "--seed", "3", "--observer")
    assert process.stdout is not None
    assert process.stdout.readline() == "sim: ready\n", process.communicate(timeout=30)
    yield process, tmp_path / "run", dds_domain
    if process.poll() is None:
        process.kill()
        process.communicate()


def wait_for(condition, timeout_s=20.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def test_all_faces_live_and_leave_nothing(sim):
    process, run_dir, domain = sim
    camera, truth = FrameRingReader(run_dir / "camera"), TruthReader(run_dir / "truth")
    scene = demo_scene(3)

    sequence, frame = camera.latest_after(0)
    assert frame.rgb.shape == (HEAD_CAMERA.height, HEAD_CAMERA.width, 3)
    np.testing.assert_allclose(frame.intrinsics, HEAD_CAMERA.intrinsics)
    assert abs(time.time() - frame.stamp_s) < 5.0
    wait_for(lambda: camera.latest_after(sequence + 10) is not None)
    observer = FrameRingReader(run_dir / "observer")
    assert observer.latest_after(0)[1].rgb.std() > 5

    records = truth.all_after(0)
    assert truth.target == "red mug"
    np.testing.assert_allclose(records[0][1].head, scene.head, atol=0.03)
    assert not records[0][1].in_view
    stamps = [t.stamp_s for _, t in records]
    assert (np.diff(stamps) > 0).all()
    assert abs(camera.latest_after(0)[1].stamp_s - truth.all_after(0)[-1][1].stamp_s) < 1.0

    goal = np.array([0.1, 0.4])
    with DynamixelNeck(NeckParameters(port=str(run_dir / "neck"), response_timeout_s=0.2)) as neck:
        neck.engage()
        np.testing.assert_allclose(neck.read().positions, truth.all_after(0)[-1][1].head, atol=0.02)

        def arrived():
            neck.write(goal)
            return np.abs(truth.all_after(0)[-1][1].head - goal).max() < 0.02

        wait_for(arrived)

    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, str(domain)], capture_output=True, text=True, timeout=60, check=False
    )
    assert driver.returncode == 0, driver.stderr
    told = json.loads(driver.stdout)
    assert told["moved"] == pytest.approx(-0.3, abs=0.08)
    assert told["mode_machine"] in g1.MODE_MACHINES_29_DOF
    assert told["heard"] > 100

    code, out, err = stop(process)
    assert code == 0, err
    assert "refused commands: none" in out
    assert not list(run_dir.iterdir())


def test_it_can_be_broken_from_outside_and_only_if_it_was_started_so(sim, tmp_path, dds_domain):
    healthy, run_dir, _ = sim
    assert not {SOCKETS[part] for part in SOCKETS} & {p.name for p in run_dir.iterdir()}
    with pytest.raises(FaultError, match="--faults"):
        FaultClient(run_dir).inject("camera_silent")
    stop(healthy)

    process = start(run_dir, dds_domain, "--faults")
    try:
        assert process.stdout.readline() == "sim: ready\n"
        robot, camera, motors = (
            FaultClient(run_dir),
            FrameRingReader(run_dir / "camera"),
            MotorReader(run_dir / "motors"),
        )
        robot.inject("camera_frozen")
        sequence, first = camera.latest_after(0)
        wait_for(lambda: camera.latest_after(sequence + 3) is not None)
        _, later = camera.latest_after(sequence)
        assert later.stamp_s > first.stamp_s
        np.testing.assert_array_equal(later.rgb, first.rgb)
        robot.inject("camera_silent")
        told_s = robot.inject("arms_dropped")
        wait_for(lambda: motors.all_after(0).time_s[-1] > told_s)
        in_force = motors.all_after(0)
        np.testing.assert_array_equal((in_force.arms_kp == 0.0).all(axis=1), in_force.time_s >= told_s)
        silent, _ = camera.latest_after(0)
        with pytest.raises(FaultError, match="joint 'nose'"):
            robot.inject("motor_lost", joint="nose")
        robot.clear()
        wait_for(lambda: camera.latest_after(silent) is not None)
        assert motors.all_after(0).arms_kp[-1].all()
    finally:
        code, _, err = stop(process)
    assert code == 0, err
    assert not list(run_dir.iterdir())


def eyes_of(process):
    (eyes,) = psutil.Process(process.pid).children()
    return eyes


def test_the_camera_process_is_part_of_the_robot_and_its_death_is_said(sim):
    process, run_dir, _ = sim
    eyes_of(process).kill()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sim: the camera process ended (exit code -9)" in err
    assert "Traceback" not in err
    assert not os.path.lexists(run_dir / "neck")


def test_a_killed_robot_takes_its_camera_along(sim):
    process, run_dir, _ = sim
    eyes = eyes_of(process)
    process.kill()
    process.communicate()
    _gone, alive = psutil.wait_procs([eyes], timeout=30)
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in alive)  # where nobody reaps orphans
    assert not (run_dir / "camera").exists()


def test_sigterm_ends_it_as_well(sim):
    process, run_dir, _ = sim
    code, _, err = stop(process, signal.SIGTERM)
    assert code == 0, err
    assert not list(run_dir.iterdir())


def test_a_second_robot_on_the_same_domain_or_directory_is_refused(sim, tmp_path):
    _, run_dir, domain = sim
    second = start(tmp_path / "elsewhere", domain)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"dds_domain {domain}: another simulated G1 already runs there" in err
    assert os.path.islink(run_dir / "neck")
    assert (run_dir / "camera").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dds-domain", "999"], "dds_domain 999: expected an integer from 0 to 232"),
        (["--interface", "nowhere0"], "dds_interface 'nowhere0'"),
        (["--target", "pink horse"], "target: 'pink horse', expected a colour (red, "),
        (["--scene", "/nowhere/scene.json"], "/nowhere/scene.json"),
    ],
)
def test_bad_arguments_are_named(tmp_path, dds_domain, arguments, words):
    process = start(tmp_path / "run", dds_domain, *arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_a_scene_from_a_file(tmp_path, dds_domain):
    scene = demo_scene(5, ("blue", "vase"))
    (tmp_path / "scene.json").write_text(scene.to_json())
    arguments = ("--scene", str(tmp_path / "scene.json"), "--target", "blue vase")
    process = start(tmp_path / "run", dds_domain, *arguments)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "sim: ready\n"
        assert TruthReader(tmp_path / "run" / "truth").target == "blue vase"
    finally:
        code, _, err = stop(process)
    assert code == 0, err
