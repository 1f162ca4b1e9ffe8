"""Oil and watercolour: strokes, bristles and pigment that lie on the head."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from avatarkit.edit.paint.brief import Brief
from avatarkit.edit.paint.canvas import Canvas, details, smoothed
from avatarkit.edit.paint.noise import Cells, cells, noise, octaves, resolved
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.types import Float32Array, IntArray

STROKE, STRETCH = 0.0042, 2.6  # metres across a brush stroke, and how much longer it is
BRISTLE = 0.0011  # metres between the marks of bristles
WASH = 0.15  # lightness from one wash to the next
PAPER = "#f7f4ec"


def oil(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: each stroke has one colour, that of the picture below it; bristles run along it, ridges catch light."""
    seed = brief.seed
    fine = kuwahara(canvas, 0.0015)
    fine[..., 0] += 0.6 * details(canvas, fine)
    flat = fine[canvas.inside]
    strokes = cells(canvas.points, STROKE, seed, stretch=STRETCH)
    broad = means_of(canvas, flat, strokes.number)
    # where a stroke would blot out an eye, smaller ones follow it
    share = canvas.trust * smoothstep(0.13, 0.04, np.abs(flat[:, 0] - broad[:, 0]))
    made = mix(flat, broad, 0.85 * share)
    phase = 2.0 * np.pi * _across(strokes) / BRISTLE + 6.0 * strokes.random(seed + 1)
    bristles = np.sin(phase) * resolved(BRISTLE, 0.5 * canvas.pitch)
    body = 0.6 + 0.4 * noise(canvas.points, 0.006, seed + 2)
    ridge = smoothstep(0.16, 0.0, strokes.second - strokes.nearest)
    uneven = 0.045 * (strokes.random(seed + 3) - 0.5)
    made[:, 0] += canvas.trust * (body * (0.013 * bristles - 0.035 * ridge) + uneven)
    made[:, 0] = brief.gain**0.5 * (0.5 + 1.08 * (made[:, 0] - 0.5))
    warm = (strokes.random(seed + 4) - 0.5)[:, None] * np.array([0.016, 0.026], np.float32)
    made[:, 1:] = 1.25 * made[:, 1:] + canvas.trust[:, None] * warm
    if brief.colour:
        made[:, 1:] = mix(made[:, 1:], lab_of(brief.colour)[1:][None], 0.35)
    return canvas.spread(made)


def watercolour(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: thin washes on paper that pool along their edges; the lightest places stay paper."""
    seed, points = brief.seed, canvas.points
    flat = smoothed(canvas, 0.0045, 0.05, 2)
    tone = (brief.gain * flat[..., 0])[canvas.inside]
    wander = 0.03 * octaves(points, 0.02, seed, 2, canvas.pitch)
    blooms = 0.5 + 0.5 * octaves(points, 0.035, seed + 1, 2)
    at = (tone + wander) / WASH
    part = at - np.floor(at)
    pooled = smoothstep(0.30, 0.0, np.minimum(part, 1.0 - part))
    washed = canvas.spread((np.floor(at) + smoothstep(0.42, 0.58, part)) * WASH)
    soft = canvas.blurred(washed, 0.0008)[canvas.inside] + 0.9 * (brief.gain * details(canvas, flat))[canvas.inside]
    grain = noise(points, 0.0017, seed + 2) * resolved(0.0017, canvas.pitch)
    density = (1.0 - soft) * (0.86 + 0.28 * blooms) + 0.05 * pooled + 0.018 * grain
    light = np.clip(1.02 - 0.88 * density, 0.0, 1.0)
    hue = 1.3 * flat[..., 1:][canvas.inside] * smoothstep(0.98, 0.7, light)[:, None]
    if brief.colour:
        hue = mix(hue, lab_of(brief.colour)[1:][None], 0.5)
    made = np.concatenate([light[:, None], hue], 1)
    return canvas.spread(mix(made, lab_of(PAPER)[None], smoothstep(0.90, 0.99, light)))


def kuwahara(canvas: Canvas, metres: float) -> Float32Array:
    """(h, w, 3) OKLab: every pixel gets the mean of that quarter of its surroundings that varies least (Kuwahara et al. 1976)."""
    weight, sigma = canvas.inside.astype(np.float32), max(1.0, metres / canvas.pitch)
    shift = max(1, round(1.2 * sigma))
    values = np.concatenate([canvas.lab, canvas.lab[..., :1] ** 2], -1)
    sums = np.stack([gaussian_filter(values[..., k] * weight, 0.8 * sigma, truncate=2.0) for k in range(4)], -1)
    total = gaussian_filter(weight, 0.8 * sigma, truncate=2.0)
    best, made = np.full(weight.shape, np.inf, np.float32), canvas.lab.copy()
    for down in (-shift, shift):
        for right in (-shift, shift):
            there = np.maximum(_shifted(total, down, right), 1e-6)
            means = _shifted(sums, down, right) / there[..., None]
            varied = means[..., 3] - means[..., 0] ** 2 + np.where(there < 0.2, 1.0, 0.0)
            better = varied < best
            best = np.where(better, varied, best)
            made = np.where(better[..., None], means[..., :3], made)
    return made


def means_of(canvas: Canvas, values: Float32Array, number: IntArray) -> Float32Array:
    """(N, C) → (N, C): the mean over the mask of all that have the same number."""
    _, which = np.unique(number, return_inverse=True)
    weight = canvas.mask[canvas.inside].astype(np.float64)
    total = np.bincount(which, weight)
    means = np.stack([np.bincount(which, values[:, k] * weight) / total for k in range(values.shape[1])], 1)
    return means[which].astype(np.float32)


def _shifted(values: Float32Array, down: int, right: int) -> Float32Array:
    """The values of pixels ``down`` and ``right`` of each; the border repeats."""
    rows, columns = (np.clip(np.arange(n) + s, 0, n - 1) for n, s in zip(values.shape[:2], (down, right), strict=True))
    return values[rows][:, columns]


def _across(strokes: Cells) -> Float32Array:
    """(N,) metres from the middle line of each stroke, to either side."""
    assert strokes.along is not None
    side = np.cross(strokes.along, np.array([0.31, 0.52, 0.79], np.float32))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
    return (strokes.offset * side).sum(1).astype(np.float32)
