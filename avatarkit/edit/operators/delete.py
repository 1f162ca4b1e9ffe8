"""Taking something away, and filling what shows in its place.

Behind glasses, hair or a hat there is nothing that any picture showed.  So after the Gaussians of the thing are gone, the surface below is made whole:
its colours continue what is known around it (``surface_colours``); Gaussians that now show for the first time, and those that
had taken the thing's colour on, are given them; and triangles that have become holes get Gaussians of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.ids import next_id
from avatarkit.edit.membership import FACIAL, PRESENT, colours, groups_of, kind_of, membership, pieces_shown, shares
from avatarkit.edit.operators.patches import patches
from avatarkit.edit.operators.recolour import with_colours
from avatarkit.edit.operators.surface_colours import SurfaceColours, spread, surface_colours
from avatarkit.edit.plan import Operation
from avatarkit.edit.region import MARKS, Located, region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places, visibility
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.losses.colour_difference import ciede2000, lab

TAKEN = 0.2
"""Membership above which a Gaussian goes with the thing."""
FAINT = 0.04
"""How much of a Gaussian the pictures showed before, of what they show now, below which nobody knows its colour."""
LEAST_SHOWN = 0.5  # pixels in all pictures; less is not seen now either
STAIN_REACH = 0.006
"""Metres around what was taken in which others have taken on its colour, or the opposite, to make up for it."""
SHADE_REACH = 0.016
"""The same for hair, under which it is dark."""
TRUST = {"hair": 0.02}
"""Share of a picture's side around a thing within which skin may be stained, and its colour is not trusted; else two pixels."""
STAINED = 6.0  # CIEDE2000 from the surface beside it: less is no stain
LOOSE = 0.004  # metres over the surface from which on a stain is a piece of the thing
HIGHEST = 0.02  # metres of hair below a hat
CLOTH = 0.8  # of the heights of a hat's Gaussians: its outside, which hair springs back to and beyond
GRAIN, GRAIN_REACH = 0.5, 0.05
"""How much of the unevenness of the hair within so many metres a patch of hair takes over."""
GROWING = ("beard", "moustache", "brows", "l_brow", "r_brow", "lashes")
"""What grows on the skin hair by hair: skin that shows between the hairs has been learnt along with them and goes as well."""
BETWEEN, BETWEEN_SHARE = 0.005, 0.3
"""Metres around a Gaussian in which so large a share has to be hair, for it to count as between hairs."""
PASSES = 2  # of filling: what the first one left open is seen after it
HOLLOW = 0.9  # opacity below which a pixel of the surface is a hole
SKIN_BELOW = ("skin", "nose", "neck", "l_ear", "r_ear")
LIPS, BROWS = ("u_lip", "l_lip"), ("l_brow", "r_brow")
OVER_HAIR = ("glasses", "earring")
"""What runs over hair in part: arms of glasses, earrings before long hair."""
BELOW: dict[str, tuple[str, ...]] = {
    "hair": SKIN_BELOW, "glasses": (*SKIN_BELOW, "l_eye", "r_eye", "hair"), "hat": ("hair", *SKIN_BELOW),
    "earring": (*SKIN_BELOW, "hair"), "necklace": ("neck", "cloth", "skin"), "cloth": SKIN_BELOW,
    "l_brow": SKIN_BELOW, "r_brow": SKIN_BELOW, "brows": SKIN_BELOW, "beard": (*SKIN_BELOW, *LIPS),
    "moustache": (*SKIN_BELOW, *LIPS),
}  # fmt: skip
"""By what is taken away: what may show in its place."""


@dataclass(frozen=True)
class _Below:
    """What shows below a thing, by vertex: colours (V, 3), class (V,) int64, and how far over the mesh it lies (V,), metres."""

    colours: Tensor
    labels: Tensor
    lift: Tensor


