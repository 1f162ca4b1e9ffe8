"""What one camera cannot see: how deep a Gaussian lies and how long it is along the line of sight.

Where every timestep is seen from one side only, pictures leave both free, and what noise makes of them is a cloud of needles from
any other side.  So a bound Gaussian is held near its triangle's depth, a free one near its joint's, and all are held thin
along the line of sight.  Across it, where the pictures judge, nothing is held.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.gaussians.binding import Posed
from avatarkit.gaussians.gaussians import Gaussians

NEAR_TRIANGLE = 0.008
"""Metres before or behind its triangle that a bound Gaussian may lie: brows, lips, short hair."""
NEAR_JOINT = 0.06
"""Metres before or behind its joint that a free one may lie: hair, shoulders."""
THIN = 0.003
"""Standard deviation along the line of sight, metres."""
CENTIMETRE = 0.01


def line_of_sight_loss(
    gaussians: Gaussians,
    posed: Posed,
    vertices: Tensor,
    joints: Tensor,
    faces: Tensor,
    camera: Cameras,
    visible: Tensor,
) -> Tensor:
    """Mean over visible Gaussians of relu(|Δz| − tolerance) + relu(σ_z − THIN), in centimetres; scalar ≥ 0.

    posed: the Gaussians in the world, with gradients; vertices (V, 3), joints (J, 4, 4): the posed head; camera: a batch of one;
    visible (N,) bool.
    """
    look = camera.viewmats[0, 2, :3].detach()
    binding = gaussians.binding.long()
    with torch.no_grad():
        triangles = (vertices @ look)[faces].mean(1)
        own = torch.where(
            binding >= 0, triangles[binding.clamp(min=0)], (joints[:, :3, 3] @ look)[(-1 - binding).clamp(min=0)]
        )
        tolerance = torch.where(binding >= 0, NEAR_TRIANGLE, NEAR_JOINT)
    away = (posed.means @ look - own).abs()
    over = torch.relu(away - tolerance) + torch.relu(_extent(posed, look) - THIN)
    return (over * visible).sum() / (visible.sum().clamp(min=1) * CENTIMETRE)


def _extent(posed: Posed, look: Tensor) -> Tensor:
    """(N,) standard deviation along the unit vector ``look`` (3,): |S·Rᵀ·look|."""
    w, axis = torch.nn.functional.normalize(posed.quats, dim=1).split((1, 3), 1)
    across = torch.linalg.cross(axis, look.expand_as(axis))
    turned = look - 2.0 * w * across + 2.0 * torch.linalg.cross(axis, across)
    return (posed.scales * turned).square().sum(1).clamp(min=1e-16).sqrt()
