"""The G1's arms and hands: the driver's side that lives in the arm node. The SDK lives in `unitree_process`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers import unitree_process, unitree_shared, unitree_stream
from sapave_ros.drivers.unitree_cdr import LowStateFrame
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.types import ArmSetpoint, BodyState, Floats, JointState

__all__ = ["Statistics", "UnitreeArms", "UnitreeError"]

_ROWS = ("positions", "velocities", "torques", "kp", "kd")

# Change of a hand joint [rad] for one Inspire unit, HANDS order: units count from closed to open.
_RAD_PER_UNIT = g1.rad_from_inspire(np.ones(len(g1.HANDS))) - g1.rad_from_inspire(np.zeros(len(g1.HANDS)))
_INSPIRE_INDEX = np.array([g1.INSPIRE_ORDER.index(name) for name in g1.HANDS.names])


@dataclass(frozen=True)
class Statistics:
    """Counters of the SDK process since its start.

    holds: times that setpoints stopped coming while we had the arms; hold_frames: frames it sent by itself, releases
    included. refused: setpoints it did not send. send_times_s: monotonic times [s] of up to the last 4096 frames;
    lateness_s: from `send` to the DDS write of each [s], 0 for its own frames.
    """

    frames_sent: int
    hold_frames: int
    holds: int
    refused: int
    state_frames: int
    state_crc_errors: int
    hand_frames_sent: int
    lateness_max_s: float
    send_times_s: Floats
    lateness_s: Floats

    @property
    def periods_s(self) -> Floats:
        """Times between frames [s], oldest first."""
        return np.diff(self.send_times_s)


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment without ROS: its libddsc would be loaded in place of the SDK's and crash it."""
    prefixes = [
        p
        for name in ("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "CMAKE_PREFIX_PATH")
        for p in environment.get(name, "").split(os.pathsep)
        if p
    ]
    prefixes.append("/opt/ros")
    own = ("PYTHONSAFEPATH", "ROS_", "AMENT_", "COLCON_", "RMW_", "CYCLONEDDS_", "FASTRTPS_", "FASTDDS_")
    cleaned = {k: v for k, v in environment.items() if not k.startswith(own)}
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "PATH"):
        if name in cleaned:
            parts = [p for p in cleaned[name].split(os.pathsep) if p and not p.startswith(tuple(prefixes))]
            cleaned[name] = os.pathsep.join(parts)
    return cleaned


