"""The skin of a head at rest as a surface that can be asked: what is nearest, how far outside, where points lie spread over
it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from avatarkit.edit.accessories.vectors import unit
from avatarkit.types import BoolArray, FloatArray, IntArray

SPACING = 0.003  # metres between the points by which the nearest triangles are looked up
CANDIDATES = 8  # of those points that are tried


class Nearest(NamedTuple):
    """Of P points: points (P, 3) on the skin; normals (P, 3) there, smooth; triangles (P,) of the head's faces;
    heights (P,): metres along the normal, positive outside."""

    points: FloatArray
    normals: FloatArray
    triangles: IntArray
    heights: FloatArray


class Spread(NamedTuple):
    """Points evenly spread over the skin: points (P, 3), normals (P, 3), triangles (P,), barycentrics (P, 3)."""

    points: FloatArray
    normals: FloatArray
    triangles: IntArray
    barycentrics: FloatArray


class Skin:
    """vertices (V, 3) metres; faces (F, 3); kept (F,) bool: the faces that count as skin."""

    def __init__(self, vertices: FloatArray, faces: IntArray, kept: BoolArray) -> None:
        self.vertices, self.faces = vertices, faces
        self.kept = np.flatnonzero(kept)
        corners = vertices[faces]
        crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.areas = 0.5 * np.linalg.norm(crossed, axis=1)
        self.normals = vertex_normals(crossed, faces, len(vertices))
        longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
        looked_up = self.spread(SPACING, least=np.ceil(longest[self.kept] / SPACING).astype(int))
        self._owners = np.concatenate([looked_up.triangles, self.kept])
        self._tree = cKDTree(np.concatenate([looked_up.points, corners[self.kept].mean(1)]))

    def spread(self, spacing: float, kept: IntArray | None = None, least: IntArray | int = 1) -> Spread:
        """One point for about every ``spacing``² of area, at least ``least`` (K,) a triangle, always the same ones.

        kept (K,): triangles, all of the skin by default.  The k-th point of a triangle lies at the k-th term of Roberts' R2
        sequence, folded into the triangle.
        """
        own = self.kept if kept is None else kept
        counts = np.maximum(least, np.round(self.areas[own] / spacing**2)).astype(int)
        triangles = np.repeat(own, counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        a = (0.5 + 0.7548776662466927 * (place + 1)) % 1.0
        b = (0.5 + 0.5698402909980532 * (place + 1)) % 1.0
        over = a + b > 1
        a, b = np.where(over, 1 - a, a), np.where(over, 1 - b, b)
        single = np.repeat(counts == 1, counts)
        a, b = np.where(single, 1 / 3, a), np.where(single, 1 / 3, b)
        barycentrics = np.stack([1 - a - b, a, b], 1)
        return Spread(*self.at(triangles, barycentrics), triangles, barycentrics)

    def at(self, triangles: IntArray, barycentrics: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(P, 3) points and (P, 3) smooth normals."""
        corners = self.faces[triangles]
        points = (self.vertices[corners] * barycentrics[:, :, None]).sum(1)
        return points, unit((self.normals[corners] * barycentrics[:, :, None]).sum(1))

    def nearest(self, points: FloatArray) -> Nearest:
        """Of ``points`` (P, 3) metres."""
        found = np.asarray(self._tree.query(points, k=CANDIDATES)[1])
        triangles = self._owners[found.reshape(len(points), -1)]
        corners = self.vertices[self.faces[triangles]]
        barycentrics = closest_barycentrics(points[:, None], corners)
        there = (corners * barycentrics[..., None]).sum(2)
        best = ((there - points[:, None]) ** 2).sum(2).argmin(1)
        rows = np.arange(len(points))
        own, weights = triangles[rows, best], barycentrics[rows, best]
        at, normals = self.at(own, weights)
        offset = points - at
        distance = np.linalg.norm(offset, axis=1)
        return Nearest(at, normals, own, np.where((offset * normals).sum(1) < 0, -distance, distance))


def vertex_normals(crossed: FloatArray, faces: IntArray, count: int) -> FloatArray:
    """(count, 3) unit normals, weighted by area; crossed (F, 3): cross products of the triangles' edges."""
    total = np.zeros((count, 3))
    for corner in range(3):
        np.add.at(total, faces[:, corner], crossed)
    return unit(total)


def closest_barycentrics(points: FloatArray, corners: FloatArray) -> FloatArray:
    """(…, 3) barycentrics of the point of a triangle that is nearest; points (…, 3), corners (…, 3, 3).

    The foot of the perpendicular where it lies inside, else the best point of the three edges.
    """
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / determinant, (d00 * d21 - d01 * d20) / determinant
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    along_ab = np.clip(d20 / np.maximum(d00, 1e-30), 0, 1)
    along_ac = np.clip(d21 / np.maximum(d11, 1e-30), 0, 1)
    bc = c - b
    along_bc = np.clip(((points - b) * bc).sum(-1) / np.maximum((bc * bc).sum(-1), 1e-30), 0, 1)
    none = np.zeros_like(v)
    edges = np.stack([
        np.stack([1 - along_ab, along_ab, none], -1),
        np.stack([1 - along_ac, none, along_ac], -1),
        np.stack([none, 1 - along_bc, along_bc], -1),
    ], -2)  # fmt: skip
    gaps = ((edges[..., None] * corners[..., None, :, :]).sum(-2) - points[..., None, :]) ** 2
    best = gaps.sum(-1).argmin(-1)
    on_edge = np.take_along_axis(edges, best[..., None, None], -2)[..., 0, :]
    return np.where(inside[..., None], np.stack([1 - v - w, v, w], -1), on_edge)
