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
_UPPER_LID = (
    (362, 133, 0),
    (398, 173, 1),
    (384, 157, 3),
    (385, 158, 6),
    (386, 159, 9),
    (387, 160, 11),
    (388, 161, 13),
    (466, 246, 14),
    (263, 33, 16),
)
_LOWER_LID = ((382, 155, 1), (381, 154, 3), (380, 153, 5), (374, 145, 8), (373, 144, 10), (390, 163, 12), (249, 7, 14))
# (left, right) → step along the lip from the midline (0) to the corner (18).
_OUTER_UPPER = ((0, 0, 0), (267, 37, 4), (269, 39, 8), (270, 40, 11), (409, 185, 14), (291, 61, 18))
_OUTER_LOWER = ((17, 17, 0), (314, 84, 4), (405, 181, 8), (321, 91, 11), (375, 146, 14))
_INNER_UPPER = ((13, 13, 0), (312, 82, 4), (311, 81, 7), (310, 80, 10), (415, 191, 12), (308, 78, 18))
_INNER_LOWER = ((14, 14, 0), (317, 87, 4), (402, 178, 7), (318, 88, 10), (324, 95, 12))
BORDER_RING, LINE_RING = 3, 8

# Points of the skin, front view, mm: on the midline (index, y) and off it (left, right, x, y).
_MIDLINE = (
    (10, np.float64(84.0)), (151, np.float64(67.4)), (9, np.float64(52.4)), (8, np.float64(43.0)),
    (168, np.float64(33.0)), (6, np.float64(23.1)), (197, np.float64(14.7)), (195, np.float64(7.4)),
    (5, np.float64(-0.4)), (4, np.float64(-9.3)), (1, np.float64(-15.8)), (19, np.float64(-19.3)),
    (94, np.float64(-21.5)), (2, np.float64(-22.8)), (164, np.float64(-28.5)), (18, np.float64(-59.8)),
    (200, np.float64(-66.1)), (199, np.float64(-72.8)), (175, np.float64(-78.2)), (152, np.float64(-81.8)),
)  # fmt: skip
_PAIRS = (
    (336, 107, np.float64(14.3), np.float64(54.5)), (296, 66, np.float64(28.8), np.float64(56.2)),
    (334, 105, np.float64(41.1), np.float64(56.1)), (293, 63, np.float64(50.4), np.float64(52.5)),
    (300, 70, np.float64(56.6), np.float64(46.6)), (285, 55, np.float64(12.3), np.float64(45.4)),
    (295, 65, np.float64(27.6), np.float64(50.5)), (282, 52, np.float64(39.0), np.float64(50.8)),
    (283, 53, np.float64(47.3), np.float64(48.2)), (276, 46, np.float64(53.2), np.float64(43.5)),
    (417, 193, np.float64(6.7), np.float64(32.7)), (351, 122, np.float64(5.4), np.float64(21.7)),
    (419, 196, np.float64(5.2), np.float64(13.5)), (248, 3, np.float64(4.9), np.float64(6.4)),
    (281, 51, np.float64(5.2), np.float64(-1.0)), (275, 45, np.float64(5.5), np.float64(-9.4)),
    (456, 236, np.float64(9.0), np.float64(3.7)), (363, 134, np.float64(10.0), np.float64(-3.1)),
    (440, 220, np.float64(10.2), np.float64(-10.0)), (344, 115, np.float64(14.1), np.float64(-11.4)),
    (278, 48, np.float64(16.7), np.float64(-13.9)), (294, 64, np.float64(16.7), np.float64(-16.8)),
    (327, 98, np.float64(14.7), np.float64(-20.6)), (326, 97, np.float64(7.0), np.float64(-22.4)),
    (266, 36, np.float64(28.8), np.float64(-8.4)), (330, 101, np.float64(33.0), np.float64(0.7)),
    (280, 50, np.float64(46.9), np.float64(-6.7)), (352, 123, np.float64(61.4), np.float64(-2.8)),
    (425, 205, np.float64(38.1), np.float64(-15.9)), (426, 206, np.float64(29.6), np.float64(-24.2)),
    (427, 207, np.float64(43.0), np.float64(-26.4)), (376, 147, np.float64(59.7), np.float64(-16.4)),
    (433, 213, np.float64(58.4), np.float64(-28.3)), (434, 214, np.float64(44.5), np.float64(-44.5)),
    (432, 212, np.float64(36.5), np.float64(-43.8)), (422, 202, np.float64(31.7), np.float64(-51.4)),
    (418, 194, np.float64(18.4), np.float64(-62.5)), (421, 201, np.float64(9.4), np.float64(-65.7)),
    (396, 171, np.float64(12.1), np.float64(-77.6)), (428, 208, np.float64(11.4), np.float64(-72.3)),
    (262, 32, np.float64(21.1), np.float64(-68.2)), (337, 108, np.float64(16.7), np.float64(68.0)),
    (338, 109, np.float64(18.9), np.float64(83.7)), (299, 69, np.float64(31.6), np.float64(68.3)),
    (333, 104, np.float64(45.8), np.float64(65.8)), (297, 67, np.float64(35.1), np.float64(81.4)),
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
    return (
        np.array(order, dtype=np.int64),
        np.array([found[i][0] for i in order], dtype=np.int64),
        np.stack([found[i][1] for i in order]),
    )
