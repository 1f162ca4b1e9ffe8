"""Where the pixels of a view lie on the neutral head: what paint is anchored to.

Beyond the mesh (hair that stands off, clothes) the nearest surface point that shows goes on along the picture's plane, and
``trust`` says how far that can be believed.  Without correspondences the picture itself is the surface: paint then keeps to the
picture and not to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from avatarkit.types import BoolArray, Float32Array, IntArray

Box = tuple[slice, slice]
"""Rows and columns.  ``start`` and ``stop`` are given."""

WIDTH = 0.42  # metres that a picture without correspondences is taken to show along its shorter side
REACH = 0.025  # metres beyond the mesh at which trust has fallen to 1/e
MARGIN = 48  # pixels around a box in which the nearest surface is looked for
JUMP = 6.0  # pixels' worth of metres between neighbours: more is an edge where one part hides another
AXIS_Z, CAP_Y, RADIUS = -0.03, 0.05, 0.085
"""A vertical capsule in the head, for grids that need two coordinates: heads in FLAME's topology have their middle about there."""
ELSEWHERE = np.float32(4.0)  # metres by which the picture's plane is off the unrolled head: no square lies on both


@dataclass(frozen=True)
class Surface:
    """A view's pixels on the head, or a box of them.

    points (H, W, 3) float32 metres on the neutral head; crossed (H, W, 3): ∂p/∂x × ∂p/∂y, square metres a pixel, pointing out of
    the head, 0 where the mesh does not show or neighbours are not on one surface; shows (H, W) bool: the mesh shows there;
    sheet (H, W, 2): the head unrolled (``unrolled``), and beyond the mesh the picture's plane;
    trust (H, W) in [0, 1]: 1 where it shows, falling beyond; pitch: metres between pixels of a surface that faces the
    camera; anchored: whether points are on the head at all.
    """

    points: Float32Array
    crossed: Float32Array
    sheet: Float32Array
    shows: BoolArray
    trust: Float32Array
    pitch: float
    anchored: bool

    @cached_property
    def area(self) -> Float32Array:
        """(H, W) square metres of the neutral head in a pixel; at grazing angles no more than five times a facing one's."""
        return np.minimum(self._length, 5.0 * self.pitch**2)

    @cached_property
    def facing(self) -> Float32Array:
        """(H, W) about the cosine between surface and line of sight; 0 where the mesh does not show."""
        return np.where(self._length > 0, np.minimum(1.0, self.pitch**2 / np.maximum(self._length, 1e-12)), 0.0)

    @cached_property
    def _length(self) -> Float32Array:
        return np.sqrt((self.crossed * self.crossed).sum(-1))

    @cached_property
    def normals(self) -> Float32Array:
        """(H, W, 3) unit normals of the neutral head, smooth over 2 mm, going on beyond the mesh; towards +z without a head."""
        if not self.anchored:
            return np.broadcast_to(np.array([0.0, 0.0, 1.0], np.float32), self.points.shape)
        fine: Float32Array = (self.crossed / np.maximum(self._length, 1e-12)[..., None]).astype(np.float32)
        sigma = 0.002 / self.pitch
        near = np.stack([gaussian_filter(fine[..., k], sigma, truncate=2.5) for k in range(3)], -1)
        smooth = near + 0.02 * spread_out(fine, 12 * sigma) + np.array([0.0, 0.0, 1e-6], np.float32)
        return (smooth / np.linalg.norm(smooth, axis=-1, keepdims=True)).astype(np.float32)


def anchored_surface(rest: Float32Array, triangle: IntArray, box: Box) -> Surface | None:
    """The surface of a box of one view from its correspondences; None where the head does not show in the view at all.

    rest (H, W, 3) metres; triangle (H, W), −1 where the mesh does not show.
    """
    whole = (triangle >= 0) & np.isfinite(rest).all(-1)
    pitch = _pitch(rest, whole)
    if pitch is None:
        return None
    height, width = whole.shape
    wide = (
        slice(max(0, box[0].start - MARGIN), min(height, box[0].stop + MARGIN)),
        slice(max(0, box[1].start - MARGIN), min(width, box[1].stop + MARGIN)),
    )
    if not whole[wide].any():
        wide = (slice(0, height), slice(0, width))
    shows, here = whole[wide], rest[wide]
    crossed = -np.cross(_slope(here, shows, pitch, 1), _slope(here, shows, pitch, 0))
    shows = shows & ~_inward(here, crossed, shows)  # the inside of the head, seen through an open mouth
    if not shows.any():
        return None
    points, sheet, trust = here, unrolled(here), np.ones(shows.shape, np.float32)
    if not shows.all():
        distance, (row, column) = distance_transform_edt(~shows, return_indices=True)
        rows, columns = np.indices(shows.shape, np.float32)
        steps = np.stack([columns - column, rows - row], -1).astype(np.float32)
        points = here[row, column] + steps @ _plane(rest, whole).T
        flat = np.stack([columns, -rows], -1) * np.float32(pitch) + ELSEWHERE
        sheet = np.where(shows[..., None], sheet, flat).astype(np.float32)
        trust = np.exp(-((distance * pitch / REACH) ** 2)).astype(np.float32)
    crossed = np.where(shows[..., None], crossed, 0.0).astype(np.float32)
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    return Surface(points[inner], crossed[inner], sheet[inner], shows[inner], trust[inner], pitch, True)


