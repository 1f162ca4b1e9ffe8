"""What keeps a bound Gaussian near its triangle (GaussianAvatars, Qian et al., CVPR 2024, eq. 4 and 5).

L_position = ‖max(|μ|, ε_position)‖ and L_scale = ‖max(s, ε_scale)‖, in triangle units, written as hinges: with relu(x − ε)
instead of max(x, ε) the gradient is the same and the value is 0 where nothing is wrong.  As in the published code, the norm
is taken per Gaussian over its three axes, and the mean over the Gaussians that show.  Free Gaussians, whose coordinates
are metres, are left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.bodies import compiled
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.regularisers_cpu import colour_cpu, hinge_cpu
from avatarkit.render.sh import Y00


def position_loss(gaussians: Gaussians, visible: Tensor, threshold: float = 1.0) -> Tensor:
    """Mean over visible bound Gaussians of relu(|μ| − threshold), |μ| the length in triangle units; scalar ≥ 0.

    visible (N,) bool.  0 without gradient where no bound Gaussian shows.
    """
    shown = visible & ~gaussians.free
    if compiled(gaussians.means):
        return _Hinge.apply(gaussians.means, shown, threshold, False)  # type: ignore[no-any-return]
    length = (gaussians.means * gaussians.means).sum(-1).clamp_min(1e-24).sqrt()
    return _mean_of(torch.relu(length - threshold), shown)


def scale_loss(gaussians: Gaussians, visible: Tensor, threshold: float = 0.6) -> Tensor:
    """Mean over visible bound Gaussians of ‖relu(s − threshold)‖ with s = exp(log_scales) in triangle units; scalar ≥ 0.

    visible (N,) bool.  The norm is over the three axes; its gradient where no axis is too long is 0.
    """
    shown = visible & ~gaussians.free
    if compiled(gaussians.log_scales):
        return _Hinge.apply(gaussians.log_scales, shown, threshold, True)  # type: ignore[no-any-return]
    excess = torch.relu(gaussians.log_scales.exp() - threshold)
    squared = (excess * excess).sum(-1)
    over = squared > 0
    return _mean_of(torch.where(over, torch.where(over, squared, torch.ones_like(squared)).sqrt(), squared), shown)


def colour_loss(gaussians: Gaussians, colours: Tensor) -> Tensor:
    """½ Σ |c − c₀|² over bound Gaussians, c the constant part of their colour and c₀ that of their triangle; scalar ≥ 0.

    colours (F, 3) of the head model's triangles in [0, 1].
    """
    if compiled(gaussians.sh, colours):
        return _Colour.apply(gaussians.sh, gaussians.binding, colours)  # type: ignore[no-any-return]
    own = (colours[gaussians.binding.clamp_min(0).long()] - 0.5) / Y00
    away = torch.where(gaussians.free[:, None], 0.0, gaussians.sh[:, 0] - own)
    return 0.5 * Y00**2 * (away * away).sum()


def tint_loss(gaussians: Gaussians, weights: Tensor) -> Tensor:
    """½ Σ |Δc|² over all Gaussians, Δc what their correctives change of the constant part of their colour in a pose; scalar ≥ 0.

    weights (K,) or (1, K): of the pose.
    """
    tint = gaussians.colour_correctives @ weights.reshape(-1)
    return 0.5 * Y00**2 * (tint * tint).sum()


def _mean_of(values: Tensor, shown: Tensor) -> Tensor:
    return (values * shown).sum() / shown.sum().clamp_min(1)


class _Hinge(torch.autograd.Function):
    """Both losses on the CPU: value and gradient in one pass."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, shown: Tensor, threshold: float, of_scales: bool) -> Tensor:
        value = value.contiguous()
        gradient = torch.empty_like(value)
        total = hinge_cpu(value.detach().numpy(), shown.numpy(), threshold, of_scales, gradient.numpy())
        ctx.save_for_backward(gradient)
        return torch.tensor(total, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return torch.from_numpy(gradient.numpy() * np.float32(grad.item())), None, None, None


class _Colour(torch.autograd.Function):
    """``colour_loss`` on the CPU: value and gradient in one pass."""

    @staticmethod
    def forward(ctx: Any, sh: Tensor, binding: Tensor, colours: Tensor) -> Tensor:
        gradient = torch.empty_like(sh, memory_format=torch.contiguous_format)
        total = colour_cpu(sh.detach().numpy(), binding.numpy(), colours.detach().numpy(), gradient.numpy())
        ctx.save_for_backward(gradient)
        return torch.tensor(total, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return torch.from_numpy(gradient.numpy() * np.float32(grad.item())), None, None
