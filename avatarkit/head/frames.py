"""Which frames carry bound Gaussians: the triangles' own, or those of the skinning.

``triangle``: GaussianAvatars' frames.  A triangle turns and grows with every fold of the skin, and what stands off the skin
(a beard, a collar, hair) swings with it as on a lever.  ``skin``: the triangle's centroid, with the rotation that linear blend
skinning gives it and the size that it has at rest; expressions move such a Gaussian, joints turn it.
"""

from __future__ import annotations

import copy
from typing import Literal

from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError

Frames = Literal["triangle", "skin"]


def with_frames(head: HeadModel, frames: str) -> HeadModel:
    """``head`` whose poses carry Gaussians by ``frames``; a model that cannot say how its skin turns keeps triangle frames.

    Raises InputError for other names.
    """
    if frames not in ("triangle", "skin"):
        raise InputError(f"frames: '{frames}'; expected 'triangle' or 'skin'")
    if getattr(head, "frames", frames) == frames:
        return head
    moved = copy.copy(head)
    moved.frames = frames  # type: ignore[attr-defined]
    return moved
