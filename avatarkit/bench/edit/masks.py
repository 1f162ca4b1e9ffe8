"""Masks of pixels, and where an edit's inside ends and its outside begins."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import max_pool2d

OUTSIDE_DELTA, OUTSIDE_SHARE = 3.0, 0.02
"""CIEDE2000 from which a pixel outside changed, and the share of a picture that may."""
EDGE = 2  # pixels around the edit that belong to its edge: the avatar is not exact to the pixel


def grown(mask: Tensor, reach: int) -> Tensor:
    """(H, W) bool: a mask (H, W) bool and what lies within ``reach`` pixels of it."""
    return max_pool2d(mask.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0.5


def shrunk(mask: Tensor, reach: int = 1) -> Tensor:
    """(H, W) bool: what of a mask (H, W) bool is farther than ``reach`` pixels from its edge."""
    return ~grown(~mask, reach)
