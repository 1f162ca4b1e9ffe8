"""Ears: a shell with helix, groove, antihelix, bowl and tragus, standing off the side of the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust.patches import HalfMesh

Array = NDArray[np.float64]

# Outline in the ear's own plane, millimetres from the ear canal: (backwards, upwards), lobe first, then up the back.
_OUTLINE = (
    (0, -26), (6, -25), (11, -19), (15.5, -10), (19.5, 0), (22, 10), (22, 20), (18, 28.5), (10.5, 33), (2, 33),
    (-4.5, 28.5), (-7.5, 20), (-8.5, 11), (-8.5, 3), (-8.5, -5), (-7.5, -13), (-5, -21),
)  # fmt: skip
SEGMENTS = 28
RINGS = (0.97, 0.90, 0.80, 0.69, 0.57, 0.43, 0.26)
_CENTRE = (3.5, 3.5)
CANAL = (74.0, 5.0, -16.0)
TILT = np.radians(12.0)  # the top leans backwards
FLARE = np.radians(24.0)  # the rear edge stands off the head


def _outline() -> Array:
    """(28, 2) evenly spaced along a smooth closed curve through the outline's points."""
    points = np.array(_OUTLINE, dtype=float)
    fine = np.linspace(0, len(points), 400, endpoint=False)
    k, f = np.floor(fine).astype(int), (fine % 1)[:, None]
    a, b, c, d = (points[(k + o) % len(points)] for o in (-1, 0, 1, 2))
    curve = 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - 3 * c + d - a) * f**3)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(np.vstack([curve, curve[:1]]), axis=0), axis=1))])
    at = np.linspace(0, length[-1], SEGMENTS, endpoint=False)
    whole = np.vstack([curve, curve[:1]])
    return np.stack([np.interp(at, length, whole[:, i]) for i in (0, 1)], -1)


def _bump(value: Array, middle: float, width: float) -> Array:
    return np.exp(-(((value - middle) / width) ** 2))


def _relief(ring: Array, plane: Array) -> Array:
    """Height (mm, outwards) of the ear's outer side; ``ring`` is 1 at the outline and 0 in the bowl."""
    back, up = plane[..., 0], plane[..., 1]
    lobe = 1 / (1 + np.exp((up + 13.0) / 2.5))
    front = 1 / (1 + np.exp((back + 3.5) / 1.5))
    helix = 2.6 * _bump(ring, 0.97, 0.09) * (1 - 0.7 * lobe) * (1 - 0.6 * front)
    groove = -1.6 * _bump(ring, 0.80, 0.08) * (1 - lobe) * (1 - front)
    antihelix = 2.4 * _bump(ring, 0.62, 0.10) * (1 - 0.8 * lobe) * (1 - front)
    bowl = -6.0 * np.exp(-((ring / 0.42) ** 4)) * (1 - lobe)
    tragus = 3.2 * np.exp(-(((back + 7.0) / 3.2) ** 2) - (((up - 0.5) / 4.5) ** 2))
    soft_lobe = 1.2 * lobe * (1 - ring**2)
    return helix + groove + antihelix + bowl + tragus + soft_lobe


def _placed(plane: Array, height: Array) -> Array:
    back, up = plane[..., 0], plane[..., 1]
    lateral = 1.0 + np.sin(FLARE) * (back + 8.0) + height + 0.02 * np.maximum(up - 10, 0) ** 1.5
    depth = np.cos(FLARE) * back
    z = -(np.cos(TILT) * depth + np.sin(TILT) * up)
    y = np.cos(TILT) * up - np.sin(TILT) * depth
    return np.array(CANAL) + np.stack([lateral, y, z], -1)


def build_ear(mesh: HalfMesh) -> None:
    """Add the left ear: rings from the bowl outwards over the rim and back to the head."""
    outline, centre = _outline(), np.array(_CENTRE)
    rings = []
    for ring in reversed(RINGS):
        plane = centre + ring * (outline - centre)
        rings.append(mesh.add("ear", _placed(plane, _relief(np.full(SEGMENTS, ring), plane))))
    edge = _relief(np.full(SEGMENTS, 0.97), outline)
    rings.append(mesh.add("ear", _placed(outline, edge - 1.2)))
    # The shell's back: a thin wall, then a neck that dives into the head.
    rings.append(mesh.add("ear", _placed(centre + 0.97 * (outline - centre), edge - 3.4)))
    under = _placed(centre + 0.80 * (outline - centre) - np.array([2.0, 0.0]), edge - 5.0)
    rings.append(mesh.add("ear", under))
    root = _placed(centre + 0.62 * (outline - centre) - np.array([5.0, 0.0]), edge - 8.0)
    root[:, 0] = np.minimum(root[:, 0], 66.0)
    rings.append(mesh.add("ear", root))
    ids = np.stack(rings)
    mesh.rings(ids, closed=True, flip=True)
    middle = mesh.add("ear", _placed(centre, _relief(np.zeros(()), centre))[None])
    mesh.strip(np.repeat(middle, SEGMENTS), ids[0], closed=True, flip=True)
    mesh.grids["ear"] = ids
