"""Pictures that must not drive a policy are found in time, and those of a real room never are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.core.camera_health import (
    CLEAR_FOR_S,
    DARK_FOR_S,
    DARK_GREY,
    DEPTH_LOST_FOR_S,
    MEMORY,
    MIN_DEPTH_SHARE,
    REPEATS_FOR_S,
    CameraHealth,
)
from sapave_ros.core.faults import Fault

FRAME_S = 1 / 30
SIZES = [(240, 424), (480, 640), (48, 64)]


class Camera:
    """A room with a gradient of light, and a sensor with grain. Frames at 30 Hz."""

    def __init__(self, size=(240, 424), light: float = 1.0, grain: float = 2.0) -> None:
        self.health, self.now_s, self.random = CameraHealth(), 50.0, np.random.default_rng(1)
        h, w = size
        ramp = np.linspace(40, 200, w)[None, :, None] * np.linspace(1.0, 0.6, h)[:, None, None]
        self.room = light * np.broadcast_to(ramp, (h, w, 3))
        self.depth = np.full(size, 1500, np.uint16)
        self.grain = np.rint(self.random.normal(0, grain, 4 * h * w)).astype(np.int16)

    def picture(self) -> np.ndarray:
        """The room with grain that was drawn once and is shifted at random: drawing it anew takes long."""
        h, w, _ = self.room.shape
        first = self.random.integers(h * w)
        noisy = self.room.astype(np.int16) + self.grain[first : first + 3 * h * w].reshape(h, w, 3)
        return np.clip(noisy, 0, 255).astype(np.uint8)

    def show(self, seconds: float, picture=None, depth=None) -> list[tuple[float, set[Fault]]]:
        """That picture and depth, or what the room looks like, for so long: time since [s] and findings of each."""
        course, begun_s = [], self.now_s
        for _ in range(round(seconds / FRAME_S)):
            self.now_s += FRAME_S
            rgb = self.picture() if picture is None else picture() if callable(picture) else picture
            found = self.health.frame(rgb, self.depth if depth is None else depth, self.now_s)
            assert found is self.health.findings
            assert all(found.values())
            course.append((self.now_s - begun_s, set(found)))
        return course


def found_after(course, fault: Fault) -> float:
    """When the finding came [s]; nothing else was found, and it did not go again."""
    flags = [found for _, found in course]
    first = next(i for i, found in enumerate(flags) if found)
    assert all(found == set() for found in flags[:first])
    assert all(found == {fault} for found in flags[first:])
    return course[first][0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("light", [1.0, 0.3, 0.1])
def test_a_room_and_a_dim_one_pass(size, light) -> None:
    camera = Camera(size, light)
    assert all(not found for _, found in camera.show(2.0))


@pytest.mark.parametrize("buffers", [1, 2, 5])
def test_pictures_that_repeat_are_found_also_in_turn(buffers) -> None:
    """A driver that is stuck hands out its few buffers again and again."""
    camera = Camera()
    camera.show(1.0)
    stuck = [camera.picture() for _ in range(buffers)]
    turn = iter(range(1000))
    course = camera.show(1.5, lambda: stuck[next(turn) % buffers])
    first_s = found_after(course, Fault.CAMERA_REPEATS)
    begins_s = (buffers + 1) * FRAME_S
    assert begins_s + REPEATS_FOR_S < first_s < begins_s + REPEATS_FOR_S + 2.5 * FRAME_S
    assert f"the picture {buffers} before" in camera.health.findings[Fault.CAMERA_REPEATS]


def test_a_picture_twice_now_and_then_is_no_fault() -> None:
    """A camera at half the rate, behind something that fills the gaps."""
    camera = Camera()
    count = iter(range(1000))
    last = [camera.picture()]

    def half() -> np.ndarray:
        if next(count) % 2:
            last[0] = camera.picture()
        return last[0]

    assert all(not found for _, found in camera.show(3.0, half))


def test_what_came_long_ago_may_come_again() -> None:
    camera = Camera()
    pictures = [camera.picture() for _ in range(MEMORY)]
    turn = iter(range(10_000))
    assert all(not found for _, found in camera.show(3.0, lambda: pictures[next(turn) % MEMORY]))


@pytest.mark.parametrize("grain", [0.0, 2.0, 4.0])
def test_a_cap_on_the_lens_is_black_with_grain_and_without_and_says_nothing_else(grain) -> None:
    camera = Camera(light=0.0, grain=grain)
    first_s = found_after(camera.show(2.0), Fault.CAMERA_BLACK)
    assert DARK_FOR_S < first_s - FRAME_S < DARK_FOR_S + 2 * FRAME_S
    assert "black" in camera.health.findings[Fault.CAMERA_BLACK]


@pytest.mark.parametrize("grey", [16, 128, 255])
def test_one_colour_is_no_picture(grey) -> None:
    camera = Camera()
    course = camera.show(1.0, np.full((240, 424, 3), grey, np.uint8))
    found_after(course, Fault.CAMERA_BLACK)
    assert "one colour" in camera.health.findings[Fault.CAMERA_BLACK]


def test_a_status_light_in_the_dark_is_no_picture_and_a_lamp_is() -> None:
    for share, dark in ((0.005, True), (0.1, False)):
        camera = Camera(light=0.0)
        camera.room = camera.room.copy()
        camera.room[: round(240 * share**0.5), : round(424 * share**0.5)] = 250
        assert (Fault.CAMERA_BLACK in camera.show(1.0)[-1][1]) == dark


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.0, 0.5 * MIN_DEPTH_SHARE, 2 * MIN_DEPTH_SHARE, 0.5])
def test_depth_is_lost_where_hardly_a_pixel_has_any(size, share) -> None:
    camera = Camera(size)
    depth = np.zeros(size, np.uint16)
    depth[np.random.default_rng(2).random(size) < share] = 900
    course = camera.show(2.0, depth=depth)
    if share < MIN_DEPTH_SHARE:
        first_s = found_after(course, Fault.DEPTH_LOST)
        assert DEPTH_LOST_FOR_S < first_s - FRAME_S < DEPTH_LOST_FOR_S + 2 * FRAME_S
        assert "closer than the camera's least distance" in camera.health.findings[Fault.DEPTH_LOST]
    else:
        assert all(not found for _, found in course)


BAD = {
    Fault.CAMERA_REPEATS: ({"picture": Camera().picture()}, REPEATS_FOR_S),
    Fault.CAMERA_BLACK: ({"picture": np.zeros((240, 424, 3), np.uint8)}, DARK_FOR_S),
    Fault.DEPTH_LOST: ({"depth": np.zeros((240, 424), np.uint16)}, DEPTH_LOST_FOR_S),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_moment_is_nothing_and_a_finding_does_not_flicker(fault) -> None:
    bad, after_s = BAD[fault]
    camera = Camera()
    for _ in range(4):  # short ones, ever again
        assert all(not found for _, found in camera.show(after_s - 0.05, **bad))
        assert all(not found for _, found in camera.show(0.1))
    camera.show(after_s + 0.15, **bad)
    for _ in range(8):  # it comes and goes
        assert all(found == {fault} for _, found in camera.show(CLEAR_FOR_S - 0.1))
        camera.show(0.1, **bad)
    course = camera.show(CLEAR_FOR_S + 0.2)
    assert course[-1][1] == set()
    gone_s = next(t for t, found in course if not found)
    assert CLEAR_FOR_S - FRAME_S < gone_s < CLEAR_FOR_S + 2 * FRAME_S


def test_all_at_once_is_said_in_one() -> None:
    camera = Camera()
    course = camera.show(1.0, camera.picture(), np.zeros((240, 424), np.uint16))
    assert course[-1][1] == {Fault.CAMERA_REPEATS, Fault.DEPTH_LOST}


@settings(max_examples=30, deadline=None)
@given(level=st.floats(0.0, 40.0))
def test_black_is_a_bound_on_the_bright_parts(level) -> None:
    camera = Camera(size=(48, 64), grain=0.5)
    camera.room = np.broadcast_to(np.linspace(0.2, 1.0, 64)[None, :, None] * level, (48, 64, 3))
    dark = Fault.CAMERA_BLACK in camera.show(0.6)[-1][1]
    if abs(0.97 * level - DARK_GREY) > 2.0:
        assert dark == (0.97 * level < DARK_GREY)
