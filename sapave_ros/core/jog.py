"""What a person wants to move, as increments: the speed of a stick becomes a short chunk, fifty times a second.

A chunk begins at the command in force and goes on at the wanted speed for longer than the time to the next, so that
one lost message changes nothing, and silence brings the joints to rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from sapave_ros import g1
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.graph import TELEOP_HZ
from sapave_ros.parameters import parameter
from sapave_ros.types import ActionChunk, Floats

STEP_S = 0.03
STEPS = 4
"""A chunk lasts 0.12 s: six periods."""

COMMAND_STALE_AFTER_S = 0.2
"""Age of the newest command beyond which nobody knows where the hands are [s]: ten of them."""

LEASH_S, LEASH_RAD = 0.15, 0.04
"""How far what was asked for may be ahead of the command: what is on its way at that speed, and a bit. Where joints are
slowed down on the way to their command, whatever is ahead would have to be taken back before they turn around."""

STOPPING_S = 0.4
"""A joint approaches the end of its range no faster than would take it there in this time [s]."""


@dataclass(frozen=True)
class TeleopParameters:
    """How a joystick moves the robot."""

    pad: str = parameter("game_controller", doc="which pad it is: a map of config/teleop.yaml")
    pads_file: str = parameter("", doc="path of other maps; empty: config/teleop.yaml of the package")
    dead_zone: float = parameter(0.12, low=0.02, high=0.4, doc="share of a stick's or trigger's way that is rest")
    expo: float = parameter(0.5, low=0.0, high=1.0, doc="share of the cube in a stick's curve: finer around the middle")
    slow_share: float = parameter(0.4, low=0.05, high=1.0, doc="share of the speeds below without the button `fast`")
    head_rad_s: float = parameter(0.8, unit="rad/s", low=0.05, high=1.5, doc="head, at full stick")
    hand_m_s: float = parameter(0.2, unit="m/s", low=0.01, high=0.5, doc="hand along, at full stick")
    hand_rad_s: float = parameter(0.8, unit="rad/s", low=0.05, high=1.5, doc="hand turning, at full stick")
    joint_rad_s: float = parameter(0.5, unit="rad/s", low=0.05, high=1.5, doc="one joint, at full stick")
    fingers_s: float = parameter(1.5, unit="s", low=1.2, high=10.0, doc="fingers from open to closed, at full trigger")
    ramp_s: float = parameter(
        0.3, unit="s", low=0.1, high=1.0, doc="a stick that jumps to its end is followed in this time"
    )
    velocity_share: float = parameter(
        0.75, low=0.05, high=0.9, doc="share of the joints' velocity limits that a hand may use"
    )
    repeats_s: float = parameter(
        3.0, unit="s", low=0.5, high=30.0, doc="a pad that moves something and repeats itself exactly this long is lost"
    )


class Limb(Enum):
    """What the sticks move."""

    HEAD = "head"
    LEFT = "left hand"
    RIGHT = "right hand"

    @property
    def group(self) -> str:
        return "head" if self is Limb.HEAD else "arms"


class Way(Enum):
    """How they move a hand."""

    ALONG = "along"
    TURNING = "turning"
    JOINT = "joint by joint"


@dataclass(frozen=True)
class Wish:
    """What the person wants to move now. joint: index into the arm's seven.

    pace: share of full speed by stick and trigger, -1 to 1, with its curve.
    """

    limb: Limb
    way: Way
    joint: int
    pace: Mapping[str, float]


_GROUP = g1.HEAD + g1.OTHER
_N_HEAD = len(g1.HEAD)
_RANGE_RAD = _GROUP.column("upper") - _GROUP.column("lower")
_HEAD = slice(0, 2)
_ARM = {Limb.LEFT: slice(2, 9), Limb.RIGHT: slice(9, 16)}
_FINGERS = {Limb.LEFT: slice(16, 22), Limb.RIGHT: slice(22, 28)}
_SIDE = {Limb.LEFT: "left", Limb.RIGHT: "right"}


def chunk(stamp_s: float, names: tuple[str, ...], rates: Floats) -> ActionChunk:
    """Joints at constant rates (n,) [rad/s] from ROS time `stamp_s` on."""
    return ActionChunk(stamp_s, STEP_S, names, np.tile(rates * STEP_S, (STEPS, 1)))


class Jog:
    """Wishes to joint rates. ik: None where hands cannot be moved as such; then joint by joint alone."""

    def __init__(self, config: TeleopParameters, ik: HandIk | None) -> None:
        self._config, self._ik = config, ik
        self._moved: tuple[Limb, Way, int] | None = None
        self._kept: Floats | None = None
        self._pace: dict[str, float] = {}
        self._now_s = 0.0
        self._ahead = np.zeros(len(_GROUP))  # where the joints will be, once they have carried out all that was asked

    def rates(self, wish: Wish | None, head: Floats | None, arms: Floats | None, now_s: float) -> tuple[Floats, Floats]:
        """Rates of the head, (2,) in `g1.HEAD` order, and of arms and hands, (26,) in `g1.OTHER` order [rad/s].

        Joints that the sticks do not move stand. head, arms: (2,) and (26,) [rad] the newest commands, None where too
        old: nothing moves from where nobody knows. now_s: monotonic [s].
        """
        rates = np.zeros(len(_GROUP))
        passed_s, self._now_s = min(max(0.0, now_s - self._now_s), 2.0 / TELEOP_HZ), now_s
        moved = None if wish is None else (wish.limb, wish.way, wish.joint)
        if moved != self._moved:
            self._moved, self._kept, self._pace = moved, None, {}
        commanded = np.concatenate(
            [
                np.full(_N_HEAD, np.nan) if head is None else head,
                np.full(len(g1.OTHER), np.nan) if arms is None else arms,
            ]
        )
        if wish is not None:
            pace = self._ramped(wish.pace, passed_s)
            for joints, asked in self._asked(wish, pace, commanded):
                if np.isfinite(commanded[joints]).all():
                    rates[joints] = self._leashed(joints, asked, commanded[joints])
        still = rates == 0.0
        self._ahead = np.where(still, commanded, self._ahead + rates * passed_s)
        return rates[:_N_HEAD], rates[_N_HEAD:]

    def _asked(self, wish: Wish, pace: dict[str, float], commanded: Floats) -> list[tuple[slice, Floats]]:
        """Joints, and the rates that the sticks ask of them [rad/s]."""
        config = self._config
        if wish.limb is Limb.HEAD:  # yaw to the left is positive, and so is looking down
            return [(_HEAD, config.head_rad_s * np.array([pace["left"], -pace["forward"]]))]
        arm, fingers = _ARM[wish.limb], _FINGERS[wish.limb]
        closing = (pace["close"] - pace["open"]) / config.fingers_s * _RANGE_RAD[fingers]
        if wish.way is Way.JOINT:
            joint = arm.start + wish.joint
            return [(fingers, closing), (slice(joint, joint + 1), np.array([config.joint_rad_s * pace["forward"]]))]
        return [(fingers, closing), (arm, self._hand(wish, pace, commanded[arm]))]

    def _leashed(self, joints: slice, asked: Floats, commanded: Floats) -> Floats:
        """The rates that are still possible: towards the end of a range, and where the command does not come along."""
        low = np.minimum(0.0, (_GROUP.lower[joints] - commanded) / STOPPING_S)
        high = np.maximum(0.0, (_GROUP.upper[joints] - commanded) / STOPPING_S)
        rates = np.clip(asked, low, high)
        ahead = (self._ahead[joints] - commanded) * np.sign(rates)
        left = 2.0 * (1.0 - ahead / (np.abs(rates) * LEASH_S + LEASH_RAD))
        return rates * min(1.0, max(0.0, float(np.nan_to_num(left, nan=1.0).min())))

    def _hand(self, wish: Wish, pace: dict[str, float], commanded: Floats) -> Floats:
        """Rates (7,) of the arm whose hand moves along or turns."""
        along = wish.way is Way.ALONG
        if along:  # x forward, y left, z up of the torso
            asked = np.array([pace["forward"], pace["left"], pace["up"]])
        else:  # about the same axes: roll to the left, fingertips up, fingertips left
            asked = np.array([-pace["tilt"], -pace["forward"], pace["left"]])
        size = float(np.linalg.norm(asked))
        if size == 0.0 or self._ik is None or not np.isfinite(commanded).all():
            self._kept = None
            return np.zeros(len(commanded))
        side = _SIDE[wish.limb]
        if self._kept is None:
            self._kept = self._ik.hand_in_torso(side, commanded)
        asked *= (self._config.hand_m_s if along else self._config.hand_rad_s) / max(1.0, size)
        return self._ik.joint_velocities(side, commanded, asked, along, self._kept, min(1.0, size))

    def _ramped(self, pace: Mapping[str, float], passed_s: float) -> dict[str, float]:
        """The pace without jumps: each joint would be late first, and make up for it by more than was asked."""
        change = passed_s / self._config.ramp_s
        before = self._pace or dict.fromkeys(pace, 0.0)
        self._pace = {
            name: min(max(value, before[name] - change), before[name] + change) for name, value in pace.items()
        }
        return self._pace
