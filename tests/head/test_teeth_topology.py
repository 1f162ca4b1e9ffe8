"""The teeth's triangles are VHAP's, corner by corner: models of GaussianAvatars are bound to them by number."""

from __future__ import annotations

import numpy as np

from avatarkit.head.teeth import teeth_faces

# By number, as VHAP's and GaussianAvatars' public code lists them: the beginning, middle and end of each of the six strips.
PUBLISHED = {
    0: (0, 31, 30), 13: (6, 7, 37), 14: (7, 8, 37), 15: (8, 38, 37), 27: (14, 44, 43),
    28: (60, 75, 76), 29: (60, 76, 61), 41: (66, 82, 67), 42: (67, 82, 68), 43: (68, 82, 83), 55: (74, 88, 89),
    56: (75, 30, 76), 57: (76, 30, 31), 69: (82, 36, 37), 70: (82, 37, 38), 71: (82, 38, 83), 83: (88, 44, 89),
    84: (45, 46, 15), 85: (46, 16, 15), 97: (52, 22, 21), 98: (52, 23, 22), 99: (52, 53, 23), 111: (58, 59, 29),
    112: (90, 106, 105), 113: (90, 91, 106), 125: (96, 97, 112), 126: (97, 98, 112), 127: (98, 113, 112), 139: (104, 119, 118),
    140: (105, 106, 45), 141: (106, 46, 45), 153: (112, 52, 51), 154: (112, 53, 52), 155: (112, 113, 53), 167: (118, 119, 59),
}  # fmt: skip


def test_they_are_the_published_ones() -> None:
    faces = teeth_faces(5023) - 5023
    assert faces.shape == (168, 3)
    assert {number: tuple(faces[number].tolist()) for number in PUBLISHED} == PUBLISHED


def test_neighbours_agree_on_which_side_is_out() -> None:
    """Every inner edge is walked once in either direction."""
    faces = teeth_faces(0)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
