"""The robot's side of Unitree's DDS topics for the simulated G1: what the real one says and how it listens.

Publishes `rt/lowstate` and `rt/inspire/state`; reads `rt/arm_sdk` and `rt/inspire/cmd`. As strict as a robot can be
(frame check, `mode_machine`, finite numbers), because Unitree's own simulators are not and have no arm_sdk at all.

When the arm_sdk stream stops, the last command stays in force with its weight. The real robot's behaviour is not
documented; this is the choice that punishes us: a driver that dies without handing back leaves the arms stiff
where they were, and a test sees it.
"""

from __future__ import annotations

import math
import socket
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from sapave_ros import g1
from sapave_ros.drivers import unitree_cdr, unitree_sdk
from sapave_ros.drivers.unitree_sdk import UnitreeError
from sapave_ros.sim.state_faults import LowState
from sapave_ros.types import Floats

ARM_SDK_JOINTS = slice(12, 29)
"""What the robot's controller reads from `rt/arm_sdk`: waist and arms. Legs are never taken from it."""


@dataclass(frozen=True)
class MotorCommand:
    """Targets of the 29 body motors: q [rad], dq [rad/s], tau [N m], kp [N m/rad], kd [N m s/rad], each (29,)."""

    q: Floats
    dq: Floats
    tau: Floats
    kp: Floats
    kd: Floats

    def torques(self, positions: Floats, velocities: Floats) -> Floats:
        """What the motors' own controllers make of it [N m], (29,)."""
        return self.tau + self.kp * (self.q - positions) + self.kd * (self.dq - velocities)


@dataclass(frozen=True)
class ArmCommand(MotorCommand):
    """The last valid frame of `rt/arm_sdk`. weight: 0 to 1. received_s: time given to `poll` [s]."""

    weight: float
    received_s: float


def blend(own: MotorCommand, arm_sdk: MotorCommand, weight: float) -> MotorCommand:
    """What the motors get while the robot's own controller runs: own * (1 - weight) + arm_sdk * weight.

    Field by field, for waist and arms; the legs stay with the robot. Source: phanthymotus, measured on a G1.
    """

    def mixed(name: str) -> Floats:
        value: Floats = np.array(getattr(own, name), dtype=np.float64)
        value[ARM_SDK_JOINTS] *= 1.0 - weight
        value[ARM_SDK_JOINTS] += weight * getattr(arm_sdk, name)[ARM_SDK_JOINTS]
        return value

    return MotorCommand(*(mixed(name) for name in ("q", "dq", "tau", "kp", "kd")))


class Inbox:
    """The commands that the robot accepts, and a count of those that it does not.

    arm: the last valid `rt/arm_sdk` frame, None before the first. hands: the last hand command [rad], (12,) in
    `g1.HANDS` order, None before the first. arm_frames, hand_frames: how many were accepted. dropped: how many
    frames were refused, by reason.
    """

    def __init__(self, mode_machine: int) -> None:
        self.mode_machine = mode_machine
        self.arm: ArmCommand | None = None
        self.hands: Floats | None = None
        self.arm_frames = self.hand_frames = 0
        self.dropped: Counter[str] = Counter()
        self._frame = unitree_cdr.LowCmdFrame()

    def take_arm(self, data: bytes, now_s: float) -> None:
        """One message of `rt/arm_sdk` in wire form."""
        frame = self._frame
        try:
            frame.load(data)
        except ValueError:
            self.dropped["not a LowCmd"] += 1
            return
        motors = frame.motors[: g1.NUM_MOTORS].astype(np.float64)
        weight = float(frame.motors[g1.ARM_SDK_WEIGHT_INDEX, unitree_cdr.Q])
        if not frame.intact:
            self.dropped["crc"] += 1
        elif frame.header[1] != self.mode_machine:
            self.dropped["mode_machine"] += 1
        elif not (np.isfinite(motors).all() and math.isfinite(weight)):
            self.dropped["non-finite"] += 1
        elif not 0.0 <= weight <= 1.0:
            self.dropped["weight"] += 1
        else:
            q, dq, tau, kp, kd = motors.T
            self.arm = ArmCommand(q, dq, tau, kp, kd, weight, now_s)
            self.arm_frames += 1

    def take_hands(self, data: bytes) -> None:
        """One message of `rt/inspire/cmd` in wire form."""
        try:
            opening = unitree_cdr.decode_motor_cmds(data)["q"].astype(np.float64)
        except ValueError:
            self.dropped["not a MotorCmds"] += 1
            return
        if opening.shape != (len(g1.HANDS),):
            self.dropped["hand count"] += 1
        elif not np.isfinite(opening).all():
            self.dropped["hand non-finite"] += 1
        else:
            self.hands = g1.rad_from_inspire(np.clip(opening, 0.0, 1.0))
            self.hand_frames += 1


