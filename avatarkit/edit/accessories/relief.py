"""How far the head reaches along one axis: forward over (x, y), sideways over (z, y)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates, maximum_filter

from avatarkit.types import FloatArray

CELL = 0.002  # metres
HOLE = 0.015  # metres behind its neighbours that a cell is no surface any more


class Relief:
    """The outermost of ``points`` (P, 3), metres, along ``axis`` (0 or 2) in the direction ``sign`` (1 or −1)."""

    def __init__(self, points: FloatArray, axis: int, sign: float = 1.0) -> None:
        self.axis, self.sign = axis, sign
        flat = points[:, [2 - axis, 1]]
        self.low = flat.min(0)
        cells = ((flat - self.low) / CELL).astype(int)
        grid = np.full(tuple(cells.max(0) + 1), -np.inf)
        np.maximum.at(grid, (cells[:, 0], cells[:, 1]), sign * points[:, axis])
        # A cell that no near point fell into shows the far side of the head.
        around = maximum_filter(grid, 3)
        grid = np.where(grid < around - HOLE, around, grid)
        found = distance_transform_edt(np.isinf(grid), return_distances=False, return_indices=True)
        self.grid = grid[tuple(found)]

    def __call__(self, across: FloatArray, height: FloatArray) -> FloatArray:
        """The coordinate along the axis (sign kept) of the outermost point; beyond the head's outline that of the outline.

        across: x for axis 2, z for axis 0; height: y; both (…), metres.
        """
        shape = np.broadcast_shapes(np.shape(across), np.shape(height))
        places = [np.broadcast_to(value, shape).ravel() for value in (across, height)]
        cells = [(place - low) / CELL - 0.5 for place, low in zip(places, self.low, strict=True)]
        return self.sign * map_coordinates(self.grid, cells, order=1, mode="nearest").reshape(shape)
