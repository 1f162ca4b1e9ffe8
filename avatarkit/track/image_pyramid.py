"""Grey pictures of a clip at one scale, blurred, and their values and slopes between pixels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from avatarkit.capture.capture import Capture
from avatarkit.types import ByteArray, FloatArray

# Green tells skin from lips, brows and lashes best, and has the least noise of a camera's three.
CHANNELS = np.array([0.25, 0.65, 0.10], np.float32)


@dataclass(frozen=True)
class ScaledImages:
    """images: one (H, W) uint8 per frame; a pixel of them is ``factor`` pixels of the capture, pixel centres at +0.5."""

    images: list[ByteArray]
    factor: int


def scaled_images(capture: Capture, blur: float, threads: int = 2) -> ScaledImages:
    """The frames of ``capture`` blurred by ``blur`` pixels (standard deviation), and made smaller as far as that allows.

    Kept as bytes: a quarter of the memory, and rounding adds 0.3/255 to noise of at least 2/255.
    """
    from scipy.ndimage import gaussian_filter

    factor = max(1, int(blur / 1.2))

    def one(index: int) -> ByteArray:
        grey = capture.image(index).astype(np.float32) @ CHANNELS
        height, width = (side // factor * factor for side in grey.shape)
        if factor > 1:
            grey = grey[:height, :width].reshape(height // factor, factor, width // factor, factor).mean((1, 3))
        own = max(0.0, (blur / factor) ** 2 - (0.0 if factor == 1 else 1.0 / 12.0)) ** 0.5
        smooth = gaussian_filter(grey, own, mode="nearest", truncate=3.0)
        return np.ascontiguousarray(np.clip(smooth + 0.5, 0, 255).astype(np.uint8))

    with ThreadPoolExecutor(threads) as pool:
        return ScaledImages(list(pool.map(one, range(len(capture)))), factor)


def sampled(image: ByteArray, pixels: FloatArray, factor: int) -> tuple[FloatArray, FloatArray]:
    """Values (N,) in [0, 1] and slopes (N, 2) by the capture's pixels, at ``pixels`` (N, 2) of the capture.

    Bilinear; slopes are central differences over two pixels of the image.  NaN beside the picture.
    """
    values = np.empty(len(pixels), np.float32)
    slopes = np.empty((len(pixels), 2), np.float32)
    _sample(image, np.ascontiguousarray(pixels, np.float32), np.float32(1.0 / factor), values, slopes)
    return values, slopes


@njit(cache=True, nogil=True)
def _sample(image: Any, pixels: Any, scale: Any, values: Any, slopes: Any) -> None:
    height, width = image.shape
    unit = 1.0 / 255.0
    for i in range(len(pixels)):
        x, y = pixels[i, 0] * scale - 0.5, pixels[i, 1] * scale - 0.5
        values[i], slopes[i, 0], slopes[i, 1] = np.nan, 0.0, 0.0
        if not (x >= 1.0 and y >= 1.0 and x < width - 2.0 and y < height - 2.0):
            continue
        column, row = int(x), int(y)
        u, v = x - column, y - row
        # rows of the 4 × 4 neighbourhood, blended across and then down
        across0 = (1 - u) * image[row - 1, column] + u * image[row - 1, column + 1]
        across1 = (1 - u) * image[row, column] + u * image[row, column + 1]
        across2 = (1 - u) * image[row + 1, column] + u * image[row + 1, column + 1]
        across3 = (1 - u) * image[row + 2, column] + u * image[row + 2, column + 1]
        down0 = (1 - v) * image[row, column - 1] + v * image[row + 1, column - 1]
        down1 = (1 - v) * image[row, column] + v * image[row + 1, column]
        down2 = (1 - v) * image[row, column + 1] + v * image[row + 1, column + 1]
        down3 = (1 - v) * image[row, column + 2] + v * image[row + 1, column + 2]
        values[i] = unit * ((1 - v) * across1 + v * across2)
        slopes[i, 0] = 0.5 * unit * scale * ((1 - u) * (down2 - down0) + u * (down3 - down1))
        slopes[i, 1] = 0.5 * unit * scale * ((1 - v) * (across2 - across0) + v * (across3 - across1))
