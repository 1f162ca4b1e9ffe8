"""Fine forms pressed into the smooth skin: nostrils, wings of the nose, philtrum, folds, collar bones.

Each function takes the left half's points (V, 3) in millimetres and returns a displacement (V, 3).  They use |x| where a form
crosses the midline, so that the surface stays smooth there.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _bell(p: Array, centre: tuple[float, float, float], widths: tuple[float, float, float]) -> Array:
    return np.exp(-(((p - np.array(centre)) / np.array(widths)) ** 2).sum(-1))


def _along(weight: Array, direction: tuple[float, float, float]) -> Array:
    return weight[:, None] * np.array(direction)


def _near_polyline(p: Array, path: tuple[tuple[float, float, float], ...], width: float) -> Array:
    """(V,) Gaussian of the distance to a polyline, fading towards its ends."""
    nodes = np.array(path, dtype=float)
    best = np.full(len(p), np.inf)
    for a, b in itertools.pairwise(nodes):
        along = np.clip(((p - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, ((p - a - along[:, None] * (b - a)) ** 2).sum(-1))
    return np.exp(-best / width**2)


def nostril(p: Array, depth: float = 6.5) -> Array:
    """A pit in the underside of the nose."""
    return _along(_bell(p, (7.6, -22.0, 81.0), (3.1, 3.4, 4.6)), (0.5, depth, -1.0))


def nose_wing(p: Array, size: float = 1.5) -> Array:
    """The wing's bulge and the crease around its back."""
    bulge = _along(_bell(p, (14.8, -16.5, 75.5), (4.5, 4.6, 6.0)), (size, 0.0, 0.5 * size))
    crease = _near_polyline(p, ((13.0, -6.5, 74.0), (17.5, -9.5, 69.5), (19.6, -15.5, 67.0), (18.2, -22.0, 68.0)), 2.6)
    return bulge + _along(crease, (-0.5, 0.0, -1.7))


def nose_tip(p: Array, size: float = 0.9) -> Array:
    """A rounder tip, set off from the bridge."""
    return _along(_bell(p, (0.0, -13.5, 92.0), (8.0, 6.5, 8.0)), (0.0, 0.0, size)) + _along(
        _bell(p, (0.0, -4.5, 86.0), (7.0, 4.0, 8.0)), (0.0, 0.0, -0.5 * size)
    )


def philtrum(p: Array, depth: float = 1.3) -> Array:
    """The groove below the nose with its two ridges."""
    height = np.exp(-(((p[:, 1] + 31.0) / 5.0) ** 2)) * (p[:, 2] > 60)
    x = np.abs(p[:, 0])
    groove = -depth * np.exp(-((x / 2.4) ** 2)) + 0.75 * depth * np.exp(-(((x - 4.8) / 2.2) ** 2))
    return _along(height * groove, (0.0, 0.0, 1.0))


def nasolabial_fold(p: Array, depth: float = 1.1) -> Array:
    """A soft fold from the wing of the nose past the corner of the mouth, with the cheek fuller beside it."""
    fold = _near_polyline(p, ((20.0, -15.0, 66.0), (26.0, -27.0, 64.5), (31.5, -40.0, 60.0)), 4.2)
    cheek = _near_polyline(p, ((28.0, -12.0, 63.0), (34.5, -24.0, 60.0)), 8.0)
    return _along(fold, (0.0, 0.0, -depth)) + _along(cheek, (0.3, 0.0, 0.9 * depth))


def chin_crease(p: Array, depth: float = 1.0) -> Array:
    """The fold below the lower lip, and a round chin."""
    fold = _bell(p, (0.0, -60.5, 70.0), (15.0, 3.8, 10.0))
    boss = _bell(p, (0.0, -73.0, 73.0), (12.0, 7.5, 14.0))
    return _along(fold, (0.0, 0.0, -depth)) + _along(boss, (0.0, 0.0, 0.9 * depth))


def mouth_corner(p: Array, depth: float = 1.2) -> Array:
    """A small dimple outside the corner of the mouth."""
    return _along(_bell(p, (27.5, -45.5, 64.0), (3.6, 4.5, 8.0)), (0.0, 0.0, -depth))


def tear_trough(p: Array, depth: float = 0.9) -> Array:
    """The shallow groove from the inner corner of the eye across the upper cheek."""
    return _along(
        _near_polyline(p, ((16.0, 21.0, 57.0), (24.0, 15.0, 58.0), (33.0, 13.0, 58.0)), 4.0), (0.0, 0.0, -depth)
    )


def temple(p: Array, depth: float = 1.6) -> Array:
    """A hollow behind the outer end of the brow."""
    return _along(_bell(p, (66.0, 50.0, 26.0), (14.0, 18.0, 20.0)), (-depth, 0.0, -0.4 * depth))


def neck_muscle(p: Array, size: float = 2.4) -> Array:
    """The strap from behind the ear to the breastbone (sternocleidomastoid), and the hollow between its feet."""
    strap = _near_polyline(
        p, ((50.0, -62.0, -32.0), (41.0, -95.0, -16.0), (26.0, -130.0, 0.0), (11.0, -156.0, 8.0)), 9.0
    )
    pit = _bell(p, (0.0, -156.0, 8.0), (11.0, 10.0, 16.0))
    return _along(strap, (0.45 * size, 0.0, 0.75 * size)) + _along(pit, (0.0, 0.0, -0.8 * size))


def collar_bone(p: Array, size: float = 4.5) -> Array:
    """The ridge from the breastbone to the shoulder, with the hollow above it."""
    ridge = _near_polyline(
        p, ((10.0, -164.0, 12.0), (45.0, -165.0, 12.0), (90.0, -160.0, -6.0), (122.0, -160.0, -30.0)), 9.0
    )
    hollow = _near_polyline(p, ((34.0, -152.0, 0.0), (70.0, -151.0, -10.0)), 12.0)
    return _along(ridge, (0.0, 0.25 * size, 0.9 * size)) + _along(hollow, (0.0, -0.5 * size, -0.9 * size))


FORMS = (
    nose_tip, nose_wing, nostril, philtrum, nasolabial_fold, chin_crease, mouth_corner, tear_trough, temple, neck_muscle, collar_bone,
)  # fmt: skip


def sculpted(points: Array) -> Array:
    """The points with every form added."""
    total = np.zeros_like(points)
    for form in FORMS:
        total += form(points)
    total[np.abs(points[:, 0]) < 1e-9, 0] = 0.0  # the midline stays where its mirror image is
    return points + total
