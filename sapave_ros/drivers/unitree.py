"""The G1's arms and hands: the driver's side that lives in the arm node. The SDK lives in `unitree_process`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection
from types import TracebackType

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers import unitree_guard, unitree_process, unitree_shared, unitree_stream
from sapave_ros.drivers.unitree_cdr import LowStateFrame
from sapave_ros.drivers.unitree_child import Child, clean_environment
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.drivers.unitree_statistics import Statistics, foreign_writer, state_fault
from sapave_ros.types import ArmSetpoint, BodyState, JointState

__all__ = ["Statistics", "UnitreeArms", "UnitreeError", "clean_environment"]

_ROWS = ("positions", "velocities", "torques", "kp", "kd")

# Change of a hand joint [rad] for one Inspire unit, HANDS order: units count from closed to open.
_RAD_PER_UNIT = g1.rad_from_inspire(np.ones(len(g1.HANDS))) - g1.rad_from_inspire(np.zeros(len(g1.HANDS)))
_INSPIRE_INDEX = np.array([g1.INSPIRE_ORDER.index(name) for name in g1.HANDS.names])


class UnitreeArms:
    """Arms and hands of one G1 over DDS.

    dds_domain: 0 on the robot. dds_interface: network interface name, `lo` with the simulated robot. sdk_python:
    interpreter that has unitree_sdk2py, by default this one. shadow: everything is checked and counted, and nothing
    is sent: there is not even a publisher. Raises UnitreeError with the SDK process's own words if it does not start.
    Nothing is sent before the first `send`.

    If the SDK process dies with the arms, its guard (`unitree_guard`) holds them and hands them back, whether this
    process lives or not; `send` fails from then on, and `close` waits until that is done.
    """

    def __init__(
        self,
        dds_domain: int,
        dds_interface: str,
        sdk_python: str | None = None,
        start_timeout_s: float = 20.0,
        shadow: bool = False,
    ) -> None:
        self._table = unitree_stream.Table(
            np.array([j.motor for j in g1.ARMS.joints]),
            g1.ARMS.column("lower"),
            g1.ARMS.column("upper"),
            g1.MODE_MACHINES_29_DOF,
        )
        self._record = np.zeros(1, dtype=unitree_shared.RECORD)
        self._frame = LowStateFrame()
        self._body: tuple[int, BodyState] | None = None
        self._hands: tuple[int, JointState] | None = None
        self._weight = 0.0  # of the last setpoint
        self._closed = False
        self._start(dds_domain, dds_interface, sdk_python or sys.executable, time.monotonic() + start_timeout_s, shadow)

    def _start(self, domain: int, interface: str, python: str, end_s: float, shadow: bool) -> None:
        board = unitree_shared.Board.create()
        self._board = unitree_shared.Board(board)
        heard, life = os.pipe()  # its end is the end of the SDK process: nobody else keeps `life`
        config = {
            "domain": domain,
            "interface": interface,
            "board": board,
            "motors": self._table.motors.tolist(),
            "lower": self._table.lower.tolist(),
            "upper": self._table.upper.tolist(),
            "mode_machines": sorted(self._table.mode_machines),
            "shadow": shadow,
        }
        children: list[Child] = []
        try:
            name, process = "the SDK process", unitree_process
            self._child = Child(name, process, python, {**config, "life": life}, (board, life), orders=True)
            children.append(self._child)
            self._guard: Child | None = None  # a shadow takes nothing that would have to be handed back
            if not shadow:
                name, guard = "the SDK process's guard", unitree_guard
                self._guard = Child(name, guard, python, {**config, "life": heard}, (board, heard), orders=False)
                children.append(self._guard)
            for child in children:
                child.wait_until_ready(end_s)
        except BaseException:
            for child in children:
                child.abandon()
            self._closed = True
            raise
        finally:
            for descriptor in (board, heard, life):
                os.close(descriptor)

    @property
    def alive(self) -> bool:
        """Whether the SDK process runs and takes setpoints."""
        return not self._closed and self._child.status is None

    @property
    def guarded(self) -> bool:
        """Whether somebody hands the arms back if the SDK process is killed; always true in shadow."""
        return self._guard is None or self._guard.status is None

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
            raise UnitreeError(f"the SDK process is gone (exit status {self._child.status}): no arm command was sent")
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
            if self._weight == 0.0 and not self.guarded:
                refusal = "the SDK process's guard is gone: expected somebody who hands the arms back in an emergency"
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
            self._child.write(self._record.tobytes())
        except BlockingIOError as error:
            raise UnitreeError("the SDK process is stuck: it does not take setpoints any more") from error
        except BrokenPipeError as error:
            raise UnitreeError("the SDK process is gone: no arm command was sent") from error

    def statistics(self) -> Statistics:
        """Counters and send times of the SDK process."""
        return Statistics.of(self._board.status)

    def state_fault(self) -> str:
        """What is wrong with the robot's states, empty if nothing was in the last second.

        Silence is not told here: `body_state` grows old. In each of these cases it does, too.
        """
        return state_fault(self._board.status, time.monotonic())

    def foreign_writer(self, ignored: Collection[str] = ()) -> str:
        """Who else wrote to the robot in the last second, as topic and age; empty if nobody.

        ignored: topics that somebody else may write. The robot's own writer of rt/lowcmd does not count, see
        `unitree_state.OwnWriter`.
        """
        return foreign_writer(self._board.status, time.monotonic(), ignored)

    def foreign_publishers(self) -> dict[str, int]:
        """How many publishers others hold on each topic now, whether they write or not: the robot has some itself."""
        return dict(zip(unitree_shared.WATCHED, self._board.status["foreign_publishers"].tolist(), strict=True))

    def close(self, release_s: float = 2.0) -> None:
        """Hand the arms back over release_s [s] and wait until that is complete. May be called twice.

        Raises UnitreeError if the SDK process does not finish, or has not done it itself; the text tells whether its
        guard has. Who does not finish is left alone, because a killed stream would leave the arms stiff.
        """
        if self._closed:
            return
        if self._child.status is None:
            self._record["kind"] = unitree_shared.RELEASE
            self._record["release_s"] = release_s
            try:
                self._write()
            except UnitreeError:
                if self._child.status is None:  # stuck; the end of its input still makes it release
                    release_s = unitree_stream.SETTLE_S + unitree_stream.RELEASE_S
        self._closed = True
        self._child.close_pipes()
        status = self._child.wait(release_s + 5.0)
        if self._guard is not None:
            self._guard.wait(unitree_stream.SETTLE_S + unitree_stream.RELEASE_S + 5.0)
        if status != 0:
            handed = "its guard has handed the arms back" if self.weight == 0.0 else "the arms are not handed back"
            raise UnitreeError(f"the SDK process ended with status {status}; {handed}")

    def __enter__(self) -> UnitreeArms:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