def flat_surface(height: int, width: int, box: Box) -> Surface:
    """A box of the picture as its own surface: the picture's middle is the origin, its shorter side ``WIDTH`` long."""
    pitch = WIDTH / min(height, width)
    rows, columns = np.indices((height, width), np.float32)
    x, y = (columns + 0.5 - width / 2) * pitch, (height / 2 - rows - 0.5) * pitch
    points = np.stack([x, y, np.zeros_like(x)], -1).astype(np.float32)[box]
    crossed = np.broadcast_to(np.array([0.0, 0.0, pitch**2], np.float32), points.shape)
    whole = np.ones(points.shape[:2], bool)
    return Surface(points, crossed, points[..., :2], whole, whole.astype(np.float32), pitch, False)


def unrolled(points: Float32Array) -> Float32Array:
    """(…, 3) on the neutral head → (…, 2) metres across (to the subject's left) and up, on the head unrolled from a capsule.

    Around a vertical axis below the crown; above, Mercator's projection of a sphere, so that squares stay squares.
    """
    x, y, z = (points[..., k] for k in range(3))
    around = RADIUS * np.arctan2(x, z - AXIS_Z)
    out = np.maximum(np.hypot(x, z - AXIS_Z), 0.012)
    up = np.where(y > CAP_Y, CAP_Y + RADIUS * np.arcsinh((y - CAP_Y) / out), y)
    return np.stack([around, up], -1).astype(np.float32)


def spread_out(values: Float32Array, sigma: float) -> Float32Array:
    """(H, W, C) blurred widely, by way of a smaller picture."""
    step = max(1, int(sigma / 3))
    blurred = [gaussian_filter(values[::step, ::step, k], sigma / step, truncate=2.5) for k in range(values.shape[2])]
    rows, columns = (np.minimum(np.arange(n) // step, len(range(0, n, step)) - 1) for n in values.shape[:2])
    small = np.stack(blurred, -1)[rows][:, columns]
    return np.stack([gaussian_filter(small[..., k], step / 2, truncate=2.0) for k in range(values.shape[2])], -1)


def _slope(points: Float32Array, shows: BoolArray, pitch: float, axis: int) -> Float32Array:
    """Central differences along a picture axis where both neighbours are on one surface, one-sided at its edges, else 0."""
    step = np.diff(points, axis=axis)
    both = _pairs(shows, axis) & ((step * step).sum(-1) < (JUMP * pitch) ** 2)
    step = np.where(both[..., None], step, np.float32(0.0))
    before, after = [(0, 0)] * 3, [(0, 0)] * 3
    before[axis], after[axis] = (1, 0), (0, 1)
    count = np.pad(both, before[:2]).astype(np.float32) + np.pad(both, after[:2])
    return (np.pad(step, before) + np.pad(step, after)) / np.maximum(count, 1.0)[..., None]


def _pairs(shows: BoolArray, axis: int) -> BoolArray:
    """Whether a pixel and the next along ``axis`` both show."""
    return shows[1:] & shows[:-1] if axis == 0 else shows[:, 1:] & shows[:, :-1]


def _pitch(rest: Float32Array, shows: BoolArray) -> float | None:
    """Metres between pixels where the surface faces the camera: there neighbours are nearest to each other."""
    some = slice(None, None, 4)
    lengths = [
        np.linalg.norm(np.diff(part, axis=axis), axis=-1)[_pairs(seen, axis)]
        for axis, part, seen in ((1, rest[some], shows[some]), (0, rest[:, some], shows[:, some]))
    ]
    together = np.concatenate(lengths)
    if not len(together):
        return None
    pitch = float(np.quantile(together, 0.25))
    return pitch if pitch > 0 else None


def _inward(rest: Float32Array, crossed: Float32Array, shows: BoolArray) -> BoolArray:
    """Which pixels see a surface from behind: by orientation alone one pixel says little, so its neighbours vote."""
    away = rest - np.array([0.0, 0.0, AXIS_Z], np.float32)
    away[..., 1] = 0.0
    length = np.sqrt((crossed * crossed).sum(-1) * (away * away).sum(-1))
    outward = (crossed * away).sum(-1) / np.maximum(length, 1e-12)
    weight = shows.astype(np.float32)
    voted = gaussian_filter(weight * outward, 1.0) / np.maximum(gaussian_filter(weight, 1.0), 1e-6)
    return shows & (voted < -0.3)


def _plane(rest: Float32Array, shows: BoolArray) -> Float32Array:
    """(3, 2): how points move with the column and the row, by least squares over what shows."""
    rows, columns = np.nonzero(shows)
    some = slice(None, None, max(1, len(rows) // 4000))
    rows, columns = rows[some], columns[some]
    system = np.stack([columns, rows, np.ones(len(rows))], 1)
    solved, *_ = np.linalg.lstsq(system, rest[rows, columns].astype(np.float64), rcond=None)
    return solved[:2].T.astype(np.float32)
