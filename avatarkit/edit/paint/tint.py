"""Another colour under the same light: shading, folds and highlights stay, hue and lightness are the asked ones."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.paint.oklab import smoothstep
from avatarkit.types import Float32Array


def tinted(
    lab: Float32Array, typical: Float32Array, colour: Float32Array, *, contrast: float = 1.0, variety: float = 0.2
) -> Float32Array:
    """(…, 3) OKLab in ``colour`` (3,), as if that were the paint below the light that fell on ``typical`` (3,).

    Lightness is multiplied, as light does, with a shoulder below white; a darker paint loses chroma with its light.  What is much
    lighter than usual and hardly coloured is the lamp's reflection, which no paint dims.  contrast: exponent of the shading;
    variety: share of the old differences in hue that stays.
    """
    paint = float(np.clip(colour[0], 0.02, 0.98))
    base = max(float(typical[0]), 0.05)
    # noise of dark hair must not be blown up into light hair
    exponent = contrast * min(1.0, 0.45 + 0.55 * base / paint)
    light = paint * np.maximum(lab[..., 0] / base, 1e-3) ** exponent
    room = 1.0 - paint
    light = np.where(light > paint, 1.0 - room * np.exp(-(light - paint) / room), light)
    old, usual = np.hypot(lab[..., 1], lab[..., 2]), float(np.hypot(*typical[1:]))
    mirrored = np.maximum(lab[..., 0] - 1.15 * base, 0.0) * smoothstep(1.0, 0.4, old / max(usual, 0.02))
    light = np.maximum(light, np.minimum(light + mirrored, 0.95 * lab[..., 0]))
    chroma = np.minimum(light / paint, 1.0) ** 0.6 * (1.0 - smoothstep(0.01, 0.12, mirrored))
    hue = colour[1:] + variety * (lab[..., 1:] - typical[1:])
    return np.concatenate([light[..., None], hue * chroma[..., None]], -1).astype(np.float32)


def toned(lab: Float32Array, lightness: float, saturation: float) -> Float32Array:
    """Lighter and more saturated by these shares of the way to white and to twice the chroma (negative: to black, to grey)."""
    light = lab[..., :1]
    light = light + lightness * ((1.0 - light) if lightness > 0 else light)
    return np.concatenate([light, lab[..., 1:] * (1.0 + saturation)], -1).astype(np.float32)
