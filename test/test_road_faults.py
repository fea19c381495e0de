"""Parts of the running graph stop or die while head and arms move: what the joints of the simulated robot do then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from test_road import PATIENCE_S, Road

from sapave_ros import g1, graph
from sapave_ros.bringup import Bringup
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import session
from sapave_ros.plan import Options, environment, plan
from sapave_ros.types import ActionChunk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

STEPS, DT_S = 60, 0.1  # far longer than any of this takes; the limits end it otherwise
ELBOWS = ("left_elbow_joint", "right_elbow_joint")


_ANEW: list[subprocess.Popen] = []


def start_anew(road: Road, name: str) -> None:
    """A node that was killed, as a person would start it again."""
    options = road.bringup.options
    start = next(s for s in plan(options) if s.name == name)
    _ANEW.append(subprocess.Popen(start.argv, env={**os.environ, **environment(options, name)}))


@pytest.fixture(scope="module")
def road(module_ros_domain, module_dds_domain, tmp_path_factory) -> Iterator[Road]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(module_ros_domain))
        bringup = Bringup(
            Options(
                sim=True,
                ros_domain=module_ros_domain,
                dds_domain=module_dds_domain,
                run_dir=tmp_path_factory.mktemp("run"),
                sim_arguments=("--seed", "3"),
            )
        )
        bringup.start()
        try:
            with session() as operator:
                road = Road(operator, bringup)
                road.until(lambda: road.state == "STANDBY", "STANDBY")
                yield road
        finally:
            for pid in bringup.pids.values():  # a stopped process does not hear that it shall end
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGCONT)
            for process in _ANEW:
                process.terminate()
                process.wait()
            bringup.stop()


@pytest.fixture(autouse=True)
def going_on(road: Road) -> Iterator[None]:
    """Whatever a test stopped goes on after it: one that fails does not fail those behind it."""
    yield
    for pid in road.bringup.pids.values():
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)


def joints(road: Road) -> np.ndarray:
    truth = road.truth()
    return np.concatenate([truth.head, truth.arms])


def set_in_motion(road: Road, speed_rad_s: float = 0.4) -> np.ndarray:
    """Head and elbows on a long way; returns where they began, once all of them move."""
    road.arm()
    road.until(lambda: all(not road.reported[f"sapave/{n}"]["holding"] for n in ("head", "arm")), "free to move")
    before = joints(road)
    now, step = ros.now_s(road.operator), speed_rad_s * DT_S
    middle = (g1.HEAD.lower + g1.HEAD.upper) / 2
    head = np.where(before[:2] > middle, -step, step)
    elbows = [2 + g1.ARMS.names.index(name) for name in ELBOWS]
    arms = np.where(before[elbows] > 0.5, -step, step)
    road.send(graph.HEAD_INCREMENTS, ActionChunk(now, DT_S, g1.HEAD.names, np.tile(head, (STEPS, 1))))
    road.send(graph.ARM_INCREMENTS, ActionChunk(now, DT_S, ELBOWS, np.tile(arms, (STEPS, 1))))
    moving = [0, 1, *elbows]
    road.until(lambda: np.abs(joints(road) - before)[moving].min() > 0.04, "head and arms move")
    return before


def assert_stopped_and_stay(road: Road, begun: np.ndarray, far: float = 0.6) -> None:
    """At rest, and not at the end of the way."""
    road.spin(0.5)
    rest = joints(road)
    assert np.abs(rest - begun).max() < far
    road.spin(1.0)
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)


def test_a_camera_that_stands_still_holds_everything(road):
    begun = set_in_motion(road)
    os.kill(road.bringup.pids["camera"], signal.SIGSTOP)
    road.until(lambda: road.state == "HOLD", "HOLD")
    reason = road.operator.reason  # its reports and its pictures end at the same time
    assert graph.CAMERA_INFO in reason or "(camera)" in reason
    assert_stopped_and_stay(road, begun)
    rest = joints(road)
    os.kill(road.bringup.pids["camera"], signal.SIGCONT)
    road.spin(1.0)
    assert road.state == "HOLD"  # a person says go
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)


def test_a_watchdog_that_stands_still_holds_and_does_not_resume(road):
    begun = set_in_motion(road)
    os.kill(road.bringup.pids["watchdog"], signal.SIGSTOP)
    road.until(lambda: all(road.reported[f"sapave/{n}"]["holding"] for n in ("head", "arm")), "both hold")
    assert_stopped_and_stay(road, begun)
    rest = joints(road)
    os.kill(road.bringup.pids["watchdog"], signal.SIGCONT)
    road.until(lambda: road.state == "HOLD", "HOLD")
    road.spin(0.5)
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)


def test_an_sdk_process_that_stood_still_throws_no_arm(road):
    children = psutil.Process(road.bringup.pids["arm"]).children()
    (sdk,) = (child for child in children if any("unitree_process" in part for part in child.cmdline()))
    begun = set_in_motion(road, speed_rad_s=1.15)  # the policy was trained to 1.2
    sequence = road._truth.all_after(0)[-1][0]
    sdk.suspend()
    time.sleep(0.2)  # shorter than its input holds setpoints
    sdk.resume()
    road.spin(0.7)
    records = [truth for _, truth in road._truth.all_after(sequence)]
    arms, stamps = np.array([t.arms for t in records]), np.array([t.stamp_s for t in records])
    speed = np.abs(np.diff(arms, axis=0)) / np.diff(stamps)[:, None]
    assert speed.max() < 2.5  # the controller holds without states; what it had sent by then is no jump either
    assert np.abs(joints(road) - begun).max() > 0.1
    road.operator.call(graph.DISARM_SERVICE)
    road.until(lambda: road.reported["sapave/arm"]["phase"] == "IDLE", "arms released")


def test_a_killed_policy_lets_the_head_come_to_rest(road):
    road.arm()
    road.operator.say("look at the red mug")
    before = joints(road)
    road.until(lambda: np.abs(joints(road) - before)[:2].max() > 0.05, "the head turns")
    os.kill(road.bringup.pids["inference"], signal.SIGKILL)
    road.until(lambda: road.state == "HOLD", "HOLD")
    assert "(inference)" in road.operator.reason or graph.HEAD_INCREMENTS in road.operator.reason
    assert_stopped_and_stay(road, before, far=3.0)
    road.operator._instruction.publish(ros.message_type(graph.stream(graph.INSTRUCTION))(data=""))
    start_anew(road, "inference")


def test_a_killed_watchdog_stops_the_joints_and_they_stay(road):
    """Last but one in this module: nobody is left to give a permit."""
    begun = set_in_motion(road)
    os.kill(road.bringup.pids["watchdog"], signal.SIGKILL)
    road.until(lambda: all(road.reported[f"sapave/{n}"]["holding"] for n in ("head", "arm")), "both hold")
    assert_stopped_and_stay(road, begun)
    refused = {node: int(road.reported[f"sapave/{node}"]["chunks_refused"]) for node in ("head", "arm")}
    rest, now = joints(road), ros.now_s(road.operator)
    road.send(graph.HEAD_INCREMENTS, ActionChunk(now, DT_S, g1.HEAD.names, np.full((5, 2), 0.02)))
    road.send(graph.ARM_INCREMENTS, ActionChunk(now, DT_S, ELBOWS, np.full((5, 2), 0.02)))
    for node in refused:
        road.until(lambda node=node: int(road.reported[f"sapave/{node}"]["chunks_refused"]) > refused[node], "refusal")
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)
    assert float(road.reported["sapave/arm"]["weight"]) == 1.0  # held, not dropped


def test_top_says_of_a_dead_watchdog_that_nothing_is_permitted(road):
    """What it permitted before it was killed stands on no screen."""
    command = [sys.executable, "-m", "sapave_ros.cli", "top", "--once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("no permit"), done.stdout
