"""Pictures in OKLab (Björn Ottosson, 2020): lightness that the eye agrees with, and hue apart from it.

``avatarkit.edit.colours`` has the same for one colour; here are arrays, and what becomes of colours that sRGB does not have.
"""

from __future__ import annotations

import numpy as np

from avatarkit.edit import colours
from avatarkit.types import Float32Array, FloatArray

_TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]], np.float32,
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]], np.float32,
)  # fmt: skip
_FROM_LAB = np.linalg.inv(_TO_LAB.astype(np.float64)).astype(np.float32)
_FROM_CONES = np.linalg.inv(_TO_CONES.astype(np.float64)).astype(np.float32)

SLACK = 1e-3  # in linear light: what is so little beyond sRGB is clipped


def oklab(rgb: Float32Array) -> Float32Array:
    """(…, 3) sRGB in [0, 1] → (…, 3): lightness in [0, 1], a (green to red), b (blue to yellow), both within ±0.4."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear.astype(np.float32) @ _TO_CONES.T) @ _TO_LAB.T


def srgb(lab: Float32Array) -> Float32Array:
    """(…, 3) OKLab → (…, 3) sRGB in [0, 1].

    A colour that sRGB does not have loses chroma until sRGB has it; clipping the channels one by one would turn its hue.
    """
    lab = np.concatenate([np.clip(lab[..., :1], 0.0, 1.0), lab[..., 1:]], -1).astype(np.float32)
    linear = _linear(lab)
    beyond = ((linear < -SLACK) | (linear > 1.0 + SLACK)).any(-1)
    if beyond.any():
        linear[beyond] = _linear(_within(lab[beyond]))
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return np.clip(encoded, 0.0, 1.0).astype(np.float32)


def _linear(lab: Float32Array) -> Float32Array:
    return ((lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T).astype(np.float32, copy=False)


def _within(lab: Float32Array) -> Float32Array:
    """(N, 3): the same lightness and hue with the most chroma that sRGB has, by halving."""
    low, high = np.zeros(len(lab), np.float32), np.ones(len(lab), np.float32)
    scaled = lab.copy()
    for _ in range(9):
        middle = 0.5 * (low + high)
        scaled[:, 1:] = lab[:, 1:] * middle[:, None]
        linear = _linear(scaled)
        inside = ((linear >= -SLACK) & (linear <= 1.0 + SLACK)).all(1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    scaled[:, 1:] = lab[:, 1:] * low[:, None]
    return scaled


def lab_of(colour: str) -> Float32Array:
    """ "#rrggbb" → (3,) OKLab."""
    return np.array(colours.oklab(colour), np.float32)


def smoothstep(low: FloatArray | float, high: FloatArray | float, values: FloatArray) -> Float32Array:
    """0 below ``low``, 1 above ``high`` (the other way round where high < low), smooth between."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def mix(one: FloatArray, other: FloatArray, share: FloatArray | float) -> Float32Array:
    """(…, C) from ``one`` to ``other`` by ``share`` (…)."""
    t = np.asarray(share, np.float32)[..., None]
    return (one + (other - one) * t).astype(np.float32)


def ramp(stops: tuple[tuple[float, str], ...], at: FloatArray) -> Float32Array:
    """(…) places → (…, 3) OKLab between coloured ``stops``, smooth; beyond the ends their colours go on."""
    places = [place for place, _ in stops]
    labs = np.stack([lab_of(colour) for _, colour in stops])
    return np.stack([np.interp(at, places, labs[:, k]) for k in range(3)], -1).astype(np.float32)
