"""Facts about the camera. Starts no stream, so that a running camera node is not disturbed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sapave_ros.doctor.judge.camera import CameraFacts
from sapave_ros.doctor.probe.processes import simulated_robot
from sapave_ros.doctor.settings import Settings

RING_S = 1.0


def camera(settings: Settings) -> CameraFacts:
    asked = settings.nodes["camera"]
    return _ring(asked["ring"], settings.dds_domain) if asked["source"] == "sim" else _realsense(asked)


def _ring(path: str, dds_domain: int) -> CameraFacts:
    from sapave_ros.drivers.frame_ring import FrameRingReader
    from sapave_ros.drivers.shared_ring import RingError

    running = simulated_robot(dds_domain)
    if not Path(path).exists():
        return CameraFacts(sim_running=running)
    try:
        reader = FrameRingReader(path)
        first = reader.latest_after(0)
        time.sleep(RING_S)
        last = reader.latest_after(0)
    except (RingError, OSError) as error:
        return CameraFacts(ring=True, trouble=str(error), sim_running=running)
    if first is None or last is None:
        return CameraFacts(ring=True, ring_s=RING_S, sim_running=running)
    return CameraFacts(
        ring=True,
        ring_s=RING_S,
        frames=last[0] - first[0],
        age_s=time.time() - last[1].stamp_s,
        sim_running=running,
    )


def _realsense(asked: Mapping[str, Any]) -> CameraFacts:
    try:
        import pyrealsense2 as rs
    except ImportError as error:
        return CameraFacts(trouble=f"pyrealsense2 does not load: {error}")
    try:
        found = {d.get_info(rs.camera_info.serial_number): d for d in rs.context().query_devices()}
        names = {serial: d.get_info(rs.camera_info.name) for serial, d in found.items()}
        serial = asked["serial_number"] or next(iter(found), "")
        if serial not in found:
            return CameraFacts(names)
        device = found[serial]
        wanted = {
            "colour (rgb8)": (rs.stream.color, rs.format.rgb8),
            "depth (z16)": (rs.stream.depth, rs.format.z16),
        }
        there = {
            (p.stream_type(), p.format())
            for sensor in device.query_sensors()
            for p in sensor.get_stream_profiles()
            if p.is_video_stream_profile() and p.fps() == asked["fps"]
            for v in [p.as_video_stream_profile()]
            if (v.width(), v.height()) == (asked["width"], asked["height"])
        }
        usb = device.get_info(rs.camera_info.usb_type_descriptor)
    except RuntimeError as error:
        return CameraFacts(trouble=f"librealsense: {error}")
    mode = f"{asked['width']}x{asked['height']} at {asked['fps']} Hz"
    missing = [f"{name} {mode}" for name, stream in wanted.items() if stream not in there]
    return CameraFacts(names, serial, usb, missing)
