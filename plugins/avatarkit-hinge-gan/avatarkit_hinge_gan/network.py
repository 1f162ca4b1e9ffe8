"""A small convolutional net whose layers have spectral norm one (Miyato et al., ICLR 2018)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky rectifier


class SpectralConv2d(nn.Conv2d):
    """A convolution whose kernel, as a (C_out, C_in·k·k) matrix, is divided by its largest singular value.

    torch's own ``spectral_norm`` improves an estimate with each forward pass, so that two calls with the same input differ: the
    losses would not be those of ``logits``.  These matrices are small enough for the value itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight / spectral_norm(self.weight), self.bias)


def spectral_norm(kernel: Tensor) -> Tensor:
    """The largest singular value of a (C_out, C_in, k, k) kernel as a matrix; a scalar."""
    rows = kernel.flatten(1)
    return torch.linalg.eigvalsh(rows @ rows.T)[-1].clamp(min=1e-12).sqrt()


def patch_network(inputs: int, channels: int, layers: int) -> nn.Sequential:
    """(P, inputs, h, w) → (P, 1, h', w'): one logit for each place (Isola et al., CVPR 2017)."""
    widths = [inputs, *(channels << k for k in range(layers + 1))]
    body: list[nn.Module] = []
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        body += [
            SpectralConv2d(before, after, 4, stride=2 if k < layers else 1, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
    return nn.Sequential(*body, SpectralConv2d(widths[-1], 1, 4, padding=1))


def receptive_field(layers: int) -> int:
    """Pixels of the square that one logit sees."""
    pixels = 7  # the last two convolutions: 4, and 3 more
    for _ in range(layers):
        pixels = 2 * pixels + 2
    return pixels


def smallest_side(layers: int) -> int:
    """Pixels of the smallest picture that gives a logit."""
    return 3 << layers
