"""Normal equations of a clip: a band in time, bordered by what all timesteps share (an arrow matrix).

    [ A  B ] [frames]   [a]      A (T·P, T·P): blocks on the diagonal, smoothness in time beside it
    [ Bᵀ C ] [shared] = [b]      B (T·P, M), C (M, M)

Solved exactly by a banded Cholesky factor of A and the Schur complement C − Bᵀ A⁻¹ B (bundle adjustment's trick, Triggs et
al. 2000, section 6), in time linear in T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.types import FloatArray


@dataclass
class ArrowSystem:
    """blocks (T, P, P): A's diagonal; border (T, P, M): B; corner (M, M): C; right sides (T, P) and (M,)."""

    blocks: FloatArray
    border: FloatArray
    corner: FloatArray
    frames_side: FloatArray
    shared_side: FloatArray

    def solve(self, first: FloatArray, second: FloatArray, damping: float) -> tuple[FloatArray, FloatArray]:
        """Add smoothness and damping, and solve.

        first (T − 1, P), second (T − 2, P): inverse variances of x[t+1] − x[t] and x[t+2] − 2x[t+1] + x[t].  Their right
        sides belong into ``frames_side`` already.  Returns updates (T, P) and (M,).
        """
        from scipy.linalg import cho_solve_banded, cholesky_banded, solve

        steps, width = self.frames_side.shape
        band = banded(self.blocks, first, second)
        band[0] *= 1.0 + damping
        factor = cholesky_banded(band, lower=True, overwrite_ab=True, check_finite=False)
        shared = self.corner.shape[0]
        sides = np.concatenate([self.frames_side.reshape(-1, 1), self.border.reshape(steps * width, shared)], 1)
        solved = cho_solve_banded((factor, True), sides, overwrite_b=False, check_finite=False)
        inner, through = solved[:, 0], solved[:, 1:]
        if not shared:
            return inner.reshape(steps, width), np.zeros(0)
        border = self.border.reshape(steps * width, shared)
        schur = self.corner + damping * np.diag(np.diag(self.corner)) - border.T @ through
        update = solve(schur, self.shared_side - border.T @ inner, assume_a="pos", check_finite=False)
        return (inner - through @ update).reshape(steps, width), update


def banded(blocks: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Lower banded form (2P + 1, T·P) of block-diagonal ``blocks`` (T, P, P) plus difference penalties (T − 1, P), (T − 2, P)."""
    steps, width = blocks.shape[:2]
    band = np.zeros((2 * width + 1, steps * width))
    view = band.reshape(2 * width + 1, steps, width)
    for below in range(width):
        view[below, :, : width - below] = np.diagonal(blocks, -below, 1, 2)
    view[0, :-1] += first
    view[0, 1:] += first
    view[width, :-1] -= first
    if steps > 2:
        view[0, :-2] += second
        view[0, 1:-1] += 4 * second
        view[0, 2:] += second
        view[width, :-2] -= 2 * second
        view[width, 1:-1] -= 2 * second
        view[2 * width, :-2] += second
    return band


def smoothness_side(frames: FloatArray, first: FloatArray, second: FloatArray) -> tuple[FloatArray, float]:
    """−gradient (T, P) and value of ½ Σ first·(x[t+1] − x[t])² + ½ Σ second·(x[t+2] − 2x[t+1] + x[t])²."""
    side = np.zeros_like(frames)
    speed = first * np.diff(frames, axis=0)
    side[:-1] += speed
    side[1:] -= speed
    value = 0.5 * float((speed * np.diff(frames, axis=0)).sum())
    if len(frames) > 2:
        bend = np.diff(frames, n=2, axis=0)
        force = second * bend
        side[:-2] -= force
        side[1:-1] += 2 * force
        side[2:] -= force
        value += 0.5 * float((force * bend).sum())
    return side, value
