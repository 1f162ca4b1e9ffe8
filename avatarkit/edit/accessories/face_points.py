"""Named points of a head at rest: MediaPipe's landmarks where the model has them, else regions and the profile.

Every rule works on any head model with the regions of ``avatarkit.head.regions`` and joints for the eyes; a landmark, where
there is one, replaces the rule's answer.  ``l_`` and ``r_`` are the subject's sides, +x and −x.
"""

from __future__ import annotations

import numpy as np

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.relief import Relief
from avatarkit.edit.accessories.skin import Skin, Spread
from avatarkit.edit.accessories.vectors import SIDES
from avatarkit.errors import InputError
from avatarkit.types import BoolArray, FloatArray

# Point → MediaPipe landmark.
LANDMARKS = {
    "bridge": 168, "nose_tip": 4, "septum": 2, "l_ala": 358, "r_ala": 129, "l_mouth": 291, "r_mouth": 61, "lip_top": 0,
    "lip_bottom": 17, "chin": 152,
}  # fmt: skip
BROW_TOPS = {"l_brow": (334, 296), "r_brow": (105, 66)}  # the middle of each brow's upper edge
POINTS = (
    "l_eye", "r_eye", "l_pupil", "r_pupil", "bridge", "nose_tip", "septum", "l_ala", "r_ala", "l_mouth", "r_mouth", "lip_top",
    "lip_bottom", "chin", "l_brow", "r_brow", "l_lobe", "r_lobe", "l_ear_top", "r_ear_top", "l_ear_root", "r_ear_root",
    "l_temple", "r_temple", "crown",
)  # fmt: skip
NEEDED = ("l_eye", "r_eye", "nose", "u_lip", "l_lip", "l_brow", "r_brow", "l_ear", "r_ear")
LOBE_BAND = (0.04, 0.16)  # of the ear's height, from below: where a lobe is pierced
LOBE_DEPTH = 0.006  # metres behind the outermost point of that band that still count as its outer face


def face_points(
    head: HeadModel, vertices: FloatArray, joints: FloatArray, skin: Skin, spread: Spread, front: Relief
) -> dict[str, FloatArray]:
    """Every name of ``POINTS`` → (3,) metres.

    vertices (V, 3) and joints (J, 3) at rest; skin and front of the same head; spread: points all over it.
    Raises InputError for a head model without the regions or the joints that this needs.
    """
    regions = {name: np.asarray(weights) > 0.5 for name, weights in head.regions.items()}
    missing = [name for name in NEEDED if name not in regions or not regions[name].any()]
    if missing or not {"l_eye", "r_eye"} <= set(head.joint_names):
        what = f"regions {', '.join(missing)}" if missing else "joints l_eye and r_eye"
        raise InputError(
            f"head model '{head.name}': accessories need its {what} to find their places; it has none of that name"
        )
    found = _eyes(head, vertices, joints, regions)
    apart = float(np.linalg.norm(found["l_eye"] - found["r_eye"]))
    middle = 0.5 * (found["l_eye"] + found["r_eye"])
    found |= _profile(vertices, regions, front, middle, apart)
    for name in SIDES:
        found |= _ear(name, skin, spread, regions[f"{name}_ear"])
        brow = vertices[regions[f"{name}_brow"]]
        top = brow[brow[:, 1] >= np.quantile(brow[:, 1], 0.6)]
        found[f"{name}_brow"] = top.mean(0)
    found["crown"] = spread.points[spread.points[:, 1].argmax()]
    found |= _landmarks(head, vertices)
    for name, side in SIDES.items():
        brow = found[f"{name}_brow"]
        at = np.array([0.0, brow[1], found[f"{name}_eye"][2] - 0.15 * apart])
        near = spread.points[
            (np.abs(spread.points[:, 1:] - at[1:]).max(1) < 0.006) & (side * (spread.points[:, 0] - middle[0]) > 0)
        ]
        outermost = side * (side * near[:, 0]).max() if len(near) else brow[0]
        found[f"{name}_temple"] = np.array([outermost, *at[1:]])
    return {name: found[name] for name in POINTS}


