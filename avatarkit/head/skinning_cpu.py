"""The CPU body of vertex blending: one pass over the vertices instead of a (T, V, 3, 4) tensor of blended transforms.

Positions come planar, (T, 3, V), as the matrix product over modes leaves them: all inner loops run over contiguous vertices
and vectorise.  The torch body in ``avatarkit.head.skinning`` is the reference (and the one for CUDA and float64).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

# No 'nnan'/'ninf': a diverged parameter must show up as a non-finite vertex.
FAST = {"contract", "nsz", "arcp", "reassoc"}


@njit(fastmath=FAST, cache=True, parallel=True, nogil=True)
def blend_forward(planar: Any, transforms: Any, weights: Any, out: Any) -> None:
    """planar (T, 3, V), transforms (T, J, 3, 4), weights (J, V) → out (T, V, 3)."""
    steps, _, vertices = planar.shape
    joints = weights.shape[0]
    block = 512  # keeps the block's blended matrices (24 kB) in the first-level cache
    blocks = (vertices + block - 1) // block
    for task in prange(steps * blocks):
        step, start = task // blocks, (task % blocks) * block
        count = min(block, vertices - start)
        blended = np.zeros((12, block), np.float32)
        for joint in range(joints):
            for entry in range(12):
                value = transforms[step, joint, entry // 4, entry % 4]
                for v in range(count):
                    blended[entry, v] += value * weights[joint, start + v]
        for axis in range(3):
            for v in range(count):
                out[step, start + v, axis] = (
                    blended[4 * axis, v] * planar[step, 0, start + v]
                    + blended[4 * axis + 1, v] * planar[step, 1, start + v]
                    + blended[4 * axis + 2, v] * planar[step, 2, start + v]
                    + blended[4 * axis + 3, v]
                )


@njit(fastmath=FAST, cache=True, parallel=True, nogil=True)
def blend_backward(gradient: Any, planar: Any, transforms: Any, weights: Any, d_planar: Any, d_transforms: Any) -> None:
    """gradient (T, V, 3) → d_planar (T, 3, V), d_transforms (T, J, 3, 4).  One thread owns a timestep: same bits always."""
    steps, _, vertices = planar.shape
    joints = weights.shape[0]
    block = 512
    for step in prange(steps):
        g = np.empty((3, block), np.float32)
        turn = np.empty(block, np.float32)
        d_transforms[step] = 0.0
        for start in range(0, vertices, block):
            count = min(block, vertices - start)
            for axis in range(3):
                for v in range(count):
                    g[axis, v] = gradient[step, start + v, axis]
            for column in range(3):
                for v in range(count):
                    d_planar[step, column, start + v] = 0.0
                for row in range(3):
                    for v in range(count):
                        turn[v] = 0.0
                    for joint in range(joints):
                        value = transforms[step, joint, row, column]
                        for v in range(count):
                            turn[v] += value * weights[joint, start + v]
                    for v in range(count):
                        d_planar[step, column, start + v] += turn[v] * g[row, v]
            for joint in range(joints):
                for row in range(3):
                    x, y, z, one = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for v in range(count):
                        scaled = weights[joint, start + v] * g[row, v]
                        x += scaled * planar[step, 0, start + v]
                        y += scaled * planar[step, 1, start + v]
                        z += scaled * planar[step, 2, start + v]
                        one += scaled
                    d_transforms[step, joint, row, 0] += x
                    d_transforms[step, joint, row, 1] += y
                    d_transforms[step, joint, row, 2] += z
                    d_transforms[step, joint, row, 3] += one


class BlendVertices(torch.autograd.Function):
    """``blend_vertices`` for float32 CPU tensors."""

    @staticmethod
    def forward(ctx: Any, planar: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
        planar, transforms = planar.contiguous(), transforms.contiguous()
        out = torch.empty(planar.shape[0], planar.shape[2], 3)
        blend_forward(planar.detach().numpy(), transforms.detach().numpy(), weights.numpy(), out.numpy())
        ctx.save_for_backward(planar, transforms, weights)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        planar, transforms, weights = ctx.saved_tensors
        d_planar, d_transforms = torch.empty_like(planar), torch.empty_like(transforms)
        blend_backward(
            gradient.contiguous().numpy(), planar.detach().numpy(), transforms.detach().numpy(), weights.numpy(),
            d_planar.numpy(), d_transforms.numpy(),
        )  # fmt: skip
        return d_planar, d_transforms, None
