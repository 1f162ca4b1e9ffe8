"""What holds an edit to the state before it (paper, equation 13):

    L_gs = Σ_j Σ_{i ∈ p,t,c} λ_i ‖G_i(x_j) − G_i⁰(x_j)‖²,   p local mean, t rotation and log-scale, c colour and opacity,

in the coordinates of the frames that carry the Gaussians; λ is ``anchor_outside`` times larger outside the region.  A child of a
split is held to its ancestor's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.edit.config import EditConfig
from avatarkit.gaussians.gaussians import Gaussians

CENTIMETRE = 100.0  # free Gaussians have metres; a triangle is some 3 mm


@dataclass(frozen=True)
class Anchor:
    """The state before an edit, row by row of the present table: its tensors, and how strongly each row is held (N,)."""

    means: Tensor
    quats: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    sh: Tensor
    strength: Tensor
    unit: Tensor

    @classmethod
    def of(cls, gaussians: Gaussians, weights: Tensor, config: EditConfig) -> Anchor:
        """weights (N,): membership of the region."""
        plain = gaussians.detach()
        strength = 1.0 + (config.anchor_outside - 1.0) * (1.0 - weights)
        unit = torch.where(plain.free, torch.tensor(CENTIMETRE), torch.tensor(1.0))
        quats = torch.nn.functional.normalize(plain.quats, dim=1)
        return cls(plain.means, quats, plain.log_scales, plain.opacity_logits, plain.sh, strength, unit)

    def select(self, source: Tensor) -> Anchor:
        """After a change of the table: row i came from ``source[i]``."""
        return Anchor(**{name: value[source] for name, value in vars(self).items()})

    def loss(self, gaussians: Gaussians, config: EditConfig) -> Tensor:
        """L_gs over the number of Gaussians; differentiable in ``gaussians``."""
        position = ((gaussians.means - self.means) * self.unit[:, None]).square().sum(1)
        quats = torch.nn.functional.normalize(gaussians.quats, dim=1)
        turn = 2.0 * (1.0 - (quats * self.quats).sum(1).abs()).clamp(min=0.0)  # ‖q − q⁰‖² for the nearer sign
        shape = turn + (gaussians.log_scales - self.log_scales).square().sum(1)
        opacity = (gaussians.opacity_logits.sigmoid() - self.opacity_logits.sigmoid()).square()
        colour = (gaussians.sh - self.sh).square().sum((1, 2)) + opacity
        held = config.anchor_position * position + config.anchor_shape * shape + config.anchor_colour * colour
        return (self.strength * held).mean()
