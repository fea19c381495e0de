"""Rotations as the tools that show them take them."""

from __future__ import annotations

import math

from sapave_ros.types import Floats


def quaternion_xyzw(rotation: Floats) -> tuple[float, float, float, float]:
    """Of a rotation matrix (3, 3); by the largest of the four, which is never small (Shepperd 1978)."""
    m = rotation.tolist()
    squares = (
        1 + m[0][0] - m[1][1] - m[2][2],
        1 - m[0][0] + m[1][1] - m[2][2],
        1 - m[0][0] - m[1][1] + m[2][2],
        1 + m[0][0] + m[1][1] + m[2][2],
    )
    largest = squares.index(max(squares))
    s = 2 * math.sqrt(squares[largest])
    differences = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1])
    if largest == 3:
        x, y, z = (d / s for d in differences)
        return x, y, z, s / 4
    i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
    found = [0.0, 0.0, 0.0]
    found[i] = s / 4
    found[j], found[k] = (m[j][i] + m[i][j]) / s, (m[k][i] + m[i][k]) / s
    return found[0], found[1], found[2], differences[i] / s
