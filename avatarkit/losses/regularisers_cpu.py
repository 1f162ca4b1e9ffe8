"""The losses of ``regularisers``, each in one Numba pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.render.compiled import exact_kernel
from avatarkit.render.sh import Y00

_f = np.float32
_ZERO = _f(0.0)


def hinge_cpu(value: Any, shown: Any, threshold: float, of_scales: bool, gradient: Any) -> float:
    """Loss of (N, 3) float32 ``value`` under (N,) bool ``shown``; fills ``gradient`` (N, 3)."""
    count = max(1, int(np.count_nonzero(shown)))
    limit = np.log(threshold) if of_scales and threshold > 0 else -np.inf
    return float(_hinge(value, shown, _f(threshold), _f(limit), of_scales, _f(1.0 / count), gradient)) / count


def colour_cpu(sh: Any, binding: Any, colours: Any, gradient: Any) -> float:
    """Loss of (N, K, 3) float32 ``sh`` bound by (N,) int32; fills ``gradient`` like ``sh``.  colours (F, 3) float32."""
    return float(_colour(sh, binding, colours, _f(Y00), gradient))


@exact_kernel
def _colour(sh, binding, colours, y00, gradient):  # type: ignore[no-untyped-def]
    total = 0.0
    for n in range(sh.shape[0]):
        gradient[n] = _ZERO
        triangle = binding[n]
        if triangle < 0:
            continue
        for c in range(3):
            away = y00 * sh[n, 0, c] + _f(0.5) - colours[triangle, c]
            gradient[n, 0, c] = y00 * away
            total += np.float64(away * away)
    return 0.5 * total


@exact_kernel
def _hinge(value, shown, threshold, limit, of_scales, per, gradient):  # type: ignore[no-untyped-def]
    total = 0.0
    for n in range(value.shape[0]):
        gradient[n, 0], gradient[n, 1], gradient[n, 2] = _ZERO, _ZERO, _ZERO
        if not shown[n]:
            continue
        x, y, z = value[n, 0], value[n, 1], value[n, 2]
        if of_scales:
            if x <= limit and y <= limit and z <= limit:  # most: no exponential needed
                continue
            a, b, c = np.exp(x), np.exp(y), np.exp(z)
            u, v, w = max(a - threshold, _ZERO), max(b - threshold, _ZERO), max(c - threshold, _ZERO)
            norm = np.sqrt(u * u + v * v + w * w)
            if norm == _ZERO:
                continue
            factor = per / norm
            gradient[n, 0], gradient[n, 1], gradient[n, 2] = factor * u * a, factor * v * b, factor * w * c
            total += np.float64(norm)
        else:
            norm = np.sqrt(x * x + y * y + z * z)
            if norm <= threshold:
                continue
            factor = per / norm
            gradient[n, 0], gradient[n, 1], gradient[n, 2] = factor * x, factor * y, factor * z
            total += np.float64(norm - threshold)
    return total
