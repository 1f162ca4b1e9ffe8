"""The control cage of the bust's skin: a grid of points that code turns into a smooth surface.

One half (the subject's left, x ≥ 0) is written down, in millimetres.  The 13 columns run along the face's natural lines
from the midline (0) past the wing of the nose (2), the inner (3) and outer (5) rim of the orbit, the cheekbone (6), the
ear (8) to the midline of the back (12); the 30 rows run from the crown (0) to the cut below the collar bones (29).  The
numbers are our own, set by eye to common anthropometric proportions (head 230 mm tall, 152 mm wide, 195 mm long).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COLUMNS = 13
CROWN, UPPER_ORBIT, EYE_LINE, LOWER_ORBIT, SUBNASALE, LIP_TOP, LIP_LINE, LIP_BOTTOM = 0, 8, 9, 10, 15, 16, 17, 18
JAW_BORDER, THROAT, BOTTOM = 20, 22, 29
NOSE_WING, INNER_ORBIT, PUPIL, OUTER_ORBIT, EAR = 2, 3, 4, 5, 8

# Angles (degrees, from the front) at which a plain ring crosses the columns.
RING_ANGLES = (0.0, 6.0, 12.0, 18.0, 29.0, 44.0, 60.0, 75.0, 88.0, 108.0, 133.0, 157.0, 180.0)

# Face and back of the head, rows 6 to 22: thirteen (x, y, z) each.
_FACE_ROWS = (
    # 6 above the brows
    (0, 57, 70,  7, 57, 70,  14, 57.5, 69.3,  21, 58, 67.8,  34, 58.5, 63,
     49, 57, 52,  61, 54, 36,  69, 50, 17,  74, 46, -3,
     75.5, 44, -38,  63, 46, -87,  33.5, 47, -116,  0, 47, -126),
    # 7 brow ridge, glabella
    (0, 47, 70.6,  5.5, 47, 70.4,  11, 48, 69.8,  18, 49, 69.5,  32, 50.5, 66,
     51, 48, 52.5,  62.5, 45, 34,  69.5, 42, 16,  74, 38, -4,
     75.8, 35, -38,  63, 36, -87,  33.5, 36, -115.5,  0, 36, -125.5),
    # 8 upper rim of the orbit, nasion
    (0, 38.5, 67,  4.2, 38.5, 66.3,  8, 39, 65,  13, 40, 63,  31.5, 43.5, 64.6,
     52, 41, 50,  63.5, 37, 31.5,  70, 34, 14,  73.8, 30, -5,
     75.5, 26, -38.5,  62.5, 25, -86.5,  33, 24, -114,  0, 24, -124),
    # 9 eye line
    (0, 31, 66,  4.2, 31, 64.5,  8, 30.5, 59.5,  13, 29.5, 53,  31.5, 30, 58,
     51.5, 30, 45,  63.8, 28, 29.5,  69, 25, 12,  72.5, 21, -6,
     75, 16.5, -39,  61.5, 14, -85.5,  32.5, 13, -111.5,  0, 12.5, -121),
    # 10 lower rim of the orbit
    (0, 21, 70.5,  4.8, 21, 68.5,  9.5, 20, 62.5,  14.5, 19, 57.3,  31, 17, 58.4,
     51, 19, 49.6,  63, 17.5, 30,  68, 15, 11,  71.2, 11, -7,
     74.2, 7, -39.5,  60.5, 4, -84,  31.5, 3, -108,  0, 2.5, -117),
    # 11 upper cheek
    (0, 9, 77.5,  5.6, 9, 75,  11.5, 8.5, 66.5,  18, 8, 61.5,  32, 6.5, 60,
     50.5, 7.5, 51,  62.5, 7, 31,  67, 5, 11,  70, 1, -8,
     73.2, -2, -40,  59, -5, -82,  30.5, -6, -104,  0, -6.5, -112),
    # 12 above the tip, top of the wing
    (0, -3, 85.5,  6.3, -3, 82.5,  13.5, -4, 72,  19.5, -4, 63.5,  31.5, -4, 62,
     48.5, -4, 52.5,  60.5, -4, 31.5,  65.5, -5.5, 11,  68.8, -8, -8,
     72, -10, -40.5,  57.5, -13, -79.5,  29.5, -14.5, -99.5,  0, -15, -107),
    # 13 tip of the nose
    (0, -13, 93,  6.5, -12.5, 89,  15.5, -13, 76,  20.5, -13.5, 65,  31, -14, 63,
     47, -14.5, 52.2,  58.5, -14.5, 31,  64, -15.5, 10.5,  67.5, -17, -8,
     71, -18, -41,  56, -21, -77.5,  28.5, -23, -96,  0, -23.5, -102.5),
    # 14 below the tip, rim of the nostrils
    (0, -20, 89,  6.5, -19.3, 85.5,  15.3, -20, 74,  20.5, -20.5, 65.5,  31, -21.5, 63.2,
     46, -22.5, 51.4,  57, -23.5, 30,  63, -24, 10,  66.5, -25, -9,
     70, -25, -41.5,  55, -28, -75.5,  28, -30.5, -93,  0, -31, -98.5),
    # 15 base of the nose
    (0, -24, 77.5,  6.3, -23.6, 76.5,  12.5, -23.8, 72,  19.5, -25.5, 67,  31, -27.5, 62.6,
     44.5, -29.5, 50.3,  56, -31.5, 28.5,  62.2, -32, 9,  65.8, -32.5, -10,
     69, -32, -42,  54, -35, -74,  27.5, -37.5, -90.5,  0, -38, -95),
    # 16 philtrum
    (0, -30, 76.3,  6, -30, 76,  12.5, -30.5, 73.8,  19.5, -32, 70,  31, -34.5, 61.5,
     43, -37, 49,  54.5, -39.5, 27,  61, -39.5, 8,  64.5, -39, -11,
     66, -38, -42,  52, -41.5, -73,  26.8, -44, -88.5,  0, -44.5, -92),
    # 17 line of the lips
    (0, -45.5, 77,  6.5, -45.5, 76.3,  13, -45.5, 73.8,  20, -45.8, 69.5,  31, -46.5, 60,
     41, -48, 47,  51.8, -50.5, 25,  58.5, -49, 6.5,  62.5, -46, -12,
     64, -45, -42,  51, -49, -72,  26.3, -51.5, -87,  0, -52, -90),
    # 18 fold between lip and chin
    (0, -62, 70.5,  6.5, -62, 70,  13, -61.8, 68,  20, -61.5, 64.5,  29.5, -61, 56,
     38.8, -60.5, 43.5,  48.8, -60, 22.5,  55.5, -56.5, 5,  60, -52, -13,
     61.5, -51, -42,  49.8, -56, -71.5,  25.8, -59, -86,  0, -59.5, -88.5),
    # 19 chin
    (0, -73, 74,  6.5, -73, 73,  12.6, -72.5, 69.5,  18.8, -71.8, 64,  27, -70, 54,
     35.5, -68, 41,  45, -65.5, 21,  52.5, -62, 4,  57.5, -57, -13,
     59, -56, -42,  48.3, -63, -71,  25.2, -66.5, -85.5,  0, -67, -88),
    # 20 border of the jaw
    (0, -82, 67.5,  6.3, -82, 66.5,  11.3, -81.3, 63,  16.3, -80, 57.5,  23.5, -77.5, 48.5,
     32, -74.5, 36.5,  41.5, -70.5, 18.5,  49, -66, 3,  54.5, -61, -13,
     57, -61, -42,  46.8, -70, -71,  24.6, -74, -85.5,  0, -74.5, -87.5),
    # 21 under the jaw
    (0, -85.5, 55,  5.5, -85.5, 54,  9.3, -85, 51,  13.5, -84, 46.5,  20, -82, 39,
     28, -79.5, 28.5,  37.5, -76, 13,  46.5, -72, -1,  52.5, -66.5, -15,
     54.5, -67.5, -43,  45, -77.5, -71,  24, -82, -85.5,  0, -82.5, -87.5),
    # 22 throat
    (0, -91, 26,  5, -91, 25.6,  10, -91, 24.5,  15, -90.5, 22.5,  22, -90, 18,
     29.5, -88.5, 11,  35.5, -86, 1,  44, -82.5, -9,  50, -77.5, -21,
     52.5, -78, -44,  42.5, -87, -71.5,  23, -91.5, -86,  0, -92, -88),
)  # fmt: skip


def _ring(y_front: float, y_side: float, y_back: float, width: float, front: float, back: float, power: float) -> Array:
    """(13, 3) a superellipse around the head: half width, front and back depth; ``power`` < 1 is boxier than an ellipse."""
    angle = np.radians(RING_ANGLES)
    sine, cosine = np.sin(angle), np.cos(angle)
    middle = (front + back) / 2
    x = width * np.abs(sine) ** power
    z = middle + (front - back) / 2 * np.sign(cosine) * np.abs(cosine) ** power
    ends = np.where(cosine > 0, y_front, y_back)
    y = y_side + (ends - y_side) * cosine**2
    points = np.stack([x, y, z], 1)
    points[[0, -1], 0] = 0.0
    return points


def control_points() -> Array:
    """(30, 13, 3) millimetres: the cage, row by row from the crown down."""
    crown = np.tile(np.array([0.0, 148.0, -24.0]), (COLUMNS, 1))
    skull = [
        _ring(143, 142, 142, 31, 8, -57, 1.0),
        _ring(129, 128, 128, 52.5, 34, -88, 0.97),
        _ring(111, 108, 106, 66, 52.5, -109, 0.93),
        _ring(91, 87, 85, 72.5, 62.5, -121, 0.9),
        _ring(72, 66, 65, 74.5, 67.5, -126, 0.88),
    ]
    face = [np.array(row, dtype=float).reshape(COLUMNS, 3) for row in _FACE_ROWS]
    neck = [
        _ring(-108, -99, -106, 50.5, 14, -85, 0.97),
        _ring(-130, -122, -124, 52, 8, -89, 0.97),
        _ring(-149, -142, -138, 60, 5, -97, 1.0),
        _ring(-163, -158, -152, 92, 12, -108, 1.0),
        _ring(-175, -172, -172, 135, 22, -116, 0.95),
        _ring(-193, -196, -193, 160, 34, -120, 0.85),
        _ring(-212, -220, -214, 166, 42, -121, 0.8),
    ]
    points = np.stack([crown, *skull, *face, *neck])
    # The nape is written row by row; two rounds of averaging down its columns take the steps out.
    for _ in range(2):
        between = (points[14:25] + 2 * points[15:26] + points[16:27]) / 4
        points[15:26, EAR + 1 :] = between[:, EAR + 1 :]
    return points
