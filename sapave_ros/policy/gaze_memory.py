"""What has been seen of the thing that was asked for, and where: evidence over time, for a policy without memory.

The policy answers to one picture. Where it sees what it was told flickers from picture to picture, the more the less
sure it is; and its search is a flow that goes round for ever, past a thing that it has half seen each time. Here the
evidence (`PolicyOutput.grounding`) is kept by direction in torso_link, as an average over the time for which a
direction was in view. Where it is enough, the head is turned there and stays, by the flow that the policy has learned
from (`gaze.look_velocity`); after a round of searching in vain, to where there is most. Else the policy's own chunk
counts. Directions know no distance: what the camera's own way does to them (a few centimetres) is below a patch.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from sapave_ros import g1
from sapave_ros.policy import gaze
from sapave_ros.types import ActionChunk, Floats, Observation

AVERAGE_S = 0.46
"""Time constant of the average over pictures in which a direction is in view [s]: three to four of them."""

FADE_S = 10.0
"""Time constant with which is forgotten what is out of view [s]: people and robots move."""

SURE, UNSURE = 0.6, 0.35
"""Evidence, of 1, from which on the head is turned to a direction, and below which it is let go again."""

LOST_S = 2.6
"""So long a search shows all that the head can look at (`gaze.search_velocity`) [s]."""

LEAST = 0.08
"""Less evidence than this is none, even for who has found nothing better."""

STAY_S = 3.0
"""So long the head stays with the best of what it is not sure of, before it goes on to search [s]."""

WINDOW_RAD = math.radians(8.0)
"""Evidence within this angle belongs to one thing: it covers several patches of 3.5 degrees, and the picture moves."""

NEARER_PER_RAD = 0.29
"""Of two things as evident, the nearer; a radian farther costs so much evidence."""

GAP_S = 1.0
"""After so long without a picture the policy has neither searched nor stayed [s]."""

SEARCHING_RAD_S = 0.5
"""A policy that turns the head at this mean speed is on its way somewhere."""

_CELL_RAD = math.radians(2.0)
_YAW, _PITCH = (np.arange(math.radians(low), math.radians(high), _CELL_RAD) for low, high in ((-110, 111), (-60, 101)))
_HEADS = np.stack(np.meshgrid(_YAW, _PITCH), axis=-1)  # (rows, columns, 2): head position that looks there
_DIRECTIONS = np.stack(
    [
        np.cos(_HEADS[..., 1]) * np.cos(_HEADS[..., 0]),
        np.cos(_HEADS[..., 1]) * np.sin(_HEADS[..., 0]),
        -np.sin(_HEADS[..., 1]),
    ],
    axis=-1,
)  # (rows, columns, 3): x forward, y left, z up
_CELLS = round(WINDOW_RAD / _CELL_RAD)
_WINDOW = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _CELLS + 1, 2 * _CELLS + 1)).astype(np.float32)
_IN_FRONT = 0.2  # cosine to the optical axis above which a direction may be in a picture at all


class GazeMemory:
    """Fed with every observation and what the policy made of it, in their order."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another instruction: nothing has been seen of what it asks for."""
        self._evidence = np.zeros(_HEADS.shape[:2], np.float32)
        self._known = np.zeros(_HEADS.shape[:2], np.float32)  # 1 in view, 0 never or long ago
        self._stamp_s: float | None = None
        self._own: Floats | None = None
        self._at_goal = False
        self._searched_s = self._stayed_s = 0.0

    def chunk(self, observation: Observation, grounding: NDArray[np.floating], own: ActionChunk) -> ActionChunk:
        """The head's next chunk: towards what is evident, or the policy's own.

        grounding: (h, w) in 0..1, see `PolicyOutput`. Without an instruction, or where the observation does not tell
        intrinsics and pose of the camera, nothing can be remembered, and the chunk is the policy's own. So it is of a
        policy that says the same twice, bit for bit: it is stuck, and the watchdog is to see it.
        """
        if not observation.instruction.strip() or observation.intrinsics is None or observation.camera_in_torso is None:
            self.reset()
            return own
        period_s = 0.0 if self._stamp_s is None else observation.stamp_s - self._stamp_s
        if period_s < 0.0:  # the clock has been set back
            self.reset()
            period_s = 0.0
        if period_s > GAP_S:
            self._at_goal, self._searched_s, self._stayed_s = False, 0.0, 0.0
        self._stamp_s = observation.stamp_s
        self._see(observation, share_of_patches(grounding), period_s)
        head = observation.joint_positions[: len(g1.HEAD)]
        around = cv2.filter2D(self._evidence, -1, _WINDOW, borderType=cv2.BORDER_CONSTANT)
        liking = around - NEARER_PER_RAD * np.linalg.norm(_HEADS - head, axis=-1)
        best = np.unravel_index(int(liking.argmax()), liking.shape)
        self._decide(float(around[best]), own, period_s if period_s <= GAP_S else 0.0)
        before, self._own = self._own, own.increments
        stuck = before is not None and np.array_equal(before, own.increments) and own.increments.any()
        if stuck or not self._at_goal:
            return own
        goal = self._goal(_HEADS[best], head, observation.camera_in_torso)
        steps = len(own.increments)
        return ActionChunk(own.stamp_s, own.dt_s, own.joint_names, gaze.look_chunk(head, goal, steps, own.dt_s))

    def _see(self, observation: Observation, share: NDArray[np.float64], period_s: float) -> None:
        """Averages what a picture shows into the directions that it shows, and fades the others."""
        assert observation.intrinsics is not None and observation.camera_in_torso is not None
        (h, w), (height, width) = share.shape, observation.rgb.shape[:2]
        k = observation.intrinsics
        rays = _DIRECTIONS @ observation.camera_in_torso[:3, :3]  # in the camera
        z = np.maximum(rays[..., 2], _IN_FRONT)
        u, v = k[0, 0] * rays[..., 0] / z + k[0, 2], k[1, 1] * rays[..., 1] / z + k[1, 2]
        inside = (rays[..., 2] > _IN_FRONT) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        patch = (v[inside] * h / height).astype(np.intp) * w + (u[inside] * w / width).astype(np.intp)
        # A patch's evidence is shared out among the directions in it.
        now = (share.ravel() / np.maximum(np.bincount(patch, minlength=h * w), 1))[patch]
        # What has faded counts no more against what is seen there now.
        weight = np.maximum(1.0 - math.exp(-period_s / AVERAGE_S), 1.0 - self._known[inside])
        before, fade = self._evidence[inside], math.exp(-period_s / FADE_S)
        self._evidence *= fade
        self._known *= fade
        self._evidence[inside], self._known[inside] = before + weight * (now - before), 1.0

    def _decide(self, evidence: float, own: ActionChunk, period_s: float) -> None:
        """Whether the head is turned to where most evidence is, or follows the policy."""
        speed = float(np.linalg.norm(own.increments, axis=1).sum()) / (own.end_s - own.stamp_s)
        if not self._at_goal and speed > SEARCHING_RAD_S:
            self._searched_s += period_s
        lost = self._searched_s >= LOST_S
        if evidence >= (UNSURE if self._at_goal and not lost else SURE):
            self._at_goal, self._searched_s, self._stayed_s = True, 0.0, 0.0
        elif lost and evidence >= LEAST and self._stayed_s < STAY_S:
            self._at_goal = True
            self._stayed_s += period_s
        else:
            self._at_goal = False
            if self._stayed_s >= STAY_S:
                self._searched_s = self._stayed_s = 0.0

    def _goal(self, best: Floats, head: Floats, camera_in_torso: Floats) -> Floats:
        """Head position (2,) [rad] that centres the evidence around a direction."""
        near = self._evidence * (np.linalg.norm(_HEADS - best, axis=-1) <= WINDOW_RAD)
        x, y, z = camera_in_torso[:3, :3].T @ (_DIRECTIONS * near[..., None]).sum((0, 1))
        return head + np.array([-math.atan2(x, z), math.atan2(y, z)])


def share_of_patches(grounding: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probability that a patch shows what was asked for, (h, w); with that of none, of which they were trained to be a
    softmax, they are 1. grounding: their odds against none, as probabilities."""
    probability = np.clip(grounding.astype(np.float64), 1e-6, 1.0 - 1e-6)
    odds = probability / (1.0 - probability)
    return np.asarray(odds / (1.0 + odds.sum()))
