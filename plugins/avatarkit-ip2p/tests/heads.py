"""The built-in head seen by a camera, with correspondences as the core draws them."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.cameras import intrinsics, look_at
from avatarkit.contracts import Correspondences
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.types import FloatArray

Look = tuple[float, float]
"""Azimuth of the camera and opening of the jaw, radians."""


def posed(look: Look, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Vertices (V, 3), viewmat and K of a picture of side × side in which the head is large."""
    head = load_head("bust")
    params = HeadParams.zeros(1, head.num_shape, head.num_expr)
    params.jaw_pose[0, 0] = look[1]
    vertices = head.pose(params).vertices[0].double().numpy()
    viewmat = look_at(0.9 * np.array([np.sin(look[0]), 0.0, np.cos(look[0])]), np.zeros(3))
    return vertices, viewmat, intrinsics(2.4 * side, 2.4 * side, side / 2, side / 2)


def seen(side: int, looks: list[Look]) -> Correspondences:
    """One view for each of ``looks``."""
    head = load_head("bust")
    faces, neutral = head.faces.numpy(), head.template.numpy()
    drawn = [
        rasterize_mesh(v, faces, viewmat, K, side, side) for v, viewmat, K in (posed(look, side) for look in looks)
    ]
    triangle, weights = np.stack([d.triangle for d in drawn]), np.stack([d.barycentrics for d in drawn])
    rest = (neutral[faces[np.maximum(triangle, 0)]] * weights[..., None]).sum(-2) * (triangle >= 0)[..., None]
    return Correspondences(torch.from_numpy(triangle), torch.from_numpy(weights), torch.from_numpy(rest).float())


def moved(seen_there: Correspondences, view: int, look: Look) -> torch.Tensor:
    """(H, W, 2) x and y, pixels: where what each pixel of ``view`` shows lies in a picture of ``look``, seen or hidden."""
    side = seen_there.triangle.shape[1]
    vertices, viewmat, K = posed(look, side)
    corners = vertices[load_head("bust").faces.numpy()[seen_there.triangle[view].clamp(min=0).numpy()]]
    points = (corners * seen_there.barycentrics[view].numpy()[..., None]).sum(-2) @ viewmat[:3, :3].T + viewmat[:3, 3]
    projected = points @ K.T
    return torch.from_numpy(projected[..., :2] / projected[..., 2:])


def nowhere(seen_there: Correspondences, view: int) -> Correspondences:
    """The same without a head in one view."""
    triangle = seen_there.triangle.clone()
    triangle[view] = -1
    return Correspondences(triangle, seen_there.barycentrics, seen_there.rest)
