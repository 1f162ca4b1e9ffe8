"""A wall in the skull: heads of Gaussians are hollow, and hair lets light through."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.accessories.skin import Skin
from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import colours
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX

STEP, THICKNESS = 0.006, 0.0005  # metres between the Gaussians of a wall, and their sigma across it
DEPTH = 0.004  # metres below the skin, and above the eyes, from which on it stands
AROUND = 8  # Gaussians that say whether a vertex is below hair
LOOKS = 6  # pictures in which a wall must not show
PEELED = 5  # times that what shows is taken off, since others show behind it then
OPEN = 0.15  # of hair before a wall: less hides nothing, as above a head that is lower than its mesh
SHOWN = 1.0  # pixels of a picture that are more of something else than of hair; less is a gap in the skin
SURE = 8.0  # logit of a label that is known


def walled(scene: Scene, avatar: Avatar, hair: Tensor, at: float) -> Avatar:
    """``avatar`` with an opaque wall inside its skull, in the plane where x at rest is ``at`` metres.

    Hair lets light through and the head is hollow: without a wall the far half of the hair, in its new colour, shines through the near one.
    The wall has the colour of the hair (N,) bool of ``scene``, and is hair: what shone through until now looked like that.
    """
    points = _inside_skull(scene, at, hair)
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
    return replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, _hidden(scene, avatar, wall)]))


def _hidden(scene: Scene, avatar: Avatar, wall: Gaussians) -> Gaussians:
    """Those of ``wall`` that show through nothing but hair: a face that was only seen from the front lies behind its mesh, and may be thin."""
    places, before_it = spread_places(scene, LOOKS), []
    hair = avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX["hair"]
    kinds = torch.cat([torch.stack([hair, ~hair], 1).float(), torch.zeros(len(wall), 2)])
    whole = scene.with_avatar(replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, wall])))
    for place in places:
        field = whole.field(kinds, place)[0]
        before_it.append(((field[1:] > field[:1]) | (field[:1] < OPEN)).float())
    for _ in range(PEELED):
        both = scene.with_avatar(replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, wall])))
        shown = torch.zeros(len(wall))
        for place, mask in zip(places, before_it, strict=True):
            _, _, sums = both.field(torch.zeros(len(both.avatar.gaussians), 1), place, masks=mask)
            assert sums is not None
            shown = torch.maximum(shown, sums[0, -len(wall) :])
        if not bool((shown > SHOWN).any()):
            break
        wall = wall.select(shown <= SHOWN)
        if not len(wall):
            break
    return wall


def _inside_skull(scene: Scene, at: float, hair: Tensor) -> Tensor:
    """(M, 3) points at rest in the plane x = ``at``, inside the head and below ``hair`` (N,) bool, above the eyes or behind the ears and
    never as low as the mouth, through which it would show."""
    vertices, faces, regions = scene.rest.vertices, scene.head.faces.long(), scene.head.regions
    eyes, ears = (torch.cat([vertices[regions[f"{s}_{name}"] > 0.5] for s in "lr"]) for name in ("eye", "ear"))
    outer = (regions["scalp"] + regions["face"] > 0.5)[faces].all(1)
    shell = vertices[faces[outer]].flatten(0, 1)
    low, high = shell.amin(0), shell.amax(0)
    mouth = vertices[regions["u_lip"] > 0.5][:, 1].max() if "u_lip" in regions else low[1]
    y = torch.arange(float(mouth), float(high[1]), STEP)
    z = torch.arange(float(low[2]), float(high[2]), STEP)
    points = torch.cartesian_prod(torch.tensor([at]), y, z)
    points = points[(points[:, 1] > eyes[:, 1].max() + DEPTH) | (points[:, 2] < ears[:, 2].median())]
    skin = Skin(vertices.double().numpy(), faces.numpy(), outer.numpy())
    nearest = skin.nearest(points.double().numpy())
    covered = ((regions["scalp"] > 0.5) & _covered(scene, hair))[faces].any(1).numpy()
    below_hair = covered[nearest.triangles]  # a forehead lets light through, too
    return points[torch.from_numpy(below_hair & (nearest.heights < -DEPTH))]


def _covered(scene: Scene, hair: Tensor) -> Tensor:
    """(V,) bool: vertices around which most Gaussians are hair; a model's scalp may reach down to the brows."""
    near = cKDTree(scene.rest.means.numpy()).query(scene.rest.vertices.numpy(), k=min(AROUND, len(hair)))[1]
    return hair[torch.from_numpy(near)].float().mean(1) > 0.5
