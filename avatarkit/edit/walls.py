"""A wall between two halves of hair, in the skull and in the hair itself: heads of Gaussians are hollow, and hair lets light through."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.accessories.skin import Skin
from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import colours
from avatarkit.edit.operators.thin import Seen, as_seen
from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX

STEP, THICKNESS = 0.006, 0.0003  # metres between the Gaussians of a wall, and their sigma across it
DEPTH = 0.004  # metres below the skin, and above the eyes, from which on it stands
AROUND = 8  # Gaussians that say whether a vertex is below hair
FINE_STEP = 0.002  # metres between the Gaussians of the wall in the hair
WITHIN = 0.005  # metres from hair, at most, at which it stands
MOSTLY = 0.5  # of the Gaussians around it, hair where it stands in hair
BEHIND = 0.8  # share of the light that gets to it there, at most, from every side: it neither sticks out of the hair nor makes its outline
NEIGHBOURS = 12  # Gaussians whose mean colour a piece of the wall has
PROBE = 0.01  # opacity of what finds out how much light gets there
ROUNDS = 4  # in which the wall takes on the colours of what it hides
LOOKS = 6  # pictures in which a wall must not show
PEELED = 5  # times that what shows is taken off, since others show behind it then
OPEN = 0.15  # of hair before a wall: less hides nothing, as above a head that is lower than its mesh
SHOWN = 1.0  # pixels of a picture that are more of something else than of hair; less is a gap in the skin
SURE = 8.0  # logit of a label that is known


def walled(scene: Scene, avatar: Avatar, hair: Tensor, at: float) -> Avatar:
    """``avatar`` with an opaque wall inside its skull and inside its hair, in the plane where x at rest is ``at`` metres.

    Hair lets light through and the head is hollow: without a wall the far half of the hair, in its new colour, shines through the near one,
    across the skull, and beside the border, where a slanting ray leaves the near half below its surface.  The wall has the colour of
    the hair (N,) bool of ``scene`` around it, and is hair: what shone through until now looked like that.
    """
    if not bool(hair.any()):
        return avatar
    inside, between = _inside_skull(scene, at, hair), _inside_hair(scene, at, hair)
    points = torch.cat([inside, between])
    if not len(points):
        return avatar
    step = torch.cat([torch.full((len(inside),), STEP), torch.full((len(between),), FINE_STEP)])
    scales = (0.75 * step)[:, None].repeat(1, 3)
    scales[:, 0] = THICKNESS
    wall = _wall(scene, avatar, points, scales, _colours_around(scene, hair, points))
    rows = torch.arange(len(points))
    buried = rows[len(inside) :][_lit(scene, avatar, wall.select(rows[len(inside) :])) < BEHIND]
    wall = _hidden(scene, avatar, wall.select(torch.cat([rows[: len(inside)], buried])))
    return _as_it_was(scene, replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, wall])), len(wall))


def _as_it_was(scene: Scene, avatar: Avatar, count: int) -> Avatar:
    """``avatar`` with its last ``count`` Gaussians in such colours that pictures look like those of ``scene`` again."""
    if not count:
        return avatar
    new = (torch.arange(len(avatar.gaussians)) >= len(avatar.gaussians) - count).float()
    walled_scene = scene.with_avatar(avatar)
    pictures = [
        Seen(place, region_mask(walled_scene, new, place), scene.picture(place))
        for place in spread_places(scene, LOOKS)
    ]
    return as_seen(scene, avatar, new, pictures, lambda pixels: pixels, ROUNDS)


def _wall(scene: Scene, avatar: Avatar, points: Tensor, scales: Tensor, colour: Tensor) -> Gaussians:
    """Opaque hair at rest at ``points`` (M, 3), of sigmas ``scales`` (M, 3) and ``colour`` (M, 3) sRGB, that rides on the skull."""
    binding = torch.full((len(points),), -1 - SKULL)
    wall = Gaussians.fresh(points, scales.log(), 0.995, colour, binding, avatar.gaussians.sh_degree)
    wall = scene.placed_at_rest(wall, points, wall.quats, scales)
    wall.ids = wall.ids + next_id(avatar)
    wall.parents = wall.ids.clone()
    wall.label_logits[:, LABEL_INDEX["hair"]] = SURE
    return wall


def _colours_around(scene: Scene, hair: Tensor, points: Tensor) -> Tensor:
    """(M, 3) sRGB of the hair (N,) bool nearest to ``points`` (M, 3): it is paler at the hairline than at the back."""
    own, count = colours(scene.avatar)[hair], int(hair.sum())
    near = cKDTree(scene.rest.means[hair].numpy()).query(points.numpy(), k=min(NEIGHBOURS, count))[1]
    return own[torch.from_numpy(near).reshape(len(points), -1)].mean(1)


def _lit(scene: Scene, avatar: Avatar, wall: Gaussians) -> Tensor:
    """(M,) the largest share of light that gets from any place to each of ``wall``: what lies before it takes the rest."""
    faint = replace(wall, opacity_logits=torch.full_like(wall.opacity_logits, math.log(PROBE / (1.0 - PROBE))))
    alone = scene.with_avatar(replace(avatar, gaussians=faint))
    both = scene.with_avatar(replace(avatar, gaussians=Gaussians.cat([avatar.gaussians, faint])))
    share = torch.zeros(len(wall))
    for place in spread_places(scene, LOOKS) if len(wall) else ():
        everywhere = torch.ones(1, place.cameras.height, place.cameras.width)
        (_, _, hidden), (_, _, bare) = (
            one.field(torch.zeros(len(one.avatar.gaussians), 1), place, masks=everywhere) for one in (both, alone)
        )
        assert hidden is not None and bare is not None
        share = torch.maximum(share, hidden[0, -len(wall) :] / bare[0].clamp(min=1e-9))
    return share


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
    outer = _outer(scene)
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


def _inside_hair(scene: Scene, at: float, hair: Tensor) -> Tensor:
    """(M, 3) points at rest in the plane x = ``at`` outside the skull, where most of what is near is ``hair`` (N,) bool."""
    means = scene.rest.means
    beside = hair & ((means[:, 0] - at).abs() < WITHIN)
    if not bool(beside.any()):
        return torch.zeros(0, 3)
    low, high = means[beside].amin(0), means[beside].amax(0)
    y = torch.arange(float(low[1]), float(high[1]) + FINE_STEP, FINE_STEP)
    z = torch.arange(float(low[2]), float(high[2]) + FINE_STEP, FINE_STEP)
    points = torch.cartesian_prod(torch.tensor([at]), y, z)
    near = cKDTree(means[hair].numpy()).query(points.numpy())[0] < WITHIN
    points = points[torch.from_numpy(near)]
    around = torch.from_numpy(cKDTree(means.numpy()).query(points.numpy(), k=min(AROUND, len(hair)))[1])
    points = points[hair[around].float().mean(1) > MOSTLY]
    if not len(points):
        return points
    skin = Skin(scene.rest.vertices.double().numpy(), scene.head.faces.long().numpy(), _outer(scene).numpy())
    return points[torch.from_numpy(skin.nearest(points.double().numpy()).heights > -DEPTH)]


def _outer(scene: Scene) -> Tensor:
    """(F,) bool: faces of the head's outside."""
    regions, faces = scene.head.regions, scene.head.faces.long()
    return (regions["scalp"] + regions["face"] > 0.5)[faces].all(1)


def _covered(scene: Scene, hair: Tensor) -> Tensor:
    """(V,) bool: vertices around which most Gaussians are hair; a model's scalp may reach down to the brows."""
    near = cKDTree(scene.rest.means.numpy()).query(scene.rest.vertices.numpy(), k=min(AROUND, len(hair)))[1]
    return hair[torch.from_numpy(near)].float().mean(1) > 0.5
