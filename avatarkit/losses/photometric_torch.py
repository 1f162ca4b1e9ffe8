"""``photometric_loss`` in plain torch with its gradient written out: the body for GPUs.

Autograd through SSIM takes eight convolutions forward and eight back, and keeps every map between them.  Written out, as on the CPU,
it is two pairs: four moment maps are blurred together, and so are the three maps of derivatives.

The blur is a depthwise convolution on purpose: for float32 torch computes it in its own kernel.  An ordinary one goes to cuDNN,
which rounds to TF32, and a variance is a small difference of large moments.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from avatarkit.losses.ssim_torch import C1, C2, WINDOW, window


def photometric_loss_written_out(
    image: Tensor, target: Tensor, l1: float, dssim: float, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """total, l1, ssim, mse, all scalars on the device of ``image``; see ``photometric.photometric_loss``."""
    target = target.detach().to(image)
    weight = None if weight is None else weight.detach().to(image)
    return _Photometric.apply(image, target, weight, l1, dssim)  # type: ignore[no-any-return]


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, weight: Tensor | None, l1: float, dssim: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, y = (image, target) if weight is None else (weight * image, weight * target)
        mean_x, mean_y, squares, product = blurred(torch.stack([x, y, x * x + y * y, x * y])).unbind(0)
        means = torch.addcmul(mean_x * mean_x, mean_y, mean_y)
        crossed = mean_x * mean_y
        a1, a2 = 2.0 * crossed + C1, 2.0 * (product - crossed) + C2
        b1, b2 = means + C1, squares - means + C2
        per = 1.0 / (b1 * b2)
        value = a1 * a2 * per
        difference = image - target
        if weight is None:
            parts = torch.stack([difference.abs().mean(), value.mean(), difference.square().mean()])
            share: Tensor | float = 1.0 / image.numel()
        else:
            covered = (weight.sum() * image.shape[1]).clamp_min(1e-12)
            weighted = torch.stack([difference.abs(), value, difference.square()]) * weight
            parts = weighted.sum((1, 2, 3, 4)) / covered
            share = weight / covered
        if ctx.needs_input_grad[0]:
            # ∂SSIM by its three blurred moments (see ``photometric_cpu``), each blurred once more
            by_mean = 2.0 * (mean_y * (a2 - a1) * per - mean_x * value * (b2 - b1) * per)
            maps = torch.stack([by_mean, -value * b1 * per, 2.0 * a1 * per])
            # The map is weighted, and so is what the windows see of the image.
            by_mean, by_squares, by_product = blurred(maps * share).unbind(0)
            slope = by_mean + 2.0 * x * by_squares + y * by_product
            if weight is not None:
                slope = slope * weight
            ctx.save_for_backward(l1 * share * difference.sign() - dssim * slope)
        absolute, similarity, squared = parts.unbind(0)
        total = l1 * absolute + dssim * (1.0 - similarity)
        ctx.mark_non_differentiable(absolute, similarity, squared)
        return total, absolute, similarity, squared

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * grad_total, None, None, None, None


def blurred(maps: Tensor) -> Tensor:
    """(…, H, W) maps under the window, zero outside; at least two maps, so that the convolution is depthwise."""
    planes = maps.reshape(1, -1, *maps.shape[-2:])
    count, half = planes.shape[1], WINDOW // 2
    weights = _weights(maps.device, maps.dtype)
    across = weights.reshape(1, 1, 1, -1).expand(count, 1, 1, -1)
    down = weights.reshape(1, 1, -1, 1).expand(count, 1, -1, 1)
    planes = torch.nn.functional.conv2d(planes, across, padding=(0, half), groups=count)
    planes = torch.nn.functional.conv2d(planes, down, padding=(half, 0), groups=count)
    return planes.reshape(maps.shape)


@functools.cache
def _weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The window, brought to the device once: a copy from the host makes a GPU wait."""
    return torch.from_numpy(window()).to(device=device, dtype=dtype)