def _eyes(
    head: HeadModel, vertices: FloatArray, joints: FloatArray, regions: dict[str, BoolArray]
) -> dict[str, FloatArray]:
    """Centres of the eyeballs, and the front of each."""
    found = {}
    for name in SIDES:
        centre = joints[head.joint_names.index(f"{name}_eye")]
        ball = vertices[regions[f"{name}_eye"]]
        found[f"{name}_eye"] = centre
        found[f"{name}_pupil"] = np.array([centre[0], centre[1], ball[:, 2].max()])
    return found


def _profile(
    vertices: FloatArray, regions: dict[str, BoolArray], front: Relief, middle: FloatArray, apart: float
) -> dict[str, FloatArray]:
    """What lies on the midline and beside it; ``apart``: the distance between the eyes, the unit of the proportions."""

    def on_midline(height: float) -> FloatArray:
        return np.array([middle[0], height, float(front(np.array(middle[0]), np.array(height)))])

    nose = vertices[regions["nose"]]
    lips = vertices[regions["u_lip"] | regions["l_lip"]]
    found = {"bridge": on_midline(middle[1] + 0.03 * apart), "nose_tip": nose[nose[:, 2].argmax()]}
    column = nose[np.abs(nose[:, 0] - middle[0]) < 0.08 * apart]
    base = column[column[:, 2] > np.quantile(column[:, 2], 0.3)]
    found["septum"] = base[base[:, 1].argmin()]
    wings = nose[nose[:, 1] < middle[1] - 0.4 * apart]
    for name, side in SIDES.items():
        found[f"{name}_ala"] = wings[(side * wings[:, 0]).argmax()]
        found[f"{name}_mouth"] = lips[(side * lips[:, 0]).argmax()]
    upper, lower = vertices[regions["u_lip"]], vertices[regions["l_lip"]]
    found["lip_top"] = on_midline(float(upper[np.abs(upper[:, 0] - middle[0]) < 0.2 * apart, 1].max()))
    found["lip_bottom"] = on_midline(float(lower[np.abs(lower[:, 0] - middle[0]) < 0.2 * apart, 1].min()))
    # The chin ends where the profile has fallen back by a tenth of the distance between the eyes from its foremost point.
    heights = found["lip_bottom"][1] - np.linspace(0.05, 0.9, 80) * apart
    depths = front(np.full(80, middle[0]), heights)
    foremost = int(depths[:50].argmax())
    last = foremost + int(np.argmax(np.append(depths[foremost:] < depths[foremost] - 0.1 * apart, True))) - 1
    found["chin"] = np.array([middle[0], heights[last], depths[last]])
    return found


def _ear(name: str, skin: Skin, spread: Spread, region: BoolArray) -> dict[str, FloatArray]:
    """Lobe: where it is pierced; top: of the ear; root: where the arm of glasses rests, between the ear's top and the head."""
    side = SIDES[name]
    points = spread.points[region[skin.faces[spread.triangles]].all(1)]
    low, high = points[:, 1].min(), points[:, 1].max()
    tall = high - low
    band = points[(points[:, 1] > low + LOBE_BAND[0] * tall) & (points[:, 1] < low + LOBE_BAND[1] * tall)]
    outer = band[side * band[:, 0] > (side * band[:, 0]).max() - LOBE_DEPTH]
    upper = points[points[:, 1] > high - 0.25 * tall]
    front = float(np.quantile(upper[:, 2], 0.9))
    root = np.array([side * (side * upper[:, 0]).min(), high - 0.14 * tall, 0.5 * (front + upper[:, 2].mean())])
    return {f"{name}_lobe": outer.mean(0), f"{name}_ear_top": points[points[:, 1].argmax()], f"{name}_ear_root": root}


def _landmarks(head: HeadModel, vertices: FloatArray) -> dict[str, FloatArray]:
    """The points that the model's embedding of MediaPipe's landmarks gives."""
    embedding = head.landmarks
    if embedding is None:
        return {}
    corners = vertices[np.asarray(head.faces)[np.asarray(embedding.faces)]]
    points = (corners * np.asarray(embedding.barycentrics, dtype=np.float64)[:, :, None]).sum(1)
    table = dict(zip(embedding.indices.tolist(), points, strict=True))
    found = {name: table[index] for name, index in LANDMARKS.items() if index in table}
    for name, pair in BROW_TOPS.items():
        if all(index in table for index in pair):
            found[name] = np.mean([table[index] for index in pair], axis=0)
    return found
