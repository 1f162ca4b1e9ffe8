"""A half mesh under construction: named groups of vertices and the quads between them."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


class HalfMesh:
    """Vertices (millimetres, x ≥ 0) and faces of the subject's left half; ``mirrored`` makes the whole.

    ``groups`` maps a part's name to its vertex ids, ``grids`` to structured (rows, columns) id arrays that other modules
    address by ring or row.
    """

    def __init__(self) -> None:
        self._points: list[Array] = []
        self._faces: list[tuple[int, int, int]] = []
        self.count = 0
        self.groups: dict[str, list[int]] = {}
        self.grids: dict[str, Ids] = {}

    def add(self, group: str, points: Array) -> Ids:
        """Append points (..., 3); returns their ids in the same leading shape."""
        flat = np.asarray(points, dtype=float).reshape(-1, 3)
        ids = np.arange(self.count, self.count + len(flat))
        self._points.append(flat)
        self.count += len(flat)
        self.groups.setdefault(group, []).extend(int(i) for i in ids)
        return ids.reshape(points.shape[:-1])

    def quad(self, a: int, b: int, c: int, d: int) -> None:
        """One quad, counter-clockwise seen from outside, as two triangles; a repeated corner leaves one."""
        for corners in ((a, b, c), (a, c, d)):
            if len(set(corners)) == 3:
                self._faces.append((int(corners[0]), int(corners[1]), int(corners[2])))

    def strip(self, first: Ids, second: Ids, closed: bool = False, flip: bool = False) -> None:
        """Quads between two equally long chains of vertices."""
        count = len(first)
        for k in range(count if closed else count - 1):
            a, b, c, d = first[k], first[(k + 1) % count], second[(k + 1) % count], second[k]
            if flip:
                a, b, c, d = b, a, d, c
            self.quad(a, b, c, d)

    def rings(self, ids: Ids, closed: bool = False, flip: bool = False) -> None:
        """Quads between consecutive rows of an id grid (R, N)."""
        for first, second in itertools.pairwise(ids):
            self.strip(first, second, closed, flip)

    def points(self) -> Array:
        return np.concatenate(self._points)

    def mirrored(self, midline: float = 1e-6) -> tuple[Array, Ids, Ids, Array]:
        """(V, 3) points, (F, 3) faces, (V,) the id of each vertex's mirror image, (V,) side: 1 left, −1 right, 0 midline.

        The left half keeps its ids; copies of the vertices off the midline follow in the same order.
        """
        points = self.points()
        middle = np.abs(points[:, 0]) < midline
        points[middle, 0] = 0.0
        partner = np.where(middle, np.arange(len(points)), 0)
        partner[~middle] = len(points) + np.arange(int((~middle).sum()))
        whole = np.concatenate([points, points[~middle] * np.array([-1.0, 1.0, 1.0])])
        faces = np.array(self._faces, dtype=np.int64)
        mirror = np.concatenate([partner, np.flatnonzero(~middle)])
        side = np.concatenate([np.where(middle, 0.0, 1.0), -np.ones(int((~middle).sum()))])
        # [a, b, c] → [a', c', b'] keeps the first corner of each triangle in place
        return whole, np.concatenate([faces, partner[faces][:, [0, 2, 1]]]), mirror.astype(np.int64), side
