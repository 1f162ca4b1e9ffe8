"""Filling and smoothing on pixel grids: what background learning and matting are made of.  float32, (H, W[, C])."""

from __future__ import annotations

import numba
import numpy as np

from avatarkit.types import Float32Array

_JIT = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz", "arcp"}}


def over_channels(values: np.ndarray) -> np.ndarray:
    """(…, 3) → the sum (…) of the three, to the bit what ``sum(-1)`` is, which NumPy takes ten times as long for."""
    return values[..., 0] + values[..., 1] + values[..., 2]


def fill(values: Float32Array, weights: Float32Array) -> Float32Array:
    """Values (H, W, C) where ``weights`` (H, W) are positive, spread smoothly over the rest.

    Push-pull over a pyramid (Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4): known pixels keep their values,
    unknown ones take the average of what surrounds them at the finest scale that knows anything.
    """
    weight = np.clip(weights, 0.0, 1.0).astype(np.float32)
    if min(weight.shape) <= 1 or bool((weight >= 1.0).all()):
        total = float(weight.sum())
        mean = (values * weight[..., None]).sum((0, 1)) / max(total, 1e-8)
        return np.where(weight[..., None] > 0, values, mean).astype(np.float32)
    height, width = weight.shape
    padded = ((0, height % 2), (0, width % 2))
    w = np.pad(weight, padded)
    v = np.pad(values * weight[..., None], (*padded, (0, 0)))
    sums = w[0::2, 0::2] + w[1::2, 0::2] + w[0::2, 1::2] + w[1::2, 1::2]
    coarse = v[0::2, 0::2] + v[1::2, 0::2] + v[0::2, 1::2] + v[1::2, 1::2]
    coarse = coarse / np.maximum(sums, 1e-8)[..., None]
    around = double(fill(coarse, sums), height, width)
    return (weight[..., None] * values + (1.0 - weight[..., None]) * around).astype(np.float32)


def double(values: Float32Array, height: int, width: int) -> Float32Array:
    """(h, w, C) at half resolution → (height, width, C), bilinear, pixel centres at +0.5."""
    h, w = values.shape[:2]
    y = np.clip((np.arange(height) + 0.5) / 2 - 0.5, 0, h - 1)
    x = np.clip((np.arange(width) + 0.5) / 2 - 0.5, 0, w - 1)
    y0, x0 = y.astype(int), x.astype(int)
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    fy, fx = (y - y0).astype(np.float32)[:, None, None], (x - x0).astype(np.float32)[None, :, None]
    rows = values[y0] * (1 - fy) + values[y1] * fy
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx


def halve(values: Float32Array) -> Float32Array:
    """(H, W, C) → (ceil(H/2), ceil(W/2), C): means of 2 × 2 pixels, the last row and column repeated where odd."""
    v = np.pad(values, ((0, values.shape[0] % 2), (0, values.shape[1] % 2), (0, 0)), mode="edge")
    return (0.25 * (v[0::2, 0::2] + v[1::2, 0::2] + v[0::2, 1::2] + v[1::2, 1::2])).astype(np.float32)


@numba.njit(**_JIT)
def relax(
    start: Float32Array,
    target: Float32Array,
    weight: Float32Array,
    right: Float32Array,
    down: Float32Array,
    active: np.ndarray,
    iterations: int,
) -> Float32Array:
    """The a (H, W) that minimises Σ weight·(a − target)² + Σ right·(a − a_right)² + Σ down·(a − a_below)².

    A random walker with priors (Grady, PAMI 2006, equation 22), by successive over-relaxation, red-black, from ``start``;
    pixels that are not ``active`` keep their values.
    """
    a = start.copy()
    height, width = a.shape
    for iteration in range(iterations):
        omega = np.float32(1.0 if iteration == 0 else 1.85)
        for colour in range(2):
            for y in range(height):
                for x in range((y + colour) % 2, width, 2):
                    if not active[y, x]:
                        continue
                    total = weight[y, x] + np.float32(1e-6)
                    value = weight[y, x] * target[y, x]
                    if x + 1 < width:
                        total += right[y, x]
                        value += right[y, x] * a[y, x + 1]
                    if x > 0:
                        total += right[y, x - 1]
                        value += right[y, x - 1] * a[y, x - 1]
                    if y + 1 < height:
                        total += down[y, x]
                        value += down[y, x] * a[y + 1, x]
                    if y > 0:
                        total += down[y - 1, x]
                        value += down[y - 1, x] * a[y - 1, x]
                    a[y, x] += omega * (value / total - a[y, x])
    return a


@numba.njit(**_JIT)
def masked_median(images: np.ndarray, use: np.ndarray) -> tuple[Float32Array, Float32Array, np.ndarray]:
    """Per-pixel median of images (T, H, W, 3) uint8 over the frames that ``use`` (T, H, W) allows.

    Returns the median (H, W, 3), a robust standard deviation (H, W): 1.4826 × the median absolute deviation, the largest of
    the channels', and the number of frames used (H, W).
    """
    steps, height, width = use.shape
    centre = np.zeros((height, width, 3), np.float32)
    spread = np.zeros((height, width), np.float32)
    count = np.zeros((height, width), np.int32)
    samples = np.zeros(steps, np.float32)
    for y in range(height):
        for x in range(width):
            n = 0
            for c in range(3):
                n = 0
                for t in range(steps):
                    if use[t, y, x]:
                        samples[n] = images[t, y, x, c]
                        n += 1
                if n == 0:
                    break
                middle = np.median(samples[:n])
                centre[y, x, c] = middle
                for i in range(n):
                    samples[i] = abs(samples[i] - middle)
                spread[y, x] = max(spread[y, x], np.float32(1.4826) * np.median(samples[:n]))
            count[y, x] = n
    return centre, spread, count
