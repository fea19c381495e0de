"""Stamps that jump, along the whole road: nothing is inferred from them, nothing moves by them, a person is told."""

from __future__ import annotations

import numpy as np
import pytest

from sapave_ros import g1
from sapave_ros.core.chunk import ChunkExecutor, ChunkFault
from sapave_ros.core.faults import Fault
from sapave_ros.core.observation import ObservationBuilder
from sapave_ros.core.supervisor import Event, State
from sapave_ros.core.watchdog import Watchdog
from sapave_ros.graph import CAMERA_INFO
from sapave_ros.types import ActionChunk

EPOCH_S, FRAME_S, DELAY_S = 1e9, 1 / 30, 0.03
JUMPS_S = [-3600.0, -1.0, 1.0, 3600.0]
RGB, DEPTH = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint16)


class Road:
    """Camera and joints into an observation builder; both may be stamped wrongly for a while."""

    def __init__(self) -> None:
        self.builder = ObservationBuilder(lambda head: np.eye(4))
        self.now_s = EPOCH_S

    def run(self, frames: int, camera_jump_s: float = 0.0, joints_jump_s: float = 0.0) -> list[float]:
        """So many frames later; the true ages of the pictures that observations were made of [s]."""
        ages_s = []
        for _ in range(frames):
            exposed_s = self.now_s
            for _ in range(3):  # 90 Hz
                self.now_s += FRAME_S / 3
                for group in (g1.HEAD, g1.OTHER):
                    stamp_s = self.now_s + (joints_jump_s if group is g1.HEAD else 0.0)
                    self.builder.joints.add(group.names, stamp_s, np.full(len(group), self.now_s - EPOCH_S))
            stamp_s = exposed_s + camera_jump_s
            self.builder.add_color(stamp_s, RGB)
            self.builder.add_depth(stamp_s, DEPTH)
            self.builder.add_intrinsics(stamp_s, np.eye(3))
            taken = self.builder.take(self.now_s, "look")
            if isinstance(taken, str):
                assert taken
                continue
            # The joints say when they were measured: they must be those of the moment that the stamp names.
            np.testing.assert_allclose(taken.joint_positions[2:], taken.stamp_s - EPOCH_S, atol=1e-6)
            np.testing.assert_allclose(taken.joint_positions[:2], taken.stamp_s - EPOCH_S, atol=1e-6)
            ages_s.append(self.now_s - taken.stamp_s)
        return ages_s


@pytest.mark.parametrize("jump_s", JUMPS_S)
@pytest.mark.parametrize("frames", [1, 3, 30])
def test_pictures_with_stamps_that_jump_are_not_looked_at_and_those_after_are(jump_s, frames) -> None:
    road = Road()
    assert road.run(10)
    assert road.run(frames, camera_jump_s=jump_s) == []
    after = road.run(60)
    assert len(after) >= 45, "after a third of a second at the latest"
    assert max(after) < 2 * FRAME_S


@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, -0.5])  # what lies ahead does not get this far
@pytest.mark.parametrize("frames", [1, 3, 30])
def test_joints_with_stamps_that_jump_place_no_camera(jump_s, frames) -> None:
    road = Road()
    assert road.run(10)
    assert len(road.run(frames, joints_jump_s=jump_s)) <= 1  # of before the jump
    assert len(road.run(60)) >= 25, "it goes on after at most what is remembered"


def test_a_stamp_that_stands_still_makes_one_observation() -> None:
    road = Road()
    road.run(3)
    road.builder.add_color(road.now_s, RGB)
    road.builder.add_depth(road.now_s, DEPTH)
    road.builder.add_intrinsics(road.now_s, np.eye(3))
    stood_s, taken = road.now_s, 0
    for _ in range(60):
        road.now_s += FRAME_S
        for group in (g1.HEAD, g1.OTHER):
            road.builder.joints.add(group.names, road.now_s, np.zeros(len(group)))
        road.builder.add_color(stood_s, RGB)
        taken += not isinstance(road.builder.take(road.now_s, "look"), str)
    assert taken <= 1


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_the_watchdog_holds_and_says_whose_stamps_they_are(jump_s) -> None:
    now_s = 100.0
    watchdog = Watchdog(now_s)

    def tick(camera_age_s: float) -> None:
        nonlocal now_s
        now_s += 0.02
        for key in watchdog.health.watches:
            watchdog.health.received(key, now_s, camera_age_s if key == CAMERA_INFO else 0.0)
        watchdog.update(now_s, EPOCH_S + now_s)

    tick(DELAY_S)
    assert watchdog.request(Event.ARM, now_s, EPOCH_S + now_s)[0]
    tick(DELAY_S)
    assert watchdog.supervisor.state is State.ACTIVE
    tick(DELAY_S - jump_s)
    assert watchdog.supervisor.state is State.HOLD
    assert Fault.CLOCKS_DISAGREE.name in watchdog.supervisor.reason
    assert CAMERA_INFO in watchdog.supervisor.reason
    for _ in range(500):
        tick(DELAY_S)
    assert watchdog.supervisor.state is State.HOLD, "not by itself"


def test_a_stamp_that_stands_still_holds_too() -> None:
    now_s = 100.0
    watchdog = Watchdog(now_s)
    for i in range(200):
        now_s += 0.02
        for key in watchdog.health.watches:
            watchdog.health.received(key, now_s, 0.02 * max(0, i - 50) if key == CAMERA_INFO else 0.0)
        watchdog.update(now_s, EPOCH_S + now_s)
        if i == 10:
            assert watchdog.request(Event.ARM, now_s, EPOCH_S + now_s)[0]
    assert watchdog.supervisor.state is State.HOLD


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_chunk_of_such_a_picture_is_refused(jump_s) -> None:
    executor = ChunkExecutor(g1.HEAD.names, g1.HEAD.column("velocity"))
    for i in range(300):
        executor.record(EPOCH_S + i / 100, np.zeros(2))
    now_s = EPOCH_S + 2.99
    chunk = ActionChunk(now_s - 0.06 + jump_s, 0.05, g1.HEAD.names, np.full((16, 2), 0.01))  # 0.8 s
    refusal = executor.accept(chunk, now_s)
    assert refusal is not None
    assert refusal.fault is (ChunkFault.FUTURE if jump_s > 0 else ChunkFault.PAST)
