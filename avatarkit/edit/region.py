"""Where an operation acts: a weight for every Gaussian, and so a soft mask at any time and from any camera.

A region begins with its target (``membership``) and is cut by a relation to an anchor: sides are told apart in the head's own frame at
rest, x to the subject's left, y up, z forward; ``viewer`` is the frame of somebody who looks the subject in the face.  Marks that are painted on the skin (a
tattoo, a mole) have no Gaussians of their own yet: theirs is a disc of skin beside or on the anchor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.membership import PRESENT, is_thing, membership
from avatarkit.edit.pieces import above
from avatarkit.edit.plan import LabelBox, Operation, Region
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.edit.vocabulary import GROUPS
from avatarkit.errors import InputError
from avatarkit.labels import LABELS

MARKS = {"tattoo": 0.012, "mole": 0.0025, "scar": 0.012, "freckles": 0.0}
"""Radius in metres of what is painted on the skin at size 1; freckles fill their anchor."""
ROW = 0.7  # by how much one mark more widens the disc
MARK_ROOM = 1.6
"""How much larger than the mark its disc is: the editor's ink must not meet the edge of the mask."""
ANCHORS = {"tattoo": "l_cheek", "mole": "l_cheek", "scar": "l_cheek", "freckles": "cheeks"}
"""Where a mark goes if nothing is said."""
NEAR = 0.008  # metres: what still counts as on an anchor
EDGE = 0.0015  # metres: half the width of a cut's edge
JOINED = 0.006  # metres between Gaussians of one worn thing, at most
SEEN = 0.02  # pixels of a Gaussian below which no mask says anything of it
SPARING = ("recolour", "restyle")
"""Operations that leave alone what is to stay."""
SPARED = (0.005, 0.03)
"""Share of a Gaussian's pixels that show what is to stay, from which on it changes less, and not at all."""
MOST = 0.5  # of a region
OTHER_SIDE = {"l": "r", "r": "l"}
SKIN = ("skin", "nose", "neck", "l_ear", "r_ear")


@dataclass(frozen=True)
class Located:
    """weights (N,) in [0, 1]: how far each Gaussian may be touched; centre (3,): of the region at rest, metres; radius: of a
    painted mark, metres, else 0."""

    weights: Tensor
    centre: Tensor
    radius: float = 0.0

    @property
    def core(self) -> Tensor:
        """(N,) bool: what surely belongs to it."""
        return self.weights > PRESENT


def locate(scene: Scene, operation: Operation) -> Located:
    """The region of an operation on an avatar.

    Raises InputError where the target or the anchor does not show, and where their cut is empty.
    """
    if operation.kind == "add":
        return _beside(scene, operation)
    weights = membership(scene, operation.target)
    if operation.target == "skin" and operation.kind in ("recolour", "restyle"):  # who says skin means all of it
        weights = torch.stack([_or_none(scene, name) for name in SKIN]).amax(0)
    if operation.region is not None:
        weights = weights * related(scene, operation.region, operation.target)
        if not bool((weights > PRESENT).any()):
            raise InputError(
                f"nothing of the {operation.target.replace('_', ' ')} lies {operation.region.relation.replace('_', ' ')} "
                f"the {operation.region.anchor.replace('_', ' ')}"
            )
    if operation.kind in SPARING:
        weights = spared(scene, weights, operation.preserve)
    return Located(weights, _centre(scene, weights))


def spared(scene: Scene, weights: Tensor, preserve: tuple[str, ...]) -> Tensor:
    """A region's weights (N,) without what shows in the pixels of parts that are to stay: strands before a brow, skin at the edge of lips.

    A part that is most of the region itself is asked for in vain, and left out.
    """
    parts = [part for part in (_or_none(scene, name) for name in preserve) if bool((part > PRESENT).any())]
    parts = [part for part in parts if float((part * weights).sum()) < MOST * float(weights.sum())]
    if not parts:
        return weights
    kept = torch.stack(parts).amax(0)
    shares = lifted(scene, [(place, region_mask(scene, kept, place)) for place in spread_places(scene)])
    return weights * (1.0 - ((shares - SPARED[0]) / (SPARED[1] - SPARED[0])).clamp(0.0, 1.0))


def related(scene: Scene, region: Region, target: str) -> Tensor:
    """(N,) in [0, 1]: which Gaussians stand in ``region``'s relation to its anchor."""
    points = scene.rest.means
    plane = border(scene, region)
    if plane is None:
        anchor = membership(scene, region.anchor)
        if region.anchor == target:
            return torch.ones(len(points))
        gaps = _gaps(points, anchor)
        if is_thing(scene.avatar, target):
            return _pieces_on(scene, region.anchor, target, gaps)
        return torch.maximum(anchor, 1.0 - above(gaps, NEAR, 2.0 * EDGE))
    axis, at = plane
    # the soft edge lies on this side: nothing beyond the border takes part
    return above(direction(region)[1] * (points[:, axis] - at), EDGE, EDGE)


