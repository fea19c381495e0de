"""The head camera: a RealSense, or the simulated robot's ring."""

from __future__ import annotations

from dataclasses import dataclass, field

from sapave_ros import graph
from sapave_ros.doctor.finding import Outcome, joined, ok, skipped, warning, wrong
from sapave_ros.doctor.settings import Settings

UDEV = "install librealsense's udev rules (99-realsense-libusb.rules), then: sudo udevadm control --reload"


@dataclass(frozen=True)
class CameraFacts:
    """RealSense. devices: serial number to name. serial: which one counts, empty = none. usb: its connection, such as
    `3.2`. missing: streams that it lacks. trouble: why librealsense could not be asked. in_use: by whom.
    Ring. ring: it is there. frames: new ones in `ring_s` [s]. age_s: of the last by its stamp. sim_running.
    """

    devices: dict[str, str] = field(default_factory=dict)
    serial: str = ""
    usb: str = ""
    missing: list[str] = field(default_factory=list)
    trouble: str = ""
    ring: bool = False
    ring_s: float = 0.0
    frames: int = 0
    age_s: float = 0.0
    sim_running: bool = True


def camera(settings: Settings, facts: CameraFacts) -> Outcome:
    """It is there, fast enough, and has the streams that are asked of it."""
    asked = settings.nodes["camera"]
    if asked["source"] == "sim":
        return _ring(settings, facts)
    if facts.trouble:
        return wrong(facts.trouble, "pip install pyrealsense2 && sudo apt install libusb-1.0-0; " + UDEV)
    if not facts.devices:
        return wrong("no RealSense found", f"plug the camera into a USB 3 port; if it is: {UDEV}; lsusb -d 8086:")
    there = joined(f"{name} {serial}" for serial, name in facts.devices.items())
    if not facts.serial:
        return wrong(
            f"found {there}; expected serial_number {asked['serial_number'] or 'of one camera'}",
            "write the right serial_number into node camera",
        )
    found = f"{facts.devices[facts.serial]} {facts.serial}, USB {facts.usb}"
    if facts.usb.startswith("2"):
        return wrong(
            f"{found}: too slow for colour and depth", "use a USB 3 port and a USB 3 cable; turn the plug over"
        )
    if facts.missing:
        return wrong(
            f"{found} has no {joined(facts.missing)}", "set width, height and fps of node camera to a mode that it has"
        )
    if len(facts.devices) > 1 and not asked["serial_number"]:
        return warning(f"several cameras: {there}; any may be taken", "write serial_number into node camera")
    return ok(f"{found}, {asked['width']}x{asked['height']} at {asked['fps']} Hz, colour and depth")


def _ring(settings: Settings, facts: CameraFacts) -> Outcome:
    path = settings.nodes["camera"]["ring"]
    if facts.trouble:
        return wrong(f"{path}: {facts.trouble}", f"stop the simulated robot, remove {path}, then: {settings.start}")
    if not facts.ring:
        if settings.sim and not facts.sim_running:
            return skipped("no simulated robot runs with this run directory", f"{settings.start}, then again")
        return wrong(f"{path}: no such ring", "sapave doctor --run-dir DIR, with the run directory of the graph")
    rate_hz = facts.frames / facts.ring_s
    found = f"{path}: {rate_hz:.0f} Hz, newest {facts.age_s * 1e3:.0f} ms old"
    stale_s = graph.stream(graph.CAMERA_INFO).stale_after_s or 0.0
    if facts.frames == 0 or not -stale_s <= facts.age_s <= stale_s:
        return wrong(f"{found}: it stands still", f"stop the simulated robot and start it again: {settings.start}")
    if rate_hz < 0.7 * graph.CAMERA_HZ:
        return warning(f"{found}; expected {graph.CAMERA_HZ:g} Hz", "stop other programs on this machine")
    return ok(found)
