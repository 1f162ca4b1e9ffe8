"""Image metrics: PSNR, SSIM and LPIPS, for images (B, C, H, W) with values in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.errors import InputError
from avatarkit.losses.perceptual import Perceptual, lpips_or_none, why_no_lpips
from avatarkit.losses.ssim_torch import ssim_map

__all__ = ["PSNR_CAP", "Perceptual", "lpips_or_none", "psnr", "ssim", "why_no_lpips"]

PSNR_CAP = 100.0
"""Decibels of equal images."""


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each image, decibels, at most ``PSNR_CAP``: (B,), float64.

    mask (B, 1, H, W) weights, bool or float: the error is the mean over the mask; NaN where a mask is empty.
    """
    _check(image, target, mask)
    squared = (image.detach().double() - target.detach().double()).square()
    if mask is None:
        error = squared.mean((1, 2, 3))
    else:
        weight = mask.double()
        error = (squared * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) * image.shape[1])
    return -10.0 * torch.log10(error.clamp_min(10.0 ** (-PSNR_CAP / 10.0)))


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural similarity of each image, in [−1, 1]: (B,), float64; window and constants as in ``ssim_torch``.

    mask (B, 1, H, W): mean of the map over the mask; windows still see what is outside it.
    """
    _check(image, target, mask)
    values = ssim_map(image.detach().double(), target.detach().double())
    if mask is None:
        return values.mean((1, 2, 3))
    weight = mask.double()
    return (values * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) * image.shape[1])


def _check(image: Tensor, target: Tensor, mask: Tensor | None) -> None:
    if image.ndim != 4 or image.shape != target.shape:
        raise InputError(f"metric: image {tuple(image.shape)} and target {tuple(target.shape)} differ in shape")
    if mask is not None and mask.shape != (image.shape[0], 1, *image.shape[2:]):
        raise InputError(f"metric: mask {tuple(mask.shape)} does not fit images {tuple(image.shape)}")
