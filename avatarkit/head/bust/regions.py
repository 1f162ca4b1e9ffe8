"""Region masks: which part of the head a vertex belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.landmarks import LINE_RING
from avatarkit.head.bust.rigging import Fields, smoothstep

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


def hairline(azimuth: Array) -> Array:
    """Height (mm) of the hairline at ``azimuth`` (radians from the front, 0 … π): forehead, temple, round the ear, nape."""
    degrees = np.degrees(np.abs(azimuth))
    return np.interp(
        degrees, (0, 25, 42, 55, 70, 82, 92, 104, 118, 140, 180), (103, 102, 92, 70, 52, 34, 44, 40, 0, -42, -58)
    )


def brow_arc(share: Array) -> Array:
    """(..., 2) front view of the left brow's middle line, mm; ``share`` from the nose to the temple."""
    x = 10.5 + 38.0 * share
    y = 46.2 + 6.6 * np.sin(np.pi * np.clip(share, 0, 1) ** 0.9 * 0.72) - 2.0 * share**3
    return np.stack([x, y], -1)


def region_masks(rest: Rest, fields: Fields) -> dict[str, Float32]:
    """name → (V,) float32 weights in [0, 1]."""
    p, parts = rest.points, rest.parts
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    left, right = p[:, 0] > 0, p[:, 0] < 0
    grid_eye = rest.grids["eye"]
    skin = parts["skin"] | parts["eyelid"] | parts["lip_border"]
    azimuth = np.arctan2(x, z + 27.0)
    scalp = smoothstep(-6.0, 6.0, y - hairline(azimuth)) * parts["skin"] * (y > -70)
    head = smoothstep(-150.0, -84.0, y + 0.10 * (z + 40))
    below = parts["skin"] * (1 - head)
    neck = below * (1 - smoothstep(60.0, 78.0, x)) * smoothstep(-172.0, -158.0, y)
    front_face = (
        skin * (1 - scalp) * smoothstep(-14.0, 0.0, z) * smoothstep(-90.0, -82.0, y - 0.25 * np.minimum(z - 60, 0) * -1)
    )
    forehead = parts["skin"] * (1 - scalp) * smoothstep(52.0, 60.0, y) * smoothstep(0.0, 14.0, z)
    nose_half = np.interp(y, (-27, -24, -13, -3, 8, 20, 31, 40), (12, 15, 18, 15.5, 12.5, 9.5, 7.5, 6))
    nose = (
        parts["skin"]
        * smoothstep(2.0, -2.0, x - nose_half)
        * smoothstep(-27.5, -24.0, y)
        * smoothstep(42.0, 34.0, y)
        * (z > 50)
    )
    red = parts["lips"] | parts["lip_border"]
    mouth_grid = rest.grids["mouth"]
    inside = parts["lining"].copy()
    inside[mouth_grid[LINE_RING + 1 :]] = inside[rest.mirror[mouth_grid[LINE_RING + 1 :]]] = True
    masks: dict[str, NDArray[np.floating]] = {
        "scalp": scalp,
        "face": front_face,
        "forehead": forehead,
        "nose": nose,
        "u_lip": red * fields.upper,
        "l_lip": red * (1 - fields.upper),
        "mouth": inside * 1.0,
        "teeth": (parts["upper_teeth"] | parts["lower_teeth"]) * 1.0,
        "tongue": parts["tongue"] * 1.0,
        "l_eye": (parts["eyeball"] & left) * 1.0,
        "r_eye": (parts["eyeball"] & right) * 1.0,
        "l_ear": (parts["ear"] & left) * 1.0,
        "r_ear": (parts["ear"] & right) * 1.0,
        "jaw": parts["skin"] * fields.jaw * (1 - scalp),
        "neck": neck,
        "boundary": np.maximum((parts["skin"] & (y < -160)) * smoothstep(-165.0, -195.0, y), below - neck),
    }
    around_eye = np.zeros(len(p))
    for k, weight in enumerate((0.6, 0.9)):
        around_eye[grid_eye[k]] = around_eye[rest.mirror[grid_eye[k]]] = weight
    around_eye[parts["eyelid"]] = 1.0
    masks["l_eye_region"] = around_eye * left
    masks["r_eye_region"] = around_eye * right
    share = (x - 10.5) / 38.0
    middle = brow_arc(share)[:, 1]
    half = np.interp(share, (-0.05, 0.1, 0.6, 1.05), (3.4, 3.8, 3.2, 1.6))
    brow = parts["skin"] * smoothstep(half + 1.2, half - 1.0, np.abs(y - middle)) * smoothstep(-0.08, 0.02, share)
    brow *= smoothstep(1.08, 0.98, share) * (z > 20)
    masks["l_brow"], masks["r_brow"] = brow * left, brow * right
    return {name: np.clip(value, 0, 1).astype(np.float32) for name, value in masks.items()}
