"""What a real camera adds to a picture, at the size in which it is stored; drawn from a seed like all else."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_NOISE_LENGTH = 1 << 20


@dataclass(frozen=True)
class Exposure:
    """One picture's circumstances.

    gain: of the exposure. balance (3,): of the colours. grain: standard deviation [grey levels] that is left after
    averaging. blur_px: standard deviation of the blur, in stored pixels; 0 for none. depth_sigma_at_1m [m]: error of
    the depth, which grows with the square of the distance. holes: share of depths lost.
    """

    gain: float
    balance: tuple[float, float, float]
    grain: float
    blur_px: float
    depth_sigma_at_1m: float
    holes: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Exposure:
        red, green, blue = random.uniform(0.95, 1.05, 3)
        return cls(
            gain=float(np.exp(random.normal(0.0, 0.12))),
            balance=(float(red), float(green), float(blue)),
            # 0.5 to 4 grey levels of 424 x 240 pixels, five of which make three.
            grain=float(random.uniform(0.4, 3.1)),
            blur_px=float(random.uniform(0.4, 1.4)) if random.random() < 0.25 else 0.0,
            depth_sigma_at_1m=float(random.uniform(0.0005, 0.002)),
            holes=float(random.uniform(0.0, 0.02)),
        )


class Noise:
    """Grain is drawn once and shifted at random for each picture: drawing it anew would cost more than rendering."""

    def __init__(self) -> None:
        self._grain = np.random.default_rng(0x901).normal(size=_NOISE_LENGTH).astype(np.float32)

    def apply(
        self, random: np.random.Generator, exposure: Exposure, rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """A copy of a picture (h, w, 3) and its depth (h, w) [mm] as taken so. No depth stays no depth."""
        if exposure.blur_px > 0:
            rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), exposure.blur_px), np.uint8)
        scale = (exposure.gain * np.array(exposure.balance)).astype(np.float32)
        noisy = rgb * scale + exposure.grain * self._some(random, rgb.shape)
        z = depth_mm.astype(np.float32)
        z += z * z * np.float32(exposure.depth_sigma_at_1m * 1e-3) * self._some(random, depth_mm.shape)
        z[self._some(random, depth_mm.shape) > _upper_quantile(exposure.holes)] = 0.0
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), np.clip(np.rint(z), 0, 65535).astype(np.uint16)

    def _some(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        size = int(np.prod(shape))
        first = int(random.integers(_NOISE_LENGTH - size))
        return self._grain[first : first + size].reshape(shape)


def _upper_quantile(share: float) -> float:
    """Standard deviations that a normal number exceeds with this probability (Abramowitz and Stegun 26.2.22)."""
    if share <= 0:
        return np.inf
    t = np.sqrt(-2 * np.log(min(share, 0.5)))
    return float(t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t))
