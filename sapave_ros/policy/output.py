"""What a policy may say: finite numbers, within what it has learnt. Everything after it may rely on that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sapave_ros.types import ActionChunk, Floats

NONSENSE_FACTOR = 3.0
"""A step this many times the largest one of the training data is no overshoot but nonsense. The shipped model
overshoots by 6 % at most."""

INSIDE = 1.0 - 1e-6
"""Clipped a hair inside the bound, which the controllers hold against: no rounding on the way makes it a refusal."""


class OutputError(ValueError):
    """The policy answered with something that must not move a robot; the message names field, value and expected."""


def finite(field: str, value: np.ndarray) -> None:
    """Raises OutputError where a number is not finite."""
    wrong = ~np.isfinite(value)
    if wrong.any():
        place = [int(i) for i in np.argwhere(wrong)[0]]
        raise OutputError(
            f"policy output {field}{place} = {np.asarray(value)[wrong][0]}, and {np.count_nonzero(wrong) - 1} more: "
            "expected finite numbers"
        )


def bounded(field: str, chunk: ActionChunk, bound_rad: Floats) -> ActionChunk:
    """The chunk clipped to bound_rad (n,), the largest |increment| per step of training; itself where it is within.

    A regression overshoots the edge of its data a little; to be refused for that would make the robot stutter.
    Raises OutputError on numbers that are not finite, and on increments that are out of all proportion.
    """
    finite(field, chunk.increments)
    size = np.abs(chunk.increments)
    # A joint that never moved in training has bound 0: what it gets is clipped to nothing, and judged like the others.
    excess = size - NONSENSE_FACTOR * np.where(bound_rad > 0, bound_rad, bound_rad.max())
    if (excess > 0).any():
        step, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
        value = (
            f"policy output {field}[{step}] of {chunk.joint_names[column]} = {chunk.increments[step, column]:.4g} rad"
        )
        raise OutputError(f"{value}: trained with at most {bound_rad[column]:.4g} rad a step")
    if not (size > bound_rad).any():
        return chunk
    inside = INSIDE * bound_rad
    return replace(chunk, increments=np.clip(chunk.increments, -inside, inside))
