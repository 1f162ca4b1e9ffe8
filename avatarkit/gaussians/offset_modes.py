"""Offsets of vertices over time as a few modes and their weights, as tracking finds them (``track.soft_modes``).

A clip of seven seconds has thirteen megabytes of offsets; its modes have less than one.  The modes are timesteps of the clip itself, the ones
that the others are furthest from, so they come back from a file as they went in, and what is read and written again stays the same; the first time offsets are rounded by some ten nanometres.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 24  # modes
SAME = 4e-6  # of the largest offset: how far the product may be from what it stands for
STEP = 2.0**-20  # of weights: coarser than what the product's rounding does to them, so reading and writing moves none


def factored(offsets: Tensor) -> tuple[Tensor, Tensor] | None:
    """``offsets`` (T, V, 3) metres as modes (K, V, 3) and weights (T, K), float32: K of the timesteps, whose own weights are one.

    None where more than MOST modes are needed for a product that is the same to four millionths of the largest offset, where nothing is
    saved by it, and for what is not finite or zero everywhere.
    """
    if offsets.ndim != 3 or not offsets.numel() or not bool(torch.isfinite(offsets).all()):
        return None
    flat = offsets.detach().double().flatten(1)
    largest = float(flat.abs().max())
    picked = _furthest(flat, 0.25 * SAME * largest)
    if picked is None or (len(picked) * sum(flat.shape) >= flat.numel()):
        return None
    modes = flat[picked]
    weight = torch.linalg.lstsq(modes.T, flat.T).solution.T
    weight = STEP * (weight / STEP).round()
    weight[picked] = torch.eye(len(picked), dtype=weight.dtype)
    if float((_flat(modes, weight).double() - flat).abs().max()) > SAME * largest:
        return None
    return offsets.detach()[picked].float().clone(), weight.float()


def product(modes: Tensor, weights: Tensor) -> Tensor:
    """Modes (K, V, 3) and weights (T, K) → offsets (T, V, 3) float32."""
    return _flat(modes.double().flatten(1), weights).reshape(len(weights), *modes.shape[1:])


def _flat(modes: Tensor, weights: Tensor) -> Tensor:
    return (weights.double() @ modes).float()


def _furthest(flat: Tensor, least: float) -> list[int] | None:
    """Rows of ``flat`` (T, N), each the furthest from the span of those before it, until none is off it by ``least`` anywhere."""
    left, picked = flat.clone(), list[int]()
    while bool((left.abs() > least).any()):
        if len(picked) == MOST:
            return None
        row = int((left**2).sum(1).argmax())
        axis = left[row] / left[row].norm()
        picked.append(row)
        for _ in range(2):  # twice, so that rounding leaves nothing along the axis
            left -= torch.outer(left @ axis, axis)
    return picked or None


__all__ = ["factored", "product"]
