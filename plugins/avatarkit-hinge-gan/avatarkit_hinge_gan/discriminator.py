"""``avatarkit.contracts.Discriminator``: tells accepted keyframes from renders, patch by patch, given what was to be edited."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avatarkit.errors import InputError
from avatarkit_hinge_gan.drawing import AUGMENTATIONS, Draw, draw_patches
from avatarkit_hinge_gan.network import patch_network, receptive_field, smallest_side
from avatarkit_hinge_gan.options import HingeGanConfig

LIMITS = {
    "channels": (4, 256),
    "layers": (1, 4),
    "patch": (16, 1024),
    "patches": (1, 256),
    "r1": (0.0, 1e6),
    "learning_rate": (1e-8, 1.0),
}


class HingeDiscriminator(nn.Module):
    """D of the hinge GAN (the paper's equations 14 and 15), conditioned on the view before the edit and the region.

    It is a function of its weights and of a *draw*: which patches of the views it sees, and how they are augmented.  ``attend``
    begins a step: the next of ``logits``, ``d_loss`` and ``g_loss`` draws, and all three keep to that draw until ``attend`` is
    called again, so that real and fake are compared in the same places, and the losses are exactly those of ``logits``.  Without
    ``attend``, and in evaluation (``eval()``), D sees whole views as they are.

    learning_rate and betas: for the optimiser that the core makes (Adam; no first moment, as is usual with spectral norm).
    receptive_field: pixels of the square that one logit sees.
    """

    betas = (0.0, 0.9)

    def __init__(self, config: HingeGanConfig | None = None) -> None:
        """Raises InputError for an option out of bounds."""
        super().__init__()
        self.config = config = config or HingeGanConfig()
        _check_options(config)
        self.learning_rate = config.learning_rate
        self.receptive_field = receptive_field(config.layers)
        with torch.random.fork_rng(devices=[]):  # first weights by our seed, and nobody else's random numbers change
            torch.manual_seed(config.seed)
            self.network = patch_network(7, config.channels, config.layers)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._attending = False
        self._focus: Tensor | None = None
        self._draw: Draw | None = None

    def attend(self, focus: Tensor | None) -> None:
        """Begin a step: draw new patches for the losses that follow.

        focus: (B, 1, H, W) weights ≥ 0 of where half of each view's patches should have their centre (eyes and mouth), for the
        batch of those losses; None: nowhere in particular.  The other half falls on the region and around it.
        """
        self._attending, self._focus, self._draw = True, focus, None

    def logits(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, 3, H, W) in [0, 1], condition (B, 4, H, W) → (B, n, h, w): n patches of each view, h×w logits of each.

        Raises InputError for shapes that do not fit, and views that are too small for a single logit.
        """
        seen = self._seen(x, condition)
        return self._by_view(self.network(seen), len(x))

    def d_loss(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """E[relu(1 − D(real))] + E[relu(1 + D(fake))] (equation 14), and the R1 penalty where ``r1`` is not 0."""
        seen = self._seen(real.detach(), condition)
        if self.config.r1:
            seen.requires_grad_()
        both = self.network(torch.cat([seen, self._seen(fake.detach(), condition)]))
        of_real, of_fake = both.split(len(seen))
        loss = torch.relu(1 - of_real).mean() + torch.relu(1 + of_fake).mean()
        return loss + self.config.r1 * _penalty(of_real, seen) if self.config.r1 else loss

    def g_loss(self, fake: Tensor, condition: Tensor) -> Tensor:
        """−E[D(fake)] (equation 15).  Leaves no gradient in D's own weights."""
        fixed = {name: value.detach() for name, value in self.network.named_parameters()}
        return -torch.func.functional_call(self.network, fixed, (self._seen(fake, condition),)).mean()

    def _seen(self, x: Tensor, condition: Tensor) -> Tensor:
        """(P, 7, h, w) in [−1, 1]: what the net is given of each patch, or of each whole view."""
        smallest = smallest_side(self.config.layers)
        if x.ndim != 4 or x.shape[1] != 3 or condition.shape != (len(x), 4, *x.shape[2:]):
            raise InputError(
                f"hinge-gan: views {tuple(x.shape)} and condition {tuple(condition.shape)}; expected (B, 3, H, W) and (B, 4, H, W)"
            )
        if min(x.shape[2:]) < smallest:
            raise InputError(
                f"hinge-gan: views of {x.shape[3]}×{x.shape[2]} pixels are too small; render at least {smallest}×{smallest}, or "
                "lower the option 'layers'"
            )
        draw = self._draw_for(condition)
        return torch.cat([x, condition.to(x)], 1) * 2 - 1 if draw is None else draw.apply(x, condition)

    def _draw_for(self, condition: Tensor) -> Draw | None:
        """The draw of this step; made when the first of its losses asks.  None: whole views."""
        if not (self.training and self._attending):
            return None
        views, _, height, width = condition.shape
        if self._draw is None or self._draw.shape != (views, height, width):
            config = self.config
            region = condition[:, 3].detach().float().cpu().clamp(min=0)
            focus = None if self._focus is None else _checked_focus(self._focus, condition)
            self._draw = draw_patches(region, focus, config.patch, config.patches, config.augment, self._generator)
        return self._draw

    @staticmethod
    def _by_view(found: Tensor, views: int) -> Tensor:
        return found.reshape(views, -1, *found.shape[2:])


def _penalty(logits: Tensor, seen: Tensor) -> Tensor:
    """½·E‖∂D/∂x‖² over real patches x in [0, 1], D the mean of a patch's logits (Mescheder et al., ICML 2018, equation 9)."""
    of_patches = logits.mean((1, 2, 3)).sum()
    (gradient,) = torch.autograd.grad(of_patches, seen, create_graph=True)
    by_picture = 2 * gradient[:, :3]  # seen = 2x − 1
    return 0.5 * by_picture.square().sum((1, 2, 3)).mean()


def _checked_focus(focus: Tensor, condition: Tensor) -> Tensor:
    """(B, H, W) on the CPU.  Raises InputError."""
    views, _, height, width = condition.shape
    if focus.shape != (views, 1, height, width):
        raise InputError(f"hinge-gan: a focus of {tuple(focus.shape)}; expected {(views, 1, height, width)}")
    found = focus[:, 0].detach().float().cpu()
    if not bool(found.isfinite().all()) or float(found.min()) < 0:
        raise InputError("hinge-gan: a focus with negative or infinite weights; expected finite weights ≥ 0")
    return found


def _check_options(config: HingeGanConfig) -> None:
    for name, (low, high) in LIMITS.items():
        value = getattr(config, name)
        if not low <= value <= high or not math.isfinite(value):
            raise InputError(f"option '{name}' of 'hinge-gan' is {value:g}; expected {low:g} to {high:g}")
    if config.patch < smallest_side(config.layers):
        raise InputError(
            f"option 'patch' of 'hinge-gan' is {config.patch}; expected at least {smallest_side(config.layers)} with {config.layers} "
            "'layers'"
        )
    for word in config.augment:
        if word not in AUGMENTATIONS:
            raise InputError(f"option 'augment' of 'hinge-gan' has '{word}'; expected {', '.join(AUGMENTATIONS)}")
