"""Lips and the inside of the mouth: chains of points from the midline of the upper lip round the corner to the lower lip's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MouthShape:
    """Millimetres.  corner: half width and height of the corners, line: height of the lips' line at the midline."""

    corner_x: float = 25.8
    corner_y: float = -44.2
    corner_z: float = 66.5
    line_y: float = -45.6
    line_z: float = 76.4
    upper_height: float = 7.6
    lower_height: float = 9.2
    upper_out: float = 2.4
    lower_out: float = 2.6


MOUTH = MouthShape()
LINE_SHARE = 0.94  # the lips' line ends a millimetre inside the corners of the red
GAP = 0.12  # mm between the closed lips' lines, so that they never cross


def _line_y(m: MouthShape, t: Array) -> Array:
    """Height of the lips' line; t = x / corner.  A soft bow: down in the middle, up beside it, down to the corner."""
    return (
        m.line_y
        + (m.corner_y - m.line_y) * t**2
        + 0.45 * np.sin(np.pi * np.clip(t, 0, 1)) ** 2
        - 0.45 * np.exp(-((t / 0.16) ** 2))
    )


def _line_z(m: MouthShape, t: Array) -> Array:
    return m.line_z + (m.corner_z - m.line_z) * t**2.2


def upper_border(m: MouthShape, t: Array) -> Array:
    """(..., 2) x, y of the upper border of the red, with Cupid's bow."""
    arc = np.clip(1 - t, 0, 1) ** 0.85 * (1 + 0.55 * t)
    bow = 0.9 * np.exp(-(((t - 0.22) / 0.13) ** 2)) - 0.9 * np.exp(-((t / 0.12) ** 2))
    return np.stack([m.corner_x * t, _line_y(m, t) + m.upper_height * arc + bow * (1 - t)], -1)


def lower_border(m: MouthShape, t: Array) -> Array:
    """(..., 2) x, y of the lower border of the red."""
    arc = (1 - np.clip(t, 0, 1) ** 2.1) ** 0.9
    return np.stack([m.corner_x * t, _line_y(m, t) - m.lower_height * arc], -1)


def line(m: MouthShape, t: Array, upper: bool) -> Array:
    """(..., 3) where the lips touch."""
    shift = GAP / 2 * (1 if upper else -1) * (1 - t**6)
    return np.stack([LINE_SHARE * m.corner_x * t, _line_y(m, t) + shift, _line_z(m, t)], -1)


def red(m: MouthShape, border: Array, touch: Array, share: float, upper: bool, t: Array) -> Array:
    """(..., 3) a point of the red, ``share`` of the way from the border to the line, rounded outwards."""
    straight = border + share * (touch - border)
    plump = (m.upper_out if upper else m.lower_out) * (1 - t**3) + 0.4
    straight[..., 2] += plump * np.sin(np.pi * share ** (0.85 if upper else 0.75))
    # the red rolls in: most of its height comes before it turns back
    straight[..., 1] += (touch[..., 1] - border[..., 1]) * 0.16 * np.sin(np.pi * share)
    return straight


# Inside: (inward z, vertical spread, narrowing of x) of each ring behind the line, then the cavity up to its back wall.
INSIDE = (
    (-1.6, 0.9, 1.0),
    (-4.0, 2.6, 1.0),
    (-6.8, 9.8, 1.04),
    (-12.0, 15.0, 1.06),
    (-24.0, 18.0, 1.03),
    (-38.0, 17.0, 0.95),
    (-52.0, 8.0, 0.6),
)


def inside(m: MouthShape, t: Array, upper: bool) -> Array:
    """(7, ..., 3) rings of the mouth's lining."""
    touch = line(m, t, upper)
    sign = 1.0 if upper else -1.0
    rings = []
    for k, (depth, spread, narrow) in enumerate(INSIDE):
        # the front follows the dental arch; the cavity's walls become an oval tube
        arch = (1 - t**2) ** 0.5 if k > 1 else (1 - t**4)
        point = touch.copy()
        point[..., 0] *= narrow
        point[..., 1] = touch[..., 1] + sign * spread * arch * (0.85 if upper else 1.0)
        deep = min(1.0, max(0.0, (-depth - 7) / 25))
        z_flat = m.line_z + depth
        point[..., 2] = (1 - deep) * (touch[..., 2] + depth) + deep * z_flat
        if k >= 3:
            point[..., 2] = np.minimum(point[..., 2], touch[..., 2] + depth * 0.6)
        rings.append(point)
    return np.stack(rings)
