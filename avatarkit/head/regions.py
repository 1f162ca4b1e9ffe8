"""Region masks of a FLAME-topology head: which vertices are nose, lid, lip, scalp …

Derived by code, so that they are there without FLAME's own mask file, from four sources: connectivity (eyeballs are parts of
their own; the lips are rings of edges around the mouth's open loop; the shoulders end in an open loop), skinning weights (the
jaw, upper against lower lip), the place of the eyes (all outlines below are in units of the distance between the eyeballs, from
the point between them), and, where the user has registered it, FLAME_masks.pkl, whose regions replace ours.
``l_`` is the subject's left, +x.  Masks are 0 or 1 per vertex, float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.topology import open_loops, parts, ring_distance
from avatarkit.types import Float32Array, FloatArray, IntArray

FLAME_VERTICES = 5023
JAW = 2
# Rings of edges around the mouth's open loop: where the lips meet, and their outer border.
CONTACT_RING, LIP_RING = 4, 7
SHOULDER_RING = 4  # around the open loop at the bottom
REGIONS = (
    "face", "skull", "scalp", "forehead", "nose", "lips", "u_lip", "l_lip", "mouth", "l_eye", "r_eye", "l_eye_region",
    "r_eye_region", "l_brow", "r_brow", "l_ear", "r_ear", "jaw", "neck", "boundary", "teeth",
)  # fmt: skip
# FLAME_masks.pkl's names for what replaces ours.
OFFICIAL = {
    "face": "face", "scalp": "scalp", "forehead": "forehead", "nose": "nose", "lips": "lips", "neck": "neck",
    "boundary": "boundary", "l_eye": "left_eyeball", "r_eye": "right_eyeball", "l_ear": "left_ear", "r_ear": "right_ear",
    "l_eye_region": "left_eye_region", "r_eye_region": "right_eye_region",
}  # fmt: skip

# Outlines seen from the front: (distance from the middle, height).
BROW = [(0.16, 0.15), (0.42, 0.22), (0.60, 0.24), (0.76, 0.21), (0.87, 0.12), (0.97, 0.20), (0.84, 0.38), (0.65, 0.43),
        (0.46, 0.42), (0.16, 0.38)]  # fmt: skip
NOSE = [(-0.01, 0.12), (0.11, 0.12), (0.15, -0.15), (0.22, -0.40), (0.36, -0.52), (0.37, -0.66), (0.28, -0.75),
        (-0.01, -0.78)]  # fmt: skip
LID_ACROSS, LID_ALONG = 0.34, 0.21  # half axes of the lids' ellipse around an eyeball's centre
# Outlines seen from the side: (forward, height).
HAIRLINE = [(9.0, 1.12), (0.30, 1.08), (0.0, 0.95), (-0.30, 0.72), (-0.62, 0.50), (-1.05, 0.34), (-1.30, 0.20),
            (-1.60, -0.55), (-1.90, -0.95), (-9.0, -0.95)]  # fmt: skip
JAWLINE = [
    (9.0, -1.84),
    (0.20, -1.84),
    (-0.60, -1.50),
    (-1.00, -1.10),
    (-1.30, -0.72),
    (-1.60, -0.55),
    (-1.90, -0.95),
    (-9.0, -0.95),
]
EAR_CENTRE, EAR_AXES, EAR_TILT = (-1.245, -0.44), (0.26, 0.515), 0.19  # tilt in radians, the top backwards
EAR_SIDE = 0.92  # least distance from the middle
EAR_OUT, EAR_HEIGHTS = 1.27, (-0.95, 0.1)  # between these heights only ears are so far from the middle


def head_regions(
    template: FloatArray, faces: IntArray, weights: FloatArray, official: Mapping[str, IntArray] | None = None
) -> dict[str, Float32Array]:
    """Every name of ``REGIONS`` → (V,) float32 mask.

    template (V, 3) metres, faces (F, 3), weights (V, J): a FLAME-topology head; vertices from 5023 on are teeth.
    official: FLAME_masks.pkl's content, name → vertex indices.
    """
    vertices = len(template)
    skin_faces = faces[(faces < FLAME_VERTICES).all(1)]
    base, jaw = template[:FLAME_VERTICES].astype(np.float64), weights[:FLAME_VERTICES, JAW]
    part = parts(skin_faces, FLAME_VERTICES)
    skin = part == np.bincount(part).argmax()
    left_eye, right_eye = ~skin & (base[:, 0] > 0), ~skin & (base[:, 0] < 0)
    eyes = {"l": base[left_eye].mean(0), "r": base[right_eye].mean(0)}
    unit = float(np.linalg.norm(eyes["l"] - eyes["r"]))
    across, height, forward = ((base - 0.5 * (eyes["l"] + eyes["r"])) / unit).T
    loops = open_loops(skin_faces, FLAME_VERTICES)
    mouth_loop = max(loops, key=lambda loop: base[loop, 2].mean())
    bottom_loop = min(loops, key=lambda loop: base[loop, 1].mean())
    lip_ring = ring_distance(skin_faces, FLAME_VERTICES, mouth_loop)

    found: dict[str, NDArray[np.bool_]] = {"l_eye": left_eye, "r_eye": right_eye}
    found["mouth"] = skin & (lip_ring < CONTACT_RING)
    lips = skin & (lip_ring >= CONTACT_RING) & (lip_ring <= LIP_RING)
    found |= {"lips": lips, "u_lip": lips & (jaw < 0.5), "l_lip": lips & (jaw >= 0.5)}
    outer = skin & (lip_ring > LIP_RING)
    found["boundary"] = skin & (ring_distance(skin_faces, FLAME_VERTICES, bottom_loop) <= SHOULDER_RING)
    above_hairline = height > line_height(HAIRLINE, forward)
    below_jawline = height < line_height(JAWLINE, forward)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        here = outer & (sign * across > 0)
        turned = ellipse(forward, height, EAR_CENTRE, EAR_AXES, EAR_TILT) < 1
        sticks_out = (height > EAR_HEIGHTS[0]) & (height < EAR_HEIGHTS[1]) & (sign * across > EAR_OUT) & (forward < 0)
        found[f"{side}_ear"] = here & (turned & (sign * across > EAR_SIDE) | sticks_out)
        found[f"{side}_brow"] = here & (forward > -0.3) & inside(BROW, sign * across, height)
        centre = (base - eyes[side]) / unit
        lids = (centre[:, 0] / LID_ACROSS) ** 2 + (centre[:, 1] / LID_ALONG) ** 2 < 1
        found[f"{side}_eye_region"] = here & lids & (forward > -0.35) & ~found[f"{side}_brow"]
    ears, brows = found["l_ear"] | found["r_ear"], found["l_brow"] | found["r_brow"]
    found["nose"] = outer & (forward > 0.1) & inside(NOSE, np.abs(across), height)
    found["scalp"] = outer & above_hairline & ~ears & ~below_jawline
    found["neck"] = outer & below_jawline & ~found["boundary"] & ~ears
    found["face"] = outer & ~ears & ~found["scalp"] & ~found["neck"] & ~found["boundary"] | lips
    found["forehead"] = found["face"] & (height > 0.25) & (forward > -0.62) & ~brows & ~lips
    found["forehead"] &= height > line_height([(-9, 0.2), (0, 0.2), (0.2, 0.30), (9, 0.36)], np.abs(across))
    found["jaw"] = found["face"] & (jaw >= 0.3) & ~lips
    for name, source in OFFICIAL.items():
        if official is not None and source in official:
            found[name] = np.isin(np.arange(FLAME_VERTICES), official[source])
    if official is not None:
        found |= {
            half: found["lips"] & ((jaw < 0.5) == (half == "u_lip")) & ~found["mouth"] for half in ("u_lip", "l_lip")
        }
    found["skull"] = found["scalp"] | found["forehead"] | found["l_ear"] | found["r_ear"]
    masks = {name: np.zeros(vertices, np.float32) for name in REGIONS}
    for name, mask in found.items():
        masks[name][:FLAME_VERTICES] = mask
    masks["teeth"][FLAME_VERTICES:] = 1
    masks["mouth"][FLAME_VERTICES:] = 1
    return masks


def line_height(points: list[tuple[float, float]], at: FloatArray) -> FloatArray:
    """Height of a polyline over ``at``."""
    ordered = sorted(points)
    return np.interp(at, [x for x, _ in ordered], [y for _, y in ordered])


def ellipse(
    x: FloatArray, y: FloatArray, centre: tuple[float, float], axes: tuple[float, float], tilt: float
) -> FloatArray:
    """Squared radius in units of an ellipse: below 1 inside.  tilt: radians, counterclockwise."""
    dx, dy = x - centre[0], y - centre[1]
    along = (dx * np.cos(tilt) + dy * np.sin(tilt)) / axes[0]
    up = (-dx * np.sin(tilt) + dy * np.cos(tilt)) / axes[1]
    return along**2 + up**2


def inside(outline: list[tuple[float, float]], x: FloatArray, y: FloatArray) -> NDArray[np.bool_]:
    """Which points lie in a polygon (crossings of a ray to the right)."""
    crossings = np.zeros(len(x), int)
    for (ax, ay), (bx, by) in zip(outline, outline[1:] + outline[:1], strict=True):
        straddles = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings += straddles & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return crossings % 2 == 1
