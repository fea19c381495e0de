"""The camera process: colour, aligned depth and intrinsics of the head camera, one stamp for all three."""

from __future__ import annotations

import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from sapave_ros import graph
from sapave_ros.core.camera_health import CameraHealth
from sapave_ros.drivers.camera import CameraParameters, open_source
from sapave_ros.nodes import ros
from sapave_ros.nodes.report import Reporter
from sapave_ros.types import CameraFrame

WAIT_S = 0.2
DIAGNOSTICS_S = 1.0
COMPLAIN_AFTER_S = 2.0


class CameraNode(Node):
    """Publishes each frame from the thread that waited for it: an executor in between would only add delay."""

    def __init__(self) -> None:
        super().__init__("camera")
        self.parameters = ros.parameters(self, CameraParameters)
        self._color = ros.publisher(self, graph.stream(graph.COLOR))
        self._depth = ros.publisher(self, graph.stream(graph.DEPTH))
        self._info = ros.publisher(self, graph.stream(graph.CAMERA_INFO))
        self._diagnostics = ros.publisher(self, graph.stream(graph.DIAGNOSTICS))
        self._source = open_source(self.parameters, lambda: ros.now_s(self))
        self._health = CameraHealth()
        self._published = 0
        self._published_before = 0
        self._stamp_s = 0.0
        self._diagnosed_s = self._last_s = self._complained_s = time.monotonic()
        self._failed: BaseException | None = None
        self._stop = threading.Event()
        self.create_timer(DIAGNOSTICS_S, self._publish_diagnostics)
        self._reporter = Reporter(self, lambda: self._health.findings)
        self._source.start()
        self._thread = threading.Thread(target=self._capture, name="capture")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._source.close()

    def failure(self) -> str | None:
        """Why the process has to end, if the capture thread died of something that no camera does."""
        return None if self._failed is None else f"capture thread: {self._failed!r}"

    def _capture(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self._source.wait_frame(WAIT_S)
                if frame is not None:
                    self._publish(frame)
        except BaseException as error:  # handed to the main thread, which ends the process with it
            self._failed = error

    def _publish(self, frame: CameraFrame) -> None:
        frame_id = self.parameters.frame_id
        color = ros.image_msg(frame.rgb, "rgb8", frame.stamp_s, frame_id)
        depth = ros.image_msg(frame.depth_mm, "16UC1", frame.stamp_s, frame_id)
        info = camera_info(frame, frame_id)
        self._color.publish(color)
        self._depth.publish(depth)
        self._info.publish(info)
        self._last_s, self._stamp_s = time.monotonic(), frame.stamp_s
        self._health.frame(frame.rgb, frame.depth_mm, self._last_s)
        self._published += 1

    def _publish_diagnostics(self) -> None:
        now_s = time.monotonic()
        silent_s = now_s - self._last_s
        rate_hz = (self._published - self._published_before) / max(1e-3, now_s - self._diagnosed_s)
        self._published_before, self._diagnosed_s = self._published, now_s
        source = self._source
        flowing = silent_s < COMPLAIN_AFTER_S
        message = "delivering" if flowing else f"no frame for {silent_s:.0f} s: {source.trouble or 'no reason known'}"
        if not flowing and now_s - self._complained_s > COMPLAIN_AFTER_S - DIAGNOSTICS_S / 2:  # every second report
            self._complained_s = now_s
            self.get_logger().error(f"{source.description}: {message}")
        values = {
            "source": source.description,
            "rate_hz": rate_hz,
            "age_ms": (ros.now_s(self) - self._stamp_s) * 1e3 if self._published else "never",
            "dropped": source.dropped,
        }
        level = DiagnosticStatus.OK if flowing else DiagnosticStatus.ERROR
        self._diagnostics.publish(ros.diagnostics(self, ros.status("sapave/camera", level, message, values)))


def camera_info(frame: CameraFrame, frame_id: str) -> CameraInfo:
    """Intrinsics as a message, distortion taken as zero (what a D435i reports for its colour picture)."""
    k = frame.intrinsics
    info = CameraInfo(height=frame.rgb.shape[0], width=frame.rgb.shape[1], distortion_model="plumb_bob")
    info.header.stamp = ros.to_msg_time(frame.stamp_s)
    info.header.frame_id = frame_id
    info.d = [0.0] * 5
    info.k = k.ravel().tolist()
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [k[0, 0], 0.0, k[0, 2], 0.0, 0.0, k[1, 1], k[1, 2], 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def main() -> int:
    return ros.run("camera", CameraNode)


if __name__ == "__main__":
    sys.exit(main())
