"""Draws each Gaussian as one pixel: small enough to see that the core uses what a plugin provides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from good_plugin.options import PointOptions


class PointRasterizer:
    """Not a rasterizer that passes the conformance tests: it draws points."""

    name = "points"
    capabilities: frozenset[str] = frozenset()

    def __init__(self, options: PointOptions) -> None:
        self.options = options

    def render(
        self, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, features: Tensor, cameras: Cameras,
        **options: Any,
    ) -> Render:  # fmt: skip
        count, (width, height) = len(cameras), (cameras.width, cameras.height)
        local = means @ cameras.viewmats[:, :3, :3].transpose(1, 2) + cameras.viewmats[:, None, :3, 3]
        pixels = local @ cameras.Ks.transpose(1, 2)
        means2d = pixels[..., :2] / pixels[..., 2:]
        image = torch.zeros(count, features.shape[-1], height, width)
        column, row = means2d.floor().long().clamp_min(0).unbind(-1)
        for b in range(count):
            image[b, :, row[b].clamp_max(height - 1), column[b].clamp_max(width - 1)] = (
                features.T * self.options.brightness
            )
        alpha = (image.sum(1, keepdim=True) > 0).float()
        return Render(image, alpha, alpha, means2d, torch.ones(means2d.shape[:2], dtype=torch.int32))


class Partial:
    name = "partial"


class Failing:
    def __init__(self) -> None:
        raise ValueError("its weights\nare not there")
