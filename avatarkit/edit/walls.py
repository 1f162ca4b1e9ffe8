"""A wall in the skull: heads of Gaussians are hollow, and hair lets light through."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.edit.accessories.skin import Skin
from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import colours
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX

STEP, THICKNESS = 0.006, 0.0005  # metres between the Gaussians of a wall, and their sigma across it
DEPTH = 0.004  # metres below the skin, and above the eyes, from which on it stands
SURE = 8.0  # logit of a label that is known


def walled(scene: Scene, avatar: Avatar, hair: Tensor, at: float) -> Avatar:
    """``avatar`` with an opaque wall inside its skull, in the plane where x at rest is ``at`` metres.

    Hair lets light through and the head is hollow: without a wall the far half of the hair, in its new colour, shines through the near one.
    The wall has the colour of the hair (N,) bool of ``scene``, and is hair: what shone through until now looked like that.
    """
    points = _inside_skull(scene, at)
    if not len(points) or not bool(hair.any()):
        return avatar
    colour = colours(scene.avatar)[hair].median(0).values
    scales = torch.full((len(points), 3), 0.75 * STEP)
    scales[:, 0] = THICKNESS
    binding = torch.full((len(points),), -1 - SKULL)
    wall = Gaussians.fresh(
        points, scales.log(), 0.995, colour.expand(len(points), 3), binding, avatar.gaussians.sh_degree
    )
    wall = scene.placed_at_rest(wall, points, wall.quats, scales)
    wall.ids = wall.ids + next_id(avatar)
    wall.parents = wall.ids.clone()
    wall.label_logits[:, LABEL_INDEX["hair"]] = SURE
    return replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, wall]))


def _inside_skull(scene: Scene, at: float) -> Tensor:
    """(M, 3) points at rest in the plane x = ``at``, above the eyes or behind the ears, below the hair and inside the head."""
    vertices, faces, regions = scene.rest.vertices, scene.head.faces.long(), scene.head.regions
    eyes, ears = (torch.cat([vertices[regions[f"{s}_{name}"] > 0.5] for s in "lr"]) for name in ("eye", "ear"))
    outer = (regions["scalp"] + regions["face"] > 0.5)[faces].all(1)
    shell = vertices[faces[outer]].flatten(0, 1)
    low, high = shell.amin(0), shell.amax(0)
    y = torch.arange(float(low[1]), float(high[1]), STEP)
    z = torch.arange(float(low[2]), float(high[2]), STEP)
    points = torch.cartesian_prod(torch.tensor([at]), y, z)
    points = points[
        (points[:, 1] > eyes[:, 1].max() + DEPTH) | (points[:, 2] < ears[:, 2].median())
    ]  # never in the mouth
    skin = Skin(vertices.double().numpy(), faces.numpy(), outer.numpy())
    nearest = skin.nearest(points.double().numpy())
    below_hair = (regions["scalp"] > 0.5)[faces].any(1).numpy()[nearest.triangles]  # a forehead lets light through, too
    return points[torch.from_numpy(below_hair & (nearest.heights < -DEPTH))]