def border(scene: Scene, region: Region) -> tuple[int, float] | None:
    """The plane at which ``region`` ends: an axis at rest and a place on it, metres; None where it is no plane."""
    if region.relation == "on":
        return None
    axis, _ = direction(region)
    return axis, _divide(scene, membership(scene, region.anchor), axis)


def _gaps(points: Tensor, anchor: Tensor) -> Tensor:
    """(N,) metres from points (N, 3) to what surely belongs to an anchor."""
    return torch.from_numpy(cKDTree(points[anchor > PRESENT].numpy()).query(points.numpy())[0]).float()


def _pieces_on(scene: Scene, name: str, target: str, gaps: Tensor) -> Tensor:
    """(N,) 0 or 1: worn things on an anchor, whole: an earring hangs far below its ear.

    What may be on either side is on the side that it is nearer to; of everything else, pieces that touch the anchor.
    """
    twin = OTHER_SIDE.get(name[:1], "") + name[1:]
    if name[1:2] == "_" and twin in LABELS:
        try:
            return (gaps < _gaps(scene.rest.means, membership(scene, twin))).float()
        except InputError:  # it shows on one side only
            return torch.ones(len(gaps))
    own = membership(scene, target) > PRESENT
    points = scene.rest.means[own].numpy()
    pairs = cKDTree(points).query_pairs(JOINED, output_type="ndarray")
    links = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    piece = torch.from_numpy(connected_components(links, directed=False)[1]).long()
    nearest = torch.full((int(piece.max()) + 1,), float("inf")).scatter_reduce(0, piece, gaps[own], "amin")
    found = torch.zeros(len(gaps))
    found[own] = (nearest[piece] < NEAR).float()
    return found


def _divide(scene: Scene, anchor: Tensor, axis: int) -> float:
    """Where an anchor is cut in two: sides of what lies across the head's own middle there, everything else at its centre."""
    if axis == 0:
        points = scene.rest.means[anchor > PRESENT][:, 0]
        eyes = [scene.rest.vertices[scene.head.regions[name] > 0.5].mean(0)[0] for name in ("l_eye", "r_eye")]
        middle = 0.5 * float(eyes[0] + eyes[1])
        if float(points.quantile(0.1)) < middle < float(points.quantile(0.9)):
            return middle
    return float(_centre(scene, anchor)[axis])


def direction(region: Region) -> tuple[int, float]:
    """Axis and sign at rest of a relation other than "on": what lies there has a larger sign · coordinate than its anchor."""
    axis, sign = {
        "above": (1, 1.0), "below": (1, -1.0), "left_of": (0, 1.0), "right_of": (0, -1.0), "in_front": (2, 1.0), "behind": (2, -1.0),
    }[region.relation]  # fmt: skip
    return axis, -sign if axis == 0 and region.frame == "viewer" else sign


def _centre(scene: Scene, weights: Tensor) -> Tensor:
    """(3,): the middle of what is surely meant, robust to strays."""
    points = scene.rest.means[weights > PRESENT]
    return 0.5 * (points.quantile(0.1, dim=0) + points.quantile(0.9, dim=0))


def _beside(scene: Scene, operation: Operation) -> Located:
    """Where something new goes: a disc of skin for a mark, else what lies around the anchor."""
    region = operation.region or Region(ANCHORS.get(operation.target, "head"))
    radius = (
        MARKS.get(operation.target, 0.0) * operation.attributes.size * (1.0 + ROW * (operation.attributes.count - 1))
    )
    if operation.target not in MARKS:
        anchor_points(scene, region.anchor)  # raises where there is nothing to go to
        weights = membership(scene, "head")
        return Located(weights, _centre(scene, weights))
    skin = torch.stack([_or_none(scene, name) for name in SKIN]).amax(0)
    anchor = membership(scene, region.anchor)
    if radius == 0.0:  # freckles
        return Located(skin * related(scene, region, ""), _centre(scene, anchor))
    at = _mark_centre(scene, region, anchor, skin, radius)
    gaps = (scene.rest.means - at).norm(dim=1)
    weights = skin * (1.0 - above(gaps, MARK_ROOM * radius, EDGE))
    if not bool((weights > PRESENT).any()):
        raise InputError(
            f"there is no skin {region.relation.replace('_', ' ')} the {region.anchor.replace('_', ' ')} for a {operation.target}"
        )
    return Located(weights, at, radius)


