"""The photometric loss: l1·mean|I − T| + dssim·(1 − SSIM(I, T)), as in 3DGS and GaussianAvatars (Qian et al. 2024, eq. 3).

``weight`` masks pixels in both terms: the means are weighted means, and SSIM compares the images after multiplication by
the weight, so that what a window sees where the weight is 0 (the padding of a batch, hair that is not the head's) is
the same in both, and has no gradient.

Two bodies: one fused Numba pass for float32 on the CPU (``photometric_cpu``), plain torch for everything else.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.errors import InputError
from avatarkit.losses.photometric_torch import photometric_loss_written_out
from avatarkit.losses.ssim_torch import ssim_map


class PhotometricLoss(NamedTuple):
    """total: scalar to differentiate.  l1, ssim: its parts, detached scalars.  mse: weighted mean squared error, a tensor where
    reading a number would make a GPU wait.
    """

    total: Tensor
    l1: Tensor
    ssim: Tensor
    mse: float | Tensor


def photometric_loss(
    image: Tensor, target: Tensor, *, l1: float, dssim: float, weight: Tensor | None = None
) -> PhotometricLoss:
    """Compare ``image`` with ``target``, both (B, C, H, W), values about [0, 1]; weight (B, 1, H, W) ≥ 0 or None.

    Differentiable in ``image`` only; the gradient of |x| at 0 is 0.  Where all weights are zero the loss is ``dssim`` and has no
    gradient.  Raises InputError when shapes differ.
    """
    if image.ndim != 4 or image.shape != target.shape:
        raise InputError(
            f"photometric loss: image {tuple(image.shape)} and target {tuple(target.shape)} differ in shape"
        )
    if weight is not None and weight.shape != (image.shape[0], 1, *image.shape[2:]):
        raise InputError(
            f"photometric loss: weight has shape {tuple(weight.shape)}; expected {(image.shape[0], 1, *image.shape[2:])}"
        )
    if compiled(image):
        from avatarkit.losses.photometric_cpu import photometric_loss_cpu

        return PhotometricLoss(*photometric_loss_cpu(image, target, l1, dssim, weight))
    return PhotometricLoss(*photometric_loss_written_out(image, target, l1, dssim, weight))


def photometric_loss_torch(
    image: Tensor, target: Tensor, *, l1: float, dssim: float, weight: Tensor | None = None
) -> PhotometricLoss:
    """``photometric_loss`` in plain torch, gradients by autograd: the reference."""
    target = target.detach().to(image)
    difference = image - target
    if weight is None:
        absolute, squared = difference.abs().mean(), difference.detach().square().mean()
        similarity = ssim_map(image, target).mean()
    else:
        weight = weight.detach().to(image)
        total = (weight.sum() * image.shape[1]).clamp_min(1e-12)
        absolute = (weight * difference.abs()).sum() / total
        squared = (weight * difference.detach().square()).sum() / total
        similarity = (weight * ssim_map(weight * image, weight * target)).sum() / total
    loss = l1 * absolute + dssim * (1.0 - similarity)
    return PhotometricLoss(loss, absolute.detach(), similarity.detach(), squared)
