"""A RealSense (D435i, D455, ...) as a camera source: colour, depth aligned to it, and stamps at exposure.

Stamps. librealsense gives a frame's time in one of three domains. `global_time` (D400 default): the device clock
fitted to this machine's clock, which is ROS time; it is used as it is. `system_time`: when the frame arrived here;
used as it is, late by the transfer. `hardware_clock`: the device's own clock; its offset to ROS time is estimated
as the smallest (arrival - device time) of the last seconds, since transfers are late and never early. All three
count from the start of the readout; where the metadata also tell the middle of the exposure, that is the stamp.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from sapave_ros.drivers.camera import CameraParameters
from sapave_ros.types import CameraFrame

try:
    import pyrealsense2 as rs
except ImportError as error:
    raise ImportError(
        f"source 'realsense' needs pyrealsense2 (pip install pyrealsense2; Debian: libusb-1.0-0): {error}"
    ) from error

LOST_AFTER_S = 2.0
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 5.0
MAX_CLOCK_SAMPLES = 300
MAX_AGE_S = 1.0
"""A frame whose stamp is further than this from ROS time has a stamp of another clock: it is dropped."""
_MAX_EXPOSURE_S = 0.2
_RESET_S = 1.0


class Device(Protocol):
    """An open camera: what librealsense's pipeline does for this driver."""

    name: str
    depth_scale_m: float

    def wait_for_frames(self, timeout_s: float) -> Any:
        """The next rs.composite_frame, or None. RuntimeError when the device is gone."""
        ...

    def close(self) -> None: ...


class PipelineDevice:
    """The real thing. RuntimeError if there is no such camera, or it lacks the mode asked for."""

    def __init__(self, parameters: CameraParameters) -> None:
        p = parameters
        # Asked first, because the pipeline would wait 15 s for a camera to come.
        there = [d.get_info(rs.camera_info.serial_number) for d in rs.context().query_devices()]
        if not there or (p.serial_number and p.serial_number not in there):
            raise RuntimeError(f"found RealSense cameras: {', '.join(there) or 'none'}")
        config = rs.config()
        if p.serial_number:
            config.enable_device(p.serial_number)
        config.enable_stream(rs.stream.depth, p.width, p.height, rs.format.z16, p.fps)
        config.enable_stream(rs.stream.color, p.width, p.height, rs.format.rgb8, p.fps)
        self._pipeline = rs.pipeline()
        device = self._pipeline.start(config).get_device()
        self.depth_scale_m = device.first_depth_sensor().get_depth_scale()
        self.name = f"{device.get_info(rs.camera_info.name)} {device.get_info(rs.camera_info.serial_number)}"

    def wait_for_frames(self, timeout_s: float) -> Any:
        arrived, frames = self._pipeline.try_wait_for_frames(max(1, round(timeout_s * 1e3)))
        return frames if arrived else None

    def close(self) -> None:
        self._pipeline.stop()


class DeviceClock:
    """The offset of a free-running device clock to ROS time: the smallest delay seen lately."""

    def __init__(self) -> None:
        self._offsets_s: deque[float] = deque(maxlen=MAX_CLOCK_SAMPLES)

    def stamp_s(self, device_s: float, arrived_s: float) -> float:
        """ROS time [s] of the moment that the device calls device_s, of a frame that arrived at arrived_s."""
        offset_s = arrived_s - device_s
        if self._offsets_s and abs(offset_s - self._offsets_s[-1]) > _RESET_S:
            self._offsets_s.clear()  # the device restarted, or ROS time was set
        self._offsets_s.append(offset_s)
        return device_s + min(self._offsets_s)


