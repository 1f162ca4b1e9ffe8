"""A small z-buffer for meshes: which triangle each pixel sees, where on it, and how far away.

Used for region masks, correspondences and pictures; not differentiable.  Pixel centres at +0.5, perspective-correct
barycentrics, both sides drawn, near plane 0.01 m (a triangle that crosses it is dropped: heads do not).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from avatarkit.types import Float32Array, FloatArray, IntArray

NEAR = 0.01


@dataclass(frozen=True)
class MeshRender:
    """triangle (H, W) int32, −1 where none; barycentrics (H, W, 3) float32; depth (H, W) float32 metres, 0 where none."""

    triangle: IntArray
    barycentrics: Float32Array
    depth: Float32Array


def rasterize_mesh(
    vertices: FloatArray, faces: IntArray, viewmat: FloatArray, K: FloatArray, width: int, height: int
) -> MeshRender:
    """Draw (V, 3) world vertices and (F, 3) faces with one OpenCV camera: viewmat (4, 4), K (3, 3) pixels."""
    view = np.asarray(viewmat, np.float64)
    camera = np.asarray(vertices, np.float64) @ view[:3, :3].T + view[:3, 3]
    z = camera[:, 2]
    safe = np.where(np.abs(z) < NEAR, NEAR, z)
    pixel = (camera @ np.asarray(K, np.float64).T)[:, :2] / safe[:, None]
    triangle = np.full((height, width), -1, np.int32)
    barycentrics = np.zeros((height, width, 3), np.float32)
    depth = np.zeros((height, width), np.float32)
    _draw(pixel, z, np.ascontiguousarray(faces, np.int64), triangle, barycentrics, depth)
    return MeshRender(triangle, barycentrics, depth)


@numba.njit(cache=True, nogil=True)
def _draw(pixel, z, faces, triangle, barycentrics, depth):  # type: ignore[no-untyped-def]
    height, width = triangle.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if z[a] < NEAR or z[b] < NEAR or z[c] < NEAR:
            continue
        ax, ay, bx, by, cx, cy = pixel[a, 0], pixel[a, 1], pixel[b, 0], pixel[b, 1], pixel[c, 0], pixel[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or not np.isfinite(area):
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                u, v, w = u / z[a], v / z[b], w / z[c]  # perspective: weights are linear in 1/z
                distance = 1.0 / (u + v + w)
                if triangle[row, column] >= 0 and distance >= depth[row, column]:
                    continue
                triangle[row, column] = f
                depth[row, column] = distance
                barycentrics[row, column, 0] = u * distance
                barycentrics[row, column, 1] = v * distance
                barycentrics[row, column, 2] = w * distance
