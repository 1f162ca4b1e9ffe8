"""Pixel art and mosaic: the surface in pieces of one colour each."""

from __future__ import annotations

import numpy as np

from avatarkit.edit.paint.brief import Brief
from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.noise import hashed, noise
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.edit.paint.paintings import means_of
from avatarkit.types import Float32Array, IntArray

SQUARE = 0.0062  # metres along each side of a pixel
SHADES, HUES = 0.085, 0.028  # steps of lightness and of a and b that pixels may have
STONE = 0.0052  # metres along each side of a mosaic's stones
CROOKED = 0.0009  # metres by which rows of stones wander
GAP = 0.085  # of a stone's side, that is grout at each edge
GROUT = "#5d554a"
MOST = 1 << 20  # squares from the middle to either side that have a number of their own


def pixel_art(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: squares on the head with few colours."""
    at = np.floor(canvas.surface.sheet[canvas.inside] / SQUARE).astype(np.int64)
    made = means_of(canvas, canvas.lab[canvas.inside], _number(at))
    made = made * np.array([brief.gain**0.5, 1.25, 1.25], np.float32)
    made[:, 0] = np.round(made[:, 0] / SHADES) * SHADES
    made[:, 1:] = np.round(made[:, 1:] / HUES) * HUES
    if brief.colour:
        made[:, 1:] = mix(made[:, 1:], lab_of(brief.colour)[1:][None], 0.5)
    return canvas.spread(made)


def mosaic(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: rows of small stones in grout, each a little lighter or darker than its neighbours, their edges worn."""
    seed, points = brief.seed, canvas.points
    bent = np.stack([noise(points, 0.011, seed + k) for k in range(2)], 1)
    at = (canvas.surface.sheet[canvas.inside] + CROOKED * bent) / STONE
    row = np.floor(at[:, 1])
    at[:, 0] += 0.5 * (row % 2) + 0.3 * hashed(row.astype(np.int64), seed)
    cell = np.floor(at).astype(np.int64)
    number = _number(cell)
    made = means_of(canvas, canvas.lab[canvas.inside], number)
    light = brief.gain**0.5 * (0.52 + 1.15 * (made[:, 0] - 0.52))
    made[:, 0] = light + 0.10 * (hashed(number, seed + 1) - 0.5)
    made[:, 1:] *= (1.35 + 0.6 * (hashed(number, seed + 2) - 0.5))[:, None]
    edge = np.minimum(*np.minimum(at - cell, 1.0 - (at - cell)).T)
    made[:, 0] += 0.025 * noise(points, 0.003, seed + 3) - 0.06 * smoothstep(0.30, 0.10, edge)
    soft = 0.5 * canvas.pitch / STONE
    grout = smoothstep(GAP + soft, GAP - soft, edge)
    return canvas.spread(mix(made, lab_of(brief.colour or GROUT)[None], 0.92 * grout))


def _number(cell: IntArray) -> IntArray:
    return (cell[:, 0] + MOST) * (2 * MOST) + cell[:, 1] + MOST
