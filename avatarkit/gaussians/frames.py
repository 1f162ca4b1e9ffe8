"""The frame of a triangle, and the quaternion algebra that binding needs.  Plain torch, any device and float type."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Below this length (metres) an edge or a height has no usable direction in float32: vertices near 1 m carry 6e-8 of rounding.
DEGENERATE = 1e-7


class Frames(NamedTuple):
    """rotation (…, F, 3, 3): columns a0 a1 a2, local → world; origin (…, F, 3): centroid; size (…, F): k, metres."""

    rotation: Tensor
    origin: Tensor
    size: Tensor


def triangle_frames(vertices: Tensor, faces: Tensor) -> Frames:
    """Frames of triangles (GaussianAvatars, Qian et al., CVPR 2024, section 3.1 and its published code).

    vertices (…, V, 3) metres; faces (F, 3) integers.  a0 = unit(v1 − v0), a1 = unit(a0 × (v2 − v0)) is the normal,
    a2 = −unit(a1 × a0), k = (|v1 − v0| + |a2·(v2 − v0)|) / 2.

    A triangle with an edge v1 − v0 or a height below 1e-7 m has no frame: it gets the identity, and its vertices get
    gradients through the centroid only, so that no gradient is ever infinite.
    """
    corners = vertices[..., faces.long(), :]
    v0, v1, v2 = corners.unbind(-2)
    edge, side = v1 - v0, v2 - v0
    squared = (edge * edge).sum(-1)
    flat_edge = squared < DEGENERATE * DEGENERATE
    fallback = torch.zeros_like(edge)
    fallback[..., 0] = 1.0
    length = torch.where(flat_edge, torch.ones_like(squared), squared).sqrt()
    a0 = torch.where(flat_edge[..., None], fallback, edge / length[..., None])
    normal = torch.linalg.cross(a0, side)
    squared = (normal * normal).sum(-1)
    flat = flat_edge | (squared < DEGENERATE * DEGENERATE)
    height = torch.where(flat, torch.ones_like(squared), squared).sqrt()
    a1 = normal / height[..., None]
    a2 = torch.linalg.cross(a0, a1)
    identity = torch.eye(3, dtype=vertices.dtype, device=vertices.device)
    rotation = torch.where(flat[..., None, None], identity, torch.stack([a0, a1, a2], -1))
    size = torch.where(flat, torch.full_like(length, DEGENERATE), 0.5 * (length + height))
    return Frames(rotation, (v0 + v1 + v2) / 3.0, size)


def quat_from_matrix(rotation: Tensor) -> Tensor:
    """Unit quaternions wxyz (…, 4) of rotation matrices (…, 3, 3).

    Each of the four classic formulas is singular somewhere; the one with the largest component (≥ ½) is picked, so gradients
    stay bounded (Shepperd 1978).  The sign is that formula's own.
    """
    r = rotation
    m00, m11, m22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    a, b, c = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    d, e, f = r[..., 1, 0] + r[..., 0, 1], r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] + r[..., 1, 2]
    squares = torch.stack(
        [1.0 + m00 + m11 + m22, 1.0 + m00 - m11 - m22, 1.0 - m00 + m11 - m22, 1.0 - m00 - m11 + m22], -1
    )  # 4·(w², x², y², z²)
    rows = torch.stack(
        [
            torch.stack([squares[..., 0], a, b, c], -1),
            torch.stack([a, squares[..., 1], d, e], -1),
            torch.stack([b, d, squares[..., 2], f], -1),
            torch.stack([c, e, f, squares[..., 3]], -1),
        ],
        -2,
    )
    largest = squares.argmax(-1, keepdim=True)
    row = rows.gather(-2, largest[..., None].expand(*largest.shape, 4))[..., 0, :]
    return row / (2.0 * squares.gather(-1, largest).sqrt())


def quat_multiply(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product of wxyz quaternions (…, 4): the rotation ``right`` followed by ``left``."""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        -1,
    )
