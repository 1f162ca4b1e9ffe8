"""Where the head, the mouth and the eyes are in a picture: from the posed head model, the same for whatever is scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatarkit.contracts import HeadModel
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.types import FloatArray

Mask = NDArray[np.bool_]
REGIONS = ("head", "mouth", "eyes")
BELOW_HEAD = ("neck", "boundary")
MOUTH = ("lips", "u_lip", "l_lip", "mouth")
EYES = (("l_eye_region", "l_eye"), ("r_eye_region", "r_eye"))
MARGIN = 0.15  # of a box's size, on each side
MIN_PIXELS = 12


class RegionFinder:
    """Triangle sets of one head model, looked up once.

    ``masks`` → {"head", "mouth", "eyes"}: (H, W) bool.  head: the drawn model without neck and shoulders; mouth and eyes: boxes
    around the visible lips, and around the lids of each visible eye.  A region that the camera does not see is all False.
    """

    def __init__(self, head: HeadModel) -> None:
        self.faces = head.faces.numpy()
        named = {name: weights.numpy()[self.faces].mean(1) >= 0.5 for name, weights in head.regions.items()}
        none = np.zeros(len(self.faces), bool)
        pick = lambda names: np.logical_or.reduce([named.get(name, none) for name in names])  # noqa: E731
        self.head = ~pick(BELOW_HEAD)
        self.mouth = pick(MOUTH)
        self.eyes = [pick(names) for names in EYES]

    def masks(
        self, vertices: FloatArray, viewmat: FloatArray, K: FloatArray, width: int, height: int
    ) -> dict[str, Mask]:
        """Regions for a head with ``vertices`` (V, 3) seen by one camera (OpenCV viewmat (4, 4), K (3, 3))."""
        drawn = rasterize_mesh(vertices, self.faces, viewmat, K, width, height).triangle
        seen = drawn >= 0
        of = lambda chosen: seen & chosen[np.where(seen, drawn, 0)]  # noqa: E731
        head = of(self.head)
        eyes = np.zeros_like(seen)
        for chosen in self.eyes:
            eyes |= _box(of(chosen))
        return {"head": head, "mouth": _box(of(self.mouth)), "eyes": eyes}


def _box(mask: Mask) -> Mask:
    """The bounding box of ``mask`` with a margin, filled; empty where too few pixels show."""
    box = np.zeros_like(mask)
    if int(mask.sum()) < MIN_PIXELS:
        return box
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    down, across = MARGIN * (rows[-1] - rows[0] + 1), MARGIN * (columns[-1] - columns[0] + 1)
    top, bottom = max(0, int(rows[0] - down)), int(rows[-1] + down) + 1
    left, right = max(0, int(columns[0] - across)), int(columns[-1] + across) + 1
    box[top:bottom, left:right] = True
    return box
