"""Finding a decal that the avatar has learnt from earlier views, so that later views get it at the same place.

What changed between a view and the avatar's picture from the same place is laid out on the decal's plane and compared with the
decal's shape at every shift (normalised correlation over what the views show).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.decals import Decal, seen_change
from avatarkit.edit.paint.oklab import oklab
from avatarkit.edit.paint.placement import Frame
from avatarkit.types import Float32Array, FloatArray

CELL = 0.00075  # metres between places that are compared
REACH = 0.024  # metres by which a decal may be off
ALIKE = 0.6  # correlation from which a decal counts as found
SHOWN = 0.3  # of the decal must be in view
LEAST = 0.03  # change of colour (OKLab) that counts


def shift_to_learnt(
    canvases: Sequence[Canvas],
    references: Sequence[Float32Array],
    frame: Frame,
    target: str,
    form: str,
    decals: Sequence[Decal],
) -> tuple[float, float]:
    """(across, up) metres by which the decals of ``frame`` have to move to lie on themselves; (0, 0) where they are not found.

    references: the avatar's pictures (H, W, 3), one for each canvas.
    """
    places = [frame.places(decal.frame.centre[None])[0, :2] for decal in decals]
    half = np.max([np.abs(place) + 1.2 * decal.half.max() for place, decal in zip(places, decals, strict=True)], 0)
    size = np.ceil(half / CELL).astype(int)
    wide = size + int(np.ceil(REACH / CELL))
    template = np.zeros((2 * size[1] + 1, 2 * size[0] + 1))
    u, v = np.meshgrid(*(CELL * np.arange(-n, n + 1) for n in size))
    flat = np.stack([u.ravel(), v.ravel()], 1)
    for place, decal in zip(places, decals, strict=True):
        template = np.maximum(template, seen_change(target, form, decal, flat - place, CELL).reshape(template.shape))
    change, weight = _changes(canvases, references, frame, wide, float(half.max()))
    return _best_shift(change, weight, template)


def _changes(
    canvases: Sequence[Canvas], references: Sequence[Float32Array], frame: Frame, wide: FloatArray, depth: float
) -> tuple[FloatArray, FloatArray]:
    """(R, C) mean change of colour over the plane, and how well each of its places is seen, up to 1."""
    shape = (2 * int(wide[1]) + 1, 2 * int(wide[0]) + 1)
    sums, weight = np.zeros(shape), np.zeros(shape)
    for canvas, reference in zip(canvases, references, strict=True):
        use = canvas.inside & canvas.surface.shows & (canvas.surface.facing > 0.2)
        places = frame.places(canvas.surface.points[use])
        off = np.linalg.norm(oklab(reference[canvas.box][use]) - canvas.lab[use], axis=1)
        at = np.round(places[:, :2] / CELL).astype(int) + wide
        inside = ((at >= 0) & (at <= 2 * wide)).all(1) & (np.abs(places[:, 2]) < depth + 0.004)
        rows, columns = at[inside, 1], at[inside, 0]
        seen = (canvas.mask * canvas.surface.facing)[use][inside]
        np.add.at(sums, (rows, columns), seen * np.maximum(off[inside] - LEAST, 0.0))
        np.add.at(weight, (rows, columns), seen)
    reach = max(1.0, float(np.median([canvas.pitch for canvas in canvases])) / CELL)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / (0.7 * reach)) ** 2)
    kernel2 = np.outer(kernel, kernel)
    sums, weight = (np.maximum(fftconvolve(values, kernel2, mode="same"), 0.0) for values in (sums, weight))
    known = weight > 0.05 * weight.max(initial=1e-12)
    return np.where(known, sums / np.maximum(weight, 1e-12), 0.0), known.astype(float)


def _best_shift(change: FloatArray, weight: FloatArray, template: FloatArray) -> tuple[float, float]:
    flipped = template[::-1, ::-1]
    overlap = fftconvolve(weight * change, flipped, mode="same")
    power = np.maximum(fftconvolve(weight, flipped**2, mode="same"), 1e-9)
    total = float((weight * change**2).sum())
    if total <= 0.0:
        return 0.0, 0.0
    score = overlap / np.sqrt(power * total)
    score[power < SHOWN * (template**2).sum()] = 0.0
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    if score[row, column] < ALIKE:
        return 0.0, 0.0
    middle = (np.array(score.shape) - 1) / 2
    step = [_vertex(score, int(row), int(column), axis) for axis in (0, 1)]
    return float((column + step[1] - middle[1]) * CELL), float((row + step[0] - middle[0]) * CELL)


def _vertex(score: FloatArray, row: int, column: int, axis: int) -> float:
    """Where between cells the peak lies: a parabola through three."""
    line = score[:, column] if axis == 0 else score[row]
    at = row if axis == 0 else column
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = line[at - 1 : at + 2]
    bend = before - 2.0 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
