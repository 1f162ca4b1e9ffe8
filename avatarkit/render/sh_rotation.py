"""Spherical harmonics in a turned frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatarkit.render.sh import sh_basis

SAMPLES = 64  # directions; far more than the 25 coefficients of degree 4
CHUNK = 8192


def rotated_sh(sh: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients (N, K, 3) of the functions ``sh`` turned by ``rotation`` (N, 3, 3): f'(d) = f(Rᵀd); dtype of ``sh``.

    Each band is closed under rotation, so values at more directions than there are coefficients give the new ones exactly
    (Green, "Spherical Harmonic Lighting", 2003): c' = Y(D)⁺ · Y(D·R) · c, in float64.
    """
    degree = round(sh.shape[1] ** 0.5) - 1
    if degree == 0:
        return sh.clone()
    directions = _sphere()
    inverse = torch.linalg.pinv(sh_basis(directions, degree))
    parts = []
    for begin in range(0, len(sh), CHUNK):
        part, turn = sh[begin : begin + CHUNK].double(), rotation[begin : begin + CHUNK].double()
        values = sh_basis(directions @ turn, degree) @ part
        parts.append((inverse @ values).to(sh))
    turned = torch.cat(parts) if parts else sh.clone()
    turned[:, 0] = sh[:, 0]  # has no direction: the same bits
    return turned


def _sphere() -> Tensor:
    """(SAMPLES, 3) unit directions, evenly spread (a Fibonacci lattice)."""
    k = torch.arange(SAMPLES, dtype=torch.float64) + 0.5
    z = 1.0 - 2.0 * k / SAMPLES
    angle = k * math.pi * (3.0 - math.sqrt(5.0))
    radius = (1.0 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], 1)
