"""A picture of a fit for people: the mesh over the frames, detected landmarks beside fitted ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from avatarkit.types import ByteArray, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor

MESH, DETECTED, FITTED = (90, 220, 255), (60, 255, 60), (255, 60, 60)


def fit_sheet(
    images: Sequence[ByteArray],
    pixels: FloatArray,
    facing: FloatArray,
    faces: IntArray,
    detected: FloatArray,
    fitted: FloatArray,
    captions: Sequence[str],
    *,
    columns: int = 4,
    tile: int = 384,
) -> Image.Image:
    """N frames, each twice: the frame with the mesh, and the frame with landmarks (green detected, red fitted).

    images (H, W, 3) uint8; pixels (N, V, 2) projected vertices; facing (N, F) bool, triangles that face the camera; faces
    (F, 3); detected and fitted (N, L, 2) pixels, NaN where none.
    """
    cells = []
    for i, image in enumerate(images):
        zoom = tile / max(image.shape[:2])
        size = (round(image.shape[1] * zoom), round(image.shape[0] * zoom))
        photo = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BILINEAR)
        mesh, marks = photo.copy(), photo.copy()
        draw = ImageDraw.Draw(mesh, "RGBA")
        for a, b in edges(faces[facing[i]]):
            draw.line([tuple(pixels[i, a] * zoom), tuple(pixels[i, b] * zoom)], fill=(*MESH, 70))
        draw = ImageDraw.Draw(marks)
        for points, colour in ((detected[i], DETECTED), (fitted[i], FITTED)):
            for x, y in points[np.isfinite(points).all(1)] * zoom:
                draw.ellipse([x - 1.2, y - 1.2, x + 1.2, y + 1.2], fill=colour)
        ImageDraw.Draw(mesh).text((6, 4), captions[i], fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
        cell = Image.new("RGB", (tile, 2 * tile), (255, 255, 255))
        cell.paste(mesh, (0, 0))
        cell.paste(marks, (0, tile))
        cells.append(cell)
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * tile, rows * 2 * tile), (255, 255, 255))
    for i, cell in enumerate(cells):
        sheet.paste(cell, ((i % columns) * tile, (i // columns) * 2 * tile))
    return sheet


def edges(faces: IntArray) -> IntArray:
    """(F, 3) → unique undirected edges (E, 2)."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(pairs, 1), axis=0)


def projected(vertices: Tensor, viewmat: Tensor, K: Tensor, faces: IntArray) -> tuple[FloatArray, FloatArray]:
    """vertices (N, V, 3) → pixels (N, V, 2) and facing (N, F) bool, in one camera (4, 4), (3, 3)."""
    local = vertices.detach().double().numpy() @ viewmat[:3, :3].double().numpy().T + viewmat[:3, 3].double().numpy()
    flat = local @ K.double().numpy().T
    corners = local[:, faces]
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    return flat[..., :2] / flat[..., 2:], (normals * corners[:, :, 0]).sum(-1) < 0
