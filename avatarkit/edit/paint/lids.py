"""The lash lines: where the lids end, on the neutral head, as seen from the front.

Where the mask is the skin around the eyes, the eye is the hole in it.  All views of a batch are gathered before it is looked for,
so a blink hides nothing: a closed lid lies outside of the opening of the neutral head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label
from scipy.spatial import ConvexHull, Delaunay, QhullError

from avatarkit.edit.paint.canvas import Canvas
from avatarkit.edit.paint.marks import EYE_HALF, Marks, Oval
from avatarkit.edit.paint.oklab import smoothstep
from avatarkit.types import BoolArray, Float32Array, FloatArray

CELL = 0.001  # metres; with pixels coarser than that, theirs
COLUMNS = 160  # cells across, over all that the mask touches


@dataclass(frozen=True)
class Lids:
    """One eye from the front.  x, y: its middle; half_width: to its corners; tilt: rise over run of the line between them;
    upper, lower: how far the lash lines rise above and hang below that line at the middle; rise: half height of an open eye;
    side: 1 where outwards is +x; depth: least z of the points that are meant.  Metres on the neutral head."""

    x: float
    y: float
    half_width: float
    upper: float
    lower: float
    tilt: float
    side: float
    depth: float

    @property
    def rise(self) -> float:
        return max(0.5 * (self.upper + self.lower), 0.2 * self.half_width)

    def local(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(N, 3) → across from the middle, outwards, in half widths; metres above the upper and below the lower lash line.

        Beyond the corners the lines go on straight, the upper a little upwards.
        """
        off = points[:, 0] - self.x
        across = self.side * off / self.half_width
        along = points[:, 1] - self.y - self.tilt * off
        arch = 1.0 - np.minimum(across**2, 1.0)
        wing = 0.35 * self.half_width * np.maximum(across - 1.0, 0.0)
        return across, along - self.upper * arch - wing, -self.lower * arch - along

    def near(self, points: FloatArray) -> Float32Array:
        """(N,): 1 near this eye, 0 at the other and behind."""
        off = np.hypot(points[:, 0] - self.x, points[:, 1] - self.y) / self.half_width
        return smoothstep(2.6, 2.0, off) * smoothstep(self.depth - 0.012, self.depth, points[:, 2])


def lids_of_marks(marks: Marks) -> list[Lids]:
    """From eyes that were found by colour."""
    return [
        Lids(eye.x, eye.y, eye.half_width, 1.05 * eye.half_height, 0.85 * eye.half_height, eye.tilt, float(np.sign(eye.x)), 0.012)
        for eye in marks.eyes
    ]  # fmt: skip


def lids_of_masks(canvases: Sequence[Canvas]) -> list[Lids]:
    """From the holes of masks around the eyes; a mask without a hole is an upper lid, whose lower edge is the lash line."""
    anchored = canvases[0].surface.anchored
    pitch = max(canvas.pitch for canvas in canvases)
    points = np.concatenate([canvas.points for canvas in canvases])
    if not len(points):
        return []
    low, high = points[:, :2].min(0) - 0.004, points[:, :2].max(0) + 0.004
    cell = max(CELL, pitch, float((high - low).max()) / COLUMNS)
    shape = tuple(int(n) for n in np.ceil((high - low) / cell))
    sums, weight = np.zeros(shape), np.zeros(shape)
    for canvas in canvases:
        surface = canvas.surface
        front = surface.crossed[..., 2] > 0.25 * np.sqrt((surface.crossed**2).sum(-1))
        use = surface.shows & front & (surface.facing > 0.25)
        use &= ((surface.points[..., :2] > low) & (surface.points[..., :2] < high)).all(-1)
        at = ((surface.points[use][:, :2] - low) / cell).astype(np.int64).clip(0, np.array(shape) - 1)
        facing = surface.facing[use]
        np.add.at(sums, tuple(at.T), canvas.mask[use] * facing)
        np.add.at(weight, tuple(at.T), facing)
    seen = gaussian_filter(weight, 0.8)
    mask = gaussian_filter(sums, 0.8) / np.maximum(seen, 1e-9)
    # what no view shows is no skin: under a lid that hangs a little, the top of the opening stays hidden
    pieces, count = label((mask > 0.5) & (seen > 0.1 * np.median(seen[seen > 0])))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    found: list[Lids] = []
    for piece in np.flatnonzero(sizes > 0.3 * sizes.max(initial=0)) + 1:
        found += _lids(pieces == piece, low, cell, anchored)
    return found


def _lids(piece: BoolArray, low: FloatArray, cell: float, anchored: bool) -> list[Lids]:
    """The eye of one piece of the mask; none where it is too small to tell."""
    cells = np.argwhere(piece)
    if len(cells) < 12:
        return []
    try:
        hull = Delaunay(cells[ConvexHull(cells).vertices])
    except QhullError:
        return []
    every = np.argwhere(np.ones_like(piece))
    within = (hull.find_simplex(every) >= 0).reshape(piece.shape)
    holes, count = label(within & ~piece)
    middle = cells.mean(0)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)[1:]
    best, least = 0, np.inf
    for hole in np.flatnonzero(sizes >= max(6, 0.06 * within.sum())) + 1:
        away = float(np.linalg.norm(np.argwhere(holes == hole).mean(0) - middle))
        if away < min(least, 0.45 * np.sqrt(within.sum())):
            best, least = int(hole), away
    side = float(np.sign(low[0] + (middle[0] + 0.5) * cell) or 1.0)
    depth = 0.012 if anchored else -1.0
    if best:
        oval = _opening(holes == best, low, cell)
        return [Lids(oval.x, oval.y, oval.half_width, oval.half_height, oval.half_height, oval.tilt, side, depth)]
    bottom = np.array([rows.min() for rows in (cells[cells[:, 0] == column, 1] for column in np.unique(cells[:, 0]))])
    columns = np.unique(cells[:, 0])
    half = 0.42 * (columns.max() - columns.min() + 1) * cell
    x = low[0] + (0.5 * (columns.max() + columns.min()) + 0.5) * cell
    y = low[1] + float(np.median(bottom)) * cell
    flat = EYE_HALF[1] / EYE_HALF[0] * half
    return [Lids(float(x), y - 0.4 * flat, half, 0.4 * flat, flat, 0.0, side, depth)]


def _opening(hole: BoolArray, low: FloatArray, cell: float) -> Oval:
    """The even ellipse with the hole's moments."""
    dx, dy = (low + (np.argwhere(hole) + 0.5) * cell).T
    x, y = float(dx.mean()), float(dy.mean())
    dx, dy = dx - x, dy - y
    slope = float(np.clip((dx * dy).mean() / max(float((dx * dx).mean()), 1e-12), -0.3, 0.3))
    return Oval(x, y, float(2.0 * dx.std()), float(2.0 * (dy - slope * dx).std()), slope)
