"""How far a head reaches, its hair included: outwards from the skull's centre, and outwards from the neck's axis.

What is visible from outside decides, not the outermost Gaussian: in each cell of directions the splats are counted from outside
inwards, each by the share of the cell that it covers, and the head begins where that sum is enough.  A few strands or a
faint blob that stand off do not make a hat grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, maximum_filter
from scipy.spatial import cKDTree

from avatarkit.types import FloatArray, IntArray

COVERED = 0.06
ON_CLOTHES = 0.10  # on clothes nothing may sink in that lies on them
DIRECTIONS = 900  # cells of the sphere, 6.8 degrees wide
NEIGHBOURS = 9
TURNS, POLARS = 144, 73  # of the table that is looked up: 2.5 degrees
MOST = 0.12  # metres that hair may stand off the skin
AZIMUTHS, ROW = 72, 0.003  # cells of the column: 5 degrees by 3 mm
DRAPED = 0.03  # metres that clothes may stand off the body


@dataclass(frozen=True)
class Splats:
    """Visible Gaussians at rest: points (N, 3) metres; scales (N, 3) standard deviations along axes (N, 3, 3), columns;
    opacities (N,)."""

    points: FloatArray
    scales: FloatArray
    axes: FloatArray
    opacities: FloatArray

    def along(self, directions: FloatArray) -> FloatArray:
        """(N,) standard deviation of each along its own unit direction (N, 3)."""
        return np.linalg.norm(np.einsum("nij,ni->nj", self.axes, directions) * self.scales, axis=1)

    def seen_area(self, directions: FloatArray) -> FloatArray:
        """(N,) m²: opacity times the area that each covers when it is looked at along its own unit direction (N, 3)."""
        flattened = self.scales.prod(1) / np.maximum(self.along(directions), 1e-9)
        return 2 * np.pi * self.opacities * np.minimum(flattened, self.scales.max(1) * np.median(self.scales, axis=1))


def visible_reach(
    cells: IntArray, reach: FloatArray, cover: FloatArray, count: int, enough: float = COVERED
) -> FloatArray:
    """(count,) where each cell becomes opaque, counted from outside; −∞ where its splats do not suffice.

    cells (N,) of each splat; reach (N,) metres; cover (N,) share of its cell that it hides; enough: the sum that ends the
    count.
    """
    order = np.lexsort((-reach, cells))
    cells, reach, cover = cells[order], reach[order], cover[order]
    total = np.cumsum(cover)
    first = np.searchsorted(cells, np.arange(count))
    before = np.concatenate([[0.0], total])[first]
    opaque = np.flatnonzero(total - before[cells] >= enough)
    found = np.full(count, -np.inf)
    own, index = np.unique(cells[opaque], return_index=True)
    found[own] = reach[opaque[index]]
    return found


class Envelope:
    """Distance from ``centre`` (3,) to the outside of the head, by direction; metres."""

    def __init__(self, centre: FloatArray, points: FloatArray, splats: Splats | None) -> None:
        """points (P, 3): densely over the skin."""
        self.centre = centre
        index = np.arange(DIRECTIONS) + 0.5
        polar, turn = np.arccos(1 - 2 * index / DIRECTIONS), np.pi * (1 + 5**0.5) * index
        self.directions = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], 1)
        self._tree = cKDTree(self.directions)
        self._near = np.asarray(self._tree.query(self.directions, k=NEIGHBOURS)[1])
        distance = np.linalg.norm(points - centre, axis=1)
        cells = np.asarray(self._tree.query((points - centre) / distance[:, None])[1])
        bald = np.full(DIRECTIONS, -np.inf)
        np.maximum.at(bald, cells, distance)
        bald = np.where(np.isinf(bald), bald[self._near].max(1), bald)
        bald = np.where(np.isinf(bald), np.median(distance), bald)
        self._inner = self._table(bald)
        self._outer = self._inner if splats is None else self._table(self._with_hair(bald, splats))

    def _with_hair(self, bald: FloatArray, splats: Splats) -> FloatArray:
        offset = splats.points - self.centre
        distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
        outward = offset / distance[:, None]
        cells = np.asarray(self._tree.query(outward)[1])
        reach = distance + splats.along(outward)
        kept = (distance > 0.9 * bald[cells]) & (distance < bald[cells] + MOST)
        cover = splats.seen_area(outward) / (bald[cells] ** 2 * 4 * np.pi / DIRECTIONS)
        found = visible_reach(cells[kept], reach[kept], cover[kept], DIRECTIONS)
        height = np.clip(found - bald, 0.0, MOST)
        # A cell that stands out from nearly all around it is a floater; of the rest the outer ones count: hair is not flat.
        height = np.minimum(height, np.quantile(height[self._near], 0.7, axis=1))
        outer = np.quantile(height[self._near], 0.8, axis=1)
        return bald + np.maximum(outer, outer[self._near].mean(1))

    def _table(self, values: FloatArray) -> FloatArray:
        """(TURNS + 1, POLARS) of ``values`` (D,) by azimuth and angle from straight up, blended from the nearest cells."""
        turn, polar = np.meshgrid(np.linspace(-np.pi, np.pi, TURNS + 1), np.linspace(0.0, np.pi, POLARS), indexing="ij")
        ways = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
        gaps, near = (np.asarray(found) for found in self._tree.query(ways.reshape(-1, 3), k=6))
        weights = np.exp(-0.5 * (gaps / 0.08) ** 2) + 1e-12
        return ((weights * values[near]).sum(1) / weights.sum(1)).reshape(turn.shape)

    def reach(self, directions: FloatArray, *, hair: bool = True) -> FloatArray:
        """(…,) metres along unit ``directions`` (…, 3); without ``hair`` that of the skin."""
        x, y, z = np.moveaxis(directions, -1, 0)
        turn = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * TURNS
        polar = np.arccos(np.clip(y, -1.0, 1.0)) / np.pi * (POLARS - 1)
        table = self._outer if hair else self._inner
        return map_coordinates(table, [turn.ravel(), polar.ravel()], order=1, mode="nearest").reshape(turn.shape)

    def around(self, azimuths: FloatArray, heights: FloatArray, *, hair: bool = True) -> FloatArray:
        """(…,) metres from the vertical axis through the centre to the outside, at ``heights`` (…) metres above the centre;
        0 where the head does not reach that high.  azimuths (…): radians from +z towards +x."""
        low = np.zeros(np.broadcast_shapes(azimuths.shape, heights.shape))
        high = low + 0.35
        for _ in range(13):
            middle = 0.5 * (low + high)
            offset = np.stack(
                np.broadcast_arrays(middle * np.sin(azimuths), heights + 0 * middle, middle * np.cos(azimuths)), -1
            )
            distance = np.maximum(np.linalg.norm(offset, axis=-1), 1e-9)
            inside = distance < self.reach(offset / distance[..., None], hair=hair)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return 0.5 * (low + high)


class Column:
    """Distance from the neck's axis to the outside of neck and shoulders, by azimuth around the axis and height.

    The axis leans: ``leaning`` is its upper and its lower point (2, 3); above and below them it goes straight up and down.
    """

    def __init__(self, leaning: FloatArray, top: float, points: FloatArray, splats: Splats | None) -> None:
        """points (P, 3): densely over the skin; top: the height below which there is nothing but neck and body."""
        self.leaning, self.top = leaning[leaning[:, 1].argsort()], top
        low = float(points[:, 1].min())
        if splats is not None and len(splats.points):
            low = min(low, float(np.quantile(splats.points[:, 1], 0.02)))
        rows = max(2, int((top - low) / ROW))
        cells, distance = self._cells(points, rows)
        body = np.full((rows, AZIMUTHS), -np.inf)
        np.maximum.at(body.reshape(-1), cells[cells >= 0], distance[cells >= 0])
        if splats is not None:
            body = np.maximum(body, self._dressed(body, splats, rows))
        found = distance_transform_edt(np.isinf(body), sampling=(1.0, 0.6), return_distances=False, return_indices=True)
        smooth = gaussian_filter(body[tuple(found)], 1.0, mode=("nearest", "wrap"))
        self.grid = np.concatenate([smooth, smooth[:, :1]], 1)

    @property
    def bottom(self) -> float:
        """Height of the last row."""
        return self.top - ROW * len(self.grid)

    @property
    def heights(self) -> FloatArray:
        """(R,) of the rows, from the top."""
        return self.top - ROW * (np.arange(len(self.grid)) + 0.5)

    def axis(self, heights: FloatArray) -> FloatArray:
        """(…, 3) the points of the axis at ``heights`` (…)."""
        own = [np.interp(heights, self.leaning[:, 1], self.leaning[:, k]) for k in (0, 2)]
        return np.stack([own[0], heights, own[1]], -1)

    def _cells(self, points: FloatArray, rows: int) -> tuple[IntArray, FloatArray]:
        """Cell of each point, −1 for those outside the rows, and its distance from the axis."""
        offset = points - self.axis(points[:, 1])
        turn = (np.arctan2(offset[:, 0], offset[:, 2]) / (2 * np.pi) * AZIMUTHS).round().astype(int) % AZIMUTHS
        row = np.floor((self.top - points[:, 1]) / ROW).astype(int)
        cells = np.where((row >= 0) & (row < rows), row * AZIMUTHS + turn, -1)
        return cells, np.hypot(offset[:, 0], offset[:, 2])

    def _dressed(self, body: FloatArray, splats: Splats, rows: int) -> FloatArray:
        cells, distance = self._cells(splats.points, rows)
        outward = splats.points - self.axis(splats.points[:, 1])
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        bare = maximum_filter(np.where(np.isinf(body), 0.0, body), (3, 3), mode=("nearest", "wrap")).reshape(-1)
        known = bare[cells] > 0
        kept = (cells >= 0) & (~known | ((distance > 0.9 * bare[cells]) & (distance < bare[cells] + DRAPED)))
        cover = splats.seen_area(outward) / (np.maximum(distance, 0.02) * 2 * np.pi / AZIMUTHS * ROW)
        reach = distance + splats.along(outward)
        return visible_reach(cells[kept], reach[kept], cover[kept], rows * AZIMUTHS, ON_CLOTHES).reshape(rows, AZIMUTHS)

    def reach(self, azimuths: FloatArray, heights: FloatArray) -> FloatArray:
        """(…,) metres; azimuths (…) radians from +z towards +x; heights (…): y in metres; beyond the rows as at their end."""
        turn = np.asarray(azimuths) / (2 * np.pi) * AZIMUTHS % AZIMUTHS
        row = (self.top - np.asarray(heights)) / ROW - 0.5
        row, turn = np.broadcast_arrays(row, turn)
        return map_coordinates(self.grid, [row.ravel(), turn.ravel()], order=1, mode="nearest").reshape(row.shape)

    def at(self, azimuths: FloatArray, heights: FloatArray, off: float = 0.0) -> FloatArray:
        """(…, 3) points ``off`` metres outside."""
        out = self.reach(azimuths, heights) + off
        level = np.stack(np.broadcast_arrays(np.sin(azimuths), 0.0, np.cos(azimuths)), -1)
        return self.axis(heights) + out[..., None] * level

    def surface(self) -> FloatArray:
        """(P, 3) points all over it, 1.5 degrees by 1.5 mm apart."""
        heights = np.arange(self.top, self.bottom, -0.5 * ROW)
        turns = np.linspace(0, 2 * np.pi, 240, endpoint=False)
        return self.at(*(axis.ravel() for axis in np.meshgrid(turns, heights)))
