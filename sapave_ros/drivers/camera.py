"""What a camera is to this system: frames with a stamp at exposure, or a reason why there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sapave_ros.parameters import ParameterError, check, parameter
from sapave_ros.types import CameraFrame


class CameraSource(Protocol):
    """A stream of RGB-D frames.

    A device that is missing, or goes, is no exception: frames stop, `trouble` says why, and the source keeps
    trying. One thread waits for frames; the properties may be read from any.
    """

    @property
    def description(self) -> str:
        """Which camera this is, for people."""
        ...

    @property
    def trouble(self) -> str:
        """Why there are no frames now; empty while they flow."""
        ...

    @property
    def dropped(self) -> int:
        """Frames lost since the start: skipped, or without a depth image of the same moment."""
        ...

    def start(self) -> None:
        """Begin to look for the device."""
        ...

    def wait_frame(self, timeout_s: float) -> CameraFrame | None:
        """The next frame, newer than the one before; None if there is none within timeout_s [s]."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


@dataclass(frozen=True)
class CameraParameters:
    """The head camera."""

    source: str = parameter("realsense", choices=("realsense", "sim"), doc="a RealSense, or the simulator's frame ring")
    ring: str = parameter("", doc="file of the simulator's frame ring, for source sim")
    serial_number: str = parameter("", doc="which RealSense; empty = the only one")
    width: int = parameter(424, unit="px", low=64, high=1920, doc="picture width, of the colour and the depth stream")
    height: int = parameter(240, unit="px", low=48, high=1080, doc="picture height")
    fps: int = parameter(30, unit="Hz", low=5, high=90, doc="pictures a second asked of the camera")
    frame_id: str = parameter("camera_color_optical_frame", doc="optical frame of the pictures (x right, y down)")

    def __post_init__(self) -> None:
        check(self)
        if self.source == "sim" and not self.ring:
            raise ParameterError("parameter ring: ''; expected the simulator's frame ring, because source is 'sim'")


def open_source(parameters: CameraParameters, ros_now_s: Callable[[], float]) -> CameraSource:
    """The source that the parameters name, not started yet. ros_now_s: ROS time [s].

    Raises ImportError naming the package where the source's SDK is not installed.
    """
    if parameters.source == "sim":
        from sapave_ros.drivers.sim_camera import SimCamera

        return SimCamera(parameters.ring)
    from sapave_ros.drivers.realsense import RealSenseCamera

    return RealSenseCamera(parameters, ros_now_s)
