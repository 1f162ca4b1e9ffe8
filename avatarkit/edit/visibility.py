"""How much of each Gaussian the avatar's own cameras see."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.edit.scene import Place, Scene

LOOKS = 12


def spread_places(scene: Scene, count: int = LOOKS, split: str = "train") -> list[Place]:
    """About ``count`` of the avatar's own places: evenly through its frames, so over time and cameras."""
    places = scene.places(split)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    return [places[i] for i in chosen]


def visibility(scene: Scene, places: list[Place]) -> Tensor:
    """(N,) Σ α·T over the pixels of ``places``: pixels that each Gaussian fills in all of them."""
    total = torch.zeros(len(scene.avatar.gaussians))
    nothing = torch.zeros(len(total), 1)
    for place in places:
        _, _, sums = scene.field(nothing, place, masks=torch.ones(1, place.cameras.height, place.cameras.width))
        assert sums is not None
        total += sums[0]
    return total
