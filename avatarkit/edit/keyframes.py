"""Which pictures are edited: places that show the region well and differ most in expression and viewpoint.

Farthest-point sampling: the first shows most of the region; each next one is farthest from those already chosen, in head-relative view
direction and expression, its distance weighted by how much of the region it shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import Place, Scene

CANDIDATES = 72
SMALL = 128  # pixels of the longer side at which visibility is counted
VIEW_UNIT = math.radians(30.0)
"""So much turn of the head counts as much as one standard deviation of the expression."""
HIDDEN = 0.05
"""A place that shows less than this part of what the best one shows is none."""


@dataclass(frozen=True)
class Keyframe:
    """A place that will be edited.  mask (1, H, W): the region there; source (3, H, W): the avatar before the edit; failed (3, H, W): in
    a correction, what came of the attempt that it corrects."""

    place: Place
    mask: Tensor
    source: Tensor
    failed: Tensor | None = None

    @property
    def given(self) -> Tensor:
        """(3, H, W): what an editor is to change."""
        return self.source if self.failed is None else self.failed


def choose_places(scene: Scene, located: Located, count: int) -> list[Place]:
    """At most ``count`` of the avatar's training places, the most telling first; none where the region shows nowhere."""
    places = scene.places()
    spread = np.unique(np.linspace(0, len(places) - 1, min(CANDIDATES, len(places))).round().astype(int))
    candidates = [places[i] for i in spread]
    shown = torch.tensor(
        [float(region_mask(scene, located.weights, scene.shrunk(place, SMALL)).sum()) for place in candidates]
    )
    if count < 1 or float(shown.max()) < 1.0:
        return []
    weight = (shown / shown.max()).sqrt()
    usable = shown > HIDDEN * shown.max()
    features = place_features(scene, candidates)
    chosen = [int((weight * usable).argmax())]
    nearest = (features - features[chosen[0]]).norm(dim=1)
    while len(chosen) < min(count, int(usable.sum())):
        nearest[chosen] = -1.0
        at = int(torch.where(usable, nearest * weight, torch.full_like(nearest, -1.0)).argmax())
        chosen.append(at)
        nearest = torch.minimum(nearest, (features - features[at]).norm(dim=1))
    return [candidates[i] for i in chosen]


def keyframe(scene: Scene, located: Located, place: Place) -> Keyframe:
    """What is edited at ``place``."""
    return Keyframe(place, region_mask(scene, located.weights, place), scene.picture(place))


def place_features(scene: Scene, places: list[Place]) -> Tensor:
    """(P, D): view direction in units of ``VIEW_UNIT``, expression and jaw in standard deviations of the motion."""
    motion = scene.avatar.motion
    moves = torch.cat([motion.expr, motion.jaw_pose], 1)
    moves = moves / moves.std(0, correction=0).norm().clamp(min=1e-6)
    directions = torch.tensor([scene.direction(place) for place in places]) / VIEW_UNIT
    return torch.cat([directions, moves[[place.timestep for place in places]]], 1)
