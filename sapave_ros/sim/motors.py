"""What the stand-in robot's motors do, told by the robot itself: one record per physics tick, for measurements.

Positions, velocities, stiffness and counts of received frames come from the simulator and from no program that
commands it: a claim such as "nothing was sent" or "the motion ended after 80 ms" is tested against these.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.drivers.shared_ring import RingReader, RingWriter
from sapave_ros.sim.body import Body
from sapave_ros.sim.mechanics import Mechanics
from sapave_ros.sim.servo_bus import ServoBus
from sapave_ros.sim.unitree_face import UnitreeFace
from sapave_ros.types import Floats

Integers = NDArray[np.int64]

_KIND = "motors"
_SLOTS = 16384
"""Half a minute at 500 Hz."""

_NUMBERS = ("time_s", "ros_s", "late_s", "real_time_factor", "weight")
_COUNTS = (
    "arm_frames",
    "hand_frames",
    "refused_frames",
    "servo_pings",
    "servo_reads",
    "servo_writes",
    "servo_others",
)
_COLUMNS = {"head": g1.HEAD, "arms": g1.ARMS, "hands": g1.HANDS}


def _layout(meta: dict[str, Any]) -> np.dtype[Any]:
    return np.dtype(
        [
            ("numbers", "<f8", (len(_NUMBERS),)),
            ("counts", "<i8", (len(g1.HEAD) + len(_COUNTS),)),  # the neck's torque first
            ("arms_kp", "<f8", (len(g1.ARMS),)),
            ("qpos", "<f8", (int(meta["nq"]),)),
            ("qvel", "<f8", (int(meta["nv"]),)),
        ]
    )


@dataclass(frozen=True)
class Motors:
    """N ticks, a row each, oldest first.

    sequence (N,): number of the record; one that is missing was lost. time_s: monotonic clock, ros_s: ROS time [s],
    both when the tick began; late_s: how much later than due; real_time_factor: simulated over elapsed time since
    the start (N,). head (N, 2), arms (N, 14), hands (N, 12): joint positions [rad]; head_velocity, arms_velocity
    [rad/s]; qpos (N, nq): MuJoCo's whole state. weight (N,): of arm_sdk in force, 0 to 1; arms_kp (N, 14): stiffness
    in force in the arms' motors [N m/rad]; neck_torque (N, 2): whether the servo holds. Counts since the start,
    (N,): arm_frames, hand_frames accepted on DDS, refused_frames of either, where of several frames within one tick
    only the newest is seen; servo_pings, servo_reads, servo_writes, servo_others: instructions on the servo bus, all.
    """

    sequence: Integers
    time_s: Floats
    ros_s: Floats
    late_s: Floats
    real_time_factor: Floats
    head: Floats
    arms: Floats
    hands: Floats
    head_velocity: Floats
    arms_velocity: Floats
    qpos: Floats
    weight: Floats
    arms_kp: Floats
    neck_torque: NDArray[np.bool_]
    arm_frames: Integers
    hand_frames: Integers
    refused_frames: Integers
    servo_pings: Integers
    servo_reads: Integers
    servo_writes: Integers
    servo_others: Integers

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Motors:
        """Those ticks: a slice or a mask (N,)."""
        return Motors(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class MotorWriter:
    """The simulator's end. Errors as `shared_ring.RingWriter`."""

    def __init__(self, path: str | Path, world: Mechanics) -> None:
        meta = {"nq": int(world.model.nq), "nv": int(world.model.nv)}
        for name, group in _COLUMNS.items():
            joints = [world.model.joint(n).id for n in group.names]
            meta[f"{name}_q"] = world.model.jnt_qposadr[joints].tolist()
            meta[f"{name}_v"] = world.model.jnt_dofadr[joints].tolist()
        self._record = np.zeros(1, _layout(meta))
        self._small = struct.Struct(f"<{len(_NUMBERS)}d{len(g1.HEAD) + len(_COUNTS)}q").pack_into
        self._bytes = self._record.view(np.uint8).data
        self._copies = [(self._record["qpos"][0], world.data.qpos), (self._record["qvel"][0], world.data.qvel)]
        self._kp = self._record["arms_kp"][0]
        self._ring = RingWriter(path, _KIND, self._record.dtype, meta, _SLOTS)

    def write(
        self,
        time_s: float,
        ros_s: float,
        late_s: float,
        real_time_factor: float,
        body: Body,
        face: UnitreeFace,
        neck: ServoBus,
    ) -> None:
        """Appends the tick that has just run; times and factor as in `Motors`."""
        numbers = time_s, ros_s, late_s, real_time_factor, body.weight
        self._small(self._bytes, 0, *numbers, *neck.torque, *face.frames, *neck.bus.instructions)
        for here, there in self._copies:
            here[:] = there
        self._kp[:] = body.arms_kp
        self._ring.write_record(self._bytes)

    def close(self) -> None:
        """Removes the link."""
        self._ring.close()


class MotorReader:
    """The reader's end. Errors as `shared_ring.RingReader`."""

    def __init__(self, path: str | Path) -> None:
        self._ring = RingReader(path, _KIND, _layout)

    @property
    def latest(self) -> int:
        """Sequence of the newest record, 0 for none yet."""
        return self._ring.latest

    def all_after(self, sequence: int) -> Motors:
        """Every tick newer than `sequence` that the ring still holds: the last half minute."""
        sequences, records = self._ring.array_after(sequence)
        meta = self._ring.meta
        q, v = records["qpos"], records["qvel"]
        torque, counts = np.split(records["counts"], [len(g1.HEAD)], axis=1)
        numbers = {name: records["numbers"][:, i] for i, name in enumerate(_NUMBERS)}
        return Motors(
            sequence=sequences,
            **numbers,
            **{name: q[:, meta[f"{name}_q"]] for name in _COLUMNS},
            head_velocity=v[:, meta["head_v"]],
            arms_velocity=v[:, meta["arms_v"]],
            qpos=q,
            arms_kp=records["arms_kp"],
            neck_torque=torque.astype(bool),
            **{name: counts[:, i] for i, name in enumerate(_COUNTS)},
        )

    def close(self) -> None:
        """Lets go of the memory."""
        self._ring.close()
