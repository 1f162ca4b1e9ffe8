"""Filling a hole in pictures from what surrounds it (push-pull: Gortler et al., The Lumigraph, SIGGRAPH 1996)."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = 0.5  # where there is nothing but hole


def filled(pictures: Tensor, hole: Tensor) -> Tensor:
    """(B, C, H, W) with the pixels of ``hole``, (B, 1, H, W) bool, replaced by a smooth continuation of the rest.

    What stood in the hole leaves no trace; what stands outside stays to the bit.  Values are means of those outside.
    """
    known = (~hole).to(pictures)
    return torch.where(hole, _continued(torch.where(hole, 0.0, pictures), known), pictures)


def _continued(sums: Tensor, known: Tensor) -> Tensor:
    """``sums``: values times how far they are ``known``, in [0, 1].  Unknown shares come from half the resolution."""
    height, width = sums.shape[-2:]
    if height == width == 1:
        return sums + (1.0 - known) * GREY
    share = _halved(known)
    full = (4.0 * share).clamp(max=1.0)  # a quarter of the pixels is enough to know the mean
    coarse = _continued(_halved(sums) * full / share.clamp(min=1e-6), full)
    below = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return sums + (1.0 - known) * below


def _halved(values: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)