class RealSenseCamera:
    """A `CameraSource` on a RealSense; opens it again, ever more patiently, after it was unplugged.

    open_device, clock (monotonic), sleep: for tests. ros_now_s: ROS time.
    """

    def __init__(
        self,
        parameters: CameraParameters,
        ros_now_s: Callable[[], float],
        open_device: Callable[[CameraParameters], Device] = PipelineDevice,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._parameters = parameters
        self._ros_now_s, self._open_device, self._clock, self._sleep = ros_now_s, open_device, clock, sleep
        self._device: Device | None = None
        self._align = rs.align(rs.stream.color)
        self._device_clock = DeviceClock()
        self._retry_s, self._next_try_s, self._last_frame_s = FIRST_RETRY_S, 0.0, 0.0
        self._number = -1
        self._dropped = 0
        self._trouble = "not started"
        self._description = f"RealSense {parameters.serial_number or '(any)'}"

    @property
    def description(self) -> str:
        p = self._parameters
        return f"{self._description}, {p.width}x{p.height} at {p.fps} Hz"

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def dropped(self) -> int:
        return self._dropped

    def start(self) -> None:
        self._trouble = "no frame yet"
        self._next_try_s = self._clock()

    def wait_frame(self, timeout_s: float) -> CameraFrame | None:
        end_s = self._clock() + timeout_s
        while (left_s := end_s - self._clock()) > 0:
            if self._device is None and not self._open():
                self._sleep(min(left_s, max(0.001, self._next_try_s - self._clock())))
                continue
            frame = self._next(left_s)
            if frame is not None:
                return frame
        return None

    def close(self) -> None:
        if self._device is not None:
            device, self._device = self._device, None
            try:
                device.close()
            except RuntimeError as error:  # an unplugged camera cannot be stopped any more
                self._trouble = f"{self._trouble} ({error})"

    def _open(self) -> bool:
        if self._clock() < self._next_try_s:
            return False
        try:
            self._device = self._open_device(self._parameters)
        except RuntimeError as error:
            p = self._parameters
            which = f"serial_number {p.serial_number}" if p.serial_number else "a RealSense"
            self._trouble = f"{error}; expected {which} with colour and depth at {p.width}x{p.height}, {p.fps} Hz"
            self._next_try_s = self._clock() + self._retry_s
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            return False
        self._description = self._device.name
        self._device_clock = DeviceClock()
        self._number = -1
        self._last_frame_s = self._clock()
        return True

    def _next(self, timeout_s: float) -> CameraFrame | None:
        assert self._device is not None
        try:
            frames = self._device.wait_for_frames(timeout_s)
        except RuntimeError as error:
            self._lose(str(error))
            return None
        if frames is None:
            silent_s = self._clock() - self._last_frame_s
            if silent_s > LOST_AFTER_S:
                self._lose(f"no frame for {silent_s:.1f} s")
            return None
        arrived_s = self._ros_now_s()
        color, depth = frames.get_color_frame(), frames.get_depth_frame()
        # The pipeline fills the place of a missing frame with an older one, so check that these two belong together.
        if not color or not depth or abs(color.get_timestamp() - depth.get_timestamp()) > 1e3 / self._parameters.fps:
            self._dropped += 1
            return None
        number = color.get_frame_number()
        if number == self._number:
            return None
        if self._number >= 0:
            self._dropped += max(0, number - self._number - 1)
        self._number = number
        self._last_frame_s = self._clock()
        self._retry_s = FIRST_RETRY_S
        stamp_s = self._stamp_s(color, arrived_s)
        if abs(arrived_s - stamp_s) > MAX_AGE_S:
            self._dropped += 1
            self._trouble = (
                f"stamps are {stamp_s - arrived_s:+.3f} s off ROS time; expected this machine's clock in both"
            )
            return None
        self._trouble = ""
        return self._frame(frames, color, stamp_s)

    def _frame(self, frames: Any, color: Any, stamp_s: float) -> CameraFrame:
        assert self._device is not None
        depth = np.asanyarray(self._align.process(frames).get_depth_frame().get_data())  # (H, W) uint16, device units
        scale_mm = self._device.depth_scale_m * 1e3
        if abs(scale_mm - 1.0) > 1e-6:
            millimetres = np.rint(depth * np.float32(scale_mm))
            depth = np.where(millimetres > 65535, 0, millimetres).astype(np.uint16)
        k = color.profile.as_video_stream_profile().get_intrinsics()
        intrinsics = np.array([[k.fx, 0.0, k.ppx], [0.0, k.fy, k.ppy], [0.0, 0.0, 1.0]])
        # Copies: librealsense hands out its own buffers and stalls when someone keeps them.
        return CameraFrame(stamp_s, np.array(color.get_data()), np.array(depth), intrinsics)

    def _stamp_s(self, color: Any, arrived_s: float) -> float:
        stamp_s = color.get_timestamp() * 1e-3
        if color.get_frame_timestamp_domain() == rs.timestamp_domain.hardware_clock:
            stamp_s = self._device_clock.stamp_s(stamp_s, arrived_s)
        middle, readout = rs.frame_metadata_value.sensor_timestamp, rs.frame_metadata_value.frame_timestamp
        if color.supports_frame_metadata(middle) and color.supports_frame_metadata(readout):
            before_s = (color.get_frame_metadata(readout) - color.get_frame_metadata(middle)) * 1e-6
            if 0.0 <= before_s < _MAX_EXPOSURE_S:
                stamp_s -= before_s
        return stamp_s

    def _lose(self, reason: str) -> None:
        self._trouble = f"{reason}; opening the camera again"
        self.close()
        self._next_try_s = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
