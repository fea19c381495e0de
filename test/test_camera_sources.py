"""Camera sources: the RealSense driver on librealsense's own software device, the simulated one on a ring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.drivers.camera import CameraParameters, open_source
from sapave_ros.drivers.frame_ring import FrameRingWriter
from sapave_ros.drivers.sim_camera import SimCamera
from sapave_ros.parameters import ParameterError
from sapave_ros.types import CameraFrame

WIDTH, HEIGHT, FOCAL_PX, BASELINE_M = 64, 48, 60.0, 0.05
EPOCH_S = 1_700_000_000.0
PARAMETERS = CameraParameters(width=WIDTH, height=HEIGHT)


class Clock:
    """Time that only the test, or a sleep, moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def ros_s(self) -> float:
        return EPOCH_S + self.now_s

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        self.now_s += duration_s


class SoftwareCamera:
    """librealsense with synthetic frames. wait_for_frames gives what was queued, else lets time pass."""

    name = "software camera 0001"

    def __init__(self, rs, clock: Clock, depth_scale_m: float = 0.001) -> None:
        self.rs, self.clock, self.depth_scale_m = rs, clock, depth_scale_m
        self.queue: list = []
        self.closed = False
        self.device = rs.software_device()
        self.sensors = {"depth": self.device.add_sensor("Depth"), "color": self.device.add_sensor("Color")}
        self.profiles = {}
        for uid, (name, stream, pixel, size) in enumerate(
            (("depth", rs.stream.depth, rs.format.z16, 2), ("color", rs.stream.color, rs.format.rgb8, 3))
        ):
            k = rs.intrinsics()
            k.width, k.height, k.fx, k.fy, k.ppx, k.ppy = WIDTH, HEIGHT, FOCAL_PX, FOCAL_PX, WIDTH / 2, HEIGHT / 2
            video = rs.video_stream()
            video.type, video.index, video.uid, video.fmt, video.bpp = stream, 0, uid, pixel, size
            video.width, video.height, video.fps, video.intrinsics = WIDTH, HEIGHT, 30, k
            self.profiles[name] = self.sensors[name].add_video_stream(video)
        self.sensors["depth"].add_read_only_option(rs.option.depth_units, depth_scale_m)
        depth_in_color = rs.extrinsics()
        depth_in_color.rotation = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        depth_in_color.translation = [BASELINE_M, 0, 0]
        self.profiles["depth"].register_extrinsics_to(self.profiles["color"], depth_in_color)
        self.device.create_matcher(rs.matchers.dlr_c)
        self.syncer = rs.syncer()
        for name, sensor in self.sensors.items():
            sensor.open(self.profiles[name])
            sensor.start(self.syncer)

    def expose(self, number: int, device_s: float, depth=None, depth_s=None, domain=None, exposure_us=None) -> None:
        """Queue one colour frame of grey level `number` and one depth frame (units), stamped by the device [s]."""
        depth = np.full((HEIGHT, WIDTH), 1000, np.uint16) if depth is None else depth
        self._send("depth", depth, number, device_s if depth_s is None else depth_s, domain)
        if exposure_us is not None:
            kinds = self.rs.frame_metadata_value
            self.sensors["color"].set_metadata(kinds.frame_timestamp, 50_000)
            self.sensors["color"].set_metadata(kinds.sensor_timestamp, 50_000 - exposure_us)
        self._send("color", np.full((HEIGHT, WIDTH, 3), number, np.uint8), number, device_s, domain)
        while True:
            arrived, frames = self.syncer.try_wait_for_frames(5)
            if not arrived:
                return
            self.queue.append(frames)

    def _send(self, name: str, pixels: np.ndarray, number: int, device_s: float, domain) -> None:
        frame = self.rs.software_video_frame()
        frame.pixels, frame.bpp = pixels, pixels[0, 0].nbytes
        frame.stride = WIDTH * frame.bpp
        frame.timestamp, frame.frame_number = device_s * 1e3, number
        frame.domain = self.rs.timestamp_domain.global_time if domain is None else domain
        frame.profile = self.profiles[name].as_video_stream_profile()
        frame.depth_units = self.depth_scale_m
        self.sensors[name].on_video_frame(frame)

    def wait_for_frames(self, timeout_s: float):
        if self.queue:
            return self.queue.pop(0)
        self.clock.sleep(timeout_s)
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def rs():
    return pytest.importorskip("pyrealsense2", exc_type=ImportError)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def realsense(rs, clock: Clock, devices: list):
    """The driver on a list of what each attempt to open gives: a camera, or an error to raise."""
    from sapave_ros.drivers.realsense import RealSenseCamera

    opened: list[float] = []

    def open_device(_):
        opened.append(clock.now_s)
        device = devices.pop(0)
        if isinstance(device, Exception):
            raise device
        return device

    camera = RealSenseCamera(PARAMETERS, clock.ros_s, open_device, clock, clock.sleep)
    camera.start()
    return camera, opened


