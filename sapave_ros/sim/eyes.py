"""The stand-in robot's camera, and a spectator's: a process of its own, because pictures would hold up the physics.

    python -m sapave_ros.sim.eyes --run-dir DIR --parent PID [--target NAME] [--observer] [--faults] < room.json

Started by `sim.main`, with which it ends. It sees the world through the ring `motors`; where that stands still, so
does the camera. Says `eyes: ready` after the first frame, and at its end how many there were.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("LP_NUM_THREADS", "1")  # software rendering on one core: the others have work to do

import numpy as np

from sapave_ros import g1, graph, scheduling
from sapave_ros.drivers.frame_ring import FrameRingWriter
from sapave_ros.orphans import die_with
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.camera_faults import CameraFaults
from sapave_ros.sim.faults import FaultSocket
from sapave_ros.sim.motors import MotorReader
from sapave_ros.sim.rendering import HEAD_CAMERA, OBSERVER_CAMERA, Camera, SensorNoise
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.sights import Sights
from sapave_ros.sim.targets import AnyOf, target_of
from sapave_ros.sim.truth import Truth, TruthWriter
from sapave_ros.sim.world import World

OBSERVER_EVERY = 2
"""Camera frames per picture of the spectator: 7.5 Hz."""

FRAMES_HZ = graph.CAMERA_HZ / 2
"""What the stand-in camera gives: a mode that a real one has too. Rendering in software takes a quarter of a core at
15 Hz; the rest of a machine with two cores is needed by the control loops and the policy."""

PERIOD_S = 1.0 / FRAMES_HZ


class Eyes:
    """Fills `camera`, `truth` and, if asked, `observer` in the run directory from what is in `motors` there.

    aim: what in the room the truth is about. faults: whether it takes orders to break (`sim.faults`).
    When rendering cannot keep up, frames are skipped. A context manager, which removes its files.
    """

    def __init__(self, run_dir: Path, room: Room, aim: Aim, observer: bool, faults: bool) -> None:
        self.frames = self.skipped = 0
        self._no_depth = np.zeros((OBSERVER_CAMERA.height, OBSERVER_CAMERA.width), np.uint16)
        self._noise = SensorNoise(HEAD_CAMERA, room.scene.seed)
        self._faults = CameraFaults()
        self._fault_socket: FaultSocket | None = None
        self._motors, self._sequence = MotorReader(run_dir / "motors"), 0
        with contextlib.ExitStack() as closing:
            self._world = World.of(room.scene)
            closing.callback(self._world.close)
            self._camera = _ring(run_dir / "camera", HEAD_CAMERA, closing)
            self._observer = _ring(run_dir / "observer", OBSERVER_CAMERA, closing) if observer else None
            self._target = target_of(aim, room, Sights(self._world, self._world.renderer))
            at_best = self._target.visible_at_best if isinstance(self._target, AnyOf) else 1.0
            self._truth = TruthWriter(run_dir / "truth", aim.name, at_best)
            closing.callback(self._truth.close)
            if faults:
                self._fault_socket = FaultSocket(run_dir, "camera", self._faults)
                closing.callback(self._fault_socket.close)
            self._closing = closing.pop_all()

    def __enter__(self) -> Eyes:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, stop: threading.Event) -> None:
        """Looks until `stop`."""
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            if self._fault_socket is not None:
                self._fault_socket.serve(time.monotonic())
            if self.look() and self.frames == 1:
                print(f"eyes: {graph.READY}", flush=True)
            late = math.floor((time.monotonic() - due) / PERIOD_S)
            self.skipped += late
            due += (1 + late) * PERIOD_S

    def look(self) -> bool:
        """One frame of everything. False, and none, where the physics has not moved on: old would look like new."""
        ticks = self._motors.all_after(self._sequence)
        if not len(ticks):
            return False
        self._sequence = int(ticks.sequence[-1])
        stamp_s = float(ticks.ros_s[-1])
        world = self._world
        world.mirror(ticks.qpos[-1])
        frame = self._faults.frame(stamp_s, *self._noise.apply(*world.render()))
        if frame is not None:
            self._camera.write(*frame)
        head, arms, hands = (world.positions(group) for group in (g1.HEAD, g1.ARMS, g1.HANDS))
        pace = float(ticks.real_time_factor[-1]), float(ticks.late_s.max())
        self._truth.write(Truth(stamp_s, head, arms, hands, *self._look_at_target(), *pace))
        if self._observer is not None and self.frames % OBSERVER_EVERY == 0:
            self._observer.write(stamp_s, world.picture(OBSERVER_CAMERA), self._no_depth)
        self.frames += 1
        return True

    def _look_at_target(self) -> tuple[float, bool, float]:
        if self._target is None:
            return math.nan, False, 0.0
        in_view = self._target.in_view(self._world)
        return self._target.angle_rad(self._world), in_view, self._target.visible(self._world) if in_view else 0.0


def _ring(path: Path, camera: Camera, closing: contextlib.ExitStack) -> FrameRingWriter:
    ring = FrameRingWriter(path, camera.width, camera.height, camera.intrinsics)
    closing.callback(ring.close)
    return ring


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM, or until the process that started it is gone."""
    parser = argparse.ArgumentParser(prog="eyes", description="The camera of the simulated Unitree G1.")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True, help="process id of the simulator")
    Aim.add_arguments(parser)
    parser.add_argument("--observer", action="store_true")
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the simulator, which then ends this process
    die_with(options.parent)
    scheduling.ahead()
    try:
        room = Room.from_json(sys.stdin.read())
        with Eyes(options.run_dir, room, Aim.of(options), options.observer, options.faults) as eyes:
            eyes.run(stop)
    except (OSError, ValueError) as error:
        print(f"eyes: {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{eyes.frames} frames, {eyes.skipped} skipped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
