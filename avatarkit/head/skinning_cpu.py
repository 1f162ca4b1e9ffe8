"""The CPU body of vertex blending: one pass over the vertices instead of a (T, V, 3, 4) tensor of blended transforms.

Positions come planar, (T, 3, V), as the matrix product over modes leaves them: all inner loops run over contiguous vertices
and vectorise (about 15 µs a frame; not worth a second thread).  The torch body in ``avatarkit.head.skinning`` is the reference (and the one for CUDA and float64).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

# No 'nnan'/'ninf': a diverged parameter must show up as a non-finite vertex.
FAST = {"contract", "nsz", "arcp", "reassoc"}


JOINTS = 5  # unrolled below: the products of five weights stay in registers, which is what makes this fast


@njit(fastmath=FAST, cache=True, nogil=True)
def affine_row(row: Any, x: Any, y: Any, z: Any, w: Any, out: Any) -> None:
    """out[v] = Σ_j w[j, v]·(row[j] · [x, y, z, 1]); row (J, 4), x y z out (V,), w (J, V)."""
    a0, a1, a2, a3, a4 = row[0, 0], row[1, 0], row[2, 0], row[3, 0], row[4, 0]
    b0, b1, b2, b3, b4 = row[0, 1], row[1, 1], row[2, 1], row[3, 1], row[4, 1]
    c0, c1, c2, c3, c4 = row[0, 2], row[1, 2], row[2, 2], row[3, 2], row[4, 2]
    d0, d1, d2, d3, d4 = row[0, 3], row[1, 3], row[2, 3], row[3, 3], row[4, 3]
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for v in range(len(out)):
        u0, u1, u2, u3, u4 = w0[v], w1[v], w2[v], w3[v], w4[v]
        out[v] = (
            (a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4) * x[v]
            + (b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3 + b4 * u4) * y[v]
            + (c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3 + c4 * u4) * z[v]
            + (d0 * u0 + d1 * u1 + d2 * u2 + d3 * u3 + d4 * u4)
        )


@njit(fastmath=FAST, cache=True, nogil=True)
def linear_column(column: Any, x: Any, y: Any, z: Any, w: Any, out: Any) -> None:
    """``affine_row`` without the constant; column (J, 3)."""
    a0, a1, a2, a3, a4 = column[0, 0], column[1, 0], column[2, 0], column[3, 0], column[4, 0]
    b0, b1, b2, b3, b4 = column[0, 1], column[1, 1], column[2, 1], column[3, 1], column[4, 1]
    c0, c1, c2, c3, c4 = column[0, 2], column[1, 2], column[2, 2], column[3, 2], column[4, 2]
    w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
    for v in range(len(out)):
        u0, u1, u2, u3, u4 = w0[v], w1[v], w2[v], w3[v], w4[v]
        out[v] = (
            (a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4) * x[v]
            + (b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3 + b4 * u4) * y[v]
            + (c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3 + c4 * u4) * z[v]
        )


@njit(fastmath=FAST, cache=True, nogil=True)
def weighted_moments(g: Any, x: Any, y: Any, z: Any, w: Any, out: Any) -> None:
    """out = Σ_v w[v]·g[v]·[x, y, z, 1]; out (4,)."""
    sx, sy, sz, s1 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for v in range(len(g)):
        s = g[v] * w[v]
        sx += s * x[v]
        sy += s * y[v]
        sz += s * z[v]
        s1 += s
    out[0], out[1], out[2], out[3] = sx, sy, sz, s1


@njit(fastmath=FAST, cache=True, nogil=True)
def blend_forward(planar: Any, transforms: Any, weights: Any, out: Any) -> None:
    """planar (T, 3, V), transforms (T, J, 3, 4), weights (J, V) → out (T, V, 3)."""
    steps, _, vertices = planar.shape
    for step in range(steps):
        placed = np.empty((3, vertices), np.float32)
        p = planar[step]
        for axis in range(3):
            affine_row(transforms[step, :, axis], p[0], p[1], p[2], weights, placed[axis])
        for v in range(vertices):
            out[step, v, 0] = placed[0, v]
            out[step, v, 1] = placed[1, v]
            out[step, v, 2] = placed[2, v]


@njit(fastmath=FAST, cache=True, nogil=True)
def blend_backward(gradient: Any, planar: Any, transforms: Any, weights: Any, d_planar: Any, d_transforms: Any) -> None:
    """gradient (T, V, 3) → d_planar (T, 3, V), d_transforms (T, J, 3, 4)."""
    steps, _, vertices = planar.shape
    for step in range(steps):
        g = np.empty((3, vertices), np.float32)
        for v in range(vertices):
            g[0, v] = gradient[step, v, 0]
            g[1, v] = gradient[step, v, 1]
            g[2, v] = gradient[step, v, 2]
        p = planar[step]
        for axis in range(3):
            linear_column(transforms[step, :, :, axis], g[0], g[1], g[2], weights, d_planar[step, axis])
        for joint in range(weights.shape[0]):
            for row in range(3):
                weighted_moments(g[row], p[0], p[1], p[2], weights[joint], d_transforms[step, joint, row])


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