def collect(camera) -> list[CameraFrame]:
    frames = []
    while (frame := camera.wait_frame(0.1)) is not None:
        frames.append(frame)
    return frames


def test_frames_carry_stamp_picture_depth_and_intrinsics(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    for n in range(1, 6):
        device.expose(n, clock.ros_s() - 0.2 + n / 30)
    frames = collect(realsense(rs, clock, [device])[0])
    assert len(frames) >= 4  # the syncer may give the first colour frame away alone
    for frame in frames:
        n = int(frame.rgb[0, 0, 0])
        assert frame.stamp_s == pytest.approx(EPOCH_S + 99.8 + n / 30, abs=1e-6)
        assert (frame.rgb.shape, frame.rgb.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert (frame.depth_mm.shape, frame.depth_mm.dtype) == ((HEIGHT, WIDTH), np.uint16)
        assert frame.intrinsics.tolist() == [[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]]


def test_depth_lies_on_the_colour_picture(rs, clock) -> None:
    """An edge in depth moves by focal * baseline / distance = 3 pixels, and its far side has no depth."""
    device = SoftwareCamera(rs, clock)
    depth = np.zeros((HEIGHT, WIDTH), np.uint16)
    depth[:, : WIDTH // 2] = 1000
    for n in range(1, 4):
        device.expose(n, clock.ros_s() + n / 30, depth)
    frame = collect(realsense(rs, clock, [device])[0])[-1]
    seen = np.flatnonzero(frame.depth_mm[HEIGHT // 2])
    assert (seen[0], seen[-1]) == (3, pytest.approx(WIDTH // 2 + 2, abs=1))
    assert set(np.unique(frame.depth_mm)) == {0, 1000}


@pytest.mark.parametrize(
    ("scale_m", "units", "millimetres"),
    [(0.001, 1234, 1234), (0.0001, 12344, 1234), (0.0005, 2469, 1234), (0.002, 40000, 0)],
)
def test_depth_is_in_millimetres_whatever_the_unit_of_the_camera(rs, clock, scale_m, units, millimetres) -> None:
    """The last: what does not fit into 16 bits of mm is no depth, never a wrapped one."""
    device = SoftwareCamera(rs, clock, scale_m)
    for n in range(1, 4):
        device.expose(n, clock.ros_s() + n / 30, np.full((HEIGHT, WIDTH), units, np.uint16))
    frame = collect(realsense(rs, clock, [device])[0])[-1]
    assert frame.depth_mm[HEIGHT // 2, WIDTH // 2] == millimetres


def test_frames_outlive_the_buffers_of_librealsense(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    camera, _ = realsense(rs, clock, [device])
    frames = []
    for n in range(1, 60):
        device.expose(n, clock.ros_s() + n / 1000)
        frames += collect(camera)
    numbers = [int(f.rgb[0, 0, 0]) for f in frames]
    assert len(numbers) > 50
    assert numbers == sorted(set(numbers))
    assert all(np.all(f.rgb == n) for f, n in zip(frames, numbers, strict=True))


def test_the_stamp_is_the_middle_of_the_exposure_where_the_camera_tells_it(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    for n in range(1, 4):
        device.expose(n, clock.ros_s() + n / 30, exposure_us=12_000)
    frame = collect(realsense(rs, clock, [device])[0])[-1]
    assert frame.stamp_s == pytest.approx(EPOCH_S + 100.0 + 3 / 30 - 0.012, abs=1e-6)


def test_a_free_running_device_clock_is_mapped_to_ros_time(rs, clock) -> None:
    """Device time 5000 s at the start; transfers take 5 to 20 ms, of which the fastest remains in the stamp."""
    device = SoftwareCamera(rs, clock)
    camera, _ = realsense(rs, clock, [device])
    errors_s = []
    for n in range(1, 8):
        exposed_s = clock.ros_s()
        device.expose(n, 5000.0 + n / 30, domain=rs.timestamp_domain.hardware_clock)
        clock.now_s += 0.005 if n % 3 == 0 else 0.02
        if device.queue and (frame := camera.wait_frame(0.001)) is not None:
            errors_s.append(frame.stamp_s - exposed_s)
        clock.now_s += EPOCH_S + 100.0 + n / 30 - clock.ros_s()
    assert len(errors_s) >= 5
    assert errors_s[-4:] == pytest.approx([0.005] * 4, abs=1e-5)


@given(
    st.lists(st.floats(0.0, 0.1), min_size=50, max_size=200),
    st.floats(-1e9, 1e9),
    st.integers(0, 49),
)
def test_the_device_clock_is_never_later_than_the_arrival_and_finds_the_offset(delays_s, offset_s, quick) -> None:
    pytest.importorskip("pyrealsense2", exc_type=ImportError)
    from sapave_ros.drivers.realsense import DeviceClock

    mapping = DeviceClock()
    delays_s[quick] = 0.0
    for n, delay_s in enumerate(delays_s):
        device_s, arrived_s = n / 30, n / 30 + offset_s + delay_s
        stamp_s = mapping.stamp_s(device_s, arrived_s)
        assert stamp_s <= arrived_s + 1e-6
        if n >= quick:
            assert stamp_s == pytest.approx(device_s + offset_s, abs=1e-6)


def test_stamps_of_another_clock_are_refused(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    for n in range(1, 9):
        device.expose(n, 5000.0 + n / 30)
    camera, _ = realsense(rs, clock, [device])
    assert collect(camera) == []
    assert "off ROS time" in camera.trouble
    assert camera.dropped >= 2


def test_old_depth_beside_a_new_picture_is_dropped(rs, clock) -> None:
    """librealsense fills the place of a missing frame with the last one it has."""
    device = SoftwareCamera(rs, clock)
    for n in range(1, 4):
        device.expose(n, clock.ros_s() + n / 30, depth_s=clock.ros_s() + n / 30 - 0.2)
    camera, _ = realsense(rs, clock, [device])
    assert collect(camera) == []
    assert camera.dropped > 0


def test_skipped_frames_are_counted(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    for n in (1, 2, 3, 7):
        device.expose(n, clock.ros_s() + n / 30)
    camera, _ = realsense(rs, clock, [device])
    frames = collect(camera)
    unpaired = 4 - len(frames)
    assert camera.dropped == 3 + unpaired


def test_a_missing_camera_is_tried_again_ever_more_patiently(rs, clock) -> None:
    device = SoftwareCamera(rs, clock)
    for n in range(1, 4):
        device.expose(n, EPOCH_S + 109.0 + n / 30)
    camera, opened = realsense(rs, clock, [RuntimeError("No device connected")] * 5 + [device])
    while (frame := camera.wait_frame(0.2)) is None and clock.now_s < 200:
        if not device.queue:
            break
        assert camera.trouble.startswith("No device connected; expected a RealSense with colour and depth at 64x48")
    assert np.diff(opened) == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0], abs=0.01)
    assert frame is None or camera.trouble == ""


@pytest.mark.parametrize("how", ["silence", "error"])
def test_an_unplugged_camera_is_closed_and_opened_again(rs, clock, how) -> None:
    first, second = SoftwareCamera(rs, clock), SoftwareCamera(rs, clock)
    for n in range(1, 4):
        first.expose(n, clock.ros_s() + n / 30)
    camera, opened = realsense(rs, clock, [first, second])
    assert camera.wait_frame(0.1) is not None
    while first.queue:
        camera.wait_frame(0.1)
    if how == "error":

        def gone(_timeout_s):
            raise RuntimeError("device disconnected")

        first.wait_for_frames = gone  # type: ignore[method-assign]
    lost_s = clock.now_s
    while not first.closed:
        assert camera.wait_frame(0.1) is None
    assert clock.now_s - lost_s < 2.5
    assert "opening the camera again" in camera.trouble
    for n in range(1, 4):
        second.expose(n, clock.ros_s() + 0.5 + n / 30)
    while camera.wait_frame(0.1) is None:
        assert second.queue
    assert len(opened) == 2
    assert camera.trouble == ""
    camera.close()
    assert second.closed


def test_the_real_pipeline_without_a_camera_says_what_it_expected(rs) -> None:
    camera = open_source(CameraParameters(serial_number="000000000000"), lambda: 0.0)
    camera.start()
    assert camera.wait_frame(0.05) is None
    assert "expected serial_number 000000000000" in camera.trouble
    camera.close()


class Simulator:
    """The writing end of a real ring."""

    def __init__(self, path) -> None:
        self.ring = FrameRingWriter(path, 2, 2, np.eye(3))

    def put(self, stamp_s: float) -> None:
        self.ring.write(stamp_s, np.full((2, 2, 3), 7, np.uint8), np.full((2, 2), 9, np.uint16))


@pytest.fixture
def sim_camera(tmp_path, clock) -> SimCamera:
    camera = SimCamera(str(tmp_path / "ring"), clock, clock.sleep)
    camera.start()
    return camera


def test_sim_frames_arrive_once_and_skipped_ones_are_counted(tmp_path, sim_camera) -> None:
    simulator = Simulator(tmp_path / "ring")
    assert sim_camera.wait_frame(0.1) is None
    assert sim_camera.trouble.startswith("the simulator writes no frames")
    for stamps in ((1.0,), (2.0,), (3.0, 4.0, 5.0)):
        for stamp_s in stamps:
            simulator.put(stamp_s)
        frame = sim_camera.wait_frame(0.1)
        assert frame is not None
        assert (frame.stamp_s, frame.rgb[0, 0, 0], frame.depth_mm[0, 0]) == (stamps[-1], 7, 9)
        assert sim_camera.trouble == ""
        assert sim_camera.wait_frame(0.1) is None
    assert sim_camera.dropped == 2


def test_sim_camera_waits_for_the_ring_and_says_so(tmp_path, sim_camera) -> None:
    assert sim_camera.wait_frame(1.0) is None
    assert sim_camera.trouble.startswith("ring: ")
    (tmp_path / "ring").write_text("something else")
    assert sim_camera.wait_frame(1.0) is None
    assert "not a ring" in sim_camera.trouble
    (tmp_path / "ring").unlink()
    simulator = Simulator(tmp_path / "ring")
    simulator.put(1.0)
    assert sim_camera.wait_frame(1.0) is not None


def test_sim_camera_follows_a_restarted_simulator_and_never_repeats_a_frame(tmp_path, sim_camera) -> None:
    first = Simulator(tmp_path / "ring")
    for stamp_s in (50.0, 51.0):
        first.put(stamp_s)
    assert sim_camera.wait_frame(0.1) is not None
    first.ring.close()
    assert sim_camera.wait_frame(2.0) is None
    second = Simulator(tmp_path / "ring")
    second.put(60.0)
    frame = sim_camera.wait_frame(1.0)
    assert frame is not None
    assert frame.stamp_s == 60.0
    assert sim_camera.dropped == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "webcam"}, "parameter source: 'webcam'; expected one of 'realsense', 'sim'"),
        ({"source": "sim"}, "parameter ring: ''; expected"),
        ({"fps": 0}, "parameter fps: 0; expected a number in 5..90 Hz"),
        ({"width": 10_000}, "parameter width"),
    ],
)
def test_parameters_refuse_nonsense_by_name(change, says) -> None:
    with pytest.raises(ParameterError, match=says):
        CameraParameters(**change)
