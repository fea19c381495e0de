"""The stops that people can reach, each tried in motion on the running graph: the joints rest, the arms go back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sensor_msgs.msg import Joy
from test_road import PATIENCE_S, Road
from test_road_faults import joints, set_in_motion

from sapave_ros import graph
from sapave_ros.bringup import Bringup
from sapave_ros.core import pads
from sapave_ros.nodes import ros
from sapave_ros.nodes.operator import OperatorError, session
from sapave_ros.plan import Options
from sapave_ros.sim.faults import FaultClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


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
                sim_arguments=("--seed", "3", "--faults"),
            )
        )
        bringup.start()
        try:
            with session() as operator:
                road = Road(operator, bringup)
                road.until(lambda: road.state == "STANDBY", "STANDBY")
                yield road
        finally:
            bringup.stop()


def command_line(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sapave_ros.cli", *arguments],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class Pad:
    """A joystick in a person's hand, repeating itself as joy_node does."""

    def __init__(self, road: Road) -> None:
        self._road, self._map = road, pads.load("game_controller")
        self._publisher = ros.publisher(road.operator, graph.stream(graph.JOY))
        self.held: set[str] = set()
        self.sticks: dict[str, float] = {}
        self._timer = road.operator.create_timer(0.02, self._send)

    def _send(self) -> None:
        buttons = [0] * 21
        for name in self.held:
            buttons[self._map.places[name].plus or 0] = 1
        axes = [0.0] * 6
        for name, value in self.sticks.items():
            axes[self._map.places[name].axis or 0] = value
        msg = Joy(axes=axes, buttons=buttons)
        msg.header.stamp = self._road.operator.get_clock().now().to_msg()
        self._publisher.publish(msg)

    def press(self, *names: str, seconds: float = 0.25) -> None:
        self.held |= set(names)
        self._road.spin(seconds)
        self.held -= set(names)
        self._road.spin(seconds)

    def away(self) -> None:
        self._timer.cancel()


def assert_released_and_at_rest(road: Road) -> None:
    road.until(lambda: road.reported["sapave/arm"]["phase"] == "IDLE", "arms released")
    assert float(road.reported["sapave/arm"]["weight"]) == 0.0
    road.spin(1.0)
    rest = joints(road)
    road.spin(0.5)
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)


def stop_by_remote(road: Road) -> Callable[[], None]:
    robot = FaultClient(road.bringup.options.run_dir)
    robot.inject("remote", buttons=["L2", "B"])
    return robot.clear


def stop_by_topic(road: Road) -> Callable[[], None]:
    road.operator.stop_now()
    return road.operator.release_stop


def stop_by_terminal(road: Road) -> Callable[[], None]:
    done = command_line("stop")
    assert done.returncode == 0, done.stderr
    return lambda: None  # `sapave reset` lets go of it


def stop_by_joystick(road: Road) -> Callable[[], None]:
    pad = Pad(road)
    road.spin(0.5)
    pad.held = {"stop"}
    road.until(lambda: road.state == "ESTOP", "ESTOP")

    def release() -> None:
        pad.held = set()
        road.spin(0.5)
        pad.away()

    return release


@pytest.mark.parametrize(
    ("stop", "named"),
    [
        (stop_by_topic, "STOP_BY_TOPIC"),
        (stop_by_terminal, "STOP_BY_TOPIC"),
        (stop_by_remote, "STOP_BY_REMOTE"),
        (stop_by_joystick, "STOP_BY_JOYSTICK"),
    ],
)
def test_a_stop_ends_motion_and_is_latched_until_its_cause_is_gone_and_it_is_reset(road, stop, named) -> None:
    set_in_motion(road)
    release = stop(road)
    road.until(lambda: road.state == "ESTOP", "ESTOP")
    assert named in road.operator.reason
    assert_released_and_at_rest(road)
    with pytest.raises(OperatorError, match="refused"):
        road.operator.call(graph.RESET_SERVICE)  # the button is still down
    release()
    assert road.state == "ESTOP"  # letting go resets nothing
    done = command_line("reset")
    assert done.returncode == 0, done.stderr
    road.until(lambda: road.state == "STANDBY", "STANDBY")


def test_disarm_at_the_terminal_gives_the_arms_back(road) -> None:
    set_in_motion(road)
    assert command_line("disarm").returncode == 0
    assert_released_and_at_rest(road)


def test_a_person_takes_the_arms_moves_them_lets_go_and_gives_them_back(road) -> None:
    """The policy keeps the head meanwhile; what was taken stands whenever the deadman is not held."""
    set_in_motion(road)
    pad = Pad(road)
    road.spin(0.5)
    pad.held = {"deadman"}
    road.spin(0.2)
    pad.press("take_arms")
    road.until(lambda: road.state == "TELEOP", "TELEOP")
    pad.held = {"deadman"}
    pad.press("limb")  # the sticks move a hand
    road.spin(0.5)
    before = joints(road)
    pad.sticks = {"forward": 1.0}
    road.until(lambda: np.abs(joints(road) - before)[2:].max() > 0.05, "the arm follows the stick")
    pad.held = set()  # still pushing the stick
    road.spin(0.5)
    rest = joints(road)
    road.spin(0.5)
    np.testing.assert_allclose(joints(road)[2:], rest[2:], atol=4e-3)
    pad.sticks = {}
    pad.held = {"deadman"}
    road.spin(0.2)
    pad.press("take_arms")
    road.until(lambda: road.state == "ACTIVE", "ACTIVE")
    pad.away()


def test_a_joystick_that_goes_away_holds_everything_it_had_taken(road) -> None:
    set_in_motion(road)
    pad = Pad(road)
    road.spin(0.5)
    pad.held = {"deadman"}
    road.spin(0.2)
    pad.press("take_head")
    road.until(lambda: road.state == "TELEOP", "TELEOP")
    pad.away()
    road.until(lambda: road.state == "HOLD", "HOLD")
    assert "JOYSTICK_LOST" in road.operator.reason
    road.spin(1.0)
    rest = joints(road)
    road.spin(1.0)
    np.testing.assert_allclose(joints(road), rest, atol=4e-3)
    road.operator.call(graph.DISARM_SERVICE)
