"""Discs with a material and a colour, and the Gaussians that they become."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from avatarkit.edit.accessories.discs import Discs, discs, together
from avatarkit.edit.accessories.light import Light
from avatarkit.edit.accessories.materials import Material, patterned
from avatarkit.edit.accessories.vectors import unit
from avatarkit.gaussians.frames import quat_from_matrix
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.types import FloatArray

STRONG = 8.0  # logit of the label that an accessory has, against 0 for the others
MOST_OPAQUE = 0.985
TUFTS = 1800  # at most, of one piece
DOWN = np.array([0.0, 0.7, 0.0])  # fibres lean down by their weight


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
        made = fibres(piece.discs, piece.material.pile, random)
        albedo = patterned(piece.material, piece.colour, made, random)
        weights = made.areas() * made.opacity
        shown = light.shade(made.normals, albedo, piece.material.finish, weights=weights, shadow=made.shadow)
        opacity = np.clip(made.opacity * piece.material.opacity, 1e-3, MOST_OPAQUE)
        parts.append(_gaussians(made, shown, opacity, label))
    every = Gaussians.cat(parts)
    ids = torch.arange(len(every))
    return replace(every, ids=ids, parents=ids.clone())


def fibres(bare: Discs, pile: float, random: np.random.Generator) -> Discs:
    """``bare`` with tufts of fibre on it, ``pile`` metres long, leaning along the surface; as it is where there is none."""
    if pile <= 0 or not len(bare):
        return bare
    own = bare.select(random.permutation(len(bare))[:TUFTS])
    count = len(own)
    sideways = np.cross(own.normals, own.tangents)
    lean = own.tangents * random.normal(0, 0.6, (count, 1)) + sideways * random.normal(0, 0.6, (count, 1)) - DOWN
    along = unit(lean - (lean * own.normals).sum(1, keepdims=True) * own.normals + 0.7 * own.normals)
    length = pile * random.uniform(0.6, 1.2, count)
    spread = 0.5 * own.scales[:, :2].min(1)
    facing = own.normals + 0.3 * random.standard_normal((count, 3))
    tufts = discs(
        own.points + 0.45 * length[:, None] * along, facing - (facing * along).sum(1, keepdims=True) * along, along,
        np.stack([0.42 * length, spread, 0.5 * spread], 1), own.surface, own.shadow, own.opacity,
    )  # fmt: skip
    return together([bare, tufts])


def _gaussians(own: Discs, colours: FloatArray, opacity: FloatArray, label: int) -> Gaussians:
    count = len(own)
    axes = np.stack([own.tangents, np.cross(own.normals, own.tangents), own.normals], -1)
    made = Gaussians.fresh(
        torch.from_numpy(own.points).float(), torch.from_numpy(np.log(own.scales)).float(), 0.5,
        torch.from_numpy(colours).float(), torch.full((count,), -1),
    )  # fmt: skip
    made.quats = quat_from_matrix(torch.from_numpy(axes).float())
    made.opacity_logits = torch.logit(torch.from_numpy(opacity).float())
    made.label_logits[:, label] = STRONG
    return made
