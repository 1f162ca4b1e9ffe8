"""The colour of what is thinner than a pixel: an iris at a distance, a ring, a hair.

No Gaussian is such a thing alone: its pixels are mixed of its own Gaussians and of what they lie on, and what they lie on has learnt along.  Another
colour of its own Gaussians alone then shows washed out.  So the pictures say what is to be seen, pixels recoloured as a whole where the
thing is at its densest, and its Gaussians are moved towards that (simultaneous algebraic reconstruction: Andersen and Kak, Ultrasonic
Imaging 6, 1984).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.gaussians.avatar import Avatar
from avatarkit.render.sh import Y00

FILLED, ENOUGH = 0.9, 0.3
"""Mask from which on a region fills a pixel, and the share of the region that has to lie in such pixels."""
ROUNDS, RATE = 10, 1.3
DENSE = (0.35, 0.8)
"""Mask, of its densest nearby, from which on a pixel takes on the new colour, and does so in full."""
NEAR = 3  # pixels around in which the densest is looked for
LEAST = 0.15  # mask below which nothing of the thing shows
BEYOND = 0.4
"""By how much a Gaussian's colour may leave [0, 1]: its neighbours make up for it, as after training."""


@dataclass(frozen=True)
class Seen:
    """A picture of the thing.  dense (1, H, W) in [0, 1]: where it takes on a new colour; before (3, H, W)."""

    place: Place
    dense: Tensor
    before: Tensor

    @property
    def core(self) -> Tensor:
        """(M, 3): the pixels that show it best."""
        return self.before[:, self.dense[0] >= 1.0].T


def where_thin(scene: Scene, weights: Tensor) -> list[Seen]:
    """Pictures of a region (N,) that fills hardly a pixel; none where it fills them."""
    seen, filled, all_of_it = [], 0.0, 0.0
    for place in spread_places(scene):
        mask = region_mask(scene, weights, place)
        filled, all_of_it = filled + float(mask[mask > FILLED].sum()), all_of_it + float(mask.sum())
        densest = max_pool2d(mask[None], 2 * NEAR + 1, 1, NEAR)[0]
        dense = (mask / densest.clamp(min=LEAST) - DENSE[0]) / (DENSE[1] - DENSE[0])
        seen.append(Seen(place, dense.clamp(0.0, 1.0) * (densest > LEAST), scene.picture(place)))
    return [] if filled > ENOUGH * all_of_it else [one for one in seen if bool((one.dense > 0).any())]


def as_seen(
    scene: Scene, edited: Avatar, share: Tensor, pictures: list[Seen], wanted: Callable[[Tensor], Tensor], rounds: int = ROUNDS
) -> Avatar:  # fmt: skip
    """``edited`` with its members' colours moved until pictures show what ``wanted`` makes of those of ``scene``.

    share (N,) in [0, 1]: how far each Gaussian may follow; wanted: sRGB (M, 3) → (M, 3).
    """
    targets = []
    for one in pictures:
        new = wanted(one.before.permute(1, 2, 0).reshape(-1, 3)).reshape(*one.before.shape[1:], 3).permute(2, 0, 1)
        targets.append(one.before + one.dense * (new - one.before))
    nothing = torch.zeros(len(share), 1)
    for _ in range(rounds):
        now = scene.with_avatar(edited)
        missing, seen = torch.zeros(len(share), 3), torch.zeros(len(share))
        for one, target in zip(pictures, targets, strict=True):
            gap = (target - now.picture(one.place)) * one.dense
            _, _, sums = now.field(nothing, one.place, masks=torch.cat([gap, one.dense]))
            assert sums is not None
            missing, seen = missing + sums[:3].T, seen + sums[3]
        step = RATE * share[:, None] * missing / seen.clamp(min=1e-3)[:, None]
        base = edited.gaussians.sh[:, 0] * Y00 + 0.5
        moved = torch.where(share[:, None] > 0, (base + step).clamp(-BEYOND, 1.0 + BEYOND), base)
        sh = edited.gaussians.sh.clone()
        sh[:, 0] = (moved - 0.5) / Y00
        edited = replace(edited, gaussians=replace(edited.gaussians, sh=sh))
    return edited
