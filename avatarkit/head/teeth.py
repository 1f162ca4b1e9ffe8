"""Two rows of teeth for FLAME, which has none: 120 vertices appended in the places where VHAP's tracker has its own.

The layout (eight rows of 15 columns, the subject's left first) is VHAP's, so that data sets of 5143 vertices fit; shape, place,
motion and triangles are ours.  The dental arch is an ellipse behind the lips, sized by the mouth:

- the upper row rides the skull (neck joint), the lower one the jaw;
- identity moves both rows as the affine motion that best explains the lips and gums around them;
- a head that opens its mouth by expression modes (``jawOpen`` and the like) instead of its jaw joint takes the lower row with
  it: the rigid motion that best explains the chin in that mode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.topology import open_loops, ring_distance
from avatarkit.types import FloatArray, IntArray

COLUMNS = 15
# Row order of the appended vertices.
ROWS = (
    "upper_root", "lower_root", "upper_edge", "lower_edge",
    "upper_root_back", "upper_edge_back", "lower_root_back", "lower_edge_back",
)  # fmt: skip
JAW_MODES = ("jawOpen", "jawForward", "jawLeft", "jawRight")
NECK, JAW = 1, 2

# In units of the mouth's half width (25 mm on an average head).
ARCH_WIDTH, ARCH_DEPTH, ARCH_ANGLE = 0.93, 1.25, 1.25  # half width, depth of the half ellipse, half angle in radians
BEHIND_LIPS = 0.42  # front of the upper incisors behind the line where the lips meet
UPPER_EDGE, UPPER_ROOT = -0.13, 0.36  # above that line
LOWER_EDGE, LOWER_ROOT = -0.09, -0.38
OVERBITE, THICKNESS = 0.10, 0.24  # the lower row stands behind the upper one


def mouth_loop(faces: IntArray, template: FloatArray) -> IntArray:
    """Vertices of the open edge at the back of the lips: of the open loops, the one nearest to the face's front."""
    return max(open_loops(faces, len(template)), key=lambda loop: template[loop, 2].mean())


def lip_line(faces: IntArray, template: FloatArray) -> IntArray:
    """Vertices where the lips meet: four edges outwards of the mouth's open loop, a fact of FLAME's topology."""
    return np.flatnonzero(ring_distance(faces, len(template), mouth_loop(faces, template)) == 4)


def teeth_positions(faces: IntArray, template: FloatArray) -> FloatArray:
    """(120, 3) metres, in the order of ``ROWS``."""
    loop, line = mouth_loop(faces, template), lip_line(faces, template)
    middle = 0.5 * (template[loop, 0].min() + template[loop, 0].max())
    half = 0.5 * (template[loop, 0].max() - template[loop, 0].min())
    centre = template[line][np.abs(template[line, 0] - middle) < 0.3 * half]
    level, front = centre[:, 1].mean(), centre[:, 2].max() - BEHIND_LIPS * half
    angles = np.linspace(ARCH_ANGLE, -ARCH_ANGLE, COLUMNS)  # the subject's left (+x) first

    def row(height: float, behind: float) -> FloatArray:
        """One row of points, ``behind`` the arch's outside."""
        across = (ARCH_WIDTH - behind) * half * np.sin(angles)
        forward = front - behind * half - ARCH_DEPTH * half * (1 - np.cos(angles))
        return np.stack([middle + across, np.full(COLUMNS, level + height * half), forward], 1)

    rows = {
        "upper_root": row(UPPER_ROOT, 0.0),
        "upper_edge": row(UPPER_EDGE, 0.02),
        "upper_root_back": row(UPPER_ROOT, THICKNESS),
        "upper_edge_back": row(UPPER_EDGE, 0.6 * THICKNESS),
        "lower_root": row(LOWER_ROOT, OVERBITE + 0.08),
        "lower_edge": row(LOWER_EDGE, OVERBITE),
        "lower_root_back": row(LOWER_ROOT, OVERBITE + THICKNESS),
        "lower_edge_back": row(LOWER_EDGE, OVERBITE + 0.6 * THICKNESS),
    }
    return np.concatenate([rows[name] for name in ROWS])