class UnitreeFace:
    """One robot on one DDS domain. A process can be one robot only, and a domain can hold one only.

    state: what it says of itself, and faults of that. link_down: fault: it neither hears nor says anything.
    hands_silent: fault: it says nothing of its hands. Raises UnitreeError off loopback, with a wrong domain, and when
    another simulated robot is on that domain.
    """

    def __init__(self, domain_id: int, interface: str = unitree_sdk.LOOPBACK, mode_machine: int = 5) -> None:
        unitree_sdk.check_network(domain_id, interface)
        if interface != unitree_sdk.LOOPBACK:
            raise UnitreeError(
                f"dds_interface {interface!r}: expected {unitree_sdk.LOOPBACK!r}; a simulated robot must not "
                "speak on a network where a real one may listen"
            )
        self._lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # An abstract address: it is held by this process alone and vanishes with it, however it ends.
            self._lock.bind(f"\0sapave-simulated-g1-{domain_id}")
        except OSError as error:
            self._lock.close()
            raise UnitreeError(
                f"dds_domain {domain_id}: another simulated G1 already runs there; stop it or choose another domain"
            ) from error
        try:
            self._open(domain_id, interface)
        except BaseException:
            self._lock.close()
            raise
        self._inbox = Inbox(mode_machine)
        self.state = LowState(mode_machine)
        self.heal()
        self._hand_state = unitree_cdr.motor_states(len(g1.HANDS))

    def _open(self, domain_id: int, interface: str) -> None:
        unitree_sdk.open_domain(domain_id, interface)
        from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorCmds_, MotorStates_
        from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_

        self._state_writer = unitree_sdk.Publisher("rt/lowstate", LowState_)
        self._hand_writer = unitree_sdk.Publisher("rt/inspire/state", MotorStates_)
        self._arm_reader = unitree_sdk.Subscriber("rt/arm_sdk", LowCmd_)
        self._hand_reader = unitree_sdk.Subscriber("rt/inspire/cmd", MotorCmds_)

    @property
    def arm(self) -> ArmCommand | None:
        """The last valid `rt/arm_sdk` frame, None before the first."""
        return self._inbox.arm

    @property
    def hands(self) -> Floats | None:
        """The last hand command [rad], (12,) in `g1.HANDS` order, None before the first."""
        return self._inbox.hands

    @property
    def dropped(self) -> Counter[str]:
        """How many frames were refused, by reason."""
        return self._inbox.dropped

    @property
    def frames(self) -> tuple[int, int, int]:
        """How many frames came: for the arms, for the hands, and of either but refused."""
        inbox = self._inbox
        return inbox.arm_frames, inbox.hand_frames, inbox.dropped.total()

    def poll(self, now_s: float) -> None:
        """Take what has arrived. Never blocks. now_s: any clock; comes back as `arm.received_s`."""
        arm, hands = self._arm_reader.take(), self._hand_reader.take()
        if self.link_down:
            return
        if arm is not None:
            self._inbox.take_arm(arm, now_s)
        if hands is not None:
            self._inbox.take_hands(hands)

    def be(self, mode_machine: int) -> None:
        """Fault: another robot by what it says, which takes only commands to that one."""
        self.state.frame.header[1] = self._inbox.mode_machine = mode_machine

    def heal(self) -> None:
        """Ends the faults of the link and of the hands, and is the robot again that it was made as."""
        self.link_down = self.hands_silent = False
        self.be(self.state.mode_machine)

    def publish(
        self,
        tick_ms: int,
        positions: Floats,
        velocities: Floats,
        torques: Floats,
        imu_quaternion: Floats,
        gyroscope: Floats,
        accelerometer: Floats,
        motor_mode: Floats | None = None,
    ) -> None:
        """Send one LowState_.

        tick_ms: the robot's clock, wraps at 2^32. positions [rad], velocities [rad/s], torques [N m]: (29,) in motor
        order. imu_quaternion: (w, x, y, z) of the pelvis; gyroscope [rad/s], accelerometer [m/s^2]: (3,) in the pelvis.
        motor_mode: (29,) for a robot that lacks joints, None = all there.
        """
        state, n = self.state.frame, g1.NUM_MOTORS
        state.tick[0] = tick_ms & 0xFFFFFFFF
        state.motors[:n, 0] = positions
        state.motors[:n, 1] = velocities
        state.motors[:n, 3] = torques
        w, x, y, z = (float(v) for v in imu_quaternion)
        imu = state.imu
        imu[:4] = imu_quaternion
        imu[4:7] = gyroscope
        imu[7:10] = accelerometer
        imu[10] = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        imu[11] = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
        imu[12] = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
        if motor_mode is not None:
            modes = state.motor_mode
            modes[:n] = motor_mode
            state.motor_mode = modes
        data = self.state.outgoing()
        if data is not None and not self.link_down:
            self._state_writer.write(data)

    def publish_hands(self, q: Floats) -> None:
        """Send the state of both hands. q: (12,) [rad] in `g1.HANDS` order."""
        if self.link_down or self.hands_silent:
            return
        self._hand_state["q"] = g1.inspire_from_rad(q)
        self._hand_writer.write(unitree_cdr.encode_sequence(self._hand_state))

    def close(self) -> None:
        """Let another robot have the domain. This process cannot join a second one."""
        self._lock.close()

    def __enter__(self) -> UnitreeFace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
