"""What a person wants to move, as increments: the speed of a stick becomes a short chunk, fifty times a second.

A chunk begins at the command in force and goes on at the wanted speed for longer than the time to the next, so that
one lost message changes nothing, and silence brings the joints to rest.
"""

from __future__ import annotations

import numpy as np

from sapave_ros import g1
from sapave_ros.core.hand_ik import HandIk
from sapave_ros.core.teleop import Limb, TeleopParameters, Way, Wish
from sapave_ros.types import ActionChunk, Floats

STEP_S = 0.03
STEPS = 4
"""A chunk lasts 0.12 s: six periods."""

COMMAND_STALE_AFTER_S = 0.2
"""Age of the newest command beyond which nobody knows where the hands are [s]: ten of them."""

_ARM = {Limb.LEFT: slice(0, 7), Limb.RIGHT: slice(7, 14)}
_HAND = {Limb.LEFT: slice(14, 20), Limb.RIGHT: slice(20, 26)}
_SIDE = {Limb.LEFT: "left", Limb.RIGHT: "right"}
_FINGERS_RAD = g1.OTHER.column("upper") - g1.OTHER.column("lower")


def chunk(stamp_s: float, names: tuple[str, ...], rates: Floats) -> ActionChunk:
    """Joints at constant rates (n,) [rad/s] from ROS time `stamp_s` on."""
    return ActionChunk(stamp_s, STEP_S, names, np.tile(rates * STEP_S, (STEPS, 1)))


class Jog:
    """Wishes to joint rates. ik: None where hands cannot be moved as such; then joint by joint alone."""

    def __init__(self, config: TeleopParameters, ik: HandIk | None) -> None:
        self._config, self._ik = config, ik
        self._kept: tuple[Limb, Way, Floats] | None = None

    def head(self, wish: Wish | None) -> Floats:
        """Rates (2,) [rad/s] in `g1.HEAD` order; the head stands while the sticks move something else."""
        if wish is None or wish.limb is not Limb.HEAD:
            return np.zeros(2)
        # Yaw to the left is positive, and so is looking down.
        return wish.speed * self._config.head_rad_s * np.array([wish.sticks["left"], -wish.sticks["forward"]])

    def arms(self, wish: Wish | None, commanded: Floats | None) -> Floats:
        """Rates (26,) [rad/s] in `g1.OTHER` order; commanded: (26,) [rad] the newest command, None where too old."""
        rates = np.zeros(len(g1.OTHER))
        if wish is None or wish.limb is Limb.HEAD:
            self._kept = None
            return rates
        config, sticks = self._config, wish.sticks
        arm, hand = _ARM[wish.limb], _HAND[wish.limb]
        share = wish.speed * (wish.triggers["close"] - wish.triggers["open"])
        rates[hand] = share / config.fingers_s * _FINGERS_RAD[hand]
        if wish.way is Way.JOINT:
            rates[arm.start + wish.joint] = wish.speed * config.joint_rad_s * sticks["forward"]
            return rates
        if self._ik is None or commanded is None:
            return rates
        along = wish.way is Way.ALONG
        if along:
            asked = np.array([sticks["forward"], sticks["left"], sticks["up"]])
        else:  # about x forward, y left, z up of the torso, so: roll to the left, fingertips up, fingertips left
            asked = np.array([-sticks["tilt"], -sticks["forward"], sticks["left"]])
        size = float(np.linalg.norm(asked))
        if size == 0.0:
            self._kept = None
            return rates
        asked *= min(1.0, 1.0 / size)
        side = _SIDE[wish.limb]
        if self._kept is None or self._kept[:2] != (wish.limb, wish.way):
            self._kept = (wish.limb, wish.way, self._ik.hand_in_torso(side, commanded[arm]))
        velocity = wish.speed * (config.hand_m_s if along else config.hand_rad_s) * asked
        eagerness = wish.speed * min(1.0, size)
        rates[arm] = self._ik.joint_velocities(side, commanded[arm], velocity, along, self._kept[2], eagerness)
        return rates
