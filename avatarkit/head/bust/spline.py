"""A smooth surface through the control cage: bicubic B-spline with sharpened control points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A cubic B-spline shrinks its control polygon; this share of the shrinkage is given back.  At 1 the surface would
# interpolate to first order and ripple between unevenly spaced rows; at 0 nose and lips lose a millimetre or two.
SHARPEN = 0.8


def _mirror(points: Array) -> Array:
    return points * np.array([-1.0, 1.0, 1.0])


def _padded(cage: Array) -> Array:
    """The half cage with two ghost columns and rows on each side: mirrored at the midline, continued over the crown."""
    columns = np.concatenate([_mirror(cage[:, [2, 1]]), cage, _mirror(cage[:, [-2, -3]])], axis=1)
    # Over the crown a meridian goes on down the opposite side: column c becomes the mirrored column 12 − c.
    opposite = _mirror(columns[:, ::-1])
    below = 2 * columns[-1:] - columns[-2:-1]
    further = 2 * below - columns[-1:]
    return np.concatenate([opposite[[2, 1]], columns, below, further], axis=0)


def _sharpened(padded: Array, axis: int) -> Array:
    smooth = (np.roll(padded, 1, axis) + 4 * padded + np.roll(padded, -1, axis)) / 6
    sharp = padded + SHARPEN * (padded - smooth)
    ends = [slice(None)] * padded.ndim
    for end in (0, -1):
        ends[axis] = slice(end, end + 1 or None)
        sharp[tuple(ends)] = padded[tuple(ends)]
    return sharp


def _weights(fraction: Array) -> Array:
    f = fraction
    return np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], -1) / 6


class CageSurface:
    """(u, v) → millimetres; u in [0, 12] along the columns, v in [0, 29] down the rows."""

    def __init__(self, cage: Array, finish: Callable[[Array], Array] | None = None) -> None:
        """cage (rows, columns, 3); ``finish`` adds fine forms to points of the surface, (N, 3) → (N, 3)."""
        self.rows, self.columns = cage.shape[:2]
        self.finish = finish
        self.control = _sharpened(_sharpened(_padded(cage), 0), 1)

    def __call__(self, uv: Array) -> Array:
        """(..., 2) → (..., 3)."""
        u = np.clip(uv[..., 0], 0, self.columns - 1)
        v = np.clip(uv[..., 1], 0, self.rows - 1)
        column = np.minimum(np.floor(u).astype(int), self.columns - 2)
        row = np.minimum(np.floor(v).astype(int), self.rows - 2)
        across, down = _weights(u - column), _weights(v - row)
        total = np.zeros((*u.shape, 3))
        for a in range(4):
            for b in range(4):
                total += (down[..., a] * across[..., b])[..., None] * self.control[row + a + 1, column + b + 1]
        return total if self.finish is None else self.finish(total.reshape(-1, 3)).reshape(total.shape)

    def locate(self, xy: Array, start: Array, steps: int = 12) -> Array:
        """uv whose point has the given x and y (front view), by Newton from ``start``; (..., 2) → (..., 2)."""
        uv = np.array(start, dtype=float)
        small = 1e-4
        for _ in range(steps):
            here = self(uv)[..., :2]
            du = (self(uv + np.array([small, 0.0]))[..., :2] - here) / small
            dv = (self(uv + np.array([0.0, small]))[..., :2] - here) / small
            miss = xy - here
            det = du[..., 0] * dv[..., 1] - du[..., 1] * dv[..., 0]
            step_u = (miss[..., 0] * dv[..., 1] - miss[..., 1] * dv[..., 0]) / det
            step_v = (du[..., 0] * miss[..., 1] - du[..., 1] * miss[..., 0]) / det
            uv += np.clip(np.stack([step_u, step_v], -1), -0.5, 0.5)
        return uv