def teeth_faces(first: int) -> IntArray:
    """(168, 3) triangles over vertices ``first`` …: front, back and biting edge of the upper row, then of the lower.

    VHAP's topology to the last index, since GaussianAvatars bind by triangle and its frame begins at its first corner: diagonals
    are mirrored between the subject's sides, and each strip says which way they run first.
    """
    start = {name: first + COLUMNS * index for index, name in enumerate(ROWS)}

    def strip(above: str, below: str, *ways: list[tuple[int, int, int]]) -> list[list[int]]:
        """Quads between two rows with corners a b above and c d below; ``ways``: two triangles of a quad, of either side."""
        quads = []
        for column in range(COLUMNS - 1):
            a, c = start[above] + column, start[below] + column
            corners = (a, a + 1, c, c + 1)
            quads += [[corners[k] for k in triangle] for triangle in ways[column >= COLUMNS // 2]]
        return quads

    a, b, c, d = range(4)
    ad, bc = [(a, d, c), (a, b, d)], [(a, b, c), (b, d, c)]  # by the diagonal that they share
    ad_in, bc_in = [(a, c, d), (a, d, b)], [(a, c, b), (b, c, d)]  # seen from the other side
    upper = strip("upper_root", "upper_edge", ad, bc) + strip("upper_root_back", "upper_edge_back", ad_in, bc_in)
    upper += strip("upper_edge_back", "upper_edge", bc_in, ad_in)
    lower = strip("lower_edge", "lower_root", bc, ad) + strip("lower_root_back", "lower_edge_back", ad, bc)
    lower += strip("lower_edge_back", "lower_edge", bc, ad)
    return np.array(upper + lower, np.int64)


def lower_row() -> FloatArray:
    """(120,) 1 on the vertices of the lower row."""
    return np.repeat([float(name.startswith("lower")) for name in ROWS], COLUMNS)


def teeth_weights(joints: int) -> FloatArray:
    """(120, J) skinning weights."""
    weights = np.zeros((len(ROWS) * COLUMNS, joints), np.float32)
    weights[:, JAW] = lower_row()
    weights[:, NECK] = 1 - lower_row()
    return weights


def teeth_shapedirs(teeth: FloatArray, template: FloatArray, shapedirs: FloatArray, around: IntArray) -> FloatArray:
    """(120, 3, S): each identity mode's affine motion, fitted to the vertices ``around``, at the teeth."""
    centre = template[around].mean(0)
    known = np.concatenate([template[around] - centre, np.ones((len(around), 1))], 1)
    wanted = np.concatenate([teeth - centre, np.ones((len(teeth), 1))], 1)
    modes = shapedirs[around].reshape(len(around), -1)
    fit = np.linalg.lstsq(known, modes, rcond=None)[0]
    return (wanted @ fit).reshape(len(teeth), 3, -1).astype(np.float32)


def chin(weights: FloatArray, outside_lips: NDArray[np.bool_]) -> IntArray:
    """The skin that moves most nearly like the jaw bone: within a tenth of the largest jaw weight, away from the lips."""
    jaw = np.where(outside_lips, weights[:, JAW], 0)
    return np.flatnonzero(jaw > 0.9 * jaw.max())


def rigid_motion(points: FloatArray, moved: FloatArray, at: FloatArray) -> FloatArray:
    """Displacement (M, 3) at ``at`` of the rotation and translation that best take points (N, 3) to moved (N, 3)
    (Kabsch 1976)."""
    centre, goal = points.mean(0), moved.mean(0)
    u, _, vt = np.linalg.svd((points - centre).T @ (moved - goal))
    turn = vt.T @ np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return (at - centre) @ turn.T + goal - at


def teeth_exprdirs(
    teeth: FloatArray, template: FloatArray, exprdirs: FloatArray, names: tuple[str, ...], chin: IntArray
) -> FloatArray:
    """(120, 3, E): zero, but for the lower row in modes that move the jaw, which follows the ``chin`` vertices."""
    result = np.zeros((len(teeth), 3, exprdirs.shape[2]), np.float32)
    lower = lower_row() > 0
    for mode, name in enumerate(names):
        if name in JAW_MODES:
            moved = template[chin] + exprdirs[chin, :, mode]
            result[lower, :, mode] = rigid_motion(template[chin], moved, teeth[lower])
    return result
