"""Where a decal lies: the middle of the masked surface on the neutral head, and a flat frame there.

The middle is that of the surface, not of the pixels: every patch counts by its area in the mask, once, whatever views a batch
has.  Batches that see the whole region agree to a fraction of a millimetre.  One that sees a part of it would not, so where
the avatar has learnt the decal from earlier views (``references``), the decal is looked for there and laid over itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from avatarkit.edit.paint.survey import Survey
from avatarkit.types import FloatArray

APART = 0.010  # metres: patches nearer than this belong to one piece of a region
LEAST_PIECE = 0.25  # of the largest piece's area; smaller ones are rags of the mask and get no decal
NEAR, AROUND = 0.003, 0.006  # metres around a centre from which its height above the plane and its normal are taken
LEVEL = 0.35  # mask below which a patch joins no pieces: the soft edges of two cheeks may meet


@dataclass(frozen=True)
class Frame:
    """A tangent plane: centre (3,), normal (3,), across (3,) to the right as one looks at it, up (3,), unit; neutral head, metres.

    half (2,): half of the region's extent across and up, metres: that of the even ellipse with the same spread.  piece: the
    patches that the frame lies on.
    """

    centre: FloatArray
    normal: FloatArray
    across: FloatArray
    up: FloatArray
    half: FloatArray
    piece: Survey

    def places(self, points: FloatArray) -> FloatArray:
        """(N, 3) → (N, 3): across, up and out of the plane, metres.

        Distance from the centre along the plane is the straight distance in space: on round skin shapes keep their size.
        """
        away = points - self.centre
        flat = np.stack([away @ self.across, away @ self.up], 1)
        out = away @ self.normal
        length = np.linalg.norm(flat, axis=1)
        stretch = np.minimum(np.sqrt(length**2 + out**2) / np.maximum(length, 1e-9), 1.5)
        return np.concatenate([flat * stretch[:, None], out[:, None]], 1)

    def moved(self, across: float, up: float) -> Frame:
        """The frame of the surface that lies ``across`` and ``up`` of the centre."""
        wanted = self.centre + across * self.across + up * self.up
        return _seated(self.piece, wanted, self.normal, self.half)


def frames(seen: Survey) -> list[Frame]:
    """One frame for each piece of the region, the subject's left first; none where nothing shows."""
    pieces = _pieces(seen)
    return [_frame(piece) for piece in pieces]


def _pieces(seen: Survey) -> list[Survey]:
    """Parts of the surface that do not touch: two cheeks are two."""
    core = np.flatnonzero(seen.mask >= min(LEVEL, 0.5 * float(seen.mask.max(initial=0.0))))
    if not len(core):
        return []
    pairs = cKDTree(seen.point[core]).query_pairs(APART, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(core), len(core)))
    count, piece = connected_components(graph, directed=False)
    areas = np.bincount(piece, seen.area[core], count)
    nearest = cKDTree(seen.point[core]).query(seen.point)[1]
    whose = piece[nearest]
    kept = [k for k in range(count) if areas[k] >= LEAST_PIECE * areas.max()]
    found = [seen.picked(np.flatnonzero(whose == k)) for k in kept]
    return sorted(found, key=lambda one: -float(one.point[:, 0].mean()))


def _frame(piece: Survey) -> Frame:
    weight = piece.area * piece.mask
    centre = np.average(piece.point, axis=0, weights=weight)
    outwards = weight @ piece.normal / weight.sum() + np.array([0.0, 0.0, 0.05])  # all around a neck: to the front
    frame = _seated(piece, centre, outwards / np.linalg.norm(outwards), np.zeros(2))
    away = piece.point - frame.centre
    flat = np.stack([away @ frame.across, away @ frame.up], 1)
    patch = np.average(piece.area, weights=weight) / 12.0  # spread of the surface within a patch
    half = 2.0 * np.sqrt(np.average(flat**2, axis=0, weights=weight) + patch)
    return _seated(piece, frame.centre, frame.normal, half)


def _seated(piece: Survey, wanted: FloatArray, direction: FloatArray, half: FloatArray) -> Frame:
    """A frame on the surface, where the line from ``wanted`` along ``direction`` meets it."""
    off = piece.point - wanted
    sideways = (off**2).sum(1) - (off @ direction) ** 2
    weight = piece.area * (off @ direction > -0.03)
    close = weight * np.exp(-0.5 * sideways / NEAR**2) + 1e-9 * weight / (1e-6 + sideways)
    wide = weight * np.exp(-0.5 * sideways / AROUND**2) + 1e-9 * weight / (1e-6 + sideways)
    normal = wide @ piece.normal
    normal /= max(float(np.linalg.norm(normal)), 1e-12)
    below = np.average(piece.point, axis=0, weights=close)
    slant = max(float(direction @ normal), 0.3)
    centre = wanted + direction * float((below - wanted) @ normal) / slant
    up = np.array([0.0, 1.0, 0.0]) if abs(normal[1]) < 0.9 else np.array([0.0, 0.0, -np.sign(normal[1])])
    up = up - (up @ normal) * normal
    up /= np.linalg.norm(up)
    return Frame(centre, normal, np.cross(up, normal), up, half, piece)
