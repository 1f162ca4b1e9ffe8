"""Pictures to Gaussians: what edited views ask of each Gaussian's colour, weighted by how much of it they show (α·T)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.edit.keyframes import Keyframe
from avatarkit.edit.membership import colours
from avatarkit.edit.operators.recolour import with_colours
from avatarkit.edit.scene import Scene
from avatarkit.gaussians.avatar import Avatar

TOUCHED = 0.05
"""Membership of a region from which on a Gaussian may change."""
SHOWN = 0.5  # pixels from which on a view says something of a Gaussian


def lifted_change(scene: Scene, keyframe: Keyframe, view: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3) the mean change of colour inside the region that ``view`` (3, H, W) asks of each Gaussian against the keyframe's source, and
    (N,) how many pixels say so."""
    mask = keyframe.mask
    planes = torch.cat([(view - keyframe.source) * mask, mask])  # weights of sums may be negative
    _, _, sums = scene.field(torch.zeros(len(scene.avatar.gaussians), 1), keyframe.place, masks=planes)
    assert sums is not None
    return (sums[:3] / sums[3].clamp(min=1e-6)).T, sums[3]


def lift(scene: Scene, edited: Sequence[tuple[Keyframe, Tensor]], weights: Tensor) -> Avatar:
    """The avatar with the mean change of all ``edited`` views added to its colours, by ``weights`` (N,).

    A blurred first guess that the fit sharpens: a Gaussian takes the mean of the pixels that it lies under.  What belongs to the
    region by less than ``TOUCHED`` keeps every bit.
    """
    total, pixels = torch.zeros(len(weights), 3), torch.zeros(len(weights))
    for keyframe, view in edited:
        change, seen = lifted_change(scene, keyframe, view)
        total += change * seen[:, None]
        pixels += seen
    change = total / pixels.clamp(min=1e-6)[:, None] * ((pixels > SHOWN) & (weights > TOUCHED))[:, None]
    change = change * weights[:, None]
    old = colours(scene.avatar)
    return replace(scene.avatar, gaussians=with_colours(scene.avatar.gaussians, old, (old + change).clamp(0.0, 1.0)))
