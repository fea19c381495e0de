"""The stand-in robot's camera sees what the physics wrote, when it wrote it, and nothing twice."""

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.drivers.frame_ring import FrameRingReader
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.eyes import OBSERVER_EVERY, Eyes
from sapave_ros.sim.motors import MotorWriter
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.scene import demo_scene
from sapave_ros.sim.truth import TruthReader
from sapave_ros.sim.world import World


class Idle:
    """Body, face and neck of a robot that nobody commands."""

    weight, arms_kp, torque, frames = 0.0, np.zeros(14), (False, False), (0, 0, 0)
    instructions = (0, 0, 0, 0)

    @property
    def bus(self):
        return self


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    run_dir, scene, idle = tmp_path_factory.mktemp("run"), demo_scene(3), Idle()
    world = World(scene)
    writer = MotorWriter(run_dir / "motors", world)

    def tick(ros_s, late_s=0.0):
        writer.write(ros_s, ros_s, late_s, 0.98, idle, idle, idle)

    with Eyes(run_dir, Room.bare(scene), Aim(("red mug",)), True, True) as eyes:
        yield world, tick, eyes, run_dir
    writer.close()
    assert not list(run_dir.iterdir())


def test_a_frame_is_of_the_newest_tick_and_of_no_tick_twice(seeing):
    world, tick, eyes, run_dir = seeing
    camera, truth = FrameRingReader(run_dir / "camera"), TruthReader(run_dir / "truth")
    assert not eyes.look()  # nothing there yet
    tick(10.0, late_s=0.004)
    tick(10.002, late_s=0.001)
    assert eyes.look()
    assert not eyes.look()  # the physics stands still
    sequence, frame = camera.latest_after(0)
    assert (sequence, frame.stamp_s) == (1, 10.002)
    ((_, told),) = truth.all_after(0)
    assert (told.stamp_s, told.worst_tick_s, told.real_time_factor) == (10.002, 0.004, 0.98)
    np.testing.assert_array_equal(told.head, world.positions(g1.HEAD))

    world.set_positions(g1.HEAD, world.head_pose_towards("red mug"))
    tick(10.004)
    assert eyes.look()
    _, told = truth.all_after(0)[-1]
    np.testing.assert_array_equal(told.head, world.positions(g1.HEAD))
    assert told.in_view
    assert told.worst_tick_s == 0.0
    assert told.angle_rad < 0.05
    assert (camera.latest_after(1)[1].rgb != frame.rgb).mean() > 0.5


def test_the_spectator_sees_every_third_frame_and_truth_goes_on_while_the_camera_is_broken(seeing):
    _, tick, eyes, run_dir = seeing
    observer, truth = FrameRingReader(run_dir / "observer"), TruthReader(run_dir / "truth")
    before, frames, records = observer.latest_after(0)[0], eyes.frames, len(truth.all_after(0))
    sequence, _ = FrameRingReader(run_dir / "camera").latest_after(0)
    eyes._faults.camera_silent()
    for i in range(2 * OBSERVER_EVERY):
        tick(20.0 + i)
        assert eyes.look()
    assert eyes.frames == frames + 2 * OBSERVER_EVERY
    assert observer.latest_after(0)[0] == before + 2
    assert len(truth.all_after(0)) == records + 2 * OBSERVER_EVERY
    assert FrameRingReader(run_dir / "camera").latest_after(sequence) is None
