"""What is written to a joint group in one tick, and what the gate says about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from sapave_ros.types import Floats


class Reason(Enum):
    """Why a command was not written as it was."""

    SHAPE = "wrong number of joints"
    NOT_FINITE = "not finite"
    POSITION = "position limit"
    VELOCITY = "velocity limit"
    ACCELERATION = "acceleration limit"
    TRACKING = "joint does not follow"
    STATE_STALE = "measured joints too old"
    PERMIT_STALE = "permit too old"
    NOT_PERMITTED = "not permitted to move"
    TORQUE = "torque limit"
    AUTHORITY = "weight or stiffness out of range or too sudden"
    COLLISION = "robot too close to itself"
    WORKSPACE = "hand would leave its space"
    CLOCK = "time does not pass between two writes"


@dataclass(frozen=True)
class Command:
    """What is to be written to one joint group in one tick.

    positions [rad], velocities [rad/s], torques (feed-forward) [N m]: (n,). weight: share of authority
    taken from the robot's own controller, stiffness: share of kp; both 0 to 1.
    """

    positions: Floats
    velocities: Floats
    torques: Floats
    weight: float = 1.0
    stiffness: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """command: what to write. refused: whether it replaces what was asked. reason: None when nothing was changed.

    detail: the joint, its value and what was expected.
    """

    command: Command
    refused: bool = False
    reason: Reason | None = None
    detail: str = ""


def own_array(value: object) -> Floats:
    """A copy as float64, which nobody else changes. What is not made of numbers gets a shape that fits nothing."""
    try:
        array = np.array(value)
    except (TypeError, ValueError):  # such as rows of unequal length
        return np.empty((0, 0))
    return array.astype(np.float64) if array.dtype.kind in "fiu" else np.empty((0, 0))


def _own_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def own(wanted: Any) -> Command:
    """The command as the gate keeps it, whatever it was given: arrays of its own, and floats."""
    return Command(
        own_array(getattr(wanted, "positions", None)),
        own_array(getattr(wanted, "velocities", None)),
        own_array(getattr(wanted, "torques", None)),
        _own_number(getattr(wanted, "weight", None)),
        _own_number(getattr(wanted, "stiffness", None)),
    )