class UnitreeArms:
    """Arms and hands of one G1 over DDS.

    dds_domain: 0 on the robot. dds_interface: network interface name, `lo` with the simulated robot. sdk_python:
    interpreter that has unitree_sdk2py, by default this one. Raises UnitreeError with the SDK process's own words if
    it does not start. Nothing is sent before the first `send`.
    """

    def __init__(
        self, dds_domain: int, dds_interface: str, sdk_python: str | None = None, start_timeout_s: float = 20.0
    ) -> None:
        self._table = unitree_stream.Table(
            np.array([j.motor for j in g1.ARMS.joints]),
            g1.ARMS.column("lower"),
            g1.ARMS.column("upper"),
            g1.MODE_MACHINES_29_DOF,
        )
        descriptor = unitree_shared.Board.create()
        self._board = unitree_shared.Board(descriptor)
        config = {
            "domain": dds_domain,
            "interface": dds_interface,
            "board": descriptor,
            "motors": self._table.motors.tolist(),
            "lower": self._table.lower.tolist(),
            "upper": self._table.upper.tolist(),
            "mode_machines": sorted(self._table.mode_machines),
        }
        self._python = python = sdk_python or sys.executable
        try:
            self._child = subprocess.Popen(
                [python, str(Path(unitree_process.__file__).resolve()), json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(descriptor,),
                env=clean_environment(dict(os.environ)),
                start_new_session=True,  # Ctrl-C is for the node; the arms are handed back by its word or its end
            )
        except OSError as error:
            raise UnitreeError(f"sdk_python {python!r}: expected a Python interpreter ({error})") from error
        finally:
            os.close(descriptor)
        assert self._child.stdin is not None
        self._pipe = self._child.stdin.fileno()
        os.set_blocking(self._pipe, False)
        self._record = np.zeros(1, dtype=unitree_shared.RECORD)
        self._frame = LowStateFrame()
        self._body: tuple[int, BodyState] | None = None
        self._hands: tuple[int, JointState] | None = None
        self._weight = 0.0  # of the last setpoint
        self._closed = False
        self._wait_until_ready(start_timeout_s)

    def _wait_until_ready(self, timeout_s: float) -> None:
        assert self._child.stdout is not None
        descriptor, text, end_s = self._child.stdout.fileno(), b"", time.monotonic() + timeout_s
        answer = unitree_process.ANSWER.encode()
        while True:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            data = os.read(descriptor, 4096) if ready else b""
            text += data
            for line in text.split(b"\n")[:-1]:
                if line.startswith(answer):
                    said = line[len(answer) :].decode(errors="replace")
                    if said == "ready":
                        self._child.stdout.close()
                        return
                    self._abandon()
                    raise UnitreeError(said)
            if not data:
                problem = f"gave no answer within {timeout_s:g} s" if not ready else "ended while starting"
                self._abandon()
                said = text.decode(errors="replace").strip()
                raise UnitreeError(f"the SDK process ({self._python}) {problem}{': ' if said else ''}{said}")

    def _abandon(self) -> None:
        self._child.kill()  # it has sent nothing yet
        self._child.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._closed = True

    @property
    def alive(self) -> bool:
        """Whether the SDK process runs and takes setpoints."""
        return not self._closed and self._child.poll() is None

    @property
    def weight(self) -> float:
        """How much of the arms we have, 0 to 1, as last sent to the robot."""
        return float(self._board.status["weight"])

    def body_state(self) -> BodyState | None:
        """The newest LowState_ with a correct frame check, None before the first."""
        if self._body is not None and self._body[0] == self._board.body.sequence:
            return self._body[1]
        newest = self._board.body.read()
        if newest is not None:
            sequence, message = newest
            frame, n = self._frame, g1.NUM_MOTORS
            frame.load(message[8:])
            motors = frame.motors[:n].astype(np.float64)
            self._body = (
                sequence,
                BodyState(
                    received_s=float(np.frombuffer(message, np.float64, 1)[0]),
                    tick_ms=int(frame.tick[0]),
                    mode_machine=int(frame.header[1]),
                    mode_pr=int(frame.header[0]),
                    positions=motors[:, 0],
                    velocities=motors[:, 1],
                    torques=motors[:, 3],
                    motor_mode=frame.motor_mode[:n],
                    motor_error=frame.motor_error[:n].copy(),
                    temperature=frame.temperature[:n].copy(),
                    imu_quaternion=frame.imu[:4].astype(np.float64),
                    remote=frame.remote.tobytes(),
                    voltage=frame.voltage[:n].astype(np.float64),
                    gyroscope=frame.imu[4:7].astype(np.float64),
                ),
            )
        return None if self._body is None else self._body[1]

    def hand_state(self) -> JointState | None:
        """The newest state of both hands [rad, rad/s], (12,) in `g1.HANDS` order, None before the first.

        Velocities are what the hand service reports, in joint units; a service that reports none gives zeros.
        """
        if self._hands is not None and self._hands[0] == self._board.hands.sequence:
            return self._hands[1]
        newest = self._board.hands.read()
        if newest is not None:
            sequence, message = newest
            values = np.frombuffer(message, np.float64)
            n = len(g1.HANDS)
            positions = g1.rad_from_inspire(values[1 : 1 + n])
            velocities = values[1 + n :][_INSPIRE_INDEX] * _RAD_PER_UNIT
            self._hands = (sequence, JointState(float(values[0]), positions, velocities))
        return None if self._hands is None else self._hands[1]

    def send(self, setpoint: ArmSetpoint) -> None:
        """Send one setpoint now. Does not block.

        Raises ValueError for a setpoint of wrong shape, with a non-finite value or outside the mechanical range, and
        UnitreeError when the robot is not one that may be taken or the SDK process is gone or stuck.
        """
        if not self.alive:
            raise UnitreeError(f"the SDK process is gone (exit status {self._child.poll()}): no arm command was sent")
        record = self._record[0]
        for row, name in enumerate(_ROWS):
            value = np.asarray(getattr(setpoint, name), dtype=np.float64)
            if value.shape != (len(g1.ARMS),):
                raise ValueError(f"setpoint.{name} has shape {value.shape}: expected ({len(g1.ARMS)},)")
            record["arm"][row] = value
        refusal = self._table.setpoint_refusal(record["arm"], setpoint.weight)
        if refusal is not None:
            raise ValueError(f"setpoint: {refusal}")
        if unitree_stream.takes(self._weight, setpoint.weight):
            body = self.body_state()
            refusal = self._table.body_refusal(
                None if body is None else unitree_stream.Body(body.mode_machine, body.motor_mode, body.positions)
            )
            if refusal is not None:
                raise UnitreeError(refusal)
        record["has_hands"] = setpoint.hands is not None
        if setpoint.hands is not None:
            hands = np.asarray(setpoint.hands, dtype=np.float64)
            if hands.shape != (len(g1.HANDS),) or not np.isfinite(hands).all():
                raise ValueError(f"setpoint.hands {hands}: expected {len(g1.HANDS)} finite numbers")
            record["hands"] = g1.inspire_from_rad(hands)
        record["weight"] = setpoint.weight
        record["kind"] = unitree_shared.SETPOINT
        record["sent_s"] = time.monotonic()
        self._write()
        self._weight = setpoint.weight

    def _write(self) -> None:
        try:
            os.write(self._pipe, self._record.tobytes())  # below PIPE_BUF: whole or not at all
        except BlockingIOError as error:
            raise UnitreeError("the SDK process is stuck: it does not take setpoints any more") from error
        except BrokenPipeError as error:
            raise UnitreeError("the SDK process is gone: no arm command was sent") from error

    def statistics(self) -> Statistics:
        """Counters and send times of the SDK process."""
        status = self._board.status.copy()
        sent, ring = int(status["frames_sent"]), unitree_shared.RING
        order = np.arange(max(0, sent - ring), sent) % ring
        counters = {name: int(status[name]) for name in unitree_shared.STATUS.names[:7]}  # type: ignore[index]
        return Statistics(
            **counters,
            lateness_max_s=float(status["lateness_max_s"]),
            send_times_s=status["sent_s"][order],
            lateness_s=status["lateness_s"][order],
        )

    def close(self, release_s: float = 2.0) -> None:
        """Hand the arms back over release_s [s] and wait until that is complete. May be called twice.

        Raises UnitreeError if the SDK process does not finish; it is then left alone, because a killed stream would
        leave the arms stiff.
        """
        if self._closed:
            return
        if self._child.poll() is None:
            self._record["kind"] = unitree_shared.RELEASE
            self._record["release_s"] = release_s
            try:
                self._write()
            except UnitreeError:
                if self._child.poll() is None:  # stuck; the end of its input still makes it release
                    release_s = unitree_stream.SETTLE_S + unitree_stream.RELEASE_S
        self._close_pipes()
        try:
            status = self._child.wait(release_s + 5.0)
        except subprocess.TimeoutExpired as error:
            raise UnitreeError(
                f"the SDK process (pid {self._child.pid}) did not finish handing the arms back"
            ) from error
        if status != 0:
            raise UnitreeError(f"the SDK process ended with status {status} while handing the arms back")

    def __enter__(self) -> UnitreeArms:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
