"""Where MediaPipe's 478 face landmarks lie on the bust.

Rings around eyes and lips are vertices of the mesh; the rest are points of the front view, given by hand for the subject's left
in millimetres and mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.skin import MARGIN_RING

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

# (landmark of the subject's left, of the right) → step along the lid from the inner corner (0) to the outer (16).
_UPPER_LID = ((362, 133, 0), (398, 173, 2), (384, 157, 4), (385, 158, 6), (386, 159, 8), (387, 160, 10), (388, 161, 12), (466, 246, 14), (263, 33, 16))
_LOWER_LID = ((382, 155, 2), (381, 154, 4), (380, 153, 6), (374, 145, 8), (373, 144, 10), (390, 163, 12), (249, 7, 14))
# (left, right) → step along the lip from the midline (0) to the corner (18).
_OUTER_UPPER = ((0, 0, 0), (267, 37, 3), (269, 39, 6), (270, 40, 9), (409, 185, 13), (291, 61, 18))
_OUTER_LOWER = ((17, 17, 0), (314, 84, 3), (405, 181, 6), (321, 91, 9), (375, 146, 13))
_INNER_UPPER = ((13, 13, 0), (312, 82, 3), (311, 81, 6), (310, 80, 9), (415, 191, 13), (308, 78, 18))
_INNER_LOWER = ((14, 14, 0), (317, 87, 3), (402, 178, 6), (318, 88, 9), (324, 95, 13))
BORDER_RING, LINE_RING = 3, 8

# Points of the skin, front view, mm: on the midline (index, y) and off it (left, right, x, y).
_MIDLINE = (
    (10, 100.0), (151, 72.0), (9, 56.0), (8, 47.5), (168, 38.5), (6, 30.0), (197, 18.5), (195, 7.0), (5, -3.0), (4, -10.0), (1, -14.5),
    (19, -19.0), (94, -22.0), (2, -24.5), (164, -30.5), (18, -57.0), (200, -62.5), (199, -71.0), (175, -77.5), (152, -82.0),
)  # fmt: skip
_PAIRS = (
    # brows: upper edge, lower edge
    (336, 107, 11.5, 51.0), (296, 66, 20.0, 54.0), (334, 105, 29.5, 55.5), (293, 63, 39.0, 55.0), (300, 70, 47.5, 51.0),
    (285, 55, 12.5, 45.0), (295, 65, 20.5, 48.0), (282, 52, 29.5, 49.5), (283, 53, 38.5, 49.5), (276, 46, 46.5, 47.5),
    # nose
    (417, 193, 8.0, 38.0), (351, 122, 7.0, 29.0), (419, 196, 6.0, 18.5), (248, 3, 6.3, 7.0), (281, 51, 7.0, -2.5), (275, 45, 6.5, -11.0),
    (456, 236, 11.0, 1.0), (363, 134, 11.0, -4.5), (440, 220, 11.5, -11.0), (344, 115, 14.2, -10.5), (278, 48, 17.0, -14.5), (294, 64, 16.0, -19.5),
    (327, 98, 12.0, -24.0), (326, 97, 6.3, -23.8),
    # cheeks, jaw
    (266, 36, 23.0, -7.0), (330, 101, 30.0, -1.0), (280, 50, 40.5, -6.0), (352, 123, 57.5, -5.0), (425, 205, 32.0, -22.0),
    (426, 206, 25.0, -26.5), (427, 207, 40.0, -31.0), (376, 147, 52.0, -23.0), (433, 213, 52.0, -37.0), (434, 214, 43.5, -46.0),
    (432, 212, 35.0, -43.0), (434, 214, 43.5, -46.0), (422, 202, 30.0, -54.0), (418, 194, 20.0, -60.0), (421, 201, 12.0, -65.5),
    (396, 171, 12.0, -76.5), (428, 208, 11.0, -71.0), (262, 32, 20.5, -67.5),
    # forehead
    (337, 108, 12.0, 71.5), (338, 109, 14.0, 99.0), (299, 69, 25.0, 71.0), (333, 104, 36.0, 69.0), (297, 67, 28.0, 97.0),
)  # fmt: skip


def _vertex_points(rest: Rest) -> dict[int, int]:
    eye, mouth, mirror = rest.grids["eye"], rest.grids["mouth"], rest.mirror
    found: dict[int, int] = {}

    def put(left: int, right: int, vertex: int) -> None:
        found[left] = int(vertex)
        found[right] = int(mirror[vertex])

    for left, right, step in _UPPER_LID:
        put(left, right, eye[MARGIN_RING, step])
    for left, right, step in _LOWER_LID:
        put(left, right, eye[MARGIN_RING, 32 - step])
    last = mouth.shape[1] - 1
    for table, ring, lower in ((_OUTER_UPPER, BORDER_RING, False), (_INNER_UPPER, LINE_RING, False), (_OUTER_LOWER, BORDER_RING, True), (_INNER_LOWER, LINE_RING, True)):  # fmt: skip
        for left, right, step in table:
            put(left, right, mouth[ring, last - step if lower else step])
    return found


def _iris_points(rest: Rest) -> dict[int, int]:
    """468–472: the right iris (centre, then four points of its rim), 473–477: the left one."""
    ball, pole, mirror = rest.grids["ball"], rest.grids["ball_pole"], rest.mirror
    rim = ball[5]
    quarter = len(rim) // 4
    # MediaPipe's order around the rim, front view: the subject's left, up, right, down
    points = {473: int(pole[0])}
    for index, step in ((474, 0), (475, 1), (476, 2), (477, 3)):
        points[index] = int(rim[step * quarter])
    points[468] = int(mirror[pole[0]])
    for index, step in ((469, 2), (470, 1), (471, 0), (472, 3)):
        points[index] = int(mirror[rim[step * quarter]])
    return points


def frontmost(points: Array, faces: Ids, xy: Array) -> tuple[int, Array]:
    """The triangle nearest the viewer under ``xy`` in front view, and the barycentrics there."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    safe = np.where(np.abs(area) < 1e-9, 1e-9, area)
    wb = ((xy[0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (xy[1] - a[:, 1])) / safe
    wc = ((b[:, 0] - a[:, 0]) * (xy[1] - a[:, 1]) - (xy[0] - a[:, 0]) * (b[:, 1] - a[:, 1])) / safe
    wa = 1 - wb - wc
    hit = (np.minimum(np.minimum(wa, wb), wc) >= -1e-9) & (area > 1e-9)
    depth = np.where(hit, wa * a[:, 2] + wb * b[:, 2] + wc * c[:, 2], -np.inf)
    best = int(np.argmax(depth))
    return best, np.array([wa[best], wb[best], wc[best]])


def landmark_embedding(rest: Rest) -> tuple[Ids, Ids, Array]:
    """Landmark indices (L,) ascending, faces (L,), barycentrics (L, 3)."""
    found: dict[int, tuple[int, Array]] = {}
    first_face = np.full(len(rest.points), -1, dtype=np.int64)
    for corner in (2, 1, 0):
        first_face[rest.faces[::-1, corner]] = np.arange(len(rest.faces))[::-1]
    for index, vertex in {**_vertex_points(rest), **_iris_points(rest)}.items():
        face = int(first_face[vertex])
        found[index] = (face, (rest.faces[face] == vertex).astype(float))
    spots = [(index, (0.0, y)) for index, y in _MIDLINE]
    for left, right, x, y in _PAIRS:
        spots += [(left, (x, y)), (right, (-x, y))]
    for index, xy in spots:
        found[index] = frontmost(rest.points, rest.faces, np.array(xy))
    order = sorted(found)
    return np.array(order, dtype=np.int64), np.array([found[i][0] for i in order], dtype=np.int64), np.stack([found[i][1] for i in order])
