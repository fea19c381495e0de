"""The stand-in robot's camera, and a spectator's: renders a copy of the state beside the physics."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sapave_ros import g1, scheduling
from sapave_ros.drivers.frame_ring import FrameRingWriter
from sapave_ros.graph import CAMERA_HZ
from sapave_ros.sim.camera_faults import CameraFaults
from sapave_ros.sim.faults import FaultSocket
from sapave_ros.sim.rendering import HEAD_CAMERA, OBSERVER_CAMERA, Camera, SensorNoise
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.truth import Truth, TruthWriter
from sapave_ros.sim.world import World
from sapave_ros.types import Floats

OBSERVER_EVERY = 3
"""Camera frames per picture of the spectator: 10 Hz."""

_LABEL_CAMERA = Camera(HEAD_CAMERA.name, 212, 120, HEAD_CAMERA.fov_vertical_rad)


class Eyes:
    """A thread that fills `camera`, `truth` and, if asked, `observer` in the run directory.

    snapshot: gives the physics' `data.qpos`. pace: real-time factor, and worst lateness of a tick since
    it was last asked [s]. When rendering cannot keep up, frames are skipped; physics is never held up.
    """

    def __init__(
        self,
        run_dir: Path,
        scene: Scene,
        snapshot: Callable[[], Floats],
        pace: Callable[[], tuple[float, float]],
        target: str | None,
        observer: bool,
        faults: bool = False,
    ) -> None:
        self._scene, self._snapshot, self._pace, self._target = scene, snapshot, pace, target
        self.frames = self.skipped = 0
        self.error: BaseException | None = None
        self.first_frame = threading.Event()
        self._stop = threading.Event()
        self._closers: list[Callable[[], None]] = []
        self._faults = CameraFaults()
        self._fault_socket: FaultSocket | None = None
        try:
            self._camera = self._ring(run_dir / "camera", HEAD_CAMERA)
            self._observer = self._ring(run_dir / "observer", OBSERVER_CAMERA) if observer else None
            self._truth = TruthWriter(run_dir / "truth", target)
            self._closers.append(self._truth.close)
            if faults:
                self._fault_socket = FaultSocket(run_dir, "camera", self._faults)
                self._closers.append(self._fault_socket.close)
        except BaseException:
            self.close()
            raise
        self._thread = threading.Thread(target=self._run, name="eyes")
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and removes its files."""
        self._stop.set()
        if hasattr(self, "_thread"):
            self._thread.join()
        for close in self._closers:
            close()

    def _ring(self, path: Path, camera: Camera) -> FrameRingWriter:
        ring = FrameRingWriter(path, camera.width, camera.height, camera.intrinsics)
        self._closers.append(ring.close)
        return ring

    def _run(self) -> None:
        scheduling.background()
        try:
            world = World(self._scene)  # its own, because a graphics context belongs to its thread
            try:
                self._loop(world)
            finally:
                world.close()
        except BaseException as error:
            self.error = error
            self.first_frame.set()

    def _loop(self, world: World) -> None:
        noise = SensorNoise(HEAD_CAMERA, self._scene.seed)
        no_depth = np.zeros((OBSERVER_CAMERA.height, OBSERVER_CAMERA.width), np.uint16)  # a spectator needs none
        period = 1.0 / CAMERA_HZ
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            if self._fault_socket is not None:
                self._fault_socket.serve(time.monotonic())
            stamp_s, qpos = time.time(), self._snapshot()
            world.mirror(qpos)
            frame = self._faults.frame(stamp_s, *noise.apply(*world.render()))
            if frame is not None:
                self._camera.write(*frame)
            self._truth.write(self._look(world, stamp_s))
            if self._observer is not None and self.frames % OBSERVER_EVERY == 0:
                self._observer.write(stamp_s, world.picture(OBSERVER_CAMERA), no_depth)
            self.frames += 1
            self.first_frame.set()
            late = math.floor((time.monotonic() - due) / period)
            self.skipped += late
            due += (1 + late) * period

    def _look(self, world: World, stamp_s: float) -> Truth:
        angle, in_view, fraction = math.nan, False, 0.0
        if self._target is not None:
            look = world.look_target(self._target, visibility=False)
            angle, in_view = look.angle_rad, look.in_view
            if in_view:
                fraction = world.look_target(self._target, camera=_LABEL_CAMERA).visible_fraction or 0.0
        head, arms, hands = (world.positions(group) for group in (g1.HEAD, g1.ARMS, g1.HANDS))
        return Truth(stamp_s, head, arms, hands, angle, in_view, fraction, *self._pace())
