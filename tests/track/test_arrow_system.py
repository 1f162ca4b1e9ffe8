"""The banded solver against a dense one."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.track.arrow_system import ArrowSystem, smoothness_side


@pytest.mark.parametrize(("steps", "width", "shared"), [(7, 4, 3), (2, 3, 2), (1, 5, 2), (9, 2, 0)])
def test_solution_is_that_of_the_dense_matrix(steps: int, width: int, shared: int) -> None:
    rng = np.random.default_rng(steps)
    rows = rng.normal(size=(steps, 12, width + shared))
    frame, common = rows[..., :width], rows[..., width:]
    blocks = frame.transpose(0, 2, 1) @ frame + 0.1 * np.eye(width)
    border = frame.transpose(0, 2, 1) @ common
    corner = np.einsum("tra,trb->ab", common, common) + 0.1 * np.eye(shared)
    first, second = rng.uniform(0.1, 2, (max(steps - 1, 0), width)), rng.uniform(0.1, 2, (max(steps - 2, 0), width))
    side, common_side = rng.normal(size=(steps, width)), rng.normal(size=shared)
    dense = np.zeros((steps * width + shared,) * 2)
    for t in range(steps):
        at = slice(t * width, (t + 1) * width)
        dense[at, at] += blocks[t]
        dense[at, steps * width :] = border[t]
        dense[steps * width :, at] = border[t].T
    dense[steps * width :, steps * width :] = corner
    for order, weight in ((1, first), (2, second)):
        taps = {1: [-1, 1], 2: [1, -2, 1]}[order]
        for t in range(len(weight)):
            for p in range(width):
                stencil = np.zeros(len(dense))
                for k, tap in enumerate(taps):
                    stencil[(t + k) * width + p] = tap
                dense += weight[t, p] * np.outer(stencil, stencil)
    wanted = np.linalg.solve(dense, np.concatenate([side.ravel(), common_side]))
    update, together = ArrowSystem(blocks, border, corner, side, common_side).solve(first, second, 0.0)
    np.testing.assert_allclose(np.concatenate([update.ravel(), together]), wanted, atol=1e-9)


def test_smoothness_side_is_minus_the_gradient_of_its_value() -> None:
    rng = np.random.default_rng(3)
    frames, first, second = rng.normal(size=(6, 2)), rng.uniform(0.5, 2, (5, 2)), rng.uniform(0.5, 2, (4, 2))
    side, _ = smoothness_side(frames, first, second)
    for t in range(6):
        for p in range(2):
            unit = np.zeros((6, 2))
            unit[t, p] = 1e-6
            slope = (
                smoothness_side(frames + unit, first, second)[1] - smoothness_side(frames - unit, first, second)[1]
            ) / 2e-6
            assert abs(slope + side[t, p]) < 1e-6
