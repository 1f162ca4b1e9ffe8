"""Named curves and anchor points on the resting bust, for whoever builds hair, brows, lashes, glasses or a shirt on it.

A curve is an array of vertex ids (N,) in order; ``r_`` curves mirror the ``l_`` ones.  ``Anchor`` is a point by triangle and
barycentrics, so that it follows every pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.landmarks import BORDER_RING, LINE_RING, frontmost
from avatarkit.head.bust.regions import brow_arc, hairline
from avatarkit.head.bust.skin import MARGIN_RING

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Anchors:
    """Points on the mesh: faces (N,) int64, barycentrics (N, 3) float64."""

    faces: Ids
    barycentrics: Array

    def points(self, vertices: Array, mesh_faces: Ids) -> Array:
        """(V, 3) → (N, 3)."""
        return (vertices[mesh_faces[self.faces]] * self.barycentrics[:, :, None]).sum(1)


@dataclass(frozen=True)
class Curves:
    """Everything is on the resting mesh; ids index its vertices.

    upper_lash, lower_lash: (17,) from the inner to the outer corner along the lid's outer margin, left eye; crease: (17,) above it.
    lip_border, lip_line: (72,) around the mouth, clockwise in front view from the middle of the upper lip.
    collar: (64,) ring where a shirt's collar would lie; neck_ring: (64,) around the middle of the neck.
    ear_rim: (28,) the left ear's outline; ear_lobe: vertex where an earring hangs.
    brow: 24 anchors along the left brow; hairline: 48 vertex ids nearest the hairline, front to back on the left.
    nose_bridge: vertex ids (3,): left, middle and right resting points of glasses.
    mirror: (V,) vertex on the other side: ``mirror[curve]`` is the right one.
    skull_centre, skull_radii: millimetre-free (metres) ellipsoid that fits the cranium.
    """

    upper_lash: Ids
    lower_lash: Ids
    crease: Ids
    lip_border: Ids
    lip_line: Ids
    collar: Ids
    neck_ring: Ids
    ear_rim: Ids
    ear_lobe: int
    brow: Anchors
    hairline: Ids
    nose_bridge: Ids
    mirror: Ids
    skull_centre: tuple[float, float, float]
    skull_radii: tuple[float, float, float]
    limbus: Ids
    pupil: Ids


def _full_ring(rest: Rest, row: Ids) -> Ids:
    """A half row of the skin grid, front to back, continued along the other side."""
    return np.concatenate([row, rest.mirror[row[-2:0:-1]]])


def _anchors(rest: Rest, xy: Array) -> Anchors:
    hits = [frontmost(rest.points, rest.faces, spot) for spot in xy]
    return Anchors(np.array([h[0] for h in hits], dtype=np.int64), np.stack([h[1] for h in hits]))


def make_curves(rest: Rest) -> Curves:
    grid, eye, mouth = rest.grids["skin"], rest.grids["eye"], rest.grids["mouth"]
    upper = np.arange(17)
    lower = np.concatenate([[0], np.arange(31, 16, -1), [16]])
    p = rest.points
    line = []
    for column in range(grid.shape[1]):
        ids = grid[:, column][grid[:, column] >= 0]
        ids = ids[p[ids, 1] > -75]
        azimuth = np.arctan2(p[ids, 0], p[ids, 2] + 27.0)
        line.append(ids[np.argmin(np.abs(p[ids, 1] - hairline(azimuth)))])
    ear = rest.grids["ear"]
    rim = ear[6]
    middle = grid[:, 0][grid[:, 0] >= 0]
    bridge_row = int(np.argmin(np.abs(p[grid[:, 0], 1] - 27.0) + 1e3 * (grid[:, 0] < 0)))
    bridge = np.array([grid[bridge_row, 4], grid[bridge_row, 0], rest.mirror[grid[bridge_row, 4]]])
    collar_row = int(np.argmin(np.abs(p[middle, 1] + 152.0)))
    neck_row = int(np.argmin(np.abs(p[middle, 1] + 118.0)))
    hidden = int((grid[:, 0] < 0).sum())
    both = [np.concatenate([mouth[r], rest.mirror[mouth[r][-2:0:-1]]]) for r in (BORDER_RING, LINE_RING)]
    return Curves(
        upper_lash=eye[MARGIN_RING, upper], lower_lash=eye[MARGIN_RING, lower], crease=eye[4, upper],
        lip_border=both[0], lip_line=both[1],
        collar=_full_ring(rest, grid[collar_row + hidden]), neck_ring=_full_ring(rest, grid[neck_row + hidden]),
        ear_rim=rim, ear_lobe=int(rim[np.argmin(p[rim, 1])]), brow=_anchors(rest, brow_arc(np.linspace(0, 1, 24))),
        hairline=np.array(line, dtype=np.int64), nose_bridge=bridge, mirror=rest.mirror,
        skull_centre=(0.0, 0.045, -0.028), skull_radii=(0.0755, 0.104, 0.0985),
        limbus=rest.grids["ball"][5], pupil=rest.grids["ball"][1],
    )  # fmt: skip
