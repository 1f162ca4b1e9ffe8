"""Discs with a material and a colour, and the Gaussians that they become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatarkit.edit.accessories.discs import Discs
from avatarkit.edit.accessories.light import Light
from avatarkit.edit.accessories.materials import Material, patterned
from avatarkit.edit.accessories.skin import unit
from avatarkit.gaussians.frames import quat_from_matrix
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.types import FloatArray

STRONG = 8.0  # logit of the label that an accessory has, against 0 for the others
MOST_OPAQUE = 0.985


@dataclass(frozen=True)
class Piece:
    """Discs of one colour: sRGB (3,) or (N, 3) in [0, 1]."""

    discs: Discs
    colour: FloatArray
    material: Material


def painted(pieces: list[Piece], light: Light, label: int, seed: int) -> Gaussians:
    """The Gaussians of ``pieces`` at rest in the world (means and quats of the world, scales in metres), riding on joint 0.

    label: class in ``avatarkit.labels``; the same seed gives the same grain of the materials.
    """
    random = np.random.default_rng([seed, 11])
    parts = []
    for piece in pieces:
        discs = fibres(piece.discs, piece.material.pile, random)
        albedo = patterned(piece.material, piece.colour, discs, random)
        shown = light.shade(
            discs.normals, albedo, piece.material.finish, weights=discs.areas() * discs.opacity, shadow=discs.shadow
        )
        opacity = np.clip(discs.opacity * piece.material.opacity, 1e-3, MOST_OPAQUE)
        parts.append(_gaussians(discs, shown, opacity, label))
    made = Gaussians.cat(parts)
    made.ids = torch.arange(len(made))
    made.parents = made.ids.clone()
    return made


def fibres(discs: Discs, pile: float, random: np.random.Generator) -> Discs:
    """``discs`` with a tuft of fibre on each, ``pile`` metres long, leaning along the surface; as they are where there is none."""
    if pile <= 0 or not len(discs):
        return discs
    count = len(discs)
    lean = discs.tangents * random.normal(0, 0.6, (count, 1)) + np.array([0.0, -0.7, 0.0])
    lean += np.cross(discs.normals, discs.tangents) * random.normal(0, 0.6, (count, 1))
    along = unit(lean - (lean * discs.normals).sum(1, keepdims=True) * discs.normals + 0.7 * discs.normals)
    length = pile * random.uniform(0.6, 1.2, count)
    spread = 0.5 * np.minimum(discs.scales[:, 0], discs.scales[:, 1])
    tufts = Discs(
        discs.points + 0.45 * length[:, None] * along, unit(discs.normals + 0.3 * random.standard_normal((count, 3))), along,
        np.stack([0.42 * length, spread, 0.5 * spread], 1), discs.surface, discs.shadow, discs.opacity,
    )  # fmt: skip
    axis = tufts.normals - (tufts.normals * along).sum(1, keepdims=True) * along
    tufts = Discs(**{**vars(tufts), "normals": unit(axis)})
    return Discs(**{name: np.concatenate([getattr(discs, name), getattr(tufts, name)]) for name in vars(discs)})


def _gaussians(discs: Discs, colours: FloatArray, opacity: FloatArray, label: int) -> Gaussians:
    count = len(discs)
    axes = np.stack([discs.tangents, np.cross(discs.normals, discs.tangents), discs.normals], -1)
    made = Gaussians.fresh(
        torch.from_numpy(discs.points).float(), torch.from_numpy(np.log(discs.scales)).float(), 0.5,
        torch.from_numpy(colours).float(), torch.full((count,), -1),
    )  # fmt: skip
    made.quats = quat_from_matrix(torch.from_numpy(axes).float())
    made.opacity_logits = torch.logit(torch.from_numpy(opacity).float())
    made.label_logits[:, label] = STRONG
    return made
