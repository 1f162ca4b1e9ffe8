"""The built-in head seen by a camera, with the correspondences that the core draws."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.cameras import intrinsics, look_at
from avatarkit.contracts import Correspondences
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.render.mesh import rasterize_mesh


def seen(side: int, looks: list[tuple[float, float]], distance: float = 0.9) -> Correspondences:
    """looks: for each view azimuth and jaw angle, radians; pictures of side × side in which the head is large."""
    head = load_head("bust")
    faces, neutral = head.faces.numpy(), head.template.numpy()
    triangles, weights, places = [], [], []
    for azimuth, jaw in looks:
        params = HeadParams.zeros(1, head.num_shape, head.num_expr)
        params.jaw_pose[0, 0] = jaw
        vertices = head.pose(params).vertices[0].numpy()
        viewmat = look_at(distance * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)]), np.zeros(3))
        drawn = rasterize_mesh(vertices, faces, viewmat, intrinsics(2.4 * side, 2.4 * side, side / 2, side / 2), side, side)
        on = neutral[faces[np.maximum(drawn.triangle, 0)]]
        place = (on * drawn.barycentrics[..., None]).sum(2) * (drawn.triangle >= 0)[..., None]
        for list_, value in ((triangles, drawn.triangle), (weights, drawn.barycentrics), (places, place.astype(np.float32))):
            list_.append(torch.from_numpy(value))
    return Correspondences(torch.stack(triangles), torch.stack(weights), torch.stack(places))


def nowhere(seen: Correspondences, view: int) -> Correspondences:
    """The same without a head in one view."""
    triangle = seen.triangle.clone()
    triangle[view] = -1
    return Correspondences(triangle, seen.barycentrics, seen.rest)