def _mark_centre(scene: Scene, region: Region, anchor: Tensor, skin: Tensor, radius: float) -> Tensor:
    """(3,): a point of the mesh's skin on the anchor, or next to it on the asked side."""
    points = scene.rest.means
    inside = points[anchor > PRESENT]
    wanted = _centre(scene, anchor)
    if region.relation != "on":
        axis, sign = direction(region)
        edge = (sign * inside[:, axis]).quantile(0.95)
        wanted = wanted.clone()
        wanted[axis] = sign * (edge + 1.2 * radius)
    wanted[2] = max(float(wanted[2]), float(inside[:, 2].quantile(0.5)))  # the side that faces the world
    facing = skin > PRESENT
    if not bool(facing.any()):
        raise InputError("the avatar shows no skin")
    vertices = scene.rest.vertices
    on_skin = cKDTree(points[facing].numpy()).query(vertices.numpy())[0] < NEAR
    candidates = vertices[torch.from_numpy(on_skin)]
    flat = (candidates - wanted) * torch.tensor([1.0, 1.0, 0.35])  # how far forward the face is there counts little
    return candidates[flat.norm(dim=1).argmin()]


def anchor_points(scene: Scene, name: str) -> tuple[Tensor, Tensor]:
    """(P, 3) and (Q, 3): what shows of an anchor, and the mesh's own of that name: hair hides ears, and an earring goes to them all the same.

    Raises InputError where there is neither.
    """
    regions = scene.head.regions
    named = [part for part in GROUPS.get(name, (name,)) if part in regions]
    own = [scene.rest.vertices[regions[part] > PRESENT] for part in named]
    shown = _or_none(scene, name) if own else membership(scene, name)
    return scene.rest.means[shown > PRESENT], torch.cat([torch.zeros(0, 3), *own])


def _or_none(scene: Scene, target: str) -> Tensor:
    try:
        return membership(scene, target)
    except InputError:
        return torch.zeros(len(scene.avatar.gaussians))


def region_mask(scene: Scene, weights: Tensor, place: Place) -> Tensor:
    """(1, H, W) in [0, 1]: weights (N,) rendered: the region at a time and from a camera."""
    return scene.field(weights[:, None].contiguous(), place)[0].clamp(0.0, 1.0)


def mask_core(mask: Tensor) -> Tensor:
    """(H, W) bool: what surely belongs to a mask (1, H, W).  Frames and strands are thinner than a pixel: they never fill one."""
    return mask[0] > min(0.5, max(0.15, 0.6 * float(mask.max())))


def mask_box(mask: Tensor) -> tuple[float, float, float, float] | None:
    """The box of what is over one half in a mask (1, H, W), as shares of width and height; None where nothing is."""
    rows, columns = torch.nonzero(mask[0] > 0.5, as_tuple=True)
    if not len(rows):
        return None
    height, width = mask.shape[-2:]
    return (
        float(columns.min()) / width, float(rows.min()) / height,
        float(columns.max() + 1) / width, float(rows.max() + 1) / height,
    )  # fmt: skip


def label_boxes(scene: Scene, place: Place) -> tuple[LabelBox, ...]:
    """Where each class shows in a picture, for a refiner's second turn."""
    field, alpha, _ = scene.field(torch.softmax(scene.avatar.gaussians.label_logits, 1), place)
    field = torch.cat([field[:1] + 1.0 - alpha, field[1:]])
    best = field.argmax(0)
    boxes = []
    for index, label in enumerate(LABELS[1:], 1):
        box = mask_box((best == index).float()[None])
        if box is not None:
            boxes.append(LabelBox(label, box))
    return tuple(boxes)


def lifted(scene: Scene, masks: list[tuple[Place, Tensor]]) -> Tensor:
    """(N,) in [0, 1]: free-form masks (1, H, W) from some places as weights of the Gaussians: Σ mask·α·T / Σ α·T over the
    masked places; a Gaussian that shows in none of them takes the mean of its nearest three neighbours that do."""
    count = len(scene.avatar.gaussians)
    inside, total = torch.zeros(count), torch.zeros(count)
    for place, mask in masks:
        both = torch.cat([mask, torch.ones_like(mask)])
        _, _, sums = scene.field(torch.zeros(count, 1), place, masks=both)
        assert sums is not None
        inside, total = inside + sums[0], total + sums[1]
    known = total > SEEN
    if not bool(known.any()):
        raise InputError("the mask shows nothing of the avatar")
    weights = inside / total.clamp(min=1e-6)
    if not bool(known.all()):
        points = scene.rest.means
        _, near = cKDTree(points[known].numpy()).query(points[~known].numpy(), k=min(3, int(known.sum())))
        near = torch.from_numpy(near).reshape(int((~known).sum()), -1)
        weights[~known] = weights[known][near].mean(1)
    return weights.clamp(0.0, 1.0)
