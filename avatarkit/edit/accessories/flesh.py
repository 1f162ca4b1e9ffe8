"""How far the skin of a reconstructed avatar stands off its mesh.

A tracker's mesh is never quite the face; the Gaussians make up for it.  What lies close on the skin (stubble, a moustache, a
nose ring) would sink in where they stand proud of the mesh.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.envelope import Splats
from avatarkit.edit.accessories.skin import Skin
from avatarkit.types import FloatArray

MOST = 0.006  # metres: what stands off further is hair or a mistake
NEIGHBOURS, NEAR = 24, 0.006  # Gaussians that are asked at a place, metres within which they count
ENOUGH = 0.35  # share of the light that what is visible has stopped


class Flesh:
    """Heights of the visible skin over the mesh.  splats: the Gaussians of skin, None or few: all heights are zero."""

    def __init__(self, skin: Skin, splats: Splats | None) -> None:
        self._tree: cKDTree | None = None
        if splats is None or len(splats.points) < NEIGHBOURS:
            return
        near = skin.nearest(splats.points)
        height = near.heights + splats.along(near.normals)
        kept = (near.heights > -MOST) & (height < MOST)
        if kept.sum() < NEIGHBOURS:
            return
        self._tree = cKDTree(near.points[kept])
        self._heights = height[kept]
        self._cover = splats.seen_area(near.normals)[kept] / (np.pi * NEAR**2)

    def __call__(self, points: FloatArray) -> FloatArray:
        """(P,) metres ≥ 0 over the mesh at ``points`` (P, 3) on it: where, looked at from outside, it becomes opaque."""
        if self._tree is None:
            return np.zeros(len(points))
        gaps, near = (np.asarray(found) for found in self._tree.query(points, k=NEIGHBOURS))
        heights = np.where(gaps < NEAR, self._heights[near], -1.0)
        order = np.argsort(-heights, axis=1)
        covered = np.cumsum(np.take_along_axis(np.where(gaps < NEAR, self._cover[near], 0.0), order, 1), 1)
        first = (covered >= ENOUGH).argmax(1)
        found = np.take_along_axis(np.take_along_axis(heights, order, 1), first[:, None], 1)[:, 0]
        return np.where(covered[:, -1] >= ENOUGH, np.clip(found, 0.0, MOST), 0.0)
