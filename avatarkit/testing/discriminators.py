"""Checks of a discriminator: hinge losses of its own logits, and gradients that go where they should."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatarkit.testing.conformance import Check, require

SIZE = 64


def _batch(seed: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def its_logits_are_finite(part: Any) -> str:
    logits = part.logits(_batch(1), _batch(2, 4))
    require(logits.shape[0] == 2, f"logits: shape {tuple(logits.shape)}; expected (B, …)")
    require(bool(logits.isfinite().all()), "logits: not finite")
    return f"logits {tuple(logits.shape)}"


def its_losses_are_the_hinge(part: Any) -> str:
    """d = E[relu(1 − D(real))] + E[relu(1 + D(fake))], g = −E[D(fake)]; a gradient penalty may only add to d."""
    real, fake, condition = _batch(3), _batch(4), _batch(5, 4)
    expected = torch.relu(1 - part.logits(real, condition)).mean() + torch.relu(1 + part.logits(fake, condition)).mean()
    d, g = part.d_loss(real, fake, condition), part.g_loss(fake, condition)
    require(d.ndim == 0 and g.ndim == 0, "losses must be scalars")
    d, g, expected = d.detach(), g.detach(), expected.detach()
    require(float(d) >= float(expected) - 1e-4, f"d_loss is {float(d):.5g}; the hinge is {float(expected):.5g}")
    mean = -part.logits(fake, condition).mean().detach()
    require(bool(torch.isclose(g, mean, atol=1e-4)), f"g_loss is {float(g):.5g}; −E[D(fake)] is {float(mean):.5g}")
    return "d and g"


def the_fake_is_detached_for_d_and_not_for_g(part: Any) -> str:
    fake = _batch(6).requires_grad_()
    d = part.d_loss(_batch(7), fake, _batch(8, 4))
    (leak,) = torch.autograd.grad(d, fake, allow_unused=True)
    require(leak is None or float(leak.abs().max()) == 0.0, "d_loss has a gradient by the fake; detach it")
    (gradient,) = torch.autograd.grad(part.g_loss(fake, _batch(8, 4)), fake)
    require(bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 0, "g_loss has no gradient by the fake")
    return "gradients go where they should"


CHECKS: tuple[Check, ...] = (its_logits_are_finite, its_losses_are_the_hinge, the_fake_is_detached_for_d_and_not_for_g)
