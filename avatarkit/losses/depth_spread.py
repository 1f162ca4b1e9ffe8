"""How far apart in depth the Gaussians are that one pixel blends.

A pixel's colour says nothing of that: half of it may come from the skin and half from whatever is behind.  From the training camera both look
alike; from aside they come apart, as flecks on forehead and cheeks.  So the standard deviation of depth along a pixel's ray,

    σ² = Σ α·T·z² / Σ α·T − (Σ α·T·z / Σ α·T)²,

is held small, as Mip-NeRF 360 (Barron et al., CVPR 2022, section 4) and 2D Gaussian splatting (Huang et al., SIGGRAPH 2024, equation 13) do
with the distortion of a ray.  z and z² are two more feature channels of a rasterizer, which blends and differentiates them as it does
colours.  A third says how straight the camera sees the skin there: on what turns away from it, depth differs within a pixel by right.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.gaussians.binding import Posed

CHANNELS = 3
UNIT = 0.05
"""Metres that z is given in, from the head's middle, so that float32 tells squares apart by a tenth of a millimetre."""
TOLERANCE, MOST = 0.2, 3.0
"""Centimetres that skin, brows and lips are deep, and beyond which it does not matter how far."""
STRAIGHT = (0.3, 0.7)
"""Cosines between the skin and the line of sight, from where a pixel counts to where it counts wholly."""
FREE = 0.5
"""What a free Gaussian counts: hair and cloth are deep by nature."""
OPAQUE = 0.9


def depth_features(posed: Posed, binding: Tensor, vertices: Tensor, faces: Tensor, camera: Cameras) -> Tensor:
    """(N, 3) features: z, z² in ``UNIT`` from the head's middle, with gradients by ``posed.means``; and how straight the skin is seen.

    binding (N,); vertices (V, 3), faces (F, 3): the posed head, whose triangles are counterclockwise from outside; camera: a batch of one.
    """
    look = camera.viewmats[0, 2, :3].detach()
    with torch.no_grad():
        middle = (vertices @ look).mean()
        a, b, c = vertices[faces].unbind(1)
        towards = -(torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1) @ look)
        low, high = STRAIGHT
        straight = ((towards - low) / (high - low)).clamp(0.0, 1.0)
        binding = binding.long()
        counts = torch.where(binding >= 0, straight[binding.clamp(min=0)], FREE)
    z = (posed.means @ look - middle) / UNIT
    return torch.stack([z, z * z, counts], 1)


def depth_spread_loss(blended: Tensor, alpha: Tensor) -> Tensor:
    """Mean over the picture of relu(σ − TOLERANCE) in centimetres, at most ``MOST``, where it is opaque; scalar ≥ 0.

    blended (1, 3, H, W): ``depth_features`` over a background of zeros; alpha (1, 1, H, W).
    """
    share = alpha[:, 0].clamp(min=0.5 * OPAQUE)
    first, second = blended[:, 0] / share, blended[:, 1] / share
    spread = (second - first * first).clamp(min=1e-6).sqrt() * (UNIT * 100.0)
    counts = (alpha[:, 0] > OPAQUE) * blended[:, 2].detach().clamp(0.0, 1.0)
    return (torch.relu(spread - TOLERANCE).clamp(max=MOST) * counts).mean()