def delete(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The avatar without the region's Gaussians, its surface whole."""
    gone = located.weights > TAKEN
    painted = gone & _painted(scene.avatar)
    if bool(painted.any()):
        return _washed(scene, painted)
    avatar, staying = scene.avatar, _facial_hair_beside(scene, operation.target)
    if operation.target in GROWING and bool((gone & (avatar.gaussians.groups == 0)).any()):
        gone = _closed(scene, gone, staying > PRESENT)
    bare = replace(avatar, gaussians=avatar.gaussians.select(~gone), meta=_without_empty_groups(avatar, gone))
    if not bool((gone & (avatar.gaussians.groups == 0)).any()):
        return bare  # what an edit added covers what was whole before it
    places = spread_places(scene)
    masks = [region_mask(scene, located.weights, place) for place in places]
    hairs = torch.maximum(located.weights, staying)  # their label is skin, too
    bearded = [region_mask(scene, hairs, place) for place in places] if bool(staying.any()) else None
    below = _below(scene, operation.target, places, masks, gone, bearded)
    after = scene.with_avatar(bare)
    stain = SHADE_REACH if operation.target == "hair" else STAIN_REACH
    return _whole(scene, after, gone, below, places, masks, stain, staying > PRESENT)


def _facial_hair_beside(scene: Scene, target: str) -> Tensor:
    """(N,): the other kinds of facial hair, where ``target`` is one; 0 where it is the only one."""
    others = [membership(scene, name) for name in pieces_shown(scene) if name != target] if target in FACIAL else []
    return torch.stack([torch.zeros(len(scene.avatar.gaussians)), *others]).amax(0)


def _closed(scene: Scene, gone: Tensor, staying: Tensor) -> Tensor:
    """``gone`` (N,) bool with the skin between, but not the hairs ``staying`` (N,) bool."""
    skin = torch.tensor([name in SKIN_BELOW for name in LABELS])[shares(scene.avatar).argmax(1)]
    skin &= (scene.avatar.gaussians.groups == 0) & ~staying
    points, hairs = cKDTree(scene.rest.means.numpy()), cKDTree(scene.rest.means[gone].numpy())
    spots = scene.rest.means[skin].numpy()
    around = hairs.query_ball_point(spots, BETWEEN, return_length=True)
    share = np.asarray(around) / np.maximum(points.query_ball_point(spots, BETWEEN, return_length=True), 1)
    closed = gone.clone()
    closed[skin] |= torch.from_numpy(share > BETWEEN_SHARE)
    return closed


def _painted(avatar: Avatar) -> Tensor:
    """(N,) bool: skin that an earlier edit painted a mark on."""
    numbers = [number for name, number in groups_of(avatar).items() if kind_of(avatar, name) in MARKS]
    return torch.isin(avatar.gaussians.groups, torch.tensor(numbers, dtype=torch.int32))


def _washed(scene: Scene, painted: Tensor) -> Avatar:
    """The avatar with the skin ``painted`` (N,) bool in the colours of the skin around it; the mark was its colour, nothing else."""
    avatar, points = scene.avatar, scene.rest.means
    places = spread_places(scene)
    surface = _field(scene, list(SKIN_BELOW), places, [region_mask(scene, painted.float(), place) for place in places])
    gaps, near = cKDTree(scene.rest.vertices.numpy()).query(points.numpy(), k=3)
    share = torch.nn.functional.normalize(1.0 / torch.from_numpy(gaps).float().clamp(min=1e-4), p=1, dim=1)
    wanted = (surface.colours[torch.from_numpy(near)] * share[..., None]).sum(1)
    old = colours(avatar)
    strange = ciede2000(lab(old), lab(wanted)) > STAINED
    beside = torch.from_numpy(cKDTree(points[painted].numpy()).query(points.numpy())[0] < STAIN_REACH)
    skin = torch.tensor([name in SKIN_BELOW for name in LABELS])[shares(avatar).argmax(1)]
    cleaned = painted | (beside & skin & strange & (avatar.gaussians.groups == 0))
    gaussians = with_colours(avatar.gaussians, old, torch.where(cleaned[:, None], wanted, old))
    groups = torch.where(painted, 0, gaussians.groups)
    return replace(avatar, gaussians=replace(gaussians, groups=groups), meta=_without_empty_groups(avatar, painted))


def _without_empty_groups(avatar: Avatar, gone: Tensor) -> dict[str, object]:
    left = set(avatar.gaussians.groups[~gone].tolist())
    groups = {name: number for name, number in groups_of(avatar).items() if number in left}
    kinds = {name: kind for name, kind in avatar.meta.get("group_kinds", {}).items() if name in groups}
    return {**avatar.meta, "groups": groups, "group_kinds": kinds}


def _below(
    scene: Scene, target: str, places: list[Place], masks: list[Tensor], gone: Tensor, bearded: list[Tensor] | None
) -> _Below:
    """The surface under the thing, its colours from pixels that show it elsewhere; under a hat that is hair on the scalp and skin before it.

    bearded: where no skin shows, besides in the thing's own ``masks``.
    """
    count = len(scene.head.template)
    names = BELOW.get(target, SKIN_BELOW)
    of_skin = [name for name in names if name not in ("hair", *LIPS)]
    skin = _field(scene, of_skin, places, bearded or masks, TRUST.get(target, 0.0))
    labels, lift = torch.full((count,), LABEL_INDEX["skin"]), torch.zeros(count)
    for name in ("u_lip", "l_lip", "neck", "nose", "l_ear", "r_ear"):
        if name in scene.head.regions:
            labels[scene.head.regions[name] > 0.5] = LABEL_INDEX[name]
    if set(LIPS) <= set(names):  # beside a beard; a chin is no lip
        red = _field(scene, list(LIPS), places, masks)
        lips = torch.isin(labels, torch.tensor([LABEL_INDEX[name] for name in LIPS]))
        skin = SurfaceColours(torch.where(lips[:, None], red.colours, skin.colours), skin.known)
    if target in OVER_HAIR:
        skin, of_hair = _beside_hair(scene, skin, places, masks)
        labels[of_hair] = LABEL_INDEX["hair"]
    if target == "hat":  # in the shade of its brim
        skin = _with_brows(scene, skin, places, masks)
    probabilities = shares(scene.avatar)
    if target != "hat" or not bool((probabilities[:, LABEL_INDEX["hair"]] > PRESENT).any()):
        return _Below(skin.colours, labels, lift)
    hair = _field(scene, ["hair"], places, masks)
    scalp = scene.head.regions["scalp"] > 0.5
    labels[scalp] = LABEL_INDEX["hair"]
    lift[scalp] = _hair_thickness(scene, probabilities, gone, scalp)
    return _Below(torch.where(scalp[:, None], hair.colours, skin.colours), labels, lift)


def _beside_hair(
    scene: Scene, skin: SurfaceColours, places: list[Place], masks: list[Tensor]
) -> tuple[SurfaceColours, Tensor]:
    """The surface with the hair and the brows that show on it, and (V,) bool where it is hair.

    What was hidden continues skin and hair.
    """
    hair = _field(scene, ["hair"], places, masks)
    faces, rest = scene.head.faces.numpy(), scene.rest.vertices.numpy()
    known = skin.known | hair.known
    seen = torch.where(skin.known[:, None], skin.colours, hair.colours)
    colours = torch.from_numpy(spread(seen.double().numpy(), known.numpy(), faces, rest)).float()
    share = (hair.known & ~skin.known).double()[:, None].expand(-1, 3).numpy()
    of_hair = torch.from_numpy(spread(share, known.numpy(), faces, rest)[:, 0] > 0.5)
    return _with_brows(scene, SurfaceColours(colours, known), places, masks), of_hair


def _with_brows(scene: Scene, surface: SurfaceColours, places: list[Place], masks: list[Tensor]) -> SurfaceColours:
    """``surface`` with the brows that show on it: a brow is where it was seen and goes on nowhere."""
    brows = _field(scene, [*BROWS, *SKIN_BELOW], places, masks)
    of_brow = brows.known & ~surface.known
    return SurfaceColours(torch.where(of_brow[:, None], brows.colours, surface.colours), surface.known | of_brow)


def _field(
    scene: Scene, labels: list[str], places: list[Place], masks: list[Tensor], margin: float = 0.0
) -> SurfaceColours:
    """Colours of the surface that shows these classes, continued under the thing and over ``margin`` (of a picture's side) around it."""
    of_it = shares(scene.avatar)[:, [LABEL_INDEX[label] for label in labels]].sum(1)
    trusted = []
    for place, mask in zip(places, masks, strict=True):
        field, alpha, _ = scene.field(of_it[:, None].contiguous(), place)
        reach = max(2, round(margin * max(mask.shape)))
        near = torch.nn.functional.max_pool2d(mask[None], 2 * reach + 1, 1, reach)[0]
        trusted.append(((field > 0.9) & (near < 0.05) & (alpha > 0.98)).float())
    return surface_colours(scene, places, trusted)


def _hair_thickness(scene: Scene, probabilities: Tensor, hat: Tensor, scalp: Tensor) -> float:
    """Metres: how high hair stands below a hat (N,) bool over the scalp (V,) bool, up to ``HIGHEST``.

    What shows beside a hat is the shortest hair of a head.  But a hat sits on hair: the height of its cloth says how high.
    """
    hair = probabilities[:, LABEL_INDEX["hair"]] > PRESENT
    gaps = cKDTree(scene.rest.vertices.numpy()).query(scene.rest.means[hair].numpy())[0]
    height, nearest = _heights(scene, scene.rest.means)
    over = height[hat & scalp[nearest]]
    cloth = float(over.quantile(CLOTH)) if len(over) else 0.0
    return min(max(float(np.median(gaps)), cloth), HIGHEST)


def _whole(
    before: Scene, after: Scene, gone: Tensor, below: _Below, places: list[Place], masks: list[Tensor], stain: float, staying: Tensor
) -> Avatar:  # fmt: skip
    """Without what nobody ever saw; stains, up to ``stain`` metres around, in the surface's colour; Gaussians for what is a hole then.

    staying (N,) bool, of all before: hairs that are no stains.
    """
    seen = visibility(before, places)[~gone]
    shown = visibility(after, places)
    points = after.rest.means
    gaps = torch.from_numpy(cKDTree(before.rest.means[gone].numpy()).query(points.numpy())[0]).float()
    label = shares(after.avatar).argmax(1)
    height, nearest = _heights(after, points)
    wanted = below.colours[nearest]
    of_surface = torch.tensor([name in SKIN_BELOW for name in LABELS])[label] | (label == below.labels[nearest])
    strange = ciede2000(lab(colours(after.avatar)), lab(wanted)) > STAINED
    close = (gaps < stain) & of_surface & ~staying[~gone]
    unseen = (shown > LEAST_SHOWN) & (seen < FAINT * shown)
    loose = close & strange & (height > LOOSE + below.lift[nearest])
    kept = ~(unseen | loose)
    clean = after.with_avatar(replace(after.avatar, gaussians=after.avatar.gaussians.select(kept)))
    old = colours(clean.avatar)
    new = torch.where((close & strange)[kept][:, None], wanted[kept], old)
    mended = replace(clean.avatar, gaussians=with_colours(clean.avatar.gaussians, old, new))
    typical = (~close & (gaps < GRAIN_REACH) & (label == LABEL_INDEX["hair"]) & (shown > LEAST_SHOWN))[kept]
    grain = GRAIN * (old - wanted[kept])[typical]
    grain = (grain - grain.mean(0)).clamp(-0.15, 0.15) if len(grain) else grain
    first = next_id(before.avatar)
    for _ in range(PASSES):
        scene = after.with_avatar(mended)
        holes = _hollow_triangles(scene, places, masks)
        if not len(holes):
            break
        added = patches(scene, holes, below.colours, below.labels, below.lift, grain, first)
        first += len(added)
        mended = replace(mended, gaussians=Gaussians.cat([mended.gaussians, added]))
    return mended


def _heights(scene: Scene, points: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) metres over the mesh at rest, along the normal of the nearest vertex, and (N,) which one that is."""
    vertices, faces = scene.rest.vertices, scene.head.faces.long()
    corners = vertices[faces]
    flat = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.zeros_like(vertices).index_add_(0, faces.reshape(-1), flat.repeat_interleave(3, 0))
    normals = torch.nn.functional.normalize(normals, dim=1)
    nearest = torch.from_numpy(cKDTree(vertices.numpy()).query(points.numpy())[1])
    return ((points - vertices[nearest]) * normals[nearest]).sum(1), nearest


def _hollow_triangles(scene: Scene, places: list[Place], masks: list[Tensor]) -> Tensor:
    """(F',) triangles in front of which something was taken away and behind which nothing opaque is left."""
    count = len(scene.head.faces)
    hollow, total = torch.zeros(count), torch.zeros(count)
    for place, mask in zip(places, masks, strict=True):
        triangle = torch.from_numpy(scene.mesh(place).triangle)
        alpha = scene.surface_alpha(place)
        here = (triangle >= 0) & (mask[0] > 0.3)
        total += torch.bincount(triangle[here], minlength=count).float()
        hollow += torch.bincount(triangle[here & (alpha[0] < HOLLOW)], minlength=count).float()
    return torch.nonzero((total > 0) & (hollow > 0.15 * total))[:, 0]
