"""The whole bust at rest: skin, ears, eyeballs, teeth and tongue in one mesh, with the names of its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust import cage, ears, eyes, sculpt, skin, teeth
from avatarkit.head.bust.patches import HalfMesh
from avatarkit.head.bust.spline import CageSurface

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Rest:
    """The bust at rest.

    points (V, 3) millimetres; faces (F, 3); mirror (V,) the vertex on the other side; side (V,) 1 left, −1 right, 0 midline;
    grids: structured ids of the left half (see ``HalfMesh``); parts: name → (V,) bool over both halves.
    """

    points: Array
    faces: Ids
    mirror: Ids
    side: Array
    grids: dict[str, Ids]
    parts: dict[str, NDArray[np.bool_]]

    @property
    def left(self) -> NDArray[np.bool_]:
        return self.side > 0


def _build_eyeball(mesh: HalfMesh) -> None:
    front, rings, back = eyes.eyeball(eyes.EYE)
    count = eyes.BALL_SEGMENTS
    pole, ball, end = mesh.add("eyeball", front[None]), mesh.add("eyeball", rings), mesh.add("eyeball", back[None])
    mesh.strip(np.repeat(pole, count), ball[0], closed=True, flip=True)
    mesh.rings(ball, closed=True, flip=True)
    mesh.strip(ball[-1], np.repeat(end, count), closed=True, flip=True)
    mesh.grids["ball"] = ball
    mesh.grids["ball_pole"] = pole


def build_rest() -> Rest:
    """Build everything; about 50 ms."""
    mesh = HalfMesh()
    skin.build_skin(mesh, CageSurface(cage.control_points(), sculpt.sculpted))
    ears.build_ear(mesh)
    _build_eyeball(mesh)
    teeth.build_teeth(mesh)
    teeth.build_tongue(mesh)
    points, faces, mirror, side = mesh.mirrored()
    parts = {}
    for name, ids in mesh.groups.items():
        mask = np.zeros(len(points), bool)
        mask[ids] = True
        mask[mirror[ids]] = True
        parts[name] = mask
    return Rest(points, faces, mirror, side, dict(mesh.grids), parts)
