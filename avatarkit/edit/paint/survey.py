"""What a batch of views shows of the masked surface, as patches of the head that count once, however many pixels see them.

Measures taken from patches (how light lips are, where the middle of a cheek is) hardly depend on which views a batch has:
a patch that one view sees from the front and five see from the side has the area, and mostly the colour, of the view from the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.types import Float32Array, FloatArray, IntArray

PATCH = 0.004  # metres along each side of the cubes that cut the surface into patches
MOST = 1 << 16  # cubes along an axis: 260 metres
GRAZING = 0.2  # cosine below which a pixel says nothing


@dataclass(frozen=True)
class Survey:
    """P patches of the surface that the masks touch.

    point (P, 3) and normal (P, 3): middle and direction on the neutral head, metres and unit; area (P,) square metres that lie
    in the mask, soft edges counted in part; mask (P,) the mean mask; lab (P, 3) the mean colour, OKLab.
    """

    point: FloatArray
    normal: FloatArray
    area: FloatArray
    mask: FloatArray
    lab: FloatArray

    def __len__(self) -> int:
        return len(self.area)

    def picked(self, which: IntArray) -> Survey:
        """Some of the patches."""
        return Survey(**{name: value[which] for name, value in vars(self).items()})

    def typical(self) -> Float32Array:
        """(3,) OKLab: the median over the area, of each coordinate; mid-grey where nothing shows."""
        if not len(self):
            return np.array([0.5, 0.0, 0.0], np.float32)
        return np.array([median(self.lab[:, k], self.area) for k in range(3)], np.float32)


def survey(canvases: Sequence[Canvas]) -> Survey:
    """The patches that a batch shows.  Views without the head's mesh are passed over, unless there is no other."""
    anchored = [canvas for canvas in canvases if canvas.surface.anchored] or list(canvases)
    rows = [_seen(canvas) for canvas in anchored]
    cells = np.concatenate([row[0] for row in rows]) if rows else np.zeros(0, np.int64)
    if not len(cells):
        empty = np.zeros((0, 3))
        return Survey(empty, empty, np.zeros(0), np.zeros(0), empty)
    area, weight = (np.concatenate([row[k] for row in rows]) for k in (1, 2))
    sums = np.concatenate([row[3] for row in rows])
    _, which = np.unique(cells, return_inverse=True)
    total = np.bincount(which, weight)
    sight = (weight / np.maximum(area, 1e-12)) ** 4  # pixels seen from the front are many to the area
    whole = np.bincount(which, sight * area) / np.bincount(which, sight)
    means = np.stack([np.bincount(which, sums[:, k]) for k in range(sums.shape[1])], 1) / total[:, None]
    normal = means[:, 3:6] / np.maximum(np.linalg.norm(means[:, 3:6], axis=1, keepdims=True), 1e-12)
    return Survey(means[:, :3], normal, whole, means[:, 9], means[:, 6:9])


def median(values: FloatArray, weights: FloatArray) -> float:
    """Weighted median, between neighbours."""
    order = np.argsort(values, kind="stable")
    passed = np.cumsum(weights[order]) - 0.5 * weights[order]
    return float(np.interp(0.5 * weights.sum(), passed, values[order]))


def _seen(canvas: Canvas) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """One view's patches: packed cells (Q,), area in the mask (Q,), weight (Q,), weighted sums of point, normal, colour and mask (Q, 10)."""
    surface = canvas.surface
    use = canvas.inside & surface.shows & (surface.facing > GRAZING)
    points = surface.points[use].astype(np.float64)
    if not len(points):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 10))
    cell = np.floor(points / PATCH).astype(np.int64)
    mask, facing = canvas.mask[use].astype(np.float64), surface.facing[use].astype(np.float64)
    crossed = surface.crossed[use].astype(np.float64)
    unique, which = np.unique(_packed(cell), return_inverse=True)
    weight = facing * mask
    normal = crossed / np.maximum(np.linalg.norm(crossed, axis=1, keepdims=True), 1e-12)
    values = np.concatenate([points, normal, canvas.lab[use], mask[:, None]], 1) * weight[:, None]
    sums = np.stack([np.bincount(which, values[:, k], len(unique)) for k in range(values.shape[1])], 1)
    area, total = (
        np.bincount(which, one, len(unique)).astype(np.float64) for one in (surface.area[use] * mask, weight)
    )
    return unique, area, total, sums.astype(np.float64)


def _packed(cell: IntArray) -> IntArray:
    """(Q, 3) cubes → (Q,) one number for each."""
    wide = cell + MOST // 2
    return (wide[:, 0] * MOST + wide[:, 1]) * MOST + wide[:, 2]
