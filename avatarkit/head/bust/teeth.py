"""Teeth, gums and tongue: two arches with a groove between neighbouring teeth, and a soft blob."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust.patches import HalfMesh

Array = NDArray[np.float64]

# Widths (mm) of one side's teeth from the midline: two incisors, canine, two premolars, two molars.
TOOTH_WIDTHS = (8.5, 6.6, 7.4, 6.6, 6.6, 9.4, 9.0)
COLUMNS_PER_TOOTH = 3
# Profile from the gum outside, over the biting edge, to the gum inside: (outwards, away from the edge, is gum).
PROFILE = (
    (-1.6, 10.5, 1),
    (0.3, 7.6, 1),
    (0.7, 6.6, 0),
    (1.0, 4.0, 0),
    (0.55, 0.7, 0),
    (-0.5, 0.0, 0),
    (-1.9, 0.9, 0),
    (-3.6, 8.5, 1),
)


def _arch(share: Array, half_width: float, front: float, depth: float) -> tuple[Array, Array]:
    """Points (..., 2) in x, z on half an ellipse and outward normals; ``share`` of the arc from the midline to the back."""
    angle = np.linspace(0, np.radians(88), 200)
    curve = np.stack([half_width * np.sin(angle), front - depth * (1 - np.cos(angle))], -1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    at = np.interp(share * length[-1], length, angle)
    point = np.stack([half_width * np.sin(at), front - depth * (1 - np.cos(at))], -1)
    normal = np.stack([np.sin(at) / half_width, np.cos(at) / depth], -1)
    return point, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _columns() -> tuple[Array, Array]:
    """Share of the arc, and 1 in the groove between two teeth."""
    bounds = np.concatenate([[0], np.cumsum(TOOTH_WIDTHS)]) / sum(TOOTH_WIDTHS)
    share, groove = [], []
    for left, right in itertools.pairwise(bounds):
        for k, f in enumerate((0.0, 0.16, 0.84)[:COLUMNS_PER_TOOTH]):
            share.append(left + f * (right - left))
            groove.append(1.0 if k == 0 else 0.0)
    return np.array([*share, 1.0]), np.array([*groove, 1.0])


def _row_of_teeth(mesh: HalfMesh, group: str, edge: float, up: float, half_width: float, front: float) -> None:
    share, groove = _columns()
    point, normal = _arch(share, half_width, front, 33.0)
    thick = 1 + 1.6 * np.clip((share - 0.35) / 0.25, 0, 1)  # molars are thicker
    canine = np.exp(-(((share - 0.34) / 0.05) ** 2))
    rows = []
    for k, (out, away, gum) in enumerate(PROFILE):
        inner = k >= 5
        offset = out * np.where(inner, thick, 1.0) - (0.0 if gum or inner else 0.55) * groove
        height = away + (0.55 * groove if not gum else 0.6 * (1 - groove) * (k == 1)) - (0.5 * canine if not gum else 0)
        place = point + offset[:, None] * normal
        place[:, 0] = np.where(share == 0.0, 0.0, place[:, 0])
        rows.append(mesh.add(group, np.stack([place[:, 0], edge + up * height, place[:, 1]], -1)))
    ids = np.stack(rows)
    mesh.rings(ids, flip=up > 0)
    mesh.grids[group] = ids


def build_teeth(mesh: HalfMesh) -> None:
    """Both arches.  The upper incisors' edge lies just below the lips' line, the lower ones bite behind it."""
    _row_of_teeth(mesh, "upper_teeth", -46.8, 1.0, 23.0, 66.6)
    _row_of_teeth(mesh, "lower_teeth", -46.0, -1.0, 21.8, 64.2)


TONGUE_CENTRE = (0.0, -53.0, 38.0)


def build_tongue(mesh: HalfMesh) -> None:
    """A flattened ellipsoid with a groove along its back, tip behind the lower incisors."""
    along = np.linspace(0, np.pi, 10)[1:-1, None]
    around = np.linspace(0, np.pi, 7)[None]
    width, height, length = 15.5, 6.5, 21.0
    x = width * np.sin(along) ** 0.7 * np.sin(around)
    y = height * np.sin(along) * np.cos(around)
    y -= 1.2 * np.exp(-((x / 3.5) ** 2)) * np.sin(along) * (np.cos(around) > 0)
    z = length * np.cos(along) + 0 * around
    centre = np.array(TONGUE_CENTRE)
    rings = mesh.add("tongue", centre + np.stack([x, y, z], -1))
    tip = mesh.add("tongue", (centre + np.array([0, 0, length]))[None])
    root = mesh.add("tongue", (centre - np.array([0, 0, length]))[None])
    # every ring's first and last vertex is on the midline
    mesh.strip(np.repeat(tip, 7), rings[0])
    mesh.rings(rings)
    mesh.strip(rings[-1], np.repeat(root, 7))
    mesh.grids["tongue"] = rings
