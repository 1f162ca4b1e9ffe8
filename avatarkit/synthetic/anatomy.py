"""Where things are on ``bust`` at rest: its parts, the skin that hair grows on, the scalp.  Millimetres."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatarkit.head.bust.assembly import Rest, build_rest
from avatarkit.synthetic.parts import Skin, smoothstep
from avatarkit.types import FloatArray

# Height of the hairline (mm) by azimuth from the face's midline (degrees), around the axis x = 0, z = −20.
_AZIMUTH = (0, 18, 32, 44, 54, 62, 70, 77, 84, 104, 112, 122, 136, 155, 180)
_HAIRLINE = (99, 98, 92, 82, 66, 40, 6, 10, 44, 44, 4, -34, -56, -66, -70)


@lru_cache(maxsize=1)
def rest() -> Rest:
    """``bust`` at rest, with the names of its parts."""
    return build_rest()


@lru_cache(maxsize=1)
def outer_skin() -> Skin:
    """The skin that parts grow on (mm): without ears, eyes, lining, teeth and tongue."""
    bust = rest()
    outer = bust.parts["skin"] | bust.parts["eyelid"] | bust.parts["lip_border"] | bust.parts["lips"]
    return Skin(bust.points, bust.faces[outer[bust.faces].all(1)])


def upper_lip() -> FloatArray:
    """(V,) 1 on the upper half of the mouth's chains, 0 on the lower."""
    bust = rest()
    upper = np.zeros(len(bust.points))
    chain = bust.grids["mouth"]
    left = chain[:, : chain.shape[1] // 2 + 1].ravel()
    upper[left] = 1.0
    upper[bust.mirror[left]] = 1.0
    return upper


def scalp(points: FloatArray) -> FloatArray:
    """(N,) 1 on the scalp, 0 off it, soft over 8 mm at the hairline.  points (N, 3) millimetres, on the skin."""
    azimuth = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] + 20.0))
    line = np.interp(azimuth, _AZIMUTH, _HAIRLINE)
    return smoothstep(-4.0, 4.0, points[:, 1] - line)
