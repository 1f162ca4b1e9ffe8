"""A discriminator.  It begins as three convolutions over patches: put your network in its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mine(nn.Module):
    """``avatarkit.contracts.Discriminator`` with the hinge losses of Lim and Ye, Geometric GAN, 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(7, 32, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, 3, padding=1),
        )

    def logits(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, 3, H, W), condition (B, 4, H, W) → (B, 1, H/4, W/4), one logit per patch."""
        scores: Tensor = self.layers(torch.cat([x, condition], 1))
        return scores

    def d_loss(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """E[relu(1 − D(real))] + E[relu(1 + D(fake))]; the fake is detached."""
        on_real, on_fake = self.logits(real, condition), self.logits(fake.detach(), condition)
        return torch.relu(1 - on_real).mean() + torch.relu(1 + on_fake).mean()

    def g_loss(self, fake: Tensor, condition: Tensor) -> Tensor:
        """−E[D(fake)]."""
        return -self.logits(fake, condition).mean()
