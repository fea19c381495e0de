"""The process `sim`: a G1 in a room, in real time, behind Unitree DDS, a servo bus on a pty, and a camera.

    python -m sapave_ros.sim.main --run-dir DIR --dds-domain N [--room NAME] [--seed N | --scene FILE]
        [--target "red mug"] [--faults]

In DIR appear `neck` (the servo bus), `camera`, `truth` and `motors` (rings), and `observer` where asked for; they
disappear when the process ends. Physics and DDS run at 500 Hz on the main thread, pictures in a process of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sapave_ros import graph, scheduling
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.sim.aim import Aim
from sapave_ros.sim.body import Body
from sapave_ros.sim.eyes_process import EyesError, EyesProcess
from sapave_ros.sim.faults import FaultSocket
from sapave_ros.sim.live import PLAIN, ROOMS, live_room
from sapave_ros.sim.motors import MotorWriter
from sapave_ros.sim.robot_faults import RobotFaults
from sapave_ros.sim.rooms import Room
from sapave_ros.sim.scene import Scene
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.stage import TIMESTEP_S
from sapave_ros.sim.unitree_face import UnitreeFace
from sapave_ros.sim.world import World

STATE_EVERY = 2
"""Ticks per LowState_: 250 Hz, once for each step of the arm controller. A G1 says it 500 times a second, which takes
a tenth of a core more, on both sides together."""

RESYNC_AFTER_S = 0.5
"""A process that was held up longer than this (suspended, debugged) does not catch up: its clock moves on."""


_PLAIN_AIM = Aim(("red mug",))
"""Of the plain room, and of a scene from a file, unless something else is named."""


class Pace:
    """When each tick is due, and how well that was kept. Times are those of one steady clock [s]."""

    def __init__(self, now_s: float) -> None:
        self._start_s = self._due_s = now_s
        self._simulated_s = 0.0
        self.worst_s = self.late_s = 0.0
        self.resyncs = self.late_ticks = 0

    def wait_s(self, now_s: float) -> float:
        """Time until the next tick is due, 0 when it is late; call `done` after it."""
        late = now_s - self._due_s
        if late > RESYNC_AFTER_S:
            self.resyncs += 1
            self._due_s = now_s
        self.late_s = max(0.0, late)
        self.worst_s = max(self.worst_s, late)
        self.late_ticks += late > TIMESTEP_S
        return max(0.0, -late)

    def done(self) -> None:
        """A tick has run."""
        self._due_s += TIMESTEP_S
        self._simulated_s += TIMESTEP_S

    def factor(self, now_s: float) -> float:
        """Simulated over elapsed time."""
        return self._simulated_s / max(now_s - self._start_s, TIMESTEP_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM; returns the exit code."""
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        room, aim = _room(options)
        options.run_dir.mkdir(parents=True, exist_ok=True)
        _run(options, room, aim, stop)
    except (OSError, ValueError, UnitreeError, EyesError) as error:
        print(f"sim: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _run(options: argparse.Namespace, room: Room, aim: Aim, stop: threading.Event) -> None:
    with contextlib.ExitStack() as closing:
        world = World.of(room.scene)
        motors = MotorWriter(options.run_dir / "motors", world)
        closing.callback(motors.close)
        # Before this process enters the real-time class, which a child would inherit.
        eyes = EyesProcess(options.run_dir, room, aim, options.observer, options.faults)
        closing.callback(eyes.close)
        scheduling.realtime(scheduling.ROBOT_PRIORITY)
        sys.setswitchinterval(0.0005)  # the physics must not wait 5 ms for the servo bus
        face = closing.enter_context(UnitreeFace(options.dds_domain, options.interface))
        neck = closing.enter_context(ServoBus(options.run_dir / "neck", position_rad=room.scene.head))
        body = Body(world, face, neck, STATE_EVERY)
        motors.write(time.monotonic(), time.time(), 0.0, 1.0, body, face, neck)  # for the first frame
        while not eyes.ready.wait(0.05):  # opening the graphics takes a second in which no tick would be in time
            if stop.is_set():
                return
        eyes.check()
        faults = None
        if options.faults:
            faults = FaultSocket(options.run_dir, "robot", RobotFaults(body, face, neck))
            closing.callback(faults.close)
        gc.freeze()
        print(f"sim: {graph.READY}", flush=True)
        pace = Pace(time.monotonic())
        while not stop.is_set():
            wait_s = pace.wait_s(time.monotonic())
            if wait_s > 0.0:
                time.sleep(wait_s)
            now_s = time.monotonic()
            if faults is not None:
                faults.serve(now_s)
            body.tick(now_s)
            motors.write(now_s, time.time(), pace.late_s, pace.factor(now_s), body, face, neck)
            pace.done()
            eyes.check()
        factor = pace.factor(time.monotonic())
        eyes.close()  # so that it can tell how it went
        print(
            f"sim: stopped after {body.time_s:.1f} s, real-time factor {factor:.4f}, "
            f"{pace.late_ticks} ticks late (worst {1000 * pace.worst_s:.1f} ms), "
            f"{eyes.report}, refused commands: {dict(face.dropped) or 'none'}",
            flush=True,
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sapave_sim", description="The simulated Unitree G1.")
    parser.add_argument("--run-dir", type=Path, required=True, help="where neck, camera and truth appear")
    parser.add_argument("--dds-domain", type=int, required=True, help="DDS domain id of the Unitree topics")
    parser.add_argument("--interface", default="lo", help="network interface of the Unitree topics")
    parser.add_argument("--room", default=PLAIN, metavar="NAME", help=f"one of {', '.join(ROOMS)}")
    parser.add_argument("--seed", type=int, default=0, help="number of the room")
    parser.add_argument("--scene", type=Path, help="a scene from a JSON file instead")
    Aim.add_arguments(parser)
    parser.add_argument("--observer", action="store_true", help="render a third-person view too, at 10 Hz")
    parser.add_argument("--faults", action="store_true", help="take orders to break something (see sim/faults.py)")
    return parser.parse_args(arguments)


def _room(options: argparse.Namespace) -> tuple[Room, Aim]:
    aim = Aim.of(options)
    if options.target is None and options.room == PLAIN:
        aim = _PLAIN_AIM
    if options.scene is None:
        return live_room(options.room, options.seed, aim), aim
    room = Room.bare(Scene.from_json(options.scene.read_text()))
    aim.check(room)
    return room, aim


if __name__ == "__main__":
    sys.exit(main())
